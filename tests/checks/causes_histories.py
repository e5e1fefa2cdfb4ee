"""Histories of load tests in which something broke: rows by name, and the history that each known cause is about."""

from __future__ import annotations

from typing import Any

from tests.checks.histories import (
    MS,
    START_NS,
    History,
    Row,
    bad_token,
    columns,
    connection,
    delivery_violation,
    failed_step,
    lost_run,
    run,
    violation,
)

TIMEOUTS = {"timeouts": {"agent_timeout_s": 8.0, "receive_timeout_s": 10.0}}
S = 1000 * MS


def tables(history: History) -> dict[str, Any]:
    return {name: columns(name, history.get(name, [])) for name in ("runs", "connections", "violations", "steps")}


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


def steps_(*rows: Row) -> History:
    return {"steps": list(rows)}


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
    "claim_not_checked": (conns(connection(0), bad_token(900),
                                bad_token(901, outcome="ready", user_class="afterwards: expired")), {}),
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
    "seen_on_other_sockets": ({**runs_(timed_out(0, account=3), run(1, account=1)), "violations": [
        violation(5, name="wrong_socket", channel=1, run="", observer="k3f00001", observer_connection="w1-c1",
                  owner="k3f00003", site="run_id")]}, {}),
    "session_left_behind": (
        {"connections": [connection(0), connection(7, account="k3f00000"), connection(1)],
         "runs": [run(0), run(1, account=1), timed_out(2)]}, {}),
    "several_session_managers": (with_(broke(0, "missing", account=4, expected="thinking, chunk"), good=3), {}),
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
    "chunk_dropped": (with_(*(missing(n, "chunk 3, chunk 4") for n in range(4))), {}),
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
         "violations": [violation(n, name="wrong_socket", channel=1, run="", observer=f"k3f{n % 2:05}", site="run_id",
                                  observer_connection=f"w1-c{n % 2}", owner=f"k3f{2 + n // 2:05}") for n in range(4)]},
        {}),
    "cache_without_user": (with_(leaked(0, site="context"), leaked(1, site="context")), {}),
    "state_shared_by_runs": (with_(leaked(0, site="prompt"), leaked(1, site="context")), {}),
    "id_from_shared_variable": (with_(leaked(0, "foreign_id", channel=3, site="run_id")), {}),
    "reused_after_end": (with_(leaked(0, channel=17)), {}),
    "side_channel_shared": (with_(leaked(0, channel=20)), {}),
    "memory_by_user": (with_(leaked(0, scope="cross_thread", owner="k3f00004")), {}),
    "another_load_test": (with_(leaked(0, scope="other_load_test")), {}),
    "owner_not_known": (with_(leaked(0, scope="unverified")), {}),
    "step_let_through": (steps_(failed_step(0, "HTTP 401 or 403", "HTTP 200")), {}),
    "step_server_fault": (steps_(failed_step(0), failed_step(1, came="HTTP 503")), {}),
    "step_token_refused": (steps_(failed_step(0, came="HTTP 401")), {}),
    "step_not_there": (steps_(failed_step(0, came="HTTP 404")), {}),
    "step_rate_limited": (steps_(failed_step(0, came="HTTP 429")), {}),
    "step_unanswered": (steps_(failed_step(0, came="timed out after 5 s")), {}),
    "step_answers_otherwise": (steps_(failed_step(0, "the answer in the history", "2 messages, neither of them")), {}),
}  # fmt: skip

#: causes that share a history with another: what one picture may mean twice, or a narrower cause beside a wider one
TOGETHER: dict[str, set[str]] = {
    "still_starting": {"no_welcome"},
    "secret_differs": {"transport_not_read_perhaps"},
    "transport_not_read_perhaps": {"secret_differs"},
    "settings_missing": {"validator_refuses"},
    "other_greeting": {"no_welcome"},
    "target_ended": {"transport_died"},
    "all_lost_at_once": {"transport_died"},
    "rate_limited": {"refused_in_words"},
    "id_used_before": {"refused_in_words"},
    "not_the_owner": {"refused_in_words"},
    "seen_on_other_sockets": {"events_routed_past", "socket_chosen_wrongly"},
    "session_left_behind": {"first_event_lost_sometimes"},
    "several_session_managers": {"event_dropped", "chunk_dropped"},
    "part_degraded": {"tool_hangs"},
    "slows_down": {"task_died"},
    "cascading_cancel": {"agent_said_so"},
    "agents_own_timeout": {"agent_said_so"},
    "models_limit": {"agent_said_so"},
}
