"""The tally: rows of a record in, the figures that are judged out.

The same rows give the same figures however they are split into pieces, so a live view that is fed batch by batch and
a report that reads the whole record never disagree. Samples of all workers are pooled; a worker's own are there beside
them, and percentiles are never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.columns import CodedEvents, Columns
from crosstalk.checks.metrics import kind_in, metric_of, place_in
from crosstalk.checks.tally_connections import ConnectionTally
from crosstalk.checks.tally_faults import ExposureTally, HealthTally, ViolationTally
from crosstalk.checks.tally_memory import MemoryTally
from crosstalk.checks.tally_runs import RunTally
from crosstalk.checks.tally_steps import StepTally
from crosstalk.checks.violation import CONFIRMED_SCOPES


@dataclass(frozen=True, slots=True)
class Share:
    hits: int
    n: int

    @property
    def value(self) -> float | None:
        return self.hits / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Count:
    """`count` things of `n` opportunities."""

    count: int
    n: int


class Tally:
    """Accumulates the tables of a record: `add` each piece once, in the order in which its worker wrote it."""

    def __init__(self) -> None:
        self.runs = RunTally()
        self.connections = ConnectionTally()
        self.violations = ViolationTally()
        self.exposure = ExposureTally()
        self.health = HealthTally()
        self.steps = StepTally()
        self.memory = MemoryTally()
        self.id_owners: dict[str, str] = {}  # id that the server chose → the account that it was told to

    def add(self, table: str, columns: Columns) -> None:
        """Take a piece of a table in. Tables that no figure needs (`frames`) are passed over."""
        takers = {
            "runs": self.runs.add_runs,
            "events": self.runs.add_events,
            "connections": self.connections.add,
            "violations": self.violations.add,
            "exposure": self.exposure.add,
            "health": self.health.add,
            "ids": self._add_ids,
            "steps": self.steps.add,
            "memory": self.memory.add,
        }
        if table in takers and columns and len(next(iter(columns.values()))):
            takers[table](columns)

    def add_events(self, events: CodedEvents) -> None:
        """The same as `add("events", …)`, for events whose texts are coded."""
        self.runs.add_coded(events)

    def settle(self) -> None:
        """Everything is in: what only the whole record can tell is told now. May be called again."""
        self.violations.settle(self.id_owners)

    def _add_ids(self, columns: Columns) -> None:
        for wire_id, account in zip(columns["id"].tolist(), columns["account"].tolist(), strict=True):
            self.id_owners.setdefault(wire_id, account)

    def samples(self, metric: str, *, window: str = "judged", worker: str | None = None) -> np.ndarray:
        """Samples of a time metric in ms, ascending; +inf for what never came.

        :param window: `judged`: of runs that started after the ramp and the warm-up; `all`: of all but those that were
            cut. Connections and steps have no window.
        :raises KeyError: when it is not a time metric.
        """
        return np.sort(self._samples(metric, window, worker)[0])

    def samples_by_user(
        self, metric: str, *, window: str = "judged", worker: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same samples, and beside each the number of the account that it is of."""
        found, accounts = self._samples(metric, window, worker)
        order = np.argsort(found, kind="stable")
        return found[order], accounts[order]

    def _samples(self, metric: str, window: str, worker: str | None) -> tuple[np.ndarray, np.ndarray]:
        known = metric_of(metric)
        if known is None or known.kind != "time":
            raise KeyError(f"expected a time metric, came {metric!r}")
        if known.source == "connection":
            return self.connections.samples(metric, worker=worker)
        if known.source == "step":
            return self.steps.samples(*place_in(metric), worker=worker)
        if known.source == "run":
            return self.runs.run_samples(metric, window=window, worker=worker)
        name, kind = kind_in(metric) or (metric, "")
        return self.runs.event_samples(name, kind=kind, window=window, worker=worker)

    def share(self, metric: str) -> Share:
        """:raises KeyError: when it is not a share."""
        known = metric_of(metric)
        if known is None or known.kind != "share":
            raise KeyError(f"expected a share metric, came {metric!r}")
        if known.source == "step":
            return Share(*self.steps.share(*place_in(metric)))
        if known.source == "connection":
            return Share(*self.connections.share(metric))
        return Share(*self.runs.shares(metric, self.violations.broken_runs))

    def count(self, metric: str, *, workers: Mapping[str, Mapping[str, Any]] | None = None) -> Count:
        """:param workers: the final word of each worker, for `events_lost`; see `unaccounted`.
        :raises KeyError: when it is not a count.
        """
        if metric in ("connections_lost", "connections_lost_unannounced", "close_1011"):
            return Count(*self.connections.count(metric))
        if metric == "events_lost":
            missing = self.unaccounted(workers)
            return Count(sum(abs(n) for n in missing.values()), sum(self.events_received(workers).values()))
        if metric == "retries":
            return Count(*self.runs.retries())
        if metric == "isolation_violations":
            return Count(self.confirmed_leaks(), self.opportunities())
        raise KeyError(f"expected a count metric, came {metric!r}")

    def workers(self) -> list[str]:
        """Workers that left events, runs or figures of their own."""
        return sorted({*self.runs.workers.names(), *self.health.roles()})

    def events_received(self, workers: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, int]:
        """By worker: its final word where there is one, else its last row of `health`."""
        finals = workers or {}
        received = {}
        for worker in sorted({*self.workers(), *finals}):
            final = finals.get(worker, {}).get("events_received")
            last = self.health.last(worker)
            said = last["events_received"] if final is None and last is not None else final
            received[worker] = int(said or 0)
        return received

    def unaccounted(self, workers: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, int]:
        """By worker: events received that are not in the record (below 0: recorded, and never counted as received).

        A lost worker's last word is up to a second old, so rows beyond it are not held against it.
        """
        recorded = self.runs.events_recorded()
        missing = {}
        for worker, received in self.events_received(workers).items():
            difference = received - recorded.get(worker, 0)
            lost = bool((workers or {}).get(worker, {}).get("lost"))
            missing[worker] = max(difference, 0) if lost else difference
        return missing

    def opportunities(self) -> int:
        """Of the channel that had the most: frames checked while another user's canary was live."""
        return max((exposure.opportunities for exposure in self.exposure.channels().values()), default=0)

    def mismatched(self) -> set[str]:
        """Accounts whose sockets carry another identity than their token's."""
        named = {kind.observer for kind in self.violations.counts if kind.judgement == "identity"}
        return named | self.connections.mismatched

    def confirmed_leaks(self) -> int:
        """Isolation violations of this load test, but for those between accounts whose identity is in doubt."""
        doubtful = self.mismatched()
        return sum(
            count
            for kind, count in self.violations.counts.items()
            if kind.judgement == "isolation"
            and kind.scope in CONFIRMED_SCOPES
            and kind.observer not in doubtful
            and kind.owner not in doubtful
        )
