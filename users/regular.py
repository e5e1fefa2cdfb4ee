"""Regular: holds conversations of several turns, one thread after the other, with pauses to think."""

from __future__ import annotations

from typing import Any

from locust import task

from crosstalk.live_run import Thread
from crosstalk.user import ChatUser


class Regular(ChatUser):
    """Someone who chats: 2 to 5 turns a thread, then a new one; deletes the thread when it is done."""

    turns_min = 2
    turns_max = 5

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._thread: Thread | None = None
        self._turns_left = 0

    @task  # type: ignore[untyped-decorator]
    def turn(self) -> None:
        """One prompt and its run."""
        self.connect()
        if self._thread is None or self._turns_left <= 0:
            self._leave_thread()
            self._thread = self.person.new_thread()
            self._turns_left = self.person.rng.randint(self.turns_min, self.turns_max)
        self._turns_left -= 1
        self.ask(self.generator.settings.prompts.choose(self.person.rng), self._thread)

    def on_stop(self) -> None:
        if self._person is not None:
            self._leave_thread()
        super().on_stop()

    def _leave_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread.turns:
            self.generator.delete_thread(self.person, thread.thread_id)
