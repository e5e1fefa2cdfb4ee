"""Listener: hears its runs in every envelope that the target speaks, and looks closely at each event."""

from __future__ import annotations

from locust import tag, task

from crosstalk.journeys.five_events import MAIN, listen
from users.partner import Juggler


class Listener(Juggler):
    """Someone who reads every frame: one envelope a journey, each in its turn."""

    weight = 1
    family = "five_events"

    @tag("five_events")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def hear(self) -> None:
        """A run with tools in the next envelope, and a second one behind it."""
        envelopes = tuple(self.generator.settings.dialect.envelopes()) or (MAIN,)
        thread = self.new_thread()
        with self.journey() as journey:
            listen(self, journey, envelopes[(self.person.number + self.person.journeys) % len(envelopes)], thread)
        self.delete(thread)
