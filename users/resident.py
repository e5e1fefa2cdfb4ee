"""Resident: stays for hours. Its token is renewed before it expires, in mid-run, and nobody may notice. Family soak."""

from __future__ import annotations

from typing import Any

from locust import tag, task

from crosstalk.accounts import expires_at_s
from crosstalk.clock import clock
from crosstalk.journey import Journey, Step
from crosstalk.live_run import Thread
from crosstalk.session import Session
from users.partner import Juggler

#: a turn that was under way when the token before expired: it had been renewed, so nothing may happen
ACROSS = "turn across the expiry"
#: a run that was under way when a fresh token was shown
OVER = "run over refresh"


class Resident(Juggler):
    """Someone who leaves the window open all day: turns, pauses, and a client that renews the token on its socket.

    Every fourth renewal is by a new socket, as after a laptop was closed; where the protocol takes no fresh token on a
    socket, each is. A run goes on while the fresh token is shown, and another when the old token expires.
    """

    weight = 1
    family = "soak"
    #: of a conversation; then a new thread
    turns_max = 6
    #: each renewal of this number is by a new socket
    new_socket_every = 4
    #: so long before the old token expires, the turn begins that goes on meanwhile
    before_expiry_s = 0.4

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._renewals = self._turns = 0
        self._old_expiry_s = 0.0  # of the token before the one on the socket, while it has not expired yet; else 0
        self._kept_for_good = False  # nobody gives this person another token
        self._conversation: Thread | None = None

    def on_start(self) -> None:
        super().on_start()
        self._renewals = self.person.rng.randrange(self.new_socket_every)  # not all of them at once

    def wait_time(self) -> float:
        """A pause to think, unless the token wants something before: a client does not think."""
        pause_s = super().wait_time()
        if self._pace is not None:
            return pause_s
        return max(min(pause_s, self._due_s() - clock.now_ns() / 1e9), 0.0)

    @task  # type: ignore[untyped-decorator]
    @tag("soak")  # type: ignore[untyped-decorator]
    def stay(self) -> None:
        """One turn, or one renewal with the turns that it must not hurt."""
        now_s = clock.now_ns() / 1e9
        with self.journey() as journey:
            session = self._session
            if session is None or not session.is_ready or self.generator.settings.dialect.socket_per == "run":
                self._old_expiry_s = 0.0
                self._turn(journey, "turn")
            elif self._old_expiry_s and self._due_s() <= now_s < self._old_expiry_s:
                self._across_expiry(journey, session)
            elif session.renew_at_s <= now_s and not self._kept_for_good:
                self._renew(journey, session)
            else:
                self._turn(journey, "turn")

    def _due_s(self) -> float:
        """When the token wants something next, in unix seconds."""
        if self._old_expiry_s > clock.now_ns() / 1e9:
            return self._old_expiry_s - self.before_expiry_s
        session = self._session
        there = session is not None and session.is_ready and not self._kept_for_good
        return session.renew_at_s if session is not None and there else float("inf")

    def _turn(self, journey: Journey, name: str, *, family: str = "", renew: bool = False) -> None:
        """A turn. A token that is to be renewed meanwhile is, where that can be done on the socket.

        :param renew: it is to be renewed now, in mid-run.
        """
        if self.generator.settings.dialect.socket_per == "run":
            with journey.step(name) as step:
                step.well(self.ask(self.prompt(), self._thread_at_hand()))
            return
        self.begin(self.prompt(family), self._thread_at_hand())
        session = self._session
        try:
            while session is not None and self._takes_tokens and (renew or self._is_due_before_end(session)):
                renew, old_s = False, self._show(journey, session)
                self._old_expiry_s = old_s
                name = OVER if old_s and self.is_going else name
            self._end(journey, name)
        finally:
            self.rest()

    def _end(self, journey: Journey, name: str) -> None:
        """The end of what was begun, as a step that took as long as the run. It is called after the token that expired
        meanwhile, if one did."""
        session, run = self._session, self.rest()
        begun_s = run.sent_ns / 1e9 if run is not None else float("inf")
        across = name != OVER and begun_s < self._old_expiry_s <= clock.now_ns() / 1e9
        with journey.step(ACROSS if across else name) as step:
            if run is not None and run.check.times.end_ns is not None:
                step.time_ns = run.check.times.end_ns - run.sent_ns
            step.well(run)
            if across and session is not None:
                self._is_the_same(step, session)

    def _is_due_before_end(self, session: Session) -> bool:
        """Wait for the end of the turn, or until the token must be renewed: is that first?"""
        while self.is_going and session.is_ready:
            left_s = session.renew_at_s - clock.now_ns() / 1e9
            if left_s <= 0:
                return not self._kept_for_good
            self.wait_for_end(min(left_s, 60.0))
        return False

    @property
    def _takes_tokens(self) -> bool:
        return self.generator.settings.dialect.authenticate_again("") is not None

    def _show(self, journey: Journey, session: Session) -> float:
        """Show a fresh token on the socket; when the one before it expires, in unix seconds (0: there is no other)."""
        old_s, fresh = session.expires_s, self.generator.token(self.person)
        if expires_at_s(fresh) <= old_s:
            self._kept_for_good = True
            journey.not_offered("refresh", "these accounts have one token each, and no other is to be had")
            return 0.0
        self._renewals += 1
        with journey.step("refresh") as step:
            step.expect(session.renew(fresh), "a fresh token that is taken", _said(session))
        return old_s

    def _renew(self, journey: Journey, session: Session) -> None:
        """A fresh token while a run goes on, and a turn behind it; or a new socket."""
        if not self._takes_tokens or self._renewals % self.new_socket_every == self.new_socket_every - 1:
            self._by_new_socket(journey, session)
            return
        self._turn(journey, "turn", family="long", renew=True)
        if not self._kept_for_good:
            self._turn(journey, "turn after refresh")

    def _by_new_socket(self, journey: Journey, session: Session) -> None:
        if expires_at_s(self.generator.token(self.person)) <= session.expires_s:
            self._kept_for_good = True
            return
        thread = self._conversation if self.generator.settings.dialect.socket_per == "thread" else None
        self._renewals += 1
        with journey.step("refresh by a new socket"):
            self.hang_up()
            self.connect(thread, within_s=0)
        self._turn(journey, "turn after refresh")

    def _across_expiry(self, journey: Journey, session: Session) -> None:
        """A turn under way when the token before expires: it has been renewed, so nothing happens."""
        old_s, self._old_expiry_s = self._old_expiry_s, 0.0
        with journey.step(ACROSS) as step:
            step.well(self.ask(self.prompt(), self._thread_at_hand()))
            self.generator.stopping.wait(max(old_s - clock.now_ns() / 1e9, 0.0))
            session.ping()
            self._is_the_same(step, session)

    def _is_the_same(self, step: Step, session: Session) -> None:
        step.expect(self._session is session and session.is_ready, "a socket that stays open", _said(session))

    def _thread_at_hand(self) -> Thread:
        """The conversation, or a new one when enough was said in it."""
        if self._conversation is None or self._turns >= self.turns_max:
            self._forget()
            self._conversation, self._turns = self.new_thread(), 0
        self._turns += 1
        return self._conversation

    def _forget(self) -> None:
        if self._conversation is not None:
            self.delete(self._conversation)
            self._conversation = None

    def on_stop(self) -> None:
        if self._person is not None:
            self._forget()
        self._old_expiry_s, self._kept_for_good = 0.0, False
        super().on_stop()


def _said(session: Session) -> str:
    """How a socket ended, or that it did not."""
    closing = session.heard[1]
    return f"close {closing.code} {closing.reason}".strip() if closing.at_ns else "no such answer"
