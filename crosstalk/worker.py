"""A worker's side of a load test: generates load until it is told to finish, then hands everything over.

While the master is silent, load goes on, and what was seen is kept on this worker's disk. Messages to the master are
few then: Locust's socket takes a thousand of them, and blocks whoever sends one more.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import gevent
from gevent.event import Event as Flag
from locust.runners import STATE_INIT, WorkerRunner

from crosstalk.clock import clock, retie
from crosstalk.config import ConfigError, load_settings
from crosstalk.generator import Begin, Generator
from crosstalk.processes import die_with_parent, ignore_interrupt
from crosstalk.roll import BEAT_S, HAND_OVER_S, SILENT_S, introduction, reason_not_to_begin

logger = logging.getLogger("crosstalk")

#: what has waited so long for an answer is sent again
PROBE_S = 5.0
#: more than handing over takes, which ends by itself once there is no progress
LONGEST_S = 3600.0
EXIT_REFUSED = 2
#: the final word of a worker that generated nothing
NOTHING: dict[str, Any] = {
    "last_batch": 0, "rows": {}, "runs_started": 0, "events_received": 0, "events_checked": 0, "events_recorded": 0,
}  # fmt: skip


class Worker:
    """Listens to Locust's events and to the messages of the master.

    :param own_terminal: it was started as a worker; else its master forked it, and shares its terminal.
    """

    def __init__(self, environment: Any, runner: WorkerRunner, *, own_terminal: bool) -> None:
        self.environment = environment
        self.runner = runner
        self.begin: Begin | None = None
        self.generator: Generator | None = None
        self._terms: dict[str, Any] = {}  # what the master said beside the begin
        self._told = Flag()
        self._own_terminal = own_terminal
        self._heard_ns = clock.now_ns()
        self._silences: list[dict[str, Any]] = []
        self._silent = False
        self._acknowledged = Flag()
        self._finished = Flag()
        self._finishing = False
        self._idle = False  # it could not begin
        self._done_heard = False

    def listen(self) -> None:
        retie()
        self._heard_ns = clock.now_ns()
        die_with_parent(gently=self._own_terminal)
        if not self._own_terminal:
            ignore_interrupt()  # the master decides when a worker that it forked ends
        register, events = self.runner.register_message, self.environment.events
        register("crosstalk_begin", self.on_begin)
        register("crosstalk_refuse", self.on_refuse)
        register("crosstalk_lease", self.on_lease)
        register("crosstalk_ack", self.on_ack)
        register("crosstalk_keep", self.on_keep)
        register("crosstalk_ids", self.on_ids)
        register("crosstalk_finish", self.on_finish, concurrent=True)
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self.on_test_stopping)
        events.test_stop.add_listener(self.on_test_stop)
        events.spawning_complete.add_listener(self.on_spawning_complete)
        events.heartbeat_received.add_listener(lambda **_: self._hear())
        events.quitting.add_listener(lambda **_: self.finish())
        events.crosstalk_problem.add_listener(lambda text: self._send("crosstalk_problem", {"text": text}))
        self._send("crosstalk_hello", introduction())
        gevent.spawn(self._beat_for_ever)
        if self.runner.worker_state != STATE_INIT:
            gevent.spawn(self._catch_up)

    # --- messages of the master -------------------------------------------------------------------------------------

    def on_begin(self, msg: Any, **_: object) -> None:
        self._hear()
        self.begin = Begin(**msg.data.pop("begin"))
        self._terms = msg.data
        self._told.set()

    def on_refuse(self, msg: Any, **_: object) -> None:
        """The master does not want this worker; it has said why on its own terminal too."""
        print(f"crosstalk: {msg.data['text']}", file=sys.stderr, flush=True)
        self.environment.process_exit_code = EXIT_REFUSED
        gevent.spawn(self.runner.quit)

    def on_lease(self, msg: Any, **_: object) -> None:
        if self.generator is not None:
            self.generator.purse.put(msg.data["first"], msg.data["count"])

    def on_ack(self, msg: Any, **_: object) -> None:
        self._hear()
        if msg.data["number"] == 0:  # not a batch: the final word
            self._done_heard = True
        elif self.generator is not None:
            self.generator.outbox.acknowledge(msg.data["number"])
        self._acknowledged.set()

    def on_keep(self, msg: Any, **_: object) -> None:
        if self.generator is not None:
            self.generator.keep(msg.data["run"])

    def on_ids(self, msg: Any, **_: object) -> None:
        """Ids that the server told to users of any worker: seen here, they are somebody's."""
        if self.generator is not None:
            for wire_id, account in msg.data["ids"]:
                self.generator.exposures.hear(wire_id, account)

    def on_finish(self, **_: object) -> None:
        self.finish()

    # --- Locust's events --------------------------------------------------------------------------------------------

    def on_test_start(self, **_: object) -> None:
        if self.begin is None:
            self._ask_what_to_begin()
        if self.begin is None:
            self._cannot_begin("was told to start before it was told what: is the master a Crosstalk one too?")
            return
        self._finished.clear()
        self._finishing, self._idle, self._silences = False, False, []
        load_test = self.begin.load_test
        try:
            settings = load_settings(self.environment.parsed_options)
            if reason := reason_not_to_begin(self._terms, settings, self.begin.target):
                self._cannot_begin(f"does not begin: {reason}")
                return
            self.generator = self.environment.crosstalk = Generator(
                settings=settings,
                begin=self.begin,
                fire_request=self.environment.events.request.fire,
                worker=f"w{self.runner.worker_index}",
                role="worker",
                send=lambda number, body: self._send(
                    "crosstalk_batch", {"number": number, "body": body, "load_test": load_test}
                ),
                ask=lambda wanted: self._send("crosstalk_lease", {"wanted": wanted}),
            )
        except ConfigError as problem:
            self._cannot_begin(f"does not begin: {problem}")
        except Exception as error:  # whatever it is, this worker generates nothing, and the verdict must know
            logger.exception("this worker could not begin")
            self._cannot_begin(f"could not begin: {type(error).__name__}: {error}")

    def _ask_what_to_begin(self) -> None:
        """A worker that joins in mid-run may be told before it listens. Locust's reader of messages waits for this to
        return: until the answer is there, they are read here, and what is not for now is kept for afterwards."""
        self._send("crosstalk_hello", introduction())
        deadline_ns, later = clock.now_ns() + int(HAND_OVER_S * 1e9), []
        while self.begin is None and clock.now_ns() < deadline_ns:
            message = None
            with gevent.Timeout(0.5, False):
                message = self.runner.client.recv()
            if message is not None and message.type in ("crosstalk_begin", "crosstalk_refuse", "heartbeat"):
                self.runner.handle_message(message)
            elif message is not None:
                later.append(message)
        gevent.spawn(lambda: [self.runner.handle_message(message) for message in later])

    def _catch_up(self) -> None:
        """Locust was quicker: its users were started before anybody here listened, and found nothing to do."""
        self._told.wait(HAND_OVER_S)
        self.on_test_start()
        if self.runner.spawning_greenlet is not None:
            self.runner.spawning_greenlet.join()
        self.runner.start_worker(self.runner.target_user_classes_count)  # those that are not there any more

    def _cannot_begin(self, why: str) -> None:
        """Say so on both terminals; the verdict will not be known."""
        self._idle = True
        said = introduction()
        text = f"worker w{self.runner.worker_index} ({said['host']}, pid {said['pid']}) {why}"
        if self._own_terminal:
            print(f"crosstalk: {text}", file=sys.stderr, flush=True)
        self._send("crosstalk_problem", {"text": text})

    def on_spawning_complete(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.ramp_over()

    def on_test_stopping(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.stopping.set()

    def on_test_stop(self, **_: object) -> None:
        """Users have stopped.

        Locust's worker would go on to sleep for the length of the stop timeout, and answers of the master are unread
        meanwhile; each load test brings its own.
        """
        self.environment.stop_timeout = 0
        gevent.spawn(self.finish)  # not here: Locust goes on to handle messages, and acknowledgements are among them

    # --- is the master there? ---------------------------------------------------------------------------------------

    def _beat_for_ever(self) -> None:
        """Say that this worker is there and how much it has received; notice when nobody answers."""
        due_ns = clock.now_ns()
        while True:
            gevent.sleep(BEAT_S)
            now_ns = clock.now_ns()
            late_ns, due_ns = now_ns - due_ns - int(BEAT_S * 1e9), now_ns
            if late_ns > 1e9:  # it is this process that was away
                self._heard_ns += late_ns
            generator = self.generator
            if generator is None:
                continue
            silent_s = (now_ns - self._heard_ns) / 1e9
            if silent_s > SILENT_S and not self._silent:
                self._fall_silent(generator, silent_s)
            elif not self._silent:
                received = generator.counters.received
                said = {**introduction(), "at_ns": clock.now_ns(), "events_received": received}
                self._send("crosstalk_beat", said)

    def _fall_silent(self, generator: Generator, silent_s: float) -> None:
        self._silent = True
        self._silences.append({"began_ns": self._heard_ns, "silent_s": None, "batches_kept": generator.outbox.spilled})
        generator.outbox.hold()
        print(
            f"crosstalk: worker {generator.worker}: the master has not answered for {silent_s:.0f} s; load goes on, "
            f"and what is seen is kept in {generator.outbox.spill} until it answers",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def _hear(self) -> None:
        """The master said something."""
        before_ns, self._heard_ns = self._heard_ns, clock.now_ns()
        if not self._silent:
            return
        self._silent = False
        generator, silence = self.generator, self._silences[-1]
        silence["silent_s"] = round((self._heard_ns - before_ns) / 1e9, 3)
        if generator is None:
            return
        silence["batches_kept"] = generator.outbox.spilled - silence["batches_kept"]
        text = (
            f"worker {generator.worker}: the master answers again after {silence['silent_s']:.1f} s; "
            f"{silence['batches_kept']} batches were kept on disk and are handed over now"
        )
        if self._own_terminal:
            print(f"crosstalk: {text}", file=sys.stderr, flush=True)
        self._send("crosstalk_notice", {"text": text})
        generator.outbox.release()

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Stop users, hand over everything, wait until it is acknowledged. Works once a load test."""
        generator = self.generator
        if self._finishing:
            self._finished.wait(LONGEST_S)
            return
        if generator is None:
            if self._idle and self.begin is not None:
                self._send("crosstalk_done", {**NOTHING, "load_test": self.begin.load_test})
            return
        self._finishing = True
        generator.stopping.set()
        self.runner.stop()
        totals = {**generator.finish(), "silences": self._silences}
        self._hand_over(generator, totals)
        if self.generator is generator:
            self.generator = self.environment.crosstalk = None
        self._finished.set()

    def _hand_over(self, generator: Generator, totals: dict[str, Any]) -> None:
        """Until everything is acknowledged, or nothing was for `HAND_OVER_S`."""
        outbox, self._done_heard = generator.outbox, False
        self._send_done(generator, totals)
        last_ns = said_ns = clock.now_ns()
        while (outbox.unacknowledged or not self._done_heard) and clock.now_ns() - last_ns < HAND_OVER_S * 1e9:
            self._acknowledged.clear()
            if self._await_answer(0.5):
                last_ns = said_ns = clock.now_ns()
            elif clock.now_ns() - said_ns > PROBE_S * 1e9:
                said_ns = clock.now_ns()
                outbox.probe()
                self._send_done(generator, totals)
        if outbox.unacknowledged or outbox.dropped or not self._done_heard:
            outbox.give_up(self._final_word(generator, totals))
            self._say_what_is_left(generator)

    def _send_done(self, generator: Generator, totals: dict[str, Any]) -> None:
        self._send("crosstalk_done", {**self._final_word(generator, totals), "load_test": generator.begin.load_test})

    def _final_word(self, generator: Generator, totals: dict[str, Any]) -> dict[str, Any]:
        outbox = generator.outbox
        left = {"spilled_batches": outbox.spilled, "dropped_batches": outbox.dropped, "trouble": outbox.trouble}
        return {**totals, **left}

    def _say_what_is_left(self, generator: Generator) -> None:
        outbox, text = generator.outbox, ""
        if outbox.kept or not self._done_heard:
            text = (
                f"the master took no more: {outbox.kept} batches and the final word are in {outbox.spill.resolve()}; "
                f"on its host, take them in: python -m crosstalk.tools.absorb results/<id> {outbox.spill.name}"
            )
        if outbox.dropped:
            text += f" {outbox.dropped} batches are lost, the disk did not take them: {outbox.trouble}"
        print(f"crosstalk: worker {generator.worker}: {text.strip()}", file=sys.stderr, flush=True)

    def _await_answer(self, timeout_s: float) -> bool:
        """Wait for an acknowledgement; reads the messages itself where Locust has ended their reader."""
        readers = [g for g in self.runner.greenlet if getattr(getattr(g, "_run", None), "__name__", "") == "worker"]
        if any(not g.dead and g is not gevent.getcurrent() for g in readers):
            return bool(self._acknowledged.wait(timeout_s))
        message = None
        with gevent.Timeout(timeout_s, False):
            message = self.runner.client.recv()
        if message is not None:
            self.runner.handle_message(message)
        return bool(self._acknowledged.is_set())

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        try:
            index = f"w{self.runner.worker_index}"
            self.runner.send_message(kind, {**data, "worker": index, "pid": os.getpid()})
        except Exception as error:  # the master is gone: batches wait, and are kept at the end
            logger.warning("cannot reach the master: %s", error)
