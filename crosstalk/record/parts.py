"""The record on disk: `record/run.json` and `record/<table>/part-<n>.parquet`.

`RecordWriter` appends, `Record` reads. Parts are written whole and renamed into place, so a reader never sees half a
part and a load test that is killed leaves every finished part readable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from crosstalk.checks.columns import MISSING, Coded, CodedEvents, Columns
from crosstalk.record.columns import concat
from crosstalk.record.rows import SCHEMA_VERSION, TABLES, Row

#: rows of one table that are gathered before a part is written
PART_ROWS = 50_000
#: a table of many columns is written sooner: values that wait as Python objects take some 60 bytes each
PART_VALUES = 200_000

#: how parts are written: whole numbers as differences, which suits instants; texts by their words
_COMPRESSION = "zstd"

_TYPES = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}


class RecordError(Exception):
    """A record cannot be read; the text says what was expected and what was found."""


def arrow_schema(table: str) -> pa.Schema:
    return pa.schema(
        [pa.field(name, _TYPES[kind.rstrip("?")], nullable=kind.endswith("?")) for name, kind in TABLES[table].items()]
    )


class RecordWriter:
    """Appends rows to a record, also to one that is there. Blocking: call it where blocking is harmless."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pending: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._pending_events: list[CodedEvents] = []
        self._parts = {table: len(list((folder / table).glob("part-*.parquet"))) for table in TABLES}
        self.rows_written = dict.fromkeys(TABLES, 0)
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, table: str, rows: list[Row]) -> None:
        pending = self._pending[table]
        pending.extend(rows)
        if len(pending) >= min(PART_ROWS, PART_VALUES // len(TABLES[table])):
            self._write_part(table)

    def append_events(self, events: CodedEvents) -> None:
        """The same as `append("events", …)`, for events whose texts are coded."""
        self._pending_events.append(events)
        if sum(len(piece) for piece in self._pending_events) >= PART_ROWS:
            self._write_events()

    def flush(self) -> None:
        """Write what is pending, so that a reader sees all that was appended."""
        if self._pending_events:
            self._write_events()
        for table in TABLES:
            if self._pending[table]:
                self._write_part(table)

    def write_run(self, run: dict[str, Any]) -> None:
        """Write `run.json` (replaced as a whole each time)."""
        _replace(self.folder / "run.json", orjson.dumps({"schema": SCHEMA_VERSION, **run}, option=orjson.OPT_INDENT_2))

    def _write_part(self, table: str) -> None:
        rows = self._pending[table]
        columns = list(zip(*rows, strict=True))
        schema = arrow_schema(table)
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
        self._write(table, arrays, schema)
        self._pending[table] = []

    def _write_events(self) -> None:
        pieces = self._pending_events
        schema = arrow_schema("events")
        arrays = []
        for field in schema:
            if field.name in pieces[0].texts:
                arrays.append(_dictionary([piece.texts[field.name] for piece in pieces]))
            else:
                values = np.concatenate([piece.others[field.name] for piece in pieces])
                arrays.append(pa.array(values, mask=values == MISSING if field.nullable else None))
        named = [pa.field(field.name, array.type, field.nullable) for field, array in zip(schema, arrays, strict=True)]
        self._write("events", arrays, pa.schema(named))
        self._pending_events = []

    def _write(self, table: str, arrays: list[pa.Array], schema: pa.Schema) -> None:
        folder = self.folder / table
        folder.mkdir(exist_ok=True)
        path = folder / f"part-{self._parts[table]:05}.parquet"
        temporary = path.with_suffix(".tmp")
        texts = [field.name for field in schema if not _is_number(field.type)]
        integers = {field.name: "DELTA_BINARY_PACKED" for field in schema if pa.types.is_integer(field.type)}
        pq.write_table(
            pa.Table.from_arrays(arrays, schema=schema), temporary, compression=_COMPRESSION,
            use_dictionary=texts, column_encoding=integers,
        )  # fmt: skip
        os.replace(temporary, path)
        self._parts[table] += 1
        self.rows_written[table] += len(arrays[0])


class Record:
    """A record that was written earlier. Tables are read when they are first asked for.

    :raises RecordError: when the folder holds no record, or one of another schema.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.run: dict[str, Any] = orjson.loads((folder / "run.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise RecordError(f"{folder} holds no record: run.json is missing; name a folder under results/") from None
        except orjson.JSONDecodeError as error:
            raise RecordError(f"{folder / 'run.json'} is not readable JSON: {error}") from None
        if not isinstance(self.run, dict):
            raise RecordError(f"{folder / 'run.json'}: expected a JSON object, got {type(self.run).__name__}")
        if self.run.get("schema") != SCHEMA_VERSION:
            raise RecordError(
                f"{folder} was written with schema {self.run.get('schema')!r}; this version reads {SCHEMA_VERSION}"
            )
        self._tables: dict[str, Columns] = {}

    def table(self, name: str) -> Columns:
        """All rows of a table as columns; integer nulls are `MISSING`.

        :raises RecordError: a part is damaged.
        """
        if name not in self._tables:
            parts = sorted((self.folder / name).glob("part-*.parquet"))
            self._tables[name] = concat(name, [_read_part(name, part) for part in parts])
        return self._tables[name]


def _read_part(table: str, path: Path) -> Columns:
    try:
        read = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{path} cannot be read: {error}; without this part the record is not whole") from None
    if lacking := TABLES[table].keys() - set(read.column_names):
        raise RecordError(f"{path}: expected the columns of {table}, got a part without {', '.join(sorted(lacking))}")
    columns: Columns = {}
    for name, kind in TABLES[table].items():
        column = read.column(name)
        if kind.startswith("int"):
            columns[name] = column.fill_null(MISSING).to_numpy()
        elif kind.startswith("str"):
            columns[name] = _texts(column)
        else:
            columns[name] = column.to_numpy()
    return columns


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    if not pa.types.is_dictionary(column.type):
        return _strings(column.to_pylist())
    pieces = [_strings(chunk.dictionary.to_pylist())[chunk.indices.to_numpy()] for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else _strings([])


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _dictionary(pieces: list[Coded]) -> pa.DictionaryArray:
    """One column of all pieces, each word in it once: where dictionaries differ, Parquet would write every text out."""
    numbers: dict[str, int] = {}
    codes = [
        np.array([numbers.setdefault(word, len(numbers)) for word in piece.words], dtype=np.int32)[piece.codes]
        for piece in pieces
    ]
    return pa.DictionaryArray.from_arrays(pa.array(np.concatenate(codes)), pa.array(list(numbers), pa.string()))


def _strings(values: list[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
