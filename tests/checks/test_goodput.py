"""Goodput: planted runs, each of which misses another promise; the rate is what is left."""

from __future__ import annotations

from typing import Any

import pytest

from crosstalk.checks.goodput import goodput
from crosstalk.checks.limits import Limit, Limits, Phase
from tests.checks.histories import (
    MS,
    connection,
    delivery_violation,
    event,
    limits,
    lost_run,
    run,
    tally_of,
    verdict_of,
)


def promised(*wanted: Limit) -> Limits:
    return Limits("x", phases=(Phase("journeys", 1, limits=wanted),))


def at_most(metric: str, bound: float, statistic: str = "p95", **changes: Any) -> Limit:
    return Limit(f"{statistic} {metric}", "journeys", metric, statistic, at_most=bound, **changes)


def good(history: dict[str, Any], *wanted: Limit) -> int:
    found = goodput(tally_of(history), promised(*wanted))
    assert found["limits"] == [limit.name for limit in wanted]
    return int(found["runs_good"])


def test_runs_per_second_that_ended_well_and_in_time() -> None:
    """Eleven runs, one a second for 10 s: one too slow, one ended badly, one cut, one with an event missing."""
    runs = [run(n) for n in range(7)]
    runs += [run(7, service_ms=3000), run(8, outcome="agent_error"), run(9), lost_run(10, outcome="cut")]
    history = {"runs": runs, "violations": [delivery_violation(of=runs[9])]}
    found = goodput(tally_of(history), promised(at_most("service_time_ms", 2000)))
    assert found == {
        "per_s": 0.7,
        "runs_good": 7,
        "runs_ended_well": 8,
        "runs": 10,
        "seconds": 10.0,
        "limits": ["p95 service_time_ms"],
    }


def test_a_run_must_meet_every_limit() -> None:
    history = {"runs": [run(0, service_ms=3000), run(1, accepted_ns=run(1)["sent_ns"] + 90 * MS), run(2)]}
    assert good(history, at_most("service_time_ms", 2000)) == 2
    assert good(history, at_most("accept_time_ms", 50)) == 2
    assert good(history, at_most("service_time_ms", 2000), at_most("accept_time_ms", 50)) == 1
    assert good(history) == 3


def test_a_run_exactly_at_a_limit_meets_it() -> None:
    assert good({"runs": [run(0, service_ms=2000)]}, at_most("service_time_ms", 2000)) == 1
    assert good({"runs": [run(0, service_ms=2000)]}, at_most("service_time_ms", 1999.999)) == 0


def test_a_run_with_many_chunks_is_held_to_its_own_percentile() -> None:
    """20 gaps: the p95 is the 19th, so one long gap in 20 is inside, two are not; a maximum takes none."""
    runs = [run(0), run(1), run(2)]
    gaps = [[10] * 20, [10] * 19 + [500], [10] * 18 + [500, 500]]
    events = [event(of, n, chunk_gap_ns=gap * MS) for of, each in zip(runs, gaps, strict=True)
              for n, gap in enumerate(each, start=2)]  # fmt: skip
    history = {"runs": [*runs, run(3)], "events": events}  # a run without a gap has broken no promise about gaps
    assert good(history, at_most("chunk_gap_ms", 100)) == 3
    assert good(history, at_most("chunk_gap_ms", 100, "max")) == 2
    assert good(history, at_most("event_gap_ms[chunk]", 100)) == 4  # these events have no gap to the one before


def test_times_of_one_kind_of_event() -> None:
    runs = [run(0), run(1)]
    events = [event(runs[0], 1, kind="thinking", at_ms=900), event(runs[0], 2, kind="chunk", at_ms=5000),
              event(runs[1], 1, kind="thinking", at_ms=100)]  # fmt: skip
    assert good({"runs": runs, "events": events}, at_most("event_time_ms[thinking]", 500)) == 1


def test_limits_that_say_nothing_of_one_run_are_left_out() -> None:
    others = [
        at_most("service_time_ms", 1, "p50"),
        at_most("connect_time_ms", 1, "max"),
        at_most("service_time_ms", 1, required=False),
        at_most("receive_lag_ms", 0.001),
        Limit("runs", "journeys", "runs_ok", "share", at_least=1.0),
    ]
    found = goodput(tally_of({"runs": [run(0)], "connections": [connection(0)]}), promised(*others))
    assert (found["limits"], found["runs_good"]) == ([], 1)


def test_at_least_turns_it_round() -> None:
    slow_enough = Limit("x", "journeys", "service_time_ms", "p95", at_least=700)
    assert good({"runs": [run(0), run(1, service_ms=600), run(2)]}, slow_enough) == 2


def test_the_ramp_is_not_counted_and_nothing_is_divided_by_nothing() -> None:
    found = goodput(tally_of({"runs": [run(0, warm_up=True), run(1)]}), promised())
    assert (found["runs"], found["per_s"]) == (1, None)
    assert goodput(tally_of({}), promised())["per_s"] is None


def test_it_stands_in_the_verdict() -> None:
    runs = [run(n, service_ms=800) for n in range(100)]
    found = verdict_of({"runs": runs}, use=limits())["goodput"]
    assert found["per_s"] == pytest.approx(100 / 99, abs=0.001)
    assert found["limits"] == ["hand-offs", "streaming", "message processing", "critical flow", "first words"]
