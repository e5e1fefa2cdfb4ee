"""What a record says against what really happened: the error of every instant and duration that reports are made of.

The truth comes from the calibration backend: for each event, an instant just before and one just after the system call
that sent it, and for each prompt the kernel's stamp of its arrival. Both processes run on one host and tie their clocks
to its wall clock the same way, so instants can be subtracted. An error is taken against the earlier of the two
instants; it holds the way through the kernel too, some µs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.statistics import percentile
from crosstalk.checks.words import counted, number, percent

MS = 1_000_000
#: two clocks are tied to some µs: an event may seem to arrive this much before it was sent
TIE_NS = 20_000
#: a send that took longer was interrupted: when the event really left is not known that well
WIDE_NS = 100_000
#: share of events that may seem to arrive before they were sent, or that a send blurs, without a word
BLURRED_MAX = 0.001
#: share of the events without an exact stamp whose bounds must hold the truth
CONTAINED_MIN = 0.999
#: quantiles of errors that are judged. A run's largest stall shows the worst of all its events
QUANTILES = {"arrival": 0.99, "arrival_exact": 0.99, "stall_max": 0.50}
QUANTILE_ELSE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """Sizes of errors, in ms, whatever their sign; `low` is the least signed one."""

    n: int
    p50: float
    p99: float
    most: float
    low: float

    @classmethod
    def of(cls, errors_ns: np.ndarray) -> Spread | None:
        """None where there is nothing."""
        if len(errors_ns) == 0:
            return None
        sizes = np.sort(np.abs(errors_ns)) / MS
        low = float(errors_ns.min()) / MS
        return cls(len(sizes), percentile(sizes, 0.50), percentile(sizes, 0.99), float(sizes[-1]), low)

    def as_dict(self) -> dict[str, float]:
        return {"n": self.n, "p50_ms": self.p50, "p99_ms": self.p99, "max_ms": self.most}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A record against the truth.

    `errors_ns`: by quantity; `arrival` is every event's, `arrival_exact` of those whose stamp is exact. A duration is a
    difference of two instants. `lost` and `invented`: events sent and not recorded, recorded and never sent.
    `late_ms`: how late the sender was against its own plan, p99; it spoils no truth.
    """

    errors_ns: Mapping[str, np.ndarray]
    exact_share: float
    early_share: float
    wide_share: float
    lost: int
    invented: int
    late_ms: float
    contained_share: float | None  # of the events that are not exact: the truth lies between their bounds

    def spread(self, quantity: str) -> Spread | None:
        return Spread.of(self.errors_ns[quantity])

    def faults(self, *, bound_ms: float) -> list[str]:
        """Why these figures cannot be believed to within the bound; empty where they can.

        A duration may be off by twice the bound, being the difference of two instants.
        """
        found = []
        for quantity, errors_ns in self.errors_ns.items():
            sizes, most_ms = np.sort(np.abs(errors_ns)) / MS, bound_ms * (1 if quantity.startswith("arrival") else 2)
            if len(sizes) == 0:
                found += [] if quantity == "arrival_exact" else [f"{quantity}: nothing was measured"]
                continue
            quantile = QUANTILES.get(quantity, QUANTILE_ELSE)
            size_ms = percentile(sizes, quantile)
            if size_ms > most_ms:
                what = f"error of {quantity}: p{quantile * 100:.0f} {number(size_ms)} ms"
                found.append(f"{what}, at most {number(most_ms)} ms allowed")
        if self.early_share > BLURRED_MAX:
            found.append(f"{percent(self.early_share)} of events seem to have arrived before they were sent")
        if self.contained_share is not None and self.contained_share < CONTAINED_MIN:
            found.append(f"bounds of stamps that are not exact hold the truth for {percent(self.contained_share)} only")
        if self.lost or self.invented:
            found.append(f"{counted(self.lost, 'events')} lost, {counted(self.invented, 'events')} never sent")
        return found


def compare(truth: Mapping[str, Any], events: Columns, runs: Columns) -> Comparison:
    """Compare the tables of a record with what the calibration backend wrote.

    Errors are those of runs that ended well, after the ramp. What is lost or invented is looked for in all runs that
    ended well, and in those that were served whole and of which the record says nothing.
    """
    deeds = _Deeds(truth)
    ended_well = {run for run, outcome in zip(runs["run"], runs["outcome"], strict=True) if outcome == "ok"}
    mine = np.fromiter((run in ended_well for run in events["run"]), bool, len(events["run"]))
    row = np.fromiter((deeds.row_of.get(run, -1) for run in events["run"]), np.int64, len(events["run"]))
    n = events["n"] - 1
    known = mine & (row >= 0) & (n >= 0) & (n < deeds.size)
    unheard_of = deeds.row_of.keys() - set(runs["run"].tolist())
    expected = deeds.size * (sum(run in deeds.row_of for run in ended_well) + len(unheard_of))
    warm = {run for run, warm_up in zip(runs["run"], runs["warm_up"], strict=True) if warm_up}
    used = known & np.fromiter((run not in warm for run in events["run"]), bool, len(events["run"]))
    row, n = row[used], n[used]
    columns = {name: column[used] for name, column in events.items()}
    width_ns = deeds.after_ns[row, n] - deeds.before_ns[row, n]
    arrival_ns = columns["arrived_ns"] - deeds.before_ns[row, n]
    exact = columns["exact"].astype(bool)
    sharp = width_ns <= WIDE_NS
    judged = (runs["outcome"] == "ok") & ~runs["warm_up"].astype(bool)
    errors = {
        "arrival": arrival_ns[sharp],
        "arrival_exact": arrival_ns[sharp & exact],
        **dict(_of_events(columns, deeds, row, n)),
        **dict(_of_runs({name: column[judged] for name, column in runs.items()}, deeds)),
    }
    late_ns = np.sort((deeds.before_ns - deeds.due_ns).ravel())
    return Comparison(
        errors,
        exact_share=_share(exact),
        early_share=_share(arrival_ns < -TIE_NS),
        wide_share=_share(~sharp),
        lost=int(expected - known.sum()),
        invented=int((mine & ~known).sum()),
        late_ms=percentile(late_ns, 0.99) / MS if len(late_ns) else 0.0,
        contained_share=_contained(columns, deeds.before_ns[row, n], deeds.after_ns[row, n], exact),
    )


