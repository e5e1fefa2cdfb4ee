"""Runs one load test of the scale bench and watches its processes: once a second, memory and CPU of each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
#: events of a run of the default prompts, and seconds that it takes, on average, at the reference backend
EVENTS_A_RUN, RUN_S = 17.0, 0.75
#: users have found their pace so long after the last of them has come
SETTLE_S = 5.0
#: Locust's run time begins while the backend is still to be started and checked
START_S = 3.0
#: beyond ramp and run time: start, the end of all users, cleaning up, verdict and reports
MARGIN_S = 600.0
SAMPLE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One load test. `workers` 0: one process generates and keeps the record."""

    users: int
    workers: int
    seconds: float
    spawn_rate: float
    events_per_user: float
    seed: int
    pin: bool = False

    @property
    def name(self) -> str:
        how = f"a master and {self.workers} worker{'s'[: self.workers > 1]}" if self.workers else "one process"
        return f"{self.users:,} users, {how}"

    @property
    def ramp_s(self) -> float:
        return self.users / self.spawn_rate + SETTLE_S

    @property
    def turn_interval_s(self) -> float:
        return max(EVENTS_A_RUN / self.events_per_user, 2 * RUN_S)

    def command(self, results: Path) -> list[str]:
        processes = ["--processes", str(self.workers)] if self.workers else []
        return [
            sys.executable, "-m", "locust", "--headless", "--only-summary", *processes,
            "--users", str(self.users), "--spawn-rate", f"{self.spawn_rate:g}",
            "--run-time", f"{START_S + self.ramp_s + self.seconds:.0f}s", "--stop-timeout", "30",
            "--arrivals", "constant", "--turn-interval", f"{self.turn_interval_s:g}",
            "--results", str(results), "--seed", str(self.seed),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at an instant. `role`: generator (the one process), master, worker, backend or reports."""

    at_s: float  # unix
    pid: int
    role: str
    rss_bytes: int
    cpu_s: float  # since its start


@dataclass(slots=True)
class Watched:
    """What was seen of a load test from outside. Instants are unix seconds; None: it never came to that."""

    folder: Path
    exit_code: int
    begun_s: float
    ended_s: float
    all_there_s: float | None = None  # the last user was started
    stopped_s: float | None = None  # users were told to stop
    samples: list[Sample] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def run(step: Step, results: Path) -> Watched:
    """:raises RuntimeError: it left no verdict."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "JWT_", "CROSSTALK_"))}
    begun_s = time.time()
    process = subprocess.Popen(
        step.command(results), cwd=ROOT, env={**kept, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    watched = Watched(Path(), 0, begun_s, 0.0)
    reader = threading.Thread(target=_listen, args=(process, watched), daemon=True)
    reader.start()
    watcher = _Watcher(process.pid, step)
    deadline_s = begun_s + step.ramp_s + step.seconds + MARGIN_S
    while process.poll() is None and time.time() < deadline_s:
        watched.samples += watcher.look()
        reader.join(SAMPLE_EVERY_S)
    if process.poll() is None:
        process.kill()
    watched.exit_code, watched.ended_s = process.wait(), time.time()
    reader.join(5)
    folders = sorted(path.parent for path in results.glob("*/verdict.json") if not path.parent.is_symlink())
    if not folders:
        raise RuntimeError(f"{step.name}: no verdict; it said last:\n" + "\n".join(watched.said[-15:]))
    watched.folder = folders[-1]
    return watched


def _listen(process: subprocess.Popen[str], watched: Watched) -> None:
    """Notes when users were all there, and when they were told to stop."""
    assert process.stdout is not None
    for line in process.stdout:
        if "All users spawned" in line:
            watched.all_there_s = watched.all_there_s or time.time()
        elif "--run-time limit reached" in line:
            watched.stopped_s = watched.stopped_s or time.time()
        watched.said.append(line.rstrip())
        del watched.said[:-200]


class _Watcher:
    """Looks at a load test's processes, and puts them on their processors where that is wanted."""

    def __init__(self, pid: int, step: Step) -> None:
        self._main = psutil.Process(pid)
        self._step = step
        self._known: dict[int, tuple[psutil.Process, str]] = {}
        self._processors = sorted(self._main.cpu_affinity()) if step.pin and hasattr(self._main, "cpu_affinity") else []

    def look(self) -> list[Sample]:
        samples = []
        try:
            processes = [self._main, *self._main.children(recursive=True)]
        except psutil.Error:
            return []
        for process in processes:
            try:
                role = self._role_of(process)
                times = process.cpu_times()
                samples.append(
                    Sample(time.time(), process.pid, role, process.memory_info().rss, times.user + times.system)
                )
            except psutil.Error:
                continue
        return samples

    def _role_of(self, process: psutil.Process) -> str:
        known = self._known.get(process.pid)
        if known is None or known[0] != process:
            role = self._told_by(process.cmdline(), process.pid == self._main.pid)
            # a child is a copy of its parent until it runs its own program
            if role in ("backend", "reports") or process.pid == self._main.pid:
                self._known[process.pid] = process, role
                self._place(process, role)
            return role
        return known[1]

    def _told_by(self, command: list[str], is_main: bool) -> str:
        if "crosstalk.backend" in command:
            return "backend"
        if "reports" in command:
            return "reports"
        if is_main:
            return "master" if self._step.workers else "generator"
        return "worker" if "locust" in command else "other"

    def _place(self, process: psutil.Process, role: str) -> None:
        if len(self._processors) > 1:
            chosen: Any = self._processors[-1:] if role == "backend" else self._processors[:-1]
            process.cpu_affinity(chosen)
