"""A word about an answer, over HTTP or on a socket: what this backend limits the rate of, each way for itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from aiohttp import web

from crosstalk.backend.bodies import answer, read_body
from crosstalk.backend.gate import Gate
from crosstalk.backend.limits import RATE_FRAME, RATE_PATH, RateLimit

#: with rate_limit_1011, who goes on so often in spite of refusals
REFUSALS_BORNE = 2
EVERYBODY = "everybody"


class Feedback:
    """Takes what users think. `bites` decides its faults; `rate` is for HTTP, sockets have one like it."""

    def __init__(self, gate: Gate, rate: RateLimit, bites: Callable[[str, str, str], bool]) -> None:
        self._gate = gate
        self._rates = {RATE_PATH: rate, RATE_FRAME: RateLimit(rate.amount, rate.window_s)}
        self._bites = bites
        self._in_a_row: dict[tuple[str, str], int] = {}
        self._for_ever: set[tuple[str, str]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.post(RATE_PATH, self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """202, or 429 with the seconds to wait in `Retry-After`."""
        user_id = self._gate.user_of(request)
        await read_body(request)
        wait_s = self._wait_s(user_id, RATE_PATH)
        if not wait_s:
            return answer({"status": "noted"}, status=202)
        if self.breaks(user_id, RATE_PATH):
            return answer({"detail": "internal error"}, status=500)
        headers = {"Retry-After": str(math.ceil(wait_s))} if self.tells(user_id, RATE_PATH) else None
        return answer({"detail": "too many requests"}, status=429, headers=headers)

    def said(self, user_id: str) -> dict[str, Any] | None:
        """On a socket: None where it is taken, else what the refusal says beside its code."""
        wait_s = self._wait_s(user_id, RATE_FRAME)
        if not wait_s:
            return None
        return {"retry_after": math.ceil(wait_s * 1000) / 1000} if self.tells(user_id, RATE_FRAME) else {}

    def breaks(self, user_id: str, way: str) -> bool:
        """Whether a refusal is one too many for it (a fault's)."""
        many = self._in_a_row.get((user_id, way), 0) > REFUSALS_BORNE
        return many and self._bites("rate_limit_1011", user_id, way)

    def tells(self, user_id: str, way: str) -> bool:
        return not self._bites("rate_limit_without_retry_after", user_id, way)

    def _wait_s(self, user_id: str, way: str) -> float:
        rate, key = self._rates[way], (user_id, way)
        wait_s = rate.ask(EVERYBODY if self._bites("rate_limit_hits_others", user_id, way) else user_id)
        if wait_s and self._bites("rate_limit_ignored", user_id, way):
            return 0.0
        if wait_s and self._bites("rate_limit_never_lifts", user_id, way):
            self._for_ever.add(key)
        if key in self._for_ever:
            wait_s = wait_s or rate.window_s
        if wait_s:
            self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
        else:
            self._in_a_row.pop(key, None)
        return wait_s
