"""The one door to time. Instants are Unix nanoseconds on this process's monotonic clock, tied to the wall clock once.

Kernel arrival stamps are wall-clock; `from_wall` puts them on the tied clock with the tie as it was sampled last.
"""

from __future__ import annotations

import time


class Clock:
    """Monotonic time that reads like wall time. `wall_drift_ns` says how far the two have moved apart since the tie."""

    __slots__ = ("_drift_ns", "_tie_ns")

    def __init__(self) -> None:
        self._tie_ns = _tie_ns()
        self._drift_ns = 0

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._tie_ns

    def from_wall(self, wall_ns: int) -> int:
        return wall_ns - self._drift_ns

    @property
    def wall_drift_ns(self) -> int:
        return self._drift_ns

    def sample(self) -> int:
        """Sample the tie again; returns wall minus tied clock in ns."""
        self._drift_ns = _tie_ns() - self._tie_ns
        return self._drift_ns


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


#: this process's clock; a forked worker ties its own (`retie`)
clock = Clock()


def retie() -> None:
    """Tie the clock anew, after a fork."""
    clock.__init__()  # type: ignore[misc]
