"""Conductor: has several agents, runs and threads at work at the same time. Family "orchestration"."""

from __future__ import annotations

from locust import tag, task

from crosstalk.journeys.by_turns import ByTurns
from crosstalk.journeys.orchestration import agents_inside, runs_at_once, threads_at_once


class Conductor(ByTurns):
    """Someone whose agents hand over to each other, who asks several things at once, and in several threads at once."""

    weight = 1
    family = "orchestration"
    journeys = (agents_inside, runs_at_once, threads_at_once)

    @tag("orchestration")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def journey_of_many(self) -> None:
        """One of them."""
        self.make_next()
