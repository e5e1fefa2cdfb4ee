"""However a load test ends, its report is complete, its exit code right, and no process is left.

{run time, Ctrl+C to the process, Ctrl+C to its group, SIGTERM, stop in the web UI} x {local, two workers}, with turns
longer than a second; and the target's death.
"""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from crosstalk.afterwards import BURST
from tests.end_to_end.locust_process import Ended, alive, descendants, end, read_until, start
from tests.end_to_end.web import free_port, get, post, wait_until, wait_until_open

USERS = 8
COMMON = (
    *("--users", str(USERS), "--spawn-rate", "8", "--think-time", "0.2"),
    *("--limits", "tests/end_to_end/ending.toml", "--prompts", "tests/end_to_end/long.toml"),
)
#: bad tokens that the reference backend is shown: of nine kinds, one signed with a key in two spellings
KINDS = 11
FILES = {"verdict.json", "junit.xml", "summary.md", "report.html", "plots", "record"}


def workers_of(shape: str) -> tuple[str, ...]:
    return ("--processes", "2") if shape == "two workers" else ()


def assert_complete(ended: Ended, *, exit_code: int = 0) -> None:
    assert {path.name for path in ended.folder.iterdir()} >= FILES
    verdict = ended.verdict
    assert verdict["exit_code"] == exit_code, verdict["sentence"]
    assert verdict["measurement"]["unaccounted_events"] == 0
    assert ended.run["problems"] == []
    runs = ended.rows("runs")
    assert sum(verdict["delivery"]["runs"].values()) == 2 * len(runs)  # `started` is the sum of the outcomes
    assert len({row["run"] for row in runs}) == len(runs) >= USERS
    # each user's, the two of the check before, and those of the check afterwards: every kind of bad token, and a burst
    assert len(ended.rows("connections")) == USERS + 2 + BURST + KINDS
    received = sum(worker["events_received"] for worker in ended.run["workers"].values())
    assert received == len(ended.rows("events"))


@pytest.mark.parametrize("shape", ["local", "two workers"])
@pytest.mark.parametrize("way", ["run time", "interrupt process", "interrupt group", "terminate"])
def test_headless(tmp_path: Path, way: str, shape: str) -> None:
    run_time = "6s" if way == "run time" else "60s"
    process = start(tmp_path, *COMMON, "--run-time", run_time, *workers_of(shape))
    heard = read_until(process, "runs ok")
    family = descendants(process.pid)
    assert len(family) >= (3 if shape == "two workers" else 1)  # the backend, and the workers
    if way == "interrupt process":
        os.kill(process.pid, signal.SIGINT)
    elif way == "interrupt group":
        os.killpg(process.pid, signal.SIGINT)
    elif way == "terminate":
        os.kill(process.pid, signal.SIGTERM)
    ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 0, ended.output
    assert "Traceback" not in ended.output, ended.output
    assert_complete(ended)
    assert alive(family) == []
    assert ended.run["load_test"]["ended_by"] == ("run time" if way == "run time" else "interrupted")


@pytest.mark.parametrize("way", ["run time", "interrupt", "terminate"])
def test_what_ends_before_it_began_is_not_passed(tmp_path: Path, way: str) -> None:
    """Its target, stopped as it starts, never says that it is there: no user was started, and nothing is known."""
    process = start(tmp_path, *COMMON, "--run-time", "1s" if way == "run time" else "60s")
    while not (family := descendants(process.pid)) and process.poll() is None:
        time.sleep(0.01)  # bounded: until the target is started, or Locust has ended
    [target] = family
    target.suspend()
    if way != "run time":
        os.kill(process.pid, signal.SIGINT if way == "interrupt" else signal.SIGTERM)
    ended = end(process, tmp_path)
    target.resume()
    assert ended.exit_code == 4, ended.output
    assert "nothing was tested" in ended.output
    assert alive(family) == []


def names_of(port: int) -> set[tuple[str, str]]:
    return {(row["method"], row["name"]) for row in get(port, "/stats/requests")["stats"]}


@pytest.mark.parametrize("shape", ["local", "two workers"])
def test_web_ui(tmp_path: Path, shape: str) -> None:
    port = free_port()
    process = start(tmp_path, *COMMON, "--headful", "--web-port", str(port), *workers_of(shape))
    heard = read_until(process, "Starting web interface")
    wait_until_open(port)
    if shape == "two workers":
        heard += read_until(process, "2 workers connected")
    assert post(port, "/swarm", user_count=USERS, spawn_rate=8)["success"]
    heard += read_until(process, "runs ok")
    wanted = {("EVENT", kind) for kind in ("started", "thinking", "first chunk", "completed")}
    wait_until(lambda: wanted <= names_of(port))  # workers tell Locust's master every few seconds
    family = descendants(process.pid)
    post(port, "/stop")
    heard += read_until(process, "report.html")
    before = sorted(path.name for path in tmp_path.iterdir())
    os.kill(process.pid, signal.SIGTERM)
    ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 0, ended.output
    assert "Traceback" not in ended.output, ended.output
    assert_complete(ended)
    assert alive(family) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # ending the UI makes no second report


@pytest.mark.parametrize("shape", ["local", "two workers"])
def test_death_of_the_target(tmp_path: Path, shape: str) -> None:
    process = start(tmp_path, *COMMON, "--run-time", "60s", *workers_of(shape))
    heard = read_until(process, "runs ok")
    family = descendants(process.pid)
    [backend] = [p for p in family if "crosstalk.backend" in p.cmdline()]
    backend.kill()
    ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 1 == ended.verdict["exit_code"], ended.output
    assert ended.run["load_test"]["ended_by"] == "the target ended"
    assert any("SIGKILL" in problem for problem in ended.run["problems"])
    assert ended.verdict["delivery"]["runs"]["disconnected"] >= 1
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
    assert {path.name for path in ended.folder.iterdir()} >= FILES
    assert alive(family) == []


def test_a_killed_master_leaves_no_orphan(tmp_path: Path) -> None:
    process = start(tmp_path, *COMMON, "--run-time", "60s", "--processes", "2")
    read_until(process, "runs ok")
    family = descendants(process.pid)
    assert len(family) == 3
    process.kill()
    process.communicate(timeout=20)
    _, still = psutil.wait_procs(family, timeout=10)
    assert still == []
