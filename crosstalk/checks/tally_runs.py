"""What the rows of `runs` and `events` add up to: outcomes, shares, and the samples of every time.

A *window* is `judged` (runs that started after the ramp) or `all`. Runs that we cut are in neither: they are counted
apart. Shares and counts are of all runs, the ramp's too: a run that failed then has failed.
"""

from __future__ import annotations

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from crosstalk.checks.grown import Grown, Names

OUTCOMES = ("ok", "agent_error", "timeout", "disconnected", "refused", "violated", "cut")
_NEVER_ENDED = ("timeout", "disconnected", "refused")

#: metric → column of the instant that ends it; it begins with `sent`
_SINCE_SENT = {
    "accept_time_ms": "accepted_ns",
    "time_to_first_event_ms": "first_event_ns",
    "time_to_first_chunk_ms": "first_chunk_ns",
}
#: metric → column of the instant at which it begins; it ends with the run
_UNTIL_END = {"service_time_ms": "sent_ns", "response_time_ms": "intended_ns"}

#: columns of `runs` that are kept as they are
_RUN_FIGURES = (
    "intended_ns",
    "sent_ns",
    "accepted_ns",
    "first_event_ns",
    "first_chunk_ns",
    "end_ns",
    "handoff_time_max_ns",
    "stall_max_ns",
    "handoffs",
    "tools_started",
)

RunKey = tuple[str, str]  # account and wire run id: several users may use one run id on purpose


