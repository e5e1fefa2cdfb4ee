"""The garbage collector, kept from stopping a process of many users.

A full collection looks at every object that is there and stops everything meanwhile: 0.6 s at 3,000 users, again and
again while there are more and more of them. What is there before load begins (Locust and what it brings along are more
than 70,000 objects) stays, and so does what is there when all users are: each is looked at once.
"""

from __future__ import annotations

import gc
from typing import Any

#: objects more than were freed, until the youngest are looked at; 20 of those looks, and 50 of those
THRESHOLDS = (10_000, 20, 50)
FULL = 2


class Garbage:
    """What survives a full collection is set aside until the ramp is over, and what there is then, too.

    Set aside is not lost: it is freed when nothing refers to it; only circles in it wait until `end`.
    """

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._watching = False

    def begin(self) -> None:
        """Users are about to be started."""
        if not self._watching:
            self._before, self._watching = gc.get_threshold(), True
            gc.set_threshold(*THRESHOLDS)
            gc.callbacks.append(self._collected)
            gc.unfreeze()  # what an earlier load test of this process left is let go of first
            gc.collect()  # the callback sets aside what is left

    def ramp_over(self) -> None:
        """All users are there: from now on only what comes is looked at."""
        if self._watching:
            gc.collect()
            self._unwatch()

    def end(self) -> None:
        """Users are gone: everything is as it was before `begin`."""
        self._unwatch()
        gc.unfreeze()
        gc.set_threshold(*self._before)

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "stop" and info["generation"] == FULL:
            gc.freeze()

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            gc.callbacks.remove(self._collected)
