"""Runs one load test of the detection matrix and reads what it left: the backend's log and the record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.detection_matrix_plan import LoadTest
from crosstalk.checks.detection import Detection, Sighting, detect, number_of, parse_bites
from crosstalk.record.columns import rows_of
from crosstalk.record.parts import Record

ROOT = Path(__file__).resolve().parents[1]
#: beyond its run time: start, readiness check, cleaning up, reports
MARGIN_S = 90
#: what a fault does to a run is decided at its start and may show after its end: later bites have no time for it
SHOWS_WITHIN_S = 4.0
#: of the accounts that sign in at the reference backend
PASSWORD = "open sesame"
#: outcomes of a run that say something of the target; "violated" is told by its violations
TELLING = frozenset({"agent_error", "timeout", "disconnected", "refused"})


@dataclass(frozen=True)
class Outcome:
    """A load test of the matrix, done."""

    test: LoadTest
    exit_code: int
    folder: Path
    detections: list[Detection]
    false_alarms: list[Sighting]


def run(test: LoadTest, results: Path, *, seed: int) -> Outcome:
    """:raises RuntimeError: it left no verdict."""
    into = results / test.name
    command = [
        sys.executable, "-m", "locust", "--config", f"scenarios/{test.scenario}.conf", "--results", str(into),
        "--users", str(test.users), "--spawn-rate", "20", "--run-time", f"{test.run_time_s}s", "--seed", str(seed),
        "--dialect", test.shape, "--faults", test.faults, *test.options,
    ]  # fmt: skip
    if test.scenario == "smoke" and "-f" not in test.options:
        command += ["-f", "locustfile.py"]  # people who chat, and nobody else: accounts are alike
    if test.signs_in:
        command += ["--accounts", str(_accounts_file(into, test.users))]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "JWT_", "CROSSTALK_"))}
    # an environment other than `local` wants a secret, although the reference backend has its own
    variables = {**kept, "PYTHONPATH": str(ROOT), "JWT_SECRET_STAGING": "not used by the reference backend"}
    if test.signs_in:
        variables["LOGIN_PASSWORD"] = PASSWORD
    done = subprocess.run(
        command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=test.run_time_s + MARGIN_S, check=False,
    )  # fmt: skip
    folder = (into / "latest").resolve()
    if not (folder / "verdict.json").exists():
        raise RuntimeError(f"{test.name} left no verdict:\n{done.stdout[-3000:]}")
    return read(test, done.returncode, folder)


def _accounts_file(folder: Path, users: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "accounts.csv"
    # two more than users: those who try bad tokens
    file.write_text("email,password\n" + "".join(f"person-{n}@crosstalk.test,{PASSWORD}\n" for n in range(users + 2)))
    return file


def read(test: LoadTest, exit_code: int, folder: Path) -> Outcome:
    """What a load test left, as rows of the matrix."""
    record = Record(folder / "record")
    tables = {name: rows_of(record.table(name)) for name in ("violations", "runs", "connections", "exposure")}
    log = folder / "backend.log"
    bites = parse_bites(log.read_text(errors="replace")) if log.exists() else []
    verdict = orjson.loads((folder / "verdict.json").read_bytes())
    sightings = list(_sightings(tables))
    if test.planted[0].accounts is None:
        whole = _of_the_whole(verdict, exit_code, record.run)
        sightings += [one for one in whole if one.label in test.planted[0].expected]
    opportunities: dict[int, int] = {}
    for row in tables["exposure"]:
        channel = int(row["channel"])
        opportunities[channel] = opportunities.get(channel, 0) + int(row["opportunities"])
    detections, false_alarms = detect(
        test.planted,
        bites,
        sightings,
        outcomes={str(row["run"]): str(row["outcome"]) for row in tables["runs"]},
        opportunities=opportunities,
        until_ns=int(record.run["load_test"]["started_ns"] + (test.run_time_s - SHOWS_WITHIN_S) * 1e9),
    )
    return Outcome(test, exit_code, folder, detections, false_alarms)


def _sightings(tables: dict[str, list[dict[str, Any]]]) -> Iterator[Sighting]:
    """What the record says of single accounts."""
    ended_ns = {row["connection"]: row["ended_ns"] for row in tables["connections"]}
    for row in tables["violations"]:
        label = f"channel {row['channel']}" if row["judgement"] == "isolation" else row["name"]
        yield Sighting(
            label, number_of(row["observer"]), number_of(row["owner"]), row["surfaced_ns"],
            run=row["run"], owner_run=row["owner_run"], count=row["count"],
        )  # fmt: skip
    told_ns = {row["run"]: row["surfaced_ns"] for row in tables["violations"]}
    for row in tables["runs"]:
        if row["outcome"] in TELLING:
            # a run without an end is known to be lost when that was said of it, or its connection ended
            at_ns = row["end_ns"] or told_ns.get(row["run"]) or ended_ns.get(row["connection"]) or row["sent_ns"]
            yield Sighting(f"outcome {row['outcome']}", number_of(row["account"]), None, at_ns, run=row["run"])
    for row in tables["connections"]:
        if row["purpose"] != "user":
            continue
        number, at_ns = number_of(row["account"]), row["ended_ns"]
        if row["outcome"] in ("refused", "failed"):
            label = "connection refused" if row["outcome"] == "refused" else "not ready"
            yield Sighting(label, number, None, at_ns)
        elif row["closed_by"] in ("peer", "transport"):
            yield Sighting("connection lost", number, None, at_ns)


def _of_the_whole(verdict: dict[str, Any], exit_code: int, run: dict[str, Any]) -> Iterator[Sighting]:
    """What was said of the target as a whole: for faults that have a load test of their own."""
    ended_ns = int(run["load_test"]["ended_ns"])
    if exit_code == 5:
        yield Sighting("not ready", None, None, ended_ns)
    for limit in verdict["limits"]:
        if limit["verdict"] == "fail":
            yield Sighting(f"limit {limit['metric']}", None, None, ended_ns)
    for group in verdict["failures"]:
        if "not real" in group["signature"]:
            yield Sighting("not_real", None, None, ended_ns)
    if any("degraded" in line for line in run["target"]["preflight"]):
        yield Sighting("degraded", None, None, int(run["load_test"]["started_ns"]))
