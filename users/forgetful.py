"""Forgetful: drops its socket in mid-stream, comes back and offers old connections. Channels 8, 9, 17 and 18."""

from __future__ import annotations

from typing import Any

from locust import task

from crosstalk.live_run import Thread
from crosstalk.probing.resuming import Left, Offering, drop
from users.partner import Juggler, Partner


class Forgetful(Juggler):
    """Someone in a tunnel, beside a stranger in the same tunnel: both are cut off in mid-run, at the same instant.

    Back again, it offers its own old connection and gets what it missed; the stranger's connection, and the stranger's
    cursor, must be refused and bring nothing. In other rounds it loses patience and cancels. Whatever lies unread in
    the target's pools after all that, somebody else must not get.
    """

    weight = 1
    #: share of the rounds that end by a cancel
    cancels = 0.3
    #: so many are cut off together, and come back together
    tunnel_size = 3
    threads_kept = 2

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._stranger = Partner(environment)
        self.beside = [self._stranger]
        self._threads: list[tuple[Juggler, Thread]] = []

    def on_start(self) -> None:
        super().on_start()
        self._stranger.on_start()

    def on_stop(self) -> None:
        self._delete_threads(keep=0)
        self._stranger.on_stop()
        super().on_stop()

    @task  # type: ignore[untyped-decorator]
    def round(self) -> None:
        """A cancel in mid-stream, or the tunnel."""
        self._round()
        self._delete_threads(keep=self.threads_kept)

    def _round(self) -> None:
        rng = self.person.rng
        if self.generator.settings.dialect.socket_per == "run" or rng.random() < self.cancels:
            self.ask(self.prompt(), self._thread_of(self), cancel_after_s=rng.uniform(0.05, 0.4))
            return
        left = [self._begin(who) for who in (self, self._stranger)]
        self.generator.gathering("tunnel", self.tunnel_size).wait(0.3)
        own, theirs = [self._drop(who) if begun else None for who, begun in zip(self._both(), left, strict=True)]
        if own is None or theirs is None or self.generator.settings.dialect.socket_per != "user":
            return
        offering = Offering(self.generator, self.person, self.connect())
        offering.own(own)
        offering.strangers(theirs, own)
        Offering(self.generator, self._stranger.person, self._stranger.connect()).own(theirs)

    def _both(self) -> tuple[Juggler, Juggler]:
        return self, self._stranger

    def _begin(self, who: Juggler) -> bool:
        return who.begin(who.prompt("long"), self._thread_of(who)) is not None

    def _drop(self, who: Juggler) -> Left | None:
        """Cut a person off in mid-run; None where its run was over before."""
        session = who.session
        in_progress = [run for run in who.person.runs.values() if not run.outcome]
        left = drop(who.person, session) if session is not None and session.is_ready and in_progress else None
        who.rest()
        return left

    def _thread_of(self, who: Juggler) -> Thread:
        self._threads.append((who, who.new_thread()))
        return self._threads[-1][1]

    def _delete_threads(self, *, keep: int) -> None:
        while len(self._threads) > keep:
            who, thread = self._threads.pop(0)
            who.delete(thread)
