"""The hard part of the end: every worker's last batch, or the certainty that it will not come.

In `quitting`, and when Locust stops because its last worker went away, nobody reads the messages of workers any more;
then this reads them itself.
"""

from __future__ import annotations

import socket
from typing import Any

import gevent
from gevent.event import Event as Flag
from locust.runners import MasterRunner

from crosstalk.clock import clock
from crosstalk.load_test import LoadTest
from crosstalk.processes import is_running
from crosstalk.worker import HAND_OVER_S


def collect_from_workers(runner: MasterRunner, load_test: LoadTest, worker_done: Flag, stop_timeout_s: float) -> None:
    """Ask every worker to stop and hand over; wait for each one's last batch, or until it is known to be dead."""
    waiting = set(load_test.nodes) if load_test.readiness.ready else set()
    for node in waiting:
        runner.send_message("crosstalk_finish", {}, node)
    deadline_ns = clock.now_ns() + int((stop_timeout_s + HAND_OVER_S) * 1e9)
    listener_dead = _listener_is_dead(runner)
    while clock.now_ns() < deadline_ns:
        waiting -= {worker["node"] for worker in load_test.workers.values() if worker.get("done")}
        waiting -= {node for node in waiting if _is_dead(runner, load_test, node)}
        if not waiting and not _incomplete(load_test):
            break
        if listener_dead:
            _pump(runner)
        else:
            worker_done.clear()
            worker_done.wait(0.2)
    named = {worker.get("node") for worker in load_test.workers.values()}
    if load_test.readiness.ready:
        for node in sorted(load_test.nodes - named):
            load_test.problems.append(f"worker {node} handed over nothing at all")
    for name, worker in load_test.workers.items():
        if "node" in worker and not worker.get("done"):
            worker["lost"] = True
            load_test.problems.append(f"worker {name} (pid {worker.get('pid')}) did not hand over its last batch")


def _is_dead(runner: MasterRunner, load_test: LoadTest, node: str) -> bool:
    """Locust calls a silent worker missing; one of this machine whose process is gone needs no waiting for."""
    client = runner.clients.get(node)
    if client is not None and client.state == "missing":
        return True
    pids = [int(worker["pid"]) for worker in load_test.workers.values() if worker.get("node") == node]
    here = node.rpartition("_")[0] == socket.gethostname()
    return here and any(not is_running(pid) for pid in pids)


def _incomplete(load_test: LoadTest) -> bool:
    return any(
        worker.get("done") and load_test.collector.inlet.missing(name, worker["last_batch"])
        for name, worker in load_test.workers.items()
        if "node" in worker
    )


def _listener_is_dead(runner: MasterRunner) -> bool:
    """Does nobody read the workers' messages any more? Then it is for us to do."""
    current = gevent.getcurrent()
    listeners = [g for g in runner.greenlet if _name_of(g) == "client_listener"]
    return not any(g is not current and not g.dead for g in listeners)


def _pump(runner: MasterRunner) -> None:
    with gevent.Timeout(0.2, False):
        client_id, message = runner.server.recv_from_client()
        runner.handle_message(client_id, message)


def _name_of(greenlet: Any) -> str:
    return str(getattr(getattr(greenlet, "_run", None), "__name__", ""))
