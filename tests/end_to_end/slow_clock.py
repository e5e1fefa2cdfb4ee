"""The smoke's users on a host whose clock is 40 s behind: what it calls now, and the stamps of its kernel."""

import crosstalk.clock

BEHIND_NS = 40_000_000_000
right = crosstalk.clock._tie_ns
crosstalk.clock._tie_ns = lambda: right() - BEHIND_NS


class Behind(crosstalk.clock.Clock):
    __slots__ = ()

    def from_wall(self, wall_ns: int) -> int:
        return super().from_wall(wall_ns - BEHIND_NS)


crosstalk.clock.clock.__class__ = Behind
crosstalk.clock.retie()

from scenarios.smoke import *  # noqa: E402, F403
