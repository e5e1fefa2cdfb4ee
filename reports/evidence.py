"""What proves a violation: the frame that showed it, the frame that planted it, and what in them belongs to whom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from crosstalk.checks.canary import HEAD_LENGTH, LENGTH, PREFIX
from crosstalk.checks.columns import MISSING, Columns
from reports.markup import Html, element, join
from reports.redact import redact

#: identity and isolation first: what reached the wrong person stands above what did not arrive
ORDER = {"identity": 0, "isolation": 1, "delivery": 2, "harness": 3}
#: within isolation: what is judged before what is only shown
SCOPE_ORDER = {"cross_user": 0, "cross_thread": 1, "cross_run": 2, "unverified": 3, "other_load_test": 4, "phantom": 5}

_CANARY = re.compile(rf"(?i){PREFIX}[a-z2-7]{{{HEAD_LENGTH - len(PREFIX) + 3},{LENGTH - len(PREFIX)}}}")
#: letters and digits in a row that make an id or a reference, and no word
LONG_MARK = 16
_LONG = re.compile(rf"[A-Za-z0-9]{{{LONG_MARK},80}}")
_OWNER = slice(10, 15)  # the letters of a canary that carry its owner


@dataclass(frozen=True, slots=True)
class Evidence:
    """One violation. Frames are redacted and laid out; `planted` is None when the owner's frame was not kept."""

    row: dict[str, Any]
    shown: str
    planted: str | None
    planted_row: int | None  # in `frames`
    planted_at_ns: int | None
    theirs: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def planted_canaries(self) -> tuple[str, ...]:
        """The references in the frame that the owner sent, whole and in lower case."""
        found = {mark.lower() for mark in _CANARY.findall(self.planted or "") if len(mark) == LENGTH}
        return tuple(sorted(found))


def ordered(violations: Columns) -> list[dict[str, Any]]:
    """Violations as dicts (nulls are None), the gravest first and the earliest first among equals.

    One that was written again with a higher count is one violation: the highest count stands.
    """
    lists = {name: values.tolist() for name, values in violations.items()}
    rows: list[dict[str, Any]] = [
        {name: None if values[i] == MISSING else values[i] for name, values in lists.items()}
        for i in range(len(violations["violation"]))
    ]
    latest: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["violation"] not in latest or row["count"] > latest[row["violation"]]["count"]:
            latest[row["violation"]] = row
    return sorted(latest.values(), key=_gravity)


def gather(rows: Sequence[dict[str, Any]], frames: Columns) -> list[Evidence]:
    return [_evidence(row, frames) for row in rows]


def highlighted(text: str, *, theirs: Iterable[str], own: Iterable[str]) -> Html:
    """`text` escaped, with what belongs to others and what is one's own marked. Longer marks win over shorter ones."""
    classes = {mark.lower(): "own" for mark in own if mark} | {mark.lower(): "theirs" for mark in theirs if mark}
    if not classes:
        return join([text])
    pattern = "|".join(re.escape(mark) for mark in sorted(classes, key=lambda m: (-len(m), m)))
    pieces = re.split(f"({pattern})", text, flags=re.IGNORECASE)
    return join(element("mark", p, class_=classes[p.lower()]) if p.lower() in classes else p for p in pieces)


def laid_out(frame: str) -> str:
    """A frame as indented JSON; as it is where it cannot be read (cut off, malformed, not JSON)."""
    try:
        return redact(orjson.dumps(orjson.loads(frame), option=orjson.OPT_INDENT_2).decode())
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return redact(frame)


def _gravity(row: dict[str, Any]) -> tuple[int, int, int, str]:
    scope = SCOPE_ORDER.get(row["scope"], 0)
    return ORDER.get(row["judgement"], 9), scope, row["surfaced_ns"], row["violation"]


def _evidence(row: dict[str, Any], frames: Columns) -> Evidence:
    at = _planting(row, frames)
    planted = None if at is None else str(frames["body"][at])
    theirs, own = _marks(row, planted or "")
    return Evidence(
        row=row,
        shown=laid_out(row["frame"]),
        planted=None if planted is None else laid_out(planted),
        planted_row=at,
        planted_at_ns=None if at is None else int(frames["arrived_ns"][at]),
        theirs=theirs,
        own=own,
    )


def _planting(row: dict[str, Any], frames: Columns) -> int | None:
    """The row in `frames` of what the owner sent: of the very run, or with the same reference in it."""
    if not row["owner"] or (row["owner"] == row["observer"] and not row["owner_run"]):
        return None
    sent = np.flatnonzero((frames["account"] == row["owner"]) & (frames["direction"] == "out"))
    if row["owner_run"]:
        of_run = sent[frames["run"][sent] == row["owner_run"]]
        if of_run.size:
            return int(of_run[np.argmin(frames["arrived_ns"][of_run])])
    references = {mark.lower() for mark in _CANARY.findall(row["frame"])}
    for i in sent.tolist():
        if references & {mark.lower() for mark in _CANARY.findall(frames["body"][i])}:
            return i
    return None


def _marks(row: dict[str, Any], planted: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what belongs to the owner, what belongs to the observer) among the ids and references in the frame."""
    own, theirs = {row["observer"], row["run"]}, {row["owner"], row["owner_run"]}
    observer_number = _owner_letters(row["run"])
    for reference in _CANARY.findall(row["frame"]):
        if observer_number and _owner_letters(reference) == observer_number and row["scope"] == "cross_user":
            own.add(reference)
        elif reference not in row["run"]:
            theirs.add(reference)
    both = set(_LONG.findall(row["frame"])) & set(_LONG.findall(planted))
    theirs |= {token for token in both if token not in row["run"]}
    if row["decode"] not in ("", "plain"):  # what the frame shows is not what was planted, letter by letter
        theirs |= {mark for mark in _CANARY.findall(planted) if row["owner"] != row["observer"]}
    theirs -= own if row["owner"] != row["observer"] else set()
    return tuple(sorted(filter(None, theirs))), tuple(sorted(filter(None, own - theirs)))


def _owner_letters(text: str) -> str:
    found = _CANARY.search(text)
    return found[0].lower()[_OWNER] if found else ""
