"""One level of `calibrate`: a load test of so many users against the calibration backend, and what it got right.

Nothing is taken apart for it: Locust as a process of its own, all checks, the record; what is compared afterwards is
what any report would have been made from.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from crosstalk.checks.columns import Columns, present
from crosstalk.checks.words import number, percent
from crosstalk.compiled import PURE
from crosstalk.record.parts import Record
from crosstalk.tools.calibrate_errors import Comparison, compare

END_TIMEOUT_S = 120.0
#: of the ramp; each sign-up costs some ms of the generator's processor
USERS_PER_S = 150
#: until the first user; Locust's run time counts from there
BEGIN_S = 2.0
#: a turn is due every so often; its 48 events take 0.97 s of it
TURN_INTERVAL_S = 1.0
EVENTS_PER_TURN = 48
#: above this share, what else runs on the machine is worth a word
WAITED_MAX = 0.02
#: beyond this the sender did not offer what it should have
LATE_MS_MAX = 20.0

LIMITS = """
[[phase]]
name = "calibration"
priority = 1

[[phase.limit]]
name = "runs completed"
metric = "runs_ok"
statistic = "share"
at_least = 1.0
when_unknown = "fail"

[[phase.limit]]
name = "events complete"
metric = "events_complete"
statistic = "share"
at_least = 1.0
when_unknown = "fail"
"""
PROMPTS = """
[calibration]
expects = ["tool_executing", "tool_completed", "handoff", "chunk"]
texts = ["What does item 7 of the price list cost this month?"]
"""
ENVIRONMENTS = """
[local]
hosts = ["127.0.0.1"]
connect_timeout_s = 5
agent_timeout_s = 8
receive_timeout_s = 10
"""


class CalibrateError(Exception):
    """A level could not be measured at all; the text says why."""


@dataclass(frozen=True, slots=True)
class Level:
    """What came of it. `faults` is empty where the machine holds this load."""

    users: int
    tls: bool
    comparison: Comparison
    cpu_percent: float
    waited_share: float | None  # of the time the generator could run and had no processor; None: not known here
    faults: list[str] = field(default_factory=list)

    @property
    def events_per_s(self) -> float:
        return self.users * EVENTS_PER_TURN / TURN_INTERVAL_S

    @property
    def is_held(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class Target:
    """The calibration backend, listening. `ca`: its authority's certificate, where it speaks TLS."""

    url: str
    secret: str
    ca: Path | None
    truth_file: Path


def measure(users: int, *, tls: bool, seconds: float, bound_ms: float, folder: Path) -> Level:
    """Offer this load for so many seconds after the ramp.

    :param folder: for everything that is written; must be empty.
    :raises CalibrateError:
    """
    with calibration_backend(folder, "--script", "paced", tls=tls) as target:
        run_time_s = seconds + users / USERS_PER_S + BEGIN_S
        options = ("--users", users, "--spawn-rate", USERS_PER_S, "--run-time", f"{run_time_s:.0f}s",
                   "--arrivals", "constant", "--turn-interval", TURN_INTERVAL_S)  # fmt: skip
        said = drive(target, folder, *map(str, options))
    results = folder / "results" / "latest"
    if not (results / "verdict.json").exists():
        raise CalibrateError(f"the load test of {users} users left no verdict:\n{said[-2000:]}")
    truth = orjson.loads(target.truth_file.read_bytes())
    record, verdict = Record(results / "record"), orjson.loads((results / "verdict.json").read_bytes())
    comparison = compare(truth, record.table("events"), record.table("runs"))
    cpu_percent = max(verdict["measurement"]["cpu_percent"].values(), default=0.0)
    waited_share = _waited_share(record.table("health"))
    faults = _faults(verdict, comparison, bound_ms)
    if faults and "waited" not in faults[0] and waited_share is not None and waited_share > WAITED_MAX:
        faults[0] += f"; the load generator waited for a processor {percent(waited_share)} of the time"
    return Level(users, tls, comparison, cpu_percent, waited_share, faults)


def _waited_share(health: Columns) -> float | None:
    waits_ns = present(health["run_delay_ns"])
    if len(waits_ns) < 2:
        return None
    return float(waits_ns[1:].sum()) / float(health["at_ns"].max() - health["at_ns"].min())


def _faults(verdict: dict[str, Any], comparison: Comparison, bound_ms: float) -> list[str]:
    """Why a level is not held. What the sender could not do stands first: it says nothing of the generator."""
    found = []
    if comparison.late_ms > LATE_MS_MAX:
        found.append(f"the sender itself was late: p99 {number(comparison.late_ms)} ms")
    found += [str(cause) for cause in verdict["measurement"]["causes"]]
    found += [f"{limit['name']}: {limit['verdict']}" for limit in verdict["limits"] if limit["verdict"] != "pass"]
    if verdict["isolation"]["violations"]:
        found.append("false violations of isolation")
    return found + comparison.faults(bound_ms=bound_ms)


@contextmanager
def calibration_backend(folder: Path, *options: str, tls: bool) -> Iterator[Target]:
    """The calibration backend as a child. Its truth is written when this is left.

    :raises CalibrateError: it does not start, or does not end.
    """
    secret, ca, truth_file = secrets.token_hex(32), folder / "ca.pem" if tls else None, folder / "truth.json"
    command = [sys.executable, "-m", "crosstalk.backend.calibration", "--exit-with-stdin", "--truth", str(truth_file)]
    command += [*options, *(["--ca-out", str(ca)] if ca else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environ(secret), start_new_session=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        words = process.stdout.readline().decode().split()
        if words[:1] != ["LISTENING"]:
            raise CalibrateError("the calibration backend did not start; its own words stand above")
        yield Target(words[1], secret, ca, truth_file)
    finally:
        process.stdin.close()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def drive(target: Target, folder: Path, *options: str, locustfile: Path | None = None) -> str:
    """A load test against it, headless; returns what it printed. Its results are in `folder/results`.

    :raises CalibrateError: it does not end.
    """
    (folder / "scenarios").mkdir(exist_ok=True)
    files = {"limits.toml": LIMITS, "prompts.toml": PROMPTS, "scenarios/environments.toml": ENVIRONMENTS}
    for name, text in files.items():
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")
    locustfile = locustfile or Path(__file__).with_name("calibrate_load.py")
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary", "--no-cleanup",
               "--host", target.url, "--limits", "limits.toml", "--prompts", "prompts.toml", "--results", "results",
               *(["--ca", str(target.ca)] if target.ca else []), *options]  # fmt: skip
    environ = {**_environ(target.secret), "HOME": str(folder)}  # a ~/.locust.conf was written for other load tests
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=END_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CalibrateError(f"a load test did not end within {END_TIMEOUT_S:.0f} s") from None
    return done.stdout


def _environ(secret: str) -> dict[str, str]:
    """Nothing that was said for other load tests: only these options count."""
    ours = ("LOCUST_", "JWT_", "CROSSTALK_")
    kept = {name: value for name, value in os.environ.items() if name == PURE or not name.startswith(ours)}
    return {**kept, "JWT_SECRET_KEY": secret, "PYTHONPATH": os.pathsep.join(_absolute(sys.path))}


def _absolute(paths: Sequence[str]) -> list[str]:
    """The working folder of a child is another."""
    return [os.path.abspath(path) for path in paths]
