"""Frames of the `netra` dialect → events: five events and what stands around them, in three envelopes.

All envelopes are normalised: the real name is in `data` when the outer type is only a wrapper, and the fields are those
of the root, of `data` and of `payload` taken together. Every frame of a load test goes through here.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import orjson

from crosstalk.wire.dialect import Label, malformed, scalar
from crosstalk.wire.event import RUN_KINDS, Event, Kind, Tried

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

#: what had come of an answer that was cut short, in one piece
PARTIAL = "partial_result"
#: what an event says of itself beside its content, by envelope; each can be read where `_place` looks
NEEDED = {
    "main": ("run_id", "user_id", "agent_name", "timestamp"),
    "batched": ("run_id", "user_id", "agent_name", "timestamp"),
    "flattened": ("run_id", "user_id", "thread_id", "agent_name", "timestamp"),
    "wrapped": ("run_id", "user_id", "thread_id", "agent_name", "timestamp"),
}
#: of an event that is sent again, these may differ; what is inside stands in the fields already
_NOT_CONTENT = ("attempt", "timestamp", "data", "payload")

#: error codes that end the connection's authentication, not one request
AUTH_CODES = frozenset({"AUTH_FAILED", "AUTH_ERROR", "TOKEN_EXPIRED", "INVALID_TOKEN", "UNAUTHORIZED"})

#: the answer to a cancel that crossed the end of its run: no run that is in progress is refused by it
TOO_LATE = "RUN_ENDED"

#: a notice of a run where it names one; else the answer to a switch of threads
THREAD_UPDATED = "thread_updated"


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
    tried = _tried(name, fields) if "attempt" in fields else None
    given = get("chunk_index")
    index: int = given if isinstance(given, int) else -1
    if kind is _CHUNK and isinstance(given, int):
        text, task = get("chunk", ""), get("task_id", "")
        if not (type(text) is type(task) is str):
            text, task = scalar(text), scalar(task)
        # agents of one run number their chunks each from 0
        key = f"chunk:{agent}:{task}:{index}:{text}"
        return Event(kind, run_id, user_id, thread_id, agent, tool, "", text, index, True, key, "", name, "", tried)
    code = scalar(get("error_code") or get("code"))
    if kind is _REFUSED and code in AUTH_CODES:
        kind = Kind.REJECTED
    elif (kind is _REFUSED and code == TOO_LATE) or (name == THREAD_UPDATED and not run_id):
        kind = _OTHER
    call_id = scalar(get("call_id") or get("tool_call_id") or tool)
    return Event(
        kind, run_id, user_id, thread_id, agent, tool, call_id, _content(kind, fields), index,
        ok=get("status") not in _NOT_OK and not get("error"),
        key=_key(kind, fields, call_id, frame),
        code=code,
        name=name,
        connection_id=scalar(get("connection_id")) if kind is _WELCOME else "",
        tried=tried,
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
    if fields.get("type") == PARTIAL or fields.get("event") == PARTIAL:
        return scalar(fields.get("text"))
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


def _tried(name: str, fields: dict[str, Any]) -> Tried | None:
    """Which attempt an event is, and what it says but for that and its time."""
    attempt = fields["attempt"]
    if type(attempt) is not int:
        return None
    said = {key: value for key, value in fields.items() if key not in _NOT_CONTENT}
    try:
        packed = orjson.dumps([name, said], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return Tried(attempt, blake2b(packed, digest_size=8).hexdigest())


# --- how an event is packed -----------------------------------------------------------------------------------------


def entries(frame: bytes) -> list[bytes]:
    """A batch in parts; what stands beside its events goes with the first one. None of it is left out."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return []
    events = message.get("events") if isinstance(message, dict) else None
    if not isinstance(events, list) or message.get("type") != "event_batch":
        return []
    found = [_bytes_of(entry) for entry in events if isinstance(entry, dict)]
    beside = {**message, "events": [entry for entry in events if not isinstance(entry, dict)]}
    return [found[0] + b"\n" + _bytes_of(beside), *found[1:]] if found and all(found) else []


def labels(frame: bytes) -> list[Label]:
    """The label of each event of a run that a frame holds; a wrapper without the real name is one too."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(message, dict):
        return []
    if message.get("type") == "event_batch" and isinstance(message.get("events"), list):
        return [_label(entry, "batched") for entry in message["events"] if isinstance(entry, dict)]
    label = _label(message, _envelope(message))
    return [label] if not label.name or KINDS.get(label.name) in RUN_KINDS else []


def envelope_said(frame: bytes) -> str:
    """The envelope that a welcome names; "" where it names none."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return ""
    data = message.get("data") if isinstance(message, dict) else None
    return scalar(data.get("envelope")) if isinstance(data, dict) else ""


def _envelope(message: dict[str, Any]) -> str:
    if scalar(message.get("type")) in WRAPPERS:
        return "wrapped"
    return "main" if isinstance(message.get("data"), dict) else "flattened"


def _label(message: dict[str, Any], envelope: str) -> Label:
    place = _place(message, envelope)
    name = message.get("type")
    if envelope == "wrapped":
        inner = message.get("data")
        name = (inner.get("event") or inner.get("type")) if isinstance(inner, dict) else ""
    said = {key: scalar(place.get(key)) for key in ("run_id", "user_id", "thread_id", "agent_name")}
    said["run_id"] = said["run_id"] or scalar(place.get("turn_id"))
    at_s = _seconds(place.get("timestamp"))
    there = {**said, "timestamp": at_s}
    attempt = place.get("attempt")
    return Label(
        envelope=envelope,
        name=scalar(name),
        run_id=said["run_id"],
        user_id=said["user_id"],
        thread_id=said["thread_id"],
        at_s=at_s,
        attempt=attempt if type(attempt) is int else 1,
        lacks=tuple(key for key in NEEDED[envelope] if not there[key]),
    )


def _place(message: dict[str, Any], envelope: str) -> dict[str, Any]:
    """Where the labels of an event stand: at the root, but for a wrapper, which may have them further in."""
    if envelope != "wrapped":
        return message
    data = message.get("data")
    payload = data.get("payload") if isinstance(data, dict) else None
    return {**message, **(data if isinstance(data, dict) else {}), **(payload if isinstance(payload, dict) else {})}


def _seconds(value: object) -> float | None:
    """Unix seconds of an ISO-8601 text, or of a number of seconds; None for what is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None
