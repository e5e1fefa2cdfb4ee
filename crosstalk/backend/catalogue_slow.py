"""Faults of time: everything comes, whole and in order, and later than anybody would wait for it."""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_BY_UPGRADE = {shape: "no: the upgrade says ready" for shape in ("agui", "per_run")}

SLOW: tuple[Fault, ...] = (
    Fault("upgrade_slow", "the upgrade takes 0.5 s more", "a socket: its upgrade", "limit upgrade_time_ms"),
    Fault(
        "welcome_slow",
        "the welcome takes 0.5 s more",
        "a socket: after the upgrade",
        "limit authentication_time_ms",
        _BY_UPGRADE,
    ),
    Fault("start_slow", "a run takes 2.5 s to begin", "a run: its start", "limit accept_time_ms"),
    Fault("chunks_slow", "a third of a second between chunks", "a run: its chunks", "limit chunk_gap_ms"),
    Fault("end_slow", "3 s from the last word to the end", "a run: its end", "limit service_time_ms"),
)
