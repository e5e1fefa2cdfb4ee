"""Frames of the `netra` dialect → events: five events and what stands around them, in three envelopes.

All envelopes are normalised: the real name is in `data` when the outer type is only a wrapper, and the fields are those
of the root, of `data` and of `payload` taken together. Every frame of a load test goes through here.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import orjson

from crosstalk.wire.dialect import malformed, scalar
from crosstalk.wire.event import Event, Kind

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


# looked up for every frame: a name of the module costs a tenth of an attribute of an enumeration
_CHUNK: Final = Kind.CHUNK
_REFUSED: Final = Kind.REFUSED
_WELCOME: Final = Kind.WELCOME
_OTHER: Final = Kind.OTHER
#: values of `status` that say that a tool failed
_NOT_OK = ("error", "failed")


def decode(frame: bytes) -> list[Event]:
    """The events of a message; never raises."""
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


def _event(message: dict[str, Any], frame: bytes) -> Event:
    name = message.get("type")
    fields = message
    data = message.get("data")
    if type(data) is dict:
        if type(name) is not str or name in WRAPPERS:
            name = _inner(name, data)
        payload = data.get("payload")
        fields = {**message, **data, **payload} if type(payload) is dict else {**message, **data}
    elif type(payload := message.get("payload")) is dict:
        fields = {**message, **payload}
    if type(name) is not str:
        name = scalar(name)
    kind = KINDS.get(name, _OTHER)
    get = fields.get
    run_id = get("run_id", "") or get("turn_id", "")
    user_id, thread_id = get("user_id", ""), get("thread_id", "")
    agent, tool = get("agent_name", "") or get("agent", ""), get("tool_name", "")
    # nearly always all of them are texts: to ask is cheaper than to call `scalar` for each
    if not (type(run_id) is type(user_id) is type(thread_id) is type(agent) is type(tool) is str):
        run_id, user_id, thread_id = scalar(run_id), scalar(user_id), scalar(thread_id)
        agent, tool = scalar(agent), scalar(tool)
    given = get("chunk_index")
    index: int = given if isinstance(given, int) else -1
    if kind is _CHUNK and isinstance(given, int):
        text, task = get("chunk", ""), get("task_id", "")
        if not (type(text) is type(task) is str):
            text, task = scalar(text), scalar(task)
        # agents of one run number their chunks each from 0
        key = f"chunk:{agent}:{task}:{index}:{text}"
        return Event(kind, run_id, user_id, thread_id, agent, tool, "", text, index, True, key, "", name)
    code = scalar(get("error_code") or get("code"))
    if kind is _REFUSED and code in AUTH_CODES:
        kind = Kind.REJECTED
    elif kind is _REFUSED and code == TOO_LATE:
        kind = _OTHER
    call_id = scalar(get("call_id") or get("tool_call_id") or tool)
    return Event(
        kind, run_id, user_id, thread_id, agent, tool, call_id, _content(kind, fields), index,
        ok=get("status") not in _NOT_OK and not get("error"),
        key=_key(kind, fields, call_id, frame),
        code=code,
        name=name,
        connection_id=scalar(get("connection_id")) if kind is _WELCOME else "",
    )  # fmt: skip


def _inner(outer: object, data: dict[str, Any]) -> object:
    """The real name of an event in an envelope that may only be a wrapper."""
    return (data.get("event") or data.get("type") or outer) if scalar(outer) in WRAPPERS else outer


def _content(kind: Kind, fields: dict[str, Any]) -> str:
    if kind is _CHUNK:
        return scalar(fields.get("chunk"))
    if kind is Kind.COMPLETED:
        result = fields.get("result") if fields.get("result") is not None else fields.get("response")
        return scalar(result.get("text") if isinstance(result, dict) else result)
    return scalar(fields.get("error_message") or fields.get("message") or fields.get("thought"))


def _key(kind: Kind, fields: dict[str, Any], call_id: str, frame: bytes) -> str:
    """Retries resend an event: tools are told by their call id, chunks by number and text, the rest by their bytes."""
    if kind in (Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED) and (fields.get("call_id") or fields.get("tool_call_id")):
        return f"{kind}:{call_id}"
    return blake2b(frame, digest_size=8).hexdigest() if frame else ""


def _bytes_of(entry: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(entry)
    except orjson.JSONEncodeError:  # orjson reads deeper nesting than it writes
        return b""
