"""Several users released by one flag: load alone rarely brings about what arrives within one millisecond."""

from __future__ import annotations

from dataclasses import dataclass, field

from gevent.event import Event as Flag


@dataclass(slots=True)
class _Group:
    here: int = 0
    flag: Flag = field(default_factory=Flag)


@dataclass(slots=True)
class Gathering:
    """A place where users of one process wait for each other.

    :param size: so many are released together; fewer, when somebody has waited too long: it takes all others along.
    """

    size: int
    _group: _Group = field(default_factory=_Group)

    def wait(self, timeout_s: float) -> int:
        """Wait until enough are here, or the time is over; how many were released together."""
        group = self._group
        group.here += 1
        try:
            if group.here >= self.size or not group.flag.wait(timeout_s):
                self._release(group)
        except BaseException:  # a user that is stopped while it waits is not here any more
            group.here -= 1
            raise
        return group.here

    def _release(self, group: _Group) -> None:
        if self._group is group:
            self._group = _Group()
        group.flag.set()
