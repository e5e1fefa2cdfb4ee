"""What a step of the scale bench comes to: pure functions of its record, its verdict and samples of its processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq

from bench.scale_run import SETTLE_S, Sample, Step, Watched

GENERATORS = ("generator", "worker")
ACCUSATIONS = 10
OURS = ("generator", "worker", "master")


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of the table. The *window* begins when all users are there and settled, and ends when they must stop.

    CPU is of one processor: 100 % is one of them. Memory per user is what the processes of a role have grown by since
    before the first user, over the users: until the window begins, and until it ends, the record's own rows included.
    """

    users: int
    workers: int
    seconds: float
    connected: int  # connections that were ready
    ramp_s: float  # from the first user to the last
    events_per_s: float  # in the window
    events_wanted_per_s: float
    runs_ok: int
    runs_other: int  # neither ok nor cut by us
    runs_cut: int
    lag_p50_ms: float | None  # received − arrived, of every event of the window
    lag_p99_ms: float | None
    hub_lag_max_ms: float
    exact_share: float | None
    cpu_us_per_event: float | None  # of all our processes but the backend
    worker_us_per_event: float | None  # of those that generate
    cpu_percent: dict[str, float]  # by role, in the window
    rss_mib: dict[str, float]  # by role, at the end of the window; reports: at most
    kib_per_user_there: float | None  # of those that generate, when all users were there
    kib_per_user: float | None  # at the end of the window: with what the record keeps of the events
    backend_kib_per_user: float | None
    unaccounted: int | None  # None: nobody could tell
    false_violations: int
    end_s: float  # from the order to stop to the exit, with reports
    stop_s: float  # from the order to stop to the last row of the record
    record_mib: float
    exit_code: int
    verdicts: dict[str, str]
    problems: list[str]
    accusations: list[str]  # whom the harness blamed, and why: this backend does nothing wrong

    @property
    def whole(self) -> bool:
        """Nothing was lost, and nobody accused. Timing is another matter."""
        return self.unaccounted == 0 and not (self.false_violations or self.runs_other or self.problems)

    @property
    def sentence(self) -> str:
        lag = (
            "no event" if self.lag_p99_ms is None else f"lag p50 {self.lag_p50_ms:.2f} ms, p99 {self.lag_p99_ms:.1f} ms"
        )
        memory = "" if self.kib_per_user is None else f"{self.kib_per_user:.0f} KiB a user, "
        return (
            f"{self.events_per_s:,.0f} events/s, {lag}, {memory}{self.unaccounted} unaccounted, "
            f"{self.false_violations} false violations, {self.runs_ok:,} runs ok, {self.runs_other} not; "
            f"end {self.end_s:.0f} s"
        )


def figures_of(step: Step, watched: Watched) -> Figures:
    verdict = orjson.loads((watched.folder / "verdict.json").read_bytes())
    record = watched.folder / "record"
    stopped_s = watched.stopped_s or watched.ended_s
    begin_s = min((watched.all_there_s or stopped_s) + SETTLE_S, stopped_s)
    cpu_s = {role: _cpu_between(watched.samples, role, begin_s, stopped_s) for role in (*OURS, "backend")}
    seconds = max(stopped_s - begin_s, 1e-9)
    events, lags_ms, exact = _events_between(record, begin_s, stopped_s)
    health = _columns(record, "health", ["at_ns", "hub_lag_max_ns", "users"])
    inside = _inside(health["at_ns"], begin_s, stopped_s)
    first_user_s = float(min(health["at_ns"][health["users"] > 0], default=begin_s * 1e9)) / 1e9
    runs, violations = verdict["delivery"]["runs"], verdict["delivery"]["violations"]
    generating = [role for role in GENERATORS if cpu_s[role]]
    return Figures(
        users=step.users,
        workers=step.workers,
        seconds=seconds,
        connected=verdict["connections"]["ready"],
        ramp_s=max((watched.all_there_s or stopped_s) - first_user_s, 0.0),
        events_per_s=events / seconds,
        events_wanted_per_s=step.users * step.events_per_user,
        runs_ok=runs["ok"],
        runs_other=runs["started"] - runs["ok"] - runs["cut"],
        runs_cut=runs["cut"],
        lag_p50_ms=_percentile(lags_ms, 50),
        lag_p99_ms=_percentile(lags_ms, 99),
        hub_lag_max_ms=float(np.max(health["hub_lag_max_ns"][inside], initial=0)) / 1e6,
        exact_share=exact,
        cpu_us_per_event=sum(cpu_s[role] for role in OURS) / events * 1e6 if events else None,
        worker_us_per_event=sum(cpu_s[role] for role in generating) / events * 1e6 if events else None,
        cpu_percent={role: 100 * used_s / seconds for role, used_s in cpu_s.items() if used_s},
        rss_mib={role: _rss_at(watched.samples, role, stopped_s) / 2**20 for role in (*OURS, "backend")
                 if _rss_at(watched.samples, role, stopped_s)}
        | {"reports": max((one.rss_bytes for one in watched.samples if one.role == "reports"), default=0) / 2**20},
        kib_per_user_there=_grown_kib(watched, GENERATORS, first_user_s, begin_s, step.users),
        kib_per_user=_grown_kib(watched, GENERATORS, first_user_s, stopped_s, step.users),
        backend_kib_per_user=_grown_kib(watched, ("backend",), first_user_s, stopped_s, step.users),
        unaccounted=verdict["measurement"]["unaccounted_events"],
        false_violations=len(verdict["isolation"]["violations"]) + sum(violations.values()),
        end_s=watched.ended_s - stopped_s,
        stop_s=float(np.max(health["at_ns"], initial=0)) / 1e9 - stopped_s,
        record_mib=sum(path.stat().st_size for path in record.rglob("*") if path.is_file()) / 2**20,
        exit_code=watched.exit_code,
        verdicts={name: verdict[name]["verdict"] for name in ("delivery", "isolation", "measurement")},
        problems=orjson.loads((record / "run.json").read_bytes())["problems"],
        accusations=_accusations(record),
    )  # fmt: skip


