"""Newcomer: somebody new signs in, opens a first thread, asks, and finds the answer in its history."""

from __future__ import annotations

from locust import tag, task
from locust.exception import StopUser

from crosstalk.checks.listings import history
from crosstalk.config import ConfigError
from crosstalk.journey import Journey, Step
from crosstalk.journeys import oauth
from crosstalk.journeys.signing_in import Tokens, log_in, oauth_of, password_of, received
from crosstalk.live_run import LiveRun, Thread
from crosstalk.probing.listings import pieces_of
from crosstalk.user import ChatUser


class Newcomer(ChatUser):
    """A cold start from the sign-in to the history, each time with an account that nobody used in this load test.

    Accounts of a file are not made anew: there, one of them is a newcomer once, and chats from then on.
    """

    weight = 1
    family = "newcomer"
    follows_arrivals = False
    connects_at_start = False
    #: of so many newcomers, one reads its answer for a while before it goes
    lingers_every = 3

    def on_start(self) -> None:
        """Nobody is there yet: who comes, comes with its journey."""
        self._first_thread: Thread | None = None
        self._pause_s = 0.0

    def wait_time(self) -> float:
        """Until the next one comes."""
        return self._pause_s

    def enrol(self) -> None:
        if self._person is None:
            self._person = self.generator.person(type(self).__name__, fresh=True)

    def on_stop(self) -> None:
        self._leave()
        super().on_stop()

    @tag("newcomer")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def come(self) -> None:
        """The first quarter of an hour of somebody new, without the pauses."""
        generator = self.generator
        if generator.settings.accounts and self._person is not None:
            self._chat()
            return
        try:
            self.enrol()
        except ConfigError as problem:
            self.environment.events.crosstalk_problem.fire(text=str(problem))
            raise StopUser(str(problem)) from None
        with self.journey() as journey:
            self._sign_in(journey)
            thread = self._first_thread = self.new_thread()
            self._open(journey, thread)
            with journey.step("first answer") as step:
                run = step.well(self.ask(generator.settings.prompts.choose(self.person.rng), thread))
            self._look_back(journey, run)
        self._pause_s = super().wait_time()
        if self.person.number % self.lingers_every == 0:
            self.linger()
        if not generator.settings.accounts:
            self._leave()

    def _leave(self) -> None:
        """For good: nobody is new twice."""
        if self._person is None:
            return
        thread = self._first_thread
        if thread is not None and thread.thread_id:
            if thread.socket_path:
                self.hang_up()
            self.generator.delete_thread(self.person, thread.thread_id)
        if self._session is not None:
            self.generator.close(self._session)
        self.generator.leave_for_good(self.person)
        self._session = self._person = self._thread = self._first_thread = None

    def _chat(self) -> None:
        thread = self.new_thread()
        self.ask(self.generator.settings.prompts.choose(self.person.rng), thread)
        self.delete(thread)

    # --- its steps --------------------------------------------------------------------------------------------------

    def _sign_in(self, journey: Journey) -> None:
        """By OAuth; where there is none, by password; where there is none either, with the token that it has."""
        generator, person = self.generator, self.person
        tokens: Tokens | None = None
        rules, password = oauth_of(generator), password_of(generator, person)
        if rules is not None:
            with journey.step("oauth") as step:
                tokens = oauth.sign_in(generator, person, rules, step)
        else:
            journey.not_offered("oauth", "nobody says how one signs in there without a human (oauth_path)")
            if password:
                with journey.step("login") as step:
                    tokens = received(generator, person, step, log_in(generator, person, password))
        if tokens is not None:
            generator.hold_token(person, tokens.access)

    def _open(self, journey: Journey, thread: Thread) -> None:
        """The first thread, and a socket for it; not where both belong to the run."""
        generator, person, dialect = self.generator, self.person, self.generator.settings.dialect
        call = dialect.open_thread(thread.thread_id) if dialect.socket_per == "user" else None
        if dialect.socket_per == "thread" or call is not None:
            with journey.step("first thread") as step:
                if call is None:
                    generator.create_thread(person, thread)
                else:
                    step.answered(generator.call(person, call, name="first thread"), 200, 201, 204)
                self._is_listed(step, thread)
        if dialect.socket_per != "run":
            with journey.step("first connection"):
                self._session = generator.connect(person, thread.socket_path)
                self._thread = thread if thread.socket_path else None

    def _is_listed(self, step: Step, thread: Thread) -> None:
        dialect = self.generator.settings.dialect
        call = dialect.list_threads()
        if call is None:
            return
        answer = step.answered(self.generator.call(self.person, call, name="list threads"), 200)
        listed = list(dialect.listed(answer.body)) if isinstance(answer.body, dict) else []
        alone = not self.generator.settings.accounts or thread.thread_id not in listed  # who is new has no other
        wanted = "a list of this thread" + " alone" * alone
        step.expect(listed == [thread.thread_id] or not alone, wanted, f"a list of {len(listed)} threads")

    def _look_back(self, journey: Journey, run: LiveRun) -> None:
        dialect = self.generator.settings.dialect
        call = dialect.history(run.thread.thread_id)
        if call is None:
            journey.not_offered("history", "the dialect has no call that gives a history")
            return
        with journey.step("history") as step:
            step.of(run)
            answer = step.answered(self.generator.call(self.person, call, name="history"), 200)
            messages = dialect.messages(answer.body) if isinstance(answer.body, dict) else ()
            missing = history(pieces_of(run), messages, thread=run.thread.thread_id)
            lacks = "; ".join(violation.came for violation in missing)
            step.expect(not missing, "a history of what was said and answered", f"one that lacks some of it: {lacks}")
