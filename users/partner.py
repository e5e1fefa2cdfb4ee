"""Juggler and Partner: what users that probe are made of. Not for scenarios: neither does anything by itself."""

from __future__ import annotations

from typing import Any

import gevent
from locust.exception import StopUser

from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.session import Session
from crosstalk.user import ChatUser


class Juggler(ChatUser):
    """Someone who can do something else while a run of theirs goes on."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._going: Any = None

    @property
    def session(self) -> Session | None:
        """The session at hand, ready or not."""
        return self._session

    def prompt(self, family: str = "") -> Prompt:
        """What to say: of this family, where there is one, or of any."""
        prompts = self.generator.settings.prompts
        return prompts.families[family][0] if family in prompts.families else prompts.choose(self.person.rng)

    def begin(self, prompt: Prompt, thread: Thread) -> LiveRun | None:
        """Ask, and come back as soon as the run has shown a sign of life; None where none came."""
        if self.generator.settings.dialect.socket_per == "user":
            self.connect()  # what can take its time, before: the run is there as soon as the greenlet has begun
        known = set(self.person.runs)
        self._going = gevent.spawn(self._ask, prompt, thread)
        patience_s = self.generator.settings.environment.run_timeout_s
        while not self._going.dead and not set(self.person.runs) - known:
            gevent.idle()
        fresh = [run for name, run in self.person.runs.items() if name not in known]
        if not fresh or not fresh[-1].moved.wait(patience_s):
            return None
        return fresh[-1]

    @property
    def is_going(self) -> bool:
        """Is what was begun still going on?"""
        return self._going is not None and not self._going.dead

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait for the end of what was begun, so long at most."""
        if self._going is not None:
            self._going.join(timeout=timeout_s)

    def rest(self) -> LiveRun | None:
        """Wait for the end of what was begun; the run, once its row is written."""
        if self._going is None:
            return None
        ended: LiveRun | None = self._going.get()
        self._going = None
        return ended

    def _ask(self, prompt: Prompt, thread: Thread) -> LiveRun | None:
        try:
            return self.ask(prompt, thread)
        except StopUser:
            return None

    def on_stop(self) -> None:
        if self._going is not None:
            self._going.kill()
        super().on_stop()


class Partner(Juggler):
    """A second person in the hands of a user, with an account and a connection of its own."""

    abstract = True
    follows_arrivals = False
