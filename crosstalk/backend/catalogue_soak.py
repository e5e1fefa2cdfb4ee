"""Faults that show in hours: what grows, what a refresh breaks, and a deployment under one's feet.

With `refresh_drops_run` and `expiry_cuts_run` the account is that of the user whose socket it is.
"""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NO_REFRESH = {
    "agui": "no: a socket is shown one token only",
    "per_run": "no: a socket is shown one token only",
}

SOAK: tuple[Fault, ...] = (
    Fault(
        "refresh_drops_run",
        "a fresh token on a socket drops its user's runs in progress without a word",
        "a socket: a refresh",
        "step soak/run over refresh",
        _NO_REFRESH,
    ),
    Fault(
        "expiry_cuts_run",
        "a socket is closed when its first token expires, though it was shown a fresh one",
        "a socket: its expiry",
        "step soak/turn across the expiry",
        {**_NO_REFRESH, "netra": "also without --close-at-expiry"},
    ),
    Fault(
        "slow_leak",
        "a run takes 30 ms longer for each second since the start",
        "a run: its first thought",
        "limit slope_ms_per_h",
    ),
    Fault(
        "memory_growth",
        "4 MiB for each second since the start stay behind",
        "the process: its memory",
        "limit slope_mib_per_h",
    ),
    Fault(
        "handler_growth",
        "a handler per connection, none dropped: each costs a run 5 ms before it begins",
        "a run: its route",
        "limit slope_ms_per_100_connections",
    ),
    Fault(
        "deploy_mid_run",
        "8 s after the start the process tells another revision",
        "the process: its release",
        "limit of any time: not judged, the target changed",
    ),
)
