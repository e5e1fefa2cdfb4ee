"""The `per_run` dialect: a run is made over HTTP and has a socket of its own, which starts it and ends with it.

Frames are flat and name no run and no user: the socket does. They are numbered, and text is base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import orjson

from crosstalk.wire.dialect import Call, Dialect, Place, Turn, malformed, scalar
from crosstalk.wire.event import Event, Kind

KINDS = {
    "run.started": Kind.STARTED,
    "thought": Kind.THINKING,
    "tool.call": Kind.TOOL_EXECUTING,
    "tool.result": Kind.TOOL_COMPLETED,
    "token": Kind.CHUNK,
    "handoff": Kind.HANDOFF,
    "run.done": Kind.COMPLETED,
    "run.failed": Kind.ERROR,
}


class PerRun(Dialect):
    name = "per_run"
    socket_path = "/ws/runs"
    socket_per: ClassVar[Literal["user", "thread", "run"]] = "run"
    ready_by: ClassVar[Literal["welcome", "upgrade"]] = "upgrade"
    ids_from: ClassVar[Literal["client", "server"]] = "server"
    frames_name_runs = False
    encodes_text = True

    def decode(self, frame: bytes) -> Iterable[Event]:
        try:
            fields = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return malformed(f"not JSON: {error}")
        if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
            return malformed("expected a JSON object with an event")
        kind = KINDS.get(fields["event"], Kind.OTHER)
        try:
            text = _text(kind, fields)
        except (ValueError, TypeError) as error:  # no text at all, no base64, or no UTF-8
            return malformed(f"text is not base64 of UTF-8: {error}")
        return [
            Event(
                kind,
                agent=scalar(fields.get("agent")),
                tool=scalar(fields.get("tool")),
                call_id=scalar(fields.get("call")),
                text=text,
                ok=bool(fields.get("ok", True)),
                key=f"seq:{scalar(fields['seq'])}" if "seq" in fields else "",
                code=scalar(fields.get("code")),
                name=fields["event"],
            )
        ]

    def create(self, turn: Turn) -> Call:
        body: dict[str, object] = {"input": turn.text}
        if turn.context:
            body["context"] = dict(turn.context)
        if turn.thread_id:
            body["conversation"] = turn.thread_id
        return Call("POST", "/runs", body)

    def created(self, answer: Mapping[str, Any]) -> Place:
        return Place(
            thread_id=str(answer.get("conversation", "")),
            run_id=str(answer.get("run", "")),
            socket_path=str(answer.get("socket", "")),
        )

    def prompt(self, turn: Turn) -> None:
        return None

    def opening(self, token: str) -> Iterable[str]:
        return [orjson.dumps({"type": "authenticate", "token": token}).decode()] if token else []


def _text(kind: Kind, fields: dict[str, Any]) -> str:
    if kind in (Kind.CHUNK, Kind.COMPLETED):
        return base64.b64decode(fields.get("text") or "", validate=True).decode()
    return scalar(fields.get("thought") or fields.get("message"))
