"""The envelopes of the netra shape: an event of a run, as it is packed for a socket that asked for another than the
main one. Pure: decoded frames in, decoded frames out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from crosstalk.backend.events import Binary, Ping
from crosstalk.backend.plan import COMPLETED, ERROR, STARTED, THINKING, TOOL_COMPLETED, TOOL_EXECUTING

MAIN, FLATTENED, WRAPPED, BATCHED = ENVELOPES = ("main", "flattened", "wrapped", "batched")
#: what a batch holds at most, and how long its first event waits at most
BATCH_EVENTS_MAX, BATCH_S = 10, 0.05
CRITICAL = frozenset({STARTED, THINKING, TOOL_EXECUTING, TOOL_COMPLETED, COMPLETED})
_LABELS = ("user_id", "thread_id", "agent_name", "timestamp")

Fields = dict[str, Any]


def event_in(frame: bytes) -> Fields | None:
    """The event of a run that a frame holds; None for anything else: an answer, what a fault has cut, a ping."""
    if isinstance(frame, Binary | Ping):
        return None
    try:
        said = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    is_event = isinstance(said, dict) and "run_id" in said and isinstance(said.get("data"), dict)
    return said if is_event else None


def flattened(event: Mapping[str, Any], *, attempt: int = 1) -> Fields:
    """Everything at the root; `attempt` counts how often it was sent."""
    labels = {key: value for key, value in event.items() if key != "data"}
    return {**event["data"], **labels, "critical": event["type"] in CRITICAL, "attempt": attempt}


def wrapped(event: Mapping[str, Any], *, named: bool = True) -> Fields:
    """The real name inside, in one of three outer types; unix seconds outside, ISO-8601 inside.

    :param named: False: the real name is left out (a fault).
    """
    name, data = event["type"], event["data"]
    labels = {key: event[key] for key in _LABELS if key in event}
    run = {"run_id": event["run_id"]} if "run_id" in event else {}
    if name in (TOOL_EXECUTING, TOOL_COMPLETED):
        outer, key = "agent_progress", "event"
        run, data = ({"turn_id": run["run_id"]} if run else {}), {"payload": data}
    elif name in (COMPLETED, ERROR):
        outer, key = "agent_response_complete", "type"
    else:
        outer, key = "system_message", "event"
    inner = {key: name} if named else {}
    return {"type": outer, "timestamp": time.time(), "data": {**inner, **run, **labels, **data}}


def batch(events: list[Fields]) -> Fields:
    return {"type": "event_batch", "events": events}
