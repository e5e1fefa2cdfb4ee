"""What the rows of `memory` add up to: bytes over time, by process and by whose they are."""

from __future__ import annotations

import numpy as np

from crosstalk.checks.columns import Columns
from crosstalk.checks.grown import Grown, Names


class MemoryTally:
    def __init__(self) -> None:
        self._workers: Names[str] = Names()
        self._groups: Names[str] = Names()
        self._files: Names[str] = Names()
        self._rows = Grown(worker=np.int64, group=np.int64, file=np.int64, at_ns=np.int64, bytes=np.int64)

    def add(self, columns: Columns) -> None:
        self._rows.add(
            worker=self._workers.numbers(columns["worker"]),
            group=self._groups.numbers(columns["group"]),
            file=self._files.numbers(columns["file"]),
            at_ns=columns["at_ns"],
            bytes=columns["bytes"],
        )

    def series(self, group: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By process: instants, and bytes of the group at each of them, in order."""
        return {worker: self._sums(self._of(worker, group)) for worker in sorted(self._workers.names())
                if self._of(worker, group).any()}  # fmt: skip

    def files(self, worker: str, group: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By file of a group: the same; an instant at which it held too little to be named is left out."""
        mine, numbers = self._of(worker, group), self._rows["file"]
        names = {name: self._files.number(name) for name in self._files.names()}
        return {name: self._sums(mine & (numbers == number)) for name, number in names.items()
                if bool(np.any(mine & (numbers == number)))}  # fmt: skip

    def _of(self, worker: str, group: str) -> np.ndarray:
        rows = self._rows
        chosen: np.ndarray = (rows["worker"] == self._workers.number(worker)) & (
            rows["group"] == self._groups.number(group)
        )
        return chosen

    def _sums(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, which = np.unique(self._rows["at_ns"][chosen], return_inverse=True)
        return at, np.bincount(which, weights=self._rows["bytes"][chosen].astype(float), minlength=len(at))
