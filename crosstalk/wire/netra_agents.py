"""The HTTP side of agents in the `netra` protocol: discovery, configuration, runs that are started and ended there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from crosstalk.wire.dialect import Call, Declared, Dialect, Place, Turn, scalar
from crosstalk.wire.surfaces import framed, objects_in


class NetraAgents(Dialect):
    """What `Netra` says of agents."""

    nests: ClassVar[bool] = True

    def discover(self) -> Call | None:
        return Call("GET", "/api/mcp/servers")

    def discovered(self, answer: Mapping[str, Any]) -> Declared:
        servers = objects_in(answer, "servers")
        agents = [name for server in servers for name in _names(server.get("agents"))]
        tools = [name for server in servers for name in _names(server.get("tools"))]
        return Declared(tuple(dict.fromkeys(agents)), tuple(dict.fromkeys(tools)))

    def configuration(self) -> Call | None:
        return Call("GET", "/api/mcp/config")

    def configured(self, answer: Mapping[str, Any]) -> Declared:
        agents = tuple(_names(answer.get("agents")))
        default_s = _seconds(answer.get("agent_timeout_s"))
        by_default = {} if default_s is None else dict.fromkeys(agents, default_s)
        return Declared(
            agents,
            tuple(_names(answer.get("tools"))),
            _seconds(answer.get("receive_timeout_s")),
            {**by_default, **_times(answer.get("agent_timeouts_s"))},
            _times(answer.get("tool_timeouts_s")),
            _seconds(answer.get("progress_every_s")),
        )

    def agents_health(self) -> Call | None:
        return Call("GET", "/health/agents")

    def healthy(self, answer: Mapping[str, Any]) -> Iterable[str]:
        agents = answer.get("agents")
        told = agents.items() if isinstance(agents, dict) else ()
        return [name for name, said in told if isinstance(said, dict) and said.get("status") in ("ready", "healthy")]

    def start_over_http(self, turn: Turn) -> Call | None:
        said: dict[str, object] = {"type": turn.agent or "supervisor", "message": turn.text}
        if turn.thread_id:
            said["thread_id"] = turn.thread_id
        return Call("POST", "/api/agents/start", said)

    def started(self, answer: Mapping[str, Any]) -> Place:
        return Place(scalar(answer.get("thread_id")), scalar(answer.get("run_id")))

    def end_over_http(self, run_id: str, verb: Literal["stop", "cancel"]) -> Call | None:
        return Call("POST", f"/api/agents/{verb}", {"run_id": run_id})

    def run_status(self, run_id: str) -> Call | None:
        return Call("POST", "/api/agents/status", {"run_id": run_id})

    def ask_status(self, run_id: str) -> str | None:
        return framed("get_run", payload={"run_id": run_id})

    def status_in(self, answer: Mapping[str, Any]) -> str:
        data = answer.get("data")
        run = data.get("run") if isinstance(data, dict) else answer
        return scalar(run.get("status")) if isinstance(run, dict) else ""


def _names(entries: object) -> list[str]:
    """Names in a list of names, or of objects that have one."""
    if not isinstance(entries, list):
        return []
    found = [scalar(entry.get("name")) if isinstance(entry, dict) else scalar(entry) for entry in entries]
    return [name for name in found if name]


def _seconds(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _times(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    told = {name: _seconds(seconds) for name, seconds in value.items()}
    return {name: seconds for name, seconds in told.items() if seconds is not None}
