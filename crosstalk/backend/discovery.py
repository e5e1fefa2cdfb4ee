"""Which agents there are, what they can do, and how this backend is configured.

Servers and configuration are the same for everybody and need no token, but a bad one is refused; the status counts the
runs of the user who asks, or says how the one is that the query names.
"""

from __future__ import annotations

from aiohttp import web

from crosstalk.backend.bodies import answer
from crosstalk.backend.catalogue import SHAPES
from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import Gate
from crosstalk.backend.options import Settings
from crosstalk.backend.plan import BILLING, SUPERVISOR, TOOLS

AGENTS = {
    SUPERVISOR: "answers, calls tools and hands over",
    BILLING: "answers what is handed over to it",
}


class Discovery:
    """The endpoints of agent discovery."""

    def __init__(self, settings: Settings, gate: Gate, chat: Chat) -> None:
        self._settings = settings
        self._gate = gate
        self._chat = chat

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/agents/status", self.status),
            web.get("/api/mcp/servers", self.servers),
            web.get("/api/mcp/config", self.config),
        ]

    async def status(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        if "run_id" in request.query:
            run = self._chat.access.run(user_id, request.query["run_id"], "idor_read_run")
            return answer({"run_id": run.id, **run.described()})
        agents = [{"name": name, "description": what, "status": "ready"} for name, what in AGENTS.items()]
        return answer({"agents": agents, "user_id": user_id, "runs_in_progress": self._chat.run_count_of(user_id)})

    async def servers(self, request: web.Request) -> web.Response:
        self._check_token(request)
        tools = [{"name": name, "description": what} for name, what in TOOLS.items()]
        server = {"name": "crosstalk-tools", "status": "connected", "agents": list(AGENTS), "tools": tools}
        return answer({"servers": [server], "total": 1})

    async def config(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return answer(
            {
                "default_agent": SUPERVISOR,
                "agents": list(AGENTS),
                "tools": list(TOOLS),
                "shapes": list(SHAPES),
                "streaming": True,
                "receive_timeout_s": self._settings.receive_timeout_s,
                "agent_timeout_s": self._settings.agent_timeout_s,
                "message_bytes_max": self._settings.message_bytes_max,
            }
        )

    def _check_token(self, request: web.Request) -> None:
        if "Authorization" in request.headers:
            self._gate.user_of(request)
