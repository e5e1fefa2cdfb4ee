"""The chat service: which runs are in progress, and what starts and ends a run.

It is the one place where runs, threads, sockets and faults meet. It knows no HTTP, no shape, and reads no frames.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crosstalk.backend.events import Address, Event, Voice
from crosstalk.backend.faults import FaultTable, account_of
from crosstalk.backend.leaks import Leftovers, Seen, send_wrongly
from crosstalk.backend.mistakes import dawdle, spoil
from crosstalk.backend.outlets import Outlet, Outlets
from crosstalk.backend.plan import Ask, Plan, Step, asks_memory, make_plan, references_of
from crosstalk.backend.runs import Pace, Run
from crosstalk.backend.store import Refused, Store, Thread

RUNS_A_USER_MAX = 256
# With idle_cut a socket is closed after the first, and an agent thinks for the second.
IDLE_CUT_S, IDLE_THINKING_S = 3.0, 4.0
CACHE_DOWN_SLOWNESS = 2.5
_log = logging.getLogger("crosstalk.backend")


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to run an agent: ids where they are chosen already, and the private parts of the payload. `slow`: the
    agent takes longer than the socket that asks is kept (faults only)."""

    prompt: str
    thread_id: str | None
    run_id: str | None
    context: Mapping[str, Any]
    profile: Mapping[str, Any]
    slow: bool = False


