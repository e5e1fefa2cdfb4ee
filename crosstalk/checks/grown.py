"""Arrays that grow piece by piece, and names turned into small numbers: what the tally keeps its rows in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)


class Grown:
    """Parallel arrays of equal length. A piece is kept as it came; pieces are joined when a column is first read."""

    def __init__(self, **dtypes: type) -> None:
        self._dtypes = dtypes
        self._pieces: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}

    def add(self, **pieces: np.ndarray) -> None:
        """One piece of every column."""
        for name, dtype in self._dtypes.items():
            self._pieces[name].append(np.asarray(pieces[name], dtype=dtype))

    def __getitem__(self, name: str) -> np.ndarray:
        pieces = self._pieces[name]
        if len(pieces) != 1:
            joined = np.concatenate(pieces) if pieces else np.empty(0, dtype=self._dtypes[name])
            self._pieces[name] = pieces = [joined]
        return pieces[0]

    def __len__(self) -> int:
        return sum(len(piece) for piece in next(iter(self._pieces.values())))


class Names(Generic[K]):
    """Numbers names in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[K, int] = {}

    def numbers(self, names: Iterable[K]) -> np.ndarray:
        known = self._numbers
        return np.fromiter((known.setdefault(name, len(known)) for name in names), dtype=np.int64)

    def number(self, name: K) -> int:
        """-1 for a name that never appeared."""
        return self._numbers.get(name, -1)

    def names(self) -> list[K]:
        return list(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
