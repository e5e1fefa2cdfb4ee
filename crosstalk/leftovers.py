"""What is still to be deleted on the target when users are gone: a few at a time, in a bounded time.

Ten thousand users that stop at once would otherwise open ten thousand HTTP connections at once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import gevent

from crosstalk.wire.redact import redact

logger = logging.getLogger("crosstalk")

#: deletions under way at a time
CLEANERS_MAX = 16
#: how long the end of a load test waits for deletions
CLEAN_UP_S = 60.0


class Leftovers:
    """Deletions, made in the order in which they are handed over."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._cleaners: list[gevent.Greenlet] = []
        self._under_way = self._failed = 0

    def add(self, delete: Callable[[], object]) -> None:
        self._waiting.append(delete)
        if len(self._cleaners) < CLEANERS_MAX:
            self._cleaners.append(gevent.spawn(self._clean))

    def finish(self, timeout_s: float = CLEAN_UP_S) -> int:
        """Wait until everything is deleted, but no longer than this; how much was not."""
        gevent.joinall(self._cleaners, timeout=timeout_s)
        left = len(self._waiting) + self._under_way + self._failed
        self._waiting.clear()
        gevent.killall(self._cleaners)
        self._cleaners, self._failed = [], 0
        return left

    def _clean(self) -> None:
        try:
            while self._waiting:
                delete = self._waiting.popleft()
                self._under_way += 1
                try:
                    delete()
                except Exception as error:  # no token any more, for one; the others are deleted all the same
                    self._failed += 1
                    logger.warning("a thread is left on the target: %s", redact(str(error)))
                finally:
                    self._under_way -= 1
        finally:
            self._cleaners = [one for one in self._cleaners if one is not gevent.getcurrent()]
