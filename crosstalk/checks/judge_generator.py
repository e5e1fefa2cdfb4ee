"""What kept the load generator from measuring, and why: each process's own figures against the limits for them.

A cause names the process, the figure, the seconds, and what the process did meanwhile: its own work, garbage
collections, other threads, waiting for a processor that something else had, or nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from crosstalk.checks.limits import Generator
from crosstalk.checks.statistics import percentile
from crosstalk.checks.tally import Tally
from crosstalk.checks.words import counted, number

Row = Mapping[str, Any]
#: of a lag or of some seconds, the part that something must have taken to be named as the reason
MAIN_SHARE, LARGE_SHARE = 0.5, 0.25
#: percent of a processor from which on a process is said to be at work all the time
BUSY_PERCENT = 80.0
#: descriptors that may be left of a limit that counts as reached
FILES_LEFT = 4
#: a master that is so late cannot hear its workers in time; they count as missing after some seconds
MASTER_LAG_MS = 2000.0
KEEPS_RECORD = "it keeps the record, and its workers wait for it; times are theirs and are not spoiled"


class OwnTrouble:
    """The rows of `health`, read against the limits for the generator.

    :param started_ns: of the load test; seconds are counted from there.
    """

    def __init__(self, tally: Tally, limits: Generator, started_ns: int) -> None:
        self._tally = tally
        self._limits = limits
        self._started_ns = started_ns

    def causes(self) -> list[str]:
        """Why no time of this load test can be believed."""
        health, limits = self._tally.health, self._limits
        roles = health.roles()
        causes = [
            f"worker {worker} left no figures of its own health"
            for worker in self._tally.runs.workers.names()
            if worker not in roles
        ]
        for worker in sorted(self._tally.runs.workers.names()):  # each by itself: healthy ones must not hide a sick one
            causes += self._lag("receive lag", worker, limits.receive_lag_p99_ms_max)
        for worker in sorted(self._tally.runs.workers.names()):
            causes += self._lag("schedule lag", worker, limits.schedule_lag_p99_ms_max)
        for worker, role in roles.items():
            if role != "master":  # it holds no sockets: what it does late spoils no time
                causes += [*self._hub_lag(worker), *self._cpu(worker), *self._clock_steps(worker)]
        return causes

    def gaps(self) -> list[str]:
        """Why something is missing that a process should have done."""
        gaps = []
        for worker in self._tally.health.roles():
            rows = self._tally.health.rows(worker)
            used_up = [n for n, row in enumerate(rows) if _files_used_up(row)]
            if used_up:
                highest = rows[used_up[0]]["open_files_limit"]
                gaps.append(
                    f"{worker} had all of its {counted(highest, 'descriptors')} open {self._when(rows, used_up)}: "
                    "it could open no more sockets; raise the hard limit (ulimit -Hn), or use more workers"
                )
        return gaps

    def remarks(self) -> list[str]:
        """What is worth a word and spoils no time: a master that was late with what its workers sent."""
        health, remarks = self._tally.health, []
        for worker in [worker for worker, role in health.roles().items() if role == "master"]:
            rows = health.rows(worker)
            late = [n for n, row in enumerate(rows) if _ms(row["hub_lag_max_ns"]) > MASTER_LAG_MS]
            if late:
                worst = max((rows[n] for n in late), key=_hub_lag_ns)
                said = f"hub lag reached {number(_ms(_hub_lag_ns(worst)))} ms {self._when(rows, late)}"
                remarks.append(f"the master's {said}{_after_colon(why_late(worst))}; {KEEPS_RECORD}")
            cpu, highest = health.cpu_percent_sustained()[worker], self._limits.cpu_percent_max
            if cpu > highest:
                busy = [n for n, row in enumerate(rows) if row["cpu_percent"] > highest]
                remarks.append(f"the master's CPU was at {number(cpu)} % {self._when(rows, busy)}; {KEEPS_RECORD}")
        return remarks

    def figures(self) -> dict[str, Any]:
        """By process, for the verdict's `measurement`."""
        health = self._tally.health
        by_process: dict[str, dict[str, Any]] = {}
        for worker in health.roles():
            rows = health.rows(worker)
            elapsed_ns = _elapsed_ns(rows, range(len(rows)))
            waited_ns = _waited_ns(rows, range(len(rows)))
            cpu_wait = None if waited_ns is None or not elapsed_ns else round(100 * waited_ns / elapsed_ns, 1)
            by_process[worker] = {
                "cpu_wait_percent": cpu_wait,
                "gc_pause_ms_max": round(_ms(max(row["gc_pause_max_ns"] for row in rows)), 3),
                "rss_bytes_max": max(row["rss_bytes"] for row in rows),
                "open_files_max": max(row["open_files"] for row in rows),
                "open_files_limit": rows[-1]["open_files_limit"],
                "wall_step_ms_max": round(_ms(max((row["wall_step_max_ns"] for row in rows), key=abs)), 3),
                "wall_drift_ms": round(_ms(rows[-1]["wall_drift_ns"]), 3),
            }
        names = next(iter(by_process.values()), {})
        return {name: {worker: figures[name] for worker, figures in by_process.items()} for name in names}

    def _lag(self, what: str, worker: str, highest_ms: float) -> list[str]:
        name = what.replace(" ", "_")
        lag_ms = p99(self._tally.samples(f"{name}_ms", window="all", worker=worker))
        if lag_ms is None or lag_ms <= highest_ms:
            return []
        column = f"{name}_p99_ns" if name == "receive_lag" else f"{name}_max_ns"
        return [self._cause(what, worker, lag_ms, highest_ms, lambda row: _ms(row[column]), why_behind)]

    def _hub_lag(self, worker: str) -> list[str]:
        lag_ms, highest_ms = p99(self._tally.health.hub_lag_ms(worker)), self._limits.hub_lag_p99_ms_max
        if lag_ms is None or lag_ms <= highest_ms:
            return []

        def why(rows: Sequence[Row], chosen: Sequence[int]) -> str:
            return why_late(max((rows[n] for n in chosen), key=_hub_lag_ns))

        return [self._cause("hub lag", worker, lag_ms, highest_ms, lambda row: _ms(_hub_lag_ns(row)), why)]

    def _cause(
        self, what: str, worker: str, lag_ms: float, highest_ms: float, of_row: Callable[[Row], float],
        why: Callable[[Sequence[Row], Sequence[int]], str],
    ) -> str:  # fmt: skip
        said = f"{what} of {worker}: p99 {number(lag_ms)} ms, at most {number(highest_ms)} ms allowed"
        rows = self._tally.health.rows(worker)
        late = [n for n, row in enumerate(rows) if of_row(row) > highest_ms]
        return f"{said}; {self._when(rows, late)}{_after_colon(why(rows, late))}" if late else said

    def _cpu(self, worker: str) -> list[str]:
        highest = self._limits.cpu_percent_max
        cpu = self._tally.health.cpu_percent_sustained()[worker]
        if cpu <= highest:
            return []
        rows = self._tally.health.rows(worker)
        busy = [n for n, row in enumerate(rows) if row["cpu_percent"] > highest]
        collecting = sum(rows[n]["gc_pause_total_ns"] for n in busy) / max(_elapsed_ns(rows, busy), 1)
        also = f": {number(round(100 * collecting))} % of it garbage collections" if collecting > LARGE_SHARE else ""
        said = f"CPU of {worker}: {number(cpu)} % for seconds on end, at most {number(highest)} % allowed"
        return [f"{said}; {self._when(rows, busy)}{also}"]

    def _clock_steps(self, worker: str) -> list[str]:
        rows, highest_ms = self._tally.health.rows(worker), self._limits.wall_step_ms_max
        steps = [n for n, row in enumerate(rows) if abs(_ms(row["wall_step_max_ns"])) > highest_ms]
        if not steps:
            return []
        worst_ms = max((_ms(rows[n]["wall_step_max_ns"]) for n in steps), key=abs)
        set_by = f"set {'forward' if worst_ms > 0 else 'back'} by {number(abs(worst_ms))} ms"
        allowed = f"at most {number(highest_ms)} ms allowed"
        return [f"wall clock of {worker}: {set_by}, {allowed}; {self._when(rows, steps)}"]

    def _when(self, rows: Sequence[Row], chosen: Sequence[int]) -> str:
        """ "at 12–19 s", of the longest stretch of rows, and how many more there are."""
        stretches: list[list[int]] = []
        for n in chosen:
            if stretches and stretches[-1][-1] == n - 1:
                stretches[-1].append(n)
            else:
                stretches.append([n])
        longest = max(stretches, key=len)
        end_s = (rows[longest[-1]]["at_ns"] - self._started_ns) / 1e9
        begin_s = end_s - _elapsed_ns(rows, longest) / 1e9
        more = f", and {counted(len(stretches) - 1, 'times')} more" if len(stretches) > 1 else ""
        return f"at {max(begin_s, 0):.0f}–{end_s:.0f} s{more}"


