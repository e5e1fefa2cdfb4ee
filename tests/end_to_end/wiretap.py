"""A man in the middle: sits between a backend and the harness, and leaks once what nobody's catalogue of faults has.

It passes HTTP and WebSocket through, remembers what each account says, and puts something of another account into one
place of what an account gets: one `Place` an account, once. It shares no code with the harness or the backend. Loopback
only; speaks the netra shape.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CANARY = re.compile(r"ctlk[a-z2-7]{32}")
_TOKEN = re.compile(rb"[\w-]+\.([\w-]+)\.[\w-]+")

Document = dict[str, Any]


@dataclass
class Said:
    """What one account has said and was told so far; "" where it has not yet."""

    name: str
    token: str = ""
    canary: str = ""  # of the newest prompt: content, not an id
    run_id: str = ""
    run_id_before: str = ""
    thread_id: str = ""
    message_id: str = ""
    connection_id: str = ""
    event: bytes = b""  # the newest thought of its own that has the canary in it

    @property
    def complete(self) -> bool:
        return bool(self.event and self.canary and self.connection_id)


@dataclass(frozen=True)
class Leak:
    """What there is to leak into a place, as it was at that moment: somebody else's, and the observer's own."""

    victim: Said
    own: Said


Forge = Callable[[Document, Leak], list[bytes]]


@dataclass(frozen=True)
class Place:
    """One place for a leak.

    :param at: a text frame of the server's, the head of its answer to an upgrade, its answer to an HTTP DELETE, or the
        moment after the client's close frame.
    :param wants: whether this frame (decoded) will do.
    :param forges: what is sent instead of that frame, one after the other for places that need several in a row;
        nothing where this frame will not do.
    :param answer: for `head` and `delete`: (head, body) → bytes of the whole answer.
    """

    name: str
    channels: tuple[int, ...]
    at: Literal["frame", "head", "delete", "goodbye"] = "frame"
    wants: Callable[[Document], bool] = lambda _: True
    forges: tuple[Forge, ...] = ()
    answer: Callable[[bytes, bytes, Leak], bytes] | None = None
    names_owner: bool = True  # False: what is leaked does not tell whose it is


@dataclass(frozen=True)
class Planted:
    """A leak that happened: ground truth."""

    place: Place
    observer: str
    victim: Said
    at_ns: int
    sent: bytes


@dataclass
class Wiretap:
    """The proxy's memory. `places`: account number → where its leak goes."""

    host: str
    port: int
    places: Mapping[int, Place]
    said: dict[str, Said] = field(default_factory=dict)
    planted: dict[str, Planted] = field(default_factory=dict)  # by account
    failed: list[BaseException] = field(default_factory=list)
    _order: dict[str, None] = field(default_factory=dict)  # who spoke, the newest last
    _stage: dict[str, int] = field(default_factory=dict)
    _chosen: dict[str, Leak] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening}"

    listening: int = 0

    def account(self, name: str, token: str = "") -> Said:
        known = self.said.setdefault(name, Said(name))
        known.token = token or known.token
        return known

    def place_of(self, own: Said) -> Place | None:
        """The place of this account, while its leak is yet to come."""
        if own.name in self.planted or not own.name[-5:].isdecimal():
            return None
        return self.places.get(int(own.name[-5:]))

    def leak(self, own: Said) -> Leak | None:
        """Something of the account that spoke last, apart from the observer; None while nobody has."""
        chosen = self._chosen.get(own.name)
        if chosen is None:
            others = (self.said[name] for name in reversed(self._order) if name != own.name)
            victim = next((other for other in others if other.complete), None)
            if victim is None:
                return None
            chosen = Leak(replace(victim), own)
            self._chosen[own.name] = chosen
        return chosen

    def note(self, own: Said, place: Place, leak: Leak, sent: bytes) -> None:
        self.planted[own.name] = Planted(place, own.name, leak.victim, time.time_ns(), sent)

    # --- what goes by -----------------------------------------------------------------------------------------------

    def hear(self, own: Said, payload: bytes) -> None:
        """A text frame of the client's."""
        message = _document(payload)
        inner = message.get("payload")
        if message.get("type") != "execute_agent" or not isinstance(inner, dict):
            return
        content = CANARY.findall(json.dumps({**inner, "thread_id": "", "run_id": ""}))
        own.run_id_before, own.run_id, own.thread_id = own.run_id, inner["run_id"], inner["thread_id"]
        own.message_id = message["request_id"]
        if content:
            own.canary, own.event = content[0], b""
        self._order.pop(own.name, None)
        self._order[own.name] = None

    def tell(self, own: Said, payload: bytes) -> list[bytes] | None:
        """A text frame of the server's: what to send instead, or None to pass it on."""
        frame = _document(payload)
        data = frame.get("data")
        if frame.get("type") == "connection_established" and isinstance(data, dict):
            own.connection_id = data["connection_id"]
        of_own = frame.get("type") == "agent_thinking" and frame.get("run_id") == own.run_id
        if of_own and own.canary and own.canary.encode() in payload:
            own.event = payload
        place = self.place_of(own)
        stage = self._stage.get(own.name, 0)
        if place is None or place.at != "frame" or not (stage or place.wants(frame)):
            return None
        if stage and frame.get("type") != "agent_response_chunk":
            return None
        leak = self.leak(own)
        if leak is None:
            return None
        sent = place.forges[stage](frame, leak)
        if not sent:
            return None
        self._stage[own.name] = stage + 1
        if stage + 1 == len(place.forges):
            self.note(own, place, leak, b" ".join(sent))
        return sent

    def answer(self, own: Said, at: str, head: bytes, body: bytes) -> bytes:
        """The server's answer to an upgrade or a DELETE, as the client gets it."""
        place = self.place_of(own)
        leak = self.leak(own) if place is not None and place.at == at else None
        if place is None or place.answer is None or leak is None:
            return head + body
        answer = place.answer(head, body, leak)
        self.note(own, place, leak, answer)
        return answer

    def goodbye(self, own: Said) -> list[bytes]:
        """What the server still says after the client's close frame."""
        place = self.place_of(own)
        leak = self.leak(own) if place is not None and place.at == "goodbye" else None
        if place is None or leak is None:
            return []
        sent = place.forges[0]({}, leak)
        self.note(own, place, leak, b" ".join(sent))
        return sent


