"""`python -m crosstalk.backend.calibration`: a backend whose every delay is known, to measure a load generator with.

It speaks the netra shape and does one thing: after each prompt it sends a fixed script of events, each at an absolute
deadline, and puts on record when the kernel really took each of them. One thread, one epoll, one system call an event;
it sleeps until shortly before a deadline and spins for the rest, so it wants a processor of its own. Prints
`LISTENING http://127.0.0.1:PORT`; ends when it is told to, or standard input ends, and then writes `--truth FILE`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import heapq
import os
import re
import select
import signal
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crosstalk.backend.calibration_peer import Gone, Peer
from crosstalk.backend.calibration_script import MS, SCRIPTS, Beat, text_frame
from crosstalk.backend.calibration_truth import Deeds, Truth
from crosstalk.backend.netra_frames import ack, error, pong, welcome
from crosstalk.backend.tokens import SECRET_BYTES_MIN, TokenService

#: epoll counts in milliseconds: it may wait while a deadline is further away than this
EPOLL_NS = 2 * MS
#: a sleep wakes up to this late; the rest is spun
SPIN_NS = 60_000
#: sends between two looks at what clients say, when there is no pause
SENDS_AT_ONCE = 32
_WORD = re.compile(rb"[A-Za-z0-9_.-]{1,128}\Z")
_PR_SET_TIMERSLACK = 29


@dataclass(slots=True)
class Run:
    """A run in progress: which event of the script is next."""

    peer: Peer
    words: dict[bytes, bytes]
    deeds: Deeds
    next: int = 0


class Server:
    """Everything of this process. `freeze`: so many seconds after the first prompt, stand still for so many."""

    def __init__(
        self, *, beats: tuple[Beat, ...], truth: Truth, tokens: TokenService, tls: ssl.SSLContext | None,
        freeze: tuple[float, float] | None,
    ) -> None:  # fmt: skip
        self._beats = beats
        self._truth = truth
        self._tokens = tokens
        self._tls = tls
        self._freeze = freeze
        self._freeze_at_ns: int | None = None
        self._queue: list[tuple[int, int, Run]] = []  # due, tie-breaker, run
        self._count = 0
        self._peers: dict[int, Peer] = {}
        self._waiting: dict[int, list[tuple[Run, int]]] = {}  # events that the kernel has not taken whole: run, due
        self._epoll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self.stopped = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def end_with(self, descriptor: int) -> None:
        """Stop when there is nothing more to read there."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._stdin = descriptor

    _stdin = -1

    def serve(self) -> None:
        """Until `stopped`, or the end of standard input."""
        while not self.stopped:
            self._send_what_is_due()
            wait_ns = self._queue[0][0] - self._truth.now_ns() if self._queue else 200 * MS
            if wait_ns > EPOLL_NS:
                self._take_input((wait_ns - EPOLL_NS // 2) // MS / 1000)
                continue
            self._take_input(0)
            wait_ns = self._queue[0][0] - self._truth.now_ns() if self._queue else 0
            if wait_ns > SPIN_NS:
                time.sleep((wait_ns - SPIN_NS) / 1e9)

    # --- events -----------------------------------------------------------------------------------------------------

    def _send_what_is_due(self) -> None:
        queue, now_ns = self._queue, self._truth.now_ns
        for _ in range(SENDS_AT_ONCE):
            if not queue or queue[0][0] > now_ns():
                return
            if self._freeze_at_ns is not None and now_ns() >= self._freeze_at_ns:
                self._stand_still()
            due_ns, _, run = heapq.heappop(queue)
            self._send(run, due_ns)

    def _send(self, run: Run, due_ns: int) -> None:
        peer = run.peer
        if not peer.is_open:
            return
        data = peer.wrapped(self._beats[run.next].frame(run.words))
        before_ns = self._truth.now_ns()
        try:
            done = peer.push(data)
        except Gone:
            self._drop(peer)
            return
        if done:
            self._note(run, due_ns, before_ns)
        else:
            self._waiting.setdefault(peer.socket.fileno(), []).append((run, due_ns))
            self._epoll.modify(peer.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _note(self, run: Run, due_ns: int, before_ns: int) -> None:
        """An event has gone out whole; the next one of its run is due at its own deadline, past or not."""
        deeds = run.deeds
        deeds.after_ns.append(self._truth.now_ns())
        deeds.before_ns.append(before_ns)
        deeds.due_ns.append(due_ns)
        run.next += 1
        if run.next < len(self._beats):
            self._plan(run)

    def _plan(self, run: Run) -> None:
        self._count += 1
        due_ns = run.deeds.prompt_read_ns + self._beats[run.next].after_ns
        heapq.heappush(self._queue, (due_ns, self._count, run))

    def _stand_still(self) -> None:
        """As a process that is stopped: nothing is read, nothing is sent; the kernel goes on taking what comes."""
        assert self._freeze is not None
        begun_ns = self._truth.now_ns()
        time.sleep(self._freeze[1])
        self._truth.frozen_ns.append((begun_ns, self._truth.now_ns()))
        self._freeze_at_ns = self._freeze = None

    # --- clients ----------------------------------------------------------------------------------------------------

    def _take_input(self, wait_s: float) -> None:
        for descriptor, event in self._epoll.poll(wait_s, 256):
            if descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._stdin:
                self.stopped = self.stopped or not os.read(descriptor, 4096)
            else:
                self._serve_peer(self._peers[descriptor], event)

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                peer = Peer(sock, self._tls, self._tokens, self._welcome, self._take_text)
                self._peers[sock.fileno()] = peer
                self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            pass

    def _serve_peer(self, peer: Peer, event: int) -> None:
        descriptor = peer.socket.fileno()
        try:
            if event & select.EPOLLOUT:
                self._go_on(peer, descriptor)
            if event & ~select.EPOLLOUT:
                peer.read()
            if peer.leaving and not peer.unsent:
                self._drop(peer)
            elif peer.unsent:
                self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)
        except Gone:
            self._drop(peer)

    def _go_on(self, peer: Peer, descriptor: int) -> None:
        """The kernel takes more: of an event, the last byte counts. Of several that waited, the last one's does."""
        before_ns = self._truth.now_ns()
        if not peer.flush():
            return
        self._epoll.modify(descriptor, select.EPOLLIN)
        for run, due_ns in self._waiting.pop(descriptor, ()):
            self._note(run, due_ns, before_ns)

    def _drop(self, peer: Peer) -> None:
        descriptor = peer.socket.fileno()
        if peer.is_open and self._peers.pop(descriptor, None) is not None:
            self._waiting.pop(descriptor, None)
            self._epoll.unregister(descriptor)
            peer.close()

    # --- messages ---------------------------------------------------------------------------------------------------

    def _welcome(self, peer: Peer) -> None:
        self._count += 1
        peer.write(text_frame(welcome(peer.user_id, f"main_{self._count:08x}")))

    def _take_text(self, peer: Peer, payload: bytes, arrived_ns: int) -> None:
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            peer.write(text_frame(error("INVALID_MESSAGE", "expected a JSON object")))
        elif message.get("type") == "execute_agent":
            self._begin(peer, message, arrived_ns)
        elif message.get("type") == "ping":
            peer.write(text_frame(pong(message)))
        else:
            peer.write(text_frame(ack(str(message.get("type")), peer.user_id, message)))

    def _begin(self, peer: Peer, message: dict[str, Any], arrived_ns: int) -> None:
        """A prompt: the run's first event is due. Its last word is the reference that the answer repeats."""
        read_ns = self._truth.now_ns()
        body = message.get("payload")
        payload: dict[str, Any] = body if isinstance(body, dict) else {}
        said = str(payload.get("user_request", "")).split()
        words = {
            b"run": payload.get("run_id"),
            b"thread": payload.get("thread_id"),
            b"user": peer.user_id,
            b"reference": said[-1] if said else None,
        }
        written = {name: str(word).encode() for name, word in words.items()}
        if not all(word and _WORD.match(written[name]) for name, word in words.items()):
            text = "expected run_id, thread_id, and user_request that ends in a reference: one word each"
            peer.write(text_frame(error("INVALID_MESSAGE", text, message)))
            return
        if self._freeze is not None and self._freeze_at_ns is None:
            self._freeze_at_ns = read_ns + int(self._freeze[0] * 1e9)
        deeds = Deeds(peer.user_id, arrived_ns or read_ns, read_ns)
        self._truth.runs[written[b"run"].decode()] = deeds
        self._plan(Run(peer, written, deeds))


def main(arguments: list[str]) -> int:
    options = _read_options(arguments)
    secret = os.environ.get("JWT_SECRET_KEY", "")
    if len(secret) < SECRET_BYTES_MIN:
        print(f"calibration: JWT_SECRET_KEY: expected {SECRET_BYTES_MIN} characters or more", file=sys.stderr)
        return 2
    beats = SCRIPTS[options.script]()
    truth = Truth(options.script, tuple(beat.kind for beat in beats))
    tls = None
    if options.ca_out is not None:
        from crosstalk.backend.tls import server_context  # takes its time to import

        tls = server_context(options.ca_out, None)
    tokens = TokenService(secret, options.environment)
    server = Server(beats=beats, truth=truth, tokens=tokens, tls=tls, freeze=options.freeze)

    def stop(_number: int, _frame: object) -> None:
        server.stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if options.exit_with_stdin:
        server.end_with(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # sleeps end when they should
    gc.freeze()
    gc.disable()  # a collection would be a pause in the streams; what is made here has no cycles
    print(f"LISTENING {'https' if tls else 'http'}://127.0.0.1:{server.port}", flush=True)
    try:
        server.serve()
    finally:
        if options.truth is not None:
            truth.write(options.truth)
    return 0


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crosstalk.backend.calibration", description=__doc__)
    parser.add_argument("--script", choices=SCRIPTS, default="paced", help="what every run says, and when")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="where to write what was really sent, at the end")
    parser.add_argument(
        "--ca-out", type=Path, metavar="FILE", help="serve TLS; write the authority's certificate there"
    )
    parser.add_argument("--environment", default="local", metavar="NAME", help="tokens of another one are refused")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    parser.add_argument(
        "--freeze", type=_freeze, metavar="AFTER:FOR", help="so many s after the first prompt, stand still for so many"
    )
    return parser.parse_args(arguments)


def _freeze(text: str) -> tuple[float, float]:
    after, colon, length = text.partition(":")
    try:
        found = float(after), float(length)
    except ValueError:
        found = -1.0, -1.0
    if not (colon and found[0] >= 0 and 0 < found[1] <= 60):
        raise argparse.ArgumentTypeError(f"expected AFTER:FOR in seconds, such as 3:2, got {text!r}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
