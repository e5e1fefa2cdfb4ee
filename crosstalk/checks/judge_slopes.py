"""What grows in the course of a load test: times of the target, its memory, the harness's own heap. The key `slopes`.

`slope_ms_per_h[METRIC]` and `slope_percent_per_h[METRIC]` over time, `slope_ms_per_100_connections[METRIC]` over the
connections that were made, `slope_mib_per_h[harness_heap | harness_rss | target_memory]`. Each with its interval; where
there are several processes, the one that grows most is the figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosstalk.checks.memory_groups import GROUPS, OWN, TARGET
from crosstalk.checks.metrics import SLOPES_OF_MEMORY, SLOPES_OF_TIMES, slope_in
from crosstalk.checks.slopes import Slope, settled_from, slope
from crosstalk.checks.tally import Tally

HOUR_NS = 3.6e12
MIB = 2.0**20
#: steps of the family soak: the renewals, and the runs that a renewal or an expiry could cost
RENEWALS = ("refresh", "refresh by a new socket")
AT_STAKE = ("run over refresh", "turn after refresh", "turn across the expiry")
#: fewer connections that were made in the window tell nothing of a growth with them
CONNECTIONS_MIN = 10
#: of times, whose single samples may lie far out
RUNS_A_BLOCK = 8


def judge_slopes(tally: Tally) -> dict[str, Any]:
    """Every slope that can be told."""
    return {
        "times": [entry for name in SLOPES_OF_TIMES for entry in _time_entries(tally, name)],
        "memory": _memory_entries(tally),
        "refreshes": _refreshes(tally),
    }


def find_slope(tally: Tally, metric: str) -> Slope:
    """The slope that a limit names, in its unit; of several processes, that of the fastest growth.

    :raises KeyError: it is no metric of a slope.
    """
    unit, per, name = slope_in(metric) or ("", "", "")
    if name in SLOPES_OF_TIMES:
        found = over_connections(tally, name) if per == "100_connections" else over_time(tally, name)
        return _percent(found) if unit == "percent" else found
    if name not in SLOPES_OF_MEMORY:
        raise KeyError(metric)
    by_process = memory_slopes(tally, name)
    nothing = Slope(None, None, None, 0, reason=f"nothing was told of {SLOPES_OF_MEMORY[name]}")
    return max(by_process.values(), key=lambda one: -np.inf if one.high is None else one.high, default=nothing)


def over_time(tally: Tally, name: str) -> Slope:
    """ms per hour, of the runs of the window that are judged."""
    at_ns, values = _times(tally, name)
    return slope(_hours(at_ns), values, a_block=RUNS_A_BLOCK)


def over_connections(tally: Tally, name: str) -> Slope:
    """ms per 100 connections: what a handler that is never dropped costs all the later runs."""
    at_ns, values = _times(tally, name)
    made = np.searchsorted(tally.connections.begun_ns(), at_ns) / 100.0
    if len(made) == 0 or made.max() - made.min() < CONNECTIONS_MIN / 100.0:
        few = round(100 * float(made.max() - made.min())) if len(made) else 0
        return Slope(None, None, None, len(values), reason=f"{few} connections were made meanwhile: too few to tell")
    return slope(made, values, a_block=RUNS_A_BLOCK)


def memory_slopes(tally: Tally, name: str) -> dict[str, Slope]:
    """MiB per hour, by process; the master's heap holds the record's tally, and its RSS is not the workers'."""
    from_ns = tally.runs.window().from_ns
    if name == "harness_rss":
        roles = tally.health.roles()
        series = {worker: _resident(tally, worker) for worker, role in roles.items() if role != "master"}
    else:
        series = tally.memory.series(OWN if name == "harness_heap" else TARGET)
    found = {}
    for worker, (at_ns, size) in series.items():
        known = at_ns >= from_ns
        found[worker] = _of_memory(at_ns[known], size[known])
    return found


def _of_memory(at_ns: np.ndarray, size: np.ndarray) -> Slope:
    cut = settled_from(size)
    at_ns, size = at_ns[cut:], size[cut:]
    return slope(_hours(at_ns), size / MIB)


def _hours(at_ns: np.ndarray) -> np.ndarray:
    """Since the first one."""
    hours: np.ndarray = (at_ns - at_ns[:1]) / HOUR_NS
    return hours


def _resident(tally: Tally, worker: str) -> tuple[np.ndarray, np.ndarray]:
    rows = tally.health.rows(worker)
    return np.array([row["at_ns"] for row in rows]), np.array([float(row["rss_bytes"]) for row in rows])


def _times(tally: Tally, name: str) -> tuple[np.ndarray, np.ndarray]:
    """When the runs that are judged were sent, and their times, in order."""
    values, known = tally.runs.run_values(name)
    chosen = tally.runs.chosen("judged") & known
    order = np.argsort(tally.runs.runs["sent_ns"][chosen], kind="stable")
    return tally.runs.runs["sent_ns"][chosen][order], values[chosen][order]


def _percent(found: Slope) -> Slope:
    """The same as a share of the line's middle."""
    if found.value is None or not found.level:
        return found
    of = 100.0 / found.level
    value, low, high = (None if one is None else one * of for one in (found.value, found.low, found.high))
    return Slope(value, low, high, found.n, found.blocks, found.worth, found.level, found.reason)


def _time_entries(tally: Tally, name: str) -> list[dict[str, Any]]:
    found = over_time(tally, name)
    percent = _percent(found)
    return [
        {**_entry(f"slope_ms_per_h[{name}]", "ms/h", found), "percent_per_h": _rounded(percent.value)},
        {**_entry(f"slope_ms_per_100_connections[{name}]", "ms/100 connections", over_connections(tally, name)),
         "percent_per_h": None},
    ]  # fmt: skip


def _memory_entries(tally: Tally) -> list[dict[str, Any]]:
    """By process and group; the group that a limit is about carries the limit's metric, the others are shown apart."""
    from_ns = tally.runs.window().from_ns
    entries = []
    for name in SLOPES_OF_MEMORY:
        metric = f"slope_mib_per_h[{name}]"
        for worker, found in memory_slopes(tally, name).items():
            entries.append({**_entry(metric, "MiB/h", found), "worker": worker, "what": SLOPES_OF_MEMORY[name]})
    for group in GROUPS:
        if group in (OWN, TARGET):
            continue
        for worker, (at_ns, size) in tally.memory.series(group).items():
            known = at_ns >= from_ns
            found = _of_memory(at_ns[known], size[known])
            entries.append({**_entry("", "MiB/h", found), "worker": worker, "what": GROUPS[group][0]})
    return entries


def _entry(metric: str, unit: str, found: Slope) -> dict[str, Any]:
    known = found.low is not None and found.high is not None
    return {
        "metric": metric,
        "unit": unit,
        "value": _rounded(found.value),
        "ci": [_rounded(found.low), _rounded(found.high)] if known else None,
        "n": found.n,
        "blocks": found.blocks,
        "worth": _rounded(found.worth),
        "level": _rounded(found.level),
        "reason": found.reason,
    }


def _refreshes(tally: Tally) -> dict[str, Any]:
    """Renewals of tokens, the runs that they put at stake, and how many of those were lost."""
    made = {step: tally.steps.outcomes("soak", step) for step in RENEWALS}
    staked = {step: tally.steps.outcomes("soak", step) for step in AT_STAKE}
    return {
        "made": sum(found["ok"] for found in made.values()),
        "refused": sum(found["failed"] for found in made.values()),
        "runs_at_stake": sum(found["ok"] + found["failed"] for found in staked.values()),
        "runs_lost": sum(found["failed"] for found in staked.values()),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
