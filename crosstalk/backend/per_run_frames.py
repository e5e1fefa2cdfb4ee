"""The frames of the per_run shape: flat objects with an event and a number, no id at all, text in base64."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson

from crosstalk.backend.events import Event, frame_of
from crosstalk.backend.plan import (
    CHUNK,
    COMPLETED,
    DEBUG,
    ERROR,
    HANDOFF,
    NOTIFICATION,
    PROGRESS,
    STARTED,
    THINKING,
    TOOL_COMPLETED,
    TOOL_EXECUTING,
    Step,
)

NAMES = {
    STARTED: "run.started",
    THINKING: "thought",
    TOOL_EXECUTING: "tool.call",
    TOOL_COMPLETED: "tool.result",
    CHUNK: "token",
    HANDOFF: "handoff",
    COMPLETED: "run.done",
    ERROR: "run.failed",
    PROGRESS: "progress",
    NOTIFICATION: "conversation.updated",
    DEBUG: "debug",
}


class PerRunVoice:
    """The voice of one run. It counts its frames, from 1."""

    id_kinds: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._count = 0

    def says(self, step: Step) -> bool:
        """The start and the end of a sub-agent have no frames: the hand-off says who speaks from there on."""
        return step.kind in NAMES and not step.data.get("nested")

    def render(self, event: Event) -> list[bytes]:
        self._count += 1
        fields = _fields(event.kind, event.data)
        frame = {"event": NAMES[event.kind], "seq": self._count, "at": time.time(), "agent": event.agent, **fields}
        return [frame_of(frame)]


def refusal(code: str, text: str) -> bytes:
    """The only frame of a socket that is closed with 1008."""
    return orjson.dumps({"event": "run.failed", "seq": 1, "at": time.time(), "code": code, "message": text})


def _fields(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    if kind == THINKING:
        return {"thought": data["thought"]}
    if kind == TOOL_EXECUTING:
        return {"call": data["call_id"], "tool": data["tool_name"], "arguments": data["arguments"]}
    if kind == TOOL_COMPLETED:
        error = {"error": data["error"]} if "error" in data else {}
        ok = data["status"] == "completed"
        call = {"call": data["call_id"], "tool": data["tool_name"], "ok": ok, "result": data["result"], **error}
        return {**call, "ms": data["execution_time_ms"]}
    if kind == CHUNK:
        return {"text": _base64(data["chunk"])}
    if kind in (HANDOFF, PROGRESS, NOTIFICATION, DEBUG):
        return data
    if kind == COMPLETED:
        return {"text": _base64(data["result"]), "ms": data["duration_ms"]}
    if kind == ERROR:
        return {"code": data["error_code"], "message": data["error_message"]}
    return {}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
