"""The generator measures itself: how late its loop is, how late it reads, how much CPU it takes. One row a second."""

from __future__ import annotations

import os
from collections.abc import Callable

import gevent
import psutil

from crosstalk.clock import clock
from crosstalk.connection import Inbox
from crosstalk.record.batch import row
from crosstalk.record.rows import Row
from crosstalk.terms import Counters

TICK_S = 0.05
ROW_EVERY_S = 1.0


class Health:
    """Writes this process's figures through `record` once a second, until stopped."""

    def __init__(
        self,
        *,
        worker: str,
        role: str,
        inbox: Inbox | None,
        counters: Counters,
        people: Callable[[], tuple[int, int]],
        record: Callable[[str, Row], None],
    ) -> None:
        self._worker = worker
        self._role = role
        self._inbox = inbox
        self._counters = counters
        self._people = people
        self._record = record
        self._process = psutil.Process()
        self._cpu_s = self._cpu_used_s()
        self._cpu_percent = 0.0
        self._measured_ns = clock.now_ns()
        self._hub_lag_max_ns = 0
        self._next_row_ns = clock.now_ns() + int(ROW_EVERY_S * 1e9)
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Write the last row and end."""
        self._greenlet.kill()
        self.write()

    def _watch(self) -> None:
        while True:
            due_ns = clock.now_ns() + int(TICK_S * 1e9)
            gevent.sleep(TICK_S)
            now_ns = clock.now_ns()
            self._hub_lag_max_ns = max(self._hub_lag_max_ns, now_ns - due_ns)
            if now_ns >= self._next_row_ns:
                self._next_row_ns = now_ns + int(ROW_EVERY_S * 1e9)
                self.write()

    def write(self) -> None:
        lags_ns = sorted(self._inbox.take_lags()) if self._inbox else []
        users, connections = self._people()
        counters = self._counters
        with self._process.oneshot():
            self._record(
                "health",
                row(
                    "health",
                    worker=self._worker,
                    role=self._role,
                    at_ns=clock.now_ns(),
                    cpu_percent=self._cpu(),
                    rss_bytes=self._process.memory_info().rss,
                    open_files=_open_files(),
                    users=users,
                    connections=connections,
                    hub_lag_max_ns=self._hub_lag_max_ns,
                    receive_lag_p50_ns=_nearest(lags_ns, 0.5),
                    receive_lag_p99_ns=_nearest(lags_ns, 0.99),
                    receive_lag_max_ns=lags_ns[-1] if lags_ns else 0,
                    reads=len(lags_ns),
                    schedule_lag_max_ns=counters.schedule_lag_max_ns,
                    events_received=counters.received,
                    events_checked=counters.checked,
                    events_recorded=counters.recorded,
                    wall_drift_ns=clock.sample(),
                ),
            )
        self._hub_lag_max_ns = counters.schedule_lag_max_ns = 0

    def _cpu(self) -> float:
        """Percent of one processor since the last row; the last figure again where too little time went by."""
        now_ns, used_s = clock.now_ns(), self._cpu_used_s()
        elapsed_s = (now_ns - self._measured_ns) / 1e9
        if elapsed_s >= ROW_EVERY_S / 2:
            self._cpu_percent = 100 * (used_s - self._cpu_s) / elapsed_s
            self._cpu_s, self._measured_ns = used_s, now_ns
        return self._cpu_percent

    def _cpu_used_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def raise_file_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one: a socket a user."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _nearest(ordered: list[int], share: float) -> int:
    """Nearest-rank quantile; 0 for no samples."""
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000 * len(ordered)) // 1000) - 1))] if ordered else 0
