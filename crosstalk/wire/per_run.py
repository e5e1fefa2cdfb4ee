"""The `per_run` dialect: a run is made over HTTP and has a socket of its own, which starts it and ends with it.

Frames are flat and name no run and no user: the socket does. They are numbered, and text is base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import orjson

from crosstalk.wire.dialect import Attempt, Belongings, Call, Dialect, Place, Turn, malformed, scalar
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.surfaces import administration, by_http, messages_in, objects_in

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

    def delete_thread(self, thread_id: str) -> Call:
        return Call("DELETE", f"/conversations/{thread_id}")

    def list_threads(self) -> Call:
        return Call("GET", "/conversations?limit=1000")

    def listed(self, answer: Mapping[str, Any]) -> Iterable[str]:
        return [scalar(one.get("conversation")) for one in objects_in(answer, "conversations")]

    def history(self, thread_id: str) -> Call:
        return Call("GET", f"/conversations/{thread_id}?limit=1000")

    def messages(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        return messages_in(answer)

    def reach(self, of: Belongings) -> Iterable[Attempt]:
        """Over HTTP alone: on its socket there is nothing to say."""
        thread, run = f"/conversations/{of.thread_id}", f"/runs/{of.run_id}"
        if of.thread_id:
            yield by_http("read", "thread", "path", "GET", thread)
        if of.run_id:
            yield by_http("read", "run", "path", "GET", run)
        if of.thread_id:
            said: dict[str, object] = {"input": "hello", "conversation": of.thread_id}
            yield by_http("continue", "thread", "body", "POST", "/runs", said)
        if of.run_id:
            yield by_http("cancel", "run", "path", "DELETE", run)
        if of.thread_id:
            yield by_http("delete", "thread", "path", "DELETE", thread)

    def functions(self) -> Iterable[Attempt]:
        return administration("a word to all")

    def logout(self) -> Call:
        return Call("POST", "/auth/logout")

    def run_status(self, run_id: str) -> Call:
        return Call("GET", f"/runs/{run_id}")

    def end_over_http(self, run_id: str, verb: Literal["stop", "cancel"]) -> Call | None:
        return Call("DELETE", f"/runs/{run_id}") if verb == "cancel" else None


def _text(kind: Kind, fields: dict[str, Any]) -> str:
    if kind in (Kind.CHUNK, Kind.COMPLETED):
        return base64.b64decode(fields.get("text") or "", validate=True).decode()
    return scalar(fields.get("thought") or fields.get("message"))
