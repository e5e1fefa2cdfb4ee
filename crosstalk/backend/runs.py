"""One run: it walks the steps of its plan on timers of the event loop, one at a time. It has no task: a cancelled run
is a cancelled timer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crosstalk.backend.delays import Delay
from crosstalk.backend.events import Address, Event, Voice
from crosstalk.backend.outlets import Outlet
from crosstalk.backend.plan import COMPLETED, ERROR, SUPERVISOR, TOOL_COMPLETED, Step


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast runs are: the delay of each kind of step, what all are multiplied with, and when a run is given up."""

    delays: Mapping[str, Delay]
    time_scale: float
    agent_timeout_s: float


class Run:
    """An agent at work.

    `address` says whom its events go to, `voice` makes frames of them. `say` gets every event as (run, step, event).
    `ended` is called once, with the answer or None, before the end event is said; steps after that (faults only) are
    still said, and `done` is called after the last one; a run that hangs (a fault) is never done. `cancels_seen` counts
    the cancels before it started, `slowness` multiplies its delays, `route` finds the only socket that its events go to
    where that is not up to its address (faults).
    """

    def __init__(
        self,
        *,
        run_id: str,
        user_id: str,
        thread_id: str,
        address: Address,
        voice: Voice,
        steps: list[Step],
        pace: Pace,
        rng: random.Random,
        cancels_seen: int,
        slowness: float,
        route: Callable[[str], Outlet | None] | None,
        say: Callable[[Run, Step, Event], None],
        ended: Callable[[Run, str | None], None],
        done: Callable[[], None],
    ) -> None:
        self.run_id = run_id
        self.user_id = user_id
        self.thread_id = thread_id
        self.address = address
        self.voice = voice
        self.cancels_seen = cancels_seen
        self.route = route
        self.may_be_rerouted = route is None
        self._steps = steps
        self._pace = pace
        self._rng = rng
        self._slowness = slowness
        self._say = say
        self._ended = ended
        self._done = done
        self._position = 0
        self._over = False
        self._waited_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._timeout = self._loop.call_later(pace.agent_timeout_s, self._time_out)
        self._schedule()

    def cancel(self) -> None:
        """End at once with CANCELLED. A run that hangs (a fault) does not hear it."""
        if not self._hangs:
            self._end_early("CANCELLED", "The run was cancelled.")

    def drop(self) -> None:
        """Stop without a word: the server goes down."""
        self._timeout.cancel()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _hangs(self) -> bool:
        return self._position >= len(self._steps) and not self._over

    def _schedule(self) -> None:
        if self._position < len(self._steps):
            wait = self._steps[self._position].wait
            if isinstance(wait, str):
                delay_ms = self._pace.delays[wait].draw_ms(self._rng)
                self._waited_s = delay_ms * self._pace.time_scale * self._slowness / 1000.0
            else:
                self._waited_s = wait
            self._timer = self._loop.call_later(self._waited_s, self._advance)
        elif self._over:
            self._done()

    def _advance(self) -> None:
        step = self._steps[self._position]
        self._position += 1
        self._emit(step)
        self._schedule()

    def _emit(self, step: Step) -> None:
        kind, data = step.kind, step.data
        if kind == TOOL_COMPLETED:
            data = {**data, "execution_time_ms": round(self._waited_s * 1000.0, 1)}
        elif kind == COMPLETED:
            data = {**data, "duration_ms": round((self._loop.time() - self._started_s) * 1000.0, 1)}
        if step.agent == SUPERVISOR and not self._over and kind in (COMPLETED, ERROR):
            self._end(data["result"] if kind == COMPLETED else None)
        self._say(self, step, Event(kind, self.run_id, self.user_id, self.thread_id, step.agent, data))

    def _end(self, answer: str | None) -> None:
        self._over = True
        self._timeout.cancel()
        self._ended(self, answer)

    def _time_out(self) -> None:
        if self._hangs:
            self._end(None)
        else:
            self._end_early("AGENT_TIMEOUT", f"The agent took longer than {self._pace.agent_timeout_s:g} s.")

    def _end_early(self, error_code: str, error_message: str) -> None:
        if self._over:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._position == 0:
            # Cancelled within the first milliseconds: an end without a start would be out of order.
            self._emit(self._steps[0])
        # What was still to come is forgotten, so that nothing follows the end.
        self._steps = []
        self._emit(Step(ERROR, 0.0, SUPERVISOR, {"error_code": error_code, "error_message": error_message}))
        self._done()
