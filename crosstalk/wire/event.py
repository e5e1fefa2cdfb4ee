"""Canonical events: what every dialect turns its frames into, and what every check reads.

First station behind the connection in the way of the data: bytes → `Event`. Nothing here knows a socket or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a frame is about. The first group concerns a run, the second the connection."""

    STARTED = "started"
    THINKING = "thinking"
    TOOL_EXECUTING = "tool_executing"
    TOOL_COMPLETED = "tool_completed"
    CHUNK = "chunk"
    HANDOFF = "handoff"
    NOTICE = "notice"  # progress, partial results, notifications: legal anywhere in a run
    COMPLETED = "completed"
    ERROR = "error"  # the other legal end of a run

    WELCOME = "welcome"
    REJECTED = "rejected"  # authentication or policy refused this connection
    REFUSED = "refused"  # one request was refused (rate limit, ownership, bad message); the connection stays
    ACK = "ack"
    PONG = "pong"
    HEARTBEAT = "heartbeat"
    OTHER = "other"  # understood, but nothing we act on
    MALFORMED = "malformed"  # could not be decoded; `text` says why

    __hash__ = str.__hash__  # that of enumerations is a function in Python, and every frame looks its kind up


#: kinds that concern a run: they count as events
RUN_KINDS = frozenset(
    {
        Kind.STARTED,
        Kind.THINKING,
        Kind.TOOL_EXECUTING,
        Kind.TOOL_COMPLETED,
        Kind.CHUNK,
        Kind.HANDOFF,
        Kind.NOTICE,
        Kind.COMPLETED,
        Kind.ERROR,
    }
)


class Tried(NamedTuple):
    """Of an event that says how often it was sent: which attempt this is, from 1, and what all its attempts share."""

    attempt: int
    content: str


# not frozen, though nobody changes it: one is made for every frame, and a frozen one costs three times as much
@dataclass(slots=True, unsafe_hash=True, init=False)
class Event:
    """One decoded frame (or one entry of a batched frame). Empty strings mean "the frame does not say"."""

    kind: Kind
    run_id: str
    user_id: str
    thread_id: str
    agent: str
    tool: str
    call_id: str  # pairs tool_executing with tool_completed; the tool's name where there is no id
    text: str  # streamed piece, final text, or the message of an error
    index: int  # of a chunk; -1 where chunks are not numbered
    ok: bool  # tool_completed: the tool succeeded
    key: str  # two events of a run with the same key are the same event, sent twice; "" when it cannot be told
    code: str  # error code, or the peer's reason
    name: str  # as the wire calls it
    connection_id: str  # of a welcome: what the server calls this connection
    tried: Tried | None  # None: the frame does not count its attempts

    def __init__(
        self, kind: Kind, run_id: str = "", user_id: str = "", thread_id: str = "", agent: str = "", tool: str = "",
        call_id: str = "", text: str = "", index: int = -1, ok: bool = True, key: str = "", code: str = "",
        name: str = "", connection_id: str = "", tried: Tried | None = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.run_id = run_id
        self.user_id = user_id
        self.thread_id = thread_id
        self.agent = agent
        self.tool = tool
        self.call_id = call_id
        self.text = text
        self.index = index
        self.ok = ok
        self.key = key
        self.code = code
        self.name = name
        self.connection_id = connection_id
        self.tried = tried
