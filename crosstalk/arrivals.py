"""Arrival processes as values: when turns are meant to start, and when people are meant to come. Pure.

No clock and no randomness of its own: instants are arguments (integer nanoseconds on the tied clock) and a
`random.Random` is passed in, so a seed and an account number give the same schedule in whichever process it is made.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: processes in which every user has a schedule of intended starts
SCHEDULED = ("constant", "poisson")
#: steps of this share of an interval spread any run of consecutive numbers evenly over it (the golden ratio's)
_STEP = 0.6180339887498949


def phase_of(number: int, *, interval_ns: int, rng: random.Random) -> int:
    """Where in the interval account `number` starts its turns. `rng`: the same for all accounts of a load test."""
    return int((rng.random() + number * _STEP) % 1.0 * interval_ns)


def constant(*, after_ns: int, interval_ns: int, phase_ns: int) -> Iterator[int]:
    """One start every interval, for ever: the instants after `after_ns` that lie `phase_ns` into an interval.

    Intervals are counted from the epoch, so users that begin at different instants keep their phases to each other.
    """
    due_ns = after_ns + 1 + (phase_ns - after_ns - 1) % interval_ns
    while True:
        yield due_ns
        due_ns += interval_ns


def poisson(*, after_ns: int, interval_ns: int, rng: random.Random) -> Iterator[int]:
    """Starts with exponential gaps of this mean, for ever; the sum of several is a Poisson process too."""
    due_ns = after_ns
    while True:
        due_ns += max(1, round(rng.expovariate(1 / interval_ns)))
        yield due_ns


def schedule(process: str, *, number: int, seed: int, after_ns: int, interval_ns: int) -> Iterator[int]:
    """The intended starts of the user with this account number.

    :raises ValueError: the process has no schedules.
    """
    if process == "constant":
        phase_ns = phase_of(number, interval_ns=interval_ns, rng=random.Random(f"{seed} phases"))
        return constant(after_ns=after_ns, interval_ns=interval_ns, phase_ns=phase_ns)
    if process == "poisson":
        return poisson(after_ns=after_ns, interval_ns=interval_ns, rng=random.Random(f"{seed} arrivals {number}"))
    raise ValueError(f"expected one of {SCHEDULED}, got {process!r}")


@dataclass(slots=True)
class Attendance:
    """What was meant to start and what did, in one process: turns of a schedule, or people who come.

    Counted is what fell due between the end of the ramp and the instant at which its user was told to stop.
    """

    steady_ns: int | None = None  # the end of the ramp; None before
    until_ns: int = 0
    offered: int = 0
    made: int = 0

    def begin(self, now_ns: int) -> None:
        """The ramp is over. Only the first call counts."""
        self.steady_ns = now_ns if self.steady_ns is None else self.steady_ns

    def count(self, due_ns: int, *, made: bool) -> None:
        if self.steady_ns is not None and due_ns >= self.steady_ns:
            self.offered += 1
            self.made += made

    def over(self, now_ns: int) -> None:
        """A user stops: the window reaches to here at least."""
        self.until_ns = max(self.until_ns, now_ns)

    def figures(self) -> dict[str, Any]:
        """`window_s` is 0 where the ramp never ended."""
        window_ns = 0 if self.steady_ns is None else max(0, self.until_ns - self.steady_ns)
        return {"offered": self.offered, "made": self.made, "window_s": window_ns / 1e9}


@dataclass(slots=True)
class Pace:
    """One user's way through its schedule. A start that has passed is taken late, with its instant, never skipped."""

    starts: Iterator[int]
    attendance: Attendance
    due_ns: int = field(init=False)
    late: bool = False  # the user was busy, or not connected, when the turn fell due
    free: bool = False  # since its last turn: what it starts next is the turn that is due

    def __post_init__(self) -> None:
        self.due_ns = next(self.starts)

    def wait_ns(self, now_ns: int) -> int:
        """The user is free: how long until its next turn is due, 0 where its time has passed.

        A start that it used for something that is no turn was made all the same.
        """
        if self.free:
            self.take()
        self.free, self.late = True, now_ns > self.due_ns
        return max(0, self.due_ns - now_ns)

    def take(self) -> tuple[int, bool] | None:
        """A turn starts: its intended instant, and whether it had to wait for its user.

        None for what a user starts beside the turn that was due, a second turn of the same task for instance.
        """
        if not self.free:
            return None
        taken = self.due_ns, self.late
        self.attendance.count(self.due_ns, made=True)
        self.due_ns, self.free = next(self.starts), False
        return taken

    def close(self, now_ns: int) -> None:
        """The user was told to stop then: what was due and did not start was offered all the same."""
        while self.due_ns <= now_ns:
            self.attendance.count(self.due_ns, made=False)
            self.due_ns = next(self.starts)
        self.attendance.over(now_ns)


@dataclass(slots=True)
class Callers:
    """Who comes to the door of one process: the sum of one Poisson process a seat, so any split of seats over processes
    gives the same rate in all. A seat is a Locust user, taken or free; whether it is free is not known here."""

    mean_ns: int  # between two arrivals of one seat's
    _next: list[tuple[int, str]] = field(default_factory=list)
    _streams: dict[str, Iterator[int]] = field(default_factory=dict)

    def add(self, seat: str, *, now_ns: int, rng: random.Random) -> None:
        self._streams[seat] = poisson(after_ns=now_ns, interval_ns=self.mean_ns, rng=rng)
        heapq.heappush(self._next, (next(self._streams[seat]), seat))

    def remove(self, seat: str) -> None:
        """Nobody comes for this seat any more. A seat that is not there is no error."""
        self._streams.pop(seat, None)
        self._next = [entry for entry in self._next if entry[1] != seat]
        heapq.heapify(self._next)

    @property
    def due_ns(self) -> int | None:
        """When the next one comes; None without a seat."""
        return self._next[0][0] if self._next else None

    def take(self, now_ns: int) -> list[int]:
        """The instants of those who have come by now, in order."""
        came = []
        while self._next and self._next[0][0] <= now_ns:
            due_ns, seat = self._next[0]
            came.append(due_ns)
            heapq.heapreplace(self._next, (next(self._streams[seat]), seat))
        return came
