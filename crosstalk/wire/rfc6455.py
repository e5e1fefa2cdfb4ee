"""RFC 6455 frames as a client receives them, bytes in, messages out; and as it sends them. Pure: without a socket.

`FrameReader.feed` never raises: what breaks the protocol becomes a `Broken` message and ends the stream, as section
7.1.7 ("Fail the WebSocket Connection") has it. Its reason names the section of the rule that was broken.

A rule is applied as soon as the bytes that break it are there: what the header tells (reserved bits, opcodes and
lengths, 5.2; masking, 5.1; fragments out of order, 5.4; fragmented or long control frames, 5.5; size, 10.4) before the
payload has come, and text that is not UTF-8 (8.1) at the end of the frame that makes it so.
"""

from __future__ import annotations

import struct
from codecs import utf_8_decode
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


# not frozen, though nobody changes it: one is made for every frame, and a frozen one costs three times as much
@dataclass(slots=True, unsafe_hash=True, init=False)
class Message:
    """A whole message (fragments joined) or a control frame."""

    opcode: Opcode
    data: bytes
    last_of_feed: bool  # its last byte is the last byte that was fed

    def __init__(self, opcode: Opcode, data: bytes, last_of_feed: bool = False) -> None:
        self.opcode = opcode
        self.data = data
        self.last_of_feed = last_of_feed


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame. Code 1005 stands for "no code was given"; of its bytes, at most 64 KiB each are kept."""

    code: int
    reason: str
    rest: bytes = field(default=b"", compare=False)  # what came behind it, which the protocol says to ignore
    unfinished: bytes = field(default=b"", compare=False)  # what had come of a message that it cut off


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol; `code` is the close code that answers it.

    `data` is what was received around the place and is in no message: earlier fragments of the same message, the frame
    that broke a rule (with its header, if that did), what came behind it. At most 64 KiB, half of it before the place.
    """

    code: int
    reason: str
    data: bytes = field(default=b"", compare=False)


Received = Message | Close | Broken

#: of what breaks the protocol, so much is kept to be looked at
BROKEN_BYTES_MAX = 64 * 1024

#: codes that may appear in a close frame (7.4): 1000–1003, 1007–1014, and the ranges for libraries and applications
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})

# looked up for every frame: a name of the module costs a tenth of an attribute of an enumeration
_TEXT: Final = Opcode.TEXT
_CONTINUATION: Final = Opcode.CONTINUATION
_CLOSE: Final = Opcode.CLOSE

_FINAL: Final = 0x80
_MASKED: Final = 0x80
#: the headers of longer payloads: with a length of two bytes, or of eight
_HEADER_16 = struct.Struct("!BBH")
_HEADER_64 = struct.Struct("!BBQ")
#: the first bytes that a frame may have: a control frame is final; a continuation stands in a fragmented message only
_CONTROL = {_FINAL | opcode: opcode for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG)}
_BEGINNING = _CONTROL | {bit | opcode: opcode for opcode in (Opcode.TEXT, Opcode.BINARY) for bit in (0, _FINAL)}
_CONTINUING = _CONTROL | {bit | Opcode.CONTINUATION: Opcode.CONTINUATION for bit in (0, _FINAL)}


def framed(opcode: Opcode, payload: bytes, key: bytes) -> bytes:
    """A whole message as a client sends it: one frame, masked (5.2, 5.3).

    :param key: four bytes that nobody can foretell (`os.urandom`), others for each frame.
    """
    size = len(payload)
    if size < 126:
        header = bytes((_FINAL | opcode, _MASKED | size))
    elif size < 1 << 16:
        header = _HEADER_16.pack(_FINAL | opcode, _MASKED | 126, size)
    else:
        header = _HEADER_64.pack(_FINAL | opcode, _MASKED | 127, size)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return header + key + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


class _Breach(Exception):
    """A rule is broken. `at`: the place, in bytes from the beginning of the frame's payload, or header if that did."""

    def __init__(self, code: int, reason: str, section: str, at: int = 0) -> None:
        super().__init__(f"{reason} (RFC 6455, {section})")
        self.code = code
        self.at = at


