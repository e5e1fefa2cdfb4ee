"""A sender for receive_path.py: speaks as much of the netra dialect as a session needs, as cheaply as it can.

    python bench/receive_sender.py --burst 25
    python bench/receive_sender.py --paced 20 --events 250 [--tls CERTIFICATE KEY]

Prints its port. Answers each prompt with a run of so many events: all in one write, or one every so many milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import ssl
import sys
from typing import Any

import orjson
import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WORDS = "of your usage last month, storage grew the most; the plan is flat and costs the same"


def framed(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + payload


def run_frames(user: str, thread: str, run: str, text: str, events: int) -> list[bytes]:
    """started, thinking, chunks, completed: frames of 200 to 300 bytes, the prompt's reference in the first of them."""
    base = {"run_id": run, "user_id": user, "thread_id": thread, "agent_name": "supervisor"}
    stamp = "2026-01-01T00:00:00.000000+00:00"

    def frame(kind: str, **data: Any) -> bytes:
        return framed(orjson.dumps({"type": kind, **base, "timestamp": stamp, "data": data}))

    reference = text.rpartition(" ")[2]
    pieces = [f"You said {reference} ", *(WORDS[n % 40 : n % 40 + 26] for n in range(events - 4))]
    return [
        frame("agent_started", status="started"),
        frame("agent_thinking", thought=f"Looking at {reference}", step=1),
        *(frame("agent_response_chunk", task_id=run, chunk=piece, chunk_index=n) for n, piece in enumerate(pieces)),
        frame("agent_completed", result={"text": "".join(pieces)}, duration_ms=10),
    ]


class Socket(asyncio.Protocol):
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.buffer = bytearray()
        self.upgraded = False
        self.user = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.upgraded:
            head, blank, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not blank:
                return
            self.buffer = bytearray(rest)
            self._upgrade(head)
        while len(self.buffer) >= 6:
            size, start = self.buffer[1] & 127, 2
            if size == 126:
                size, start = int.from_bytes(self.buffer[2:4], "big"), 4
            if len(self.buffer) < start + 4 + size:
                return
            mask, payload = bytes(self.buffer[start : start + 4]), self.buffer[start + 4 : start + 4 + size]
            opcode = self.buffer[0] & 15
            del self.buffer[: start + 4 + size]
            masks = (mask * (size // 4 + 1))[:size]
            plain = (int.from_bytes(payload, "big") ^ int.from_bytes(masks, "big")).to_bytes(size, "big")
            if opcode == 8:
                self.transport.write(bytes([0x88, len(plain)]) + plain)
                self.transport.close()
                return
            self._message(orjson.loads(plain))

    def _upgrade(self, head: bytes) -> None:
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        lowered = {name.lower(): value for name, value in headers.items()}
        proof = base64.b64encode(hashlib.sha1(lowered[b"sec-websocket-key"] + GUID).digest())
        claims = lowered[b"authorization"].split(b".")[1]
        self.user = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["sub"]
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        welcome = {"user_id": self.user[:8] + "...", "connection_id": f"conn-{id(self):016x}"}
        self.transport.write(framed(orjson.dumps({"type": "connection_established", "data": welcome})))
        self.upgraded = True

    def _message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "ping":
            self.transport.write(framed(b'{"type":"pong"}'))
        elif kind == "execute_agent":
            self._run(message["payload"])
        else:
            ack = {"type": "ack", "received_type": kind, "user_id": self.user, "message_id": message.get("message_id")}
            self.transport.write(framed(orjson.dumps(ack)))

    def _run(self, payload: dict[str, Any]) -> None:
        options = self.options
        frames = run_frames(
            self.user, payload["thread_id"], payload["run_id"], payload["user_request"], options.burst or options.events
        )
        if options.burst:
            self.transport.write(b"".join(frames))
            return
        self.frames = iter(frames)
        loop = asyncio.get_running_loop()
        self.due_s = loop.time() + (id(self) // 64 % 997) / 997 * options.paced / 1e3
        loop.call_at(self.due_s, self._next)

    def _next(self) -> None:
        frame = next(self.frames, None)
        if frame is None:
            return
        self.transport.write(frame)
        self.due_s += self.options.paced / 1e3
        asyncio.get_running_loop().call_at(self.due_s, self._next)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--burst", type=int, default=0)
    parser.add_argument("--paced", type=float, default=20)
    parser.add_argument("--events", type=int, default=250)
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Socket(options), "127.0.0.1", 0, ssl=context, backlog=2000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # ends with whoever started it


if __name__ == "__main__":
    uvloop.run(main())
