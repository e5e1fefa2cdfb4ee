"""Planted truth: against a backend of known delays the harness gives them back, and a planted error of its own shows.

Judged here are medians: on a machine that others use too, a high percentile is that of the machine. `calibrate` judges
high percentiles, on a machine of one's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from crosstalk import __version__
from crosstalk.calibration import calibration_file, read_calibration, this_machine
from crosstalk.checks.columns import Columns
from crosstalk.record.parts import Record
from crosstalk.tools.calibrate_errors import Comparison, compare
from crosstalk.tools.calibrate_level import calibration_backend, drive
from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import run

ROOT = Path(__file__).resolve().parents[2]
ASTRAY = ROOT / "tests" / "end_to_end" / "astray_load.py"
QUANTITIES = {"arrival", "arrival_exact", "event_gap", "chunk_gap", "tool_time", "sent", "time_to_first_event",
              "time_to_first_chunk", "service_time", "stall_max", "handoff_time"}  # fmt: skip
#: far from any noise of a median, and far from the errors that are planted
MEDIAN_MS = 1.0


@dataclass(frozen=True)
class Measured:
    truth: dict
    events: Columns
    runs: Columns
    verdict: dict

    @property
    def comparison(self) -> Comparison:
        return compare(self.truth, self.events, self.runs)


def measure(folder: Path, *, tls: bool = False, users: int = 4, locustfile: Path | None = None) -> Measured:
    options = ("--users", str(users), "--spawn-rate", "8", "--run-time", "5s", "--arrivals", "constant",
               "--turn-interval", "1")  # fmt: skip
    with calibration_backend(folder, "--script", "paced", tls=tls) as target:
        said = drive(target, folder, *options, locustfile=locustfile)
    results = folder / "results" / "latest"
    assert (results / "verdict.json").exists(), said
    record = Record(results / "record")
    truth, verdict = (json.loads(file.read_text()) for file in (target.truth_file, results / "verdict.json"))
    return Measured(truth, record.table("events"), record.table("runs"), verdict)


def wrong(comparison: Comparison) -> set[str]:
    """Quantities whose median error is larger than any noise. A run's largest stall is the worst of 48 events."""
    errors_ns = {name: errors for name, errors in comparison.errors_ns.items() if name != "stall_max"}
    sizes = {name: np.median(np.abs(errors)) / 1e6 for name, errors in errors_ns.items()}
    return {name for name, size in sizes.items() if not size <= MEDIAN_MS}


@contextmanager
def astray(name: str) -> Iterator[None]:
    os.environ["ASTRAY"] = name
    try:
        yield
    finally:
        del os.environ["ASTRAY"]


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_planted_delays_come_back(tmp_path: Path, tls: bool) -> None:
    measured = measure(tmp_path, tls=tls)
    found = measured.comparison
    assert set(found.errors_ns) == QUANTITIES
    assert len(found.errors_ns["service_time"]) >= 8 and len(found.errors_ns["chunk_gap"]) >= 8 * 38
    assert wrong(found) == set()
    assert (found.lost, found.invented) == (0, 0)
    assert found.early_share == 0.0
    assert found.exact_share > 0.5
    assert measured.verdict["judgements"]["isolation"] != "fail"
    assert {row for row in measured.runs["outcome"].tolist()} <= {"ok", "cut"}
    # a second look, without the comparison: the gaps are those of the script
    planned_ns = np.diff(next(iter(measured.truth["runs"].values()))["due_ns"])
    later = measured.events["n"] > 1
    off_ns = measured.events["gap_ns"][later] - planned_ns[measured.events["n"][later] - 2]
    assert abs(np.median(off_ns)) / 1e6 < MEDIAN_MS


@pytest.mark.parametrize(
    ("fault", "named"),
    [("gaps", {"chunk_gap"}), ("stamps", {"arrival", "arrival_exact", "time_to_first_event", "time_to_first_chunk",
                                          "service_time"})],
)  # fmt: skip
def test_an_error_planted_in_the_harness_shows(tmp_path: Path, fault: str, named: set[str]) -> None:
    with astray(fault):
        found = measure(tmp_path, locustfile=ASTRAY).comparison
    assert wrong(found) == named
    assert (found.early_share > 0.9) is (fault == "stamps")
    assert found.faults(bound_ms=2.0) != []


