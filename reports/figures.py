"""Numbers for the pages, from the columns of a record. Pure: columns in, values out; milliseconds unless named so.

Percentiles are by nearest rank over the pooled samples of all workers, and a percentile that too few samples support is
`None`: it is shown as "insufficient n", never as a number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.statistics import lower_bound, percentile, samples_needed, upper_bound
from crosstalk.checks.tally import Tally
from reports.distributions import Curve, curve

MS = 1e6
QUANTILES = (0.90, 0.95, 0.99)

#: times of a run that are shown, in the order in which they happen
MILESTONES = (
    "accept_time_ms",
    "time_to_first_event_ms",
    "time_to_first_chunk_ms",
    "service_time_ms",
    "chunk_gap_ms",
    "tool_time_ms",
    "handoff_time_ms",
    "stall_max_ms",
    "reconnect_time_ms",
)

#: one-sided bounds, each at 95 %; None where there are too few samples for one
Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Spread:
    """How one time is distributed. Samples that never came are infinite, so `high` may be too."""

    name: str
    group: str  # "of the run" or "of each event"
    n: int
    censored: int
    low: float
    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    high: float
    ci50: Interval = (None, None)
    ci90: Interval = (None, None)
    ci95: Interval = (None, None)
    ci99: Interval = (None, None)
    curve: Curve | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way from connection to answer. `of` is what the share refers to."""

    name: str
    number: int
    of: int
    note: str = ""


def spread(name: str, group: str, samples: np.ndarray) -> Spread | None:
    if not samples.size:
        return None
    ordered = np.sort(samples)
    p90, p95, p99 = (percentile(ordered, q) if ordered.size >= samples_needed(q) else None for q in QUANTILES)
    ci50, ci90, ci95, ci99 = ((lower_bound(ordered, q), upper_bound(ordered, q)) for q in (0.50, *QUANTILES))
    return Spread(
        name=name,
        group=group,
        n=int(ordered.size),
        censored=int(np.isinf(ordered).sum()),
        low=float(ordered[0]),
        p50=percentile(ordered, 0.5),
        p90=p90,
        p95=p95,
        p99=p99,
        high=float(ordered[-1]),
        ci50=ci50,
        ci90=ci90,
        ci95=ci95,
        ci99=ci99,
        curve=curve(name, ordered),
    )


def spreads(tally: Tally, runs: Columns, events: Columns) -> list[Spread]:
    """Times of the run's milestones as they are judged, then of every kind of event since the prompt was sent."""
    found = [spread(name, "of the run", tally.samples(name)) for name in MILESTONES]
    ramp = runs["warm_up"] | (runs["sent_ns"] < tally.runs.window().from_ns)
    outside = ramp | (runs["outcome"] == "cut")
    left_out = set(zip(runs["account"][outside].tolist(), runs["run"][outside].tolist(), strict=True))
    keys = zip(events["account"].tolist(), events["run"].tolist(), strict=True)
    kept = np.array([key not in left_out for key in keys], dtype=bool)
    since_sent = (events["arrived_ns"] - events["sent_ns"]) / MS
    kinds = with_nested(events)
    for kind in in_order(kinds, events["n"]):
        found.append(spread(kind, "of each event", since_sent[kept & (kinds == kind)]))
    return [one for one in found if one is not None]


def with_nested(events: Columns) -> np.ndarray:
    """Kinds, with the start and the end of an agent inside a run apart: only the outer ones are the run's own."""
    kinds = events["kind"].copy()
    for kind, outer in (("started", 0), ("completed", -1)):
        rows = np.flatnonzero(kinds == kind)
        runs, accounts = events["run"][rows].astype(str), events["account"][rows].astype(str)
        order = np.lexsort((events["n"][rows], runs, accounts))
        rows, runs, accounts = rows[order], runs[order], accounts[order]
        changes = (runs[1:] != runs[:-1]) | (accounts[1:] != accounts[:-1])
        is_outer = (
            np.concatenate([[True], changes] if outer == 0 else [changes, [True]]) if rows.size else rows.astype(bool)
        )
        kinds[rows[~is_outer]] = f"nested {kind}"
    return kinds


