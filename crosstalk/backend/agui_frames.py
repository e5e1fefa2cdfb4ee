"""The frames of the agui shape: AG-UI 1.0 events, one JSON object each, named and spelled as its types are.

An event of a run is one frame or several: a thought is a reasoning message of its own, a chunk may have to open the
text message first, an end closes what is open. Ids of messages and calls are the server's, and new in every run.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
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

PROTOCOL_VERSION = "1.0"
_Frames = Iterator[dict[str, Any]]


class AguiVoice:
    """The voice of one run. It remembers which text message is open."""

    id_kinds = (COMPLETED,)

    def __init__(self) -> None:
        self._message_id = ""
        self._words: Mapping[str, Callable[[Event], _Frames]] = {
            STARTED: self._started,
            THINKING: self._thinking,
            TOOL_EXECUTING: self._tool_executing,
            TOOL_COMPLETED: self._tool_completed,
            CHUNK: self._chunk,
            HANDOFF: self._handoff,
            COMPLETED: self._completed,
            ERROR: self._error,
            PROGRESS: lambda event: iter([{"type": "CUSTOM", "name": event.kind, "value": event.data}]),
            NOTIFICATION: lambda event: iter([{"type": "STATE_SNAPSHOT", "snapshot": event.data}]),
            DEBUG: lambda event: iter([{"type": "DEBUG_DUMP", "value": event.data}]),
        }

    def says(self, step: Step) -> bool:
        return step.kind in self._words

    def render(self, event: Event) -> list[bytes]:
        now_ms = time.time_ns() // 1_000_000
        return [frame_of({**frame, "timestamp": now_ms}) for frame in self._words[event.kind](event)]

    def _started(self, event: Event) -> _Frames:
        if event.data.get("nested"):
            yield {"type": "STEP_FINISHED", "stepName": _handoff_to(event.agent)}
        else:
            yield {
                "type": "RUN_STARTED",
                "threadId": event.thread_id,
                "runId": event.run_id,
                "protocolVersion": PROTOCOL_VERSION,
            }
        yield {"type": "STEP_STARTED", "stepName": event.agent}

    def _thinking(self, event: Event) -> _Frames:
        ids = {"messageId": str(uuid.uuid4())}
        yield {"type": "REASONING_START", **ids}
        yield {"type": "REASONING_MESSAGE_START", **ids, "role": "reasoning"}
        yield {"type": "REASONING_MESSAGE_CONTENT", **ids, "delta": event.data["thought"]}
        yield {"type": "REASONING_MESSAGE_END", **ids}
        yield {"type": "REASONING_END", **ids}

    def _tool_executing(self, event: Event) -> _Frames:
        ids = {"toolCallId": _call_id(event)}
        yield {"type": "TOOL_CALL_START", **ids, "toolCallName": event.data["tool_name"]}
        yield {"type": "TOOL_CALL_ARGS", **ids, "delta": orjson.dumps(event.data["arguments"]).decode()}
        yield {"type": "TOOL_CALL_END", **ids}

    def _tool_completed(self, event: Event) -> _Frames:
        content = {key: event.data[key] for key in ("status", "result", "error") if key in event.data}
        yield {
            "type": "TOOL_CALL_RESULT",
            "messageId": str(uuid.uuid4()),
            "toolCallId": _call_id(event),
            "content": orjson.dumps(content).decode(),
            "role": "tool",
            "metadata": {"executionTimeMs": event.data["execution_time_ms"]},
        }

    def _chunk(self, event: Event) -> _Frames:
        if not self._message_id:
            self._message_id = str(uuid.uuid4())
            yield {"type": "TEXT_MESSAGE_START", "messageId": self._message_id, "role": "assistant"}
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._message_id, "delta": event.data["chunk"]}

    def _handoff(self, event: Event) -> _Frames:
        yield {"type": "STEP_STARTED", "stepName": _handoff_to(event.data["to"]), "metadata": event.data}

    def _completed(self, event: Event) -> _Frames:
        if self._message_id:
            yield {"type": "TEXT_MESSAGE_END", "messageId": self._message_id}
            self._message_id = ""
        yield {"type": "STEP_FINISHED", "stepName": event.agent}
        if not event.data.get("nested"):
            yield {
                "type": "RUN_FINISHED",
                "threadId": event.thread_id,
                "runId": event.run_id,
                "result": event.data["result"],
                "outcome": {"type": "success"},
                "metadata": {"durationMs": event.data["duration_ms"]},
            }

    def _error(self, event: Event) -> _Frames:
        yield {
            "type": "RUN_ERROR",
            "message": event.data["error_message"],
            "code": event.data["error_code"],
            "metadata": {"threadId": event.thread_id, "runId": event.run_id},
        }


def refusal(code: str, text: str, refused: str | None = None) -> bytes:
    """A RUN_ERROR that ends no run: `refused` is the type of the message it answers."""
    metadata = {"metadata": {"refused": refused}} if refused is not None else {}
    return orjson.dumps(
        {"type": "RUN_ERROR", "message": text, "code": code, **metadata, "timestamp": time.time_ns() // 1_000_000}
    )


def _call_id(event: Event) -> str:
    return f"{event.run_id}-{event.data['call_id']}"


def _handoff_to(agent: str) -> str:
    return f"hand-off to {agent}"