class Chat:
    """All state of the service except tokens. `seed` decides plans, delays and mistakes, not ids."""

    def __init__(self, *, seed: int, pace: Pace, faults: FaultTable) -> None:
        self.store = Store()
        self.outlets = Outlets(keeps_handlers="router_growth" in faults.names)
        self.pace = pace
        self._seed = seed
        self._faults = faults
        self._started_s = time.monotonic()
        self._runs: dict[str, Run] = {}
        self._runs_of: dict[str, int] = {}
        self._run_count = 0
        self._cancel_count = 0
        self._leftovers = Leftovers()

    def start_run(
        self, user_id: str, turn: Turn, *, address: Address, voice: Voice, done: Callable[[], None] = lambda: None
    ) -> None:
        """Its events go to `address` in the words of `voice`; `done` is called after the last one.

        Refused where an id is used or another user's, or too many runs are in progress; nothing changes then.
        """
        if turn.run_id is not None:
            self.store.check_new_run(user_id, turn.run_id)
        if self._runs_of.get(user_id, 0) >= RUNS_A_USER_MAX:
            raise Refused("TOO_MANY_RUNS", f"{RUNS_A_USER_MAX} runs are in progress")
        thread = self.store.open_thread(user_id, turn.thread_id, title=turn.prompt[:60])
        run_id = turn.run_id or f"run-{uuid.uuid4().hex}"
        self.store.claim_run(user_id, run_id)
        self._run_count += 1
        rng = random.Random(f"{self._seed}/{self._run_count}")
        cancels_seen = self._cancel_count
        plan = self._plan(user_id, run_id, turn, thread)
        thread.add("user", turn.prompt, run_id)
        self._runs_of[user_id] = self._runs_of.get(user_id, 0) + 1
        self._runs[run_id] = Run(
            run_id=run_id,
            user_id=user_id,
            thread_id=thread.id,
            address=address,
            voice=voice,
            steps=self._steps(user_id, run_id, turn, plan, voice, rng),
            pace=self.pace,
            rng=rng,
            cancels_seen=cancels_seen,
            slowness=CACHE_DOWN_SLOWNESS if self.bites("cache_down", user_id, run_id, cancels_seen) else 1.0,
            astray=self.bites("router_growth", user_id, run_id, cancels_seen),
            say=self._say,
            ended=self._end,
            done=done,
        )

    def _steps(self, user_id: str, run_id: str, turn: Turn, plan: Plan, voice: Voice, rng: random.Random) -> list[Step]:
        """What of the plan this shape has words for, as wrong as the faults want it."""
        steps = [step for step in plan.steps if voice.says(step)]
        if not self._faults.names:
            return steps
        self._leftovers.note_run(Seen.of(user_id, run_id, plan.references, plan.text, turn.prompt))
        cancels_seen = self._cancel_count
        steps = spoil(
            steps,
            self._faults.names,
            lambda name: self.bites(name, user_id, run_id, cancels_seen),
            rng,
            id_kinds=voice.id_kinds,
            others_seen=next(self._leftovers.all_of_others(user_id), None) is not None,
        )
        return dawdle(steps, IDLE_THINKING_S * self.pace.time_scale) if turn.slow else steps

    def is_running(self, run_id: str) -> bool:
        return run_id in self._runs

    def run_count_of(self, user_id: str) -> int:
        return self._runs_of.get(user_id, 0)

    def stop_run(self, user_id: str, run_id: str) -> None:
        """Refused where the run is not this user's or has ended."""
        self.store.check_run(user_id, run_id)
        run = self._runs.get(run_id)
        if run is None:
            raise Refused("RUN_ENDED", "this run has ended")
        self._cancel_count += 1
        run.cancel()
        for other in list(self._runs.values()):
            if other.user_id != user_id and self.bites("cascading_cancel", other.user_id, other.run_id):
                other.cancel()

    def drop_runs(self) -> None:
        for run in self._runs.values():
            run.drop()
        self._runs.clear()

    def bites(self, name: str, user_id: str, what: str, cancels_seen: int = 0) -> bool:
        """Decide one opportunity of a fault; each bite is one line of the log, `what` names its run or socket."""
        if name not in self._faults.names:
            return False
        overlap = len(self._runs_of) > (user_id in self._runs_of)
        now_s = time.monotonic() - self._started_s
        bitten = self._faults.bites(
            name, account=account_of(user_id), now_s=now_s, overlap=overlap, cancels_seen=cancels_seen
        )
        if bitten:
            _log.info("fault %s bites user %s, %s", name, user_id or "unknown", what)
        return bitten

    def _plan(self, user_id: str, run_id: str, turn: Turn, thread: Thread) -> Plan:
        cancels_seen = self._cancel_count
        ask = Ask(turn.prompt, _text_of(turn.context, "reference"), _text_of(turn.profile, "name"))
        if asks_memory(turn.prompt):
            ask = replace(ask, earlier=_references_in(thread))
        wanted = self._faults.names
        if "leak_cross_thread" in wanted:
            elsewhere = self._reference_of_other_thread(thread, ask)
            if elsewhere and self.bites("leak_cross_thread", user_id, run_id, cancels_seen):
                ask = replace(ask, earlier=(*ask.earlier, elsewhere))
        text = None
        if "leak_cache" in wanted:
            text = self._leftovers.answer_of_another(turn.prompt, user_id)
            if text is not None and not self.bites("leak_cache", user_id, run_id, cancels_seen):
                text = None
        plan = make_plan(ask, self._seed, text=text)
        tool_fails = any(step.data.get("status") == "error" for step in plan.steps)
        if tool_fails and self.bites("tool_error_swallowed", user_id, run_id, cancels_seen):
            plan = make_plan(ask, self._seed, text=text, hide_tool_errors=True)
        if "leak_cache" in wanted and text is None and plan.text:
            self._leftovers.note_answer(turn.prompt, user_id, plan.text)
        return plan

    def _reference_of_other_thread(self, thread: Thread, ask: Ask) -> str | None:
        """The newest reference that the user said in another thread and never in this one, nor in this turn."""
        known = {*_references_in(thread), *references_of(ask.prompt), ask.reference}
        for other in self.store.threads_of(thread.owner):
            if other is not thread:
                for reference in reversed(_references_in(other)):
                    if reference not in known:
                        return reference
        return None

    def _say(self, run: Run, step: Step, event: Event) -> None:
        if not step.faults:
            frames = run.voice.render(event)
            if not step.lost:
                self._send(run, frames)
            return
        stranger = self._socket_of_another(run) if "leak_wrong_socket" in step.faults else None
        send_wrongly(
            step,
            event,
            other=self._leftovers.of_another(run.user_id, self._runs),
            bites=lambda name: self.bites(name, run.user_id, run.run_id, run.cancels_seen),
            render=run.voice.render,
            send=lambda frames: None if step.lost else self._send(run, frames),
            send_astray=None if stranger is None else lambda frames: _send_each(stranger, frames),
        )

    def _send(self, run: Run, frames: list[bytes]) -> None:
        if not run.astray:
            self.outlets.send(run.address, frames)
        elif (handler := self.outlets.first_handler(run.address.shape)) is not None:
            _send_each(handler, frames)

    def _socket_of_another(self, run: Run) -> Outlet | None:
        """A socket of the user who was last seen by anyone, or of any other user where none of those is connected."""
        seen_last = (seen.user_id for seen in self._leftovers.all_of_others(run.user_id))
        return self.outlets.of_another(run.user_id, run.address.shape, seen_last)

    def _end(self, run: Run, answer: str | None) -> None:
        """The answer is in the thread before anybody hears that the run has completed."""
        self._runs.pop(run.run_id, None)
        self._runs_of[run.user_id] -= 1
        if not self._runs_of[run.user_id]:
            del self._runs_of[run.user_id]
        if answer is not None:
            try:
                thread = self.store.thread(run.user_id, run.thread_id)
            except Refused:
                return  # deleted while the agent was at work
            thread.add("assistant", answer, run.run_id)


def _send_each(socket: Outlet, frames: list[bytes]) -> None:
    for frame in frames:
        socket.send(frame)


def _references_in(thread: Thread) -> tuple[str, ...]:
    """What the user asked to repeat in a thread so far, oldest first and each once."""
    said = (message["content"] for message in thread.messages if message["role"] == "user")
    return tuple(dict.fromkeys(reference for content in said for reference in references_of(content)))


def _text_of(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    return value[:200] if isinstance(value, str) and value else None
