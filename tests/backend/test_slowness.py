"""Faults of time, by a plain client: who has one waits so long at least, and who has none does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.backend.client import Backend, Frame, backend, is_end

SLOW, USUAL = "k3f00003", "k3f00004"


def run_of(process: Backend, user_id: str) -> list[tuple[float, Frame]]:
    """Every frame from the connect to the end of a run, with the second at which it was read."""
    begun = time.monotonic()
    with process.user(user_id) as client:
        frames = [(time.monotonic() - begun, client.welcome)]
        client.start("Hello there.")
        while len(frames) == 1 or not is_end(frames[-1][1]):
            frame = client.read()
            frames.append((time.monotonic() - begun, frame))
    return frames


def until_welcome(frames: list[tuple[float, Frame]]) -> float:
    return frames[0][0]


def until_first_event(frames: list[tuple[float, Frame]]) -> float:
    return frames[1][0] - frames[0][0]


def shortest_chunk_gap(frames: list[tuple[float, Frame]]) -> float:
    chunks = [at for at, frame in frames if frame["type"] == "agent_response_chunk"]
    return sorted(after - before for before, after in pairwise(chunks))[len(chunks) // 2]


def until_end(frames: list[tuple[float, Frame]]) -> float:
    return frames[-1][0] - frames[-2][0]


@pytest.mark.parametrize(
    ("fault", "waited", "at_least_s"),
    [
        ("upgrade_slow", until_welcome, 0.5),
        ("welcome_slow", until_welcome, 0.5),
        ("start_slow", until_first_event, 2.5),
        ("chunks_slow", shortest_chunk_gap, 0.3),
        ("end_slow", until_end, 3.0),
    ],
)
def test_who_has_the_fault_waits(fault: str, waited: Callable[[list[tuple[float, Frame]]], float], at_least_s: float):
    with backend("--time-scale", "0.02", "--fault", f"{fault}:1:3") as process:
        assert waited(run_of(process, SLOW)) >= at_least_s * 0.95
        assert min(waited(run_of(process, USUAL)) for _ in range(3)) < at_least_s


def test_slow_leak_makes_runs_slower_as_the_process_grows_old():
    """30 ms for each second: a run of second t takes that much longer than one of an account without it."""
    with backend("--time-scale", "0.02", "--fault", "slow_leak:1:3") as process:
        old_s = time.monotonic() + 3.0
        while time.monotonic() < old_s:  # bounded: the process grows old meanwhile
            usual = run_of(process, USUAL)
        slow = run_of(process, SLOW)
    assert slow[-1][0] - slow[0][0] >= 0.03 * 3.0
    assert usual[-1][1]["type"] == slow[-1][1]["type"] == "agent_completed"
