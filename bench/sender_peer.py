"""One socket of the benchmark's sender: handshakes, what its client says, and what it is answered at once."""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

import jwt

from bench.sender_frames import CLOSE, PING, PONG, TEXT, frame, heads_of_run, reply, welcome

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ_BYTES = 65_536
#: an agent needs a moment before its first word; without one, a run could be over sooner than a ping comes back
_THINKS_NS = 5_000_000
#: a client that takes nothing for so long is gone
_STUCK_S = 10.0


class Peer:
    """A client's socket. `heads`: frames of the run in progress; empty between two runs.

    :param new_run: gives a run a number in the log.
    :param seat: called once, before the first run: asks for slots.
    """

    def __init__(
        self, sock: socket.socket, secret: str, events_per_run: int, new_run: Callable[[str], int],
        seat: Callable[[Peer], None],
    ) -> None:  # fmt: skip
        self.sock = sock
        self.number = sock.fileno()
        self.slot: int | None = None
        self.heads: list[bytes] = []
        self.next_event = 0
        self.due_ns = 0  # the run in progress does not begin before (monotonic)
        self.run = 0
        self._secret = secret
        self._events_per_run = events_per_run
        self._new_run = new_run
        self._seat = seat
        self._buffer = bytearray()
        self._tls_ready = not isinstance(sock, ssl.SSLSocket)
        self._upgraded = False
        self._user_id = ""
        self._said_goodbye = False

    # --- in ---------------------------------------------------------------------------------------------------------

    def read(self) -> bool:
        """Take what is there and answer it; False when the socket is over."""
        try:
            if not self._tls_ready:
                assert isinstance(self.sock, ssl.SSLSocket)
                self.sock.do_handshake()
                self._tls_ready = True
            while True:
                data = self.sock.recv(_READ_BYTES)
                if not data:
                    return False
                self._buffer += data
                if len(data) < _READ_BYTES and not self._tls_pending():
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            return False
        return self._frames() if self._upgraded else self._requests()

    def _tls_pending(self) -> int:
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    def _requests(self) -> bool:
        while not self._upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return True
            self._buffer = rest
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
            length = int(headers.get("content-length", "0"))
            del self._buffer[:length]  # bodies of ours are small and come with their heads
            if "sec-websocket-key" in headers:
                if not self._upgrade(headers):
                    return False
            elif not self._answer(lines[0]):
                return False
        return self._frames()

    def _answer(self, request: str) -> bool:
        healthy = request.startswith("GET /health")
        body = b'{"status":"healthy","service":"bench","version":"1.0.0"}' if healthy else b'{"detail":"Not Found"}'
        status = b"200 OK" if healthy else b"404 Not Found"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        return self.write(head + body)

    def _upgrade(self, headers: dict[str, str]) -> bool:
        key = headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        self._upgraded = True
        subject = self._subject(headers.get("authorization", "").removeprefix("Bearer "))
        if not subject:
            refusal = reply("error_message", error_code="AUTH_FAILED", error_message="this token is not good here")
            return self.write(head + refusal + frame(struct.pack("!H", 1008) + b"authentication failed", CLOSE))
        self._user_id = subject
        return self.write(head + welcome(subject, f"main_{self.number:x}"))

    def _subject(self, token: str) -> str:
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"], audience="netra-platform", issuer="netra-auth-service"
            )
        except jwt.PyJWTError:
            return ""
        return str(claims["sub"]) if claims.get("token_type") == "access" else ""

    def _frames(self) -> bool:
        buffer = self._buffer
        while len(buffer) >= 6:
            opcode, length, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(buffer[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < start + 4 + length:
                break
            mask = int.from_bytes(bytes(buffer[start : start + 4]) * (length // 4 + 1), "big")
            masked = int.from_bytes(buffer[start + 4 : start + 4 + length], "big")
            spare = 8 * (4 * (length // 4 + 1) - length)
            payload = (masked ^ (mask >> spare)).to_bytes(length, "big")
            del buffer[: start + 4 + length]
            if not self._message(opcode, payload):
                return False
        return True

    def _message(self, opcode: int, payload: bytes) -> bool:
        if opcode == CLOSE:
            if not self._said_goodbye:
                self.write(frame(payload, CLOSE))
            return False
        if opcode == PING:
            return self.write(frame(payload, PONG))
        if opcode != TEXT:
            return True
        message = json.loads(payload)
        kind = message.get("type")
        if kind == "execute_agent":
            if self.slot is None:
                self._seat(self)
            heads = heads_of_run(message, self._user_id, self._events_per_run)
            self.run, self.next_event = self._new_run(message["payload"]["run_id"]), 0
            self.due_ns = time.monotonic_ns() + _THINKS_NS
            self.heads = [] if self._said_goodbye else heads
            return True
        if kind == "ping":
            return self.write(reply("pong", data={"timestamp": message.get("timestamp")}))
        echo = {"message_id": message["message_id"]} if "message_id" in message else {}
        return self.write(reply("ack", received_type=kind, user_id=self._user_id, **echo))

    # --- out --------------------------------------------------------------------------------------------------------

    def say_goodbye(self) -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            self.write(frame(struct.pack("!H", 1000), CLOSE))

    def write(self, data: bytes) -> bool:
        """Write all of it; False when the client is gone."""
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:
            return False
        return sent == len(data) or self._write_slowly(data[sent:])

    def _write_slowly(self, data: bytes) -> bool:
        """The client reads slower than it is sent to, and the kernel's buffers are full: everybody waits for it."""
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        while data:
            if not poll.poll(_STUCK_S * 1000):
                return False
            try:
                data = data[self.sock.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            except OSError:
                return False
        return True
