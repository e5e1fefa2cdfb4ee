"""The `netra` protocol at its limits: what is declared, what is asked for, and frames that nobody should have sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import orjson

from crosstalk.wire.dialect import Call
from crosstalk.wire.promises import Promises, number, object_at
from crosstalk.wire.surfaces import framed


class NetraLimits:
    """What `Netra` says of connections and limits; see the section of that name in dialect.py."""

    known_subprotocols: ClassVar[tuple[str, ...]] = ("agent-chat.v1",)

    def limits(self) -> Call:
        return Call("GET", "/api/config/limits")

    def promised(self, said: Mapping[str, Any]) -> Promises:
        """The answer to `limits` has them at its root, a welcome in its data."""
        limits = object_at(said, "data", "limits") or object_at(said, "limits")
        rate = object_at(limits, "rate")
        return Promises(
            sockets_per_user=int(number(limits, "sockets_per_user")),
            message_bytes=int(number(limits, "message_bytes_max")),
            heartbeat_s=number(limits, "heartbeat_s"),
            ping_s=number(limits, "ping_s"),
            idle_s=number(limits, "idle_s"),
            rate_amount=int(number(rate, "amount")),
            rate_window_s=number(rate, "window_s"),
        )

    def keepalive(self, *, heartbeat_s: float, ping_s: float, idle_s: float) -> str:
        return f"heartbeat_s={heartbeat_s:g}&ping_s={ping_s:g}&idle_s={idle_s:g}"

    def sized(self, size_bytes: int) -> str | None:
        """An unknown type is answered by an ack, whatever else is in the frame."""
        empty = framed("who_am_i", padding="")
        return framed("who_am_i", padding="x" * (size_bytes - len(empty))) if size_bytes >= len(empty) else None

    def nonsense(self) -> Iterable[tuple[str, str | bytes]]:
        yield "not JSON", '{"type": "execute_agent", "payload": {'
        yield "JSON that is no object", "[]"
        yield "an object without a type", '{"payload": {}}'
        yield "a type that is no text", '{"type": 1}'
        yield "a binary message", b'{"type": "ping"}'

    def unknown(self, message_id: str) -> str:
        return framed("no_such_type", message_id=message_id)

    def rate_limited(self) -> Call:
        return Call("POST", "/api/feedback", {"rating": 5})

    def rate_limited_frame(self, message_id: str) -> str:
        return framed("feedback", message_id=message_id, payload={"rating": 5})

    def retry_after_s(self, frame: bytes) -> float | None:
        try:
            said = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(said, dict) or said.get("error_code") != "RATE_LIMITED":
            return None
        return number(said, "retry_after")

    def hang_up(self, code: int) -> str:
        return framed("hang_up", payload={"code": code})
