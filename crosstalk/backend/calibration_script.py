"""What a run of the calibration backend says, and when: fixed events at fixed delays, as pieces of frames made once.

The gaps are all unlike their neighbours (12 to 28 ms, 20 on average), so a client that takes one event's time for
another's is seen; a pace of exactly 20 ms would hide that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

MS = 1_000_000
GUIDE, CLERK, TOOL = "guide", "clerk", "price_list"
CHUNKS = 39
#: stands for what differs from run to run; the wire never shows it
_PLACE = re.compile(rb"@(run|user|thread|reference)@")
_MORE_THAN_A_BYTE = 126


@dataclass(frozen=True, slots=True)
class Beat:
    """One event: how long after the prompt was read it is due, its name on the wire, its frame with places to fill."""

    after_ns: int
    kind: str
    template: bytes

    def frame(self, words: dict[bytes, bytes]) -> bytes:
        """The event as an unmasked text frame (RFC 6455, 5.2). `words`: run, user, thread, reference."""
        return text_frame(self.template % words)


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < _MORE_THAN_A_BYTE:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def paced() -> tuple[Beat, ...]:
    """48 events in 0.96 s: a tool call, a hand-off to another agent, 39 chunks, and the answer."""
    words = [f"piece {number:02} of the answer, " for number in range(CHUNKS - 1)]
    pieces = [*words, "and the reference @reference@"]
    answer = "".join(pieces)
    steps = [
        _event("agent_started", GUIDE, {"status": "started"}),
        _event("agent_thinking", GUIDE, {"thought": "Looking at the question."}),
        _event("tool_executing", GUIDE, {"tool_name": TOOL, "call_id": "call-1", "arguments": {"item": 7}}),
        _event("tool_completed", GUIDE, {"tool_name": TOOL, "call_id": "call-1", "status": "completed",
                                         "result": {"text": "7 per month, for @reference@"}}),
        _event("agent_handoff", GUIDE, {"from": GUIDE, "to": CLERK}),
        _event("agent_started", CLERK, {"status": "started", "nested": True}),
        _event("agent_thinking", CLERK, {"thought": "Writing the answer down."}),
        *(_chunk(CLERK, index, piece) for index, piece in enumerate(pieces)),
        # the nested end comes with the last chunk's gap before it and the run's own end after it
        _event("agent_completed", CLERK, {"result": answer, "status": "completed", "nested": True}),
        _event("agent_completed", GUIDE, {"result": answer, "status": "completed"}),
    ]  # fmt: skip
    return _beats(steps, [12 + 7 * number % 17 for number in range(len(steps))])


def brief() -> tuple[Beat, ...]:
    """Four events in 8 ms: a run that is over at once, for what happens between runs."""
    steps = [
        _event("agent_started", GUIDE, {"status": "started"}),
        _event("agent_thinking", GUIDE, {"thought": "Looking at the question."}),
        _chunk(GUIDE, 0, "the reference @reference@"),
        _event("agent_completed", GUIDE, {"result": "the reference @reference@", "status": "completed"}),
    ]
    return _beats(steps, [2] * len(steps))


SCRIPTS = {"paced": paced, "brief": brief}


def _beats(steps: list[tuple[str, bytes]], gaps_ms: list[int]) -> tuple[Beat, ...]:
    beats, after_ns = [], 0
    for (kind, payload), gap_ms in zip(steps, gaps_ms, strict=True):
        after_ns += gap_ms * MS
        template = _PLACE.sub(rb"%(\1)b", payload.replace(b"%", b"%%"))
        beats.append(Beat(after_ns, kind, template))
    return tuple(beats)


def _chunk(agent: str, index: int, piece: str) -> tuple[str, bytes]:
    return _event("agent_response_chunk", agent, {"task_id": "@run@", "chunk": piece, "chunk_index": index})


def _event(kind: str, agent: str, data: dict[str, Any]) -> tuple[str, bytes]:
    envelope = {
        "type": kind,
        "run_id": "@run@",
        "user_id": "@user@",
        "thread_id": "@thread@",
        "agent_name": agent,
        "timestamp": "2000-01-01T00:00:00+00:00",  # of no use to a client, and the same bytes each time
        "data": data,
    }
    return kind, orjson.dumps(envelope)
