"""What the frames of a transcript say, without what frames are made of: each string once, and each field as one text.

A text that a sender cut into chunks stands in one field of many frames. So the strings of a field, over all frames and
in their order, are joined; a field that always says the same says it once; and every name of a field is kept once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson

#: letters of a string that may hold a canary in which every letter is an escape of two signs or more
LONG = 56
#: how deep documents are read in their order
DEPTH = 100
#: letters of a word that a field may say over and over
WORD = 12
_BRACKETS = (b"{", b"[")
#: behind a name that is not counted where a quote and a colon are
SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_DOCUMENT_SIGNS = frozenset("{[")


@dataclass(slots=True)
class Field:
    """What stood at one path, over all documents: its strings in order, and the fields below it by their names."""

    strings: list[str] = field(default_factory=list)
    below: dict[str, Field] = field(default_factory=dict)


@dataclass(slots=True)
class Distilled:
    """`names`: of all fields; `in_order`: all strings but names, as they came; `byte_lists`: arrays of bytes."""

    fields: list[Field] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    in_order: list[str] = field(default_factory=list)
    byte_lists: list[bytes] = field(default_factory=list)
    #: parts that are not JSON, or that say a name twice (of which a parser keeps one): to be looked at as they are
    others: list[bytes] = field(default_factory=list)

    def text(self) -> bytes:
        """All fields' texts and all names, a space between them: line ends may be within an encoded text.

        Long strings of a joined field are there by themselves too: what was joined to them may spoil their beginning.
        """
        texts = []
        for values in self._values():
            if len(distinct := set(values)) == 1:
                texts.append(values[0])
            else:
                texts.append("".join(without_repeats(values)))
                texts += [value for value in distinct if len(value) >= LONG]
        return " ".join([*texts, *self.names]).encode(errors="replace")

    def strings(self) -> set[str]:
        """Every string by itself."""
        return {*self.in_order, *self.names}

    def chunked(self) -> list[list[str]]:
        """The fields that say more than one thing."""
        return [values for values in self._values() if values.count(values[0]) < len(values)]

    def _values(self) -> Iterator[list[str]]:
        return (one.strings for one in self.fields if one.strings)


def without_repeats(values: Sequence[str]) -> list[str]:
    """Without the same long word twice in a row, as in a field that names the kind of a frame.

    Chunks of a canary may be alike too, but not such ones: no encoding gives the same 12 letters twice in a row, with
    neither a digit nor a sign in them, for less than twelve times the same letter.
    """
    if all([_is_word(value) for value in set(values)]):
        return [value for value, _ in groupby(values)]
    kept: list[str] = []
    last = ""
    for value in values:
        if value != last or not _is_word(value):
            kept.append(value)
        last = value
    return kept


def _is_word(value: str) -> bool:
    return len(value) >= WORD and value.replace("_", "").isalpha()


def distil(parts: Sequence[bytes]) -> Distilled:
    """Never raises: what cannot be read is in `others`."""
    found, root = Distilled(), Field()
    found.fields.append(root)
    for part in parts:
        document = _read(part) if part.lstrip()[:1] in _BRACKETS else None
        if document is None:
            found.others.append(part)
            _read_lines(part, found, root)
        elif _walk(document, found, root) != part.count(b'":') or SPACED_COLON.search(part):
            found.others.append(part)
    return found


def _read(text: bytes | str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _read_lines(part: bytes, found: Distilled, root: Field) -> None:
    """Documents that stand on lines of their own behind some other word, as in an event stream."""
    for line in part.split(b"\n"):
        first = line.find(b"{")
        if first >= 0 and (document := _read(line[first:])) is not None:
            _walk(document, found, root)


def _walk(document: Any, found: Distilled, root: Field) -> int:
    """Collect a document's strings, and those of documents that are strings in it; returns how many names it has."""
    reader = _Reader(found)
    names = reader.read(document, root, 0) + reader.read_later()
    while reader.nested:
        text, at = reader.nested.pop()
        reader.read(_read(text), _below(at, "→", found), 0)
        reader.read_later()
    return names


@dataclass(slots=True)
class _Reader:
    found: Distilled
    later: list[tuple[Any, Field]] = field(default_factory=list)  # what lies deeper than `DEPTH`
    nested: list[tuple[str, Field]] = field(default_factory=list)  # strings that may be documents

    def read(self, value: Any, at: Field, depth: int) -> int:
        """Collect all strings below a value, in their order; returns how many names it has."""
        if depth > DEPTH:
            self.later.append((value, at))
        elif type(value) is str:
            self._keep(value, at)
        elif type(value) is dict:
            return self._read_fields(value, at, depth)
        elif type(value) is list:
            if value and type(value[0]) is int and _are_bytes(value):
                self.found.byte_lists.append(bytes(value))
            else:
                one = _below(at, "[]", self.found)
                return sum([self.read(inner, one, depth + 1) for inner in value])
        return 0

    def read_later(self) -> int:
        names = 0
        while self.later:
            names += self.read(*self.later.pop(), 0)
        return names

    def _read_fields(self, value: dict[str, Any], at: Field, depth: int) -> int:
        names, fields, in_order = len(value), at.below, self.found.in_order
        for name, inner in value.items():
            one = fields[name] if name in fields else _below(at, name, self.found)
            if type(inner) is str:  # most are: `_keep` without its call
                one.strings.append(inner)
                in_order.append(inner)
                if inner[:1] in _DOCUMENT_SIGNS:
                    self.nested.append((inner, one))
            elif type(inner) is dict or type(inner) is list:
                names += self.read(inner, one, depth + 1)
        return names

    def _keep(self, value: str, at: Field) -> None:
        at.strings.append(value)
        self.found.in_order.append(value)
        if value[:1] in _DOCUMENT_SIGNS:
            self.nested.append((value, at))


def _below(at: Field, name: str, found: Distilled) -> Field:
    if (one := at.below.get(name)) is None:
        one = at.below[name] = Field()
        found.fields.append(one)
        found.names[name] = None
    return one


def _are_bytes(value: list[Any]) -> bool:
    return all(type(one) is int and 0 <= one < 256 for one in value)
