"""HTTP for what belongs to a user beside threads: messages, runs, connections, and the user's own profile."""

from __future__ import annotations

from aiohttp import web

from crosstalk.backend.bodies import answer, page_of, read_body, text_of
from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.events import Address
from crosstalk.backend.gate import Gate
from crosstalk.backend.netra_frames import NetraVoice
from crosstalk.backend.plan import SUPERVISOR


class Objects:
    """The endpoints of the netra shape. Every one asks `Access` whose the object is."""

    def __init__(self, gate: Gate, chat: Chat) -> None:
        self._gate = gate
        self._chat = chat
        self._voice = NetraVoice()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/messages", self.list_messages),
            web.get("/api/messages/{id}", self.show_message),
            web.get("/api/runs/{id}", self.show_run),
            web.post("/api/agents/stop", self.stop_run),
            web.post("/api/agents/cancel", self.cancel_run),
            web.post("/api/agents/execute", self.execute),
            web.post("/api/agents/start", self.execute),
            web.get("/api/connections", self.list_connections),
            web.get("/api/connections/{id}", self.show_connection),
            web.delete("/api/connections/{id}", self.close_connection),
            web.get("/api/users/{id}", self.show_user),
        ]

    async def list_messages(self, request: web.Request) -> web.Response:
        """The messages of the thread that the query names."""
        user_id = self._gate.user_of(request)
        thread = self._chat.access.thread(user_id, request.query.get("thread_id", ""), "idor_read_messages")
        messages = self._chat.access.messages(user_id, thread)
        shown = self._chat.access.page(user_id, messages, *page_of(request))
        return answer({"thread_id": thread.id, "messages": shown, "total": len(messages)})

    async def show_message(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        return answer(self._chat.access.message(user_id, request.match_info["id"], "idor_read_message"))

    async def show_run(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        run = self._chat.access.run(user_id, request.match_info["id"], "idor_read_run")
        return answer(self._chat.described(user_id, run))

    async def stop_run(self, request: web.Request) -> web.Response:
        return await self._end_run(request, "stop_ignored")

    async def cancel_run(self, request: web.Request) -> web.Response:
        return await self._end_run(request, "cancel_ignored_http")

    async def _end_run(self, request: web.Request, ignored: str) -> web.Response:
        user_id = self._gate.user_of(request)
        run_id = text_of(await read_body(request), "run_id")
        self._chat.stop_run(user_id, run_id, "idor_cancel_run", ignored=ignored)
        return answer({"run_id": run_id, "status": "cancelled"})

    async def execute(self, request: web.Request) -> web.Response:
        """Start a run of the agent that `type` names, in a thread that exists or a new one; its events go to the
        sockets of the user."""
        user_id = self._gate.user_of(request)
        body = await read_body(request)
        prompt = text_of(body, "message")
        thread_id = text_of(body, "thread_id") if body.get("thread_id") is not None else None
        agent = text_of(body, "type") if body.get("type") is not None else SUPERVISOR
        turn = Turn(prompt, thread_id, None, {}, {}, agent=agent)
        nowhere = self._chat.bites_now("http_start_without_events", user_id, request.path)
        address = Address("netra", "" if nowhere else user_id)
        run = self._chat.start_run(user_id, turn, address=address, voice=self._voice)
        return answer({"run_id": run.id, "thread_id": run.thread_id, "status": run.status}, status=202)

    async def list_connections(self, request: web.Request) -> web.Response:
        connections = self._chat.connections.open_ones(self._gate.user_of(request))
        return answer({"connections": [one.described() for one in connections]})

    async def show_connection(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        connection = self._chat.connections.owned(user_id, request.match_info["id"], "idor_connection")
        return answer(connection.described())

    async def close_connection(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        connection = self._chat.connections.owned(user_id, request.match_info["id"], "idor_close_connection")
        connection.link.close(1000, b"closed over HTTP")
        return web.Response(status=204)

    async def show_user(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        return answer(self._chat.access.profile(user_id, request.match_info["id"], "idor_profile"))
