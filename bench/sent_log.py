"""What the sender wrote when: of each measured event its run, its place in it, and the instants around its write."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]


@dataclass(slots=True)
class SentLog:
    """A row for each write of measured events: run, first event (0-based), how many, before and after the write."""

    runs: list[str] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))

    def new_run(self, run_id: str) -> int:
        self.runs.append(run_id)
        return len(self.runs) - 1

    def add(self, run: int, first: int, count: int, sent_ns: int, written_ns: int) -> None:
        self.rows.extend((run, first, count, sent_ns, written_ns))

    def write(self, file: Path) -> None:
        rows = np.array(self.rows, dtype=np.int64).reshape(-1, 5)
        np.savez(file, runs=np.array(self.runs, dtype=np.str_), rows=rows)


@dataclass(frozen=True, slots=True)
class Sent:
    """One entry an event: index of its run in `runs`, 1-based place in it, and the wall clock around its write, in ns.

    The kernel had the event at some instant between `sent_ns` and `written_ns`, as loopback delivers within a write.
    """

    runs: dict[str, int]
    run: Column
    n: Column
    sent_ns: Column
    written_ns: Column


def read(file: Path) -> Sent:
    """A log that was written earlier, one entry an event."""
    with np.load(file) as found:
        runs, rows = found["runs"], found["rows"]
    counts = rows[:, 2]
    index = np.repeat(np.arange(len(rows)), counts)
    place = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    spread = rows[index]
    return Sent(
        {str(run): number for number, run in enumerate(runs)},
        spread[:, 0], spread[:, 1] + place + 1, spread[:, 3], spread[:, 4],
    )  # fmt: skip
