"""Impatient: a Regular who cancels every other run in mid-stream."""

from __future__ import annotations

from crosstalk.live_run import Prompt, Thread
from users.regular import Regular


class Impatient(Regular):
    """Someone who loses patience: half of the runs are cancelled after 50 to 400 ms. Nobody else may notice."""

    weight = 1
    patience_min_s = 0.05
    patience_max_s = 0.4

    def say(self, prompt: Prompt, thread: Thread) -> None:
        rng = self.person.rng
        patience_s = rng.uniform(self.patience_min_s, self.patience_max_s) if rng.random() < 0.5 else None
        self.ask(prompt, thread, cancel_after_s=patience_s)
