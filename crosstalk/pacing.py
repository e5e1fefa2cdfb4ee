"""When users of this process act: a schedule of each, or a door at which people come. Arrivals meet the clock here."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.event import Event as Flag

from crosstalk.arrivals import SCHEDULED, Attendance, Callers, Pace, schedule
from crosstalk.clock import clock

#: pauses before the next attempt to connect; the last one repeats, and each is drawn out by up to half at random
BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)


def pause_s(attempt: int, rng: random.Random) -> float:
    """How long to wait after so many attempts that failed before: longer each time, and not as long as others do."""
    return BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * (1 + rng.random() / 2)


class Lobby:
    """Where free seats of one process wait for people. Whoever comes while none is free is turned away, and counted."""

    def __init__(self, callers: Callers, attendance: Attendance, *, seed: int, worker: str) -> None:
        self._callers = callers
        self._attendance = attendance
        self._seed = f"{seed} people {worker}"
        self._free: deque[AsyncResult] = deque()
        self._seats = 0
        self._changed = Flag()
        self._porter: Any = None

    def add_seat(self) -> str:
        """A new seat: from now on, people come for it too."""
        self._seats += 1
        seat = str(self._seats)
        self._callers.add(seat, now_ns=clock.now_ns(), rng=random.Random(f"{self._seed} {seat}"))
        self._changed.set()
        self._porter = self._porter or gevent.spawn(self._receive)
        return seat

    def remove_seat(self, seat: str) -> None:
        self._callers.remove(seat)
        self._attendance.over(clock.now_ns())
        self._changed.set()

    def wait(self) -> int:
        """Wait until somebody comes for a free seat; the instant at which they came."""
        mine = AsyncResult()
        self._free.append(mine)
        try:
            came_ns: int = mine.get()
        finally:
            if mine in self._free:  # a user that is stopped while it waits
                self._free.remove(mine)
        return came_ns

    def close(self) -> None:
        if self._porter is not None:
            self._porter.kill()

    def _receive(self) -> None:
        while True:
            due_ns = self._callers.due_ns
            self._changed.clear()
            wait_s = None if due_ns is None else max(0.0, (due_ns - clock.now_ns()) / 1e9)
            self._changed.wait(wait_s)
            for came_ns in self._callers.take(clock.now_ns()):
                self._attendance.count(came_ns, made=bool(self._free))
                if self._free:
                    self._free.popleft().set(came_ns)


class Pacing:
    """One process's part of the arrival process.

    :param users: how many users the load test has in all processes; with `sessions`, the seats that share the rate.
    """

    def __init__(
        self, process: str, *, turn_interval_s: float, session_rate: float, users: int, seed: int, worker: str
    ) -> None:
        self.process = process
        self.attendance = Attendance()
        self.lobby: Lobby | None = None
        self._interval_ns = int(turn_interval_s * 1e9)
        self._seed = seed
        if process == "sessions":
            callers = Callers(int(max(users, 1) / session_rate * 1e9))
            self.lobby = Lobby(callers, self.attendance, seed=seed, worker=worker)

    def pace(self, number: int) -> Pace | None:
        """The pace of the user with this account number, from now on; None where users have no schedules."""
        if self.process not in SCHEDULED:
            return None
        starts = schedule(
            self.process, number=number, seed=self._seed, after_ns=clock.now_ns(), interval_ns=self._interval_ns
        )
        return Pace(starts, self.attendance)

    def ramp_over(self) -> None:
        self.attendance.begin(clock.now_ns())

    def close(self) -> dict[str, Any]:
        """Nobody comes any more; what was offered and made."""
        if self.lobby is not None:
            self.lobby.close()
        return self.attendance.figures()
