"""Health, and the faults that concern the process as a whole."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from crosstalk.backend.bodies import answer
from crosstalk.backend.chat import Chat
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

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get(LIVE_PATH, self.live),
            web.get("/health/ready", self.ready),
        ]

    @web.middleware
    async def hold_back(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """503 for everything while the process starts, which is not at all unless a fault says so."""
        if request.path != LIVE_PATH and time.monotonic() < self._ready_s and self._bites("startup_slow"):
            return answer({"status": "starting", "detail": "starting"}, status=503, headers={"Retry-After": "1"})
        return await handler(request)

    async def health(self, _request: web.Request) -> web.Response:
        """`sockets` counts handlers of connections: those of open ones, in a backend that drops them."""
        status, parts = "healthy", {"database": "healthy", "cache": "healthy", "agents": "healthy"}
        if self._bites("cache_down"):
            status, parts["cache"] = "degraded", "degraded"
        if self._bites("env_missing"):
            status, parts["configuration"] = "unhealthy", "missing: JWT_SECRET_KEY"
        return answer(
            {
                "status": status,
                "service": SERVICE,
                "version": VERSION,
                "timestamp": time.time(),
                "revision": self._settings.revision,
                "environment": self._settings.environment,
                "sockets": self._chat.outlets.handler_count,
                "parts": parts,
            },
            status=503 if status == "unhealthy" else 200,
        )

    async def live(self, _request: web.Request) -> web.Response:
        return answer({"status": "alive", "timestamp": time.time()})

    async def ready(self, _request: web.Request) -> web.Response:
        if self._bites("env_missing"):
            return answer({"status": "unhealthy", "timestamp": time.time()}, status=503)
        return answer({"status": "ready", "timestamp": time.time()})

    def _bites(self, fault: str) -> bool:
        return self._chat.bites(fault, "", "the process")
