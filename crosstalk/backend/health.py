"""Health, and the faults that concern the process as a whole."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from crosstalk.backend.bodies import answer
from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import claimed_by
from crosstalk.backend.growth import DEPLOY_S, revision_of, rss_bytes
from crosstalk.backend.options import Settings

SERVICE = "crosstalk-backend"
VERSION = "1.0.0"
STARTUP_S = 5.0
LIVE_PATH = "/health/live"


class Health:
    """What the process says of itself."""

    def __init__(self, settings: Settings, chat: Chat) -> None:
        self._settings = settings
        self._chat = chat
        self._ready_s = time.monotonic() + STARTUP_S * settings.time_scale
        self._deployed_s = time.monotonic() + DEPLOY_S * settings.time_scale

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get(LIVE_PATH, self.live),
            web.get("/health/ready", self.ready),
            web.get("/health/occasions", self.occasions),
        ]

    def revision(self) -> str:
        """What the process calls its release, now."""
        said = self._settings.revision
        if "deploy_mid_run" not in self._chat.faults_wanted:
            return said
        return revision_of(said, deployed=time.monotonic() >= self._deployed_s and self._bites("deploy_mid_run"))

    @web.middleware
    async def hold_back(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """503 for everything while the process starts, which is not at all unless a fault says so."""
        if request.path != LIVE_PATH and time.monotonic() < self._ready_s and self._bites("startup_slow"):
            return answer({"status": "starting", "detail": "starting"}, status=503, headers={"Retry-After": "1"})
        return await handler(request)

    async def health(self, request: web.Request) -> web.Response:
        """`sockets` counts handlers of connections: those of open ones, in a backend that drops them."""
        self._chat.leave_behind()
        status, parts = "healthy", {"database": "healthy", "cache": "healthy", "agents": "healthy"}
        if self._bites("cache_down") or self._chat.occasions.on("cache_down"):
            status, parts["cache"] = self._without_cache(claimed_by(request))
        if self._bites("env_missing"):
            status, parts["configuration"] = "unhealthy", "missing: JWT_SECRET_KEY"
        return answer(
            {
                "status": status,
                "service": SERVICE,
                "version": VERSION,
                "timestamp": time.time(),
                "revision": self.revision(),
                "environment": self._settings.environment,
                "sockets": self._chat.outlets.handler_count,
                "rss_bytes": rss_bytes(),
                "parts": parts,
            },
            status=503 if status == "unhealthy" else 200,
        )

    def _without_cache(self, claimed: str) -> tuple[str, str]:
        """What is said of the whole and of the cache while the cache is down: nobody is turned away for it."""
        if self._chat.bites_now("part_down_says_healthy", claimed, "health"):
            return "healthy", "healthy"
        if self._chat.bites_now("part_down_is_outage", claimed, "health"):
            return "unhealthy", "unhealthy"
        return "degraded", "degraded"

    async def occasions(self, _request: web.Request) -> web.Response:
        """What happens to this process just now, of what it was told to go through: the truth for those who judge."""
        planned = [{"name": one.name, "after": one.after_s, "for": one.for_s} for one in self._chat.occasions.planned]
        return answer({"now": self._chat.occasions.now(), "planned": planned})

    async def live(self, _request: web.Request) -> web.Response:
        return answer({"status": "alive", "timestamp": time.time()})

    async def ready(self, _request: web.Request) -> web.Response:
        if self._bites("env_missing"):
            return answer({"status": "unhealthy", "timestamp": time.time()}, status=503)
        return answer({"status": "ready", "timestamp": time.time()})

    def _bites(self, fault: str) -> bool:
        return self._chat.bites(fault, "", "the process")
