"""Two hosts on one machine: network namespaces, and between them a wire that delays and loses packets.

The wire is a thread of this process that carries IP packets from one TUN device to the other, so it needs no queueing
discipline of the kernel's, and counts what it did. Asks for root, iproute2 and /dev/net/tun.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_COUNTER = itertools.count()
MASTER, WORKER = "10.90.0.1", "10.90.0.2"


class NotPermitted(Exception):
    """No namespaces or no TUN devices here; the text says why."""


@dataclass
class Wire:
    """Carries packets both ways.

    :param delay_s: each packet's, so a round trip takes twice as long.
    :param loss: the share of packets that is thrown away; may be changed while it runs: 1 is a cut wire.
    """

    ends: tuple[int, int]
    delay_s: float
    loss: float
    carried: int = 0
    lost: int = 0
    _under_way: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _rng: random.Random = field(default_factory=lambda: random.Random(7))
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        a, b = self.ends
        other = {a: b, b: a}
        while not self._stop.is_set():
            now = time.monotonic()
            while self._under_way and self._under_way[0][0] <= now:
                self._deliver(*heapq.heappop(self._under_way)[2:])
            due = self._under_way[0][0] - now if self._under_way else 0.1
            for end in select.select(self.ends, (), (), max(0.0, min(due, 0.1)))[0]:
                self._take(os.read(end, 65_536), other[end])

    def _take(self, packet: bytes, to: int) -> None:
        if self._rng.random() < self.loss:
            self.lost += 1
            return
        self.carried += 1
        heapq.heappush(self._under_way, (time.monotonic() + self.delay_s, self.carried, to, packet))

    def _deliver(self, to: int, packet: bytes) -> None:
        try:
            os.write(to, packet)
        except OSError:  # the device is not up yet, or gone
            self.lost += 1

    def stop(self) -> None:
        self._stop.set()


@dataclass(frozen=True)
class Hosts:
    """`master` and `worker` go before a command that is to be run on that host."""

    master: tuple[str, ...]
    worker: tuple[str, ...]
    wire: Wire


@contextmanager
def two_hosts(*, delay_ms: float, loss: float) -> Iterator[Hosts]:
    """Namespaces with the addresses `MASTER` and `WORKER`, and the wire between them.

    :raises NotPermitted:
    """
    base = f"ct{os.getpid() % 100_000}{next(_COUNTER)}"
    names, ends = (f"{base}a", f"{base}b"), []
    made = []
    try:
        for name, address in zip(names, (MASTER, WORKER), strict=True):
            _ip("netns", "add", name)
            made.append(name)
            ends.append(_tun(name))
            _ip("link", "set", name, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
            _ip("-n", name, "link", "set", name, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        wire = Wire((ends[0], ends[1]), delay_ms / 1000, loss)
        thread = threading.Thread(target=wire.run, daemon=True)
        thread.start()
        try:
            a, b = (("ip", "netns", "exec", name) for name in names)
            yield Hosts(a, b, wire)
        finally:
            wire.stop()
            thread.join(5)
    finally:
        for end in ends:
            os.close(end)
        for name in made:
            _ip("netns", "del", name)


def _tun(name: str) -> int:
    try:
        end = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        raise NotPermitted(f"no TUN devices here: {error.strerror}") from None
    return end


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotPermitted("no network namespaces here: iproute2 is not installed") from None
    if done.returncode:
        raise NotPermitted(f"no network namespaces here: ip {' '.join(arguments)}: {done.stderr.strip()}")
