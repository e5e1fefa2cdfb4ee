"""Which agents there are, what they can do, and how this backend is configured.

Servers, configuration and health of the agents are the same for everybody and need no token, but a bad one is refused;
the status counts the runs of the user who asks, or says how the one is that the request names.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from crosstalk.backend.agents import AGENTS, PROGRESS_EVERY_S, agent_timeout_s, tool_timeouts_s
from crosstalk.backend.bodies import answer, read_body, text_of
from crosstalk.backend.catalogue import SHAPES
from crosstalk.backend.chat import Chat
from crosstalk.backend.gate import Gate
from crosstalk.backend.options import Settings
from crosstalk.backend.plan import BILLING, SUPERVISOR, TOOLS

#: an agent that is listed and that nobody can run, and how far the configuration is off (faults)
NOBODY = "oracle"
DECLARED_TIMES_TOO_LONG = 1.9


class Discovery:
    """The endpoints of agent discovery."""

    def __init__(self, settings: Settings, gate: Gate, chat: Chat) -> None:
        self._settings = settings
        self._gate = gate
        self._chat = chat

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/agents/status", self.status),
            web.post("/api/agents/status", self.status_of),
            web.get("/api/mcp/servers", self.servers),
            web.get("/api/mcp/config", self.config),
            web.get("/health/agents", self.health),
        ]

    async def status(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        if "run_id" in request.query:
            return self._status_of(user_id, request.query["run_id"])
        agents = [{"name": name, "description": one.role, "status": "ready"} for name, one in AGENTS.items()]
        return answer({"agents": agents, "user_id": user_id, "runs_in_progress": self._chat.run_count_of(user_id)})

    async def status_of(self, request: web.Request) -> web.Response:
        user_id = self._gate.user_of(request)
        return self._status_of(user_id, text_of(await read_body(request), "run_id"))

    def _status_of(self, user_id: str, run_id: str) -> web.Response:
        run = self._chat.access.run(user_id, run_id, "idor_read_run")
        return answer({"run_id": run.id, **self._chat.described(user_id, run)})

    async def servers(self, request: web.Request) -> web.Response:
        user_id = self._asked_by(request)
        agents = {name: agent.role for name, agent in AGENTS.items()}
        if self._bites("discovery_empty", user_id, request):
            return answer({"servers": [], "total": 0})
        if self._bites("discovery_lists_unknown", user_id, request):
            agents[NOBODY] = "knows everything"
        tools = [{"name": name, "description": what} for name, what in TOOLS.items()]
        server = {"name": "crosstalk-tools", "status": "connected", "agents": list(agents), "tools": tools}
        return answer({"servers": [{**server, "roles": agents}], "total": 1})

    async def config(self, request: web.Request) -> web.Response:
        user_id = self._asked_by(request)
        backend_s = self._settings.agent_timeout_s
        agents_s = {name: agent_timeout_s(name, backend_s) for name in AGENTS}
        said: dict[str, Any] = {
            "default_agent": SUPERVISOR,
            "agents": list(AGENTS),
            "tools": list(TOOLS),
            "shapes": list(SHAPES),
            "streaming": True,
            "receive_timeout_s": self._settings.receive_timeout_s,
            "agent_timeout_s": backend_s,
            "agent_timeouts_s": agents_s,
            "tool_timeouts_s": tool_timeouts_s(backend_s),
            "progress_every_s": PROGRESS_EVERY_S,
            "message_bytes_max": self._settings.message_bytes_max,
        }
        if self._bites("config_disagrees", user_id, request):
            said = _stretched(said)
        if self._bites("config_inverted", user_id, request):
            said["receive_timeout_s"] = backend_s / 2
        return answer(said)

    async def health(self, request: web.Request) -> web.Response:
        user_id = self._asked_by(request)
        agents = {name: {"status": "ready", "description": agent.role} for name, agent in AGENTS.items()}
        if self._bites("agent_missing_from_health", user_id, request):
            del agents[BILLING]
        return answer({"status": "healthy", "agents": agents})

    def _asked_by(self, request: web.Request) -> str:
        """The user of a request that needs none; "" where it says nothing of one."""
        return self._gate.user_of(request) if "Authorization" in request.headers else ""

    def _bites(self, fault: str, user_id: str, request: web.Request) -> bool:
        return self._chat.bites_now(fault, user_id, request.path)


def _stretched(said: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with longer times, in the same order."""

    def longer(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: longer(one) for key, one in value.items()}
        return value * DECLARED_TIMES_TOO_LONG

    return {key: longer(value) if key.endswith(("timeout_s", "timeouts_s")) else value for key, value in said.items()}
