"""A worker's side of a load test: generates load until it is told to finish, then hands everything over."""

from __future__ import annotations

import logging
import os
from typing import Any

import gevent
from gevent.event import Event as Flag
from locust.runners import WorkerRunner

from crosstalk.clock import clock, retie
from crosstalk.config import ConfigError, load_settings
from crosstalk.generator import Begin, Generator
from crosstalk.processes import die_with_parent, ignore_interrupt

logger = logging.getLogger("crosstalk")

#: how long a worker may take, beyond the stop timeout, to hand over its last batch
HAND_OVER_S = 15.0


class Worker:
    """Listens to Locust's events and to the messages of the master."""

    def __init__(self, environment: Any, runner: WorkerRunner) -> None:
        self.environment = environment
        self.runner = runner
        self.begin: Begin | None = None
        self.generator: Generator | None = None
        self._acknowledged = Flag()
        self._finished = Flag()
        self._finishing = False

    def listen(self) -> None:
        retie()
        forked = die_with_parent()
        if forked:
            ignore_interrupt()  # the master decides when a forked worker ends
        register, events = self.runner.register_message, self.environment.events
        register("crosstalk_begin", self.on_begin)
        register("crosstalk_lease", self.on_lease)
        register("crosstalk_ack", self.on_ack)
        register("crosstalk_keep", self.on_keep)
        register("crosstalk_ids", self.on_ids)
        register("crosstalk_finish", self.on_finish, concurrent=True)
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self.on_test_stopping)
        # not within the listener: Locust goes on to handle messages, and acknowledgements are among them
        events.test_stop.add_listener(lambda **_: gevent.spawn(self.finish))
        events.spawning_complete.add_listener(self.on_spawning_complete)
        events.quitting.add_listener(lambda **_: self.finish())
        events.crosstalk_problem.add_listener(lambda text: self._send("crosstalk_problem", {"text": text}))

    def on_begin(self, msg: Any, **_: object) -> None:
        self.begin = Begin(**msg.data)

    def on_test_start(self, **_: object) -> None:
        if self.begin is None:
            text = "was told to start before it was told what: is the master a Crosstalk one too?"
            logger.error("this worker %s", text)
            self._send("crosstalk_problem", {"text": f"worker w{self.runner.worker_index} {text}"})
            return
        self._finished.clear()
        self._finishing = False
        try:
            self.generator = self.environment.crosstalk = Generator(
                settings=load_settings(self.environment.parsed_options),
                begin=self.begin,
                fire_request=self.environment.events.request.fire,
                worker=f"w{self.runner.worker_index}",
                role="worker",
                send=lambda number, body: self._send("crosstalk_batch", {"number": number, "body": body}),
                ask=lambda wanted: self._send("crosstalk_lease", {"wanted": wanted}),
            )
        except ConfigError as problem:
            self._send("crosstalk_problem", {"text": str(problem)})
        except Exception as error:  # whatever it is, this worker generates nothing, and the verdict must know
            logger.exception("this worker could not begin")
            text = f"worker w{self.runner.worker_index} could not begin: {type(error).__name__}: {error}"
            self._send("crosstalk_problem", {"text": text})

    def on_lease(self, msg: Any, **_: object) -> None:
        if self.generator is not None:
            self.generator.purse.put(msg.data["first"], msg.data["count"])

    def on_ack(self, msg: Any, **_: object) -> None:
        if self.generator is not None:
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

    def on_spawning_complete(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.ramp_over()

    def on_test_stopping(self, **_: object) -> None:
        if self.generator is not None:
            self.generator.stopping.set()

    def on_finish(self, **_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Stop users, hand over everything, wait until it is acknowledged. Works once a load test.

        After a stop in the web UI, Locust's worker reads no message for the length of the stop timeout.
        """
        generator = self.generator
        if self._finishing or generator is None:
            self._finished.wait(HAND_OVER_S)
            return
        self._finishing = True
        generator.stopping.set()
        self.runner.stop()
        totals = generator.finish()
        self._send("crosstalk_done", totals)
        deadline_ns = clock.now_ns() + int((self.environment.stop_timeout + HAND_OVER_S) * 1e9)
        while generator.outbox.unacknowledged and clock.now_ns() < deadline_ns:
            self._acknowledged.clear()
            if not self._acknowledged.wait(2.0):
                generator.outbox.resend()
                self._send("crosstalk_done", totals)
        generator.outbox.give_up()
        if self.generator is generator:
            self.generator = self.environment.crosstalk = None
        self._finished.set()

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        try:
            self.runner.send_message(kind, {**data, "worker": f"w{self.runner.worker_index}", "pid": os.getpid()})
        except Exception as error:  # the master is gone: batches wait, and are spilled at the end
            logger.warning("cannot reach the master: %s", error)
