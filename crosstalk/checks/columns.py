"""Columns of a record as the checks see them: one numpy array a column.

Imports numpy, which starts threads: only the process that keeps the record, or reads one, imports this module.
"""

from __future__ import annotations

import numpy as np

#: stands for null in integer columns
MISSING = int(np.iinfo(np.int64).min)

Columns = dict[str, np.ndarray]


def present(values: np.ndarray) -> np.ndarray:
    """The values of an integer column that are not null."""
    found: np.ndarray = values[values != MISSING]
    return found
