"""The master's end of the record: takes batches, writes parts in a thread of its own, and keeps the live view.

A batch is acknowledged when it is queued for writing, so a worker never waits for the disk; and taking one never waits
for anything: who hands it over may be killed while it waits, and half a batch would be lost. Imports numpy and pyarrow:
only the process that keeps the record imports this module, and not before the workers were forked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.queue import SimpleQueue
from gevent.threadpool import ThreadPool

from crosstalk.checks.tally import Tally
from crosstalk.record.batch import Inlet
from crosstalk.record.columns import coded_of, columns_of
from crosstalk.record.parts import RecordWriter
from crosstalk.record.rows import COLUMNS, Row

#: a table, what appends to it, and with which arguments; the last one is the rows
_Job = tuple[str, Callable[..., None], tuple[Any, ...]]


class Collector:
    """Keeps the record of one load test.

    :param folder: the record's folder; made when it is not there.
    :param on_violation: called with each violation row (as a dict) when its batch arrives.
    """

    def __init__(self, folder: Path, on_violation: Callable[[dict[str, Any]], None]) -> None:
        self.tally = Tally()
        self.outcomes: Counter[str] = Counter()
        self.violations = 0
        self.rows: Counter[str] = Counter()
        self.problems: list[str] = []
        self.told: list[tuple[str, str]] = []  # ids that servers chose, and their accounts, since somebody took them
        self.inlet = Inlet()
        self._on_violation = on_violation
        self._writer = RecordWriter(folder)
        self._pool = ThreadPool(1)  # one thread: parts are written in order
        self._queue: SimpleQueue[list[_Job] | None] = SimpleQueue()  # None: nothing comes any more
        self._queued = gevent.spawn(self._write_queued)

    def take(self, body: bytes) -> int:
        """Take an encoded batch; returns its number, to be acknowledged. The same batch twice counts once."""
        batch = self.inlet.take(body)
        if batch is None:
            return 0
        jobs: list[_Job] = [(table, self._writer.append, (table, rows)) for table, rows in batch.tables.items()]
        events = coded_of(batch.events) if batch.events is not None else None
        if events is not None:
            jobs.append(("events", self._writer.append_events, (events,)))
        self._queue.put(jobs)
        for table, rows in batch.tables.items():
            self.rows[table] += len(rows)
            self._look_at(table, rows)
        if events is not None:
            self.rows["events"] += len(events)
            self.tally.add_events(events)
        return batch.number

    def close(self, run: dict[str, Any]) -> None:
        """Write everything that is pending, and `run.json` last: its presence says that the record is whole."""
        self._queue.put(None)
        self._queued.join()
        self._pool.apply(self._finish, (run,))
        self._pool.kill()

    def _look_at(self, table: str, rows: list[Row]) -> None:
        if table in ("frames",):
            return
        self.tally.add(table, columns_of(table, rows))
        if table == "runs":
            at = COLUMNS["runs"].index("outcome")
            self.outcomes.update(str(row[at]) for row in rows)
        elif table == "ids":
            account, wire_id = COLUMNS["ids"].index("account"), COLUMNS["ids"].index("id")
            self.told += [(str(row[wire_id]), str(row[account])) for row in rows]
        elif table == "violations":
            self.violations += len(rows)
            for row in rows:
                self._on_violation(dict(zip(COLUMNS["violations"], row, strict=True)))

    def _write_queued(self) -> None:
        """Hand what was taken to the thread, batch by batch: this greenlet is nobody's, and waits for the disk."""
        for jobs in iter(self._queue.get, None):
            self._pool.apply(self._write, (jobs,))

    def _write(self, jobs: list[_Job]) -> None:
        for table, append, what in jobs:
            try:
                append(*what)
            except Exception as error:  # a full disk, or a value that its column cannot hold
                self.problems.append(f"{len(what[-1])} rows of {table} could not be written: {_why(error)}")

    def _finish(self, run: dict[str, Any]) -> None:
        try:
            self._writer.flush()
        except Exception as error:
            self.problems.append(f"the record could not be written in full: {_why(error)}")
        for table, n in self.rows.items():
            written = self._writer.rows_written[table]
            if written != n:
                self.problems.append(f"{n} rows of {table} came, {written} are in the record")
        run["problems"] = [*run.get("problems", []), *self.problems]
        self._writer.write_run(run)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
