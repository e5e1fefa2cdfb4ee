"""The `netra` dialect: one socket per user, a welcome frame, client-chosen ids, five events, three envelopes.

What its frames mean is in netra_events.py; what its users can reach for, in netra_surfaces.py; what it says about
threads and coming back, in netra_threads.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import orjson

from crosstalk.wire.dialect import Attempt, Belongings, Call, Label, Turn, scalar
from crosstalk.wire.event import Event
from crosstalk.wire.netra_agents import NetraAgents
from crosstalk.wire.netra_events import PARTIAL, decode, entries, envelope_said, labels
from crosstalk.wire.netra_limits import NetraLimits
from crosstalk.wire.netra_surfaces import functions, provocations, ways_to_reach
from crosstalk.wire.netra_threads import NetraThreads
from crosstalk.wire.surfaces import framed, messages_in, objects_in

#: envelope → what else a socket that speaks it is asked for: events that are sent again have a place to say so
ENVELOPES = {"main": "", "flattened": "&retries=1", "wrapped": "", "batched": ""}
SLOW_LINE_BYTES = 4096


class Netra(NetraLimits, NetraThreads, NetraAgents):
    name = "netra"
    socket_path = "/ws"
    welcome_names_user: ClassVar[Literal["full", "prefix", "no"]] = "prefix"
    token_checks = ("aud", "iss", "token_type")
    fan_out: ClassVar[bool | None] = True

    def decode(self, frame: bytes) -> Iterable[Event]:
        return decode(frame)

    def prompt(self, turn: Turn) -> str:
        payload: dict[str, Any] = {"user_request": turn.text, "thread_id": turn.thread_id, "run_id": turn.run_id}
        if turn.context:
            payload["context"] = dict(turn.context)
        if turn.profile:
            payload["profile"] = dict(turn.profile)
        if turn.agent:
            payload["agent_type"] = turn.agent
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

    # --- sign_in, newcomer ------------------------------------------------------------------------------------------
    transports = ("header", "subprotocol")

    def open_thread(self, thread_id: str, title: str = "") -> Call:
        return Call("POST", "/api/threads", {"id": thread_id, **({"title": title} if title else {})})

    def provoke(self, reference: str) -> Iterable[str]:
        return provocations(reference)

    # --- five_events ------------------------------------------------------------------------------------------------

    batch_events_max = 10
    batch_span_ms_max = 50.0

    def envelopes(self) -> Mapping[str, str]:
        return {name: f"{self.socket_path}?envelope={name}{more}" for name, more in ENVELOPES.items()}

    def envelope_said(self, welcome: bytes) -> str:
        return envelope_said(welcome)

    def entries(self, frame: bytes) -> Iterable[bytes]:
        return entries(frame)

    def labels(self, frame: bytes) -> Iterable[Label]:
        return labels(frame)

    # --- streaming --------------------------------------------------------------------------------------------------

    partial_event = PARTIAL

    def slow_line(self) -> str:
        return f"{self.socket_path}?send_buffer={SLOW_LINE_BYTES}"

    # --- soak ---------------------------------------------------------------------------------------------------------

    def memory_told(self, answer: Mapping[str, Any]) -> int | None:
        told = answer.get("rss_bytes")
        return told if isinstance(told, int) and not isinstance(told, bool) else None
