"""The locustfile of `calibrate`: users who ask one prompt after the other, as the arrival process wants it."""

from __future__ import annotations

from typing import Any

from locust import events, task

from crosstalk.harness import connect
from crosstalk.live_run import Thread
from crosstalk.user import ChatUser

#: turns of a thread, as in a conversation
TURNS = 5


class Caller(ChatUser):
    """One turn after the other, in threads of five."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._held: Thread | None = None

    @task  # type: ignore[untyped-decorator]
    def turn(self) -> None:
        if self._held is None or self._held.turns >= TURNS:
            self._held = self.person.new_thread()
        self.ask(self.generator.settings.prompts.choose(self.person.rng), self._held)


connect(events, scenario="calibrate")