def wire(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """A WebSocket frame of a server."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65_536 else b"\x7f" + size.to_bytes(8, "big")
    return bytes([fin << 7 | opcode]) + length + payload


class _Frames:
    """Splits a stream into frames: (opcode, plain payload, its bytes on the wire)."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        self._held += data
        while (size := self._whole()) is not None:
            raw, self._held = self._held[:size], self._held[size:]
            yield raw[0] & 0x0F, _payload(raw), raw

    def _whole(self) -> int | None:
        """Length of the first frame; None while it is not all there."""
        held = self._held
        if len(held) < 2:
            return None
        head, length = _lengths(held)
        return head + length if len(held) >= head and len(held) >= head + length else None


def _lengths(raw: bytes) -> tuple[int, int]:
    """Length of a frame's head with its mask, and of its payload."""
    mask, short = 4 * (raw[1] >> 7), raw[1] & 0x7F
    more = {126: 2, 127: 8}.get(short, 0)
    return 2 + more + mask, int.from_bytes(raw[2 : 2 + more], "big") if more else short


def _payload(raw: bytes) -> bytes:
    head, length = _lengths(raw)
    payload = raw[head:]
    if not raw[1] >> 7:
        return payload
    mask = (raw[head - 4 : head] * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")


def _document(payload: bytes) -> Document:
    try:
        document = json.loads(payload)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _bearer(head: bytes) -> tuple[str, str]:
    """(user, token) of a request; ("", "") without one."""
    found = _TOKEN.search(head.partition(b"uthorization: Bearer ")[2].partition(b"\r\n")[0])
    if found is None:
        return "", ""
    claims = json.loads(base64.urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4)))
    return str(claims["sub"]), found[0].decode()


@contextmanager
def wiretap(target: str, places: Mapping[int, Place]) -> Iterator[Wiretap]:
    """A wiretap in front of `target` (http://127.0.0.1:PORT), in a thread of its own until the block ends."""
    parts = urlsplit(target)
    tap = Wiretap(parts.hostname or "", parts.port or 80, places)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(lambda r, w: _serve(tap, r, w), "127.0.0.1", 0))
    tap.listening = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(tap: Wiretap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of a client: requests one after the other, until one of them is an upgrade."""
    try:
        while await _request(tap, reader, writer):
            pass
    except (OSError, EOFError):
        pass  # one of the two has gone
    except Exception as error:
        tap.failed.append(error)
    finally:
        writer.close()


async def _request(tap: Wiretap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(_length(head))
    name, token = _bearer(head)
    there, to_there = await asyncio.open_connection(tap.host, tap.port)
    try:
        to_there.write(head + body)
        answer = await there.readuntil(b"\r\n\r\n")
        own = tap.account(name, token) if name else Said("")
        if b" 101 " in answer.split(b"\r\n")[0]:
            answer = tap.answer(own, "head", answer, b"")
            writer.write(answer)
            if b" 101 " not in answer.split(b"\r\n")[0]:
                return False
            await _pass_frames(tap, own, (reader, writer), (there, to_there))
            return False
        content = await there.readexactly(_length(answer))
        writer.write(tap.answer(own, "delete", answer, content) if head.startswith(b"DELETE") else answer + content)
        await writer.drain()
        return True
    finally:
        to_there.close()


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pass_frames(tap: Wiretap, own: Said, client: _Ends, server: _Ends) -> None:
    async def up() -> None:
        frames = _Frames()
        while data := await client[0].read(65536):
            for opcode, payload, _ in frames.feed(data):
                if opcode == TEXT:
                    tap.hear(own, payload)
                elif opcode == CLOSE:
                    for forged in tap.goodbye(own):
                        client[1].write(forged)
            server[1].write(data)

    async def down() -> None:
        frames = _Frames()
        while data := await server[0].read(65536):
            for opcode, payload, raw in frames.feed(data):
                instead = tap.tell(own, payload) if opcode == TEXT else None
                client[1].write(raw if instead is None else b"".join(instead))  # as one segment

    both = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with suppress(OSError):
                task.result()
    finally:
        for task in both:
            task.cancel()
        with contextlib.suppress(OSError):
            await client[1].drain()
