"""Rows on their way from a worker to the record: gathered in numbered batches, handed over, acknowledged.

`Outbox` is the worker's end. A batch is kept until the master has acknowledged it; when more than `WINDOW` wait, the
worker spills further batches to its own disk and says so. `Inlet` is the master's end: it takes each batch once, in any
order, and knows which are missing. Both are pure but for the spill file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from crosstalk.record.rows import COLUMNS, TABLES, Row

#: a batch is handed over when it holds this much, or when its time has come
BATCH_BYTES = 256 * 1024
#: unacknowledged batches that a worker keeps in memory
WINDOW = 64
#: a rough size of one row, to bound a batch without serialising twice
_ROW_BYTES = 260


def row(table: str, **values: Any) -> Row:
    """A row in the order of its table's columns.

    :raises TypeError: a column is missing or unknown: a mistake of ours.
    """
    columns = COLUMNS[table]
    if len(values) == len(columns):
        try:
            return tuple(values[column] for column in columns)
        except KeyError:
            pass
    raise TypeError(f"row of {table}: missing or unknown columns {sorted(set(columns) ^ values.keys())}")


@dataclass(slots=True)
class Outbox:
    """The worker's end.

    :param send: hands one encoded batch over (a message to the master, or a direct call); it may be lost, never raise.
    :param spill: where batches go when the master does not answer.
    """

    worker: str
    send: Callable[[int, bytes], None]
    spill: Path
    spilled: int = 0
    number: int = 0
    rows_recorded: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    _rows: dict[str, list[Row]] = field(default_factory=dict)
    _size: int = 0
    _waiting: dict[int, bytes] = field(default_factory=dict)

    def add(self, table: str, values: Row) -> None:
        self._rows.setdefault(table, []).append(values)
        self.rows_recorded[table] += 1
        self._size += _ROW_BYTES if table != "frames" else 4 * _ROW_BYTES
        if self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been gathered."""
        if not self._rows:
            return
        self.number += 1
        body = orjson.dumps({"worker": self.worker, "number": self.number, "tables": self._rows})
        self._rows, self._size = {}, 0
        if len(self._waiting) >= WINDOW:
            self._spill(body)
            return
        self._waiting[self.number] = body
        self.send(self.number, body)

    def acknowledge(self, number: int) -> None:
        self._waiting.pop(number, None)

    def resend(self) -> None:
        """Hand over again whatever was not acknowledged; the other end takes each batch once."""
        for number, body in list(self._waiting.items()):
            self.send(number, body)

    @property
    def unacknowledged(self) -> int:
        return len(self._waiting)

    def give_up(self) -> None:
        """The master does not answer any more: keep what it did not acknowledge on this worker's disk."""
        for body in self._waiting.values():
            self._spill(body)
        self._waiting = {}

    def _spill(self, body: bytes) -> None:
        self.spill.parent.mkdir(parents=True, exist_ok=True)
        with self.spill.open("ab") as file:
            file.write(body + b"\n")
        self.spilled += 1


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: table → rows."""

    worker: str
    number: int
    tables: dict[str, list[Row]]


@dataclass(slots=True)
class Inlet:
    """The master's end: which batches of which worker are here."""

    _taken: dict[str, set[int]] = field(default_factory=dict)

    def take(self, body: bytes) -> Batch | None:
        """The batch; None when it was taken before."""
        content = orjson.loads(body)
        worker, number = str(content["worker"]), int(content["number"])
        taken = self._taken.setdefault(worker, set())
        if number in taken:
            return None
        taken.add(number)
        return Batch(worker, number, {table: rows for table, rows in content["tables"].items() if table in TABLES})

    def missing(self, worker: str, last: int) -> list[int]:
        """Numbers up to `last` that never came."""
        taken = self._taken.get(worker, set())
        return [number for number in range(1, last + 1) if number not in taken]

    def received(self, worker: str) -> int:
        return len(self._taken.get(worker, ()))
