"""The chat service: which runs are in progress, and what starts and ends a run.

It is the one place where runs, threads, sockets and faults meet. It knows no HTTP, no shape, and reads no frames.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from crosstalk.backend.access import Access
from crosstalk.backend.agents import AGENTS
from crosstalk.backend.catalogue import BY_NAME, SHAPES
from crosstalk.backend.connections import Connections
from crosstalk.backend.events import Address, Event, Ping, Voice
from crosstalk.backend.faults import FaultTable, account_of
from crosstalk.backend.growth import Growth
from crosstalk.backend.leaks import Ways, send_wrongly
from crosstalk.backend.mistakes import dawdle, spoil
from crosstalk.backend.mistakes_agents import CUTS, cut_of
from crosstalk.backend.occasions import Schedule
from crosstalk.backend.outlets import Outlet, Outlets
from crosstalk.backend.plan import Plan, Step
from crosstalk.backend.planner import Planner, Turn
from crosstalk.backend.runs import Pace, Run
from crosstalk.backend.slowness import slowed
from crosstalk.backend.store import Refused, RunRecord, Store, Thread

__all__ = ["IDLE_CUT_S", "Chat", "Turn"]

RUNS_A_USER_MAX = 256
# With idle_cut a socket is closed after the first, and an agent thinks for the second.
IDLE_CUT_S, IDLE_THINKING_S = 3.0, 4.0
CACHE_DOWN_SLOWNESS = 2.5
_log = logging.getLogger("crosstalk.backend")


class Chat:
    """All state of the service except tokens. `seed` decides plans, delays and mistakes, not ids."""

    def __init__(self, *, seed: int, pace: Pace, faults: FaultTable, occasions: Schedule | None = None) -> None:
        self.store = Store()
        self.access = Access(self.store, self.bites_now)
        self.connections = Connections(keeps_all="resume_any_cursor" in faults.names, bites=self.bites_now)
        self.outlets = Outlets(keeps_handlers=bool({"router_growth", "handler_growth"} & faults.names))
        self.pace = pace
        self._growth = Growth()
        self.occasions = occasions or Schedule()
        self._quiet: asyncio.Event | None = None  # of a process that is about to end: set when no run is in progress
        self._seed = seed
        self._faults = faults
        self._started_s = time.monotonic()
        self._runs: dict[tuple[str, str], Run] = {}
        self._runs_of: dict[str, int] = {}
        self._run_count = 0
        self._cancel_count = 0
        self._planner = Planner(seed, faults.names, self.store)
        self._may_be_cut = bool(faults.names & CUTS)
        self._wanted = {
            shape: frozenset(name for name in faults.names if BY_NAME[name].applies(shape)) for shape in SHAPES
        }

    def start_run(
        self, user_id: str, turn: Turn, *, address: Address, voice: Voice, done: Callable[[], None] = lambda: None
    ) -> RunRecord:
        """Its events go to `address` in the words of `voice`; `done` is called after the last one.

        Refused where an id is used or another user's, there is no such agent, or too many runs are in progress; nothing
        changes then.
        """
        if self._quiet is not None:
            raise Refused("RESTARTING", "the service restarts, try again in a moment")
        if turn.agent not in AGENTS:
            raise Refused("NO_SUCH_AGENT", "there is no such agent")
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
        steps, held = self._beside_others(
            user_id, run_id, self._steps(user_id, run_id, turn, plan, address.shape, voice, rng)
        )
        self._runs_of[user_id] = self._runs_of.get(user_id, 0) + 1
        self._runs[user_id, run_id] = Run(
            run_id=run_id,
            user_id=user_id,
            thread_id=thread.id,
            address=address,
            voice=voice,
            steps=steps,
            pace=self.pace,
            rng=rng,
            cancels_seen=cancels_seen,
            slowness=CACHE_DOWN_SLOWNESS if self._cache_is_down(user_id, run_id, cancels_seen) else 1.0,
            late_s=self._late_s(user_id, run_id, cancels_seen),
            route=self.outlets.first_handler if self.bites("router_growth", user_id, run_id, cancels_seen) else None,
            say=self._say,
            ended=self._end,
            done=done,
            held=held,
        )
        return record

    def _late_s(self, user_id: str, run_id: str, cancels_seen: int) -> tuple[float, float]:
        """By how much a run's first and second step are late, of what has grown; (0, 0) in a backend that is right."""
        routed = self.bites("handler_growth", user_id, run_id, cancels_seen)
        first_s = self._growth.past_handlers_s(self.outlets.handler_count) if routed else 0.0
        leaking = self.bites("slow_leak", user_id, run_id, cancels_seen)
        return first_s, self._growth.slower_s(time.monotonic() - self._started_s) if leaking else 0.0

    def _beside_others(self, user_id: str, run_id: str, steps: list[Step]) -> tuple[list[Step], bool]:
        """What becomes of a run while others of its user are in progress, which is nothing without faults; and whether
        it waits for them."""
        if user_id not in self._runs_of or not self._faults.names:
            return steps, False
        if self.bites_now("parallel_run_lost", user_id, run_id):
            return [], False
        return steps, self.bites_now("parallel_runs_serialised", user_id, run_id)

    def _steps(
        self, user_id: str, run_id: str, turn: Turn, plan: Plan, shape: str, voice: Voice, rng: random.Random
    ) -> list[Step]:
        """What of the plan this shape has words for, as wrong as the faults want it."""
        steps = [step for step in plan.steps if voice.says(step)]
        if not self._faults.names:
            return steps
        cancels_seen = self._cancel_count
        steps = slowed(steps, lambda name: self.bites(name, user_id, run_id, cancels_seen))
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

    def described(self, user_id: str, record: RunRecord) -> dict[str, Any]:
        """A run as its user is to see it."""
        said = record.described()
        if record.status != "running" and self.bites_now("status_stale", user_id, record.id):
            return {**said, "status": "running", "answer": None}
        return said

    def stop_run(
        self, user_id: str, run_id: str, fault: str = "idor_socket_cancel", *, ignored: str = "stop_ignored"
    ) -> None:
        """Refused where the run is not this user's (`fault`: by which nobody asks) or has ended. `ignored`: the fault
        by which nothing is done."""
        record = self.access.run(user_id, run_id, fault)
        run = self._runs.get((record.owner, run_id))
        if run is None:
            if self.bites_now("stop_ended_accepted", user_id, run_id):
                return
            raise Refused("RUN_ENDED", "this run has ended")
        if self.bites("interrupt_ignored", record.owner, run_id) or self.bites_now(ignored, user_id, run_id):
            return
        self._cancel_count += 1
        self._planner.cancelled(record.owner, run_id)
        run.cancel(
            streams_on=self.bites("chunks_after_interrupt", record.owner, run_id),
            forgets=self.bites("partial_lost", record.owner, run_id),
        )
        if (record.owner, run_id) not in self._runs:
            record.status = "cancelled"
        for other in list(self._runs.values()):
            if other.user_id != user_id and self.bites("cascading_cancel", other.user_id, other.run_id):
                other.cancel()

    async def drain(self, at_most_s: float) -> None:
        """No run starts any more, until `go_on`; wait for the end of those that are in progress."""
        self._quiet = asyncio.Event()
        if not self._runs:
            self._quiet.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), at_most_s)

    def go_on(self) -> None:
        """Runs start again."""
        self._quiet = None

    def reopen(self) -> None:
        """Another process has begun. Threads and what can be resumed were kept elsewhere."""
        self.go_on()
        for user_id in self.store.users():
            if self.bites_now("restart_loses_threads", user_id, "a restart"):
                for thread in self.store.threads_of(user_id):
                    self.store.delete_thread(thread)

    def refreshed(self, user_id: str) -> None:
        """A user has a new token: of no concern to its runs, but for a fault."""
        mine = [run for run in self._runs.values() if run.user_id == user_id]
        if mine and self.bites_now("refresh_kills_run", user_id, mine[0].run_id):
            for run in mine:
                run.cancel()

    def drop_runs(self) -> None:
        for run in self._runs.values():
            run.drop()
        self._runs.clear()

    def leave_behind(self) -> None:
        """With `memory_growth`: what is due by now stays for ever."""
        if self.bites("memory_growth", "", "the process"):
            self._growth.leave(time.monotonic() - self._started_s)

    def drop_runs_of(self, user_id: str) -> None:
        """Without a word; for a fault."""
        for run in [run for run in self._runs.values() if run.user_id == user_id]:
            run.drop()
            self._end(run, None)

    def _cache_is_down(self, user_id: str, run_id: str, cancels_seen: int) -> bool:
        return self.occasions.on("cache_down") or self.bites("cache_down", user_id, run_id, cancels_seen)

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
            if self._may_be_cut and self._cuts(run, event, frames):
                return
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

    def _cuts(self, run: Run, event: Event, frames: list[bytes]) -> bool:
        """The sockets of the run go at this event (faults)."""
        cut = None if run.was_cut else cut_of(event)
        if cut is None or not self.bites(cut.fault, run.user_id, run.run_id, run.cancels_seen):
            return False
        run.was_cut = True
        if cut.says:
            self._send(run, frames)
        for socket in self.outlets.at(run.address):
            socket.close(cut.code, cut.reason)
        return True

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
        """The answer is in the thread before anybody hears that the run has completed; of one that was cut short, what
        had been streamed of it."""
        self._runs.pop((run.user_id, run.run_id), None)
        if self._quiet is not None and not self._runs:
            self._quiet.set()
        self._planner.ended(run.user_id, run.run_id)
        self.leave_behind()
        with suppress(Refused):  # forgotten, because of many newer ones
            record = self.store.run(run.user_id, run.run_id)
            record.status, record.answer = "failed" if answer is None else "completed", answer
        self._runs_of[run.user_id] -= 1
        if not self._runs_of[run.user_id]:
            del self._runs_of[run.user_id]
        elif "parallel_runs_serialised" in self._faults.names:
            self._release_next(run.user_id)
        with suppress(Refused):  # the thread was deleted while the agent was at work
            self._keep(run, answer, self.store.thread(run.user_id, run.thread_id))

    def _keep(self, run: Run, answer: str | None, thread: Thread) -> None:
        if answer is not None:
            if _is_asked_again(thread, run.run_id) and self.bites_now("retry_answers_twice", run.user_id, run.run_id):
                thread.add("assistant", answer, run.run_id)
            if not self.bites("history_lacks_answer", run.user_id, run.run_id, run.cancels_seen):
                thread.add("assistant", answer, run.run_id)
            if "first_thread_lost" in self._faults.names and self.store.threads_of(run.user_id) == [thread]:
                first = len(thread.messages) <= 2
                if first and self.bites("first_thread_lost", run.user_id, run.run_id, run.cancels_seen):
                    self.store.delete_thread(thread)
        elif run.partial:
            thread.add("assistant", run.partial, run.run_id)

    def _release_next(self, user_id: str) -> None:
        """The next of this user's runs that wait for each other begins (faults)."""
        waiting = (run for (owner, _), run in self._runs.items() if owner == user_id and run.held)
        if (following := next(waiting, None)) is not None:
            following.release()


def _is_asked_again(thread: Thread, run_id: str) -> bool:
    """Was what was asked before this run in its thread never answered?"""
    asked = [message["run_id"] for message in thread.messages if message["role"] == "user"]
    answered = {message["run_id"] for message in thread.messages if message["role"] == "assistant"}
    at = asked.index(run_id) if run_id in asked else 0
    return at > 0 and asked[at - 1] is not None and asked[at - 1] not in answered


def _send_each(sockets: Iterable[Outlet], frames: list[bytes]) -> None:
    for socket in sockets:
        for frame in frames:
            socket.send(frame)
