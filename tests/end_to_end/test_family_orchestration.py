"""Orchestration: every fault is caught by its step, at its account and nowhere else; without faults, all steps hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.families import completed, failed, play, steps_of
from tests.end_to_end.locust_process import Ended

#: fault → its account, whose number says which journey is the first one there
FAULTS = {
    "handoff_slow": 0,
    "handoff_loses_owner": 3,
    "nested_end_ends_all": 6,
    "nested_unclosed": 9,
    "nested_ends_swapped": 12,
    "parallel_run_lost": 1,
    "parallel_runs_serialised": 4,
    "parallel_text_mixed": 7,
    "memory_of_other_thread": 2,
}
JOURNEYS = 3
USERS = 18
CLEAN = set(range(USERS)) - set(FAULTS.values())
STEPS_OF_ALL = {"handoff", "nested", "parallel_runs", "parallel_threads"}
#: part of what a step says
SAID = {
    "handoff_slow": "first event after 3.",
    "handoff_loses_owner": "billing without a user",
    "nested_end_ends_all": "no end of researcher, supervisor",
    "nested_unclosed": "researcher ended while billing was at work inside",
    "nested_ends_swapped": "researcher ended while billing was at work inside",
    "parallel_runs_serialised": "one that waited for another's end",
}

_BASE = {"family": "orchestration", "user": "Conductor"}
COVERED = [
    {**_BASE, "what": what, "step": step, "limit": limit, "fault": fault}
    for what, step, limit, fault in (
        ("hand-off within 3 s", "handoff", "handoff_time_ms", "handoff_slow"),
        ("hand-off: owner kept", "handoff", "", "handoff_loses_owner"),
        ("nested runs: the outer one ends last", "nested", "", "nested_end_ends_all"),
        ("nested runs: each ends", "nested", "", "nested_unclosed"),
        ("nested runs: well-nested", "nested", "", "nested_ends_swapped"),
        ("several runs at once on one socket: none is lost", "parallel_runs", "", "parallel_run_lost"),
        ("several runs at once on one socket: none waits", "parallel_runs", "", "parallel_runs_serialised"),
        ("several runs at once on one socket: own words", "parallel_runs", "", "parallel_text_mixed"),
        ("several threads at once", "parallel_threads", "", "memory_of_other_thread"),
    )
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("orchestration")
    return play(folder, "Conductor", users=USERS, rounds=1, faults=FAULTS)


def test_some_without_a_fault_begin_with_each_journey() -> None:
    assert {number % JOURNEYS for number in CLEAN} == set(range(JOURNEYS))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_step_at_its_account(faulty: Ended, fault: str) -> None:
    found = failed(faulty).get(FAULTS[fault], {})
    wanted = {step for step in steps_of(fault) if step.startswith("orchestration/")}
    assert found.keys() & wanted, (fault, found)
    assert found.keys() <= wanted, (fault, found)
    assert any(SAID.get(fault, "") in said for said in found.values()), found


def test_nobody_else_is_held_back(faulty: Ended) -> None:
    assert not failed(faulty).keys() & CLEAN
    assert completed(faulty, CLEAN) == {f"orchestration/{step}" for step in STEPS_OF_ALL}


def test_the_family_fails_and_the_steps_are_named(faulty: Ended) -> None:
    [family] = [one for one in faulty.verdict["families"] if one["family"] == "orchestration"]
    assert family["verdict"] == "fail" and faulty.exit_code == 3 == faulty.verdict["exit_code"]
    assert {step["step"] for step in family["steps"] if step["failed"]} == STEPS_OF_ALL
    assert faulty.verdict["measurement"]["unaccounted_events"] == 0


def test_every_fault_is_covered() -> None:
    assert {row["fault"] for row in COVERED} == set(FAULTS)
    assert {row["step"] for row in COVERED} == STEPS_OF_ALL


@pytest.mark.long
def test_without_faults_the_family_passes(tmp_path: Path) -> None:
    ended = play(tmp_path, "Conductor", users=9, rounds=2, faults={})
    assert failed(ended) == {}, failed(ended)
    [family] = ended.verdict["families"]
    assert (family["family"], family["verdict"]) == ("orchestration", "pass")
    assert completed(ended, range(9)) == {f"orchestration/{step}" for step in STEPS_OF_ALL}
    assert ended.verdict["delivery"]["verdict"] == "pass" and ended.verdict["isolation"]["verdict"] != "fail"
    assert ended.rows("violations") == []
