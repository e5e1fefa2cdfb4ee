"""The chat service: which runs are in progress, and what starts and ends a run.

It is the one place where runs, threads, sockets and faults meet. It knows no HTTP, no shape, and reads no frames.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

from crosstalk.backend.access import Access
from crosstalk.backend.catalogue import BY_NAME, SHAPES
from crosstalk.backend.connections import Connections
from crosstalk.backend.events import Address, Event, Ping, Voice
from crosstalk.backend.faults import FaultTable, account_of
from crosstalk.backend.leaks import Ways, send_wrongly
from crosstalk.backend.mistakes import dawdle, spoil
from crosstalk.backend.outlets import Outlet, Outlets
from crosstalk.backend.plan import Plan, Step
from crosstalk.backend.planner import Planner, Turn
from crosstalk.backend.runs import Pace, Run
from crosstalk.backend.store import Refused, RunRecord, Store

__all__ = ["IDLE_CUT_S", "Chat", "Turn"]

RUNS_A_USER_MAX = 256
# With idle_cut a socket is closed after the first, and an agent thinks for the second.
IDLE_CUT_S, IDLE_THINKING_S = 3.0, 4.0
CACHE_DOWN_SLOWNESS = 2.5
_log = logging.getLogger("crosstalk.backend")


class Chat:
    """All state of the service except tokens. `seed` decides plans, delays and mistakes, not ids."""

    def __init__(self, *, seed: int, pace: Pace, faults: FaultTable) -> None:
        self.store = Store()
        self.access = Access(self.store, self.bites_now)
        self.connections = Connections(keeps_all="resume_any_cursor" in faults.names, bites=self.bites_now)
        self.outlets = Outlets(keeps_handlers="router_growth" in faults.names)
        self.pace = pace
        self._seed = seed
        self._faults = faults
        self._started_s = time.monotonic()
        self._runs: dict[tuple[str, str], Run] = {}
        self._runs_of: dict[str, int] = {}
        self._run_count = 0
        self._cancel_count = 0
        self._planner = Planner(seed, faults.names, self.store)
        self._wanted = {
            shape: frozenset(name for name in faults.names if BY_NAME[name].applies(shape)) for shape in SHAPES
        }

    def start_run(
        self, user_id: str, turn: Turn, *, address: Address, voice: Voice, done: Callable[[], None] = lambda: None
    ) -> RunRecord:
        """Its events go to `address` in the words of `voice`; `done` is called after the last one.

        Refused where an id is used or another user's, or too many runs are in progress; nothing changes then.
        """
        if turn.run_id is not None:
            self.store.check_new_run(user_id, turn.run_id)
        if self._runs_of.get(user_id, 0) >= RUNS_A_USER_MAX:
            raise Refused("TOO_MANY_RUNS", f"{RUNS_A_USER_MAX} runs are in progress")
        thread = turn.thread or self.access.open_thread(
            user_id, turn.thread_id, "idor_continue_thread", title=turn.prompt[:60]
        )
        run_id = turn.run_id or f"run-{uuid.uuid4().hex}"
        record = self.store.add_run(user_id, run_id, thread.id)
        self._run_count += 1
        rng = random.Random(f"{self._seed}/{self._run_count}")
        cancels_seen = self._cancel_count
        plan = self._planner.plan(
            user_id, run_id, turn, thread, lambda name: self.bites(name, user_id, run_id, cancels_seen)
        )
        thread.add("user", turn.prompt, run_id)
        self._runs_of[user_id] = self._runs_of.get(user_id, 0) + 1
        self._runs[user_id, run_id] = Run(
            run_id=run_id,
            user_id=user_id,
            thread_id=thread.id,
            address=address,
            voice=voice,
            steps=self._steps(user_id, run_id, turn, plan, address.shape, voice, rng),
            pace=self.pace,
            rng=rng,
            cancels_seen=cancels_seen,
            slowness=CACHE_DOWN_SLOWNESS if self.bites("cache_down", user_id, run_id, cancels_seen) else 1.0,
            route=self.outlets.first_handler if self.bites("router_growth", user_id, run_id, cancels_seen) else None,
            say=self._say,
            ended=self._end,
            done=done,
        )
        return record

    def _steps(
        self, user_id: str, run_id: str, turn: Turn, plan: Plan, shape: str, voice: Voice, rng: random.Random
    ) -> list[Step]:
        """What of the plan this shape has words for, as wrong as the faults want it."""
        steps = [step for step in plan.steps if voice.says(step)]
        if not self._faults.names:
            return steps
        cancels_seen = self._cancel_count
        steps = spoil(
            steps,
            self._wanted[shape],
            lambda name: self.bites(name, user_id, run_id, cancels_seen),
            rng,
            id_kinds=voice.id_kinds,
            other=self._planner.leftovers.of_another(user_id, self._runs),
        )
        return dawdle(steps, IDLE_THINKING_S * self.pace.time_scale) if turn.slow else steps

    @property
    def faults_wanted(self) -> frozenset[str]:
        return self._faults.names

    def is_running(self, user_id: str, run_id: str) -> bool:
        return (user_id, run_id) in self._runs

    def runs_in_progress(self) -> list[Run]:
        return list(self._runs.values())

    def run_count_of(self, user_id: str) -> int:
        return self._runs_of.get(user_id, 0)

    def stop_run(self, user_id: str, run_id: str, fault: str = "idor_socket_cancel") -> None:
        """Refused where the run is not this user's (`fault`: by which nobody asks) or has ended."""
        record = self.access.run(user_id, run_id, fault)
        run = self._runs.get((record.owner, run_id))
        if run is None:
            raise Refused("RUN_ENDED", "this run has ended")
        self._cancel_count += 1
        self._planner.cancelled(record.owner, run_id)
        run.cancel()
        if (record.owner, run_id) not in self._runs:
            record.status = "cancelled"
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

    def bites_now(self, name: str, user_id: str, what: str) -> bool:
        """Decide an opportunity of a request, which sees every cancel so far."""
        return self.bites(name, user_id, what, self._cancel_count)

    def words_of_another(self, user_id: str) -> str | None:
        """The references of another user's newest run that has some; None without one."""
        seen = self._planner.leftovers.of_another(user_id, self._runs)
        return None if seen is None else seen.words

    def _say(self, run: Run, step: Step, event: Event) -> None:
        if not step.faults:
            frames = run.voice.render(event)
            if not step.lost:
                self._send(run, frames)
            return
        send_wrongly(
            step,
            event,
            other=lambda form: self._planner.of_another(form, run.user_id, run.run_id, self._runs),
            bites=lambda name: self.bites(name, run.user_id, run.run_id, run.cancels_seen),
            render=run.voice.render,
            ways=self._ways(run, step),
        )

    def _ways(self, run: Run, step: Step) -> Ways:
        stranger = self._socket_of_another(run) if "leak_wrong_socket" in step.faults else None
        strangers = self.outlets.of_all_others(run.user_id, run.address.shape)
        sockets = self.outlets.at(run.address)
        return Ways(
            own=lambda frames: None if step.lost else self._send(run, frames),
            astray=None if stranger is None else lambda frames: _send_each([stranger], frames),
            everywhere=(lambda frames: _send_each(strangers, frames)) if strangers else None,
            first_only=(lambda frames: self._send_to(sockets[:1], run, frames)) if len(sockets) > 1 else None,
        )

    def _send(self, run: Run, frames: list[bytes]) -> None:
        if run.may_be_rerouted and "latest_handler" in self._faults.names:
            self._reroute(run)
        if run.route is None:
            self._send_to(self.outlets.at(run.address), run, frames)
        elif (handler := run.route(run.address.shape)) is not None:
            _send_each([handler], frames)

    def _send_to(self, sockets: Iterable[Outlet], run: Run, frames: list[bytes]) -> None:
        """To sockets of the run. What they are sent is kept for those who resume; a ping is no event."""
        _send_each(sockets, frames)
        self.connections.pass_on(run.address, run.thread_id, [one for one in frames if not isinstance(one, Ping)])

    def _reroute(self, run: Run) -> None:
        """Decided once for each run, when another user's connection has replaced the handler for the first time."""
        latest = self.outlets.latest_handler(run.address.shape)
        if latest is not None and latest.user_id != run.user_id:
            run.may_be_rerouted = False
            if self.bites("latest_handler", run.user_id, run.run_id, run.cancels_seen):
                run.route = self.outlets.latest_handler

    def _socket_of_another(self, run: Run) -> Outlet | None:
        """A socket of the user who was last seen by anyone, or of any other user where none of those is connected."""
        seen_last = (seen.user_id for seen in self._planner.leftovers.all_of_others(run.user_id))
        return self.outlets.of_another(run.user_id, run.address.shape, seen_last)

    def _end(self, run: Run, answer: str | None) -> None:
        """The answer is in the thread before anybody hears that the run has completed."""
        self._runs.pop((run.user_id, run.run_id), None)
        self._planner.ended(run.user_id, run.run_id)
        with suppress(Refused):  # forgotten, because of many newer ones
            record = self.store.run(run.user_id, run.run_id)
            record.status, record.answer = "failed" if answer is None else "completed", answer
        self._runs_of[run.user_id] -= 1
        if not self._runs_of[run.user_id]:
            del self._runs_of[run.user_id]
        if answer is not None:
            try:
                thread = self.store.thread(run.user_id, run.thread_id)
            except Refused:
                return  # deleted while the agent was at work
            thread.add("assistant", answer, run.run_id)


def _send_each(sockets: Iterable[Outlet], frames: list[bytes]) -> None:
    for socket in sockets:
        for frame in frames:
            socket.send(frame)
