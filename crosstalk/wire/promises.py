"""What a target says of its own limits: how many sockets, how long a silence, how large a message, how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Promises:
    """Limits that a target declares. 0: it says nothing of it, or has no such limit."""

    sockets_per_user: int = 0
    message_bytes: int = 0  # the largest message that is taken
    heartbeat_s: float = 0.0  # a heartbeat comes after so much silence of the client
    ping_s: float = 0.0  # an RFC 6455 ping likewise
    idle_s: float = 0.0  # a socket is closed after so much silence of the client
    rate_amount: int = 0  # so many requests of the limited kind in `rate_window_s`
    rate_window_s: float = 0.0

    def over(self, other: Promises) -> Promises:
        """These, and where they say nothing, the other ones."""
        return Promises(**{one.name: getattr(self, one.name) or getattr(other, one.name) for one in fields(self)})


def number(said: Mapping[str, Any], key: str) -> float:
    """A number of an object that a target sent, from 0 up; 0 for whatever else stands there."""
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < 1e12 else 0.0


def object_at(said: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The object under these keys, one after the other; an empty one where there is none."""
    here: Any = said
    for key in keys:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}