class FrameReader:
    """Splits a byte stream into messages.

    `size_max_bytes` bounds a message; a larger one is `Broken(1009)` as soon as a header announces it, so a hostile
    peer cannot fill memory: what is held between two feeds is at most that, a header and a control frame.
    """

    __slots__ = (
        "_begin", "_buffer", "_checked", "_fragments", "_kind", "_legal", "_over", "_size_max_bytes", "_source",
    )  # fmt: skip

    def __init__(self, *, size_max_bytes: int = 16 * 1024 * 1024) -> None:
        self._buffer = bytearray()  # a frame that is not complete
        self._source: bytes | bytearray = b""  # what is split now: the buffer, or what was fed
        self._begin = 0  # in it: what is judged now, a frame or its payload
        self._legal = _BEGINNING
        self._kind = Opcode.TEXT  # of the message in fragments, while there is one
        self._fragments = bytearray()  # joined as they come: a list would grow with every empty fragment
        self._checked = 0  # so many bytes of the fragments are whole characters
        self._over = False
        self._size_max_bytes = size_max_bytes

    def feed(self, data: bytes) -> list[Received]:
        """All messages that `data` completes, in order. After a `Close` or `Broken` everything else is ignored."""
        received: list[Received] = []
        if self._over:
            return received
        if self._buffer:
            self._buffer += data
            self._source = self._buffer
        else:  # nothing is left of what was fed before, as is usual: no copy is made
            self._source = data
        try:
            used = self._split(received)
        except _Breach as breach:
            received.append(Broken(breach.code, str(breach), self._around(breach.at)))
            self._over = True
        if self._over:
            self._buffer, self._fragments = bytearray(), bytearray()
        elif self._buffer:
            del self._buffer[:used]
        elif used < len(data):
            self._buffer += data[used:]
        self._source = b""
        return received

    def unfinished(self) -> bytes:
        """What has come of a message or a frame that is not complete, up to 64 KiB of it."""
        return bytes((self._fragments[:BROKEN_BYTES_MAX] + self._buffer[:BROKEN_BYTES_MAX])[:BROKEN_BYTES_MAX])

    def _split(self, received: list[Received]) -> int:  # noqa: C901, PLR0912  a call for each frame would cost a tenth of it
        """Append what is complete; returns how many bytes of the source that was.

        :raises _Breach:
        """
        source, legal, most = self._source, self._legal, self._size_max_bytes - len(self._fragments)
        position, end = 0, len(source)
        while end - position >= 2:
            self._begin = position
            first, length = source[position], source[position + 1]
            opcode = legal.get(first)
            if opcode is None or (length > 125 and (length > 127 or opcode > 7)):
                raise _header_breach(first, length)
            start = position + 2
            if length > 125:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                if length == 126:
                    length = source[start - 2] << 8 | source[start - 1]
                else:
                    length = int.from_bytes(source[start - 8 : start], "big")
                if length < (126 if start - position == 4 else 1 << 16) or length >= 1 << 63:
                    raise _length_breach(length)
            if length > most and opcode < 8:
                size = len(self._fragments) + length
                reason = f"message of at least {size} bytes; at most {self._size_max_bytes} allowed"
                raise _Breach(1009, reason, "10.4")
            if start + length > end:
                break
            position = start + length
            piece = source[start:position]
            payload = piece if isinstance(piece, bytes) else bytes(piece)
            if opcode is _TEXT and first > _FINAL and payload.isascii():  # what nearly all frames are
                received.append(Message(_TEXT, payload, position == end))
                continue
            self._begin = start
            if opcode is _CLOSE:
                received.append(self._close(payload, position))
                break
            if opcode is _CONTINUATION or first < _FINAL or opcode is _TEXT:
                whole = self._data(opcode, payload, first >= _FINAL)
                legal, most = self._legal, self._size_max_bytes - len(self._fragments)
                if whole is None:
                    continue
                opcode, payload = self._kind, whole
            received.append(Message(opcode, payload, position == end))
        return position

    def _data(self, opcode: Opcode, payload: bytes, final: bool) -> bytes | None:
        """Check and add a fragment, or a text of one frame; returns the message when it is whole."""
        fragments = self._fragments
        if opcode is not Opcode.CONTINUATION:
            self._kind = opcode
            if final:
                _check_text(payload, 0, True)
                return payload
        if self._kind is Opcode.TEXT:
            # a character may be cut anywhere: what was left open is judged with what comes next
            if left_open := fragments[self._checked :]:
                self._checked += _check_text(left_open + payload, self._checked, final, len(left_open))
            else:
                self._checked += _check_text(payload, self._checked, final)
        if not final:
            self._legal = _CONTINUING
            fragments += payload
            return None
        whole = bytes(fragments + payload) if fragments else payload
        self._fragments, self._checked, self._legal = bytearray(), 0, _BEGINNING
        return whole

    def _close(self, payload: bytes, position: int) -> Close:
        """A close frame may stand between fragments, as any control frame (5.4); the message then never ends."""
        code, reason = 1005, ""
        if len(payload) == 1:
            raise _Breach(1002, "close frame with half a code", "5.5.1")
        if payload:
            (code,) = struct.unpack_from("!H", payload)
            try:
                reason = payload[2:].decode()
            except UnicodeDecodeError:
                raise _Breach(1007, "close reason is not UTF-8", "5.5.1") from None
            if code not in _CLOSE_CODES:
                raise _Breach(1002, f"close code {code} must not be sent", "7.4")
        self._over = True
        rest = bytes(self._source[position : position + BROKEN_BYTES_MAX])
        return Close(code, reason, rest, bytes(self._fragments[:BROKEN_BYTES_MAX]))

    def _around(self, at: int) -> bytes:
        """What is in no message, from half of `BROKEN_BYTES_MAX` before a place of what is judged now."""
        half = BROKEN_BYTES_MAX // 2
        before = self._fragments[-half + min(at, 0) :]
        kept = before + self._source[self._begin : self._begin + max(at, 0) + BROKEN_BYTES_MAX]
        first = max(len(before) + at - half, 0)
        return bytes(kept[first : first + BROKEN_BYTES_MAX])


