"""Runs Locust as a user would: a process of its own, real sockets, its exit code and its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from crosstalk.record.columns import rows_of
from crosstalk.record.parts import Record

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 110
CHATTING = "tests/end_to_end/smoke.py"


@dataclass(frozen=True)
class Ended:
    """What a load test left."""

    exit_code: int
    output: str
    folder: Path  # what `latest` pointed at when it ended

    @property
    def verdict(self) -> dict[str, Any]:
        return json.loads((self.folder / "verdict.json").read_text())

    def rows(self, table: str) -> list[dict[str, Any]]:
        return rows_of(Record(self.folder / "record").table(table))

    @property
    def run(self) -> dict[str, Any]:
        return Record(self.folder / "record").run

    def violations(self) -> dict[str, Counter[int]]:
        """Name → how often which account number saw it."""
        found: dict[str, Counter[int]] = {}
        for row in self.rows("violations"):
            found.setdefault(row["name"], Counter())[int(row["observer"][-5:])] += row["count"]
        return found


def environment(**extra: str) -> dict[str, str]:
    """The environment of a user with an empty one: no Locust variables, no secrets but those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "JWT_", "CROSSTALK_", "GITHUB_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


def start(results: Path, *options: str, scenario: str | None = "smoke", **extra: str) -> subprocess.Popen[str]:
    """Start Locust in a process group of its own. The smoke's people chat, all of them: accounts are alike."""
    config = ["--config", f"scenarios/{scenario}.conf"] if scenario else []
    if scenario == "smoke" and "-f" not in options:
        config += ["-f", CHATTING]
    return subprocess.Popen(
        [sys.executable, "-m", "locust", *config, "--results", str(results), *options],
        cwd=ROOT,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def end(process: subprocess.Popen[str], results: Path, *, heard: str = "") -> Ended:
    """Wait for its end; whatever it left running is ended too, and told of."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"Locust did not end within {TIMEOUT_S} s:\n{heard}{output}") from None
    return Ended(process.returncode, heard + output, (results / "latest").resolve())


def run(results: Path, *options: str, scenario: str | None = "smoke", **extra: str) -> Ended:
    return end(start(results, *options, scenario=scenario, **extra), results)


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read the process's output up to the line that has `wanted`."""
    assert process.stdout is not None
    heard = ""
    for line in process.stdout:
        heard += line
        if wanted in line:
            return heard
    raise AssertionError(f"{wanted!r} never came:\n{heard}")


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after a moment in which they may end."""
    _, still = psutil.wait_procs(processes, timeout=3)
    return [process for process in still if process.status() != psutil.STATUS_ZOMBIE]