def _accusations(record: Path) -> list[str]:
    """The first violations in words, and the runs that did not end well."""
    names = ["name", "channel", "scope", "observer", "owner", "run", "site", "field", "decode", "came", "frame"]
    columns = _columns(record, "violations", names)
    said = [
        "; ".join(f"{name} {columns[name][row]}" for name in names if str(columns[name][row]) not in ("", "0"))
        for row in range(min(len(columns["name"]), ACCUSATIONS))
    ]
    runs = _columns(record, "runs", ["outcome", "signature", "account", "run"])
    bad = np.flatnonzero((runs["outcome"] != "ok") & (runs["outcome"] != "cut"))[:ACCUSATIONS]
    return [*said, *(f"{runs['account'][row]} {runs['run'][row]}: {runs['signature'][row]}" for row in bad)]


def _events_between(record: Path, begin_s: float, end_s: float) -> tuple[int, np.ndarray, float | None]:
    """How many, their lags in ms, and the share of stamps that are exact."""
    events = _columns(record, "events", ["arrived_ns", "received_ns", "exact"])
    inside = _inside(events["received_ns"], begin_s, end_s)
    lags_ms = (events["received_ns"] - events["arrived_ns"])[inside] / 1e6
    count = int(np.sum(inside))
    return count, lags_ms, float(np.mean(events["exact"][inside])) if count else None


def _columns(record: Path, table: str, names: list[str]) -> dict[str, Any]:
    """Some columns of a table; a long record is not read whole."""
    parts = sorted((record / table).glob("part-*.parquet"))
    read = [pq.read_table(part, columns=names) for part in parts]
    return {name: np.concatenate([part[name].to_numpy() for part in read] or [np.empty(0)]) for name in names}


def _inside(instants_ns: np.ndarray, begin_s: float, end_s: float) -> np.ndarray:
    inside: np.ndarray = (instants_ns >= begin_s * 1e9) & (instants_ns < end_s * 1e9)
    return inside


def _percentile(values: np.ndarray, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def _cpu_between(samples: Iterable[Sample], role: str, begin_s: float, end_s: float) -> float:
    """CPU seconds of all processes of a role: of each, between its first and its last sample inside, drawn out to the
    whole of the time."""
    used_s = 0.0
    by_pid: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.role == role and begin_s <= sample.at_s <= end_s:
            by_pid.setdefault(sample.pid, []).append(sample)
    for first, *_, last in (seen for seen in by_pid.values() if len(seen) > 1):
        used_s += (last.cpu_s - first.cpu_s) * (end_s - begin_s) / (last.at_s - first.at_s)
    return used_s


def _rss_at(samples: Iterable[Sample], role: str, at_s: float) -> int:
    """Of all processes of a role, at the last look up to an instant."""
    newest = {sample.pid: sample for sample in samples if sample.role == role and sample.at_s <= at_s}
    return sum(sample.rss_bytes for sample in newest.values())


def _grown_kib(
    watched: Watched, roles: Iterable[str], before_s: float, after_s: float, users: int
) -> float | None:  # fmt: skip
    before = sum(_rss_at(watched.samples, role, before_s) for role in roles)
    after = sum(_rss_at(watched.samples, role, after_s) for role in roles)
    return (after - before) / 1024 / users if before and after else None
