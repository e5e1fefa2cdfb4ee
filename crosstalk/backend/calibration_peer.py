"""One client of the calibration backend: bytes in and out, TLS, the little HTTP that is needed, and frames.

Reading takes the kernel's arrival stamp along; writing happens in the caller's own turn, one system call an event, so
that the caller knows when. Client messages are one frame each; a fragmented one is refused (1003).
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress

import orjson

from crosstalk.backend.tokens import BadToken, TokenService, bearer_token

READ_BYTES = 65_536
_SO_TIMESTAMPING = 37
_RX_SOFTWARE_STAMPS = 1 << 3 | 1 << 4
_TIMESPEC = struct.Struct("@qq")
_ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_HEAD_BYTES_MAX = 16_384


class Gone(Exception):
    """The client is no longer there, or has said what cannot be understood."""


class Peer:
    """A client's connection. `user_id` is "" before its upgrade.

    :param on_ready: called after the upgrade was answered.
    :param on_text: gets each text message, and when the kernel had it.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        tokens: TokenService,
        on_ready: Callable[[Peer], None],
        on_text: Callable[[Peer, bytes, int], None],
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE_STAMPS)
        self.socket = sock
        self.user_id = ""
        self.unsent = b""  # what the kernel has not taken yet; nothing else is written before it
        self.is_open = True
        self.leaving = False  # close when all is written
        self._refused = False  # told that what it says is not understood; its own close is awaited
        self._tokens = tokens
        self._on_ready = on_ready
        self._on_text = on_text
        self._buffer = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None
        self._handshaken = context is None

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> bool:
        """Send bytes; False when the kernel did not take all of them now.

        :raises Gone: the transport failed.
        """
        return self.push(self.wrapped(data))

    def wrapped(self, data: bytes) -> bytes:
        """As it goes over the wire. What is wrapped must be pushed next."""
        if self._tls is None:
            return data
        self._tls.write(data)
        return self._outgoing.read()

    def flush(self) -> bool:
        """Go on with what the kernel had not taken; True when nothing is left."""
        unsent, self.unsent = self.unsent, b""
        return self.push(unsent)

    def push(self, data: bytes) -> bool:
        """Hand wrapped bytes to the kernel, in one call; False when it did not take all of them now.

        :raises Gone: the transport failed.
        """
        if self.unsent:
            self.unsent += data
            return False
        try:
            sent = self.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Gone(str(error)) from None
        self.unsent = data[sent:]
        return not self.unsent

    def close(self) -> None:
        self.is_open = False
        self.socket.close()

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take what is there and act on it.

        :raises Gone: the client has left, or speaks what nobody here understands.
        """
        try:
            data, ancillary, _, _ = self.socket.recvmsg(READ_BYTES, 128)
        except BlockingIOError:
            return
        except OSError as error:
            raise Gone(str(error)) from None
        if not data:
            raise Gone("the end of the stream")
        arrived_ns = _stamp(ancillary)
        plain = self._decrypt(data) if self._tls is not None else data
        self._buffer += plain
        if not self.user_id:
            self._take_request()
        if self.user_id:
            self._take_frames(arrived_ns)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        self._incoming.write(data)
        plain = []
        try:
            if not self._handshaken:
                self._tls.do_handshake()
                self._handshaken = True
            while piece := self._tls.read(READ_BYTES):
                plain.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise Gone(str(error)) from None
        self.push(self._outgoing.read())
        return b"".join(plain)

    def _take_request(self) -> None:
        """One request: the upgrade, or anything else, which is answered and ends the connection."""
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            if len(head) > _HEAD_BYTES_MAX:
                raise Gone("a request without an end")
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("upgrade", "").lower() != "websocket":
            self._answer(first)
            return
        try:
            identity = self._tokens.verify(bearer_token(headers.get("authorization")) or "")
        except BadToken:
            self._say("401 Unauthorized", {"detail": "a valid bearer token is needed"})
            return
        key = headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT_KEY).digest())
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.user_id, self._buffer = identity.user_id, rest
        self._on_ready(self)

    def _answer(self, first: str) -> None:
        verb, _, path = first.partition(" ")
        if path.startswith("/health"):
            self._say("200 OK", {"status": "healthy", "service": "calibration", "version": "1"})
        elif verb == "DELETE":
            self._say("200 OK", {"deleted": True})  # it keeps no threads
        else:
            self._say("404 Not Found", {"detail": "the calibration backend has no such thing"})

    def _say(self, status: str, body: dict[str, object]) -> None:
        content = orjson.dumps(body)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        self.leaving = True
        self._buffer = b""
        self.write(head.encode() + b"Connection: close\r\n\r\n" + content)

    def _take_frames(self, arrived_ns: int) -> None:
        while (cut := _frame(self._buffer)) is not None:
            first, payload, size = cut
            self._buffer = self._buffer[size:]
            opcode = first & 0x0F
            if opcode == _CLOSE:
                self.leaving = True
                if not self._refused:
                    self._close(int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1000)
                return
            if self._refused:
                continue  # until it answers: dropped with bytes unread, it would not see why
            if not first & 0x80 or opcode not in (_TEXT, _PING, _PONG):
                self._refused = True
                self._close(1003)
            elif opcode == _PING:
                self.write(bytes((0x8A, len(payload))) + payload)
            elif opcode == _TEXT:
                self._on_text(self, payload, arrived_ns)

    def _close(self, code: int) -> None:
        self.write(b"\x88\x02" + code.to_bytes(2, "big"))


def _frame(buffer: bytes) -> tuple[int, bytes, int] | None:
    """First byte, unmasked payload and size of the frame that `buffer` begins with; None while it is not whole."""
    if len(buffer) < 6:
        return None
    size, start = buffer[1] & 0x7F, 2
    if size == 126:
        size, start = int.from_bytes(buffer[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(buffer[2:10], "big"), 10
    if not buffer[1] & 0x80:
        raise Gone("a frame of a client without a mask")
    end = start + 4 + size
    if len(buffer) < end:
        return None
    mask = (buffer[start : start + 4] * (size // 4 + 1))[:size]
    payload = int.from_bytes(buffer[start + 4 : end], "big") ^ int.from_bytes(mask, "big")
    return buffer[0], payload.to_bytes(size, "big"), end


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The kernel's receive stamp (wall clock); 0 where it gave none."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(data) >= 16:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return 0