def _header_breach(first: int, second: int) -> _Breach:
    """Which rule the first two bytes of a frame break."""
    opcode = first & 0x0F
    if first & 0x70:
        return _Breach(1002, "reserved bits are set though no extension was agreed", "5.2")
    if opcode not in (0, 1, 2, 8, 9, 10):
        return _Breach(1002, f"unknown opcode {opcode}", "5.2")
    if second & 0x80:
        return _Breach(1002, "a server's frame is masked", "5.1")
    if opcode >= 8:
        return _Breach(1002, "control frame is fragmented or longer than 125 bytes", "5.5")
    if opcode == Opcode.CONTINUATION:
        return _Breach(1002, "continuation frame without a message to continue", "5.4")
    return _Breach(1002, "new message before the fragmented one ended", "5.4")


def _length_breach(length: int) -> _Breach:
    """Which rule a length of 16 or 64 bits breaks.

    The minimal number of bytes MUST be used, and the most significant bit MUST be 0 (5.2). Many parsers let the first
    pass. It is an error here: two readers that differ on what is a frame differ on whose bytes those are.
    """
    if length >= 1 << 63:
        return _Breach(1002, "the most significant bit of a length is set", "5.2")
    return _Breach(1002, f"length {length} is not written in the fewest bytes", "5.2")


def _check_text(data: bytes | bytearray, offset: int, final: bool, earlier: int = 0) -> int:
    """How many bytes of `data` are whole characters; all of it if `final`.

    It stands `offset` bytes behind the beginning of its message, and its first `earlier` bytes came before this frame.
    """
    if data.isascii():
        return len(data)
    try:
        return utf_8_decode(data, "strict", final)[1]
    except UnicodeDecodeError as error:
        reason = f"text message is not UTF-8: {error.reason} at byte {offset + error.start}"
        raise _Breach(1007, reason, "8.1", error.start - earlier) from None
