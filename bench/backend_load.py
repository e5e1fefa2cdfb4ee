"""How much the reference backend carries: N sockets, each one run after the other, on loopback.

    python bench/backend_load.py --sockets 2000 --seconds 10 --think-time 1.0

Starts a backend, connects from this process with a bare protocol that only splits frames, and prints events per second,
the backend's CPU seconds per 1,000 events, and how far apart the chunks of a run arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import secrets
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import jwt
import psutil
import uvloop

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ("hello", "look up the costs", "compare two plans", "hand over", "long answer")
CONNECTS_AT_ONCE = 100


@dataclass
class Tally:
    """What all sockets together saw."""

    events: int = 0
    runs: int = 0
    bytes: int = 0
    chunk_gaps_s: list[float] = field(default_factory=list)
    run_s: list[float] = field(default_factory=list)
    closed: int = 0


class BareClient(asyncio.Protocol):
    """One socket: handshake, then runs without end, `think_time_s` on average between them."""

    def __init__(self, number: int, host: str, token: str, think_time_s: float, tally: Tally) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rng = random.Random(number)
        self._think_time_s = think_time_s
        self._tally = tally
        self._upgraded = False
        self._buffer = b""
        self._last_chunk_s = 0.0
        self._sent_s = 0.0
        self._request = (
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is not an instance
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._upgraded:
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank:
                self._buffer = head
                return
            self._upgraded = True
            if b" 101 " not in head[:20]:
                self.ready.set_exception(ConnectionError(head.decode(errors="replace")))
                return
        start = 0
        while len(data) - start >= 4:
            length, header = data[start + 1] & 127, 2
            if length == 126:
                length, header = int.from_bytes(data[start + 2 : start + 4], "big"), 4
            elif length == 127:
                length, header = int.from_bytes(data[start + 2 : start + 10], "big"), 10
            end = start + header + length
            if end > len(data):
                break
            if data[start] == 0x81:
                self._frame(data[start + header : end])
            start = end
        self._buffer = data[start:]

    def connection_lost(self, _error: Exception | None) -> None:
        self._tally.closed += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before the welcome"))

    def begin(self) -> None:
        asyncio.get_running_loop().call_later(self._rng.random() * (self._think_time_s + 0.5), self._ask)

    def _frame(self, payload: bytes) -> None:
        kind = payload[9:30]
        if kind.startswith(b"connection_esta"):
            self.ready.set_result(None)
            return
        now_s = time.perf_counter()
        self._tally.events += 1
        self._tally.bytes += len(payload)
        if kind.startswith(b"agent_response_chunk"):
            if self._last_chunk_s:
                self._tally.chunk_gaps_s.append(now_s - self._last_chunk_s)
            self._last_chunk_s = now_s
        elif kind.startswith(b"agent_completed") and b'"nested":true' not in payload:
            self._tally.runs += 1
            self._tally.run_s.append(now_s - self._sent_s)
            self._last_chunk_s = 0.0
            pause_s = self._think_time_s * (0.5 + self._rng.random())
            asyncio.get_running_loop().call_later(pause_s, self._ask)

    def _ask(self) -> None:
        reference = uuid.UUID(int=self._rng.getrandbits(128)).hex
        prompt = f"{self._rng.choice(PROMPTS)}. repeat this reference: {reference}"
        payload = json.dumps(
            {"type": "execute_agent", "payload": {"user_request": prompt, "thread_id": f"t{id(self)}"}}
        )
        raw = payload.encode()
        # A mask of zeros is a legal mask and costs nothing.
        length = bytes([0x80 | len(raw)]) if len(raw) < 126 else b"\xfe" + len(raw).to_bytes(2, "big")
        self._sent_s = time.perf_counter()
        if not self._transport.is_closing():
            self._transport.write(b"\x81" + length + b"\0\0\0\0" + raw)


async def drive(url: str, secret: str, pid: int, options: argparse.Namespace) -> None:
    address = urlsplit(url)
    assert address.hostname and address.port
    tally = Tally()
    loop = asyncio.get_running_loop()
    clients: list[BareClient] = []
    started_s = time.perf_counter()
    for first in range(0, options.sockets, CONNECTS_AT_ONCE):
        batch = [
            BareClient(number, address.netloc, mint(f"b7x{number:05}", secret), options.think_time, tally)
            for number in range(first, min(first + CONNECTS_AT_ONCE, options.sockets))
        ]
        for client in batch:
            await loop.create_connection(partial(_same, client), address.hostname, address.port)
        await asyncio.wait_for(asyncio.gather(*(client.ready for client in batch)), 30)
        clients += batch
    print(f"{len(clients)} sockets ready in {time.perf_counter() - started_s:.2f} s")
    for client in clients:
        client.begin()
    await asyncio.sleep(options.warm_up)
    backend = psutil.Process(pid)
    cpu_s, own_cpu_s, began_s, before = busy_s(backend), time.process_time(), time.perf_counter(), tally.events
    tally.chunk_gaps_s.clear()
    tally.run_s.clear()
    await asyncio.sleep(options.seconds)
    spent_s = time.perf_counter() - began_s
    report(tally, tally.events - before, spent_s, busy_s(backend) - cpu_s, time.process_time() - own_cpu_s)
    print(f"backend memory {backend.memory_info().rss / 2**20:.0f} MiB, sockets lost {tally.closed}")


def _same(client: BareClient) -> BareClient:
    return client


def report(tally: Tally, events: int, spent_s: float, cpu_s: float, own_cpu_s: float) -> None:
    print(f"{events / spent_s:,.0f} events/s over {spent_s:.1f} s ({tally.runs} runs since the start)")
    print(f"backend: {cpu_s / events * 1000:.4f} CPU s per 1,000 events, {cpu_s / spent_s:.0%} of one core")
    print(f"this client: {own_cpu_s / spent_s:.0%} of one core")
    for name, values in (("between chunks", tally.chunk_gaps_s), ("a run", tally.run_s)):
        values.sort()
        shown = ", ".join(f"p{share} {values[len(values) * share // 100] * 1000:.1f} ms" for share in (50, 95, 99))
        print(f"{name}: {shown}, max {values[-1] * 1000:.1f} ms")


def busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def mint(user_id: str, secret: str) -> str:
    now_s = int(time.time())
    claims = {"sub": user_id, "iat": now_s, "exp": now_s + 900, "iss": "netra-auth-service", "aud": "netra-platform"}
    return jwt.encode({**claims, "token_type": "access", "jti": user_id}, secret, "HS256")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--think-time", type=float, default=1.0, help="seconds between two runs of a socket")
    parser.add_argument("backend_options", nargs="*", help="after --: options of the backend")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    secret = secrets.token_hex(32)
    process = subprocess.Popen(
        [sys.executable, "-m", "crosstalk.backend", "--port", "0", "--exit-with-stdin", *options.backend_options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "JWT_SECRET_KEY": secret},
    )
    assert process.stdin and process.stdout
    try:
        uvloop.run(drive(process.stdout.readline().split()[1], secret, process.pid, options))
    finally:
        process.stdin.close()
        process.wait(timeout=10)


if __name__ == "__main__":
    main()
