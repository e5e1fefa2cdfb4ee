"""What a run says before a shape makes frames of it, and what a shape must be able to do with it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import orjson

from crosstalk.backend.plan import Step


class Event(NamedTuple):
    """One event of a run, with its labels. A fault may still get at it; `data` is never changed once made."""

    kind: str
    run_id: str
    user_id: str
    thread_id: str
    agent: str
    data: dict[str, Any]


class Address(NamedTuple):
    """Where frames go: the sockets of a user (netra), of a thread (agui) or of a run (per_run)."""

    shape: str
    id: str


def frame_of(envelope: dict[str, Any]) -> bytes:
    """JSON in no more memory than it needs: of orjson the shortest text takes 4 KiB, and connections keep frames."""
    return bytes(memoryview(orjson.dumps(envelope)))


class Binary(bytes):
    """A frame that goes out as a binary message (faults only)."""


class Ping(bytes):
    """The payload of an RFC 6455 ping, of at most 125 bytes, that goes out among the frames (faults only)."""


class Voice(Protocol):
    """How a shape speaks. Some voices remember what they said: each run has its own."""

    @property
    def id_kinds(self) -> tuple[str, ...]:
        """Kinds of events whose frames name the run after its start."""

    def says(self, step: Step) -> bool:
        """Whether this shape has frames for such a step."""

    def render(self, event: Event) -> list[bytes]:
        """The frames of one event, in order: at least one."""
