"""Administration and debugging over HTTP: for tokens whose permissions say admin, 403 for all others."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from crosstalk.backend.bodies import answer, page_of, read_body, text_of
from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import Gate


class Admin:
    """The endpoints."""

    def __init__(self, gate: Gate, chat: Chat) -> None:
        self._gate = gate
        self._chat = chat

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/admin/users", self.users),
            web.get("/api/admin/threads", self.threads),
            web.post("/api/admin/broadcast", self.broadcast),
            web.get("/api/debug/state", self.state),
        ]

    async def users(self, request: web.Request) -> web.Response:
        self._gate.admin_of(request, "admin_open")
        return answer({"users": users(self._chat)})

    async def threads(self, request: web.Request) -> web.Response:
        self._gate.admin_of(request, "admin_open")
        threads = self._chat.store.all_threads()
        limit, offset = page_of(request)
        shown = [{**thread.described(), "owner": thread.owner} for thread in threads[offset : offset + limit]]
        return answer({"threads": shown, "total": len(threads)})

    async def broadcast(self, request: web.Request) -> web.Response:
        """A word to everybody who is connected, from nobody in particular."""
        self._gate.admin_of(request, "admin_open")
        text = text_of(await read_body(request), "text")
        connections = self._chat.connections.open_ones()
        for connection in connections:
            connection.link.send(orjson.dumps({"type": "broadcast", "data": {"text": text}}))
        return answer({"sent": len(connections)})

    async def state(self, request: web.Request) -> web.Response:
        self._gate.admin_of(request, "debug_open")
        return answer(everything(self._chat))


def users(chat: Chat) -> list[dict[str, Any]]:
    return [chat.store.profile(user_id) for user_id in chat.store.users()]


def everything(chat: Chat) -> dict[str, Any]:
    """What is going on in the process."""
    runs = [
        {"run_id": run.run_id, "user_id": run.user_id, "thread_id": run.thread_id} for run in chat.runs_in_progress()
    ]
    return {"connections": [one.described() for one in chat.connections.open_ones()], "runs": runs}
