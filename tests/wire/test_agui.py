"""The agui dialect: frames in, events out; held against the published types of AG-UI where they are installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosstalk.checks.run import RunCheck
from crosstalk.wire.agui import KINDS, Agui
from crosstalk.wire.dialect import Call, Place, Turn
from crosstalk.wire.event import RUN_KINDS, Event, Kind

AGUI = Agui()
TURN = Turn(
    text="What does it cost?", user_id="u1", thread_id="t1", run_id="", message_id="m1", context={"reference": "x"},
    traceparent="00-1-2-01",
)  # fmt: skip
IDS = {"threadId": "t1", "runId": "r1"}
THOUGHT, CALL, MESSAGE = {"messageId": "m2"}, {"toolCallId": "c1"}, {"messageId": "m3"}
RUN: list[dict[str, Any]] = [
    {"type": "RUN_STARTED", **IDS},
    {"type": "STEP_STARTED", "stepName": "supervisor"},
    {"type": "REASONING_START", **THOUGHT},
    {"type": "REASONING_MESSAGE_START", **THOUGHT, "role": "reasoning"},
    {"type": "REASONING_MESSAGE_CONTENT", **THOUGHT, "delta": "Let me see."},
    {"type": "REASONING_MESSAGE_END", **THOUGHT},
    {"type": "REASONING_END", **THOUGHT},
    {"type": "TOOL_CALL_START", **CALL, "toolCallName": "plans"},
    {"type": "TOOL_CALL_ARGS", **CALL, "delta": '{"of": "us"}'},
    {"type": "TOOL_CALL_END", **CALL},
    {"type": "TOOL_CALL_RESULT", **CALL, "messageId": "m4", "content": '{"status": "completed"}', "role": "tool"},
    {"type": "TEXT_MESSAGE_START", **MESSAGE, "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", **MESSAGE, "delta": "It is "},
    {"type": "TEXT_MESSAGE_CONTENT", **MESSAGE, "delta": "free."},
    {"type": "TEXT_MESSAGE_END", **MESSAGE},
    {"type": "STEP_FINISHED", "stepName": "supervisor"},
    {"type": "RUN_FINISHED", **IDS, "result": "It is free."},
]


def one(frame: dict[str, Any]) -> Event:
    [event] = AGUI.decode(json.dumps(frame).encode())
    return event


def violations(frames: list[dict[str, Any]]) -> list[str]:
    check = RunCheck(AGUI.lifecycle)
    events = [event for event in map(one, frames) if event.kind in RUN_KINDS]
    seen = [v.name for n, event in enumerate(events) for v in check.advance(event, n).violations]
    return seen + [violation.name for violation in check.conclude()]


def without(*names: str) -> list[dict[str, Any]]:
    return [frame for frame in RUN if frame["type"] not in names]


# --- what comes in --------------------------------------------------------------------------------------------------


def test_a_run_is_right_and_what_is_wrong_with_one_is_found() -> None:
    assert violations(RUN) == []
    assert violations(without("REASONING_MESSAGE_CONTENT")) == ["missing"]
    assert violations(without("TOOL_CALL_RESULT")) == ["missing"]
    assert violations(without("RUN_FINISHED")) == ["no_end"]
    assert violations([*RUN[:13], *RUN[14:]]) == ["text_differs"]
    assert violations([*RUN[:8], RUN[7], *RUN[8:]]) == ["duplicate"]
    assert violations([*RUN, {"type": "RUN_ERROR", "message": "no", "code": "X"}]) == ["two_ends"]


def test_frames_that_open_or_close_are_no_events_of_the_run() -> None:
    kinds = {frame["type"]: one(frame).kind for frame in RUN}
    quiet = {name for name in kinds if name.endswith(("_START", "_END")) and name != "TOOL_CALL_START"}
    assert {kinds[name] for name in quiet} == {Kind.OTHER}
    assert len(quiet) == 7


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_every_name_has_its_kind(name: str, kind: Kind) -> None:
    event = one({"type": name})
    assert (event.kind, event.name) == (kind, name)


def test_what_is_not_known_is_told_by_its_name() -> None:
    assert (one({"type": "SURPRISE"}).kind, one({"type": "SURPRISE"}).name) == (Kind.OTHER, "SURPRISE")


def test_ids_are_those_of_the_frame() -> None:
    assert (one(RUN[0]).run_id, one(RUN[0]).thread_id) == ("r1", "t1")
    assert (one(RUN[7]).call_id, one(RUN[7]).tool, one(RUN[10]).call_id) == ("c1", "plans", "c1")
    assert one(RUN[12]).run_id == "", "a piece of text names its message, not its run"


@pytest.mark.parametrize(
    ("content", "ok"),
    [
        ('{"status": "completed"}', True),
        ('{"status": "error"}', False),
        ('{"error": "no such plan"}', False),
        ("plain text", True),
        ("", True),
        (None, True),
        ("[1]", True),
    ],
)
def test_a_failed_tool_says_so_in_its_content(content: object, ok: bool) -> None:
    assert one({"type": "TOOL_CALL_RESULT", **CALL, "content": content}).ok is ok


def test_a_step_of_another_agent_is_a_handoff() -> None:
    event = one({"type": "STEP_STARTED", "stepName": "hand-off to billing"})
    assert (event.kind, event.agent) == (Kind.HANDOFF, "billing")
    assert one({"type": "STEP_STARTED", "stepName": "billing"}).kind is Kind.NOTICE


def test_an_error_ends_the_run_that_its_metadata_names() -> None:
    event = one({"type": "RUN_ERROR", "message": "too long", "code": "TIMEOUT", "metadata": IDS})
    assert (event.kind, event.run_id, event.thread_id) == (Kind.ERROR, "r1", "t1")
    assert (event.text, event.code) == ("too long", "TIMEOUT")


def test_an_error_that_refuses_a_request_ends_no_run() -> None:
    event = one({"type": "RUN_ERROR", "message": "no", "code": "BAD_MESSAGE", "metadata": {"refused": "RUN"}})
    assert (event.kind, event.code) == (Kind.REFUSED, "BAD_MESSAGE")


def test_the_same_piece_may_come_twice_and_the_same_call_may_not() -> None:
    assert one(RUN[12]).key == ""
    assert one(RUN[7]).key == one(RUN[7]).key != one(RUN[10]).key


@pytest.mark.parametrize(
    "frame", [b"", b"{", b"[]", b'"text"', b"{}", b"null", b'{"type": 7}', b'{"type": []}', b"\xff"]
)
def test_what_it_cannot_read_is_malformed(frame: bytes) -> None:
    [event] = AGUI.decode(frame)
    assert event.kind is Kind.MALFORMED and event.text


def test_an_id_that_is_nested_deeply_is_no_id() -> None:
    [event] = AGUI.decode(b'{"type": "RUN_STARTED", "runId": ' + b"[" * 1000 + b"]" * 1000 + b"}")
    assert event.run_id == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "runId",
    "threadId",
    "stepName",
    "toolCallId",
    "toolCallName",
    "delta",
    "content",
    "result",
    "metadata",
    "code",
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.sampled_from([*KINDS, "OTHER"]), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_it_never_raises(name: str, fields: dict[str, Any]) -> None:
    event = one({**fields, "type": name})
    assert all(isinstance(value, str) for value in (event.run_id, event.thread_id, event.text, event.call_id))


# --- what goes out --------------------------------------------------------------------------------------------------


def test_a_thread_is_made_over_http_and_told_where_its_socket_is() -> None:
    assert AGUI.create(TURN) == Call("POST", "/agui/threads", {})
    assert AGUI.created({"threadId": "t1", "socket": "/s"}) == Place(thread_id="t1", socket_path="/s")
    assert AGUI.created({}) == Place()
    assert AGUI.delete_thread("t1") == Call("DELETE", "/agui/threads/t1")


def test_a_prompt_has_the_words_the_context_and_the_trace() -> None:
    said = json.loads(AGUI.prompt(TURN))
    assert (said["type"], said["threadId"]) == ("RUN", "t1") and "runId" not in said
    assert said["messages"] == [{"id": "m1", "role": "user", "content": "What does it cost?"}]
    assert said["context"] == [{"description": "reference", "value": "x"}]
    assert said["forwardedProps"] == {"traceparent": "00-1-2-01"}


def test_a_token_travels_in_the_first_message_and_is_left_out_where_there_is_none() -> None:
    [frame] = AGUI.opening("abc")
    assert json.loads(frame) == {"type": "authenticate", "token": "abc"}
    assert list(AGUI.opening("")) == []


def test_a_cancel_names_its_run() -> None:
    assert json.loads(AGUI.cancel("r1")) == {"type": "CANCEL", "runId": "r1"}


# --- the published types --------------------------------------------------------------------------------------------


def test_what_is_understood_is_what_is_published() -> None:
    core = pytest.importorskip("ag_ui.core")
    pydantic = pytest.importorskip("pydantic")
    published = {str(kind.value) for kind in core.EventType}
    # names of versions before 1.0 are still understood
    assert {name for name in KINDS if name not in published} <= {"THINKING_TEXT_MESSAGE_CONTENT"}
    events = pydantic.TypeAdapter(core.Event)
    for frame in RUN:
        read = events.validate_python(frame)
        assert not read.model_extra, frame


def test_a_prompt_is_a_published_input_but_for_the_run_id_that_the_server_chooses() -> None:
    core = pytest.importorskip("ag_ui.core")
    said = json.loads(AGUI.prompt(TURN))
    assert said.pop("type") == "RUN"
    read = core.RunAgentInput.model_validate({**said, "runId": "the server's"})
    assert not read.model_extra
    assert (read.messages[0].content, read.context[0].value, read.thread_id) == ("What does it cost?", "x", "t1")
