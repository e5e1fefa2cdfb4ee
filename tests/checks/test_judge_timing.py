"""Timing, measurement, delivery by outcome, and phases in the verdict."""

from __future__ import annotations

import pytest

from crosstalk.checks.limits import Limits, parse_limits
from tests.checks.histories import (
    MS,
    START_NS,
    History,
    bad_token,
    changed,
    clean,
    connection,
    delivery_violation,
    events_of,
    health,
    limit,
    limits,
    lost_run,
    phase,
    run,
    use,
    verdict_of,
    with_rows,
)

# -- delivery


def test_a_run_that_does_not_repeat_its_reference_is_not_believed() -> None:
    history = clean()
    history["runs"] = [row | (dict(nonce_back=False) if n < 4 else {}) for n, row in enumerate(history["runs"])]
    verdict = verdict_of(history)
    assert (verdict["exit_code"], verdict["delivery"]["violations"]["not_real"]) == (1, 4)
    relaxed = verdict_of(history, use=use(delivery={"nonce": "not_required"}))
    assert relaxed["exit_code"] == 0
    told = with_rows(clean(), "violations", delivery_violation(of=history["runs"][0], name="not_real", run=""))
    assert verdict_of(told)["exit_code"] == 1
    relaxed = verdict_of(told, use=use(delivery={"nonce": "not_required"}))
    assert (relaxed["exit_code"], relaxed["delivery"]["violations"]["not_real"]) == (0, 1)


def test_runs_by_outcome_add_up() -> None:
    rows = [run(80, outcome="agent_error"), lost_run(81, outcome="refused"), lost_run(82, outcome="cut")]
    runs = verdict_of(with_rows(clean(), "runs", *rows))["delivery"]["runs"]
    assert runs["started"] == sum(n for name, n in runs.items() if name != "started") == 63
    assert (runs["ok"], runs["agent_error"], runs["refused"], runs["cut"]) == (60, 1, 1, 1)


# -- timing and measurement


@pytest.mark.parametrize(
    ("history", "cause"),
    [
        (
            changed(clean(), "health", hub_lag_max_ns=400 * MS),
            "hub lag of w1: p99 400 ms, at most 250 ms allowed; at 0–4 s",
        ),
        (
            changed(clean(), "health", cpu_percent=97.0),
            "CPU of w1: 97 % for seconds on end, at most 90 % allowed; at 0–4 s",
        ),
        (clean() | {"health": [health(worker="w2", events_received=0)]}, "worker w1 left no figures of its own health"),
    ],
)
def test_a_busy_generator_makes_timing_unknown_and_never_a_slow_backend(history: History, cause: str) -> None:
    history["runs"] = [row | dict(end_ns=row["sent_ns"] + 9000 * MS) for row in history["runs"]]
    verdict = verdict_of(history)
    assert cause in verdict["measurement"]["causes"]
    assert verdict["measurement"]["verdict"] == "unknown"
    assert limit(verdict, "critical flow")["verdict"] == "unknown"
    assert cause in limit(verdict, "critical flow")["reason"]
    assert verdict["judgements"]["timing"] == "not judged"


def test_a_busy_master_holds_no_sockets_and_spoils_nothing() -> None:
    busy = [health(n, worker="m", role="master", cpu_percent=99.0, hub_lag_max_ns=500 * MS) for n in range(5)]
    assert verdict_of(with_rows(clean(), "health", *busy))["measurement"]["causes"] == []


def test_a_busy_generator_does_not_spoil_delivery_and_isolation() -> None:
    verdict = verdict_of(changed(clean(), "health", cpu_percent=97.0))
    assert (verdict["exit_code"], verdict["judgements"]["delivery"], verdict["judgements"]["isolation"]) == (
        0,
        "pass",
        "pass",
    )
    assert verdict["sentence"].endswith(
        "NOT JUDGED: max of connect_time, max of upgrade_time and 6 more "
        "(timing cannot be believed: CPU of w1: 97 % for seconds on end, at most 90 % allowed; at 0–4 s)."
    )


@pytest.mark.parametrize("what", ["receive", "schedule"])
def test_a_sick_worker_is_not_hidden_by_healthy_ones(what: str) -> None:
    """w2 is late by 200 ms with 0.8 % of all runs: the pooled p99 does not show it, its own does."""
    history, slow = clean(runs=250), run(990, worker="w2", account=3)
    slow |= dict(intended_ns=slow["sent_ns"] - 200 * MS) if what == "schedule" else {}
    rows = events_of(slow)
    rows = [row | dict(received_ns=row["arrived_ns"] + 200 * MS) for row in rows] if what == "receive" else rows
    history["events"] = history["events"] + rows
    history["runs"] = [*history["runs"], slow]
    history["health"] = [*history["health"], health(9, worker="w2", events_received=len(rows))]
    verdict = verdict_of(history)
    assert verdict["measurement"][f"{what}_lag_ms"]["p99"] < 50
    allowed = 50 if what == "receive" else 100
    assert f"{what} lag of w2: p99 200 ms, at most {allowed} ms allowed" in verdict["measurement"]["causes"]


def test_a_target_that_changed_in_mid_run_spoils_timing() -> None:
    verdict = verdict_of(clean(), target={"ready": True, "changed": True, "revision": "a → b"})
    assert "the target's revision changed during the load test" in verdict["measurement"]["causes"]
    assert limit(verdict, "critical flow")["verdict"] == "unknown"
    assert verdict["judgements"]["delivery"] == "pass"


