"""The load generator's own health: one row a process, what kept it from measuring, and a picture over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.judge_arrivals import arrivals_text
from reports import numbers
from reports.markup import Html, definitions, element, paragraph, section, state, table
from reports.material import Material

MS = 1e6
LEAD = "A generator that is short of breath makes a backend look slow; past its limits timing is unknown, never bad."
HEADS = (
    "Process", "Role", "CPU, highest", "Waited for a CPU", "Hub lag, largest", "Receive lag p50, p99, largest",
    "Longest collection", "Memory", "Descriptors", "Wall clock set by",
)  # fmt: skip


def generator(material: Material, drawn: dict[str, Html]) -> Html:
    title = "The generator itself"
    measurement = material.verdict.get("measurement") or {}
    if not measurement:
        return section("generator", title, paragraph("No figures of the generator were recorded.", class_="lead"))
    pairs: list[tuple[object, object]] = [
        ("judged", state(str(measurement.get("verdict", "unknown")))),
        ("clock", measurement.get("clock", numbers.NONE)),
        ("arrivals", arrivals_text(measurement.get("arrivals") or {})),
        ("receive lag", _lags(measurement.get("receive_lag_ms"))),
        ("schedule lag", _lags(measurement.get("schedule_lag_ms"))),
        ("hub lag", _lags(measurement.get("hub_lag_ms"))),
        ("exact stamps", _exact(measurement.get("exact_share"))),
        ("unaccounted events", numbers.count(measurement.get("unaccounted_events"))),
    ]
    texts = [*_texts(measurement, "causes"), *map(str, material.run.get("problems") or [])]
    texts += _texts(measurement, "remarks")
    said = [element("ul", *(element("li", numbers.thin(text)) for text in dict.fromkeys(texts)))] if texts else []
    rows = _processes(material.table("health"), measurement)
    processes = [table(HEADS, rows, right=tuple(range(2, len(HEADS))))] if rows else []
    return section("generator", title, definitions(pairs), *said, *processes, drawn.get("generator", ""), lead=LEAD)


def _texts(measurement: dict[str, Any], key: str) -> list[str]:
    return [str(text) for text in measurement.get(key) or []]


def _exact(share: float | None) -> str:
    rest = "" if share in (None, 1.0) else "; the others are judged by their upper bound"
    return f"{numbers.share(share)}{rest}"


def _processes(health: Columns, measurement: dict[str, Any]) -> list[tuple[object, ...]]:
    lags = measurement.get("receive_lag_ms_by_worker") or {}
    return [_process(health, worker, lags.get(worker)) for worker in sorted(set(health["worker"].tolist()))]


def _process(health: Columns, worker: str, lags: Any) -> tuple[object, ...]:
    mine = np.flatnonzero(health["worker"] == worker)
    figures = {name: health[name][mine] for name in health}
    steps = figures["wall_step_max_ns"]
    step_ns = int(steps[int(np.argmax(np.abs(steps)))])
    limit = int(figures["open_files_limit"][-1])
    return (
        worker,
        str(figures["role"][-1]),
        f"{figures['cpu_percent'].max():.0f} %",
        _waited(figures),
        numbers.milliseconds(int(figures["hub_lag_max_ns"].max()) / MS),
        _three(lags),
        numbers.milliseconds(int(figures["gc_pause_max_ns"].max()) / MS),
        numbers.size(int(figures["rss_bytes"].max())),
        f"{numbers.count(int(figures['open_files'].max()))} of {numbers.count(limit) if limit else 'any number'}",
        numbers.milliseconds(step_ns / MS) if step_ns else "never",
    )


def _waited(figures: Columns) -> str:
    """Share of the time in which its loop could run and had no processor."""
    told = figures["run_delay_ns"] != MISSING
    lasted_ns = int(figures["at_ns"][-1] - figures["at_ns"][0]) + 1_000_000_000
    if not told.any():
        return numbers.NONE
    return f"{100 * int(figures['run_delay_ns'][told].sum()) / lasted_ns:.1f} %"


def _three(lags: Any) -> str:
    if not isinstance(lags, dict) or lags.get("max") is None:
        return numbers.NONE
    return ", ".join(numbers.milliseconds(lags[key]) for key in ("p50", "p99", "max"))


def _lags(lag: Any) -> str:
    """{"p50": ms, "p99": ms, "max": ms} on one line; a single figure is the largest."""
    if lag is None or lag == {}:
        return numbers.NONE
    if not isinstance(lag, dict):
        return numbers.milliseconds(float(lag))
    names = {"p50": "p50", "p99": "p99", "max": "largest"}
    said = [
        f"{names.get(key, key)} {numbers.milliseconds(value)}"
        for key, value in lag.items()
        if isinstance(value, int | float)
    ]
    return ", ".join(said) or numbers.NONE
