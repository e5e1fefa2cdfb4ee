"""Offered against achieved: within 2 % or timing is unknown, with the cause; never a comparison of two processes."""

from __future__ import annotations

from typing import Any

import pytest

from crosstalk.checks.judge_arrivals import arrivals_cause, arrivals_of, arrivals_text
from crosstalk.checks.since import since
from tests.checks.histories import changed, clean, limit, run_json, verdict_of


def worker(offered: int, made: int, window_s: float = 40.0) -> dict[str, Any]:
    return {"arrivals": {"offered": offered, "made": made, "window_s": window_s}}


def judged(process: str, *workers: dict[str, Any], **asked: float) -> dict[str, Any]:
    test = run_json()["load_test"] | {"arrivals": process, **asked}
    return verdict_of(clean(), load_test=test, workers={f"x{n}": one for n, one in enumerate(workers)})


def test_a_rate_that_was_kept_leaves_timing_as_it_is():
    verdict = judged("constant", worker(400, 396), turn_interval_s=2.0)
    assert verdict["measurement"]["causes"] == []
    assert verdict["judgements"]["timing"] == "pass"
    assert verdict["measurement"]["arrivals"] == {
        "process": "constant", "of": "turns", "turn_interval_s": 2.0, "session_rate": None, "offered": 400,
        "achieved": 396, "offered_per_s": 10.0, "achieved_per_s": 9.9, "waited_share": 0.0,
    }  # fmt: skip


def test_a_rate_that_was_not_kept_makes_timing_unknown_and_nothing_else():
    verdict = judged("poisson", worker(400, 391), turn_interval_s=2.0)
    [cause] = verdict["measurement"]["causes"]
    assert cause == (
        "arrivals: 10 turns/s offered, 9.8 achieved, more than 2 % apart; 9 of 400 turns never started: "
        "users were busy; more users, or a longer interval"
    )
    critical = limit(verdict, "critical flow")
    assert critical["verdict"] == "unknown" and cause in critical["reason"]
    assert (verdict["judgements"]["delivery"], verdict["judgements"]["isolation"]) == ("pass", "pass")


@pytest.mark.parametrize(
    ("offered", "made", "kept"),
    [(1000, 980, True), (1000, 979, False), (30, 29, True), (30, 28, False), (2, 1, True), (0, 0, False)],
)
def test_two_percent_or_one_start_at_the_end(offered: int, made: int, kept: bool):
    figures = arrivals_of({"arrivals": "constant"}, {"w0": worker(offered, made)}, None)
    assert (arrivals_cause(figures) == "") == kept


def test_rates_of_workers_add_up_each_over_its_own_window():
    figures = arrivals_of({"arrivals": "constant"}, {"w0": worker(80, 80, 40), "w1": worker(10, 9, 5), "m": {}}, 0.25)
    assert (figures["offered"], figures["offered_per_s"], figures["achieved_per_s"]) == (90, 4.0, 3.8)
    never = arrivals_of({"arrivals": "constant"}, {"w0": worker(0, 0, 0)}, None)
    assert never["offered_per_s"] is None and "fell due" in arrivals_cause(never)


def test_people_who_found_nobody_free_are_named():
    verdict = judged("sessions", worker(60, 57), session_rate=1.5)
    assert "3 people of 60 found no user free" in verdict["measurement"]["causes"][0]
    figures = arrivals_of({"arrivals": "sessions", "session_rate": 1.5}, {"w0": worker(60, 59)}, 0.0)
    assert arrivals_text(figures) == "sessions, 1.5 people/s: 1.5 people/s offered, 1.5 achieved; 1 person not admitted"


def test_think_has_no_rate_to_keep():
    verdict = judged("think", worker(0, 0, 0))
    assert verdict["measurement"]["arrivals"] == {"process": "think", "waited_share": 0.0}
    assert verdict["measurement"]["causes"] == []


def test_the_share_of_turns_that_waited_is_said():
    history = clean()
    history["runs"][0] |= {"waited": True}
    assert verdict_of(history)["measurement"]["arrivals"]["waited_share"] == pytest.approx(1 / 60)
    assert verdict_of(changed(history, "runs", waited=True))["measurement"]["arrivals"]["waited_share"] == 1
    assert (
        arrivals_text(arrivals_of({"arrivals": "constant", "turn_interval_s": 2.0}, {"w0": worker(80, 80)}, 0.012))
        == "constant, a turn every 2 s: 2 turns/s offered, 2 achieved; 1.2 % had to wait"
    )


@pytest.mark.parametrize(("before", "now"), [("think", "constant"), ("constant", "poisson"), (None, "sessions")])
def test_results_of_other_arrivals_are_not_compared(before: str | None, now: str):
    previous = {"id": "last", "arrivals": before, "outcomes": {"x": "fail"}, "expectations": {}}
    compared = since(previous, {"arrivals": now, "outcomes": {"x": "pass"}, "expectations": {}})
    assert compared["refused"] == (
        f"last: its arrivals are {before or 'think'}, these are {now}: "
        "results of different arrival processes are never compared"
    )
    assert (compared["previous"], compared["fixed"]) == (None, [])


def test_the_same_arrivals_are_compared_and_a_verdict_says_its_own():
    previous = {"id": "last", "arrivals": "constant", "outcomes": {"x": "fail"}, "expectations": {}}
    same = since(previous, {"arrivals": "constant", "outcomes": {"x": "pass"}, "expectations": {}})
    assert same["fixed"] == ["x"] and "refused" not in same
    assert "refused" in verdict_of(clean(), previous=previous)["since"]
    assert "refused" not in verdict_of(clean(), previous=previous | {"arrivals": "think"})["since"]