def test_a_target_that_changed_is_told_with_its_revisions_and_when() -> None:
    revisions = [
        {"revision": name, "seen_ns": START_NS + at * 1000 * MS} for name, at in (("a", 0), ("b", 31), ("a", 61))
    ]
    target = {"ready": True, "changed": True, "revision": "a", "revisions": revisions}
    said = "the target's revision changed during the load test: a, then b (seen at 31 s), a (seen at 61 s)"
    assert said in verdict_of(clean(), target=target)["measurement"]["causes"]


def test_the_generators_own_figures() -> None:
    measurement = verdict_of(clean())["measurement"]
    assert measurement["receive_lag_ms"] == {"p50": 0.1, "p99": 0.1, "max": 0.1}
    assert measurement["hub_lag_ms"]["max"] == 2
    assert measurement["cpu_percent"] == {"w1": 30}
    assert (measurement["clock"], measurement["exact_share"], measurement["unaccounted_events"]) == ("kernel", 1.0, 0)
    history = clean()
    history["events"] = [row | dict(received_ns=row["arrived_ns"]) for row in history["events"]]
    assert verdict_of(history)["measurement"]["clock"] == "received"


def test_too_few_samples_in_a_smoke_are_said_and_do_not_hold() -> None:
    verdict = verdict_of(clean(runs=40))
    assert (verdict["exit_code"], verdict["word"]) == (0, "SHIP")
    assert "p95 of service_time: insufficient n: 40 of 59 runs (limit 2,000 ms)" in verdict["not_judged"]
    assert (
        "NOT JUDGED: p95 of chunk_gap (insufficient n: 40 of 59 chunk gaps), p95 of accept_time, p95 of service_time"
        in verdict["sentence"]
    )
    journeys = phase(verdict, "journeys")
    assert (journeys["verdict"], journeys["at_risk"]) == ("unknown", "people wait, and leave")
    assert journeys["reason"] == "NOT JUDGED: message processing, critical flow, first words"


def test_too_few_samples_hold_where_the_limit_says_so() -> None:
    data = limits().as_dict()
    next(one for one in data["phase"][3]["limit"] if one["name"] == "critical flow")["when_unknown"] = "fail"
    verdict = verdict_of(clean(runs=40), use=Limits.from_dict(data))
    assert (verdict["exit_code"], verdict["judgements"]["timing"]) == (4, "unknown")
    assert "p95 of service_time: insufficient n: 40 of 59 runs" in verdict["sentence"]


# -- phases


def test_phases_are_in_order_of_priority_with_their_pass_rate() -> None:
    history = with_rows(clean(), "runs", run(99, tools_started=2, tools_ok=1))
    verdict = verdict_of(history)
    assert [entry["name"] for entry in verdict["phases"]] == ["auth", "agents", "events", "journeys"]
    agents = phase(verdict, "agents")
    assert (agents["verdict"], agents["passed"], agents["judged"]) == ("fail", 2, 3)
    assert agents["at_risk"] == "agents do not finish their work"
    assert agents["reason"] == "failed: tools reliable"
    assert phase(verdict, "auth")["at_risk"] is None


def test_what_stands_behind_a_dead_phase_is_not_reached() -> None:
    refused = dict(outcome="refused", ready_ns=None, closed_by="peer", close_code=1011, error="closed 1011")
    history = {"connections": [connection(n, **refused) for n in range(20)] + [bad_token()], "health": [health()]}
    verdict = verdict_of(history)
    assert verdict["exit_code"] == 1
    assert [entry["verdict"] for entry in verdict["phases"]] == ["fail", "not reached", "not reached", "not reached"]
    reason = "phase auth is dead: valid tokens accepted: 0 of 20 connections"
    assert all(entry["reason"] == reason for entry in verdict["phases"][1:])
    assert limit(verdict, "no close 1011")["verdict"] == "unknown"
    assert limit(verdict, "no close 1011")["reason"].startswith("not reached: phase auth is dead")


def test_a_phase_without_a_single_attempt_is_as_dead() -> None:
    verdict = verdict_of({"health": [health()]})
    assert [entry["verdict"] for entry in verdict["phases"]] == ["unknown", *["not reached"] * 3]
    assert verdict["exit_code"] == 4


def test_a_dead_phase_is_passed_on() -> None:
    text = """
    [[phase]]
    name = "agents"
    [[phase.limit]]
    name = "ok"
    metric = "runs_ok"
    statistic = "share"
    at_least = 1.0
    [[phase]]
    name = "events"
    needs = ["agents"]
    [[phase]]
    name = "journeys"
    needs = ["events"]
    """
    verdict = verdict_of({"runs": [lost_run(n) for n in range(5)]}, use=parse_limits(text, source="x"))
    assert [entry["verdict"] for entry in verdict["phases"]] == ["fail", "not reached", "not reached"]


def test_one_run_that_got_through_keeps_the_next_phase_alive() -> None:
    history = clean(runs=1)
    history["connections"] += [connection(n, outcome="failed", ready_ns=None, error="x") for n in range(30, 60)]
    verdict = verdict_of(history)
    assert phase(verdict, "auth")["verdict"] == "fail"
    assert phase(verdict, "agents")["verdict"] == "pass"


def test_a_connect_that_takes_too_long_fails() -> None:
    """No fault of a backend does that: the kernel accepts before anybody is asked."""
    history = clean()
    slow = history["connections"][3]
    slow["connected_ns"] = slow["begun_ns"] + 401 * MS
    slow["upgraded_ns"] = slow["ready_ns"] = slow["connected_ns"] + MS
    entry = limit(verdict_of(history), "connect")
    assert (entry["verdict"], entry["value"]) == ("fail", 401.0)
