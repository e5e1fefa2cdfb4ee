"""Rows turned into columns, the one shape in which batches, parts and statistics meet.

Imports numpy, which starts threads: only the process that keeps the record imports this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from crosstalk.checks.columns import MISSING, Coded, CodedEvents, Columns
from crosstalk.record.event_log import NUMBERS, Label, Logged, Place
from crosstalk.record.rows import TABLES

_DTYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}
#: `struct`'s formats as numpy calls them; packed without gaps
_PACKED = np.dtype([(name, {"i": "<i4", "q": "<i8", "?": "?"}[format_]) for name, format_ in NUMBERS.items()])


def columns_of(table: str, rows: Sequence[Sequence[object]]) -> Columns:
    """Rows (each in the order of `TABLES[table]`) as one array a column; nulls of integer columns become `MISSING`."""
    kinds = TABLES[table]
    by_column: Iterable[Sequence[object]] = list(zip(*rows, strict=True)) if rows else [[] for _ in kinds]
    return {name: _array(kind, values) for (name, kind), values in zip(kinds.items(), by_column, strict=True)}


def coded_of(logged: Logged) -> CodedEvents:
    """The events of a batch as columns; what they share is worked out once for all of them."""
    packed = np.frombuffer(logged.numbers, dtype=_PACKED)
    place, label = packed["place"], packed["label"]
    texts = {"worker": Coded([logged.worker], np.zeros(len(packed), dtype=np.int32))}
    shared: list[tuple[str, ...]] = list(zip(*logged.places, strict=True))
    others: Columns = {}
    for name, values in zip(Place._fields, shared, strict=True):
        if TABLES["events"][name] == "str":
            texts[name] = Coded(list(values), place)
        else:
            others[name] = np.array(values, dtype=np.int64)[place]
    for name, words in zip(Label._fields, zip(*logged.labels, strict=True), strict=True):
        texts[name] = Coded(list(words), label)
    for name in NUMBERS:
        if name not in ("place", "label"):
            others[name] = packed[name].astype(_DTYPES[TABLES["events"][name].rstrip("?")])
    return CodedEvents(texts, others)


def empty(table: str) -> Columns:
    return columns_of(table, [])


def concat(table: str, pieces: Sequence[Columns]) -> Columns:
    """Columns of several pieces of one table, in their order."""
    if not pieces:
        return empty(table)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in TABLES[table]}


def rows_of(columns: Mapping[str, np.ndarray]) -> list[dict[str, object]]:
    """Columns as a list of dicts of plain Python values; `MISSING` becomes None."""
    names = list(columns)
    lists = [[None if v == MISSING else v for v in columns[name].tolist()] for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]


def _array(kind: str, values: Sequence[object]) -> np.ndarray:
    base = kind.rstrip("?")
    if base == "int":
        return np.array([MISSING if v is None else v for v in values], dtype=np.int64)
    if base == "str":
        array = np.empty(len(values), dtype=object)
        array[:] = ["" if v is None else v for v in values]
        return array
    return np.array(values, dtype=_DTYPES[base])