def why_late(row: Row) -> str:
    """What a process did while its loop was as late as in no other tick of that second; "" where nobody can say."""
    lag_ns = max(_hub_lag_ns(row), 1)
    collected_ns, waited_ns = row["hub_lag_gc_ns"], row["hub_lag_run_delay_ns"]
    worked_ns, others_ns = max(row["hub_lag_loop_ns"] - collected_ns, 0), row["hub_lag_threads_ns"]
    reasons = {
        f"garbage collections took {_seconds(collected_ns)}": collected_ns,
        f"the process waited {_seconds(waited_ns or 0)} for a CPU: this machine is busy with something else": waited_ns,
        f"its loop was at work for {_seconds(worked_ns)} without a pause": worked_ns,
        f"other threads of the process had the interpreter for {_seconds(others_ns)}": others_ns,
    }
    said, taken_ns = max(((reason, ns or 0) for reason, ns in reasons.items()), key=lambda pair: pair[1])
    if taken_ns >= MAIN_SHARE * lag_ns:
        return said
    idle_ns = lag_ns - sum(ns or 0 for ns in reasons.values())
    if idle_ns >= MAIN_SHARE * lag_ns and waited_ns is not None:
        return f"the process stood still for {_seconds(idle_ns)}: it was stopped, or waited for a disk"
    return said if taken_ns >= LARGE_SHARE * lag_ns else ""


