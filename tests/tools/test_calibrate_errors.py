"""A record against the truth: a right one passes, and whatever is shifted in it shows under its own name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.tools.calibrate_errors import Comparison, compare

MS = 1_000_000
KINDS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_handoff", "agent_started",
         "agent_thinking", "agent_response_chunk", "agent_response_chunk", "agent_response_chunk",
         "agent_completed"]  # fmt: skip
#: each unlike its neighbours
GAPS_MS = [12, 19, 26, 16, 23, 13, 20, 27, 17, 24, 14]
CHUNKS = [index for index, kind in enumerate(KINDS) if kind == "agent_response_chunk"]
RUNS = 40
BOUND_MS = 1.0
#: what the way through the kernel takes
WAY_NS = 5_000

Mutation = Callable[[Columns, Columns], None]


def truth() -> dict:
    runs = {}
    for number in range(RUNS):
        prompt_ns = 10**18 + number * 37 * MS
        before_ns = [prompt_ns + total * MS for total in np.cumsum(GAPS_MS).tolist()]
        runs[f"run-{number}"] = {
            "user_id": "k3f00001",
            "prompt_arrived_ns": prompt_ns,
            "prompt_read_ns": prompt_ns,
            "due_ns": before_ns,
            "before_ns": before_ns,
            "after_ns": [at_ns + 8_000 for at_ns in before_ns],
        }
    return {"script": "test", "kinds": KINDS, "frozen_ns": [], "runs": runs}


def record() -> tuple[Columns, Columns]:
    """What a harness without an error writes down of it."""
    events: dict[str, list] = {name: [] for name in ("run", "n", "arrived_ns", "exact", "gap_ns", "chunk_gap_ns",
                                                      "tool_time_ns")}  # fmt: skip
    runs: dict[str, list] = {name: [] for name in ("run", "outcome", "warm_up", "sent_ns", "first_event_ns",
                                                    "first_chunk_ns", "end_ns", "stall_max_ns",
                                                    "handoff_time_max_ns")}  # fmt: skip
    for run, deeds in truth()["runs"].items():
        at_ns = [before_ns + WAY_NS for before_ns in deeds["before_ns"]]
        events["run"] += [run] * len(KINDS)
        events["n"] += range(1, len(KINDS) + 1)
        events["arrived_ns"] += at_ns
        events["exact"] += [True] * len(KINDS)
        events["gap_ns"] += [MISSING, *np.diff(at_ns).tolist()]
        gaps = {later: at_ns[later] - at_ns[earlier] for earlier, later in pairwise(CHUNKS)}
        events["chunk_gap_ns"] += [gaps.get(index, MISSING) for index in range(len(KINDS))]
        events["tool_time_ns"] += [at_ns[3] - at_ns[2] if index == 3 else MISSING for index in range(len(KINDS))]
        row = (run, "ok", False, deeds["prompt_arrived_ns"] - WAY_NS, at_ns[0], at_ns[CHUNKS[0]], at_ns[-1],
               max(np.diff(at_ns).tolist()), at_ns[5] - at_ns[4])  # fmt: skip
        for name, value in zip(runs, row, strict=True):
            runs[name].append(value)
    return _columns(events), _columns(runs)


def _columns(lists: dict[str, list]) -> Columns:
    kinds = {"run": object, "outcome": object, "exact": bool, "warm_up": bool}
    return {name: np.array(values, dtype=kinds.get(name, np.int64)) for name, values in lists.items()}


def compared(change: Mutation | None = None) -> Comparison:
    events, runs = record()
    if change is not None:
        change(events, runs)
    return compare(truth(), events, runs)


def faults(change: Mutation | None = None) -> list[str]:
    return compared(change).faults(bound_ms=BOUND_MS)


def shift(table: int, column: str, by_ms: float) -> Mutation:
    """Every value of a column of the events (0) or the runs (1), where there is one."""

    def change(*tables: Columns) -> None:
        values = tables[table][column]
        values[values != MISSING] += int(by_ms * MS)

    return change


def test_a_right_record_passes_and_its_error_is_the_way_through_the_kernel() -> None:
    assert faults() == []
    found = compared()
    assert set(found.errors_ns["arrival"].tolist()) == {WAY_NS}
    assert set(found.errors_ns["chunk_gap"].tolist()) == {0}
    assert len(found.errors_ns["chunk_gap"]) == RUNS * (len(CHUNKS) - 1)
    assert len(found.errors_ns["tool_time"]) == RUNS
    assert (found.exact_share, found.lost, found.invented, found.wide_share) == (1.0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (shift(0, "arrived_ns", 5), {"arrival", "arrival_exact"}),
        (shift(0, "gap_ns", 5), {"event_gap"}),
        (shift(0, "chunk_gap_ns", 5), {"chunk_gap"}),
        (shift(0, "chunk_gap_ns", -5), {"chunk_gap"}),
        (shift(0, "tool_time_ns", 5), {"tool_time"}),
        (shift(1, "sent_ns", -5), {"sent", "time_to_first_event", "time_to_first_chunk", "service_time"}),
        (shift(1, "first_event_ns", 5), {"time_to_first_event"}),
        (shift(1, "first_chunk_ns", 5), {"time_to_first_chunk"}),
        (shift(1, "end_ns", 5), {"service_time"}),
        (shift(1, "stall_max_ns", 5), {"stall_max"}),
        (shift(1, "handoff_time_max_ns", 5), {"handoff_time"}),
    ],
)
def test_five_milliseconds_show_under_the_name_of_what_is_wrong(change: Mutation, named: set[str]) -> None:
    assert {text.removeprefix("error of ").partition(":")[0] for text in faults(change)} == named


def test_an_arrival_before_the_sending_is_impossible() -> None:
    found = faults(shift(0, "arrived_ns", -0.05))  # within the bound of 1 ms
    assert found == ["100 % of events seem to have arrived before they were sent"]


def test_the_time_of_the_event_before_shows() -> None:
    """A pace without irregular gaps would hide it."""

    def change(events: Columns, _runs: Columns) -> None:
        events["chunk_gap_ns"][CHUNKS[1] :: len(KINDS)] = events["gap_ns"][CHUNKS[0] :: len(KINDS)]

    assert [text.partition(":")[0] for text in faults(change)] == ["error of chunk_gap"]


def test_a_gap_where_none_belongs_shows() -> None:
    def change(events: Columns, _runs: Columns) -> None:
        events["chunk_gap_ns"][CHUNKS[0] :: len(KINDS)] = 20 * MS  # of the first chunk, which follows none

    assert [text.partition(":")[0] for text in faults(change)] == ["error of chunk_gap"]


def test_events_that_are_lost_or_were_never_sent_are_counted() -> None:
    def lose(events: Columns, _runs: Columns) -> None:
        for name in events:
            events[name] = events[name][3:]

    def invent(events: Columns, _runs: Columns) -> None:
        events["n"][-1] = len(KINDS) + 1

    def forget(*tables: Columns) -> None:
        for columns in tables:
            kept = columns["run"] != "run-3"
            columns.update({name: column[kept] for name, column in columns.items()})

    assert "3 events lost, 0 events never sent" in faults(lose)
    assert f"{len(KINDS)} events lost, 0 events never sent" in faults(forget)
    assert "1 event lost, 1 event never sent" in faults(invent)


def test_runs_of_the_ramp_and_those_cut_short_are_left_out() -> None:
    def change(events: Columns, runs: Columns) -> None:
        shift(0, "arrived_ns", 5)(events, runs)
        runs["warm_up"][:20] = True
        runs["outcome"][20:] = "cut"

    found = compared(change)
    assert len(found.errors_ns["arrival"]) == 0
    assert "arrival: nothing was measured" in found.faults(bound_ms=BOUND_MS)


def test_a_send_that_was_interrupted_tells_no_error_of_the_arrival() -> None:
    said = truth()
    deeds = said["runs"]["run-7"]
    deeds["after_ns"] = [at_ns + 3 * MS for at_ns in deeds["before_ns"]]
    found = compare(said, *record())
    assert len(found.errors_ns["arrival"]) == (RUNS - 1) * len(KINDS)
    assert found.wide_share == pytest.approx(1 / RUNS)


def test_bounds_of_what_is_not_exact_hold_the_truth_or_do_not() -> None:
    events, runs = record()
    events["exact"][:] = False
    events["arrived_after_ns"] = events["arrived_ns"] - 20 * MS
    assert compare(truth(), events, runs).contained_share == 1.0
    events["arrived_after_ns"][: len(KINDS)] = events["arrived_ns"][: len(KINDS)] + MS
    found = compare(truth(), events, runs)
    assert found.contained_share == pytest.approx(1 - 1 / RUNS)
    assert "bounds of stamps that are not exact hold the truth for 97.5 % only" in found.faults(bound_ms=BOUND_MS)
