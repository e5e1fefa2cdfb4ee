"""Regular: holds conversations of several turns, one thread after the other, with pauses to think."""

from __future__ import annotations

from typing import Any

from locust import task

from crosstalk.live_run import Prompt, Thread
from crosstalk.user import ChatUser


class Regular(ChatUser):
    """Someone who chats: 2 to 5 turns a thread, then a new one.

    The thread before is kept while the next one is used, so that what is said in one could show in the other; older
    ones are deleted, and all of them at the end.
    """

    weight = 3
    turns_min = 2
    turns_max = 5

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._threads: list[Thread] = []
        self._turns_left = 0

    @property
    def conversation_is_over(self) -> bool:
        return self._turns_left <= 0

    @task  # type: ignore[untyped-decorator]
    def turn(self) -> None:
        """One prompt and its run."""
        if not self._threads or self._turns_left <= 0:
            self._threads.append(self.new_thread())
            self._turns_left = self.person.rng.randint(self.turns_min, self.turns_max)
        self._turns_left -= 1
        self.say(self.generator.settings.prompts.choose(self.person.rng), self._threads[-1])
        if self._turns_left <= 0:  # not when the next turn is due: it would have to wait
            self._delete_threads(keep=1)

    def say(self, prompt: Prompt, thread: Thread) -> None:
        """What a turn is; a subclass may have another temper."""
        self.ask(prompt, thread)

    def on_stop(self) -> None:
        if self._person is not None:
            self._delete_threads(keep=0)
        super().on_stop()

    def _delete_threads(self, *, keep: int) -> None:
        while len(self._threads) > keep:
            self.delete(self._threads.pop(0))
