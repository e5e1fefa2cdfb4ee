"""What the backend bears of one user, and what it says of that: sockets at a time, sizes, silence, requests in a while.

`GET /api/config/limits` says it for all, and every netra welcome says what holds for its own socket.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from aiohttp import web

from crosstalk.backend.bodies import answer
from crosstalk.backend.gate import SUBPROTOCOLS, Gate

#: what the rate limit is on: so many in a window of so many seconds, for each user
RATE_AMOUNT, RATE_WINDOW_S = 5, 2.0
RATE_PATH, RATE_FRAME = "/api/feedback", "feedback"
#: a client may ask for a shorter silence than the usual one, but for no shorter one than this
LEAST_S = 0.2
IDLE_MOST_S = 3600.0
#: with comeback_refused, who comes back within this is taken for the one who has just gone
GHOST_S = 1.0
#: with fan_in_refuses, so many sockets of a user may be on their way up at a time
ON_THE_WAY_MAX = 4
USERS_KEPT_MAX = 10_000
#: what only a fault asks for is not counted without it
_COUNTED = frozenset({"fan_in_refuses", "comeback_refused"})


class Guest(Protocol):
    """A socket, as far as the door cares."""

    user_id: str
    connection_id: str

    def close(self, code: int, reason: bytes = b"") -> None: ...


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Of one socket, in seconds: a heartbeat when it has received nothing for so long, an RFC 6455 ping likewise, and
    its end. 0: never."""

    heartbeat_s: float
    ping_s: float
    idle_s: float = 0.0

    def asked(self, query: Mapping[str, str]) -> Keepalive:
        """What a client asks for in its upgrade holds where it is shorter than the usual; anything else is passed over,
        and the welcome says what holds."""
        return replace(
            self,
            heartbeat_s=_within(query.get("heartbeat_s"), self.heartbeat_s),
            ping_s=_within(query.get("ping_s"), self.ping_s),
            idle_s=_within(query.get("idle_s"), self.idle_s),
        )


class Limits:
    """All of them, and who has reached which. `bites` decides the faults `wanted`."""

    def __init__(
        self,
        bites: Callable[[str, str, str], bool],
        *,
        wanted: frozenset[str],
        sockets_max: int,
        message_bytes_max: int,
        keepalive: Keepalive,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.message_bytes_max = message_bytes_max
        self.keepalive = keepalive
        self.rate = RateLimit(RATE_AMOUNT, RATE_WINDOW_S, clock_s)
        self.door = Door(bites, wanted=wanted, sockets_max=sockets_max, clock_s=clock_s)

    def described(self, keepalive: Keepalive | None = None) -> dict[str, Any]:
        """As it is told; `keepalive`: of one socket."""
        holds = keepalive or self.keepalive
        return {
            "sockets_per_user": self.door.sockets_max,
            "message_bytes_max": self.message_bytes_max,
            "heartbeat_s": holds.heartbeat_s,
            "ping_s": holds.ping_s,
            "idle_s": holds.idle_s,
            "subprotocols": list(SUBPROTOCOLS),
            "rate": {"path": RATE_PATH, "frame": RATE_FRAME, "amount": RATE_AMOUNT, "window_s": RATE_WINDOW_S},
        }

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        async def show(request: web.Request) -> web.Response:
            """The same for everybody: it needs no token, but a bad one is refused."""
            if "Authorization" in request.headers:
                gate.user_of(request)
            return answer({"limits": self.described()})

        return [web.get("/api/config/limits", show)]


class RateLimit:
    """`amount` in any `window_s` seconds, for each user; what is refused does not count."""

    def __init__(self, amount: int, window_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.amount, self.window_s = amount, window_s
        self._clock_s = clock_s
        self._taken: dict[str, deque[float]] = {}

    def ask(self, user_id: str) -> float:
        """0 where it is granted; else after how many seconds it would be."""
        now_s = self._clock_s()
        taken = self._taken.setdefault(user_id, deque(maxlen=self.amount))
        if len(taken) == self.amount and now_s - taken[0] < self.window_s:
            return self.window_s - (now_s - taken[0])
        taken.append(now_s)
        if len(self._taken) > USERS_KEPT_MAX:
            del self._taken[next(iter(self._taken))]
        return 0.0


class Door:
    """How many sockets each user has; 0 as `sockets_max` sets no bound."""

    def __init__(
        self,
        bites: Callable[[str, str, str], bool],
        *,
        wanted: frozenset[str] = frozenset(),
        sockets_max: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sockets_max = sockets_max
        self._bites = bites
        self._counts_all = bool(wanted & _COUNTED)
        self._clock_s = clock_s
        self._inside: dict[str, list[Guest]] = {}
        self._coming: dict[str, set[int]] = {}  # upgrades of sockets that have not spoken yet
        self._left_s: dict[str, float] = {}

    def knock(self, user_id: str, upgrade: int) -> None:
        """An upgrade: it is never refused here, but by a fault."""
        if not self._counts_all:
            return
        coming = self._coming.setdefault(user_id, set())
        if len(coming) >= ON_THE_WAY_MAX and self._bites("fan_in_refuses", user_id, "an upgrade"):
            raise web.HTTPServiceUnavailable(text="too many connections at once")
        left_s = self._left_s.get(user_id)
        if left_s is not None and user_id not in self._inside and self._clock_s() - left_s < GHOST_S:
            del self._left_s[user_id]
            if self._bites("comeback_refused", user_id, "an upgrade"):
                raise web.HTTPServiceUnavailable(text="already connected")
        coming.add(upgrade)

    def spoken(self, user_id: str, upgrade: int) -> None:
        """It is no longer on its way: it has said something, or is gone."""
        if coming := self._coming.get(user_id):
            coming.discard(upgrade)
            if not coming:
                del self._coming[user_id]

    def enter(self, guest: Guest) -> tuple[int, bytes] | None:
        """One more socket of its user's; None where it may come in, else how it is to be closed."""
        inside = self._inside.setdefault(guest.user_id, [])
        if self.sockets_max and len(inside) >= self.sockets_max:
            user_id, what = guest.user_id, guest.connection_id
            if self._bites("cap_1011", user_id, what):
                return 1011, b"internal error"
            if self._bites("cap_kills_oldest", user_id, what):
                inside[0].close(1008, b"replaced by a newer connection")
            elif not self._bites("cap_ignored", user_id, what):
                return 1008, b"too many connections"
        inside.append(guest)
        return None

    def leave(self, guest: Guest) -> None:
        """It is gone; one that was not let in was never here."""
        inside = self._inside.get(guest.user_id, [])
        if guest in inside:
            inside.remove(guest)
        if not inside:
            self._inside.pop(guest.user_id, None)
            if self._counts_all:
                self._left_s[guest.user_id] = self._clock_s()


def _within(text: str | None, usual_s: float) -> float:
    """Seconds that were asked for, between the least and the usual; the usual otherwise."""
    try:
        seconds = float(text or "nan")
    except ValueError:
        return usual_s
    most_s = usual_s or IDLE_MOST_S
    return seconds if math.isfinite(seconds) and LEAST_S <= seconds <= most_s else usual_s