def why_behind(rows: Sequence[Row], chosen: Sequence[int]) -> str:
    """What a process did in some seconds in which it was behind; "" where its figures do not say."""
    elapsed_ns = max(_elapsed_ns(rows, chosen), 1)
    collected_ns = sum(rows[n]["gc_pause_total_ns"] for n in chosen)
    waited_ns = _waited_ns(rows, chosen) or 0
    cpu_percent = float(np.mean([rows[n]["cpu_percent"] for n in chosen]))
    if collected_ns >= LARGE_SHARE * elapsed_ns:
        return f"garbage collections took {_seconds(collected_ns)} of {_seconds(elapsed_ns)}"
    if waited_ns >= LARGE_SHARE * elapsed_ns:
        return f"the process waited {_seconds(waited_ns)} for a CPU: this machine is busy with something else"
    if cpu_percent >= BUSY_PERCENT:
        return f"its CPU was at {number(cpu_percent)} %"
    return why_late(max((rows[n] for n in chosen), key=_hub_lag_ns))


def p99(ordered: np.ndarray) -> float | None:
    return percentile(ordered, 0.99) if len(ordered) else None


def _files_used_up(row: Row) -> bool:
    return bool(0 < row["open_files_limit"] <= row["open_files"] + FILES_LEFT)


def _elapsed_ns(rows: Sequence[Row], chosen: Sequence[int]) -> int:
    """How long these rows stand for: each one for what went by since the row before; the first for a second."""
    return sum(rows[n]["at_ns"] - (rows[n - 1]["at_ns"] if n else rows[n]["at_ns"] - 1_000_000_000) for n in chosen)


def _waited_ns(rows: Sequence[Row], chosen: Sequence[int]) -> int | None:
    told = [rows[n]["run_delay_ns"] for n in chosen if rows[n]["run_delay_ns"] is not None]
    return sum(told) if told else None


def _hub_lag_ns(row: Row) -> int:
    return int(row["hub_lag_max_ns"])


def _ms(ns: int) -> float:
    return ns / 1e6


def _seconds(ns: int) -> str:
    """ "310 ms", "2.1 s"."""
    return f"{number(round(ns / 1e6))} ms" if ns < 1e9 else f"{number(ns / 1e9)} s"


def _after_colon(why: str) -> str:
    return f": {why}" if why else ""
