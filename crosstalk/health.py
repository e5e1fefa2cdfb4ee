"""The generator measures itself: how late its loop is and why, how late it reads, what it takes. One row a second."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from crosstalk.clock import clock
from crosstalk.connection import Inbox
from crosstalk.record.batch import row
from crosstalk.record.rows import Row
from crosstalk.terms import Counters
from crosstalk.vitals import Spent, Vitals, file_limit

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
        self._vitals = Vitals()
        self._spent = self._row_spent = self._vitals.spent()  # at the last tick; at the last figure of the CPU
        self._cpu_percent = 0.0
        self._measured_ns = clock.now_ns()
        self._waited_ns = self._spent.run_delay_ns
        self._hub_lag_max_ns = 0
        self._in_hub_lag = self._spent.since(self._spent)
        self._next_row_ns = clock.now_ns() + int(ROW_EVERY_S * 1e9)
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Write the last row and end."""
        self._greenlet.kill()
        self.write()
        self._vitals.close()

    def _watch(self) -> None:
        while True:
            due_ns = clock.now_ns() + int(TICK_S * 1e9)
            gevent.sleep(TICK_S)
            now_ns = clock.now_ns()
            clock.check()
            self._note_lag(now_ns - due_ns)
            if now_ns >= self._next_row_ns:
                self._next_row_ns = now_ns + int(ROW_EVERY_S * 1e9)
                self.write()

    def _note_lag(self, lag_ns: int) -> None:
        """Of the worst lag since the last row, what this process did meanwhile is kept too: it tells why."""
        spent = self._vitals.spent()
        if lag_ns > self._hub_lag_max_ns:
            self._hub_lag_max_ns, self._in_hub_lag = lag_ns, spent.since(self._spent)
        self._spent = spent

    def write(self) -> None:
        lags_ns = sorted(self._inbox.take_lags()) if self._inbox else []
        users, connections = self._people()
        counters, vitals, worst = self._counters, self._vitals, self._in_hub_lag
        drift_ns = clock.sample()
        pauses, pauses_ns, pause_max_ns = vitals.pauses.take()
        spent = vitals.spent()
        self._record(
            "health",
            row(
                "health",
                worker=self._worker,
                role=self._role,
                at_ns=clock.now_ns(),
                cpu_percent=self._cpu(spent),
                rss_bytes=vitals.rss_bytes(),
                open_files=vitals.open_files(),
                open_files_limit=file_limit(),
                users=users,
                connections=connections,
                hub_lag_max_ns=self._hub_lag_max_ns,
                hub_lag_loop_ns=worst.loop_ns,
                hub_lag_threads_ns=worst.threads_ns,
                hub_lag_run_delay_ns=worst.run_delay_ns,
                hub_lag_gc_ns=worst.gc_ns,
                run_delay_ns=self._run_delay(spent),
                gc_pauses=pauses,
                gc_pause_total_ns=pauses_ns,
                gc_pause_max_ns=pause_max_ns,
                receive_lag_p50_ns=_nearest(lags_ns, 0.5),
                receive_lag_p99_ns=_nearest(lags_ns, 0.99),
                receive_lag_max_ns=lags_ns[-1] if lags_ns else 0,
                reads=len(lags_ns),
                schedule_lag_max_ns=counters.schedule_lag_max_ns,
                events_received=counters.received,
                events_checked=counters.checked,
                events_recorded=counters.recorded,
                wall_drift_ns=drift_ns,
                wall_step_max_ns=clock.take_step_max(),
            ),
        )
        self._hub_lag_max_ns = counters.schedule_lag_max_ns = 0
        self._in_hub_lag = spent.since(spent)

    def _cpu(self, spent: Spent) -> float:
        """Percent of one processor since the last row; the last figure again where too little time went by."""
        now_ns = clock.now_ns()
        elapsed_ns = now_ns - self._measured_ns
        if elapsed_ns >= ROW_EVERY_S * 1e9 / 2:
            self._cpu_percent = 100 * spent.since(self._row_spent).process_ns / elapsed_ns
            self._row_spent, self._measured_ns = spent, now_ns
        return self._cpu_percent

    def _run_delay(self, spent: Spent) -> int | None:
        """How long the loop waited for a processor since the last row."""
        before, self._waited_ns = self._waited_ns, spent.run_delay_ns
        return None if before is None or spent.run_delay_ns is None else spent.run_delay_ns - before


def _nearest(ordered: list[int], share: float) -> int:
    """Nearest-rank quantile; 0 for no samples."""
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000 * len(ordered)) // 1000) - 1))] if ordered else 0
