"""Where in a limits file something stands, and what to say when it is wrong.

Lines are found by the headers of the text (`[delivery]`, `[[phase]]`, `[[phase.limit]]`), in their order; a file
written with inline tables gets messages without lines.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
_HEADER = re.compile(r"^\s*(\[\[?\s*[a-z_.]+\s*\]\]?)\s*(#.*)?$")


class LimitsError(Exception):
    """A limits file is wrong: the text names file, line, phase and limit, what was expected, what came."""


@dataclass(frozen=True, slots=True)
class Place:
    """A table of the file. Its readers check one key each and return its value."""

    source: str
    what: str  # "phase 'auth', limit 'critical flow'", "[delivery]", ""
    lines: tuple[tuple[int, str], ...]  # number and text of the table's lines; empty when not known

    def fail(self, expected: str, came: object, *, key: str = "", valid: Iterable[str] = ()) -> NoReturn:
        line = self._line(key)
        where = ", ".join(part for part in (f"{self.source}:{line}" if line else self.source, self.what) if part)
        hint = difflib.get_close_matches(str(came), list(valid), n=1, cutoff=0.4)
        nearest = f"; did you mean {hint[0]!r}?" if hint else ""
        subject = f"{key}: " if key else ""
        raise LimitsError(f"{where}: {subject}expected {expected}, came {came!r}{nearest}")

    def keys(self, table: Mapping[str, Any], valid: Sequence[str]) -> None:
        for key in table:
            if key not in valid:
                line = self._line(key)
                where = ", ".join(
                    part for part in (f"{self.source}:{line}" if line else self.source, self.what) if part
                )
                nearest = difflib.get_close_matches(key, valid, n=1, cutoff=0.0)[0]
                raise LimitsError(
                    f"{where}: unknown key {key!r}; the nearest valid key is {nearest!r} (valid: {', '.join(valid)})"
                )

    def text(self, table: Mapping[str, Any], key: str, *, default: str | None = None) -> str:
        value = table.get(key, default)
        if value is None:
            self.fail("a text", "nothing", key=key)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.fail("a text in quotes", value, key=key)
        return value

    def choice(
        self, table: Mapping[str, Any], key: str, valid: Sequence[str], *, default: str | None = None, of: str = ""
    ) -> str:
        value = self.text(table, key, default=default)
        if value not in valid:
            self.fail(f"one of {', '.join(valid)}" + (f" (of {of})" if of else ""), value, key=key, valid=valid)
        return value

    def number(
        self,
        table: Mapping[str, Any],
        key: str,
        *,
        default: float | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> float:
        value = table.get(key, default)
        span = f"a number from {low or 0:g} to {high:g}" if high is not None else f"a number of at least {low or 0:g}"
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
            self.fail(span, value, key=key)
        if (low is not None and value < low) or (high is not None and value > high):
            self.fail(span, value, key=key)
        return float(value)

    def boolean(self, table: Mapping[str, Any], key: str, *, default: bool) -> bool:
        value = table.get(key, default)
        if not isinstance(value, bool):
            self.fail("true or false", value, key=key)
        return value

    def list_of(self, table: Mapping[str, Any], key: str, kind: type[T], of: str) -> list[T]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, kind) and not isinstance(v, bool) for v in value):
            self.fail(f"a list of {of}", value, key=key)
        return list(value)

    def _line(self, key: str) -> int | None:
        if not self.lines:
            return None
        found = [number for number, text in self.lines if key and re.match(rf"\s*{re.escape(key)}\s*=", text)]
        return found[0] if found else self.lines[0][0]


class Places:
    """The tables of a text, by their headers."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self._blocks: list[tuple[str, list[tuple[int, str]]]] = [("", [])]
        for number, line in enumerate(text.splitlines(), start=1):
            header = _HEADER.match(line)
            if header:
                self._blocks.append((re.sub(r"\s", "", header[1]), []))
            self._blocks[-1][1].append((number, line))

    def top(self) -> Place:
        headers = tuple((lines[0][0], header.strip("[]") + " =") for header, lines in self._blocks if header)
        first = tuple(self._blocks[0][1]) if headers or self._blocks[0][1] else ()
        return Place(self.source, "", first + headers)

    def section(self, name: str) -> Place:
        return Place(self.source, f"[{name}]", self._lines([h for h in self._blocks if h[0] == f"[{name}]"], 0))

    def phase(self, index: int, name: str) -> Place:
        return Place(
            self.source, f"phase {name!r}", self._lines([h for h in self._blocks if h[0] == "[[phase]]"], index)
        )

    def limit(self, phase_index: int, index: int, phase: str, name: str) -> Place:
        own: list[tuple[str, list[tuple[int, str]]]] = []
        phases_seen = -1
        for block in self._blocks:
            phases_seen += block[0] == "[[phase]]"
            if block[0] == "[[phase.limit]]" and phases_seen == phase_index:
                own.append(block)
        return Place(self.source, f"phase {phase!r}, limit {name!r}", self._lines(own, index))

    @staticmethod
    def _lines(blocks: list[tuple[str, list[tuple[int, str]]]], index: int) -> tuple[tuple[int, str], ...]:
        return tuple(blocks[index][1]) if index < len(blocks) else ()
