"""A sender in a process of its own that knows when it sent what: the other side of the stamps' tests.

`python tests/stamped_sender.py SEED FRAMES [CERTIFICATE]` listens on a free port, prints it, takes one WebSocket, and
sends text frames whose payload is the monotonic instant just before the write that completed them. When all are sent,
one last frame tells the instants just after those writes had left this end (TCP may keep bytes back until it has heard
of earlier ones), and the sender stays until its peer goes.
"""

from __future__ import annotations

import fcntl
import json
import random
import socket
import ssl
import sys
import time

from tests.helpers import TEXT, Peer, frame_bytes

_SIOCOUTQNSD = 0x894B  # bytes that were written and not sent yet


def send_all(peer: Peer, rng: random.Random, frames: int) -> list[int]:
    """Frames alone, several in one write, and cut in two; with pauses and without. Instants after each one's write."""
    after_ns: list[int] = []
    while len(after_ns) < frames:
        way = rng.random()
        if way < 0.5:
            peer.send(frame_bytes(TEXT, _stamp()))
            after_ns.append(_sent_ns(peer))
        elif way < 0.8:
            several = rng.randint(2, 6)
            peer.send(b"".join(frame_bytes(TEXT, _stamp()) for _ in range(several)))
            after_ns += [_sent_ns(peer)] * several
        else:
            # stamped after its head has gone: it is complete only with what follows
            head = frame_bytes(TEXT, b"0" * 20)[: rng.randint(1, 2)]
            peer.send(head)
            _pause(rng)
            peer.send(frame_bytes(TEXT, _stamp())[len(head) :])
            after_ns.append(_sent_ns(peer))
        _pause(rng)
    return after_ns


def _stamp() -> bytes:
    return b"%020d" % time.monotonic_ns()


def _sent_ns(peer: Peer) -> int:
    """Wait until all that was written is on its way; the instant after that."""
    while int.from_bytes(fcntl.ioctl(peer.sock, _SIOCOUTQNSD, bytes(4)), sys.byteorder):
        pass
    return time.monotonic_ns()


def _pause(rng: random.Random) -> None:
    if rng.random() < 0.6:
        time.sleep(rng.expovariate(1 / 0.001))  # bounded: what is tested is how frames lie in time


def main() -> None:
    seed, frames, *certificate = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    sock, _ = listener.accept()
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[0])
        sock = context.wrap_socket(sock, server_side=True)
    peer = Peer(sock)
    peer.accept()
    after_ns = send_all(peer, random.Random(int(seed)), int(frames))
    peer.send_text(json.dumps(after_ns))
    peer.drain()


if __name__ == "__main__":
    main()
