"""The per_run dialect: frames that name no run, numbered, with text in base64; in go frames, out come events."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.run import RunCheck
from crosstalk.wire.dialect import Call, Place, Turn
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.per_run import KINDS, PerRun

PER_RUN = PerRun()


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


RUN: list[dict[str, Any]] = [
    {"event": name, "seq": n, "agent": "supervisor", **fields}
    for n, (name, fields) in enumerate(
        [
            ("run.started", {}),
            ("thought", {"thought": "Let me see."}),
            ("tool.call", {"call": "c1", "tool": "plans", "arguments": {}}),
            ("tool.result", {"call": "c1", "tool": "plans", "ok": True, "result": {}}),
            ("token", {"text": coded("It is ")}),
            ("token", {"text": coded("ünlimited.")}),
            ("run.done", {"text": coded("It is ünlimited."), "ms": 12}),
        ],
        1,
    )
]


def one(frame: dict[str, Any]) -> Event:
    [event] = PER_RUN.decode(json.dumps(frame).encode())
    return event


def violations(frames: list[dict[str, Any]]) -> list[str]:
    check = RunCheck(PER_RUN.lifecycle)
    seen = [v.name for n, frame in enumerate(frames) for v in check.advance(one(frame), n).violations]
    return seen + [violation.name for violation in check.conclude()]


def test_a_run_is_right_and_what_is_wrong_with_one_is_found() -> None:
    assert violations(RUN) == []
    assert violations(RUN[1:]) == ["missing"]
    assert violations(RUN[:-1]) == ["no_end"]
    assert violations([*RUN[:3], *RUN[4:]]) == ["missing"]
    assert violations([*RUN[:5], *RUN[6:]]) == ["text_differs"]
    assert violations([*RUN[:2], *RUN[1:]]) == ["duplicate"]
    assert violations([RUN[1], RUN[0], *RUN[2:]]) == ["out_of_order"]
    assert violations([*RUN, {"event": "thought", "seq": 8, "thought": "One more."}]) == ["late"]


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_every_name_has_its_kind(name: str, kind: Kind) -> None:
    event = one({"event": name})
    assert (event.kind, event.name, event.kind in RUN_KINDS) == (kind, name, True)


def test_what_is_not_known_is_told_by_its_name() -> None:
    assert (one({"event": "surprise"}).kind, one({"event": "surprise"}).name) == (Kind.OTHER, "surprise")


def test_frames_name_nobody() -> None:
    assert PER_RUN.frames_name_runs is False and PER_RUN.ids_from == "server" and PER_RUN.socket_per == "run"
    assert {(event.run_id, event.user_id, event.thread_id) for event in map(one, RUN)} == {("", "", "")}


def test_text_is_decoded_and_thoughts_are_plain() -> None:
    assert [event.text for event in map(one, RUN)] == [
        "",
        "Let me see.",
        "",
        "",
        "It is ",
        "ünlimited.",
        "It is ünlimited.",
    ]
    assert PER_RUN.encodes_text is True


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert one({"event": "token", "text": coded(text)}).text == text


def test_a_number_tells_frames_apart() -> None:
    assert [event.key for event in map(one, RUN)] == [f"seq:{n}" for n in range(1, 8)]
    assert one({"event": "thought"}).key == ""


def test_a_tool_has_its_call_and_says_whether_it_failed() -> None:
    assert (one(RUN[2]).call_id, one(RUN[3]).call_id, one(RUN[2]).tool, one(RUN[2]).agent) == (
        "c1", "c1", "plans", "supervisor",
    )  # fmt: skip
    assert (one(RUN[3]).ok, one({**RUN[3], "ok": False}).ok) == (True, False)


def test_a_failure_has_its_code_and_its_message() -> None:
    event = one({"event": "run.failed", "seq": 3, "code": "TIMEOUT", "message": "too long"})
    assert (event.kind, event.code, event.text) == (Kind.ERROR, "TIMEOUT", "too long")


@pytest.mark.parametrize(
    "frame", [b"", b"{", b"[]", b'"text"', b"{}", b"null", b'{"event": 7}', b'{"event": []}', b"\xff"]
)
def test_what_it_cannot_read_is_malformed(frame: bytes) -> None:
    [event] = PER_RUN.decode(frame)
    assert event.kind is Kind.MALFORMED and event.text


@pytest.mark.parametrize("text", ["no base64!", "YQ", base64.b64encode(b"\xff\xfe").decode()])
def test_text_that_is_no_base64_of_utf8_is_malformed(text: str) -> None:
    event = one({"event": "token", "text": text})
    assert event.kind is Kind.MALFORMED and "base64" in event.text


@pytest.mark.parametrize("text", ["äöü", 7, ["x"], {"a": 1}], ids=["not ASCII", "number", "list", "object"])
def test_text_that_is_no_text_at_all_is_malformed(text: object) -> None:
    assert one({"event": "token", "text": text}).kind is Kind.MALFORMED


def test_an_id_that_is_nested_deeply_is_no_id() -> None:
    [event] = PER_RUN.decode(b'{"event": "thought", "agent": ' + b"[" * 1000 + b"]" * 1000 + b"}")
    assert event.agent == ""


def test_no_text_is_an_empty_one() -> None:
    assert one({"event": "token"}).text == "" and one({"event": "run.done", "text": None}).text == ""


# --- what goes out --------------------------------------------------------------------------------------------------


def turn(**more: Any) -> Turn:
    return Turn(**{"text": "Hello.", "user_id": "u1", "thread_id": "", "run_id": "", "message_id": "m1", **more})


def test_a_run_is_made_over_http_and_nothing_is_said_on_its_socket() -> None:
    assert PER_RUN.create(turn()) == Call("POST", "/runs", {"input": "Hello."})
    assert PER_RUN.prompt(turn()) is None
    assert PER_RUN.cancel("r1") is None


def test_a_later_run_names_its_conversation_and_a_private_context_travels() -> None:
    made = PER_RUN.create(turn(thread_id="c9", context={"reference": "x"}))
    assert made.json == {"input": "Hello.", "context": {"reference": "x"}, "conversation": "c9"}


def test_the_answer_tells_the_run_its_conversation_and_its_socket() -> None:
    answer = {"run": "r1", "conversation": "c9", "socket": "/ws/runs/r1"}
    assert PER_RUN.created(answer) == Place(thread_id="c9", run_id="r1", socket_path="/ws/runs/r1")
    assert PER_RUN.created({}) == Place()


def test_a_token_travels_in_the_first_message_and_is_left_out_where_there_is_none() -> None:
    [frame] = PER_RUN.opening("abc")
    assert json.loads(frame) == {"type": "authenticate", "token": "abc"}
    assert list(PER_RUN.opening("")) == []