class RunTally:
    """Rows of both tables, kept as narrow arrays. Samples are worked out when they are asked for."""

    def __init__(self) -> None:
        self.workers: Names[str] = Names()
        self.keys: Names[RunKey] = Names()
        self._accounts: Names[str] = Names()
        self._kinds: Names[str] = Names()
        self._outcomes: Names[str] = Names()
        self.runs = Grown(
            **dict.fromkeys(["key", "worker", "account", "outcome", "tools_done", *_RUN_FIGURES], np.int64),
            waited=np.bool_,
            warm_up=np.bool_,
            nonce_back=np.bool_,
        )
        self.events = Grown(
            **dict.fromkeys(["key", "worker", "kind"], np.int32),
            **dict.fromkeys(["time_ns", "gap_ns", "chunk_gap_ns", "tool_time_ns", "lag_ns"], np.int64),
            exact=np.bool_,
        )

    def add_runs(self, columns: Columns) -> None:
        self.runs.add(
            key=self._keys_of(columns),
            worker=self.workers.numbers(columns["worker"]),
            account=self._accounts.numbers(columns["account"]),
            outcome=self._outcomes.numbers(columns["outcome"]),
            tools_done=columns["tools_ok"] + columns["tools_failed"],
            **{name: columns[name] for name in (*_RUN_FIGURES, "waited", "warm_up", "nonce_back")},
        )

    def add_events(self, columns: Columns) -> None:
        self.events.add(
            key=self._keys_of(columns),
            worker=self.workers.numbers(columns["worker"]),
            kind=self._kinds.numbers(columns["kind"]),
            time_ns=columns["arrived_ns"] - columns["sent_ns"],
            lag_ns=columns["received_ns"] - columns["arrived_ns"],
            **{name: columns[name] for name in ("gap_ns", "chunk_gap_ns", "tool_time_ns", "exact")},
        )

    def _keys_of(self, columns: Columns) -> np.ndarray:
        return self.keys.numbers(zip(columns["account"], columns["run"], strict=True))

    # -- counts

    def outcomes(self) -> dict[str, int]:
        """Runs by outcome; one that is none of ours keeps its own name, so that the sum still shows it."""
        numbers = np.bincount(self.runs["outcome"], minlength=len(self._outcomes))
        counts = {name: int(numbers[number]) for number, name in enumerate(self._outcomes.names())}
        return {**dict.fromkeys(OUTCOMES, 0), **counts}

    def shares(self, metric: str, broken: set[RunKey]) -> tuple[int, int]:
        """Hits and n of a share of runs or of their calls; `broken`: runs with a delivery violation."""
        kept = ~self._is("cut")
        if metric == "runs_ok":
            return int(np.sum(self._is("ok"))), int(np.sum(kept))
        if metric == "events_complete":
            numbers = np.array([self.keys.number(key) for key in broken], dtype=np.int64)
            whole = kept & ~self._is(*_NEVER_ENDED) & ~np.isin(self.runs["key"], numbers)
            return int(np.sum(whole)), int(np.sum(kept))
        started, done = self.runs["tools_started"][kept], self.runs["tools_done"][kept]
        return int(np.sum(np.minimum(started, done))), int(np.sum(np.maximum(started, done)))

    def runs_ok_without_nonce(self) -> int:
        return int(np.sum(self._is("ok") & ~self.runs["nonce_back"]))

    def events_recorded(self) -> dict[str, int]:
        """Rows of `events` by worker."""
        numbers = np.bincount(self.events["worker"], minlength=len(self.workers))
        return {name: int(numbers[number]) for number, name in enumerate(self.workers.names())}

    def exact_share(self) -> float | None:
        return float(np.mean(self.events["exact"])) if len(self.events) else None

    # -- times

    def run_samples(self, metric: str, *, window: str, worker: str | None) -> np.ndarray:
        """Samples of a run's metric in ms; +inf for runs that never got there. Unordered."""
        runs, chosen = self.runs, self._chosen(window, worker)
        lost = self._lost()
        if metric in _SINCE_SENT:
            instant = runs[_SINCE_SENT[metric]]
            return _censored(instant - runs["sent_ns"], instant != MISSING, chosen & (lost | (instant != MISSING)))
        if metric in _UNTIL_END:
            there = (runs["end_ns"] != MISSING) & ~lost
            return _censored(runs["end_ns"] - runs[_UNTIL_END[metric]], there, chosen & (there | lost))
        if metric == "stall_max_ms":
            there = (runs["stall_max_ns"] != MISSING) & ~lost
            return _censored(runs["stall_max_ns"], there, chosen & (there | lost))
        if metric == "handoff_time_ms":
            handed = runs["handoffs"] > 0
            return _censored(runs["handoff_time_max_ns"], runs["handoff_time_max_ns"] != MISSING, chosen & handed)
        if metric == "schedule_lag_ms":
            return _ms((runs["sent_ns"] - runs["intended_ns"])[chosen & ~self.runs["waited"]])
        raise KeyError(metric)

    def event_samples(self, metric: str, *, kind: str = "", window: str, worker: str | None) -> np.ndarray:
        """Samples of an event's metric in ms. Events of runs that have not ended yet wait. Unordered.

        A run that fell silent in mid-stream has one chunk gap that never ended: +inf.
        """
        events = self.events
        if metric == "receive_lag_ms":  # the generator's own: every event of every run
            return _ms(events["lag_ns"][self._of_worker(events["worker"], worker)])
        chosen = self._run_is_in(window)[events["key"]] & self._of_worker(events["worker"], worker)
        if kind:
            values = events["time_ns" if metric == "event_time_ms" else "gap_ns"]
            chosen = chosen & (events["kind"] == self._kinds.number(kind))
            return _ms(values[chosen & (values != MISSING)])
        values = events[metric.removesuffix("_ms") + "_ns"]
        samples = _ms(values[chosen & (values != MISSING)])
        if metric == "chunk_gap_ms":
            runs = self.runs
            silent = self._lost() & (runs["first_chunk_ns"] != MISSING) & (runs["end_ns"] == MISSING)
            silent = silent & self._chosen(window, worker)
            samples = np.concatenate([samples, np.full(int(np.sum(silent)), np.inf)])
        return samples

    def kinds(self) -> list[str]:
        """Kinds of events seen."""
        return sorted(self._kinds.names())

    def waited_share(self) -> float | None:
        """Share of turns whose time had passed before their user was free and connected; None without a turn.

        Their wait between `intended` and `sent` is the target's time, not the generator's.
        """
        kept = ~self._is("cut")
        return float(np.mean(self.runs["waited"][kept])) if np.any(kept) else None

    # -- which runs

    def _is(self, *outcomes: str) -> np.ndarray:
        return np.isin(self.runs["outcome"], [self._outcomes.number(outcome) for outcome in outcomes])

    def _lost(self) -> np.ndarray:
        """Runs that never came to a good or bad end of their own."""
        lost: np.ndarray = self._is(*_NEVER_ENDED) | (self._is("violated") & (self.runs["end_ns"] == MISSING))
        return lost

    def _chosen(self, window: str, worker: str | None) -> np.ndarray:
        chosen: np.ndarray = ~self._is("cut") & self._of_worker(self.runs["worker"], worker)
        if window == "judged":
            chosen &= ~self.runs["warm_up"]
        return chosen

    def _of_worker(self, workers: np.ndarray, worker: str | None) -> np.ndarray:
        chosen: np.ndarray = workers == (workers if worker is None else self.workers.number(worker))
        return chosen

    def _run_is_in(self, window: str) -> np.ndarray:
        """By number of the run's key: has it ended, and is it in the window?"""
        inside = np.zeros(len(self.keys), dtype=np.bool_)
        inside[self.runs["key"][self._chosen(window, None)]] = True
        return inside


def _ms(values_ns: np.ndarray) -> np.ndarray:
    samples: np.ndarray = values_ns / 1e6
    return samples


def _censored(values_ns: np.ndarray, there: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """ms of the chosen rows; +inf where the value is not there."""
    return np.array(np.where(there, values_ns / 1e6, np.inf)[chosen])
