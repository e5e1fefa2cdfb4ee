"""The sender of the benchmark: one process that speaks netra to many sockets and knows when it wrote each event.

    python -m bench.sender --users 200 --period-ms 20 --per-slot 1 --events-per-run 100 [--tls CA.pem]

Users have slots, spread evenly over the period; in each of its slots a user with a run in progress gets its next
`per-slot` events, in one write. A prompt starts the next run. So the sender sets the pace, and the same for every tool.
It is driven by lines on its standard input and answers each with one line of JSON:

    await N         when N users have asked for their first run; until `resume`, none of them gets an event
    begin, end      the window that is measured: events are stamped; after `end`, nothing is sent until `resume`
    pause, resume   so that a tool can read all that it was sent before its CPU time is read
    leave           sockets are closed as their runs end
    log FILE        write what was sent when (bench/sent_log.py)

It ends when its standard input does. Its own CPU is nobody's: it is on no bill.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import select
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from bench.sender_frames import TAIL, UNMEASURED, stamp
from bench.sender_peer import Peer
from bench.sent_log import SentLog
from crosstalk.backend.tls import server_context

#: between two looks at the sockets, while events are due all the time
LOOK_EVERY_NS = 500_000
#: further behind than this, slots are skipped: a sender that cannot keep pace says so and does not flood
BEHIND_MAX_NS = 100_000_000
_PR_SET_TIMERSLACK = 29


class Sender:
    """Everything in one thread: a wheel of slots, and the sockets between two slots."""

    def __init__(self, asked: argparse.Namespace, secret: str) -> None:
        self._asked = asked
        self._secret = secret
        self._tls = server_context(Path(asked.tls), None) if asked.tls else None
        self._log = SentLog()
        self._peers: dict[int, Peer] = {}
        self._slots: list[Peer | None] = [None] * asked.users
        self._free = list(range(asked.users))[::-1]
        self._tick_ns = asked.period_ms * 1_000_000 / asked.users
        self._begun_ns = time.monotonic_ns()
        self._tick = 0
        self._measuring = self._leaving = self._over = False
        self._paused = True
        self._awaited = 0
        self._behind_max_ns = self._skipped = self._sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(sys.stdin, select.EPOLLIN)

    def serve(self) -> None:
        scheme = "https" if self._tls else "http"
        self._say({"listening": f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"})
        looked_ns = 0
        while not self._over:
            now_ns = time.monotonic_ns()
            due_ns = self._begun_ns + int(self._tick * self._tick_ns)
            if now_ns - looked_ns > LOOK_EVERY_NS:
                self._look()
                looked_ns = now_ns
            elif self._paused:
                self._poll.poll(0.01)
            elif now_ns >= due_ns:
                self._send_slot(now_ns - due_ns)
            else:
                time.sleep(min(due_ns - now_ns, LOOK_EVERY_NS) / 1e9)  # bounded: until the next slot, or the next look

    # --- what is due ------------------------------------------------------------------------------------------------

    def _send_slot(self, behind_ns: int) -> None:
        peer = self._slots[self._tick % len(self._slots)]
        self._tick += 1
        if peer is None or not peer.heads or time.monotonic_ns() < peer.due_ns:
            return
        if self._measuring and behind_ns > self._behind_max_ns:
            self._behind_max_ns = behind_ns
        if behind_ns > BEHIND_MAX_NS:
            missed = int(behind_ns / self._tick_ns)
            self._tick += missed
            self._skipped += missed
        begin = peer.next_event
        heads = peer.heads[begin : begin + self._asked.per_slot]
        peer.next_event = begin + len(heads)
        sent_ns = time.time_ns()
        tail = (stamp(sent_ns) if self._measuring else UNMEASURED) + TAIL
        whole = peer.write(heads[0] + tail if len(heads) == 1 else b"".join([head + tail for head in heads]))
        if self._measuring:
            self._log.add(peer.run, begin, len(heads), sent_ns, time.time_ns())
            self._sent += len(heads)
        if not whole:
            self._drop(peer)
        elif peer.next_event == len(peer.heads):
            peer.heads = []
            if self._leaving:
                peer.say_goodbye()

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for number, _ in self._poll.poll(0):
            if number == self._listener.fileno():
                self._accept()
            elif number == sys.stdin.fileno():
                self._obey(os.read(number, 4096).decode())
            elif (peer := self._peers.get(number)) is not None and not peer.read():
                self._drop(peer)
        if self._awaited and len(self._slots) - len(self._free) >= self._awaited:
            self._say({"running": self._awaited})
            self._awaited = 0

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            peer = Peer(sock, self._secret, self._asked.events_per_run, self._log.new_run, self._seat)
            self._peers[sock.fileno()] = peer
            self._poll.register(sock, select.EPOLLIN)

    def _seat(self, peer: Peer) -> None:
        """A peer's first run: from now on it has slots. Too many users is a mistake of whoever started them."""
        peer.slot = self._free.pop()
        self._slots[peer.slot] = peer

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer.number, None) is None:
            return
        if peer.slot is not None:
            self._slots[peer.slot] = None
            self._free.append(peer.slot)
        self._poll.unregister(peer.number)
        peer.sock.close()

    # --- orders -----------------------------------------------------------------------------------------------------

    def _obey(self, text: str) -> None:
        self._over = not text
        orders = {"pause": self._pause, "resume": self._resume, "begin": self._begin, "end": self._end,
                  "leave": self._leave}  # fmt: skip
        for line in text.splitlines():
            order, _, operand = line.partition(" ")
            if order == "await":
                self._awaited = int(operand)
            elif order == "log":
                self._log.write(Path(operand))
                self._say({"log": operand})
            else:
                self._say({"wall_ns": time.time_ns(), **orders[order]()})

    def _pause(self) -> dict[str, int]:
        self._paused = True
        return {}

    def _resume(self) -> dict[str, int]:
        self._paused = False
        self._begun_ns = time.monotonic_ns() - int(self._tick * self._tick_ns)
        return {}

    def _begin(self) -> dict[str, int]:
        self._measuring = True
        self._behind_max_ns = self._skipped = self._sent = 0
        return self._resume()

    def _end(self) -> dict[str, int]:
        self._measuring, self._paused = False, True
        return {"sent": self._sent, "skipped_slots": self._skipped, "behind_max_ns": self._behind_max_ns}

    def _leave(self) -> dict[str, int]:
        self._leaving = True
        for peer in self._peers.values():
            if peer.slot is not None and not peer.heads:
                peer.say_goodbye()
        return {}

    def _say(self, what: dict[str, Any]) -> None:
        print(json.dumps(what), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--period-ms", type=float, required=True)
    parser.add_argument("--per-slot", type=int, required=True)
    parser.add_argument("--events-per-run", type=int, required=True)
    parser.add_argument("--tls", default="", metavar="FILE", help="serve TLS; the authority's certificate goes to FILE")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)  # slots are closer together than the usual 50 µs
    sender = Sender(asked, os.environ["JWT_SECRET_KEY"])
    gc.disable()  # nothing here is a cycle, and a collection would be a pause in everybody's stream
    sender.serve()


if __name__ == "__main__":
    try:
        main()
    except ssl.SSLError as error:
        raise SystemExit(f"the sender has no TLS: {error}") from None