def test_a_harness_that_reads_late_still_knows_when_things_arrived(tmp_path: Path) -> None:
    """The kernel's stamp does not wait for the reader; the reader's own does, and its lag is on record."""
    with astray("slow"):
        measured = measure(tmp_path, users=1, locustfile=ASTRAY)
    assert not wrong(measured.comparison) & {"arrival", "event_gap", "chunk_gap", "tool_time", "handoff_time"}
    lag_ms = (measured.events["received_ns"] - measured.events["arrived_ns"]) / 1e6
    assert np.median(lag_ms) >= 5


def calibrate(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosstalk.tools.calibrate", "--out", str(file), "--seconds", "3", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def test_calibrate_finds_a_load_and_writes_it_down(tmp_path: Path) -> None:
    """The whole tool, in small, with a bound that any machine keeps: one load on each transport."""
    file = tmp_path / "folder" / "machine.json"
    done = calibrate(file, "--first", "1", "--most", "1", "--bound-ms", "10000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("error of arrival, ms") == 2 and f"written to {file}" in done.stdout
    said = json.loads(file.read_text())
    assert said["bound_ms"] == 10_000 and list(said["transports"]) == ["ws", "wss"]
    for found in said["transports"].values():
        assert (found["users"], found["events_per_s"], found["levels"][-1]["held"]) == (1, 48, True)
        assert found["errors"]["arrival"]["n"] > 0
        assert found["limited_by"] == "more than 1 were not tried"
    read = read_calibration(file, this_machine(__version__))
    assert read is not None and read.ws is not None and read.wss is not None


@pytest.mark.long
def test_a_bound_that_nothing_can_keep_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_text("what was there before")
    done = calibrate(file, "--first", "1", "--most", "1", "--bound-ms", "0.0001", "--transports", "ws")
    assert done.returncode == 1 and "no load was held" in done.stdout, done.stdout + done.stderr
    assert "at most 0.0001 ms" in done.stdout and "nothing was written" in done.stdout
    assert file.read_text() == "what was there before"


@pytest.mark.parametrize("wrong", [("--bound-ms", "0"), ("--first", "0"), ("--transports", "tcp"), ("--most", "many")])
def test_a_mistake_on_the_command_line_is_said(tmp_path: Path, wrong: tuple[str, str]) -> None:
    done = calibrate(tmp_path / "machine.json", *wrong)
    assert done.returncode == 2 and wrong[0] in done.stderr


FEW = ("--users", "10", "--spawn-rate", "10", "--limits", "tests/end_to_end/arrivals.toml")


def machine_that_holds(events_per_s: float, folder: Path) -> dict[str, str]:
    """The variables of somebody who has calibrated this machine, to so much."""
    file = calibration_file({"XDG_CACHE_HOME": str(folder)})
    file.parent.mkdir(parents=True)
    held = {"ws": {"users": 9, "events_per_s": events_per_s}}
    content = {"schema": 1, "machine": this_machine(__version__), "bound_ms": 1.0, "transports": held}
    file.write_text(json.dumps(content))
    return {"XDG_CACHE_HOME": str(folder)}


@pytest.mark.parametrize(("events_per_s", "warns"), [(40_000, False), (150, True), (None, False)])
def test_a_load_test_says_how_near_it_comes_and_warns_above_half(
    tmp_path: Path, events_per_s: float | None, warns: bool
) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    if events_per_s is not None:
        cache = machine_that_holds(events_per_s, tmp_path / "cache")
    said = run(tmp_path / "results", *FEW, "--run-time", "6s", **cache).output
    load = "10 users x ~18 events per ~1.5 s = about 120 events/s; this machine was calibrated to"
    line = f"crosstalk: {'WARNING: ' if warns else ''}{load} {events_per_s or 0:,} events/s"
    assert (line in said) is (events_per_s is not None), said
    assert said.count("WARNING") == int(warns)
    assert events_per_s is not None or "calibrated" not in said


def test_what_really_comes_is_warned_of_where_the_estimate_was_too_low(tmp_path: Path) -> None:
    """Of a target that nobody knows, a turn of half the agent's timeout is assumed: this one is quicker."""
    with backend("--time-scale", "0.2") as target:
        said = run(tmp_path / "results", *FEW, "--run-time", "9s", "--host", target.url, JWT_SECRET_KEY=SECRET,
                   **machine_that_holds(120, tmp_path / "cache")).output  # fmt: skip
    assert "about 40 events/s; this machine was calibrated to 120 events/s\n" in said
    assert said.count("WARNING: ") == 1
    assert "events/s are coming; this machine was calibrated to 120 events/s: above half of it" in said
