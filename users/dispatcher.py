"""Dispatcher: sets agents to work and keeps an eye on them. Family "agent run"."""

from __future__ import annotations

from locust import tag, task

from crosstalk.journeys.agents import discovery, life, memory, timeouts, tools
from crosstalk.journeys.by_turns import ByTurns


class Dispatcher(ByTurns):
    """Someone who looks what agents there are, starts and stops them, and sees what becomes of tools and memory."""

    weight = 1
    family = "agent_run"
    journeys = (discovery, life, tools, timeouts, memory)

    @tag("agent_run")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def journey_of_agents(self) -> None:
        """One of them."""
        self.make_next()
