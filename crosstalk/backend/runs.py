"""One run: it walks the steps of its plan on timers of the event loop, one at a time. It has no task: a cancelled run
is a cancelled timer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from crosstalk.backend.agents import PROGRESS_EVERY_S, agent_timeout_s, tool_timeout_s
from crosstalk.backend.delays import Delay
from crosstalk.backend.events import Address, Event, Voice
from crosstalk.backend.outlets import Outlet
from crosstalk.backend.plan import (
    CHUNK,
    COMPLETED,
    ERROR,
    NEVER,
    PARTIAL,
    PROGRESS,
    SUPERVISOR,
    TOOL_COMPLETED,
    Step,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast runs are: the delay of each kind of step, what all are multiplied with, and when a run is given up
    (those of an agent with less time of its own: sooner)."""

    delays: Mapping[str, Delay]
    time_scale: float
    agent_timeout_s: float


class Run:
    """An agent at work.

    `address` says whom its events go to, `voice` makes frames of them. `say` gets every event as (run, step, event).
    `ended` is called once, with the answer or None, before the end event is said: `partial` holds then what had been
    streamed of an answer that never came; steps after that (faults only) are
    still said, and `done` is called after the last one; a run that hangs (a fault) is never done. `cancels_seen` counts
    the cancels before it started, `slowness` multiplies its delays, `late_s` is added to those of its first two steps,
    `route` finds the only socket that its events go to where that is not up to its address (faults). `held`: it does
    not begin before `release` (faults).
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
        late_s: tuple[float, float] = (0.0, 0.0),
        route: Callable[[str], Outlet | None] | None,
        say: Callable[[Run, Step, Event], None],
        ended: Callable[[Run, str | None], None],
        done: Callable[[], None],
        held: bool = False,
    ) -> None:
        self.run_id = run_id
        self.user_id = user_id
        self.thread_id = thread_id
        self.address = address
        self.voice = voice
        self.cancels_seen = cancels_seen
        self.route = route
        self.may_be_rerouted = route is None
        self.was_cut = False  # its sockets went at one of its events (faults)
        self._steps = steps
        self._pace = pace
        self._rng = rng
        self._slowness = slowness
        self._late_s = late_s
        self._say = say
        self._ended = ended
        self._done = done
        self._position = 0
        self._over = False
        self._pieces: list[str] = []
        self._waited_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._agent = steps[0].agent if steps else SUPERVISOR
        self._timeout_s = agent_timeout_s(self._agent, pace.agent_timeout_s)
        self._timeout = self._loop.call_later(self._timeout_s, self._time_out)
        self.held = held
        if not held:
            self._schedule()

    def release(self) -> None:
        """Begin, after all."""
        if self.held and not self._over:
            self.held = False
            self._schedule()

    @property
    def partial(self) -> str:
        """What has been streamed of the answer so far."""
        return "".join(self._pieces)

    def cancel(self, *, streams_on: bool = False, forgets: bool = False) -> None:
        """End at once with CANCELLED. A run that hangs (a fault) does not hear it.

        :param streams_on: what was still to be streamed goes on behind the end (a fault).
        :param forgets: what had been streamed is kept nowhere (a fault).
        """
        if not self._hangs:
            if forgets:
                self._pieces.clear()
            self._end_early("CANCELLED", "The run was cancelled.", streams_on=streams_on)

    def drop(self) -> None:
        """Stop without a word: the server goes down."""
        self._timeout.cancel()
        self._wait_no_more()

    @property
    def _hangs(self) -> bool:
        return self._position >= len(self._steps) and not self._over

    def _schedule(self) -> None:
        if self._position < len(self._steps):
            step = self._steps[self._position]
            self._waited_s = self._wait_s(step)
            if self._position < len(self._late_s):
                self._waited_s += self._late_s[self._position]
            if self._waited_s < NEVER:
                self._timer = self._loop.call_later(self._waited_s, self._advance)
            if step.tells_progress:
                self._progress = self._loop.call_later(PROGRESS_EVERY_S, self._tell_progress, step)
        elif self._over:
            self._done()

    def _wait_s(self, step: Step) -> float:
        """How long a step is waited for; a tool that has a time of its own is given up when that is over."""
        if isinstance(step.wait, str):
            delay_ms = self._pace.delays[step.wait].draw_ms(self._rng)
            wait_s = delay_ms * self._pace.time_scale * self._slowness / 1000.0
        else:
            wait_s = step.wait
        if step.kind == TOOL_COMPLETED:
            tool = step.data["tool_name"]
            most_s = tool_timeout_s(tool, self._pace.agent_timeout_s)
            if wait_s > most_s:
                late = {"result": {}, "status": "error", "error": step.data.get("error", f"{tool}: no answer in time")}
                self._steps[self._position] = replace(step, data={**step.data, **late})
                return most_s
        return wait_s

    def _tell_progress(self, step: Step) -> None:
        """The tool is slow: say that it is waited for."""
        data = {"message": f"{step.data['tool_name']} is still at work", "call_id": step.data["call_id"]}
        self._progress = self._loop.call_later(PROGRESS_EVERY_S, self._tell_progress, step)
        self._emit(Step(PROGRESS, 0.0, step.agent, data))

    def _wait_no_more(self) -> None:
        for timer in (self._timer, self._progress):
            if timer is not None:
                timer.cancel()

    def _advance(self) -> None:
        self._wait_no_more()
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
        elif kind == CHUNK:
            self._pieces.append(data["chunk"])
        if kind in (COMPLETED, ERROR) and not self._over and not data.get("nested"):
            self._end(data["result"] if kind == COMPLETED else None)
        user_id = "" if step.ownerless else self.user_id
        self._say(self, step, Event(kind, self.run_id, user_id, self.thread_id, step.agent, data))

    def _end(self, answer: str | None) -> None:
        self._over = True
        self._timeout.cancel()
        self._ended(self, answer)

    def _time_out(self) -> None:
        if self._hangs:
            self._end(None)
        else:
            self._end_early("AGENT_TIMEOUT", f"The agent took longer than {self._timeout_s:g} s.")

    def _end_early(self, error_code: str, error_message: str, *, streams_on: bool = False) -> None:
        if self._over:
            return
        self._wait_no_more()
        if self._position == 0:
            # Cancelled within the first milliseconds: an end without a start would be out of order.
            self._emit(self._steps[0])
        # What was still to come is forgotten, so that nothing follows the end.
        self._steps = [step for step in self._steps[self._position :] if step.kind == CHUNK] if streams_on else []
        self._position = 0
        self._say_partial()
        self._emit(Step(ERROR, 0.0, self._agent, {"error_code": error_code, "error_message": error_message}))
        self._schedule()

    def _say_partial(self) -> None:
        """What had come, once more and in one piece: so that nobody has to put it together who wants to keep it."""
        step = Step(PARTIAL, 0.0, self._agent, {"text": self.partial, "chunks": len(self._pieces)})
        if self._pieces and self.voice.says(step):
            self._emit(step)
