"""RFC 6455 frames as a client receives them: bytes in, messages out. Pure; written once, without a socket.

`FrameReader.feed` never raises: what breaks the protocol becomes a `Broken` message and ends the stream, as section
7.1.7 ("Fail the WebSocket Connection") has it. Masking is refused (5.1: a server must not mask), as are reserved bits
(no extension is ever negotiated here), fragmented or long control frames (5.5) and text that is not UTF-8 (8.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message (fragments joined) or a control frame."""

    opcode: Opcode
    data: bytes
    last_of_feed: bool = False  # its last byte is the last byte that was fed


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame. Code 1005 stands for "no code was given"."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol; `code` is the close code that answers it."""

    code: int
    reason: str


Received = Message | Close | Broken

#: codes that may appear in a close frame (7.4): 1000–1003, 1007–1014, and the ranges for libraries and applications
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015)})


class FrameReader:
    """Splits a byte stream into messages.

    `size_max_bytes` bounds a message; a larger one is `Broken(1009)`, so a hostile peer cannot fill memory.
    """

    __slots__ = ("_buffer", "_fragments", "_fragments_opcode", "_fragments_size", "_over", "_size_max_bytes")

    def __init__(self, *, size_max_bytes: int = 16 * 1024 * 1024) -> None:
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._fragments_opcode: Opcode | None = None
        self._fragments_size = 0
        self._over = False
        self._size_max_bytes = size_max_bytes

    def feed(self, data: bytes) -> list[Received]:
        """All messages that `data` completes, in order. After a `Close` or `Broken` everything else is ignored."""
        received: list[Received] = []
        buffer = self._buffer
        buffer += data
        position, end = 0, len(buffer)
        while not self._over and end - position >= 2:
            first, second = buffer[position], buffer[position + 1]
            length = second & 0x7F
            header = 2 if length < 126 else 4 if length == 126 else 10
            if error := _header_error(first, second):
                received.append(self._break(1002, error))
                break
            if end - position < header:
                break
            if length == 126:
                (length,) = struct.unpack_from("!H", buffer, position + 2)
            elif length == 127:
                (length,) = struct.unpack_from("!Q", buffer, position + 2)
            if length > self._size_max_bytes:
                received.append(self._break(1009, f"message of {length} bytes; at most {self._size_max_bytes} allowed"))
                break
            if end - position < header + length:
                break
            payload = bytes(buffer[position + header : position + header + length])
            position += header + length
            message = self._frame(first, payload, position == end)
            if message is not None:
                received.append(message)
        if self._over:
            position = end
        del buffer[:position]
        return received

    def _frame(self, first: int, payload: bytes, last: bool) -> Received | None:
        opcode, final = first & 0x0F, first & 0x80
        if opcode == Opcode.CLOSE:
            return self._close(payload)
        if opcode >= 8:
            return Message(Opcode(opcode), payload, last)
        if opcode == Opcode.CONTINUATION:
            if self._fragments_opcode is None:
                return self._break(1002, "continuation frame without a message to continue")
        elif self._fragments_opcode is not None:
            return self._break(1002, "new message before the fragmented one ended")
        elif final:
            return self._message(Opcode(opcode), payload, last)
        else:
            self._fragments_opcode = Opcode(opcode)
        self._fragments.append(payload)
        self._fragments_size += len(payload)
        if self._fragments_size > self._size_max_bytes:
            return self._break(1009, f"fragmented message of more than {self._size_max_bytes} bytes")
        if not final:
            return None
        whole, kind = b"".join(self._fragments), self._fragments_opcode
        assert kind is not None
        self._fragments, self._fragments_opcode, self._fragments_size = [], None, 0
        return self._message(kind, whole, last)

    def _message(self, opcode: Opcode, data: bytes, last: bool) -> Received:
        if opcode == Opcode.TEXT and not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                return self._break(1007, f"text message is not UTF-8: {error.reason} at byte {error.start}")
        return Message(opcode, data, last)

    def _close(self, payload: bytes) -> Received:
        if not payload:
            self._over = True
            return Close(1005, "")
        if len(payload) == 1:
            return self._break(1002, "close frame with half a code")
        (code,) = struct.unpack_from("!H", payload)
        if code not in _CLOSE_CODES and not 3000 <= code < 5000:
            return self._break(1002, f"close code {code} must not be sent")
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            return self._break(1007, "close reason is not UTF-8")
        self._over = True
        return Close(code, reason)

    def _break(self, code: int, reason: str) -> Broken:
        self._over = True
        return Broken(code, reason)


def _header_error(first: int, second: int) -> str:
    """Why the first two bytes of a frame break the protocol; "" when they do not."""
    opcode = first & 0x0F
    if first & 0x70:
        return "reserved bits are set though no extension was agreed"
    if opcode not in (0, 1, 2, 8, 9, 10):
        return f"unknown opcode {opcode}"
    if second & 0x80:
        return "a server's frame is masked"
    if opcode >= 8 and (not first & 0x80 or second & 0x7F > 125):
        return "control frame is fragmented or longer than 125 bytes"
    return ""
