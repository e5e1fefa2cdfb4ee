"""Where it broke: every failed run and connection in one group, with its stage, its signature, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.causes import Failure, where_it_broke
from crosstalk.checks.causes_broken import broken
from crosstalk.checks.causes_rules import STAGES, groupable
from tests.checks.causes_histories import (
    HISTORIES,
    TIMEOUTS,
    S,
    agent_error,
    before_welcome,
    broke,
    closed,
    conns,
    cut_off,
    failed,
    leaked,
    missing,
    mistaken,
    refused,
    refused_upgrade,
    runs_,
    steps_,
    tables,
    timed_out,
    with_,
)
from tests.checks.histories import (
    History,
    Row,
    bad_token,
    clean,
    connection,
    delivery_violation,
    failed_step,
    run,
    run_json,
    step,
    violation,
)

#: an invented token: right shape, signed by nobody
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJrM2YwMDAwNCJ9.c2lnbmF0dXJlLW9mLW5vYm9keQ"


def groups(history: History, **changes: Any) -> list[Failure]:
    return where_it_broke(run_json(expectations=TIMEOUTS, **changes), tables(history))


def test_a_clean_load_test_has_no_groups() -> None:
    assert groups(clean()) == []
    assert groups({}) == []


# --- stages and signatures ------------------------------------------------------------------------------------------

#: history → (of, stage, signature) of its only group
SIGNATURES: list[tuple[History, tuple[str, str, str]]] = [
    (conns(failed(stage="resolve", error="x does not resolve")), ("connections", "resolve", "x does not resolve")),
    (conns(refused_upgrade(0, 404)), ("connections", "upgrade", "HTTP 404 instead of 101")),
    (conns(before_welcome(0, 1011)), ("connections", "authenticate", "close 1011 before the welcome")),
    (conns(failed(stage="ready", error="expected a welcome, got nothing within 5 s")),
     ("connections", "ready", "no welcome within 5 s")),
    (conns(mistaken(0, "demo")), ("connections", "ready", "another identity than the token's")),
    (conns(bad_token(outcome="ready")), ("connections", "authenticate", "forged token accepted")),
    (conns(bad_token(outcome="failed", http_status=500, close_code=None)),
     ("connections", "authenticate", "forged token answered by a server fault: HTTP 500")),
    (conns(closed(0, 1011)), ("connections", "send", "close 1011 before any event")),
    (conns(closed(0, 1006, events_in=5)), ("connections", "late", "close 1006 while no run was under way")),
    ({"connections": [closed(0, 1011, after_s=4, events_in=5)], "runs": [cut_off(0, last="chunk", stage="stream")]},
     ("runs", "stream", "close 1011 in mid-run")),
    ({"connections": [closed(0, 1011, after_s=4, events_in=5)], "runs": [cut_off(0)]},
     ("runs", "first event", "close 1011 before the run's first event")),
    (runs_(timed_out(0)), ("runs", "first event", "agent timeout: no event at all")),
    (runs_(timed_out(0, last="thinking", stage="thinking")),
     ("runs", "thinking", "agent timeout: silence after thinking")),
    (runs_(timed_out(0, last="tool_executing", stage="tool")),
     ("runs", "tool", "agent timeout: silence after tool_executing")),
    (runs_(refused(0, "RATE_LIMITED run ctlkaaaethaaaaaaaaabbkt7toj")), ("runs", "send", "refused: RATE_LIMITED")),
    (runs_(agent_error(0, "AGENT_FAILED")), ("runs", "end", "agent error AGENT_FAILED")),
    (with_(missing(0, "tool_completed, chunk 2")), ("runs", "stream", "missing chunk in between, tool_completed")),
    (with_(leaked(0)), ("runs", "stream", "foreign_content, channel 2")),
    (with_(leaked(0, channel=17, scope="cross_thread")), ("runs", "late", "foreign_content, channel 17, cross_thread")),
    (with_((run(0), delivery_violation(of=run(0), name="late"))), ("runs", "late", "late")),
    (runs_(run(0, outcome="violated", signature="not as we know it")), ("runs", "end", "not as we know it")),
    (steps_(failed_step(0, name="oauth")), ("steps", "journey", "sign-in, oauth: expected HTTP 200, came HTTP 500")),
]  # fmt: skip


@pytest.mark.parametrize(("history", "expected"), SIGNATURES, ids=lambda v: v[2] if isinstance(v, tuple) else "")
def test_a_failure_has_a_stage_and_a_signature(history: History, expected: tuple[str, str, str]) -> None:
    assert [(one.of, one.stage, one.signature) for one in groups(history)] == [expected]
    assert expected[1] in STAGES


def test_a_step_whose_run_broke_is_told_with_the_run_and_not_again() -> None:
    broken_run, good_run = agent_error(0, "AGENT_FAILED"), run(1)
    its_step = failed_step(0, "a run that ends well", "agent_error", run=broken_run["run"])
    found = groups(runs_(broken_run, good_run) | steps_(its_step))
    assert [(one.of, one.runs) for one in found] == [("runs", 1)]
    [other] = groups(runs_(good_run) | steps_(failed_step(1, "its words", "others", run=good_run["run"])))
    assert (other.of, other.runs, other.example_run) == ("steps", 0, good_run["run"])


def test_steps_that_were_cut_or_are_not_offered_and_whole_journeys_are_no_failures() -> None:
    rows = [step(0, outcome="cut"), step(1, outcome="not_offered"), step(2), failed_step(3, name="")]
    assert groups(steps_(*rows)) == []
    [one] = groups(steps_(*rows, failed_step(4)))
    assert (one.count, one.share) == (1, 0.5)  # of two that were tried


def test_a_bad_token_that_is_refused_and_a_connection_that_we_cut_are_no_failures() -> None:
    stopped = failed(3, stage="authenticate", error="", outcome="failed", closed_by="us")
    assert groups(conns(connection(0), bad_token(), bad_token(901, http_status=401, close_code=None), stopped)) == []
    assert groups(runs_(run(0, outcome="cut", signature="stopped by the load test"))) == []


def test_a_socket_that_ends_with_its_run_is_no_failure() -> None:
    """Some protocols have a socket a run: the server closes it at the end, and the record says `protocol`."""
    assert groups({"connections": [closed(0, 1000, closed_by="protocol", events_in=9)], "runs": [run(0)]}) == []


def test_a_leak_in_a_run_that_we_cut_is_a_leak_all_the_same() -> None:
    row, said = leaked(0)
    [one] = groups(with_((row | dict(outcome="cut", signature="stopped by the load test"), said)))
    assert (one.signature, one.runs) == ("foreign_content, channel 2", 1)


def test_the_gravest_rule_groups_a_run_and_the_others_are_told() -> None:
    row, said = leaked(0)
    also = delivery_violation(1, of=row, name="text_differs")
    history = with_((row, said))
    history["violations"].append(also)
    [one] = groups(history)
    assert one.signature == "foreign_content, channel 2"
    assert "the same runs also show text_differs in 1" in one.shown


def test_violations_that_are_only_counted_are_grouped_with_those_that_were_written() -> None:
    """Beyond a hundred alike a session writes one row with their number, and no row a run."""
    pairs = [leaked(n) for n in range(3)]
    rest = violation(9, run="", observer="k3f00004", observer_connection="w1-c4", came="2 more like it", count=2)
    history = {**with_(*pairs), "violations": [said for _, said in pairs[:1]] + [rest]}
    assert [(one.signature, one.count) for one in groups(history)] == [("foreign_content, channel 2", 3)]


# --- what a group says ----------------------------------------------------------------------------------------------


def test_a_connection_lost_before_any_event_takes_its_runs_with_it() -> None:
    history: History = {
        "connections": [closed(0, 1011), closed(0, 1011, connection="w1-c7"), connection(1)],
        "runs": [cut_off(0), run(1, account=1)],
    }
    [one] = groups(history)
    assert (one.count, one.of, one.runs, one.users, one.connections) == (2, "connections", 1, 1, 2)
    assert one.share == pytest.approx(2 / 3)
    assert (one.example_run, one.example_user) == ("r0", "k3f00000")
    assert one.shown[0] == "no run of this user ended well; 1 run of others ended well"


def test_a_run_that_tells_the_end_of_its_connection_is_counted_once() -> None:
    history: History = {
        "connections": [closed(0, 1006, after_s=4, events_in=5)],
        "runs": [cut_off(0, last="chunk", stage="stream"), cut_off(9)],  # the second was sent after the end
    }
    [one] = groups(history)
    assert (one.of, one.count, one.runs) == ("runs", 1, 2)


def test_groups_of_the_very_same_users_are_told_of_each_other() -> None:
    pairs = [leaked(n, "foreign_id", channel=3, site="run_id", account=n) for n in (0, 1)]
    rows = [timed_out(10 + n, account=n, last="chunk", stage="stream") for n in (0, 1)]
    history = with_(*pairs)
    history["runs"] += [*rows, timed_out(20, account=2)]
    told = {one.signature: one.shown[-1] for one in groups(history)}
    assert told["agent timeout: silence after chunk"] == "the very same users as “foreign_id, channel 3”"
    assert not told["agent timeout: no event at all"].startswith("the very same")


def test_a_run_that_broke_a_rule_after_its_good_end_is_not_called_good() -> None:
    [one] = groups({"connections": [connection(0)], **with_((run(0), delivery_violation(of=run(0), name="late")))})
    assert one.shown[0] == "no run of this user ended well; nor did any other run"


def test_groups_stand_by_size_and_carry_their_times() -> None:
    rows = [timed_out(n, account=n, last="chunk", stage="stream") for n in (1, 2, 3)]
    first, second = groups(runs_(*rows, agent_error(9, "AGENT_FAILED"), good=2))
    assert (first.count, first.users, second.count) == (3, 3, 1)
    assert first.share == pytest.approx(3 / 6)
    assert (first.first_ns, first.last_ns) == (rows[0]["sent_ns"], rows[2]["sent_ns"])
    assert (first.example_from_ns, first.example_until_ns) == (rows[0]["sent_ns"], rows[0]["sent_ns"] + 8 * S)


def test_what_the_record_shows_of_an_idle_cut() -> None:
    history, _ = HISTORIES["idle_cut"]
    [one] = groups(history)
    assert "each ended 3.0 s after our last frame; the agent timeout is 8 s" in one.shown


def test_without_the_agent_timeout_nothing_is_said_of_it() -> None:
    history, _ = HISTORIES["idle_cut"]
    [one] = where_it_broke({}, tables(history))
    assert "each ended 3.0 s after our last frame" in one.shown


def test_the_check_before_the_start_counts_only_where_it_went_wrong() -> None:
    good, bad = connection(0, purpose="preflight"), closed(1, 1011, purpose="preflight")
    assert groups(conns(good, connection(2))) == []
    assert [one.share for one in groups(conns(good, connection(2), refused_upgrade(3, 404)))] == [0.5]
    [one] = groups(conns(bad))
    assert (one.count, one.share) == (1, 1.0)


def test_as_dict_is_plain_json() -> None:
    history, _ = HISTORIES["dispatch_exception"]
    [one] = groups(history)
    told = orjson.loads(orjson.dumps(one.as_dict()))
    assert told["causes"][0]["name"] == "dispatch_exception"
    assert set(told["causes"][0]) == {"name", "sure", "likely", "look_at"}
    assert told["signature"] == one.signature


# --- properties -----------------------------------------------------------------------------------------------------

MAKERS: list[Callable[[int, int], Row]] = [
    lambda n, user: run(n, account=user),
    lambda n, user: run(n, account=user, outcome="cut"),
    lambda n, user: timed_out(n, account=user),
    lambda n, user: timed_out(n, account=user, last="chunk", stage="stream"),
    lambda n, user: cut_off(n, account=user),
    lambda n, user: cut_off(n, account=user, last="thinking", stage="thinking"),
    lambda n, user: agent_error(n, "AGENT_FAILED", account=user),
    lambda n, user: broke(n, "missing", account=user)[0],
    lambda n, user: run(n, account=user, outcome="something new"),
]
CONNECTIONS: list[Callable[[int], Row]] = [
    connection,
    lambda n: closed(n, 1011),
    lambda n: closed(n, 1006, after_s=4, events_in=3),
    lambda n: refused_upgrade(n, 503),
    lambda n: mistaken(n, "demo"),
]


@given(
    st.lists(st.tuples(st.sampled_from(MAKERS), st.integers(0, 3)), max_size=12),
    st.lists(st.sampled_from(CONNECTIONS), min_size=4, max_size=4),
)
def test_every_failed_run_is_in_exactly_one_group(
    makers: list[tuple[Callable[[int, int], Row], int]], sockets: list[Callable[[int], Row]]
) -> None:
    rows = [make(n, user) for n, (make, user) in enumerate(makers)]
    seen = tables({"runs": rows, "connections": [make(n) for n, make in enumerate(sockets)]})
    named = [(one.account, name) for one in broken(seen, timeout_ns=0) for name in one.runs]
    wanted = [(row["account"], row["run"]) for row in rows if row["outcome"] not in ("ok", "cut")]
    assert sorted(named) == sorted(wanted)
    found = where_it_broke({}, seen)
    assert sum(one.runs for one in found) == len(wanted)
    assert all(one.stage in STAGES and one.signature for one in found)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_token_is_in_a_signature(before: str, after: str) -> None:
    error = f"{before} {JWT} {after}"
    [one] = groups(conns(failed(stage="upgrade", error=error)))
    assert JWT not in str(one.as_dict())
    assert "eyJ" not in one.signature.replace(before, "").replace(after, "")


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("thread-ctlkaaaethaaaaaaaaabbkt7tojrmodflq6r is not yours", "… is not yours"),
        ("no run 3f2b8c1e-77aa-4c1e-9d10-0123456789ab", "no run …"),
        ("nobody answers at 127.0.0.1:41877: refused", "nobody answers at 127.0.0.1:…: refused"),
        ("HTTP 404 instead of 101", "HTTP 404 instead of 101"),
        ("login refused: password=hunter2", "login refused: password=[redacted]"),
        ("TOOL_EXECUTION_FAILED in authentication_service", "TOOL_EXECUTION_FAILED in authentication_service"),
    ],
)
def test_ids_do_not_split_groups(text: str, grouped: str) -> None:
    assert groupable(text) == grouped
