"""Where it broke: every failed run and connection in one group, and each cause on the history that it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.causes import CAUSES_MAX, Failure, causes_of, where_it_broke
from crosstalk.checks.causes_broken import broken
from crosstalk.checks.causes_group import SURE, Group, whole_of
from crosstalk.checks.causes_known import KNOWN
from crosstalk.checks.causes_rules import STAGES, groupable
from tests.checks.histories import (
    MS,
    START_NS,
    History,
    Row,
    bad_token,
    clean,
    columns,
    connection,
    delivery_violation,
    lost_run,
    run,
    run_json,
    violation,
)

TIMEOUTS = {"timeouts": {"agent_timeout_s": 8.0, "receive_timeout_s": 10.0}}
S = 1000 * MS
#: an invented token: right shape, signed by nobody
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJrM2YwMDAwNCJ9.c2lnbmF0dXJlLW9mLW5vYm9keQ"


def groups(history: History, **changes: Any) -> list[Failure]:
    return where_it_broke(run_json(expectations=TIMEOUTS, **changes), _tables(history))


def fired(history: History, **changes: Any) -> set[str]:
    """Names of all causes of all groups, not only of those that are shown."""
    whole = whole_of(run_json(expectations=TIMEOUTS, **changes), _tables(history))
    by_key: dict[tuple[str, str, str], list[Any]] = {}
    for one in broken(_tables(history), timeout_ns=8 * S):
        by_key.setdefault((one.of, one.stage, one.signature), []).append(one)
    found = [Group(*key, tuple(members)) for key, members in by_key.items()]
    return {cause.name for group in found for cause in KNOWN if cause.when(group, whole)}


def _tables(history: History) -> dict[str, Any]:
    return {name: columns(name, history.get(name, [])) for name in ("runs", "connections", "violations")}


# --- rows -----------------------------------------------------------------------------------------------------------


def failed(n: int = 0, *, stage: str, error: str, outcome: str = "failed", **changes: Any) -> Row:
    """A connection that did not become ready."""
    gone: Row = dict(outcome=outcome, stage=stage, error=error, ready_ns=None, identity="unknown", closed_by="")
    return connection(n, **(gone | dict(close_code=None, http_status=None, transport="header") | changes))


def closed(n: int, code: int, *, after_s: float = 0.02, **changes: Any) -> Row:
    """A connection that was ready, and was then ended by the other side."""
    by = "transport" if code == 1006 else "peer"
    at = START_NS + n * MS + 9 * MS + int(after_s * S)
    return connection(n, **(dict(close_code=code, closed_by=by, ended_ns=at, events_in=0) | changes))


def refused_upgrade(n: int, status: int, **changes: Any) -> Row:
    error = f"HTTP {status} instead of 101"
    outcome = "refused" if status in (401, 403) else "failed"
    return failed(n, stage="upgrade", error=error, http_status=status, outcome=outcome, **changes)


def before_welcome(n: int, code: int, reason: str = "internal error", **changes: Any) -> Row:
    error = f"expected a welcome, got close {code} {reason}"
    refused = "refused" if code == 1008 else "failed"
    return failed(n, stage="ready", error=error, close_code=code, closed_by="peer", outcome=refused, **changes)


def mistaken(n: int, name: str) -> Row:
    error = f"the socket carries {name!r}, not 'k3f{n:05}'"
    return connection(n, stage="ready", identity="mismatch", identity_seen=name, error=error)


def timed_out(n: int, *, account: int = 0, last: str = "", stage: str = "first event", **changes: Any) -> Row:
    signature = f"{stage}: no end in time, last event {last or 'none'}"
    return lost_run(n, account=account, signature=signature, events=3 if last else 0, **changes)


def cut_off(n: int, *, account: int = 0, last: str = "", stage: str = "first event", **changes: Any) -> Row:
    """A run that was lost with its connection."""
    signature = f"{stage}: connection lost, last event {last or 'none'}"
    more = dict(signature=signature, events=3 if last else 0)
    return lost_run(n, outcome="disconnected", account=account, **(more | changes))


def refused(n: int, said: str) -> Row:
    return lost_run(n, outcome="refused", signature=f"send: {said}")


def agent_error(n: int, code: str, *, account: int = 0) -> Row:
    return run(n, account=account, outcome="agent_error", signature=f"end: agent error {code}", events=4)


def broke(n: int, name: str, *, account: int = 0, **changes: Any) -> tuple[Row, Row]:
    """A run that broke a rule of delivery, and its violation."""
    row = run(n, account=account, outcome="violated", signature=f"end: {name}", events=5)
    return row, delivery_violation(n, of=row, name=name, observer_connection=row["connection"], **changes)


def leaked(n: int, name: str = "foreign_content", *, account: int = 4, **changes: Any) -> tuple[Row, Row]:
    row = run(n, account=account, outcome="violated", signature=f"end: {name}", events=5)
    more: Row = dict(name=name, run=row["run"], observer=row["account"], observer_connection=row["connection"])
    return row, violation(n, **(more | changes))


def with_(*pairs: tuple[Row, Row], users: int = 5, good: int = 0) -> History:
    """Runs with their violations beside good runs of other users."""
    return {
        "connections": [connection(n) for n in range(users)],
        "runs": [row for row, _ in pairs] + [run(1000 + n, account=n) for n in range(good)],
        "violations": [said for _, said in pairs],
    }


def runs_(*rows: Row, users: int = 5, good: int = 0) -> History:
    return {
        "connections": [connection(n) for n in range(users)],
        "runs": [*rows, *(run(1000 + n, account=n) for n in range(good))],
    }


def conns(*rows: Row) -> History:
    return {"connections": list(rows)}


def slowing() -> History:
    """Good runs that take longer and longer, then one that does not end."""
    rows = [run(n, account=n % 4, service_ms=500 + 20 * n) for n in range(90)]
    return {"connections": [connection(n) for n in range(5)],
            "runs": [*rows, timed_out(95, account=0, last="chunk", stage="stream")]}  # fmt: skip


def unreal(n: int, *, answer_ms: float) -> tuple[Row, Row]:
    """A run without its reference; the answer takes so long from its first event to its end."""
    why = "end: not real: its reference did not come back"
    row, said = broke(n, "not_real", came=why)
    return row | dict(signature=why, end_ns=row["first_event_ns"] + int(answer_ms * MS)), said


def missing(n: int, expected: str) -> tuple[Row, Row]:
    return broke(n, "missing", expected=expected)


# --- each cause on its history --------------------------------------------------------------------------------------

#: cause → a history that it is about, and what else run.json says of it
HISTORIES: dict[str, tuple[History, dict[str, Any]]] = {
    "name_unknown": (conns(failed(stage="resolve", error="x.test does not resolve: Name not known")), {}),
    "own_file_limit": (conns(failed(stage="connect", error="nobody answers at h: Too many open files")), {}),
    "nobody_listens": (conns(failed(stage="connect", error="nobody answers at h:1: Connection refused")), {}),
    "packets_dropped": (conns(failed(stage="connect", error="nobody answers at h:1: timed out")), {}),
    "certificate_not_trusted": (
        conns(failed(stage="tls", error="the certificate of h is not trusted: self-signed; name its authority")), {}),
    "no_tls_there": (conns(failed(stage="tls", error="no TLS with h: wrong version number")), {}),
    "wrong_path": (conns(refused_upgrade(0, 404)), {}),
    "instances_differ": (conns(connection(0), refused_upgrade(1, 404)), {}),
    "redirected": (conns(refused_upgrade(0, 307)), {}),
    "proxy_without_websocket": (conns(refused_upgrade(0, 200)), {}),
    "no_healthy_instance": (conns(refused_upgrade(0, 502)), {}),
    "still_starting": (conns(failed(0, stage="ready", error="expected a welcome, got nothing within 5 s"),
                             connection(1, account="k3f00000", begun_ns=START_NS + 6 * S)), {}),
    "too_many_connections": (conns(refused_upgrade(0, 429)), {}),
    "transport_not_read": (conns(refused_upgrade(0, 401), connection(1, transport="subprotocol")), {}),
    "secret_differs": (conns(failed(stage="authenticate", error="AUTH_FAILED no", outcome="refused")), {}),
    "transport_not_read_perhaps": (conns(before_welcome(0, 1008, "policy")), {}),
    "some_accounts_refused": (conns(refused_upgrade(1, 403), connection(0, transport="header")), {}),
    "settings_missing": (conns(before_welcome(0, 1011)),
                         {"target": {"preflight": ["health: HTTP 503, unhealthy"], "ready": False}}),
    "validator_refuses": (conns(before_welcome(0, 1011), before_welcome(1, 1011)), {}),
    "account_breaks_server": (conns(connection(0), before_welcome(1, 1011)), {}),
    "died_before_welcome": (conns(before_welcome(1, 1006), connection(0)), {}),
    "no_welcome": (conns(failed(1, stage="ready", error="expected a welcome, got nothing within 5 s"),
                         connection(0)), {}),
    "other_greeting": (conns(failed(stage="ready", error="expected a welcome, got nothing within 5 s")), {}),
    "demo_mode": (conns(*(mistaken(n, "somebody-001") for n in range(3))), {}),
    "hashed_ids": (conns(mistaken(0, "user_0815"), mistaken(1, "user_0815"), mistaken(2, "user_0042")), {}),
    "identity_not_from_token": (conns(mistaken(0, "user_0815")), {}),
    "breaker_permissive": (conns(connection(0), bad_token(900), bad_token(901, outcome="ready")), {}),
    "signature_not_checked": (conns(connection(0), bad_token(900, outcome="ready")), {}),
    "rejection_crashes": (conns(connection(0), bad_token(900, outcome="failed", close_code=1011)), {}),
    "target_ended": (conns(closed(0, 1006)), {"problems": ["the reference backend ended in mid-run (exit code 1)"]}),
    "dispatch_exception": ({"connections": [closed(0, 1011), connection(1)],
                            "runs": [cut_off(0), run(1, account=1)]}, {}),
    "first_message_fails_sometimes": ({"connections": [closed(0, 1011), connection(9, account="k3f00000")],
                                       "runs": [run(2)]}, {}),
    "exception_in_mid_run": ({"connections": [closed(0, 1011, after_s=2, events_in=9)],
                              "runs": [cut_off(0, last="chunk", stage="stream")]}, {}),
    "idle_cut": ({"connections": [closed(n, 1001, after_s=n + 3 + 1, events_in=4) for n in range(3)],
                  "runs": [cut_off(n, account=n, last="thinking", stage="thinking") for n in range(3)]}, {}),
    "all_lost_at_once": ({"connections": [closed(n, 1006, after_s=3, events_in=4) for n in range(4)],
                          "runs": [run(n, account=n % 4, sent_ns=START_NS + n * 700 * MS) for n in range(4)]}, {}),
    "restart_or_scale_in": (conns(closed(0, 1012, events_in=3)), {}),
    "transport_died": (conns(closed(0, 1006, events_in=3)), {}),
    "policy_close": (conns(closed(0, 1008, after_s=300, events_in=3)), {}),
    "message_too_big": (conns(closed(0, 1009)), {}),
    "accept_race": ({"connections": [connection(0)], "runs": [run(0)],
                     "violations": [delivery_violation(of=run(0), name="lost_before_ready", run="",
                                                       observer_connection="w1-c0")]}, {}),
    "socket_dead": (runs_(cut_off(0, last="thinking", stage="thinking")), {}),
    "rate_limited": (runs_(refused(0, "RATE_LIMITED slow down")), {}),
    "id_used_before": (runs_(refused(0, "RUN_ID_USED this run_id was used before")), {}),
    "not_the_owner": (runs_(refused(0, "FORBIDDEN this thread is not yours")), {}),
    "refused_in_words": (runs_(refused(0, "EMPTY_MESSAGE expected text")), {}),
    "handler_not_registered": (runs_(*(timed_out(n, account=n) for n in range(3)), users=3), {}),
    "events_routed_past": (runs_(timed_out(0, account=0), run(1, account=1)), {}),
    "several_session_managers": (
        {"connections": [connection(0), connection(7, account="k3f00000"), connection(1)],
         "runs": [run(0), run(1, account=1), timed_out(2)]}, {}),
    "first_event_lost_sometimes": (runs_(timed_out(0), run(1)), {}),
    "model_hangs": (runs_(timed_out(0, last="thinking", stage="thinking")), {}),
    "tool_hangs": (runs_(timed_out(0, last="tool_executing", stage="tool")), {}),
    "task_died": (runs_(timed_out(0, last="chunk", stage="stream")), {}),
    "part_degraded": (runs_(timed_out(0, last="tool_executing", stage="tool")),
                      {"target": {"preflight": ["health: HTTP 200, healthy; degraded: cache"], "ready": True}}),
    "slows_down": (slowing(), {}),
    "cascading_cancel": (runs_(agent_error(0, "CANCELLED"), agent_error(1, "CANCELLED", account=1)), {}),
    "agents_own_timeout": (runs_(agent_error(0, "AGENT_TIMEOUT")), {}),
    "models_limit": (runs_(agent_error(0, "MODEL_RATE_LIMIT")), {}),
    "agent_said_so": (runs_(agent_error(0, "AGENT_FAILED")), {}),
    "never_sent_by_this_build": (with_(*(missing(n, "thinking") for n in range(4))), {}),
    "tool_result_dropped": (with_(missing(0, "tool_completed for call 7"), good=3), {}),
    "event_dropped": (with_(missing(0, "thinking"), good=3), {}),
    "chunk_dropped": (with_(missing(0, "chunk 3, chunk 4"), good=3), {}),
    "tool_failure_hidden": (with_(broke(0, "tool_error_swallowed")), {}),
    "sent_twice": (with_(broke(0, "duplicate")), {}),
    "order_not_kept": (with_(broke(0, "out_of_order")), {}),
    "frame_torn": (with_(broke(0, "malformed")), {}),
    "error_path_runs_too": (with_(broke(0, "two_ends")), {}),
    "work_after_end": (with_((run(0), delivery_violation(of=run(0), name="late"))), {}),
    "canned_answer": (with_(*(unreal(n, answer_ms=2) for n in range(3))), {}),
    "reference_not_repeated": (with_(*(unreal(n, answer_ms=900) for n in range(3))), {}),
    "nothing_was_run": (runs_(run(0, outcome="violated", signature="end: not real: it took 0.010 ms, less than a "
                                  "round trip of 0.200 ms")), {}),
    "no_network": (runs_(run(0, outcome="violated", signature="end: not real: no byte crossed a socket")), {}),
    "stream_and_answer_differ": (with_(broke(0, "text_differs")), {}),
    "one_router_for_all": (
        {"connections": [connection(n) for n in range(4)],
         "violations": [violation(n, name="wrong_socket", channel=1, run="", observer="k3f00000",
                                  observer_connection="w1-c0", owner=f"k3f{n:05}", site="run_id") for n in (1, 2, 3)]},
        {}),
    "socket_chosen_wrongly": (
        {"connections": [connection(n) for n in range(4)],
         "violations": [violation(n, name="wrong_socket", channel=1, run="", observer=f"k3f{n:05}",
                                  observer_connection=f"w1-c{n}", owner="k3f00003", site="run_id") for n in (0, 1)]},
        {}),
    "cache_without_user": (with_(leaked(0, site="context"), leaked(1, site="context")), {}),
    "state_shared_by_runs": (with_(leaked(0, site="prompt"), leaked(1, site="context")), {}),
    "id_from_shared_variable": (with_(leaked(0, "foreign_id", channel=3, site="run_id")), {}),
    "reused_after_end": (with_(leaked(0, channel=17)), {}),
    "side_channel_shared": (with_(leaked(0, channel=20)), {}),
    "memory_by_user": (with_(leaked(0, scope="cross_thread", owner="k3f00004")), {}),
    "another_load_test": (with_(leaked(0, scope="other_load_test")), {}),
}  # fmt: skip

#: causes that share a history with another: what one picture may mean twice, or a narrower cause beside a wider one
TOGETHER: dict[str, set[str]] = {
    "still_starting": {"no_welcome"},
    "secret_differs": {"transport_not_read_perhaps"},
    "transport_not_read_perhaps": {"secret_differs"},
    "settings_missing": {"validator_refuses"},
    "other_greeting": {"no_welcome"},
    "target_ended": {"transport_died"},
    "idle_cut": {"restart_or_scale_in"},
    "all_lost_at_once": {"transport_died"},
    "rate_limited": {"refused_in_words"},
    "id_used_before": {"refused_in_words"},
    "not_the_owner": {"refused_in_words"},
    "several_session_managers": {"first_event_lost_sometimes"},
    "part_degraded": {"tool_hangs"},
    "slows_down": {"task_died"},
    "cascading_cancel": {"agent_said_so"},
    "agents_own_timeout": {"agent_said_so"},
    "models_limit": {"agent_said_so"},
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_cause_is_named_on_its_history_and_no_other_beside_it(name: str) -> None:
    history, changes = HISTORIES[name]
    assert fired(history, **changes) == {name} | TOGETHER.get(name, set())


def test_every_cause_has_its_history() -> None:
    assert list(HISTORIES) == [cause.name for cause in KNOWN]
    assert len(KNOWN) >= 25


def test_a_clean_load_test_has_no_groups() -> None:
    assert groups(clean()) == []
    assert groups({}) == []


@pytest.mark.parametrize("cause", KNOWN, ids=lambda cause: cause.name)
def test_a_cause_says_how_sure_it_is_and_what_to_do(cause: Any) -> None:
    assert cause.sure in SURE
    for text in (cause.likely, cause.look_at):
        assert text.endswith(".")
        assert text == text.strip()
        assert "{" not in text


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
    (runs_(refused(0, "RATE_LIMITED run ctlkaaaethaaaaaaaaabbkt7tojrmodflq6r")), ("runs", "send", "refused: RATE_LIMITED")),
    (runs_(agent_error(0, "AGENT_FAILED")), ("runs", "end", "agent error AGENT_FAILED")),
    (with_(missing(0, "tool_completed for call 7, chunk 2")), ("runs", "stream", "missing chunk, tool_completed")),
    (with_(leaked(0)), ("runs", "stream", "foreign_content, channel 2")),
    (with_(leaked(0, channel=17, scope="cross_thread")), ("runs", "late", "foreign_content, channel 17, cross_thread")),
    (with_((run(0), delivery_violation(of=run(0), name="late"))), ("runs", "late", "late")),
    (runs_(run(0, outcome="violated", signature="not as we know it")), ("runs", "end", "not as we know it")),
]  # fmt: skip


@pytest.mark.parametrize(("history", "expected"), SIGNATURES, ids=lambda v: v[2] if isinstance(v, tuple) else "")
def test_a_failure_has_a_stage_and_a_signature(history: History, expected: tuple[str, str, str]) -> None:
    assert [(one.of, one.stage, one.signature) for one in groups(history)] == [expected]
    assert expected[1] in STAGES


def test_a_bad_token_that_is_refused_and_a_connection_that_we_cut_are_no_failures() -> None:
    stopped = failed(3, stage="authenticate", error="", outcome="failed", closed_by="us")
    assert groups(conns(connection(0), bad_token(), bad_token(901, http_status=401, close_code=None), stopped)) == []
    assert groups(runs_(run(0, outcome="cut", signature="stopped by the load test"))) == []


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
    assert one.shown[0] == "no run of this user ended well; nor did any other"


def test_groups_stand_by_size_and_carry_their_times() -> None:
    rows = [timed_out(n, account=n, last="chunk", stage="stream") for n in (1, 2, 3)]
    first, second = groups(runs_(*rows, agent_error(9, "AGENT_FAILED"), good=2))
    assert (first.count, first.users, second.count) == (3, 3, 1)
    assert first.share == pytest.approx(3 / 6)
    assert (first.first_ns, first.last_ns) == (rows[0]["sent_ns"], rows[2]["sent_ns"])
    assert (first.example_from_ns, first.example_until_ns) == (rows[0]["sent_ns"], rows[0]["sent_ns"] + 8 * S)


def test_causes_are_bounded_and_the_surest_stands_first() -> None:
    history, changes = HISTORIES["cascading_cancel"]
    [one] = groups(history, **changes)
    assert [cause.sure for cause in one.causes] == ["always", "likely"]
    group = Group("runs", "end", "agent error cancelled timeout quota", ())
    assert len(causes_of(group, whole_of(run_json(), {}))) <= CAUSES_MAX


@pytest.mark.parametrize(
    ("silences", "cut"),
    [((3.0, 3.1, 3.05), True), ((3.0, 5.0, 3.0), False), ((0.4, 0.4, 0.4), False), ((9.0, 9.0, 9.0), False)],
)
def test_an_idle_cut_is_the_same_silence_each_time_and_sooner_than_the_agent_timeout(
    silences: tuple[float, ...], cut: bool
) -> None:
    rows = [closed(n, 1000, after_s=s, events_in=3) for n, s in enumerate(silences)]
    assert ("idle_cut" in fired(conns(*rows))) is cut


def test_what_the_record_shows_of_an_idle_cut() -> None:
    history, _ = HISTORIES["idle_cut"]
    [one] = groups(history)
    assert "each ended 3.0 s after our last frame; the agent timeout is 8 s" in one.shown


def test_without_the_agent_timeout_nothing_is_said_of_it() -> None:
    history, _ = HISTORIES["idle_cut"]
    [one] = where_it_broke({}, _tables(history))
    assert "each ended 3.0 s after our last frame" in one.shown


def test_the_check_before_the_start_counts_only_where_it_went_wrong() -> None:
    good, bad = connection(0, purpose="preflight"), closed(1, 1011, purpose="preflight")
    assert groups(conns(good, connection(2))) == []
    [one] = groups(conns(bad))
    assert (one.count, one.share) == (1, 1.0)


def test_as_dict_is_plain_json() -> None:
    import orjson

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
    tables = _tables({"runs": rows, "connections": [make(n) for n, make in enumerate(sockets)]})
    named = [(one.account, name) for one in broken(tables, timeout_ns=0) for name in one.runs]
    wanted = [(row["account"], row["run"]) for row in rows if row["outcome"] not in ("ok", "cut")]
    assert sorted(named) == sorted(wanted)
    found = where_it_broke({}, tables)
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
        ("TOOL_EXECUTION_FAILED in authentication_service", "TOOL_EXECUTION_FAILED in authentication_service"),
    ],
)
def test_ids_do_not_split_groups(text: str, grouped: str) -> None:
    assert groupable(text) == grouped
