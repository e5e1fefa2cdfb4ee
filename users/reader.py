"""Reader: reads long answers as they come, slowly at times, and interrupts them."""

from __future__ import annotations

from typing import Any

from locust import tag, task

from crosstalk.journeys.streaming import interrupt, read_along, read_slowly
from users.partner import Juggler, Partner


class Unhurried(Juggler):
    """Someone whose runs can be long on purpose: their times are not judged then."""

    abstract = True
    unhurried = True

    def _start(self, timed: bool) -> dict[str, Any]:
        return super()._start(timed and not self.unhurried)


class Neighbour(Unhurried, Partner):
    """Who reads a report while somebody else's lies unread."""

    abstract = True


class Reader(Unhurried):
    """Someone who reads along, stops reading for seconds while somebody beside reads on, and interrupts an answer."""

    weight = 1
    family = "streaming"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._neighbour = Neighbour(environment)
        self.beside = [self._neighbour]
        self.unhurried = False

    def on_start(self) -> None:
        super().on_start()
        self._neighbour.on_start()

    def on_stop(self) -> None:
        self._neighbour.on_stop()
        super().on_stop()

    @tag("streaming")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def read(self) -> None:
        """A long answer, a report that lies unread for a while, and an answer that is interrupted."""
        thread = self.new_thread()
        with self.journey() as journey:
            usual_stall_ns = read_along(self, journey, thread)
            self.unhurried = True
            try:
                read_slowly(self, self._neighbour, journey, usual_stall_ns)
            finally:
                self.unhurried = False
            interrupt(self, journey, thread)
        self.delete(thread)
