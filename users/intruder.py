"""Intruder: reaches for another person's belongings by every way that the protocol has. All of it must be refused."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from locust import task

from crosstalk.checks.probing import HARMLESS, Victim, changed
from crosstalk.live_run import LiveRun, Thread
from crosstalk.probing.attempts import Prober
from crosstalk.probing.second_sockets import open_anothers, second_socket, swap_tokens
from crosstalk.probing.victims import Watched
from crosstalk.session import NotReady
from crosstalk.wire.dialect import Attempt, Belongings
from users.partner import Juggler, Partner


class Intruder(Juggler):
    """Someone curious, with a victim of its own: a person with threads, a run in progress and a connection.

    Channels 12, 13 and 14. Whatever was tried, the victim's state is verified from the victim's side afterwards.
    """

    weight = 1
    #: made-up ids are tried in the first round, and then every so many: they hardly change
    guesses_every = 8

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._victim = Partner(environment)
        self.beside = [self._victim]
        self._own: LiveRun | None = None
        self._rounds = 0

    def on_start(self) -> None:
        super().on_start()
        self._victim.on_start()

    def on_stop(self) -> None:
        self._victim.on_stop()
        if self._own is not None:
            self.delete(self._own.thread)
            self._own = None
        super().on_stop()

    @task  # type: ignore[untyped-decorator]
    def round(self) -> None:
        """One victim's thread, reached for while it is quiet, then while a run is in progress."""
        generator, victim = self.generator, self._victim
        if self._own is None:
            own = self.ask(self.prompt(), self.new_thread())
            self._own = own if own.outcome == "ok" else None
        thread = victim.new_thread()
        first = victim.ask(victim.prompt(), thread)
        if first.outcome != "ok" or self._own is None or not thread.thread_id:
            return
        try:
            if generator.settings.dialect.socket_per == "user":
                with second_socket(generator, self.person) as socket:
                    self._reach(Prober(generator, self.person, socket), first)
            else:
                self._reach(Prober(generator, self.person), first)
        except NotReady:
            pass  # its row says why; the next round tries again
        victim.delete(thread)

    def _reach(self, prober: Prober, first: LiveRun) -> None:
        watched = Watched(self.generator, self._victim.person, first.thread)
        watched.settle()
        victim = watched.victim(first, self._victim.session)
        self._while_quiet(prober, watched, victim)
        prober.functions()
        if not self.generator.stopping.is_set():
            self._in_mid_run(prober, watched)
            self._swap(prober, first.thread)
        if self._rounds % self.guesses_every == 1 and not self.generator.stopping.is_set():
            prober.guess(self._belongings(), victim)

    def _while_quiet(self, prober: Prober, watched: Watched, victim: Victim) -> None:
        """What is not about a run in progress: the victim's thread must stand exactly as it stood."""
        there = self._controls(victim)
        for attempt in self.generator.settings.dialect.reach(victim.belongings):
            if _about_running(attempt) or self.generator.stopping.is_set():
                continue
            self._try(prober, attempt, victim, there)
            if attempt.verb not in HARMLESS and (violation := watched.judge(attempt, victim)) is not None:
                prober.say(violation)

    def _in_mid_run(self, prober: Prober, watched: Watched) -> None:
        """What is about a run in progress and the connection that carries it: the run must end well."""
        partner = self._victim
        run = partner.begin(partner.prompt("long"), watched.thread)
        if run is None:
            partner.rest()
            return
        victim = watched.victim(run, partner.session)
        heard = prober.session.listen() if prober.session is not None else []
        tried = self._in_turn(self.generator.settings.dialect.reach(victim.belongings))
        for attempt in tried:
            self._try(prober, attempt, victim, {})
        self._verify_end(prober, victim, partner.rest(), tried)
        if prober.session is not None:
            prober.session.ping()
            prober.session.hush()
            prober.overheard(heard, victim, [attempt for attempt in tried if attempt.verb == "subscribe"])

    def _in_turn(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """What is about a run in progress. Only the first is sure to find it so: each round another kind is first."""
        about = [attempt for attempt in attempts if _about_running(attempt)]
        kinds = list(dict.fromkeys((one.verb == "cancel", one.surface) for one in about))
        kinds.sort(key=lambda kind: (not kind[0], kind[1] == "http"))  # cancels by frame, by HTTP, then the others
        if not kinds:
            return []
        first = kinds[self._rounds % len(kinds)]
        self._rounds += 1
        return sorted(about, key=lambda one: (one.verb == "cancel", one.surface) != first)

    def _swap(self, prober: Prober, thread: Thread) -> None:
        """This one's token on a socket of the victim's, and on the socket of its thread."""
        partner, generator = self._victim, self.generator
        try:
            if generator.settings.dialect.socket_per == "user":
                begin = partial(partner.begin, partner.prompt("long"), thread)
                found = swap_tokens(generator, partner.person, begin, self.person)
            else:
                found = open_anothers(generator, partner.person, thread, self.person)
            if found is not None:
                prober.say(found)
        except NotReady:
            pass  # the victim's second socket was refused: its row says why
        partner.rest()

    def _verify_end(self, prober: Prober, victim: Victim, ended: LiveRun | None, tried: list[Attempt]) -> None:
        """Did somebody else end the run? An agent's own error is no sign of it."""
        if ended is None or ended.outcome == "ok" or self.generator.stopping.is_set():
            return
        culprits = [attempt for attempt in tried if attempt in prober.let_through and attempt.verb not in HARMLESS]
        cancelled = "cancel" in ended.signature.lower()
        culprits = culprits or [attempt for attempt in tried if cancelled and attempt.verb == "cancel"]
        if culprits:
            came = f"{ended.outcome}: {ended.signature}"
            prober.say(changed(culprits[0], victim, expected="a run that ends well", came=came))

    def _try(self, prober: Prober, attempt: Attempt, victim: Victim, there: dict[str, bool]) -> None:
        prober.reach(attempt, victim)
        if there.get(str(attempt), True):
            prober.count(13)
            if attempt.object == "thread":
                prober.count(12)  # a person's token on another's thread

    def _controls(self, victim: Victim) -> dict[str, bool]:
        """The victim's own token on its own belongings works, or a refusal would mean nothing."""
        partner, dialect = self._victim, self.generator.settings.dialect
        session = partner.session if dialect.socket_per == "user" else None
        owner = Prober(self.generator, partner.person, session)
        there = owner.is_there(attempt for attempt in dialect.reach(victim.belongings) if not _about_running(attempt))
        for channel in (12, 13):
            self.generator.exposures.control(channel, expected=len(there), seen=sum(there.values()))
        return there

    def _belongings(self) -> Belongings:
        assert self._own is not None
        session = self._session
        return Belongings(
            thread_id=self._own.thread.thread_id, run_id=self._own.run_id,
            connection_id=session.welcome_id if session else "",
        )  # fmt: skip


def _about_running(attempt: Attempt) -> bool:
    return attempt.object in ("run", "connection") or attempt.verb in ("cancel", "subscribe")
