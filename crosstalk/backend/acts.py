"""How the occasions are acted out that end sockets, and the door through which they come in again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from crosstalk.backend.chat import Chat
from crosstalk.backend.endpoint import Endpoint
from crosstalk.backend.occasions import Occasion

BACKLOG = 4096


class Door:
    """Where the process listens. It can be shut and opened again, at the same port. Connections that are
    not being answered are cut with it."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host = host
        self.port = port
        self._context = context
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._busy: set[object] = set()

    @web.middleware
    async def answering(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Know who is being answered; while the door is shut, an answer is the last one on its connection."""
        self._busy.add(request.protocol)
        try:
            response = await handler(request)
        finally:
            self._busy.discard(request.protocol)
        if self._site is None and not response.prepared:
            response.force_close()
        return response

    async def open(self, runner: web.AppRunner) -> None:
        """:raises OSError: somebody else listens there, or nobody may."""
        site = web.TCPSite(runner, self._host, self.port, backlog=BACKLOG, ssl_context=self._context)
        await site.start()
        self._runner, self._site, self.port = runner, site, runner.addresses[0][1]

    async def open_again(self) -> None:
        """At the same port as before."""
        if self._runner is not None:
            await self.open(self._runner)

    async def shut(self) -> None:
        """Nobody comes in. What came before is still answered; connections that wait for a next request are cut."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        server = self._runner.server if self._runner is not None else None
        for connection in server.connections if server is not None else ():
            if connection not in self._busy:
                connection.force_close()


class Acts:
    """What a right backend does about them: nobody is cut off in mid-run, and everybody is told what happens."""

    def __init__(self, chat: Chat, endpoints: Sequence[Endpoint], door: Door) -> None:
        self._chat = chat
        self._endpoints = endpoints
        self._door = door

    def by_name(self) -> Mapping[str, Callable[[Occasion], Awaitable[None]]]:
        return {"restart": self._restart, "close_all": self._close_all, "try_later": self._try_later}

    async def _restart(self, occasion: Occasion) -> None:
        await self._chat.drain(self._chat.pace.agent_timeout_s)
        await self._door.shut()
        await self.say_goodbye(1012, b"service restart")
        await asyncio.sleep(occasion.for_s)  # so long nobody listens
        self._chat.reopen()
        await self._door.open_again()

    async def say_goodbye(self, code: int, reason: bytes) -> None:
        await asyncio.gather(*(endpoint.say_goodbye(code, reason) for endpoint in self._endpoints))

    async def _close_all(self, _occasion: Occasion) -> None:
        await self._without_runs(1012, b"service restart")

    async def _try_later(self, _occasion: Occasion) -> None:
        await self._without_runs(1013, b"try again later")

    async def _without_runs(self, code: int, reason: bytes) -> None:
        await self._chat.drain(self._chat.pace.agent_timeout_s)
        await self.say_goodbye(code, reason)
        self._chat.go_on()
