"""All strings of a transcript's frames, read by columns: each field over all frames at once, in C as far as it goes.

As `distil` reads them, but for what frames say that are no JSON, or say a name twice: those are not read here at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crosstalk.checks.distil import DEPTH, LONG, without_repeats
from crosstalk.checks.native import fast

#: letters of an id, and integers that are written with as many digits
DIGITS = 16
LARGE = 10 ** (DIGITS - 1)
_BRACKETS = ("{", "[")
#: how ISO 8601 writes instants: whatever they say, it is no canary
_INSTANT = re.compile(rb"0000-00-00[T ]00:00:00(?:\.0{1,9})?(?:Z|[+-]00:?00)?")
_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"0" * 9)


class _Unreadable(Exception):
    """Nested too deep, or a number that was rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """A field that says more than one thing: its strings in their order, and each of them once."""

    values: Sequence[str]
    different: set[str]

    @property
    def text(self) -> str:
        """All of it, joined."""
        return "".join(self.values if len(self.different) == len(self.values) else without_repeats(self.values))

    @property
    def long(self) -> list[str]:
        """Long strings, which what they are joined to may spoil."""
        return [value for value in self.different if len(value) >= LONG]


@dataclass(slots=True)
class Strings:
    """What the frames say.

    `names`: of all fields. `texts`: what each field says, in the order of fields: once, if it always says the same,
    and as often as fields say it: they may be pieces of one text.
    `fields`: those that say more than one thing, but for those that say instants only.
    `numbers`: those that may be ids, and floats, see `ids`. `quotes`: around all names and strings of documents, as
    often as they stand there.
    """

    names: dict[str, None] = field(default_factory=dict)
    texts: list[str | Joined] = field(default_factory=list)
    fields: list[Joined] = field(default_factory=list)
    byte_lists: list[bytes] = field(default_factory=list)
    numbers: list[int | float] = field(default_factory=list)
    quotes: int = 0

    def read_documents(self, documents: list[Any]) -> None:
        """:raises _Unreadable:"""
        if fast is None:
            self.read_column(documents, 0)
            return
        quotes: int = fast.read_documents(
            documents, self.names, self.texts, self.fields, self.byte_lists, self.numbers, Joined, _are_instants
        )
        if quotes < 0:
            raise _Unreadable
        self.quotes += quotes

    def read_column(self, values: Sequence[Any], depth: int) -> None:
        """What stands at one path, over all frames."""
        first = values[0]
        if type(first) is str and values.count(first) == len(values):
            self.texts.append(first)  # most fields do
            self.quotes += 2 * len(values)
            return
        kinds = set(map(type, values))
        alone = len(kinds) == 1
        if str in kinds:
            self._read_texts(values if alone else [value for value in values if type(value) is str])
        if int in kinds and not (alone and min(values) > -LARGE and max(values) < LARGE):
            self.numbers += [value for value in values if type(value) is int and abs(value) >= LARGE]
        if float in kinds:
            self._read_floats([value for value in values if type(value) is float])
        if dict in kinds:
            self._read_rows(values if alone else [value for value in values if type(value) is dict], depth + 1)
        if list in kinds:
            inner: list[Any] = []
            for value in values if alone else [value for value in values if type(value) is list]:
                if value and type(value[0]) is int and all(type(one) is int and 0 <= one < 256 for one in value):
                    self.byte_lists.append(bytes(value))
                else:
                    inner += value
            if inner:
                self._deeper(depth)
                self.read_column(inner, depth + 1)

    def _read_floats(self, values: Sequence[float]) -> None:
        """Those with as many digits as an id has. A large one may have been an integer, of which digits are lost."""
        if not -LARGE < min(values) <= max(values) < LARGE:
            raise _Unreadable
        self.numbers += values  # which of them have that many is asked where somebody wants to know: it is not cheap

    def _read_texts(self, values: Sequence[str]) -> None:
        self.quotes += 2 * len(values)
        first = values[0]
        if values.count(first) == len(values):
            self.texts.append(first)
            return
        if first[:1].isdigit() and _are_instants(values):
            return
        one = Joined(values, set(values))
        self.texts.append(one)
        self.fields.append(one)

    def _read_rows(self, rows: Sequence[dict[str, Any]], depth: int) -> None:
        self._deeper(depth)
        if len(set(map(tuple, rows))) == 1:
            names = rows[0]
            columns: Iterable[tuple[str, Sequence[Any]]] = zip(
                names, zip(*map(dict.values, rows), strict=True), strict=False
            )
        else:
            names = {}
            for row in rows:
                for name, value in row.items():
                    if name in names:
                        names[name].append(value)
                    else:
                        names[name] = [value]
            columns = names.items()
        self.names.update(dict.fromkeys(names))
        self.quotes += 2 * sum(map(len, rows))
        for _, column in columns:
            self.read_column(column, depth)

    def ids(self) -> bytes:
        """Numbers with as many digits as an id has, as they are written."""
        texts = [str(value) for value in self.numbers]
        return " ".join([text for text in texts if len(text) >= DIGITS]).encode()

    def _deeper(self, depth: int) -> None:
        if depth > DEPTH:
            raise _Unreadable

    def read_nested(self) -> None:
        """Documents that are strings in documents, and those in them."""
        texts, fields = [text for text in self.texts if type(text) is str], self.fields
        while True:
            columns: list[Sequence[str]] = [[text] for text in texts if text[:1] in _BRACKETS]
            columns += [some for field in fields if (some := [one for one in field.values if one[:1] in _BRACKETS])]
            if not columns:
                return
            inner = Strings()
            for column in columns:
                documents = [document for text in column if (document := _document(text)) is not None]
                if documents:
                    inner.read_documents(documents)
            self.names |= inner.names
            self.numbers += inner.numbers
            self.byte_lists += inner.byte_lists
            texts = [text for text in inner.texts if type(text) is str]
            fields = inner.fields
            self.texts += inner.texts
            self.fields += fields


def _are_instants(values: Sequence[str]) -> bool:
    shapes = set("\n".join(values).encode(errors="replace").translate(_DIGITS_AS_0).split(b"\n"))
    return all(_INSTANT.fullmatch(shape) for shape in shapes)


def read(parts: Sequence[bytes]) -> Strings | None:
    """The strings of frames that are all JSON objects or arrays; None where they are not, or where a parser drops any.

    Of a name that an object has twice, a parser keeps one value: then more quotes are in the bytes than were read.
    """
    raw = b"\n,".join(parts)  # with a line end, which no string may hold: no string lies over two parts
    try:
        documents = orjson.loads(b"[" + raw + b"]")
    except orjson.JSONDecodeError:
        return None
    if len(documents) != len(parts) or not set(map(type, documents)) <= {dict, list}:
        return None
    strings = Strings()
    try:
        strings.read_documents(documents)
        if strings.quotes != _quotes_in(raw) and orjson.dumps(documents)[1:-1] != b",".join(parts):
            return None
        strings.read_nested()
    except _Unreadable:
        return None
    return strings


def _quotes_in(raw: bytes) -> int:
    """How many quotes stand around names and strings in JSON texts; −1 where that is unsure."""
    quotes = raw.count(b'"')
    if b"\\" in raw:
        if b'\\\\"' in raw:  # is the quote escaped, or the backslash before it?
            return -1
        quotes -= raw.count(b'\\"')
    return quotes


def _document(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
