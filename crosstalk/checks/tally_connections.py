"""What the rows of `connections` add up to. Probes with a bad token are kept apart from people everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.grown import Grown, Names

#: metric → the instants between which it lies
_BETWEEN = {
    "connect_time_ms": ("begun_ns", "connected_ns"),
    "upgrade_time_ms": ("begun_ns", "upgraded_ns"),
    "ready_time_ms": ("begun_ns", "ready_ns"),
    "authentication_time_ms": ("upgraded_ns", "ready_ns"),
}
#: close codes that announce an end and ask to come again: going away, service restart, try again later
ANNOUNCED = (1001, 1012, 1013)
_WAY_UP = ("begun_ns", "connected_ns", "upgraded_ns", "ready_ns")
_FIGURES = (*_WAY_UP, "ended_ns", "probe_time_median_ns", "close_code", "http_status")


class ConnectionTally:
    """A connection that was still on its way up when we closed it, with no error to tell, is `cut`: not an attempt."""

    def __init__(self) -> None:
        self._words: Names[str] = Names()
        self._words.numbers(["user", "bad_token", "ready", "refused", "us", "peer", "transport"])
        self._workers: Names[str] = Names()
        self._accounts: Names[str] = Names()
        integers = ("worker", "account", "purpose", "outcome", "closed_by", *_FIGURES)
        self._rows = Grown(**dict.fromkeys(integers, np.int64), error=np.bool_)
        self.mismatched: set[str] = set()  # accounts whose socket named somebody else
        self.identities: dict[str, int] = {}

    def add(self, columns: Columns) -> None:
        words = {name: self._words.numbers(columns[name]) for name in ("purpose", "outcome", "closed_by")}
        self._rows.add(
            worker=self._workers.numbers(columns["worker"]),
            account=self._accounts.numbers(columns["account"]),
            error=np.array([error != "" for error in columns["error"]], dtype=np.bool_),
            **words,
            **{name: columns[name] for name in _FIGURES},
        )
        for purpose, account, identity in zip(columns["purpose"], columns["account"], columns["identity"], strict=True):
            if purpose == "user":
                self.identities[identity] = self.identities.get(identity, 0) + 1
                if identity == "mismatch":
                    self.mismatched.add(account)

    def summary(self) -> dict[str, Any]:
        """Figures of people's connections, and of the bad tokens beside them."""
        people = self._attempts("user")
        codes = self._rows["close_code"][self._is("purpose", "user")]
        values, numbers = np.unique(codes[codes != MISSING], return_counts=True)
        rejected, probes = self.share("bad_tokens_rejected")
        return {
            "attempted": int(np.sum(people)),
            "ready": int(np.sum(people & self._is("outcome", "ready"))),
            "refused": int(np.sum(people & self._is("outcome", "refused"))),
            "failed": int(np.sum(people & ~self._is("outcome", "ready") & ~self._is("outcome", "refused"))),
            "cut": int(np.sum(self._is("purpose", "user") & self._cut())),
            "lost": self.count("connections_lost")[0],
            "close_codes": {str(code): int(n) for code, n in zip(values.tolist(), numbers.tolist(), strict=True)},
            "identity": dict(sorted(self.identities.items())),
            "bad_tokens": {"attempted": probes, "rejected": rejected},
        }

    def share(self, metric: str) -> tuple[int, int]:
        """Hits and n."""
        if metric == "connections_recovered":
            gaps, _ = self._reconnects(self._attempts("user"))
            return int(np.sum(np.isfinite(gaps))), len(gaps)
        if metric == "tokens_accepted":
            people = self._attempts("user")
            return int(np.sum(people & self._is("outcome", "ready"))), int(np.sum(people))
        probes, rows = self._attempts("bad_token"), self._rows
        # a server fault is never a rejection
        fault = (rows["close_code"] == 1011) | (rows["http_status"] >= 500)
        return int(np.sum(probes & self._is("outcome", "refused") & ~fault)), int(np.sum(probes))

    def count(self, metric: str) -> tuple[int, int]:
        """How many, of how many."""
        people = self._attempts("user")
        if metric == "close_1011":
            return int(np.sum(people & (self._rows["close_code"] == 1011))), int(np.sum(people))
        lost = self._lost()
        if metric == "connections_lost_unannounced":
            lost = lost & ~np.isin(self._rows["close_code"], ANNOUNCED)
        return int(np.sum(people & lost)), int(np.sum(people & self._is("outcome", "ready")))

    def samples(self, metric: str, *, worker: str | None) -> tuple[np.ndarray, np.ndarray]:
        """ms, +inf for those that never got there, and the account of each. Unordered."""
        rows, chosen = self._rows, self._attempts("user")
        if worker is not None:
            chosen = chosen & (rows["worker"] == self._workers.number(worker))
        if metric == "probe_time_ms":
            values = rows["probe_time_median_ns"]
            chosen = chosen & (values != MISSING)
            return values[chosen] / 1e6, rows["account"][chosen]
        if metric == "reconnect_time_ms":
            return self._reconnects(chosen)
        begin, end = (rows[name] for name in _BETWEEN[metric])
        chosen = chosen & (begin != MISSING)
        return np.where(end == MISSING, np.inf, (end - begin) / 1e6)[chosen], rows["account"][chosen]

    def _reconnects(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transport lost → ready again: the account's next connection that became ready, of those begun after it.

        +inf where all of those failed; no sample where there was none, as when the load test ended.
        """
        rows = self._rows
        later: dict[int, list[tuple[int, int]]] = {}  # account → (begun, ready) in order
        for row in np.lexsort((rows["begun_ns"], rows["account"])).tolist():
            if chosen[row]:
                begun, ready = int(rows["begun_ns"][row]), int(rows["ready_ns"][row])
                later.setdefault(int(rows["account"][row]), []).append((begun, ready))
        samples, accounts = [], []
        for row in np.flatnonzero(chosen & self._lost() & (rows["ended_ns"] != MISSING)).tolist():
            ended, account = int(rows["ended_ns"][row]), int(rows["account"][row])
            tried = [ready for begun, ready in later[account] if begun >= ended]
            if tried:
                again = min((ready for ready in tried if ready != MISSING), default=None)
                samples.append(np.inf if again is None else (again - ended) / 1e6)
                accounts.append(account)
        return np.array(samples, dtype=float), np.array(accounts, dtype=np.int64)

    def begun_ns(self) -> np.ndarray:
        """When each attempt to connect began, whoever made it, ascending: a server has a handler for each."""
        begun: np.ndarray = np.sort(self._rows["begun_ns"])
        return begun

    def _lost(self) -> np.ndarray:
        """Ready, and ended by the peer or the transport."""
        by_others = self._is("closed_by", "peer") | self._is("closed_by", "transport")
        lost: np.ndarray = self._is("outcome", "ready") & by_others
        return lost

    def _attempts(self, purpose: str) -> np.ndarray:
        chosen: np.ndarray = self._is("purpose", purpose) & ~self._cut()
        return chosen

    def _cut(self) -> np.ndarray:
        chosen: np.ndarray = ~self._is("outcome", "ready") & self._is("closed_by", "us") & ~self._rows["error"]
        return chosen

    def _is(self, column: str, word: str) -> np.ndarray:
        chosen: np.ndarray = self._rows[column] == self._words.number(word)
        return chosen
