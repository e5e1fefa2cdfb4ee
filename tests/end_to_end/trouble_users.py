"""A locustfile whose load generator gets into trouble of its own; the target is as good as ever.

The environment variable TROUBLE says which: burn (its loop is at work all the time), garbage (collections of a large
heap), hog (others have its processor), callback (its receive path fails), listener (its handling of a message fails),
files (it has no descriptor left), afterwards (its last check fails). Trouble begins when all users are there, but for
`files`, which they need to come.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from typing import Any

import gevent
from locust import events

import crosstalk.keeper
import reports
from crosstalk.clock import thread_cpu_ns
from crosstalk.harness import connect
from crosstalk.incoming import Incoming
from crosstalk.wire.rfc6455 import FrameReader
from users.regular import Regular

TROUBLE = os.environ.get("TROUBLE", "")
HOG = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""
#: descriptors that are left when users begin to come: fewer than there are users
FILES_LEFT = 7
heap: list[Any] = []


class Person(Regular):
    """As good a person as any."""


del Regular  # else it would be of the cast too


def burn() -> None:
    gc.disable()
    while True:
        until_ns = thread_cpu_ns() + 300_000_000  # of processor time, however busy the machine is
        while thread_cpu_ns() < until_ns:
            pass
        gevent.sleep(0.01)  # bounded: lets the loop go round


def garbage() -> None:
    gc.disable()  # what is collected is collected below
    heap.extend([number, [number]] for number in range(600_000))
    while True:
        gc.collect()
        gevent.sleep(0.5)  # bounded: the rest of the time is for what is to be measured


def hog() -> None:
    """Others at the one processor that we are left with, and they go first."""
    gc.disable()  # what is to be seen is waiting, and nothing else
    here = min(os.sched_getaffinity(0))
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", HOG, str(here)])
    os.sched_setaffinity(0, {here})
    os.nice(5)


def callback() -> None:
    feed, fed = FrameReader.feed, [0]

    def fail_at_times(self: FrameReader, data: bytes) -> Any:
        fed[0] += 1
        if fed[0] % 40 == 0:
            raise RuntimeError("planted in the callback")
        return feed(self, data)

    FrameReader.feed = fail_at_times  # type: ignore[method-assign]


def listener() -> None:
    looking[0] = True


take, looking, taken = Incoming.take, [False], [0]


def take_or_fail(self: Incoming, arrival: Any) -> None:
    taken[0] += looking[0]
    if taken[0] and taken[0] % 100 == 0:
        raise RuntimeError("planted in the listener")
    take(self, arrival)


def afterwards() -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("planted in the last check")

    crosstalk.keeper.bad_tokens = fail  # type: ignore[assignment]


def files() -> None:
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + FILES_LEFT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


WHEN_ALL_ARE_THERE = {each.__name__: each for each in (burn, garbage, hog, callback, listener, afterwards)}

if TROUBLE == "listener":
    Incoming.take = take_or_fail  # type: ignore[method-assign]
if TROUBLE in WHEN_ALL_ARE_THERE:
    events.spawning_complete.add_listener(lambda **_: gevent.spawn(WHEN_ALL_ARE_THERE[TROUBLE]))
connect(events, at_end=reports.publish)


@events.init.add_listener
def _after_crosstalk(environment: Any, **_: object) -> None:
    """Registered after Crosstalk's own listener: the backend is there when descriptors run out."""
    if TROUBLE == "files":
        environment.events.test_start.add_listener(lambda **_: files())
