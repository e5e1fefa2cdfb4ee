"""Every frame that the server says, as bytes. Each is serialised once, however many sockets it goes to."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson

CRITICAL_EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
# What a reply repeats of the message it answers.
ECHOED = ("request_id", "message_id")


def welcome(user_id: str, connection_id: str) -> bytes:
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
                "golden_path_events": CRITICAL_EVENTS,
            },
        }
    )


def event(kind: str, *, run_id: str, user_id: str, thread_id: str, agent: str, data: dict[str, Any]) -> dict[str, Any]:
    """The envelope of an event, not yet serialised: a fault may still get at it."""
    return {
        "type": kind,
        "run_id": run_id,
        "user_id": user_id,
        "thread_id": thread_id,
        "agent_name": agent,
        "timestamp": datetime.now(UTC),
        "data": data,
    }


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
