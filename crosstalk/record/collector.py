"""The master's end of the record: takes batches, writes parts in a thread of its own, and keeps the live view.

A batch is acknowledged when it is queued for writing, so a worker never waits for the disk. Imports numpy and pyarrow:
only the process that keeps the record imports this module, and not before the workers were forked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent.threadpool import ThreadPool

from crosstalk.checks.tally import Tally
from crosstalk.record.batch import Inlet
from crosstalk.record.columns import columns_of
from crosstalk.record.parts import RecordWriter
from crosstalk.record.rows import COLUMNS, Row


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

    def take(self, body: bytes) -> int:
        """Take an encoded batch; returns its number, to be acknowledged. The same batch twice counts once."""
        batch = self.inlet.take(body)
        if batch is None:
            return 0
        for table, rows in batch.tables.items():
            self.rows[table] += len(rows)
            self._pool.spawn(self._write, table, rows)
            self._look_at(table, rows)
        return batch.number

    def close(self, run: dict[str, Any]) -> None:
        """Write everything that is pending, and `run.json` last: its presence says that the record is whole."""
        self._pool.join()
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

    def _write(self, table: str, rows: list[Row]) -> None:
        try:
            self._writer.append(table, rows)
        except Exception as error:  # a full disk, or a value that its column cannot hold
            self.problems.append(f"{len(rows)} rows of {table} could not be written: {_why(error)}")

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
