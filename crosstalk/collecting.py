"""The hard part of the end: every worker's last batch, or the certainty that it will not come.

In `quitting`, and when Locust stops because its last worker went away, nobody reads the messages of workers any more;
then this reads them itself.
"""

from __future__ import annotations

from typing import Any

import gevent
from gevent.event import Event as Flag
from locust.runners import STATE_MISSING, MasterRunner

from crosstalk.clock import clock
from crosstalk.leftovers import CLEAN_UP_S
from crosstalk.load_test import LoadTest
from crosstalk.roll import HAND_OVER_S


def collect_from_workers(runner: MasterRunner, load_test: LoadTest, worker_done: Flag, stop_timeout_s: float) -> None:
    """Ask every worker to stop and hand over; wait for each one's last batch, or until it is known not to come."""
    for node in load_test.nodes if load_test.readiness.ready else ():
        runner.send_message("crosstalk_finish", {}, node)
    patience_ns = int(HAND_OVER_S * 1e9)
    deadline_ns = clock.now_ns() + int((stop_timeout_s + CLEAN_UP_S) * 1e9) + patience_ns
    received = -1
    while clock.now_ns() < deadline_ns and _is_awaited(runner, load_test):
        if _listener_is_dead(runner):
            _pump(runner)
        else:
            worker_done.clear()
            worker_done.wait(0.2)
        of_done = sum(
            load_test.collector.inlet.received(name) for name, one in load_test.workers.items() if "done" in one
        )
        if of_done > received:  # a long way, or much that was kept on a disk: it comes as long as it comes
            received, deadline_ns = of_done, max(deadline_ns, clock.now_ns() + patience_ns)
    _name_the_lost(load_test)


def _is_awaited(runner: MasterRunner, load_test: LoadTest) -> bool:
    """Is there a worker that may still hand something over?"""
    if not load_test.readiness.ready:
        return False
    named = {worker["node"] for worker in load_test.workers.values()}
    unheard = [runner.clients.get(node) for node in load_test.nodes - named]
    if any(client is not None and client.state != STATE_MISSING for client in unheard):
        return True
    return any(
        not _is_complete(load_test, name)
        and not load_test.roll.is_gone(name)
        and load_test.roll.silent_s(name) < HAND_OVER_S
        for name in load_test.workers
    )


def _is_complete(load_test: LoadTest, name: str) -> bool:
    worker = load_test.workers[name]
    return bool(worker.get("done")) and not load_test.collector.inlet.missing(name, worker["last_batch"])


def _name_the_lost(load_test: LoadTest) -> None:
    """What is not there, and will not come: by worker, in words."""
    if not load_test.readiness.ready:
        return
    for node in sorted(load_test.nodes - {worker["node"] for worker in load_test.workers.values()}):
        load_test.problems.append(f"worker {node} handed over nothing at all")
    recorded = load_test.collector.tally.runs.events_recorded()
    for name, worker in load_test.workers.items():
        if not worker.get("done"):
            last_batch = int(worker.get("last_batch", 0))
            text = load_test.roll.lost(name, recorded=recorded.get(name, 0), last_batch=last_batch)
            load_test.problems.append(text)


def _listener_is_dead(runner: MasterRunner) -> bool:
    """Does nobody read the workers' messages any more? Then it is for us to do."""
    current = gevent.getcurrent()
    listeners = [g for g in runner.greenlet if _name_of(g) == "client_listener"]
    return not any(g is not current and not g.dead for g in listeners)


def _pump(runner: MasterRunner) -> None:
    came = None
    with gevent.Timeout(0.2, False):
        came = runner.server.recv_from_client()
    if came is not None:  # what it leads to is not cut short
        runner.handle_message(*came)


def _name_of(greenlet: Any) -> str:
    return str(getattr(getattr(greenlet, "_run", None), "__name__", ""))
