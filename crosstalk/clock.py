"""The one door to time. Instants are Unix nanoseconds on this process's monotonic clock, tied to the wall clock once.

Kernel arrival stamps are wall-clock; `from_wall` puts them on the tied clock with the tie as it was sampled last.
"""

from __future__ import annotations

import time

#: a wall clock and a tie that lie further apart than this do so because the wall clock was set
STEP_NS = 1_000_000


class Clock:
    """Monotonic time that reads like wall time. `wall_drift_ns` says how far the two have moved apart since the tie."""

    __slots__ = ("_drift_ns", "_step_max_ns", "_tie_ns")

    def __init__(self) -> None:
        self._tie_ns = _tie_ns()
        self._drift_ns = 0
        self._step_max_ns = 0

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._tie_ns

    def from_wall(self, wall_ns: int) -> int:
        return wall_ns - self._drift_ns

    @property
    def wall_drift_ns(self) -> int:
        return self._drift_ns

    def sample(self) -> int:
        """Sample the tie again; returns wall minus tied clock in ns."""
        before_ns, self._drift_ns = self._drift_ns, _tie_ns() - self._tie_ns
        moved_ns = self._drift_ns - before_ns
        if abs(moved_ns) > max(abs(self._step_max_ns), STEP_NS):
            self._step_max_ns = moved_ns
        return self._drift_ns

    def check(self) -> None:
        """A cheap look, to be taken often: was the wall clock set? Then the tie is sampled again at once."""
        if abs(time.time_ns() - time.monotonic_ns() - self._tie_ns - self._drift_ns) > STEP_NS:
            self.sample()

    def take_step_max(self) -> int:
        """The largest step of the wall clock since this was last asked, forward or back; 0: it was not set."""
        step_ns, self._step_max_ns = self._step_max_ns, 0
        return step_ns


def _tie_ns() -> int:
    """Wall minus monotonic, from the tightest of five bracketed readings."""
    best_width, best = None, 0
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best_width is None or after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best


#: processor time in ns, of the calling thread and of the whole process
thread_cpu_ns, process_cpu_ns = time.thread_time_ns, time.process_time_ns

#: this process's clock; a forked worker ties its own (`retie`)
clock = Clock()


def retie() -> None:
    """Tie the clock anew, after a fork."""
    clock.__init__()  # type: ignore[misc]
