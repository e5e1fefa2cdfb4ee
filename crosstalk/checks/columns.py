"""Columns of a record as the checks see them: one numpy array a column.

Imports numpy, which starts threads: only the process that keeps the record, or reads one, imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: stands for null in integer columns
MISSING = int(np.iinfo(np.int64).min)

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of text in which few words stand often: `words[codes[i]]` is the text of row i."""

    words: list[str]
    codes: np.ndarray

    def decoded(self) -> np.ndarray:
        words = np.empty(len(self.words), dtype=object)
        words[:] = self.words
        texts: np.ndarray = words[self.codes]
        return texts


@dataclass(frozen=True, slots=True)
class CodedEvents:
    """Rows of `events`: their texts coded, the others as `Columns`. `run` and `account` have the same codes."""

    texts: dict[str, Coded]
    others: Columns

    def __len__(self) -> int:
        return len(self.others["n"])


def present(values: np.ndarray) -> np.ndarray:
    """The values of an integer column that are not null."""
    found: np.ndarray = values[values != MISSING]
    return found
