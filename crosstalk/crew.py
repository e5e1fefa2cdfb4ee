"""The master's dealings with its workers: who may take part, what they hand over, and that they are still there.

What is said while a load test is on is kept in its roll (roll.py) and its record; its end is in collecting.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gevent.event import Event as Flag
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner

from crosstalk.collecting import collect_from_workers
from crosstalk.load_test import LoadTest
from crosstalk.roll import VERSION, terms


class Crew:
    """Listens to the messages of workers.

    :param current: the load test that is on, and not about to finish.
    :param on_problem: takes what makes the verdict unknown, in words.
    """

    def __init__(
        self, runner: MasterRunner, current: Callable[[], LoadTest | None], on_problem: Callable[[str], None]
    ) -> None:
        self._runner = runner
        self._current = current
        self._on_problem = on_problem
        self._load_test: LoadTest | None = None  # the one whose rows still come, when it is about to finish too
        self._known: dict[str, dict[str, Any]] = {}  # by node: how workers introduced themselves
        self._done = Flag()

    def listen(self, events: Any) -> None:
        register = self._runner.register_message
        register("crosstalk_hello", self._on_hello)
        register("crosstalk_beat", self._on_beat)
        register("crosstalk_batch", self._on_batch)
        register("crosstalk_lease", self._on_lease)
        register("crosstalk_done", self._on_done)
        register("crosstalk_notice", self._on_notice)
        register("crosstalk_problem", lambda msg, **_: self._on_problem(msg.data["text"]))
        events.worker_connect.add_listener(lambda client_id, **_: self._invite(client_id))

    def begin(self, load_test: LoadTest) -> None:
        """Tell all workers what is about to begin."""
        self._load_test = load_test
        for client in self._runner.clients.all:
            self._invite(client.id)

    def finish(self, load_test: LoadTest, stop_timeout_s: float) -> None:
        """Everything that workers have, or the certainty that it will not come; see collecting.py."""
        try:
            collect_from_workers(self._runner, load_test, self._done, stop_timeout_s)
        finally:
            self._load_test = None

    def look(self, load_test: LoadTest) -> None:
        """Called about once a second: say who is gone, silent or back."""
        for change in load_test.roll.look():
            _say(change)

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """To all workers."""
        self._runner.send_message(kind, data)

    # --- messages of workers ----------------------------------------------------------------------------------------

    def _invite(self, node: str) -> None:
        """Tell a worker what to begin; also one that joins in mid-run. Saying it twice does no harm."""
        load_test = self._current()
        if load_test is None:
            return
        load_test.nodes.add(node)
        if node in self._known:
            load_test.roll.heard(self._known[node], node)
        content = {"begin": load_test.begin.as_message(), **terms(load_test.settings)}
        self._runner.send_message("crosstalk_begin", content, node)

    def _on_hello(self, msg: Any, **_: object) -> None:
        data, node = msg.data, msg.node_id
        if data["version"] != VERSION:
            self._refuse(data, node)
            return
        self._known[node] = data
        self._invite(node)

    def _refuse(self, data: dict[str, Any], node: str) -> None:
        """Another version counts, splits or names otherwise: none of its rows could be compared."""
        text = (
            f"the worker on {data['host']} (pid {data['pid']}) is version {data['version']}, this master {VERSION}: "
            "it is refused; install the same version on all hosts"
        )
        _say(text)
        self._runner.send_message("crosstalk_refuse", {"text": text}, node)
        if self._runner.state not in (STATE_SPAWNING, STATE_RUNNING) and node in self._runner.clients:
            del self._runner.clients[node]  # not to be counted among those that are ready

    def _on_beat(self, msg: Any, **_: object) -> None:
        if self._load_test is not None:
            self._load_test.roll.heard(msg.data, msg.node_id)

    def _on_batch(self, msg: Any, **_: object) -> None:
        load_test = self._load_test
        if load_test is not None and msg.data["load_test"] == load_test.begin.load_test:
            worker = load_test.roll.heard(msg.data, msg.node_id)
            worker["last_batch"] = max(int(worker.get("last_batch", 0)), msg.data["number"])
            load_test.take_batch(msg.data["body"])
            self._runner.send_message("crosstalk_ack", {"number": msg.data["number"]}, msg.node_id)

    def _on_lease(self, msg: Any, **_: object) -> None:
        if self._load_test is not None:
            self._load_test.roll.heard(msg.data, msg.node_id)
            first, count = self._load_test.leases.lease(msg.data["wanted"])
            self._runner.send_message("crosstalk_lease", {"first": first, "count": count}, msg.node_id)

    def _on_done(self, msg: Any, **_: object) -> None:
        load_test = self._load_test
        if load_test is None or msg.data["load_test"] != load_test.begin.load_test:
            return
        worker = load_test.roll.heard(msg.data, msg.node_id)
        if not worker.get("done") and self._runner.state in (STATE_SPAWNING, STATE_RUNNING):
            self._on_problem(
                f"{load_test.roll.named(msg.data['worker'])} left {load_test.elapsed_s:.1f} s after the begin, and its "
                "users with it"
            )
        told = {
            name: value for name, value in msg.data.items() if name not in ("load_test", "place", "host", "version")
        }
        worker.update({**told, "done": True})
        self._runner.send_message("crosstalk_ack", {"number": 0}, msg.node_id)
        self._done.set()

    def _on_notice(self, msg: Any, **_: object) -> None:
        _say(msg.data["text"])


def _say(text: str) -> None:
    print(f"crosstalk: {text}", file=sys.stderr, flush=True)
