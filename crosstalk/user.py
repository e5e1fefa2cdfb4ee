"""ChatUser: the abstract Locust user that the cast in `users/` extends.

It has an account of its own, a connection that is ready and proved to be its own, and `ask`. What it says, and when, is
the subclass's business.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from locust import User
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from crosstalk.arrivals import Pace
from crosstalk.clock import clock
from crosstalk.config import ConfigError
from crosstalk.generator import Generator
from crosstalk.journey import Journey, journey
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.pacing import Lobby, pause_s
from crosstalk.person import Person
from crosstalk.session import NotReady, Session
from crosstalk.wire.event import Event


class ChatUser(User):  # type: ignore[misc]
    """A simulated, authenticated person with one connection at a time."""

    abstract = True
    #: turns of this user follow the load test's arrival process; not those of somebody in another user's hands
    follows_arrivals = True
    #: has its connection before its first task, where a socket carries all of a user's threads
    connects_at_start = True
    #: of the journeys that it makes, as checks/families.py calls it; "": it makes none
    family = ""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._person: Person | None = None
        self._session: Session | None = None
        self.beside: list[ChatUser] = []  # others in this one's hands, who take their accounts with it
        self._thread: Thread | None = None  # whose socket the session is, where each thread has its own
        self._pace: Pace | None = None  # where users have schedules
        self._seat = ""  # where people come and leave
        self._just_came = False
        self._state: str | None = None
        self._stopped_ns = 0

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

    @property
    def conversation_is_over(self) -> bool:
        """Has this person said what it came for? Asked between two tasks, where people come and leave."""
        return True

    def wait_time(self) -> float:
        """Until the next turn is due; or think time: exponential around its mean, as pauses of people are, cut at four
        times the mean."""
        if self._pace is not None:
            return self._pace.wait_ns(clock.now_ns()) / 1e9
        if self._seat:
            if self._just_came:
                self._just_came = False
                return 0.0
            if self.conversation_is_over:
                self._taskset_instance.schedule_task(ChatUser._next_visit, first=True)
                return 0.0
        mean_s = self.generator.settings.think_time_s
        return min(self.person.rng.expovariate(1 / mean_s), 4 * mean_s) if mean_s else 0.0

    def on_start(self) -> None:
        pacing = self.generator.pacing
        if pacing.lobby is not None and self.follows_arrivals:
            self._wait_in(pacing.lobby)
        try:
            for one in (self, *self.beside):
                one.enrol()
            if self.connects_at_start and self.generator.settings.dialect.socket_per == "user":
                self.connect()
        except ConfigError as problem:
            self.environment.events.crosstalk_problem.fire(text=str(problem))
            raise StopUser(str(problem)) from None
        if self.follows_arrivals:
            self._pace = pacing.pace(self.person.number)
        if self._pace is not None:  # Locust begins with a task, and waits afterwards: the first one does nothing
            self._taskset_instance.schedule_task(ChatUser._wait_for_first_turn, first=True)

    def _wait_for_first_turn(self) -> None:
        pass

    def _next_visit(self) -> None:
        """The person leaves; another one comes, now or later, and begins at once."""
        self.on_stop()
        self.on_start()
        self._just_came = True

    def _wait_in(self, lobby: Lobby) -> None:
        """Wait for somebody to come; the user may be stopped meanwhile, as in think time."""
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._seat = self._seat or lobby.add_seat()
        self._state = LOCUST_STATE_WAITING
        lobby.wait()
        self._state = LOCUST_STATE_RUNNING

    def stop(self, force: bool = False) -> bool:
        """Locust wants this user to stop: from now on nothing is due from it."""
        self._stopped_ns = self._stopped_ns or clock.now_ns()
        generator = getattr(self.environment, "crosstalk", None)
        if self._seat and isinstance(generator, Generator) and generator.pacing.lobby is not None:
            generator.pacing.lobby.remove_seat(self._seat)
        return bool(super().stop(force))

    def enrol(self) -> None:
        """Take an account, once.

        :raises ConfigError: there are fewer accounts than users.
        """
        if self._person is None:
            self._person = self.generator.person(type(self).__name__)

    def on_stop(self) -> None:
        """Leave: what a subclass adds must leave it fit for another `on_start`, of another person."""
        if self._pace is not None:
            self._pace.close(self._stopped_ns or clock.now_ns())
        if self._session is not None:
            self.generator.close(self._session)
        if self._person is not None:
            self.generator.leave(self._person)
        self._pace = self._session = self._person = self._thread = None

    def held_up(self) -> None:
        """What is due has to wait for something else than the load generator: a new connection, other users."""
        if self._pace is not None:
            self._pace.late = True

    def hang_up(self) -> None:
        """Close the session at hand; the next one is new."""
        if self._session is not None:
            self._session.close()
            self.generator.disconnected(self.person)
            self._session = None

    def linger(self) -> None:
        """Stay connected until nothing of the last run can come late any more (channel 17), or the load test ends."""
        if self._session is not None and self.generator.settings.dialect.socket_per != "run":
            self.generator.stopping.wait(self._session.watch_s + 0.1)

    def new_thread(self) -> Thread:
        """A thread that the target does not know yet."""
        return self.person.new_thread(ids_from=self.generator.settings.dialect.ids_from)

    def delete(self, thread: Thread) -> None:
        """Leave nothing of a thread behind. A socket of its own is closed before: its end is not the target's doing."""
        if thread.turns and thread.thread_id:
            if thread.socket_path and self._thread is thread:
                self.hang_up()
            self.generator.delete_thread(self.person, thread.thread_id)

    def connect(
        self,
        thread: Thread | None = None,
        *,
        within_s: float = math.inf,
        turned_away: list[NotReady] | None = None,
        heard: list[tuple[Event, bytes]] | None = None,
    ) -> Session:
        """A ready session: the one at hand, or a new one. Tries again with growing pauses until the load test ends.

        :param thread: whose socket is wanted, where each thread has its own.
        :param within_s: begin no attempt later than that.
        :param turned_away: gets the reason of each attempt that failed.
        :param heard: gets every event of a new one, from the first on.
        :raises NotReady: of the last attempt, when `within_s` is over.
        :raises StopUser: the load test ends, or the socket carries somebody else.
        """
        if self._session is not None and self._session.is_ready and self._thread is thread:
            return self._session
        generator, attempt = self.generator, 0
        begun_ns = clock.now_ns()
        self.held_up()
        while not generator.stopping.is_set():
            if self._session is not None:
                self._session.close()
                generator.disconnected(self.person)
            try:
                if thread is not None and not thread.socket_path:
                    self._make(thread)
                self._session = generator.connect(self.person, thread.socket_path if thread else "", heard=heard)
                self._thread = thread
                return self._session
            except NotReady as problem:
                self._session = None
                if problem.wrong_identity:
                    raise StopUser(problem.reason) from None
                if turned_away is not None:
                    turned_away.append(problem)
                if clock.now_ns() - begun_ns > within_s * 1e9:
                    raise
            generator.stopping.wait(pause_s(attempt, self.person.rng))
            attempt += 1
        raise StopUser("the load test ends")

    def connect_at(self, socket_path: str, *, receive_buffer_bytes: int = 0) -> Session:
        """A new session of another sort, in place of the one at hand, where each user has one socket; one attempt.

        :param socket_path: where its socket is; "": at the dialect's usual path.
        :param receive_buffer_bytes: what the kernel may hold unread for us; 0: what it thinks right.
        :raises NotReady: it did not become ready.
        """
        self.held_up()
        self.hang_up()
        self._thread = None
        self._session = self.generator.connect(self.person, socket_path, receive_buffer_bytes=receive_buffer_bytes)
        return self._session

    def journey(self) -> AbstractContextManager[Journey]:
        """A journey of this user's family: `with self.journey() as journey: with journey.step("login") as step: …`."""
        return journey(self.generator, self.person, self.family)

    def _make(self, thread: Thread) -> None:
        """:raises NotReady: the target did not make the thread; the attempt is on record."""
        begun_ns = clock.now_ns()
        try:
            self.generator.create_thread(self.person, thread)
        except NotReady as problem:
            self.generator.unreached(self.person, problem, begun_ns)
            raise

    def ask(
        self, prompt: Prompt, thread: Thread, *, cancel_after_s: float | None = None, colliding: str = "",
        agent: str = "", over_http: bool = False, timed: bool = True,
    ) -> LiveRun:  # fmt: skip
        """One turn: says the prompt and sees its run through. What went wrong is data; nothing is raised for it.

        :param cancel_after_s: cancel the run if it has not ended by then (not where each run has a socket of its own).
        :param colliding: an id for the run that others use too, on purpose (where the client chooses ids).
        :param agent: who is to answer, where a socket carries more than one run; "": whoever does by default.
        :param over_http: the run is started over HTTP, and its events come on the socket (where the dialect has that).
        :param timed: its times are judged; not those of a run that is slow on purpose.
        """
        generator = self.generator
        socket_per = generator.settings.dialect.socket_per
        if socket_per == "run":
            how = self._start(timed)
            session = generator.session(self.person)
            try:
                return session.ask_alone(prompt, thread, partial(generator.call, self.person), **how)
            except NotReady as problem:  # somebody else's identity
                raise StopUser(problem.reason) from None
            finally:
                generator.disconnected(self.person)
        session = self.connect(thread if socket_per == "thread" else None)
        how = {"agent": agent, **self._start(timed)}
        if over_http:
            return session.ask_over_http(prompt, thread, partial(generator.call, self.person), **how)
        return session.ask(prompt, thread, cancel_after_s=cancel_after_s, colliding=colliding, **how)

    def _start(self, timed: bool) -> dict[str, Any]:
        """When the turn that starts now was intended (None: now), whether it had to wait, and whether it is judged."""
        taken = self._pace.take() if self._pace is not None else None
        intended_ns, waited = taken or (None, False)
        return {"intended_ns": intended_ns, "waited": waited, "warm_up": self.generator.warm_up or not timed}
