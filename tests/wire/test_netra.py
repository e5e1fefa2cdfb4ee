"""The netra dialect: every envelope says the same, nothing raises, and what is sent is what the protocol expects."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crosstalk.wire.dialect import Call, Turn
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.netra import Netra
from crosstalk.wire.netra_events import AUTH_CODES, KINDS, WRAPPERS
from tests.helpers import event_of, frame

NETRA = Netra()
IDS = {"run_id": "r17", "user_id": "k3f00017", "agent_name": "supervisor"}
RESULT = {"tool_name": "cost_lookup", "call_id": "c1", "result": {}, "status": "completed"}


def decoded(message):
    return list(NETRA.decode(json.dumps(message).encode()))


# --- envelopes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"type": "tool_completed", **IDS, "timestamp": "2025-09-15T00:26:26+00:00", "data": RESULT},
        {"type": "tool_completed", **IDS, **RESULT, "critical": True, "attempt": 1},
        {"type": "tool_completed", **IDS, "payload": RESULT},
        {"type": "system_message", "data": {"event": "tool_completed", **IDS, "payload": RESULT}},
        {"type": "agent_progress", **IDS, "data": {"type": "tool_completed", **RESULT}},
        {"type": "agent_response_complete", "data": {"event": "tool_completed", "turn_id": "r17", "user_id": "k3f00017",
                                                     "agent_name": "supervisor", **RESULT}},
    ],
    ids=["main", "flattened", "payload", "wrapped", "wrapped by type", "turn id"],
)  # fmt: skip
def test_every_envelope_says_the_same(message):
    [event] = decoded(message)
    assert (event.kind, event.run_id, event.user_id, event.agent) == (
        Kind.TOOL_COMPLETED, "r17", "k3f00017", "supervisor",
    )  # fmt: skip
    assert (event.tool, event.call_id, event.ok, event.name) == ("cost_lookup", "c1", True, "tool_completed")


def test_a_batch_is_its_events_in_order():
    batch = {"type": "event_batch", "events": [{"type": "agent_started", **IDS}, {"type": "agent_thinking", **IDS}]}
    assert [(event.kind, event.run_id) for event in decoded(batch)] == [(Kind.STARTED, "r17"), (Kind.THINKING, "r17")]


def test_a_batch_with_an_entry_that_is_no_event_keeps_the_others():
    assert [event.kind for event in decoded({"type": "event_batch", "events": ["?", {"type": "pong"}]})] == [Kind.PONG]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("agent_started", "started"),
        ("agent_thinking", "thinking"),
        ("tool_executing", "tool_executing"),
        ("tool_completed", "tool_completed"),
        ("agent_response_chunk", "chunk"),
        ("agent_handoff", "handoff"),
        ("agent_completed", "completed"),
        ("agent_error", "error"),
        ("agent_death", "notice"),
        ("partial_result", "notice"),
        ("progress_update", "notice"),
        ("agent_progress", "notice"),
        ("thread_updated", "notice"),
        ("connection_established", "welcome"),
        ("ack", "ack"),
        ("pong", "pong"),
        ("heartbeat", "heartbeat"),
        ("error_message", "refused"),
        ("error", "refused"),
    ],
)
def test_every_name_has_its_kind(name, kind):
    [event] = decoded({"type": name, "run_id": "r1"})
    assert (event.kind, event.name) == (kind, name)


def test_a_name_that_nobody_knows_is_other():
    assert decoded({"type": "weather_report"})[0].kind is Kind.OTHER


def test_the_welcome_names_its_user_also_when_wrapped():
    data = {"mode": "main", "user_id": "k3f00017...", "connection_id": "main_1"}
    [plain] = decoded({"type": "connection_established", "data": data})
    [wrapped] = decoded({"type": "system_message", "data": {"event": "connection_established", **data}})
    assert [(event.kind, event.user_id) for event in (plain, wrapped)] == [(Kind.WELCOME, "k3f00017...")] * 2


# --- fields ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("agent_response_chunk", {"chunk": "He", "chunk_index": 0}, "He"),
        ("agent_completed", {"result": "Hello"}, "Hello"),
        ("agent_completed", {"result": {"text": "Hello"}}, "Hello"),
        ("agent_completed", {"response": "Hello"}, "Hello"),
        ("agent_completed", {"result": "", "response": "no"}, ""),
        ("agent_completed", {}, ""),
        ("agent_thinking", {"thought": "hm"}, "hm"),
        ("agent_error", {"error_message": "no luck", "error_code": "AGENT_FAILED"}, "no luck"),
    ],
)
def test_the_text_of_an_event(name, data, text):
    assert event_of(frame(name, run="r1", **data)).text == text


def test_an_error_carries_its_code():
    assert (
        event_of(frame("agent_error", run="r1", error_code="AGENT_FAILED", error_message="no")).code == "AGENT_FAILED"
    )


@pytest.mark.parametrize(
    ("data", "ok"),
    [
        ({"status": "completed"}, True),
        ({}, True),
        ({"status": "error"}, False),
        ({"status": "failed"}, False),
        ({"status": "completed", "error": "503"}, False),
    ],
)
def test_a_tool_that_failed_is_not_ok(data, ok):
    assert event_of(frame("tool_completed", run="r1", tool_name="t", **data)).ok is ok


@pytest.mark.parametrize("code", sorted(AUTH_CODES))
def test_an_authentication_error_ends_the_connections_way_up(code):
    assert event_of(frame("error_message", error_code=code)).kind is Kind.REJECTED


def test_any_other_error_message_refuses_one_request():
    event = event_of(frame("error_message", run="r1", error_code="RATE_LIMITED", error_message="slow down"))
    assert (event.kind, event.code, event.text, event.run_id) == (Kind.REFUSED, "RATE_LIMITED", "slow down", "r1")


def test_a_tool_without_a_call_id_is_paired_by_its_name():
    assert event_of(frame("tool_executing", run="r1", tool_name="cost_lookup")).call_id == "cost_lookup"


# --- the same event, sent twice -------------------------------------------------------------------------------------


def key(name, **data):
    agent = data.pop("agent", "supervisor")
    return event_of(frame(name, run="r1", agent=agent, **data)).key


def test_a_retried_tool_event_is_told_by_its_call_id():
    first = key("tool_completed", tool_name="t", call_id="c1", status="completed", attempt=1)
    assert first == key("tool_completed", tool_name="t", call_id="c1", status="completed", attempt=2)
    assert first != key("tool_completed", tool_name="t", call_id="c2", status="completed", attempt=1)
    assert first != key("tool_executing", tool_name="t", call_id="c1")


def test_a_retried_chunk_is_told_by_its_number_text_task_and_agent():
    first = key("agent_response_chunk", chunk="a", chunk_index=0, attempt=1)
    assert first != key("agent_response_chunk", chunk="b", chunk_index=0, attempt=1)
    assert first == key("agent_response_chunk", chunk="a", chunk_index=0, attempt=2)
    assert first != key("agent_response_chunk", chunk="a", chunk_index=1, attempt=1)
    assert first != key("agent_response_chunk", chunk="a", chunk_index=0, task_id="t2")
    assert first != key("agent_response_chunk", chunk="a", chunk_index=0, agent="billing")


def test_anything_else_is_told_by_its_bytes():
    assert key("agent_thinking", thought="hm") == key("agent_thinking", thought="hm")
    assert key("agent_thinking", thought="hm") != key("agent_thinking", thought="hmm")


def test_two_calls_of_a_tool_without_ids_are_not_one_event():
    assert key("tool_executing", tool_name="t", arguments={"n": 1}) != key(
        "tool_executing", tool_name="t", arguments={"n": 2}
    )


# --- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b'{"type": "agent_thi', b"[1]", b'"agent_started"', b"7", b"null"]
)
def test_what_is_no_message_is_malformed_and_says_why(data):
    [event] = NETRA.decode(data)
    assert event.kind is Kind.MALFORMED
    assert event.text


scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=10)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner)
)
known = st.sampled_from([*KINDS, *WRAPPERS, "event_batch", "event", "type", "data", "payload", "events"])
fields = st.sampled_from(
    ["type", "data", "payload", "events", "event", "run_id", "turn_id", "user_id", "thread_id", "agent_name", "agent",
     "tool_name", "call_id", "chunk", "chunk_index", "task_id", "result", "response", "status", "error", "error_code"]
)  # fmt: skip
near_misses = st.recursive(
    known | json_values,
    lambda inner: st.dictionaries(fields, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=12,
)


def check_events(data):
    for event in NETRA.decode(data):
        assert isinstance(event, Event)
        texts = (event.run_id, event.user_id, event.thread_id, event.agent, event.tool, event.call_id, event.text)
        assert all(isinstance(text, str) for text in (*texts, event.key, event.code, event.name))
        assert isinstance(event.index, int) and isinstance(event.ok, bool)


@given(near_misses)
@example({"type": [], "data": {}})
@example({"type": {}, "data": {"event": []}})
@example({"type": "tool_completed", "call_id": [], "status": {}, "data": {"payload": []}})
def test_decoding_never_raises_and_yields_events_of_text(message):
    check_events(json.dumps(message).encode())


def deep(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "data",
    [
        b'{"type": "agent_completed", "result": %s, "run_id": %s}' % (deep(1000), deep(1000)),
        b'{"type": "event_batch", "events": [{"type": "pong", "data": %s}]}' % deep(900),
        b'{"type": %s, "data": {"event": %s}}' % (deep(500), deep(500)),
        deep(100_000),
    ],
    ids=["ids", "batch", "type", "too deep to read"],
)
def test_nor_does_a_frame_that_is_nested_deeply(data):
    check_events(data)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_never_raise(data):
    assert all(isinstance(event, Event) for event in NETRA.decode(data))


# --- what is sent ---------------------------------------------------------------------------------------------------


def turn(**changes):
    values = {"text": "hello", "user_id": "k3f00017", "thread_id": "thread-1", "run_id": "run-1", "message_id": "msg-1"}
    return Turn(**{**values, **changes})


def test_a_prompt_says_who_where_and_what():
    said = json.loads(NETRA.prompt(turn(traceparent="00-a-b-01")))
    assert said == {
        "type": "execute_agent",
        "user_id": "k3f00017",
        "thread_id": "thread-1",
        "request_id": "msg-1",
        "traceparent": "00-a-b-01",
        "payload": {"user_request": "hello", "thread_id": "thread-1", "run_id": "run-1"},
    }


def test_context_and_profile_travel_beside_the_prompt_and_only_where_there_are_any():
    said = json.loads(NETRA.prompt(turn(context={"reference": "c"}, profile={"name": "n"})))["payload"]
    assert (said["context"], said["profile"], said["user_request"]) == ({"reference": "c"}, {"name": "n"}, "hello")


def test_the_token_travels_in_the_first_message_only_where_it_is_given():
    assert [json.loads(text) for text in NETRA.opening("t")] == [{"type": "authenticate", "token": "t"}]
    assert list(NETRA.opening("")) == []


def test_the_other_frames():
    assert json.loads(NETRA.cancel("run-1")) == {"type": "stop_agent", "payload": {"run_id": "run-1"}}
    assert json.loads(NETRA.ping(1.5)) == {"type": "ping", "timestamp": 1.5}
    assert json.loads(NETRA.probe("m1"))["message_id"] == "m1"
    assert json.loads(NETRA.probe("m1"))["type"] not in {"execute_agent", "ping", "stop_agent", "authenticate"}
    assert NETRA.delete_thread("thread-1") == Call("DELETE", "/api/threads/thread-1")


def test_kinds_that_concern_a_run_are_those_of_the_agents_names():
    about_runs = {name for name, kind in KINDS.items() if kind in RUN_KINDS}
    assert about_runs >= {"agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"}
    assert not about_runs & {"ack", "pong", "heartbeat", "error_message", "connection_established"}
