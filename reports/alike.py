"""Violations that are alike, told once: what a person would call the same leak. Pure: rows in, groups out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import numbers

_INDEX = re.compile(r"\[\d+\]")
#: what two violations share that are alike
LIKE = ("judgement", "name", "channel", "scope", "event_kind", "site", "field", "decode")


@dataclass(frozen=True, slots=True)
class Alike:
    example: Mapping[str, Any]  # the gravest, and of those the first
    times: int
    owners: int
    observers: int
    first_ns: int
    last_ns: int


def groups(rows: Sequence[Mapping[str, Any]]) -> list[Alike]:
    """:param rows: the gravest first; so are the groups."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        # the third entry of a list is no other place than the fourth
        like = tuple(_INDEX.sub("[…]", row[key]) if key == "field" else row[key] for key in LIKE)
        alike.setdefault(like, []).append(row)
    return [
        Alike(
            example=of[0],
            times=sum(int(row["count"]) for row in of),
            owners=len({row["owner"] for row in of} - {""}),
            observers=len({row["observer"] for row in of}),
            first_ns=min(row["surfaced_ns"] for row in of),
            last_ns=max(row["surfaced_ns"] for row in of),
        )
        for of in alike.values()
    ]


def told(rows: Sequence[Mapping[str, Any]], verdict: Mapping[str, Any], *, separator: str = numbers.THIN) -> str:
    """ "10 isolation violations, 2 more shown only, 8 delivery violations; 20 in all": times, not rows.

    Isolation's number is the verdict's own: what has an owner that is not sure does not count there.
    """
    times: dict[str, int] = {}
    for row in rows:
        times[row["judgement"]] = times.get(row["judgement"], 0) + int(row["count"])
    said = []
    for judgement, number in times.items():
        counts = number
        if judgement == "isolation":
            confirmed = (verdict.get("isolation") or {}).get("violations_confirmed")
            counts = number if confirmed is None else min(int(confirmed), number)
        if counts:
            said.append(numbers.plural(counts, f"{judgement} violation", separator=separator))
        if counts < number:
            more = numbers.count(number - counts, separator=separator)
            said.append(f"{more} more shown only" if counts else f"{more} of isolation shown only")
    total = sum(times.values())
    return ", ".join(said) + (f"; {numbers.count(total, separator=separator)} in all" if len(said) > 1 else "")
