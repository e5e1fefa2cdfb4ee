"""ByTurns: a user with several journeys, which come in turn. Not for scenarios: it has none of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from crosstalk.journeys.desk import Desk
from crosstalk.user import ChatUser


class ByTurns(ChatUser):
    """Which journey is the first depends on the account, so that of several users each begins with another one."""

    abstract = True
    journeys: ClassVar[tuple[Callable[[Desk], None], ...]] = ()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._made = 0

    def make_next(self) -> None:
        """The next journey."""
        number = self.person.number + self._made
        self._made += 1
        with self.journey() as journey, Desk(self, journey) as desk:
            self.journeys[number % len(self.journeys)](desk)
