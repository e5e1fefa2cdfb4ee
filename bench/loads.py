"""Simulated load tests with a known truth: when runs started and ended, of how many users.

Each is (sent_s, end_s, account), of users that answer, think and ask again (`closed`), of people who come by a Poisson
process (`open_load`, `sessions`), or of a queue that cannot keep up (`overload`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Load = tuple[np.ndarray, np.ndarray, np.ndarray]
Shape = Callable[[float], float]  # seconds → factor of the service time


def flat(_: float) -> float:
    return 1.0


def closed(
    random: np.random.Generator, *, users: int = 20, seconds: float = 40.0, service_s: float = 0.8,
    think_s: float = 0.5, sigma: float = 0.4, shape: Shape = flat,
) -> Load:  # fmt: skip
    """Users that start within the first second; lognormal service times, times `shape` at the start of the run."""
    turns = math.ceil(seconds / (0.2 * (service_s + think_s)))
    service = service_s * random.lognormal(-sigma * sigma / 2, sigma, (users, turns))
    think = think_s * random.uniform(0.5, 1.5, (users, turns))
    rows = []
    for user in range(users):
        at = user / users
        for took, pause in zip(service[user].tolist(), think[user].tolist(), strict=True):
            if at >= seconds:
                break
            end = at + took * shape(at)
            rows.append((at, end, user))
            at = end + pause
    return _load(rows)


def open_load(
    random: np.random.Generator, *, rate: float = 10.0, seconds: float = 60.0, sigma: float = 0.6, shape: Shape = flat
) -> Load:
    """Runs that start whatever is under way, handed round 20 accounts."""
    sent = np.sort(random.uniform(0, seconds, random.poisson(rate * seconds)))
    took = 0.8 * random.lognormal(-sigma * sigma / 2, sigma, len(sent)) * np.array([shape(at) for at in sent.tolist()])
    return sent, sent + took, np.arange(len(sent)) % 20


def overload(random: np.random.Generator, *, rate: float = 10.0, capacity: float = 8.0, seconds: float = 60.0) -> Load:
    """One queue, served slower than people come: what is under way grows to the end, what ends does not."""
    sent = np.sort(random.uniform(0, seconds, random.poisson(rate * seconds)))
    free, end = 0.0, []
    for at, took in zip(sent.tolist(), random.exponential(1 / capacity, len(sent)).tolist(), strict=True):
        free = max(free, at) + took
        end.append(free)
    return sent, np.array(end), np.arange(len(sent)) % 20


def sessions(random: np.random.Generator, *, rate: float = 1.0, turns: float = 5.0, seconds: float = 120.0) -> Load:
    """People who come, converse for some turns and leave; the load test begins when some are there already."""
    rows = []
    for person, came in enumerate(random.uniform(-60.0, seconds, random.poisson(rate * (seconds + 60.0))).tolist()):
        at = came
        for _ in range(random.geometric(1 / turns)):
            end = at + 0.8 * random.lognormal(-0.08, 0.4)
            rows += [(at, end, person)] if 0 <= at < seconds else []
            at = end + random.uniform(0.25, 0.75)
    return _load(rows)


def _load(rows: list[tuple[float, float, int]]) -> Load:
    sent, end, account = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return sent, end, account