def in_order(kinds: np.ndarray, numbers: np.ndarray) -> list[str]:
    """Kinds of events by their usual place in a run: the median of their numbers."""
    return sorted(set(kinds.tolist()), key=lambda kind: (float(np.median(numbers[kinds == kind])), kind))


def funnel(connections: Columns, runs: Columns) -> list[Step]:
    """Counts along the way. Runs that we cut off leave the way where the runs begin; their number is in the note."""
    people = connections["purpose"] == "user"
    attempted = int(people.sum())

    def reached(column: str) -> int:
        return int((connections[column][people] != MISSING).sum())

    cut = runs["outcome"] == "cut"
    started, whole = int(runs["run"].size - cut.sum()), ~cut

    def run_reached(column: str) -> int:
        return int((runs[column][whole] != MISSING).sum())

    note = f"and {int(cut.sum())} cut off when the load test ended" if cut.any() else ""
    return [
        Step("connections attempted", attempted, attempted),
        Step("TCP connected", reached("connected_ns"), attempted),
        Step("upgraded", reached("upgraded_ns"), attempted),
        Step("ready", reached("ready_ns"), attempted),
        Step("runs started", started, started, note),
        Step("accepted", run_reached("accepted_ns"), started),
        Step("first event", run_reached("first_event_ns"), started),
        Step("first text", run_reached("first_chunk_ns"), started),
        Step("ended", run_reached("end_ns"), started),
        Step("ended well", int((runs["outcome"] == "ok").sum()), started),
    ]


def typical_and_slowest(runs: Columns) -> list[tuple[str, int]]:
    """("typical" | "slowest", row in `runs`): the median and the longest of the runs that ended."""
    ended = np.flatnonzero((runs["end_ns"] != MISSING) & (runs["events"] > 0))
    if not ended.size:
        return []
    times = runs["end_ns"][ended] - runs["sent_ns"][ended]
    order = ended[np.lexsort((runs["run"][ended].astype(str), times))]
    median, slowest = int(order[(order.size - 1) // 2]), int(order[-1])
    return [("typical", median)] if median == slowest else [("typical", median), ("slowest", slowest)]


def ways_closed(connections: Columns) -> list[tuple[str, str, int, str, str, int, str]]:
    """(purpose, outcome, close code or MISSING, closed by, stage, number, a reason or error); most frequent first."""
    keys = ("purpose", "outcome", "close_code", "closed_by", "stage")
    rows = list(zip(*(connections[key].tolist() for key in keys), strict=True))
    says = [reason or error for reason, error in zip(connections["close_reason"], connections["error"], strict=True)]
    examples: dict[tuple[Any, ...], str] = {}
    for row, said in zip(rows, says, strict=True):
        examples[row] = examples.get(row) or said
    ordered = sorted(Counter(rows).items(), key=lambda item: (-item[1], str(item[0])))
    return [(*row, number, examples[row]) for row, number in ordered]


def users_over_time(health: Columns) -> tuple[np.ndarray, np.ndarray]:
    """(instants in ns, users of all workers then): each worker's last known figure, summed."""
    order = np.argsort(health["at_ns"], kind="stable")
    known: dict[str, int] = {}
    at, users = [], []
    for i in order.tolist():
        known[health["worker"][i]] = int(health["users"][i])
        at.append(int(health["at_ns"][i]))
        users.append(sum(known.values()))
    return np.array(at, dtype=np.int64), np.array(users, dtype=np.int64)


def waited_percent(health: Columns) -> np.ndarray:
    """Of one process, row by row: the share of time for which its loop had no processor; nan where nobody says."""
    at = health["at_ns"]
    lasted = np.diff(at, prepend=at[:1] - 1_000_000_000)
    waited = np.where(health["run_delay_ns"] == MISSING, np.nan, health["run_delay_ns"])
    share: np.ndarray = 100 * waited / np.maximum(lasted, 1)
    return share
