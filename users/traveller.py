"""Traveller: loses the connection in mid-run, comes back, catches up, asks again, and waits where it is told to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from locust import tag, task
from locust.exception import StopUser

from crosstalk.clock import clock
from crosstalk.http import Answer
from crosstalk.journey import Journey
from crosstalk.journeys.breaker import Outside
from crosstalk.journeys.coming_back import Heard, PutOff, Resumption, come_back, is_announced, loss_of
from crosstalk.journeys.parts import Parts
from crosstalk.journeys.threads import Desk
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.pacing import pause_s
from crosstalk.probing.resuming import drop
from crosstalk.session import NotReady, Session
from crosstalk.wire.dialect import Call
from crosstalk.wire.event import Kind
from users.partner import Juggler

#: how long nobody can be reached in a tunnel, on average: long enough to miss something, seconds
TUNNEL_S = 0.4
#: how often something is tried again that the target put off with a word
TRIES = 8


class Traveller(Juggler):
    """Someone in trains: whatever is lost on the way, by its own side or by the target's, is found again.

    Its own losses are resets of the transport. Where the target closes the socket with a word that asks to come again
    (a restart, say), it does, and looks whether everything is still there.
    """

    family = "recovery"
    weight = 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        #: this journey's thread, and the one of the journey before; each with its runs
        self._threads: list[tuple[Thread, list[LiveRun]]] = []

    @tag("recovery")  # type: ignore[untyped-decorator]
    @task  # type: ignore[untyped-decorator]
    def travel(self) -> None:
        """One journey; the thread of the last one is kept until its end."""
        thread, runs = self.new_thread(), list[LiveRun]()
        self._threads.append((thread, runs))
        with self.journey() as journey:
            self._parts(journey, thread)
            if self._tunnel(journey, thread, runs):
                with journey.step("retry after a loss", go_on=True) as step:
                    runs.append(step.well(self._turn(journey, self.prompt("long"), thread)))
            self._ask_again(journey, thread, runs)
            self._answered_once(journey, thread, runs)
            self._breaker(journey)
            self._parts(journey, thread)
        self._delete_threads(keep=1)

    def on_stop(self) -> None:
        if self._person is not None:
            self._delete_threads(keep=0)
        super().on_stop()

    def _delete_threads(self, *, keep: int) -> None:
        while len(self._threads) > keep:
            self.delete(self._threads.pop(0)[0])

    # --- steps ------------------------------------------------------------------------------------------------------

    def _notice(self, journey: Journey) -> None:
        """Has the target closed the socket since it was last used?"""
        code, lost_ns = loss_of(self.session)
        if code:
            self._return(journey, f"back after {code}", lost_ns)
            self._expect_kept(journey, code)

    def _expect_kept(self, journey: Journey, code: int) -> None:
        dialect = self.generator.settings.dialect
        ended_well = [(thread, [run for run in runs if run.outcome == "ok"]) for thread, runs in self._threads]
        kept = [(thread, runs) for thread, runs in ended_well if runs]
        if not kept or dialect.list_threads() is None:
            return
        desk = Desk(self.generator, self.person, self._call)
        with journey.step(f"threads after {code}", go_on=True) as step:
            listed = list(dialect.listed(desk.listed(step)))
            for thread, runs in kept:
                step.expect(thread.thread_id in listed, f"{thread.thread_id} in the list", f"{len(listed)} others")
                desk.expect_history(step, thread.thread_id, runs)

    def _tunnel(self, journey: Journey, thread: Thread, runs: list[LiveRun]) -> bool:
        """The transport is reset in mid-run; back again, everything that was missed comes, once and in order.

        :return: whether anything was lost.
        """
        if self.generator.settings.dialect.socket_per != "user":
            journey.not_offered("reconnect", "a socket belongs to one thread or one run")
            with journey.step("turn") as step:
                runs.append(step.well(self._turn(journey, self.prompt("long"), thread)))
            return False
        self._notice(journey)
        session = self.connect()
        before = session.listen()
        begun = self.begin(self.prompt("long"), thread)
        in_progress = begun is not None and not begun.outcome and session is self.session and session.is_ready
        left = drop(self.person, session) if in_progress else None
        session.hush()
        self.rest()
        if begun is None or left is None:
            return False  # it was over before
        runs.append(begun)
        self._wait(TUNNEL_S * self.person.rng.uniform(0.5, 1.5))
        self._catch_up(journey, Resumption(self.generator, begun, left, before), clock.now_ns())
        return True

    def _catch_up(self, journey: Journey, resumption: Resumption, lost_ns: int) -> None:
        name = "reconnect"
        for _ in range(TRIES):
            resumption.after = []
            session = self._return(journey, name, lost_ns, resumption.after)
            if session is None:
                return
            if self.generator.settings.dialect.resume(resumption.left.belongings) is None:
                journey.not_offered("resume", "this protocol does not send again what was missed")
                return
            code, lost_ns = loss_of(session)
            if not code:
                try:
                    with journey.step("resume", go_on=True) as step:
                        resumption.offer(step, session)
                except PutOff:
                    pass
                else:
                    return
                code, lost_ns = loss_of(session)
            name = f"back after {code}"

    def _ask_again(self, journey: Journey, thread: Thread, runs: list[LiveRun]) -> None:
        """What the agent failed at is asked once more in the same thread, and ends well."""
        families = self.generator.settings.prompts.families
        if "fails_at_first" not in families:
            journey.not_offered("agent error", "no prompt makes an agent fail")
            return
        fails = families["fails_at_first"][0]
        with journey.step("agent error") as step:
            failed = step.well(self._turn(journey, fails, thread))
            step.expect(failed.check.end_kind is Kind.ERROR, "an agent error", f"{failed.check.end_kind}")
        with journey.step("retry after an error", go_on=True) as step:
            again = replace(fails, expects=("chunk",))
            runs.append(step.well(self._turn(journey, again, thread)))

    def _answered_once(self, journey: Journey, thread: Thread, runs: list[LiveRun]) -> None:
        """In the history, whatever was asked stands once, and so does each answer: told by their references."""
        dialect = self.generator.settings.dialect
        call = dialect.history(thread.thread_id)
        told_apart = [run for run in runs if run.prompt.reference == "prompt"]
        if call is None or not self.generator.begin.nonce_required or not told_apart:
            journey.not_offered("answered once", "no history, or no answer in it that could be told from others")
            return
        with journey.step("answered once", go_on=True) as step:
            answer = Desk(self.generator, self.person, self._call).read(step, call)
            said = list(dialect.speakers(answer)) or [("?", text) for _, text in dialect.messages(answer)]
            for run in told_apart:
                here = sorted(who for who, text in said if run.nonce.decode() in text)
                step.of(run)
                step.expect(
                    here in (["agent", "user"], ["?", "?"]), "one question, one answer", ", ".join(here) or "neither"
                )

    def _breaker(self, journey: Journey) -> None:
        whole, away = (self.generator.settings.dialect.dependent(away=one) for one in (False, True))
        if whole is None or away is None:
            journey.not_offered("breaker opens", "nothing in this protocol depends on another service")
            return

        def wait(seconds: float) -> None:
            self._wait(seconds)
            self._notice(journey)

        outside = Outside(self._call, wait)
        if outside.opens(journey, away):
            outside.closes(journey, whole)

    def _parts(self, journey: Journey, thread: Thread) -> None:
        ask = partial(self._turn, journey, self.prompt("question"), thread)
        Parts(self.generator.settings.dialect, self._call, ask).look(journey)

    # --- ways -------------------------------------------------------------------------------------------------------

    def _return(self, journey: Journey, name: str, lost_ns: int, heard: Heard | None = None) -> Session | None:
        def connect(within_s: float, turned_away: list[NotReady]) -> Session:
            return self.connect(within_s=within_s, turned_away=turned_away, heard=heard)

        return come_back(journey, name, lost_ns, connect)

    def _turn(self, journey: Journey, prompt: Prompt, thread: Thread) -> LiveRun:
        """Ask; where the target puts it off with a word (a restart, say), come back and ask again, a few times."""
        for attempt in range(TRIES):
            self._notice(journey)
            run = self.ask(prompt, thread)
            if run.outcome != "refused" or self.generator.stopping.is_set():
                return run
            if not is_announced(loss_of(self.session)[0]):
                self.generator.stopping.wait(pause_s(attempt, self.person.rng))
        return run

    def _wait(self, seconds: float) -> None:
        """Let so many seconds pass.

        :raises StopUser: the load test ends meanwhile.
        """
        if self.generator.stopping.wait(seconds):
            raise StopUser("the load test ends")

    def _call(self, call: Call) -> Answer:
        """A call in this person's name, again after a pause where nobody answers: a restart, say."""
        for attempt in range(TRIES):
            answer = self.generator.call(self.person, call, fine=(500, 502, 503, 504))
            if answer.status or self.generator.stopping.wait(pause_s(attempt, self.person.rng)):
                break
        return answer
