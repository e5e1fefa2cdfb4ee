"""What kept the generator from measuring gets its own name: process, figure, seconds, and what it did meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from crosstalk.checks.judge_generator import why_behind, why_late
from tests.checks.histories import MS, History, clean, health, limit, use, verdict_of, with_rows

LATE = 700  # ms: the hub lag of the rows below


def second(n: int, **changes: Any) -> dict[str, Any]:
    """A row of a calm process, `n` seconds after the start."""
    calm = dict(open_files=40, open_files_limit=1024, run_delay_ns=2 * MS, hub_lag_run_delay_ns=0)
    return health(n, **(calm | changes))


def history(*trouble: int, lag_ms: int = 0, **changes: Any) -> History:
    """20 s of w1; in the seconds named, its rows are as `changes` say. `lag_ms`: how late every event was read."""
    whole = clean()
    if lag_ms:
        whole["events"] = [row | dict(received_ns=row["arrived_ns"] + lag_ms * MS) for row in whole["events"]]
    rows = [second(n, **(changes if n in trouble else {})) for n in range(1, 21)]
    whole["health"] = [*rows[:-1], rows[-1] | dict(events_received=len(whole["events"]))]
    return whole


def causes(of: History, **run: Any) -> list[str]:
    return verdict_of(of, **run)["measurement"]["causes"]


def test_a_calm_process_has_no_cause_and_its_figures_stand_there() -> None:
    measurement = verdict_of(history(gc_pause_max_ns=0))["measurement"]
    assert (measurement["verdict"], measurement["causes"], measurement["remarks"]) == ("pass", [], [])
    assert measurement["cpu_wait_percent"] == {"w1": 0.2}
    assert measurement["open_files_max"] == {"w1": 40}
    assert measurement["open_files_limit"] == {"w1": 1024}
    assert measurement["receive_lag_ms_by_worker"] == {"w1": {"p50": 0.1, "p99": 0.1, "max": 0.1}}
    assert verdict_of(history(3, gc_pause_max_ns=310 * MS))["measurement"]["gc_pause_ms_max"] == {"w1": 310}


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (dict(hub_lag_gc_ns=650 * MS, hub_lag_loop_ns=690 * MS), "garbage collections took 650 ms"),
        (
            dict(hub_lag_run_delay_ns=600 * MS, hub_lag_loop_ns=90 * MS),
            "the process waited 600 ms for a CPU: this machine is busy with something else",
        ),
        (dict(hub_lag_loop_ns=680 * MS), "its loop was at work for 680 ms without a pause"),
        (
            dict(hub_lag_threads_ns=640 * MS, hub_lag_loop_ns=20 * MS),
            "other threads of the process had the interpreter for 640 ms",
        ),
        (dict(hub_lag_loop_ns=2 * MS), "the process stood still for 698 ms: it was stopped, or waited for a disk"),
        # nothing had the greater part: the largest is named, if it is large
        (
            dict(hub_lag_loop_ns=300 * MS, hub_lag_run_delay_ns=250 * MS),
            "its loop was at work for 300 ms without a pause",
        ),
    ],
)  # fmt: skip
def test_a_late_loop_is_told_with_what_the_process_did_meanwhile(meanwhile: dict[str, int], said: str) -> None:
    late = history(12, hub_lag_max_ns=LATE * MS, **meanwhile)
    assert causes(late) == [f"hub lag of w1: p99 700 ms, at most 250 ms allowed; at 11–12 s: {said}"]
    verdict = verdict_of(late)
    assert verdict["measurement"]["verdict"] == "unknown"
    assert said in limit(verdict, "critical flow")["reason"]
    assert verdict["judgements"]["delivery"] == verdict["judgements"]["isolation"] == "pass"


def test_where_the_system_does_not_say_who_had_the_processor_nobody_is_named() -> None:
    row = {**ROW, "hub_lag_max_ns": LATE * MS, "hub_lag_run_delay_ns": None}
    assert why_late(row) == ""
    assert why_late({**row, "hub_lag_loop_ns": 650 * MS}).startswith("its loop was at work")


ROW: dict[str, Any] = dict.fromkeys(
    ("hub_lag_max_ns", "hub_lag_gc_ns", "hub_lag_loop_ns", "hub_lag_threads_ns", "hub_lag_run_delay_ns",
     "gc_pause_total_ns", "run_delay_ns", "cpu_percent", "at_ns"), 0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (dict(cpu_percent=98.0), "its CPU was at 98 %"),
        (
            dict(cpu_percent=50.0, run_delay_ns=480 * MS),
            "the process waited 3.4 s for a CPU: this machine is busy with something else",
        ),
        (dict(cpu_percent=97.0, gc_pause_total_ns=400 * MS), "garbage collections took 2.8 s of 7 s"),
        (
            dict(hub_lag_max_ns=240 * MS, hub_lag_loop_ns=200 * MS),
            "its loop was at work for 200 ms without a pause",
        ),
    ],
)
def test_a_process_that_reads_late_is_told_with_what_it_did_in_those_seconds(
    figures: dict[str, Any], said: str
) -> None:
    seconds = range(13, 20)
    late = history(*seconds, lag_ms=84, receive_lag_p99_ns=84 * MS, **figures)
    expected = f"receive lag of w1: p99 84 ms, at most 50 ms allowed; at 12–19 s: {said}"
    assert causes(late)[0] == expected
    rows = late["health"]
    assert why_behind([{**ROW, **row} for row in rows], [n - 1 for n in seconds]) == said


def test_several_stretches_are_counted_and_the_longest_is_told() -> None:
    late = history(3, 8, 9, 10, 15, hub_lag_max_ns=LATE * MS, hub_lag_loop_ns=LATE * MS)
    [cause] = causes(late)
    assert "at 7–10 s, and 2 times more: its loop was at work" in cause


def test_a_schedule_lag_is_told_with_its_seconds() -> None:
    late = history(5, 6, schedule_lag_max_ns=200 * MS, cpu_percent=99.0)
    late["runs"] = [row | dict(intended_ns=row["sent_ns"] - 200 * MS) for row in late["runs"]]
    assert "schedule lag of w1: p99 200 ms, at most 100 ms allowed; at 4–6 s: its CPU was at 99 %" in causes(late)


def test_a_busy_processor_says_when_and_how_much_of_it_was_garbage() -> None:
    busy = history(*range(4, 9), cpu_percent=97.0)
    assert causes(busy) == ["CPU of w1: 97 % for seconds on end, at most 90 % allowed; at 3–8 s"]
    busy = history(*range(4, 9), cpu_percent=97.0, gc_pause_total_ns=400 * MS)
    assert causes(busy)[-1].endswith("at 3–8 s: 40 % of it garbage collections")


@pytest.mark.parametrize(("step_ms", "way"), [(-3000, "back"), (3000, "forward")])
def test_a_wall_clock_that_was_set_is_a_cause_beyond_its_limit(step_ms: int, way: str) -> None:
    stepped = history(12, wall_step_max_ns=step_ms * MS)
    assert causes(stepped) == [f"wall clock of w1: set {way} by 3,000 ms, at most 100 ms allowed; at 11–12 s"]
    assert causes(stepped, use=use(generator={"wall_step_ms_max": 5000})) == []
    assert causes(history(12, wall_step_max_ns=step_ms // 100 * MS)) == []


def test_a_process_without_descriptors_could_not_do_its_work() -> None:
    """Not only times: sockets that were never opened are missing, and the target is not to blame."""
    full = history(*range(8, 21), open_files=1023)
    verdict = verdict_of(full)
    said = "w1 had all of its 1,024 descriptors open at 7–20 s: it could open no more sockets"
    [cause] = verdict["measurement"]["causes"]
    assert cause.startswith(said)
    assert verdict["judgements"]["delivery"] == "unknown"
    assert verdict["exit_code"] == 4
    assert causes(history(*range(8, 21), open_files=1000)) == []
    assert causes(history(*range(8, 21), open_files=1023, open_files_limit=0)) == [], "as many as it likes"


def test_a_late_master_is_worth_a_word_and_spoils_no_time() -> None:
    late = [
        second(n, worker="master", role="master", hub_lag_max_ns=4000 * MS, hub_lag_threads_ns=3900 * MS)
        for n in (5, 6)
    ]
    verdict = verdict_of(with_rows(history(), "health", *late))
    assert verdict["measurement"]["causes"] == []
    [remark] = verdict["measurement"]["remarks"]
    assert remark.startswith("the master's hub lag reached 4,000 ms at 4–6 s: other threads of the process had the")


def test_a_busy_master_is_worth_a_word_too() -> None:
    busy = [second(n, worker="master", role="master", cpu_percent=97.0) for n in range(3, 8)]
    measurement = verdict_of(with_rows(history(), "health", *busy))["measurement"]
    assert measurement["causes"] == []
    [remark] = measurement["remarks"]
    assert remark.startswith("the master's CPU was at 97 % at 2–7 s; it keeps the record")


def test_each_worker_is_read_by_itself() -> None:
    """w2's loop is late, w1's is not; w1's seconds must not explain it."""
    both = history()
    slow = [second(n, worker="w2", hub_lag_max_ns=LATE * MS, hub_lag_gc_ns=LATE * MS) for n in range(1, 5)]
    both["health"] = [*slow, *both["health"]]
    [cause] = causes(both)
    assert cause == ("hub lag of w2: p99 700 ms, at most 250 ms allowed; at 0–4 s: garbage collections took 700 ms")
