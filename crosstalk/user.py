"""ChatUser: the abstract Locust user that the cast in `users/` extends.

It has an account of its own, a connection that is ready and proved to be its own, and `ask`. What it says, and when, is
the subclass's business.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from locust import User
from locust.exception import StopUser

from crosstalk.clock import clock
from crosstalk.config import ConfigError
from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.person import Person
from crosstalk.session import NotReady, Session

#: pauses before the next attempt to connect; the last one repeats, and each is drawn out by up to half at random
BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 4.0)


class ChatUser(User):  # type: ignore[misc]
    """A simulated, authenticated person with one connection at a time."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._person: Person | None = None
        self._session: Session | None = None
        self._thread: Thread | None = None  # whose socket the session is, where each thread has its own

    @property
    def generator(self) -> Generator:
        """This process's part of the load test."""
        found = getattr(self.environment, "crosstalk", None)
        if not isinstance(found, Generator):
            raise StopUser("the load test did not begin; its reason stands above")
        return found

    @property
    def person(self) -> Person:
        assert self._person is not None
        return self._person

    def wait_time(self) -> float:
        """Think time: exponential around its mean, as pauses of people are, cut at four times the mean."""
        mean_s = self.generator.settings.think_time_s
        return min(self.person.rng.expovariate(1 / mean_s), 4 * mean_s) if mean_s else 0.0

    def on_start(self) -> None:
        try:
            self._person = self.generator.person(type(self).__name__)
            if self.generator.settings.dialect.socket_per == "user":
                self.connect()
        except ConfigError as problem:
            self.environment.events.crosstalk_problem.fire(text=str(problem))
            raise StopUser(str(problem)) from None

    def on_stop(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._person is not None:
            self.generator.leave(self._person)

    def connect(self, thread: Thread | None = None) -> Session:
        """A ready session: the one at hand, or a new one. Tries again with growing pauses until the load test ends.

        :param thread: whose socket is wanted, where each thread has its own.
        :raises StopUser: the load test ends, or the socket carries somebody else.
        """
        if self._session is not None and self._session.is_ready and self._thread is thread:
            return self._session
        generator, attempt = self.generator, 0
        while not generator.stopping.is_set():
            if self._session is not None:
                self._session.close()
                generator.disconnected(self.person)
            try:
                if thread is not None and not thread.socket_path:
                    self._make(thread)
                self._session = generator.connect(self.person, thread.socket_path if thread else "")
                self._thread = thread
                return self._session
            except NotReady as problem:
                self._session = None
                if problem.wrong_identity:
                    raise StopUser(problem.reason) from None
            pause_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
            generator.stopping.wait(pause_s * (1 + self.person.rng.random() / 2))
            attempt += 1
        raise StopUser("the load test ends")

    def _make(self, thread: Thread) -> None:
        """:raises NotReady: the target did not make the thread; the attempt is on record."""
        begun_ns = clock.now_ns()
        try:
            self.generator.create_thread(self.person, thread)
        except NotReady as problem:
            self.generator.unreached(self.person, problem, begun_ns)
            raise

    def ask(self, prompt: Prompt, thread: Thread, *, cancel_after_s: float | None = None) -> LiveRun:
        """One turn: says the prompt and sees its run through. What went wrong is data; nothing is raised for it.

        :param cancel_after_s: cancel the run if it has not ended by then (not where each run has a socket of its own).
        """
        generator = self.generator
        socket_per = generator.settings.dialect.socket_per
        how: dict[str, Any] = {"intended_ns": None, "warm_up": generator.warm_up}
        if socket_per == "run":
            session = generator.session(self.person)
            try:
                return session.ask_alone(prompt, thread, partial(generator.call, self.person), **how)
            except NotReady as problem:  # somebody else's identity
                raise StopUser(problem.reason) from None
            finally:
                generator.disconnected(self.person)
        return self.connect(thread if socket_per == "thread" else None).ask(
            prompt, thread, cancel_after_s=cancel_after_s, **how
        )
