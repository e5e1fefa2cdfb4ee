"""What the rows of `violations`, `exposure` and `health` add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.violation import CONFIRMED_SCOPES

#: rows of evidence that are kept of each judgement: the worst, and of those the first
EVIDENCE_MAX = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """What violations are counted by."""

    judgement: str
    name: str
    channel: int
    scope: str
    observer: str
    owner: str


class ViolationTally:
    """Counts are complete; evidence is bounded, and the same whatever the order of the rows was.

    A violation that is reported again, under its own id with a higher count, is the same one.
    """

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = {}
        self._seen: dict[str, int] = {}  # violation id → its count
        self.broken_runs: set[tuple[str, str]] = set()  # (account, run) with a delivery violation
        self._evidence: dict[str, list[dict[str, Any]]] = {}
        self._unknown_runs: dict[str, dict[str, Any]] = {}  # violation id → its row

    def add(self, columns: Columns) -> None:
        for row in rows_of(columns):
            kind = Kind(**{name: row[name] for name in Kind.__slots__})
            before = self._seen.get(row["violation"], 0)
            if row["count"] <= before:
                continue
            self._seen[row["violation"]] = row["count"]
            self.counts[kind] = self.counts.get(kind, 0) + row["count"] - before
            if kind.judgement == "delivery" and row["run"]:
                self.broken_runs.add((kind.observer, row["run"]))
            if row["name"] == "unknown_run":
                self._unknown_runs[row["violation"]] = row
            kept = self._evidence.setdefault(kind.judgement, [])
            if before:
                kept[:] = [other for other in kept if other["violation"] != row["violation"]]
            kept.append(row)
        for rows in self._evidence.values():
            rows.sort(key=_worst_first)
            del rows[EVIDENCE_MAX:]

    def settle(self, owners: Mapping[str, str]) -> None:
        """Name the owner of runs that the worker which saw them did not know: another worker's users were told the id.

        :param owners: id that the server chose → the account that it was told to.
        """
        for name, row in list(self._unknown_runs.items()):
            owner = owners.get(row["owner_run"])
            if owner is None:
                continue
            del self._unknown_runs[name]
            before = Kind(**{part: row[part] for part in Kind.__slots__})
            self.counts[before] -= row["count"]
            if not self.counts[before]:
                del self.counts[before]
            if owner != row["observer"]:
                row |= {"name": "wrong_socket", "scope": "cross_user", "owner": owner, "site": "run_id"}
                after = Kind(**{part: row[part] for part in Kind.__slots__})
                self.counts[after] = self.counts.get(after, 0) + row["count"]
            else:
                kept = self._evidence[row["judgement"]]
                kept[:] = [other for other in kept if other["violation"] != name]
        for rows in self._evidence.values():
            rows.sort(key=_worst_first)

    def evidence(self, judgement: str) -> list[dict[str, Any]]:
        """Rows of `violations`, worst first."""
        return list(self._evidence.get(judgement, []))

    def total(self, judgement: str, *, names: Iterable[str] | None = None) -> int:
        chosen = None if names is None else set(names)
        return sum(
            count
            for kind, count in self.counts.items()
            if kind.judgement == judgement and (chosen is None or kind.name in chosen)
        )

    def by_name(self, judgement: str) -> dict[str, int]:
        names: dict[str, int] = {}
        for kind, count in self.counts.items():
            if kind.judgement == judgement:
                names[kind.name] = names.get(kind.name, 0) + count
        return dict(sorted(names.items()))


def _worst_first(row: dict[str, Any]) -> tuple[bool, int, str]:
    return row["scope"] not in CONFIRMED_SCOPES, row["surfaced_ns"], row["violation"]


@dataclass(frozen=True, slots=True)
class Exposure:
    opportunities: int = 0
    observations: int = 0
    controls_expected: int = 0
    controls_seen: int = 0
    phantoms_live: int = 0
    skipped_bytes: int = 0


class ExposureTally:
    """Rows are cumulative: the last one of each worker and channel counts, summed over workers."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], Exposure] = {}

    def add(self, columns: Columns) -> None:
        for row in rows_of(columns):
            figures = {name: row[name] for name in Exposure.__slots__}
            self._last[row["worker"], row["channel"]] = Exposure(**figures)

    def channels(self) -> dict[int, Exposure]:
        sums: dict[int, Exposure] = {}
        for (_, channel), last in self._last.items():
            before = sums.get(channel, Exposure())
            sums[channel] = Exposure(*(getattr(before, n) + getattr(last, n) for n in Exposure.__slots__))
        return dict(sorted(sums.items()))


class HealthTally:
    """Each process's own figures, row by row."""

    #: rows in a row (about a second each) above a limit that make it a state and not a blink
    SUSTAINED = 3

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, columns: Columns) -> None:
        for row in rows_of(columns):
            self._rows.setdefault(row["worker"], []).append(row)

    def roles(self) -> dict[str, str]:
        return {worker: rows[-1]["role"] for worker, rows in sorted(self._rows.items())}

    def rows(self, worker: str) -> list[dict[str, Any]]:
        """In the order in which they were written."""
        return list(self._rows.get(worker, ()))

    def first_ns(self) -> int:
        """When the first row of all was written; 0 where there is none."""
        return min((rows[0]["at_ns"] for rows in self._rows.values()), default=0)

    def last(self, worker: str) -> dict[str, Any] | None:
        rows = self._rows.get(worker)
        return rows[-1] if rows else None

    def cpu_percent_max(self) -> dict[str, float]:
        return {worker: max(row["cpu_percent"] for row in rows) for worker, rows in sorted(self._rows.items())}

    def cpu_percent_sustained(self) -> dict[str, float]:
        """By worker, what its CPU reached for `SUSTAINED` rows in a row (all of them where there are fewer)."""
        sustained = {}
        for worker, rows in sorted(self._rows.items()):
            values = [row["cpu_percent"] for row in rows]
            width = min(self.SUSTAINED, len(values))
            sustained[worker] = max(min(values[i : i + width]) for i in range(len(values) - width + 1))
        return sustained

    def hub_lag_ms(self, worker: str | None = None) -> np.ndarray:
        """The worst lag of each row of the processes that hold sockets (all but the master's), ascending."""
        lags = [
            row["hub_lag_max_ns"] / 1e6
            for name, rows in self._rows.items()
            for row in rows
            if row["role"] != "master" and worker in (None, name)
        ]
        return np.sort(np.array(lags, dtype=np.float64))


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Columns as dicts of plain values; `MISSING` becomes None. For tables of few rows."""
    lists = [[None if value == MISSING else value for value in column.tolist()] for column in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
