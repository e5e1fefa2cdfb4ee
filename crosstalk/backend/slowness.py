"""Faults of time: steps of a plan that wait longer than their kind does, and sockets that are kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from crosstalk.backend.plan import Step

#: fault → seconds that a socket is kept waiting
SOCKET_S = {"upgrade_slow": 0.5, "welcome_slow": 0.5}
#: fault → (kind of wait, seconds in its place)
STEPS_S = {"start_slow": ("accept", 2.5), "chunks_slow": ("chunk", 1 / 3), "end_slow": ("complete", 3.0)}


def slowed(steps: list[Step], bites: Callable[[str], bool]) -> list[Step]:
    """The same steps, some of them later."""
    seconds: dict[str | float, float] = {kind: wait_s for fault, (kind, wait_s) in STEPS_S.items() if bites(fault)}
    return [replace(step, wait=seconds[step.wait]) if step.wait in seconds else step for step in steps]


async def keep_waiting(fault: str, bites: Callable[[str], bool]) -> None:
    if bites(fault):
        await asyncio.sleep(SOCKET_S[fault])
