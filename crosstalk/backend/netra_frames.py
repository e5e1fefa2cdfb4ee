"""The frames of the netra shape, as bytes: its own envelope around every event, and what its sockets say besides."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from crosstalk.backend.envelopes import MAIN
from crosstalk.backend.events import Event, frame_of
from crosstalk.backend.plan import CHUNK, THINKING, Step

CRITICAL_EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
# What a reply repeats of the message it answers.
ECHOED = ("request_id", "message_id")


class NetraVoice:
    """One frame an event, labelled with run, user and thread. It remembers nothing: one voice serves all runs."""

    id_kinds = (THINKING, CHUNK)

    def says(self, _step: Step) -> bool:
        return True

    def render(self, event: Event) -> list[bytes]:
        data = event.data
        if event.kind == CHUNK:
            data = {"task_id": event.run_id, **data}
        envelope = {
            "type": event.kind,
            "run_id": event.run_id,
            "user_id": event.user_id,
            "thread_id": event.thread_id,
            "agent_name": event.agent,
            "timestamp": datetime.now(UTC),
            "data": data,
        }
        return [frame_of(envelope)]


def welcome(user_id: str, connection_id: str, limits: dict[str, Any] | None = None, *, envelope: str = MAIN) -> bytes:
    """`envelope`: in which the events of runs come on this socket."""
    return orjson.dumps(
        {
            "type": "connection_established",
            "timestamp": time.time(),
            "server_id": None,
            "correlation_id": None,
            "data": {
                "mode": "main",
                "user_id": user_id[:8] + "...",
                "connection_id": connection_id,
                "envelope": envelope,
                "golden_path_events": CRITICAL_EVENTS,
                **({} if limits is None else {"limits": limits}),
            },
        }
    )


def ack(received_type: str, user_id: str, message: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "type": "ack",
            "received_type": received_type,
            "user_id": user_id,
            "timestamp": time.time(),
            **echo(message),
        }
    )


def error(code: str, text: str, message: dict[str, Any] | None = None, **more: Any) -> bytes:
    return orjson.dumps(
        {
            "type": "error_message",
            "error_code": code,
            "error_message": text,
            "timestamp": time.time(),
            **(echo(message) if message else {}),
            **more,
        }
    )


def pong(message: dict[str, Any]) -> bytes:
    now_s = time.time()
    return orjson.dumps({"type": "pong", "timestamp": now_s, "data": {"timestamp": now_s}, **echo(message)})


def heartbeat(connection_id: str) -> bytes:
    now_s = time.time()
    data = {"timestamp": now_s, "connection_id": connection_id}
    return orjson.dumps({"type": "heartbeat", "timestamp": now_s, "data": data})


def reply(kind: str, message: dict[str, Any], *, thread_id: str | None, data: dict[str, Any]) -> bytes:
    """An answer about threads, to the socket that asked."""
    named = {} if thread_id is None else {"thread_id": thread_id}
    return orjson.dumps({"type": kind, **named, "timestamp": time.time(), "data": {**named, **data}, **echo(message)})


def echo(message: dict[str, Any]) -> dict[str, Any]:
    return {key: message[key] for key in ECHOED if key in message}
