"""Something that depends on something else: insights, with a circuit breaker between the two.

A breaker is closed while the dependency answers, opens after so many failures in a row, and answers 503 with
Retry-After at once while it is open. After that time one call is let through: if it succeeds the breaker closes, if it
fails it is open again. Each user has a breaker of their own, so that one who meets a failure does not cut off others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from aiohttp import web

from crosstalk.backend.bodies import answer
from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import Gate

FAILURES_MAX = 3
OPEN_S = 1.0
BREAKERS_MAX = 10_000


class Breaker:
    """One breaker. Times are of a monotonic clock, in seconds."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._failures = 0
        self._open_until_s: float | None = None

    @property
    def state(self) -> str:
        if self._open_until_s is None:
            return "closed"
        return "open" if self.wait_s() else "half_open"

    def wait_s(self) -> float:
        """How long nothing is let through; 0 where something is."""
        if self._open_until_s is None:
            return 0.0
        return max(0.0, self._open_until_s - self._clock_s())

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX or self._open_until_s is not None:
            self._open_until_s = self._clock_s() + OPEN_S

    def succeeded(self) -> None:
        self._failures, self._open_until_s = 0, None


class Insights:
    """The endpoint. `?dependency=away` asks for a call whose dependency does not answer."""

    def __init__(self, gate: Gate, chat: Chat) -> None:
        self._gate = gate
        self._chat = chat
        self._breakers: dict[str, Breaker] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/insights", self.insights)]

    async def insights(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        breaker = self._breaker(user_id)
        stuck = breaker.state != "closed" and self._chat.bites_now("breaker_never_closes", user_id, "a breaker")
        wait_s = OPEN_S if stuck else breaker.wait_s()
        if wait_s:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            detail = {"detail": "insights are away, try again later", "breaker": "open"}
            return answer(detail, status=503, headers=headers)
        if request.query.get("dependency") == "away" or self._chat.occasions.on("dependency_down"):
            if not self._chat.bites_now("breaker_never_opens", user_id, "a breaker"):
                breaker.failed()
            return answer({"detail": "insights did not answer", "breaker": breaker.state}, status=502)
        breaker.succeeded()
        threads = self._chat.store.threads_of(user_id)
        return answer({"threads": len(threads), "breaker": breaker.state})

    def _breaker(self, user_id: str) -> Breaker:
        found = self._breakers.get(user_id)
        if found is None:
            if len(self._breakers) >= BREAKERS_MAX:
                del self._breakers[next(iter(self._breakers))]
            found = self._breakers[user_id] = Breaker()
        return found
