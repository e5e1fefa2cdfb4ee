"""Agent run: every fault is caught by its step, at its account and nowhere else; without faults, all steps hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.families import completed, failed, play, steps_of
from tests.end_to_end.locust_process import Ended

#: fault → its account, whose number says which journey is the first one there
FAULTS = {
    "discovery_empty": 0,
    "discovery_lists_unknown": 5,
    "agent_missing_from_health": 10,
    "status_stale": 1,
    "http_start_without_events": 6,
    "stop_ignored": 11,
    "cancel_ignored_http": 16,
    "stop_ended_accepted": 21,
    "tool_error_swallowed": 2,
    "slow_tool_cut": 7,
    "slow_tool_silent": 12,
    "agent_error_breaks_socket": 17,
    "agent_error_unreadable": 22,
    "config_disagrees": 3,
    "config_inverted": 8,
    "agent_timeout_by_socket": 13,
    "memory_forgotten": 4,
    "memory_of_other_thread": 9,
}
JOURNEYS = 5
USERS = 30
CLEAN = set(range(USERS)) - set(FAULTS.values())
#: faults that are no step's own: what they are called here
STEPS = {"tool_error_swallowed": {"agent_run/tool_error"}}
#: part of what a step says
SAID = {
    "discovery_empty": "0 agents",
    "agent_missing_from_health": "billing",
    "config_disagrees": "declared 4.75 s, observed 2.",
    "config_inverted": "receive 4 s, agent supervisor 8 s",
    "status_stale": "came running",
    "stop_ended_accepted": "HTTP 200",
    "agent_error_breaks_socket": "close 1011",
    "memory_forgotten": "not a word of it",
}
STEPS_OF_ALL = {
    "discovery", "configuration", "agents_health", "agents_run", "start_http", "status", "stop_http", "cancel_http",
    "stop_socket", "stop_ended", "tool", "tool_error", "slow_tool", "agent_error", "after_error", "timeouts_declared",
    "tool_timeout", "agent_timeout", "memory", "memory_elsewhere",
}  # fmt: skip

_BASE = {"family": "agent_run", "user": "Dispatcher"}
COVERED = [
    {**_BASE, "what": what, "step": step, "limit": limit, "fault": fault}
    for what, step, limit, fault in (
        ("discovery", "discovery", "steps_ok[agent_run/discovery]", "discovery_empty"),
        ("what is discovered can be run", "agents_run", "", "discovery_lists_unknown"),
        ("health of the agents", "agents_health", "", "agent_missing_from_health"),
        ("configuration", "timeouts_declared", "", "config_inverted"),
        ("what is declared is what is observed", "tool_timeout, agent_timeout", "", "config_disagrees"),
        ("start over HTTP", "start_http", "", "http_start_without_events"),
        ("stop over HTTP and by a frame", "stop_http, stop_socket", "", "stop_ignored"),
        ("cancel over HTTP", "cancel_http", "", "cancel_ignored_http"),
        ("stop of a run that has ended", "stop_ended", "", "stop_ended_accepted"),
        ("status over HTTP and by a frame", "status", "", "status_stale"),
        ("tools: error passed on", "tool_error", "", "tool_error_swallowed"),
        ("tools: slow tool, socket stays", "slow_tool", "", "slow_tool_cut"),
        ("tools: slow tool, signs of life", "slow_tool", "", "slow_tool_silent"),
        ("agent error, in words", "agent_error", "", "agent_error_unreadable"),
        ("agent error, the next run of the socket works", "after_error", "", "agent_error_breaks_socket"),
        ("timeouts in the right hierarchy", "agent_timeout", "", "agent_timeout_by_socket"),
        ("memory across turns", "memory", "", "memory_forgotten"),
        ("memory of one thread stays in it", "memory_elsewhere", "", "memory_of_other_thread"),
    )
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("agent_run")
    return play(folder, "Dispatcher", users=USERS, rounds=1, faults=FAULTS)


def test_some_without_a_fault_begin_with_each_journey() -> None:
    assert {number % JOURNEYS for number in CLEAN} == set(range(JOURNEYS))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_step_at_its_account(faulty: Ended, fault: str) -> None:
    found, wanted = failed(faulty).get(FAULTS[fault], {}), STEPS.get(fault) or steps_of(fault)
    assert found.keys() & wanted, (fault, found)
    assert found.keys() <= wanted, (fault, found)
    assert any(SAID.get(fault, "") in said for said in found.values()), found


def test_nobody_else_is_held_back(faulty: Ended) -> None:
    assert not failed(faulty).keys() & CLEAN
    assert completed(faulty, CLEAN) == {f"agent_run/{step}" for step in STEPS_OF_ALL}


def test_the_family_fails_and_the_steps_are_named(faulty: Ended) -> None:
    [family] = [one for one in faulty.verdict["families"] if one["family"] == "agent_run"]
    assert family["verdict"] == "fail" and faulty.exit_code == 3 == faulty.verdict["exit_code"]
    assert {step["step"] for step in family["steps"] if step["failed"]} >= {"status", "memory", "slow_tool"}
    assert faulty.verdict["measurement"]["unaccounted_events"] == 0


def test_every_fault_is_covered() -> None:
    assert {row["fault"] for row in COVERED} == set(FAULTS)
    assert {step for row in COVERED for step in row["step"].split(", ")} <= STEPS_OF_ALL


@pytest.mark.long
def test_without_faults_the_family_passes(tmp_path: Path) -> None:
    ended = play(tmp_path, "Dispatcher", users=10, rounds=1, faults={})
    assert failed(ended) == {}, failed(ended)
    [family] = ended.verdict["families"]
    assert (family["family"], family["verdict"]) == ("agent_run", "pass")
    assert completed(ended, range(10)) == {f"agent_run/{step}" for step in STEPS_OF_ALL}
    assert ended.verdict["delivery"]["verdict"] == "pass" and ended.verdict["isolation"]["verdict"] != "fail"
    assert ended.rows("violations") == []


@pytest.mark.parametrize(
    ("dialect", "not_there"),
    [
        ("agui", {"discovery", "configuration", "agents_health", "start_http", "stop_http", "timeouts_declared"}),
        ("per_run", {"discovery", "configuration", "agents_health", "start_http", "stop_http", "timeouts_declared"}),
    ],
)
def test_what_a_protocol_has_not_is_not_offered_and_the_rest_is_tried(
    tmp_path: Path, dialect: str, not_there: set[str]
) -> None:
    ended = play(tmp_path, "Dispatcher", "--dialect", dialect, users=5, rounds=1, faults={"status_stale": 1})
    assert failed(ended).keys() == {1} and set(failed(ended)[1]) == {"agent_run/status"}
    without = {row["step"] for row in ended.rows("steps") if row["outcome"] == "not_offered"}
    assert not_there <= without
    there = {step.partition("/")[2] for step in completed(ended, range(5))}
    assert {"agents_run", "tool", "tool_error", "slow_tool", "agent_error", "after_error", "memory"} <= there
    assert ended.exit_code == 1
