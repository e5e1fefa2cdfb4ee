"""Rows on their way from a worker to the record: gathered in numbered batches, handed over, acknowledged.

`Outbox` is the worker's end. A batch is kept until the master has acknowledged it; while more than `WINDOW` wait, or
the master is silent, further batches go to the worker's own disk, and are handed over from there once it answers.
`Inlet` is the master's end: it takes each batch once, in any order, and knows which are missing. Both are pure but for
that file.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from crosstalk.checks.canary import load_test_name
from crosstalk.record.event_log import EventLog, Logged
from crosstalk.record.rows import COLUMNS, TABLES, Row

#: a batch is handed over when it holds this much, or when its time has come
BATCH_BYTES = 256 * 1024
#: unacknowledged batches that a worker keeps in memory
WINDOW = 64
#: a rough size of one row, to bound a batch without serialising twice
_ROW_BYTES = 260
#: takes a row's values, by column, in the order of their table
_IN_ORDER: dict[str, Callable[[dict[str, Any]], Row]] = {
    table: itemgetter(*columns) for table, columns in COLUMNS.items()
}


def row(table: str, **values: Any) -> Row:
    """A row in the order of its table's columns.

    :raises TypeError: a column is missing or unknown: a mistake of ours.
    """
    columns = COLUMNS[table]
    if len(values) == len(columns):
        try:
            return _IN_ORDER[table](values)
        except KeyError:
            pass
    raise TypeError(f"row of {table}: missing or unknown columns {sorted(set(columns) ^ values.keys())}")


@dataclass(slots=True)
class _Sent:
    """A batch under way. Sendings are counted, so that an answer tells which of the others must have been lost."""

    body: bytes
    first: int
    last: int


class Outbox:
    """The worker's end.

    :param send: hands one encoded batch over (a message to the master, or a direct call); it may be lost, never raise.
    :param spill: where batches go when the master does not answer. Gone again when all of them were handed over.

    `spilled`: batches that went to disk, of those that could not be sent at once. `dropped`: batches that the disk did
    not take either; `trouble` says why.
    """

    def __init__(self, worker: str, send: Callable[[int, bytes], None], spill: Path) -> None:
        self.worker = worker
        self.send = send
        self.spill = spill
        self.spilled = self.dropped = self.number = 0
        self.trouble = ""
        self.rows_recorded: dict[str, int] = dict.fromkeys(TABLES, 0)
        self._rows: dict[str, list[Row]] = {}
        self._size = 0
        self._waiting: dict[int, _Sent] = {}
        self._sendings = 0
        self._on_disk: deque[tuple[int, int, int]] = deque()  # number, offset and length in the file
        self._held = self._has_file = False
        # what is on its way into the table of that name, which `add` does not take
        self.events = EventLog(worker, self.flush)

    def add(self, table: str, values: Row) -> None:
        self._rows.setdefault(table, []).append(values)
        self.rows_recorded[table] += 1
        self._size += _ROW_BYTES if table != "frames" else 4 * _ROW_BYTES
        if self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been gathered; batches leave in the order of their numbers."""
        events = self.events.take()
        if not self._rows and events is None:
            return
        self.number += 1
        content = {"worker": self.worker, "number": self.number, "tables": self._rows}
        if events is not None:
            content["events"] = events.encoded()
            self.rows_recorded["events"] += len(events)
        body = orjson.dumps(content)
        self._rows, self._size = {}, 0
        if self._held or len(self._waiting) >= WINDOW:
            self._keep(self.number, body)
        else:
            self._send(self.number, body)

    def acknowledge(self, number: int) -> None:
        """The master has this batch, so it answers. What was sent before it and was not acknowledged is lost: the line
        keeps the order. It is sent again, then what waits on the disk, as far as the window goes."""
        answered = self._waiting.pop(number, None)
        if answered is None:
            return
        for other, sent in list(self._waiting.items()):
            if sent.last < answered.first:
                self._send(other, sent.body)
        self.release()
        if self._has_file and not self.unacknowledged:  # not before: this process may still be killed
            self.spill.unlink(missing_ok=True)
            self._has_file = False

    def hold(self) -> None:
        """The master is silent: until it answers, further batches go straight to the disk."""
        self._held = True

    def release(self) -> None:
        """The master answers: hand over what waits on the disk, as far as the window goes."""
        self._held = False
        while self._on_disk and len(self._waiting) < WINDOW:
            number, offset, length = self._on_disk[0]
            try:
                with self.spill.open("rb") as file:
                    file.seek(offset)
                    body = file.read(length)
            except OSError as error:
                self.trouble = error.strerror or str(error)
                return
            self._on_disk.popleft()
            self._send(number, body)

    def probe(self) -> None:
        """Send the oldest batch again that was not acknowledged; its answer tells what became of the others."""
        if self._waiting:
            number = min(self._waiting)
            self._send(number, self._waiting[number].body)

    @property
    def unacknowledged(self) -> int:
        """Batches that the master does not have, as far as is known: under way, or on this worker's disk."""
        return len(self._waiting) + len(self._on_disk)

    @property
    def kept(self) -> int:
        """Batches that are on this worker's disk now."""
        return len(self._on_disk)

    def give_up(self, final: dict[str, Any]) -> None:
        """The master does not answer any more: keep what it did not acknowledge on this worker's disk.

        :param final: this worker's final word; kept there too, as the last line.
        """
        waiting, self._waiting = self._waiting, {}
        for number, sent in waiting.items():
            self._keep(number, sent.body)
        try:
            self.spill.parent.mkdir(parents=True, exist_ok=True)
            append(self.spill, orjson.dumps({"worker": self.worker, "number": 0, "final": final}) + b"\n")
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def _send(self, number: int, body: bytes) -> None:
        self._sendings += 1
        sent = self._waiting.get(number)
        if sent is None:
            self._waiting[number] = _Sent(body, self._sendings, self._sendings)
        else:
            sent.last = self._sendings
        self.send(number, body)

    def _keep(self, number: int, body: bytes) -> None:
        try:
            self.spill.parent.mkdir(parents=True, exist_ok=True)
            offset = append(self.spill, body + b"\n")
        except OSError as error:  # a full disk must not end a user, in whose name rows are added
            self.dropped += 1
            self.trouble = error.strerror or str(error)
            return
        self._has_file = True
        self._on_disk.append((number, offset, len(body)))
        self.spilled += 1