class _Deeds:
    """The truth as arrays: a row a run, a column an event of the script. Runs not served whole are left out."""

    def __init__(self, truth: Mapping[str, Any]) -> None:
        self.kinds: list[str] = list(truth["kinds"])
        self.size = len(self.kinds)
        whole = {run: one for run, one in truth["runs"].items() if len(one["after_ns"]) == self.size}
        self.row_of = {run: row for row, run in enumerate(whole)}
        self.prompt_ns = np.array([one["prompt_arrived_ns"] for one in whole.values()], np.int64)
        shape = (len(whole), self.size)
        self.due_ns, self.before_ns, self.after_ns = (
            np.array([one[name] for one in whole.values()], np.int64).reshape(shape)
            for name in ("due_ns", "before_ns", "after_ns")
        )

    def first(self, kind: str, *, after: int = -1) -> int:
        return self.kinds.index(kind, after + 1)


def _of_events(columns: Columns, deeds: _Deeds, row: np.ndarray, n: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Durations that stand in the rows of events; each is matched with the events it must lie between."""
    chunks = [index for index, kind in enumerate(deeds.kinds) if kind == "agent_response_chunk"]
    before = {"event_gap": dict(zip(range(1, deeds.size), range(deeds.size), strict=False)),
              "chunk_gap": dict(zip(chunks[1:], chunks, strict=False))}  # fmt: skip
    if "tool_completed" in deeds.kinds:
        before["tool_time"] = {deeds.first("tool_completed"): deeds.first("tool_executing")}
    of = {"event_gap": "gap_ns", "chunk_gap": "chunk_gap_ns", "tool_time": "tool_time_ns"}
    for quantity, earlier in before.items():
        # a duration that is missing, or stands where none belongs, is an error as large as itself
        origin = np.array([earlier.get(index, -1) for index in range(deeds.size)], np.int64)[n]
        said = columns[of[quantity]]
        true = np.where(origin >= 0, deeds.before_ns[row, n] - deeds.before_ns[row, origin], 0)
        due = origin >= 0
        yield quantity, np.where(said == MISSING, 0, said)[due | (said != MISSING)] - true[due | (said != MISSING)]


def _of_runs(runs: Columns, deeds: _Deeds) -> Iterator[tuple[str, np.ndarray]]:
    """Durations of whole runs. They begin at `sent`; the truth, when the kernel of the backend had the prompt."""
    row = np.array([deeds.row_of.get(run, -1) for run in runs["run"]], np.int64)
    runs, row = {name: column[row >= 0] for name, column in runs.items()}, row[row >= 0]
    sent_ns, prompt_ns, before_ns = runs["sent_ns"], deeds.prompt_ns[row], deeds.before_ns[row]
    yield "sent", prompt_ns - sent_ns
    first_chunk = deeds.first("agent_response_chunk")
    for quantity, column, index in (
        ("time_to_first_event", "first_event_ns", 0),
        ("time_to_first_chunk", "first_chunk_ns", first_chunk),
        ("service_time", "end_ns", -1),
    ):
        yield quantity, (runs[column] - sent_ns) - (before_ns[:, index] - prompt_ns)
    yield "stall_max", runs["stall_max_ns"] - np.diff(before_ns, axis=1).max(axis=1)
    if "agent_handoff" in deeds.kinds:
        handed = deeds.first("agent_handoff")
        taken = deeds.first("agent_started", after=handed)
        yield "handoff_time", runs["handoff_time_max_ns"] - (before_ns[:, taken] - before_ns[:, handed])


def _contained(columns: Columns, before_ns: np.ndarray, after_ns: np.ndarray, exact: np.ndarray) -> float | None:
    """Share of the events that are not exact whose truth lies between their bounds; None without such, or bounds."""
    if "arrived_after_ns" not in columns or exact.all():
        return None
    low_ns, high_ns = columns["arrived_after_ns"][~exact], columns["arrived_ns"][~exact]
    return _share((after_ns[~exact] >= low_ns - TIE_NS) & (before_ns[~exact] <= high_ns + TIE_NS))


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else 0.0
