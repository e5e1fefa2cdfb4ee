"""The `netra` dialect: one socket per user, a welcome frame, client-chosen ids, five events, three envelopes.

All envelopes are normalised in `_events`: the real name is in `data` when the outer type is only a wrapper, and the
fields are those of the root, of `payload` and of `data` taken together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import orjson

from crosstalk.wire.dialect import Attempt, Belongings, Call, Dialect, Turn, malformed, scalar
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.netra_surfaces import functions, provocations, ways_to_reach
from crosstalk.wire.surfaces import framed, messages_in, objects_in

WRAPPERS = frozenset({"system_message", "agent_progress", "agent_response_complete"})

KINDS = {
    "agent_started": Kind.STARTED,
    "agent_thinking": Kind.THINKING,
    "tool_executing": Kind.TOOL_EXECUTING,
    "tool_completed": Kind.TOOL_COMPLETED,
    "agent_response_chunk": Kind.CHUNK,
    "agent_handoff": Kind.HANDOFF,
    "agent_completed": Kind.COMPLETED,
    "agent_error": Kind.ERROR,
    "agent_death": Kind.NOTICE,
    "partial_result": Kind.NOTICE,
    "progress_update": Kind.NOTICE,
    "agent_progress": Kind.NOTICE,
    "thread_updated": Kind.NOTICE,
    "connection_established": Kind.WELCOME,
    "ack": Kind.ACK,
    "pong": Kind.PONG,
    "heartbeat": Kind.HEARTBEAT,
    "error_message": Kind.REFUSED,
    "error": Kind.REFUSED,
}

#: error codes that end the connection's authentication, not one request
AUTH_CODES = frozenset({"AUTH_FAILED", "AUTH_ERROR", "TOKEN_EXPIRED", "INVALID_TOKEN", "UNAUTHORIZED"})

#: the answer to a cancel that crossed the end of its run: no run that is in progress is refused by it
TOO_LATE = "RUN_ENDED"


class Netra(Dialect):
    name = "netra"
    socket_path = "/ws"
    welcome_names_user: ClassVar[Literal["full", "prefix", "no"]] = "prefix"
    token_checks = ("aud", "iss", "token_type")
    fan_out: ClassVar[bool | None] = True

    def decode(self, frame: bytes) -> Iterable[Event]:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return malformed(f"not JSON: {error}")
        if not isinstance(message, dict):
            return malformed(f"expected a JSON object, got {type(message).__name__}")
        if message.get("type") == "event_batch" and isinstance(message.get("events"), list):
            entries = [entry for entry in message["events"] if isinstance(entry, dict)]
            return [_event(entry, _bytes_of(entry)) for entry in entries]
        return [_event(message, frame)]

    def prompt(self, turn: Turn) -> str:
        payload: dict[str, Any] = {"user_request": turn.text, "thread_id": turn.thread_id, "run_id": turn.run_id}
        if turn.context:
            payload["context"] = dict(turn.context)
        if turn.profile:
            payload["profile"] = dict(turn.profile)
        frame = {
            "type": "execute_agent",
            "user_id": turn.user_id,
            "thread_id": turn.thread_id,
            "request_id": turn.message_id,
            "traceparent": turn.traceparent,
            "payload": payload,
        }
        return orjson.dumps(frame).decode()

    def opening(self, token: str) -> Iterable[str]:
        return [orjson.dumps({"type": "authenticate", "token": token}).decode()] if token else []

    def cancel(self, run_id: str) -> str:
        return orjson.dumps({"type": "stop_agent", "payload": {"run_id": run_id}}).decode()

    def ping(self, now_s: float) -> str:
        return orjson.dumps({"type": "ping", "timestamp": now_s}).decode()

    def probe(self, message_id: str) -> str:
        # an unknown type is answered by an ack that carries the full user id
        return orjson.dumps({"type": "who_am_i", "message_id": message_id}).decode()

    def delete_thread(self, thread_id: str) -> Call:
        return Call("DELETE", f"/api/threads/{thread_id}")

    def list_threads(self) -> Call:
        return Call("GET", "/api/threads?limit=1000")

    def listed(self, answer: Mapping[str, Any]) -> Iterable[str]:
        return [scalar(thread.get("id")) for thread in objects_in(answer, "threads")]

    def history(self, thread_id: str) -> Call:
        return Call("GET", f"/api/threads/{thread_id}/messages?limit=1000")

    def messages(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        return messages_in(answer)

    def reach(self, of: Belongings) -> Iterable[Attempt]:
        return ways_to_reach(of)

    def functions(self) -> Iterable[Attempt]:
        return functions()

    def resume(self, of: Belongings) -> str | None:
        """The cursor is how many events of runs had come in on the old connection."""
        if not of.connection_id:
            return None
        last = int(of.cursor) if of.cursor.isdecimal() else 0
        return framed("resume", payload={"connection_id": of.connection_id, "last_event": last})

    def authenticate_again(self, token: str) -> str:
        return framed("authenticate", token=token)

    def logout(self) -> Call:
        return Call("POST", "/auth/logout")

    def provoke(self, reference: str) -> Iterable[str]:
        return provocations(reference)


def _event(message: dict[str, Any], frame: bytes) -> Event:
    outer = message.get("type")
    data = message.get("data")
    fields: dict[str, Any] = message
    if isinstance(data, dict):
        inner = data.get("event") or data.get("type") if scalar(outer) in WRAPPERS else None
        outer = inner or outer
        payload = data.get("payload")
        fields = {**message, **data, **(payload if isinstance(payload, dict) else {})}
    elif isinstance(message.get("payload"), dict):
        fields = {**message, **message["payload"]}
    name = scalar(outer)
    kind = KINDS.get(name, Kind.OTHER)
    code = scalar(fields.get("error_code") or fields.get("code"))
    if kind is Kind.REFUSED and code in AUTH_CODES:
        kind = Kind.REJECTED
    elif kind is Kind.REFUSED and code == TOO_LATE:
        kind = Kind.OTHER
    call_id = scalar(fields.get("call_id") or fields.get("tool_call_id") or fields.get("tool_name"))
    index = fields.get("chunk_index", -1)
    return Event(
        kind,
        run_id=scalar(fields.get("run_id") or fields.get("turn_id")),
        user_id=scalar(fields.get("user_id")),
        thread_id=scalar(fields.get("thread_id")),
        agent=scalar(fields.get("agent_name") or fields.get("agent")),
        tool=scalar(fields.get("tool_name")),
        call_id=call_id,
        text=_content(kind, fields),
        index=index if isinstance(index, int) else -1,
        ok=fields.get("status") not in ("error", "failed") and not fields.get("error"),
        key=_key(kind, fields, call_id, frame),
        code=code,
        name=name,
        connection_id=scalar(fields.get("connection_id")) if kind is Kind.WELCOME else "",
    )


def _content(kind: Kind, fields: dict[str, Any]) -> str:
    if kind is Kind.CHUNK:
        return scalar(fields.get("chunk"))
    if kind is Kind.COMPLETED:
        result = fields.get("result") if fields.get("result") is not None else fields.get("response")
        return scalar(result.get("text") if isinstance(result, dict) else result)
    return scalar(fields.get("error_message") or fields.get("message") or fields.get("thought"))


def _key(kind: Kind, fields: dict[str, Any], call_id: str, frame: bytes) -> str:
    """Retries resend an event: tools are told by their call id, chunks by number and text, the rest by their bytes."""
    if kind in (Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED) and (fields.get("call_id") or fields.get("tool_call_id")):
        return f"{kind}:{call_id}"
    if kind is Kind.CHUNK and isinstance(fields.get("chunk_index"), int):
        # agents of one run number their chunks each from 0
        whose = f"{scalar(fields.get('agent_name') or fields.get('agent'))}:{scalar(fields.get('task_id'))}"
        return f"{kind}:{whose}:{fields['chunk_index']}:{scalar(fields.get('chunk'))}"
    return blake2b(frame, digest_size=8).hexdigest() if frame else ""


def _bytes_of(entry: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(entry)
    except orjson.JSONEncodeError:  # orjson reads deeper nesting than it writes
        return b""
