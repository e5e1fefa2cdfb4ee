"""What the sender of the benchmark says, as WebSocket frames: replies, and runs made ready but for their stamps.

The shape is netra's. A run's events end in `"timestamp":<unix seconds, six decimals>}`: when the sender wrote it,
by this host's wall clock; outside of the window that is measured, an instant of 2001. So all tools read the same bytes,
tell measured events from others without being told when, and find the stamp without decoding the rest.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import orjson

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
STAMP_BYTES = 17
UNMEASURED = b"1000000000.000000"
#: behind the stamp
TAIL = b"}"
CHUNK_CHARACTERS = 26


def _answers(characters: int) -> str:
    """A text of some 4,000 words, of which some come often and most seldom, as in any language."""
    rng = random.Random(7)
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ar", "en", "is")]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(rng.choices(words, weights, k=characters // 4))[:characters]


#: every run's answer is a part of it that begins elsewhere
_ANSWERS = _answers(200_000)


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A server's frame, whole and unmasked (RFC 6455, 5.2)."""
    return _header(len(payload), opcode) + payload


def _header(size: int, opcode: int = TEXT) -> bytes:
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)


def reply(kind: str, **fields: Any) -> bytes:
    return frame(orjson.dumps({"type": kind, **fields}))


def welcome(user_id: str, connection_id: str) -> bytes:
    data = {"mode": "main", "user_id": user_id[:8] + "...", "connection_id": connection_id}
    return reply("connection_established", server_id=None, correlation_id=None, data=data)


def stamp(sent_ns: int) -> bytes:
    """An instant as every event bears it; its last digit is a microsecond."""
    return b"%d.%06d" % divmod(sent_ns // 1000, 1_000_000)


def heads_of_run(prompt: dict[str, Any], user_id: str, events: int) -> list[bytes]:
    """The frames of a run, each up to its stamp: started, thinking, a tool, chunks, completed.

    The prompt's last word comes back in four of them, as a reference would: in the thought, the tool's result, the
    first chunk and the answer.

    :param events: how many; at least 6.
    """
    asked = prompt.get("payload", {})
    reference = str(asked.get("user_request", "")).rpartition(" ")[2]
    envelope = orjson.dumps(
        {
            "run_id": asked.get("run_id"),
            "user_id": user_id,
            "thread_id": asked.get("thread_id"),
            "agent_name": "supervisor",
        }
    )[1:-1]
    chunks = events - 5
    opening = f"You asked with reference {reference} and "
    size = CHUNK_CHARACTERS
    begin = zlib.crc32(envelope) % (len(_ANSWERS) - chunks * size)
    pieces = [opening, *(_ANSWERS[begin + n * size : begin + (n + 1) * size] for n in range(chunks - 1))]
    bodies: list[tuple[bytes, bytes]] = [
        (b"agent_started", b'"status":"started"'),
        (b"agent_thinking", b'"thought":"Looking at what is known of %s.","step":1' % reference.encode()),
        (b"tool_executing", b'"tool_name":"cost_lookup","call_id":"call-1","args":{"month":"last"}'),
        (
            b"tool_completed",
            b'"tool_name":"cost_lookup","call_id":"call-1","result":{"for":"%s"},"status":"completed"'
            % reference.encode(),
        ),
        *(
            (b"agent_response_chunk", b'"chunk":%s,"chunk_index":%d' % (orjson.dumps(piece), index))
            for index, piece in enumerate(pieces)
        ),
        (b"agent_completed", b'"result":%s,"status":"completed"' % orjson.dumps("".join(pieces))),
    ]
    return list(_heads(bodies, envelope))


def _heads(bodies: Iterable[tuple[bytes, bytes]], envelope: bytes) -> Iterable[bytes]:
    for kind, data in bodies:
        body = b'{"type":"%b",%b,"data":{%b},"timestamp":' % (kind, envelope, data)
        yield _header(len(body) + STAMP_BYTES + len(TAIL)) + body