def spill_name(load_test: int, worker: str) -> str:
    """Of the file in which a worker keeps what the master did not take."""
    return f"spill-{load_test_name(load_test)}-{worker}.jsonl"


def append(path: Path, data: bytes) -> int:
    """Append all of it or nothing; returns where it begins.

    :raises OSError: the disk did not take it.
    """
    with path.open("ab", buffering=0) as file:
        offset = file.seek(0, os.SEEK_END)
        try:
            written = file.write(data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(offset)
            raise
    return offset


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: table → rows, and the events."""

    worker: str
    number: int
    tables: dict[str, list[Row]]
    events: Logged | None = None


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
        tables = {table: rows for table, rows in content["tables"].items() if table in TABLES}
        events = content.get("events")
        return Batch(worker, number, tables, Logged.decoded(worker, events) if events is not None else None)

    def missing(self, worker: str, last: int) -> list[int]:
        """Numbers up to `last` that never came."""
        taken = self._taken.get(worker, set())
        return [number for number in range(1, last + 1) if number not in taken]

    def received(self, worker: str) -> int:
        return len(self._taken.get(worker, ()))

    def ranges(self, worker: str) -> list[list[int]]:
        """Numbers that came, as [first, last] of each unbroken run of them, ascending."""
        found: list[list[int]] = []
        for number in sorted(self._taken.get(worker, ())):
            if found and found[-1][1] == number - 1:
                found[-1][1] = number
            else:
                found.append([number, number])
        return found

    def know(self, worker: str, ranges: list[list[int]]) -> None:
        """Count batches as taken that came before, as `ranges` told them."""
        taken = self._taken.setdefault(worker, set())
        for first, last in ranges:
            taken.update(range(first, last + 1))
