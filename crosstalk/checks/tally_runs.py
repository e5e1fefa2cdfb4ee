"""What the rows of `runs` and `events` add up to: outcomes, shares, and the samples of every time.

A *window* is `judged` (runs that started after the ramp and after the warm-up, see `steady`) or `all`. Runs that we cut
are in neither: they are counted apart. Shares and counts are of all runs, the ramp's too: a run that failed then has
failed. Beside each sample stands the account that it is of: the samples of one user resemble each other.
"""

from __future__ import annotations

import numpy as np

from crosstalk.checks.columns import MISSING, CodedEvents, Columns
from crosstalk.checks.grown import Grown, Names
from crosstalk.checks.steady import Steady, steady_window

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
    "retries",
)

#: ms, and beside each the number of the account that it is of
Samples = tuple[np.ndarray, np.ndarray]
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
        self._window: tuple[int, Steady] | None = None  # of so many runs
        self._key_accounts = np.empty(0, dtype=np.int64)

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
        self._add_events(
            columns,
            key=self._keys_of(columns),
            worker=self.workers.numbers(columns["worker"]),
            kind=self._kinds.numbers(columns["kind"]),
        )

    def add_coded(self, events: CodedEvents) -> None:
        """Each word is looked up once, not once for each event."""
        texts = events.texts
        account, run = texts["account"], texts["run"]
        self._add_events(
            events.others,
            key=self.keys.numbers(zip(account.words, run.words, strict=True))[run.codes],
            worker=self.workers.numbers(texts["worker"].words)[texts["worker"].codes],
            kind=self._kinds.numbers(texts["kind"].words)[texts["kind"].codes],
        )

    def _add_events(self, columns: Columns, *, key: np.ndarray, worker: np.ndarray, kind: np.ndarray) -> None:
        self.events.add(
            key=key,
            worker=worker,
            kind=kind,
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
            whole = kept & ~self._is(*_NEVER_ENDED) & ~self._broken(broken)
            return int(np.sum(whole)), int(np.sum(kept))
        started, done = self.runs["tools_started"][kept], self.runs["tools_done"][kept]
        return int(np.sum(np.minimum(started, done))), int(np.sum(np.maximum(started, done)))

    def ended_well(self, broken: set[RunKey]) -> np.ndarray:
        """Of every run: did it end ok, with a delivery that was complete and in order?"""
        well: np.ndarray = self._is("ok") & ~self._broken(broken)
        return well

    def _broken(self, broken: set[RunKey]) -> np.ndarray:
        numbers = np.array([self.keys.number(key) for key in broken], dtype=np.int64)
        found: np.ndarray = np.isin(self.runs["key"], numbers)
        return found

    def retries(self) -> tuple[int, int]:
        """How many events came again and said so, and how many there were."""
        return int(np.sum(self.runs["retries"])), len(self.events)

    def runs_ok_without_nonce(self) -> int:
        return int(np.sum(self._is("ok") & ~self.runs["nonce_back"]))

    def events_recorded(self) -> dict[str, int]:
        """Rows of `events` by worker."""
        numbers = np.bincount(self.events["worker"], minlength=len(self.workers))
        return {name: int(numbers[number]) for number, name in enumerate(self.workers.names())}

    def exact_share(self) -> float | None:
        return float(np.mean(self.events["exact"])) if len(self.events) else None

    # -- times

    def window(self) -> Steady:
        """The part of the load test that is judged, as the runs that are known by now tell it."""
        runs = self.runs
        if self._window is None or self._window[0] != len(runs):
            told = steady_window(runs["sent_ns"], runs["end_ns"], runs["account"], runs["warm_up"])
            self._window = len(runs), told
        return self._window[1]

    def run_samples(self, metric: str, *, window: str, worker: str | None) -> Samples:
        """A run's metric in ms, +inf for runs that never got there, and the account of each. Unordered."""
        values, known = self.run_values(metric)
        chosen = self.chosen(window, worker) & known
        return values[chosen], self.runs["account"][chosen]

    def run_values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Of every run: its metric in ms, +inf where it never got there, and whether it has that metric at all.

        :raises KeyError: when it is not a time of a run.
        """
        runs, lost = self.runs, self._lost()
        if metric in _SINCE_SENT:
            instant = runs[_SINCE_SENT[metric]]
            there = instant != MISSING
            values, known = instant - runs["sent_ns"], lost | there
        elif metric in _UNTIL_END:
            there = (runs["end_ns"] != MISSING) & ~lost
            values, known = runs["end_ns"] - runs[_UNTIL_END[metric]], there | lost
        elif metric == "stall_max_ms":
            there = (runs["stall_max_ns"] != MISSING) & ~lost
            values, known = runs["stall_max_ns"], there | lost
        elif metric == "handoff_time_ms":
            values, known = runs["handoff_time_max_ns"], runs["handoffs"] > 0
            there = values != MISSING
        elif metric == "schedule_lag_ms":
            values, known = runs["sent_ns"] - runs["intended_ns"], ~runs["waited"]
            there = known
        else:
            raise KeyError(metric)
        return np.where(there, values / 1e6, np.inf), known

    def event_samples(self, metric: str, *, kind: str = "", window: str, worker: str | None) -> Samples:
        """An event's metric in ms, and the account of each. Events of runs that have not ended yet wait. Unordered.

        A run that fell silent in mid-stream has one chunk gap that never ended: +inf.
        """
        events = self.events
        of_worker = self._of_worker(events["worker"], worker)
        if metric == "receive_lag_ms":  # the generator's own: every event of every run
            return _ms(events["lag_ns"][of_worker]), self._account_of_key()[events["key"][of_worker]]
        column = {"event_time_ms": "time_ns", "event_gap_ms": "gap_ns"}.get(metric, metric.removesuffix("_ms") + "_ns")
        chosen = self._run_is_in(window)[events["key"]] & of_worker & (events[column] != MISSING)
        if kind:
            chosen &= events["kind"] == self._kinds.number(kind)
        samples, accounts = _ms(events[column][chosen]), self._account_of_key()[events["key"][chosen]]
        if metric == "chunk_gap_ms":
            runs = self.runs
            silent = self._lost() & (runs["first_chunk_ns"] != MISSING) & (runs["end_ns"] == MISSING)
            silent = silent & self.chosen(window, worker)
            samples = np.concatenate([samples, np.full(int(np.sum(silent)), np.inf)])
            accounts = np.concatenate([accounts, runs["account"][silent]])
        return samples, accounts

    def kind_number(self, kind: str) -> int:
        """As in the column `kind` of `events`; -1 for a kind that was not seen."""
        return self._kinds.number(kind)

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

    def chosen(self, window: str, worker: str | None = None) -> np.ndarray:
        """Of every run: is it in the window, and of that worker?"""
        chosen: np.ndarray = ~self._is("cut") & self._of_worker(self.runs["worker"], worker)
        if window == "judged":
            chosen &= ~self.runs["warm_up"] & (self.runs["sent_ns"] >= self.window().from_ns)
        return chosen

    def _of_worker(self, workers: np.ndarray, worker: str | None) -> np.ndarray:
        chosen: np.ndarray = workers == (workers if worker is None else self.workers.number(worker))
        return chosen

    def _account_of_key(self) -> np.ndarray:
        """By number of the run's key: the number of its account."""
        if len(self._key_accounts) != len(self.keys):
            self._key_accounts = self._accounts.numbers(account for account, _ in self.keys.names())
        return self._key_accounts

    def _run_is_in(self, window: str) -> np.ndarray:
        """By number of the run's key: has it ended, and is it in the window?"""
        inside = np.zeros(len(self.keys), dtype=np.bool_)
        inside[self.runs["key"][self.chosen(window, None)]] = True
        return inside


def _ms(values_ns: np.ndarray) -> np.ndarray:
    samples: np.ndarray = values_ns / 1e6
    return samples
