"""Archivist: a Regular who looks into its list of threads and its history after each conversation. Channel 7."""

from __future__ import annotations

from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.probing.listings import Archive
from users.regular import Regular


class Archivist(Regular):
    """Someone who keeps an eye on what is listed: what was said and answered, in order, and nothing of anybody else."""

    weight = 1
    turns_max = 3

    def on_start(self) -> None:
        super().on_start()
        self._archive = Archive(self.generator, self.person)
        self._archive.begin()
        self._runs: list[LiveRun] = []  # of the conversation at hand
        self._there: set[str] = set()  # threads in which a run ended well: they must be listed

    def say(self, prompt: Prompt, thread: Thread) -> None:
        if self._runs and self._runs[-1].thread is not thread:
            self._runs.clear()
        run = self.ask(prompt, thread)
        self._runs.append(run)
        if run.outcome == "ok":
            self._there.add(thread.thread_id)
        if self._turns_left <= 0 and not self.generator.stopping.is_set():
            self._archive.check(self._there, self._runs)

    def _delete_threads(self, *, keep: int) -> None:
        before = {thread.thread_id for thread in self._threads}
        super()._delete_threads(keep=keep)
        if hasattr(self, "_archive") and self.generator.settings.cleanup:
            self._archive.gone |= before - {thread.thread_id for thread in self._threads}
            self._there -= self._archive.gone
