"""Where a journey's runs are begun: its threads, what is said in them, and runs that go on beside something else.

At the end of the block nothing is left: runs in progress are waited for, and threads deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import gevent
import orjson
from locust.exception import StopUser

from crosstalk.clock import clock
from crosstalk.generator import template_of
from crosstalk.http import Answer
from crosstalk.journey import Journey
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.session import Session
from crosstalk.user import ChatUser
from crosstalk.wire.dialect import Call, Dialect, Turn

#: how long what is known of a run may lag behind its last event
SETTLE_S = 2.0
SETTLE_EVERY_S = 0.1


class Desk:
    """One user at one journey.

    :param journey: whose steps are taken here.
    """

    def __init__(self, user: ChatUser, journey: Journey) -> None:
        self.user, self.journey = user, journey
        self.generator, self.person = user.generator, user.person
        self.person.keeps_stories = True
        self._threads: list[Thread] = []
        self._going: list[Any] = []

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and not isinstance(error, Exception):  # the user is stopped at once: nobody waits
            gevent.killall(self._going)
        self.rest()
        for thread in self._threads:
            self.user.delete(thread)
        self._threads.clear()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        return self.generator.settings.dialect

    @property
    def has_one_socket(self) -> bool:
        """Does one socket carry all runs of the user, and tell them apart?"""
        return self.dialect.socket_per == "user" and self.dialect.frames_name_runs

    @property
    def starts_over_http(self) -> bool:
        """Can a run be started over HTTP whose events come on the user's socket?"""
        said_by_nobody = Turn("", self.person.name, "", "", "")
        return self.has_one_socket and self.dialect.start_over_http(said_by_nobody) is not None

    def session(self) -> Session:
        """The user's session, ready. Only where one socket carries all of the user's runs."""
        return self.user.connect()

    def thread(self) -> Thread:
        thread = self.user.new_thread()
        self._threads.append(thread)
        return thread

    def prompt(self, family: str = "") -> Prompt | None:
        """What to say of this family, or of any; None where the prompts file has no such family."""
        prompts = self.generator.settings.prompts
        if not family:
            return prompts.choose(self.person.rng)
        return prompts.families[family][0] if family in prompts.families else None

    # --- runs -------------------------------------------------------------------------------------------------------

    def ask(self, prompt: Prompt, thread: Thread, **how: Any) -> LiveRun:
        """A run, seen through. `how`: as for `ChatUser.ask`."""
        return self.user.ask(prompt, thread, **how)

    def begin(self, prompt: Prompt, thread: Thread, **how: Any) -> LiveRun | None:
        """A run, once it has shown a sign of life; None where none came. It goes on until `rest`."""
        if self.dialect.socket_per == "user":
            self.user.connect()  # what can take its time, before: the run is there as soon as the greenlet has begun
        known = {run.ordinal for run in self.person.runs.values()}
        going = self._spawn(partial(self.ask, prompt, thread, **how))
        fresh: list[LiveRun] = []
        while not going.dead and not fresh:
            gevent.idle()
            fresh = [run for run in self.person.runs.values() if run.ordinal not in known]
        patience_s = self.generator.settings.environment.run_timeout_s
        return fresh[-1] if fresh and fresh[-1].moved.wait(patience_s) else None

    def together(self, asks: Sequence[Callable[[], LiveRun]]) -> list[LiveRun]:
        """Runs that begin at the same time; back when all are over. One that was stopped is left out."""
        if self.dialect.socket_per == "user":
            self.user.connect()
        begun = [self._spawn(ask) for ask in asks]
        gevent.joinall(begun)
        return [run for run in (one.get() for one in begun) if isinstance(run, LiveRun)]

    def rest(self) -> None:
        """Wait until what was begun is over, and its row written."""
        gevent.joinall(self._going)
        self._going.clear()

    def gave_up(self, run: LiveRun) -> None:
        """The user wants this run to end: it is not held against the target that it does."""
        run.cancelled_ns = clock.now_ns()
        self.person.observer.abandoned(run.ordinal, at_ns=run.cancelled_ns)

    def _spawn(self, ask: Callable[[], LiveRun]) -> Any:
        def until_stopped() -> LiveRun | None:
            try:
                return ask()
            except StopUser:
                return None

        self._going.append(gevent.spawn(until_stopped))
        return self._going[-1]

    # --- questions --------------------------------------------------------------------------------------------------

    def call(self, call: Call, *, fine: tuple[int, ...] = ()) -> Answer:
        """An HTTP call in the user's name. `fine`: statuses from 400 up that are a right answer."""
        return self.generator.call(self.person, call, name=f"{call.method} {template_of(call.path)}", fine=fine)

    def status(self, run: LiveRun) -> str:
        """How the target says that a run is, by HTTP; "" where it does not say."""
        call = self.dialect.run_status(run.run_id)
        if call is None:
            return ""
        return self.dialect.status_in(body_of(self.generator.call(self.person, call, name="run status")))

    def status_by_frame(self, run: LiveRun) -> str:
        """The same by a frame on the user's socket."""
        frame = self.dialect.ask_status(run.run_id)
        for _, said in self.session().exchange(frame) if frame is not None else ():
            if status := self.dialect.status_in(_json(said)):
                return status
        return ""

    def settled(self, ask: Callable[[LiveRun], str], run: LiveRun, wanted: str) -> str:
        """The status of a run: the wanted one, or the last that came within `SETTLE_S`."""
        until_ns = clock.now_ns() + int(SETTLE_S * 1e9)
        while (status := ask(run)) != wanted and clock.now_ns() < until_ns:
            if self.generator.stopping.wait(SETTLE_EVERY_S):
                break
        return status


def body_of(answer: Answer) -> dict[str, Any]:
    """The object that came; {} for anything else."""
    return answer.body if isinstance(answer.body, dict) else {}


def _json(frame: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
