"""Which violations and runs have a trace, and what each is called on the page. Pure: rows in, choices out.

A trace is chosen, never all of them: what is left out can be asked for by name (`python -m reports trace NAME`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from reports import evidence

VIOLATIONS_MAX = 50
FAILED_MAX = 24
ALIKE_MAX = 2  # failed runs of one outcome and signature
SLOW_EACH = 3  # of a prompt family
FAMILIES_MAX = 10

FAILED, SLOW, SAMPLE, ASKED = "failed", "slow", "sample", "asked for"


@dataclass(frozen=True, slots=True)
class RunChoice:
    row: int  # in `runs`
    why: str  # FAILED, SLOW, SAMPLE or ASKED


@dataclass(frozen=True, slots=True)
class Choice:
    violations: tuple[dict[str, Any], ...]
    runs: tuple[RunChoice, ...]

    def __bool__(self) -> bool:
        return bool(self.violations or self.runs)


def violation_anchor(name: str) -> str:
    """The violation's id on a page. Different names have different ids, whatever their characters."""
    return f"violation-{_plain(name)}"


def run_anchor(account: str, run: str) -> str:
    return f"run-{_plain(run)}-of-{_plain(account)}"


def _plain(name: str) -> str:
    """ASCII letters, digits and "-" stay; any other character is its number between underscores."""
    return "".join(c if (c.isascii() and c.isalnum()) or c == "-" else f"_{ord(c):x}_" for c in name)


def spread(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The first of every kind of violation, then more of the gravest; in the order of `rows`, at most `most`.

    What is chosen with a smaller `most` is chosen with a larger one too.
    """
    firsts = {(row["judgement"], row["name"], row["channel"]): id(row) for row in reversed(rows)}
    ordered = [id(row) for row in rows if firsts[row["judgement"], row["name"], row["channel"]] == id(row)]
    first = set(ordered)
    ordered += [id(row) for row in rows if id(row) not in first]
    chosen = set(ordered[:most])
    return [row for row in rows if id(row) in chosen]


def violations_with_a_trace(violations: Columns) -> list[dict[str, Any]]:
    return spread(evidence.ordered(violations), VIOLATIONS_MAX)


def choose(violations: Columns, runs: Columns, frames: Columns) -> Choice:
    """What the page of a load test shows: its violations, runs that failed, the slowest, and one sample of each
    prompt family whose frames were kept."""
    rows = violations_with_a_trace(violations)
    taken = {(row["observer"], row["run"]) for row in rows}
    chosen: dict[tuple[str, str], RunChoice] = {}
    for one in (*_failed(runs, taken), *_slowest(runs)):
        chosen.setdefault((runs["account"][one.row], runs["run"][one.row]), one)
    samples = _samples(runs, frames, {*chosen})
    return Choice(tuple(rows), (*chosen.values(), *samples))


def _failed(runs: Columns, taken: set[tuple[str, str]]) -> list[RunChoice]:
    """Two of each outcome and signature, the earliest, the most frequent signatures first."""
    alike: dict[tuple[str, str], list[int]] = {}
    for i in np.argsort(runs["sent_ns"], kind="stable").tolist():
        if runs["outcome"][i] not in ("ok", "cut"):
            alike.setdefault((runs["outcome"][i], runs["signature"][i]), []).append(i)
    chosen = []
    for _, rows in sorted(alike.items(), key=lambda item: (-len(item[1]), item[0])):
        untold = [i for i in rows if (runs["account"][i], runs["run"][i]) not in taken]
        chosen += [RunChoice(i, FAILED) for i in untold[:ALIKE_MAX]]
    return chosen[:FAILED_MAX]


def _slowest(runs: Columns) -> list[RunChoice]:
    """The longest of the runs that went well, of each prompt family; the family with the longest run first."""
    chosen = []
    for rows in _families(runs, np.flatnonzero((runs["outcome"] == "ok") & (runs["end_ns"] != MISSING))):
        chosen += [RunChoice(i, SLOW) for i in rows[:SLOW_EACH]]
    return chosen


def _samples(runs: Columns, frames: Columns, taken: set[tuple[str, str]]) -> list[RunChoice]:
    """The typical run (the lower median in length) of each prompt family, of those whose frames were kept."""
    kept = set(zip(frames["account"].tolist(), frames["run"].tolist(), strict=True)) - taken
    well = np.flatnonzero((runs["outcome"] == "ok") & (runs["end_ns"] != MISSING))
    first = {(runs["account"][i], runs["run"][i]): i for i in reversed(well.tolist())}
    whole = np.array([i for key, i in first.items() if key in kept], dtype=np.int64)
    return [RunChoice(rows[len(rows) // 2], SAMPLE) for rows in _families(runs, whole)]


def _families(runs: Columns, rows: np.ndarray) -> list[list[int]]:
    """Rows by prompt family, each with its longest run first."""
    families: dict[str, list[int]] = {}
    times = (runs["end_ns"] - runs["sent_ns"])[rows]
    for at in np.lexsort((rows, -times)).tolist():
        families.setdefault(runs["prompt"][rows[at]], []).append(int(rows[at]))
    return list(families.values())[:FAMILIES_MAX]
