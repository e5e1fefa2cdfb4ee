"""The verdict: its shape, its guards, and the exit code, by the first thing that applies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from crosstalk.checks.judge import judge
from crosstalk.checks.tally import Tally
from tests.checks.histories import (
    MS,
    START_NS,
    History,
    bad_token,
    changed,
    clean,
    connection,
    delivery_violation,
    limit,
    lost_run,
    phase,
    run,
    run_json,
    tally_of,
    use,
    verdict_of,
    violation,
    with_rows,
)

# -- the contract


def test_the_verdict_has_every_key_that_others_read() -> None:
    verdict = verdict_of(clean())
    assert verdict["schema"] == 1
    for key in ("verdict", "exit_code", "sentence", "since", "provenance", "word"):
        assert key in verdict
    assert set(verdict["phases"][0]) >= {"name", "priority", "value", "verdict", "at_risk"}
    keys = {"name", "phase", "metric", "statistic", "limit", "value", "ci", "n", "verdict", "reason"}
    assert all(set(entry) >= keys for entry in verdict["limits"])
    outcomes = {"started", "ok", "agent_error", "timeout", "disconnected", "refused", "violated", "cut"}
    assert set(verdict["delivery"]["runs"]) == outcomes
    assert set(verdict["delivery"]["violations"]) >= {"missing", "duplicate", "out_of_order", "late", "malformed"}
    assert set(verdict["isolation"]) >= {"verdict", "violations", "channels"}
    channel = {"channel", "name", "opportunities", "positive_control", "violations", "bound_95", "verdict", "required"}
    assert all(set(entry) >= channel for entry in verdict["isolation"]["channels"])
    assert set(verdict["connections"]) >= {"attempted", "ready", "refused", "close_codes", "lost"}
    lags = {"p50", "p99", "max"}
    measurement = verdict["measurement"]
    assert set(measurement) >= {"verdict", "clock", "cpu_percent", "unaccounted_events", "exact_share", "causes"}
    assert all(set(measurement[lag]) == lags for lag in ("receive_lag_ms", "schedule_lag_ms", "hub_lag_ms"))
    assert set(verdict["since"]) == {"previous", "fixed", "still", "new", "loosened"}
    assert set(verdict["provenance"]["target"]) >= {"revision", "source", "changed"}


@pytest.mark.parametrize("history", [{}, clean(), clean() | {"violations": [violation()]}, {"runs": [lost_run()]}])
def test_the_verdict_is_plain_json_without_infinities(history: History) -> None:
    verdict = verdict_of(history)
    assert orjson.loads(orjson.dumps(verdict)) == verdict


def test_the_same_record_gives_the_same_verdict() -> None:
    assert orjson.dumps(verdict_of(clean())) == orjson.dumps(verdict_of(clean()))


# -- exit codes, the first that applies


def test_0_everything_right() -> None:
    verdict = verdict_of(clean())
    assert (verdict["exit_code"], verdict["verdict"], verdict["word"]) == (0, "pass", "SHIP")
    assert verdict["judgements"] == {"delivery": "pass", "isolation": "pass", "timing": "pass"}
    assert verdict["not_judged"] == []
    assert verdict["sentence"] == (
        "20 users, 60 runs, all ok; 0 violations in 1,000 checked events (leak rate < 0.3 % at 95 %); "
        "p95 of service_time 656 ms, limit 2,000 ms."
    )


def test_1_a_limit_failed() -> None:
    history = clean()
    history["runs"] = [row | dict(end_ns=row["sent_ns"] + 3000 * MS) for row in history["runs"]]
    verdict = verdict_of(history)
    assert (verdict["exit_code"], verdict["verdict"], verdict["word"]) == (1, "fail", "HOLD")
    assert verdict["judgements"]["timing"] == "fail"
    assert verdict["judgements"]["delivery"] == "pass"
    assert "p95 of service_time 3,000 ms, limit 2,000 ms" in verdict["sentence"]
    assert phase(verdict, "journeys")["at_risk"] == "people wait, and leave"


@pytest.mark.parametrize("name", ["missing", "duplicate", "out_of_order", "late", "malformed", "two_ends", "silent"])
def test_1_a_delivery_violation(name: str) -> None:
    history = clean()
    verdict = verdict_of(with_rows(history, "violations", delivery_violation(of=history["runs"][3], name=name)))
    assert (verdict["exit_code"], verdict["judgements"]["delivery"]) == (1, "fail")
    assert verdict["delivery"]["violations"][name] == 1
    assert f"delivery: 1 {name.replace('_', ' ')}" in verdict["sentence"]
    assert limit(verdict, "critical events complete")["reason"] == "59 of 60 runs"


@pytest.mark.parametrize("outcome", ["timeout", "disconnected"])
def test_1_a_run_that_was_never_answered(outcome: str) -> None:
    verdict = verdict_of(with_rows(clean(), "runs", lost_run(99, outcome=outcome)))
    assert (verdict["exit_code"], verdict["delivery"]["runs"][outcome]) == (1, 1)
    assert "1 run never answered" in verdict["delivery"]["reasons"]


def test_1_a_bad_token_was_let_in() -> None:
    verdict = verdict_of(with_rows(clean(), "connections", bad_token(901, outcome="ready")))
    assert verdict["exit_code"] == 1
    assert "bad tokens rejected 50.0 %, limit 100 % (1 of 2 bad tokens)" in verdict["sentence"]


def test_3_a_leak() -> None:
    history = with_rows(clean(), "violations", violation(0, count=3))
    verdict = verdict_of(history)
    assert (verdict["exit_code"], verdict["verdict"]) == (3, "fail")
    assert verdict["judgements"]["isolation"] == "fail"
    assert verdict["sentence"] == (
        "k3f00004 received a prompt reference of k3f00011 (foreign_content, channel 2), 3 times; "
        "first 4.1 s after the start."
    )
    assert limit(verdict, "no context bleeding")["verdict"] == "fail"
    (row,) = verdict["isolation"]["violations"]
    assert (row["owner"], row["observer"], row["confirmed"], row["frame"]) == ("k3f00011", "k3f00004", True, "")


def test_3_comes_before_every_other() -> None:
    history = with_rows(clean(), "violations", violation(0), delivery_violation(1, of=run(0)))
    history = with_rows(history, "connections", connection(7, account="k3f00099", identity="mismatch"))
    assert verdict_of(history, target={"ready": False}, problems=["spilled"])["exit_code"] == 3


def test_3_a_leak_on_a_channel_that_nobody_required() -> None:
    history = with_rows(clean(), "violations", violation(0, channel=10, name="shared_cache"))
    verdict = verdict_of(history, use=use(isolation={"required_channels": []}))
    assert verdict["exit_code"] == 3


def test_3_between_ones_own_threads() -> None:
    own = violation(0, scope="cross_thread", owner="k3f00004", channel=16, name="cross_thread", count=1)
    verdict = verdict_of(with_rows(clean(), "violations", own))
    assert verdict["exit_code"] == 3
    assert verdict["sentence"].startswith("k3f00004 received a prompt reference of another thread of its own (cross_")


def test_4_nothing_was_run() -> None:
    verdict = verdict_of({})
    assert (verdict["exit_code"], verdict["verdict"], verdict["word"]) == (4, "unknown", "HOLD")
    assert "no run was started" in verdict["sentence"]


def test_4_only_cut_runs() -> None:
    verdict = verdict_of(clean() | {"runs": [lost_run(0, outcome="cut")]})
    assert verdict["judgements"]["delivery"] == "unknown"
    assert "every run was cut before its end" in verdict["delivery"]["reasons"]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"problems": ["batches spilled to disk"]}, "batches spilled to disk"),
        ({"workers": {"w1": {"lost": True, "events_received": 420}}}, "worker w1 was lost"),
        ({"workers": {"w1": {"events_received": 421}}}, "worker w1: 1 event received and missing from the record"),
        ({"workers": {"w1": {"events_received": 420, "events_checked": 419}}}, "received 420 events and checked 419"),
        ({"workers": {"w1": {"events_received": 420, "last_batch": 9, "batches_received": 8}}}, "9 batches, 8 came"),
    ],
)
def test_4_not_everything_was_seen(changes: dict[str, Any], cause: str) -> None:
    verdict = verdict_of(clean(), **changes)
    assert verdict["exit_code"] == 4
    assert verdict["measurement"]["verdict"] == "unknown"
    assert any(cause in said for said in verdict["measurement"]["causes"])
    assert verdict["delivery"]["own_verdict"] == "unknown"
    assert verdict["judgements"]["isolation"] == "unknown"
    assert limit(verdict, "critical flow")["verdict"] == "unknown"


def test_4_runs_that_were_started_and_have_no_outcome() -> None:
    """Conservation: runs started = sum of outcomes."""
    final = {"events_received": 420, "runs_started": 61}
    verdict = verdict_of(clean(), workers={"w1": final})
    assert verdict["exit_code"] == 4
    assert "61 runs were started, 60 have an outcome" in verdict["delivery"]["reasons"]
    assert verdict_of(clean(), workers={"w1": final | {"runs_started": 60}})["exit_code"] == 0


def test_4_an_outcome_that_nobody_knows() -> None:
    verdict = verdict_of(with_rows(clean(), "runs", run(99, outcome="vanished")))
    assert "1 run ended as 'vanished', which is no known outcome" in verdict["delivery"]["reasons"]
    assert verdict["delivery"]["runs"]["started"] == 61


def test_4_a_fault_of_the_harness() -> None:
    fault = violation(0, judgement="harness", name="harness_error", scope="", channel=0)
    verdict = verdict_of(with_rows(clean(), "violations", fault))
    assert verdict["exit_code"] == 4
    assert "fault of the harness: harness_error, 1 time" in verdict["measurement"]["causes"]


@pytest.mark.parametrize("scope", ["other_load_test", "unverified", "phantom", ""])
def test_4_what_is_not_of_this_load_test_is_shown_and_never_exit_3(scope: str) -> None:
    verdict = verdict_of(with_rows(clean(), "violations", violation(0, scope=scope)))
    assert verdict["exit_code"] == 4
    assert verdict["isolation"]["verdict"] == "unknown"
    (row,) = verdict["isolation"]["violations"]
    assert (row["scope"], row["confirmed"]) == (scope, False)
    assert limit(verdict, "no context bleeding")["value"] == 0
    assert (verdict["measurement"]["verdict"] == "unknown") == (scope == "phantom")


def test_5_the_target_was_not_ready() -> None:
    verdict = verdict_of({}, target={"ready": False, "reason": "health answered 503 for 60 s"})
    assert (verdict["exit_code"], verdict["word"]) == (5, "HOLD")
    assert verdict["sentence"] == "The target was not ready: health answered 503 for 60 s; nothing was judged."
    assert verdict_of(clean(), target={"ready": False})["word"] == "HOLD"


def test_5_sockets_with_another_identity_void_what_they_showed() -> None:
    """Everybody is the demo user: foreign content on every socket proves nothing but that."""
    history = changed(clean(), "connections", identity="mismatch")
    named = [
        violation(n, judgement="identity", name="identity", scope="", channel=0, observer=f"k3f{n:05}", owner="",
                  expected=f"a socket of k3f{n:05}", came="demo-user-001")
        for n in range(3)
    ]  # fmt: skip
    verdict = verdict_of(with_rows(history, "violations", *named, violation(9)))
    assert (verdict["exit_code"], verdict["verdict"]) == (5, "fail")
    assert verdict["isolation"]["verdict"] == "unknown"
    assert verdict["isolation"]["violations"][0]["confirmed"] is False
    assert [entry["violations"] for entry in verdict["isolation"]["channels"]] == [0] * 6
    assert "(k3f00000: expected a socket of k3f00000, came demo-user-001)" in verdict["sentence"]


def test_5_does_not_hide_a_leak_between_others() -> None:
    history = with_rows(clean(), "connections", connection(50, account="k3f00050", identity="mismatch"))
    assert verdict_of(with_rows(history, "violations", violation(0)))["exit_code"] == 3
    assert verdict_of(with_rows(history, "violations", violation(0, owner="k3f00050")))["exit_code"] == 5


# -- guards


@pytest.mark.parametrize("part", ["runs", "connections", "violations", "exposure", "health", "steps"])
def test_a_check_that_crashes_takes_no_other_with_it(part: str) -> None:
    """With a part of the tally gone, every check that asks for it crashes; the others still speak."""
    tally = tally_of(clean())
    delattr(tally, part)
    verdict = judge(run_json(), tally)
    assert (verdict["verdict"], verdict["exit_code"]) == ("unknown", 4)
    assert "the check itself crashed: AttributeError" in str(verdict)
    assert verdict["sentence"].endswith(".")
    survivor = "agent runs completed" if part == "connections" else "valid tokens accepted"
    assert limit(verdict, survivor)["verdict"] == "pass"


def test_limits_that_cannot_be_read_are_unknown() -> None:
    verdict = judge(run_json() | {"limits": {"phase": [{"name": "x", "limt": []}]}}, tally_of(clean()))
    assert verdict["exit_code"] == 4
    assert "the record's limits cannot be read" in verdict["sentence"]
    without = run_json()
    del without["limits"]
    assert judge(without, tally_of(clean()))["exit_code"] == 4


def test_an_empty_run_and_an_empty_tally_still_give_a_verdict() -> None:
    assert judge({}, Tally())["exit_code"] == 4


def test_the_start_is_told_in_seconds_only_when_it_is_known() -> None:
    history = with_rows(clean(), "violations", violation(0, surfaced_ns=START_NS + 1500 * MS))
    assert verdict_of(history)["sentence"].endswith("once; first 1.5 s after the start.")
    assert verdict_of(history, load_test={})["sentence"].endswith("once.")
