"""What the rows of `steps` add up to: journeys and their steps by family, times, and examples of what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from crosstalk.checks.columns import Columns
from crosstalk.checks.families import CUT, FAILED, NOT_OFFERED, OK
from crosstalk.checks.grown import Grown, Names

#: failures of one step that are kept in words
EXAMPLES = 5
_EXAMPLE = ("account", "journey", "expected", "came", "run", "connection", "trace_id", "worker", "begun_ns")


class StepTally:
    """Steps that were cut, and those that the target does not offer, are counted and are no attempts."""

    def __init__(self) -> None:
        self._places: Names[tuple[str, str]] = Names()  # (family, step)
        self._outcomes: Names[str] = Names()
        self._outcomes.numbers([OK, FAILED, CUT, NOT_OFFERED])
        self._workers: Names[str] = Names()
        self._accounts: Names[str] = Names()
        self._rows = Grown(
            place=np.int64, outcome=np.int64, worker=np.int64, account=np.int64, begun_ns=np.int64, time_ns=np.int64
        )
        self._examples: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._reasons: dict[tuple[str, str], str] = {}

    def add(self, columns: Columns) -> None:
        places = list(zip(columns["family"].tolist(), columns["step"].tolist(), strict=True))
        self._rows.add(
            place=self._places.numbers(places),
            outcome=self._outcomes.numbers(columns["outcome"]),
            worker=self._workers.numbers(columns["worker"]),
            account=self._accounts.numbers(columns["account"]),
            begun_ns=columns["begun_ns"],
            time_ns=columns["time_ns"],
        )
        for row in np.flatnonzero(columns["outcome"] == NOT_OFFERED).tolist():
            self._reasons.setdefault(places[row], str(columns["expected"][row]))
        for row in np.flatnonzero(columns["outcome"] == FAILED).tolist():
            kept = self._examples.setdefault(places[row], [])
            if len(kept) < EXAMPLES:
                kept.append({name: columns[name][row : row + 1].tolist()[0] for name in _EXAMPLE})

    def places(self) -> list[tuple[str, str]]:
        """(family, step), in the order of their first appearance; step "" is the journey as a whole."""
        return self._places.names()

    def families(self) -> list[str]:
        return list(dict.fromkeys(family for family, _ in self.places()))

    def outcomes(self, family: str, step: str) -> dict[str, int]:
        """Outcome → how many."""
        chosen = self._rows["place"] == self._places.number((family, step))
        return {
            word: int(np.sum(chosen & (self._rows["outcome"] == self._outcomes.number(word))))
            for word in (OK, FAILED, CUT, NOT_OFFERED)
        }

    def share(self, family: str = "", step: str | None = None) -> tuple[int, int]:
        """Hits and n of the steps (`step` None: of all steps; "": of journeys) of a family ("": of all)."""
        found: Counter[str] = Counter()
        for place in self._matching(family, step):
            found.update(self.outcomes(*place))
        return found[OK], found[OK] + found[FAILED]

    def samples(self, family: str, step: str | None, *, worker: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """ms, +inf for those that failed, and the account of each. Unordered.

        :param family: "": the steps of that name in all families.
        """
        rows = self._rows
        numbers = [self._places.number(place) for place in self._matching(family, step)]
        chosen = np.isin(rows["place"], numbers)
        if worker is not None:
            chosen &= rows["worker"] == self._workers.number(worker)
        ok, failed = (rows["outcome"] == self._outcomes.number(word) for word in (OK, FAILED))
        chosen &= ok | failed
        return np.where(failed, np.inf, rows["time_ns"] / 1e6)[chosen], rows["account"][chosen]

    def examples(self, family: str, step: str) -> list[dict[str, Any]]:
        """The first failures of a step: whose, what was expected, what came."""
        return self._examples.get((family, step), [])

    def why_not_offered(self, family: str, step: str) -> str:
        return self._reasons.get((family, step), "")

    def why_nothing(self, family: str, step: str | None) -> str:
        """Why there can be no attempt at these steps: the target said of each that was met that it has it not. "" where
        one was tried, or cut, or where nobody came so far. Of a journey (`step` ""), all of its steps are asked.
        """
        reasons = []
        for place in self._matching(family, step or None):
            outcomes = self.outcomes(*place)
            if outcomes[OK] + outcomes[FAILED] + outcomes[CUT]:
                return ""
            reasons.append(self.why_not_offered(*place))
        return reasons[0] if reasons else ""

    def _matching(self, family: str, step: str | None) -> Iterator[tuple[str, str]]:
        for place in self.places():
            if family in ("", place[0]) and (bool(place[1]) if step is None else step == place[1]):
                yield place
