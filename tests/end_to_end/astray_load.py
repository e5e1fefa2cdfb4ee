"""A locustfile of a harness with a fault of its own, planted before it starts: what `calibrate` must not overlook.

ASTRAY names the fault: `stamps` (the kernel's arrival stamps read 5 ms early), `gaps` (each chunk gap 5 ms too long),
or `slow` (5 ms pass between the arrival and the reading of every frame).
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from crosstalk.checks.run import RunCheck
from crosstalk.clock import Clock
from crosstalk.stream import Stream
from crosstalk.tools.calibrate_load import *  # noqa: F403  the locustfile of calibrate itself

SHIFT_NS = 5_000_000


def stamps() -> None:
    right = Clock.from_wall
    Clock.from_wall = lambda self, wall_ns: right(self, wall_ns) - SHIFT_NS  # type: ignore[method-assign]


def gaps() -> None:
    right, right_streams = RunCheck.advance, RunCheck.streams

    def wrong(self: RunCheck, event: Any, arrived_ns: int) -> Any:
        step = right(self, event, arrived_ns)
        return step if step.chunk_gap_ns is None else replace(step, chunk_gap_ns=step.chunk_gap_ns + SHIFT_NS)

    def wrong_streams(self: RunCheck, event: Any, arrived_ns: int) -> bool:
        taken = right_streams(self, event, arrived_ns)
        self.chunk_gap_ns += SHIFT_NS if taken else 0
        return taken

    RunCheck.advance, RunCheck.streams = wrong, wrong_streams  # type: ignore[method-assign]


def slow() -> None:
    right = Stream.read_now

    def late(self: Stream) -> Any:
        until_ns = time.monotonic_ns() + SHIFT_NS
        while time.monotonic_ns() < until_ns:
            pass
        return right(self)

    Stream.read_now = late  # type: ignore[method-assign]


{"stamps": stamps, "gaps": gaps, "slow": slow}[os.environ["ASTRAY"]]()
