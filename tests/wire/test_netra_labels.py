"""How an event of the netra protocol is packed, what it says of itself, and which attempt it is."""

import json

import pytest

from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra

NETRA = Netra()
WHOSE = {"run_id": "r17", "user_id": "u17", "thread_id": "t17", "agent_name": "supervisor"}
WHEN = {"timestamp": "2025-09-15T00:26:26.5+00:00"}
WHEN_S = 1757895986.5
MAIN = {"type": "agent_thinking", **WHOSE, **WHEN, "data": {"thought": "hm", "step": 1}}
FLAT = {"type": "agent_thinking", **WHOSE, **WHEN, "thought": "hm", "step": 1, "critical": True, "attempt": 1}
INNER = {"event": "agent_thinking", **WHOSE, **WHEN, "thought": "hm"}
WRAPPED = {"type": "system_message", "timestamp": 1.5, "data": INNER}
TURN = {
    "type": "agent_progress",
    "data": {"type": "tool_completed", "turn_id": "r17", **{k: v for k, v in WHOSE.items() if k != "run_id"}, **WHEN,
             "payload": {"tool_name": "t"}},
}  # fmt: skip


def labels(message):
    return list(NETRA.labels(json.dumps(message).encode()))


def events(message):
    return list(NETRA.decode(json.dumps(message).encode()))


def without(message, *keys):
    return {key: value for key, value in message.items() if key not in keys}


@pytest.mark.parametrize(
    ("message", "envelope"), [(MAIN, "main"), (FLAT, "flattened"), (WRAPPED, "wrapped"), (TURN, "wrapped")]
)
def test_every_envelope_has_its_places(message, envelope):
    [label] = labels(message)
    assert (label.envelope, label.run_id, label.user_id, label.thread_id) == (envelope, "r17", "u17", "t17")
    assert (label.at_s, label.lacks, label.attempt) == (WHEN_S, (), 1)
    assert label.name == events(message)[0].name


def test_a_batch_has_a_label_for_each_event():
    batch = {"type": "event_batch", "events": [MAIN, without(MAIN, "user_id"), "?"]}
    assert [(label.envelope, label.lacks) for label in labels(batch)] == [("batched", ()), ("batched", ("user_id",))]


@pytest.mark.parametrize("key", ["run_id", "user_id", "thread_id", "agent_name", "timestamp"])
def test_what_a_label_lacks_is_named(key):
    assert [label.lacks for label in labels(without(FLAT, key))] == [(key,)]
    assert [label.lacks for label in labels({**WRAPPED, "timestamp": None, "data": without(INNER, key)})] == [(key,)]
    assert [label.lacks for label in labels(without(MAIN, key))] == [() if key == "thread_id" else (key,)]


@pytest.mark.parametrize("said", ["yesterday", "", None, [], True])
def test_a_time_that_cannot_be_read_is_none(said):
    assert [label.lacks for label in labels({**MAIN, "timestamp": said})] == [("timestamp",)]


def test_a_wrapper_without_a_name_is_a_nameless_event():
    [label] = labels({**WRAPPED, "data": without(INNER, "event")})
    assert (label.envelope, label.name, label.lacks) == ("wrapped", "", ())


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ack", "user_id": "u17"},
        {"type": "pong", "data": {}},
        {"type": "system_message", "data": {"event": "connection_established"}},
        [],
        "agent_started",
    ],
)
def test_what_is_no_event_of_a_run_has_no_label(message):
    assert labels(message) == []


def test_a_frame_that_cannot_be_read_has_no_label():
    assert list(NETRA.labels(b"{")) == []
    assert list(NETRA.entries(b"{")) == []
    assert NETRA.envelope_said(b"{") == ""


def test_a_welcome_may_name_the_envelope():
    assert NETRA.envelope_said(b'{"type": "connection_established", "data": {"envelope": "wrapped"}}') == "wrapped"
    assert NETRA.envelope_said(b'{"type": "connection_established", "data": {}}') == ""


# --- attempts -------------------------------------------------------------------------------------------------------


def tried(**changes):
    [event] = events({**FLAT, **changes})
    return event.tried


def test_attempts_of_one_event_share_their_content_whenever_they_were_sent():
    first, second = tried(), tried(attempt=2, timestamp="2025-09-15T00:26:27+00:00")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.content == second.content


@pytest.mark.parametrize("changes", [{"thought": "ah"}, {"run_id": "r18"}, {"type": "agent_started"}, {"step": 2}])
def test_another_event_has_another_content(changes):
    assert tried(**changes).content != tried().content


def test_a_chunk_counts_its_attempts_too():
    [event] = events({"type": "agent_response_chunk", **WHOSE, "chunk": "a", "chunk_index": 0, "attempt": 2})
    assert (event.kind, event.tried.attempt) == (Kind.CHUNK, 2)


@pytest.mark.parametrize("said", ["2", None, 1.5, True])
def test_what_is_no_number_counts_nothing(said):
    assert tried(attempt=said) is None


def test_an_event_that_says_nothing_of_attempts_has_none():
    assert events(MAIN)[0].tried is None


# --- a batch in parts -----------------------------------------------------------------------------------------------


def test_the_parts_of_a_batch_are_all_of_it():
    batch = {"type": "event_batch", "beside": "canary0", "events": [MAIN, "canary1", {**MAIN, "run_id": "r18"}]}
    first, second = NETRA.entries(json.dumps(batch).encode())
    assert b"r17" in first and b"canary0" in first and b"canary1" in first
    assert b"r18" not in first and b"r17" not in second and b"r18" in second
    assert len(events(batch)) == 2


def test_a_frame_of_one_event_has_no_parts():
    assert list(NETRA.entries(json.dumps(MAIN).encode())) == []


def test_what_had_come_of_an_answer_is_the_text_of_its_event():
    [event] = events({"type": NETRA.partial_event, **WHOSE, "data": {"text": "Hello y", "chunks": 2}})
    assert (event.kind, event.text) == (Kind.NOTICE, "Hello y")
