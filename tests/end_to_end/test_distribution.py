"""Several workers on one host: one dies, the master stalls, one joins late, one is of another version.

What crosses a network is in test_distribution_hosts.py.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.locust_process import Ended, alive, descendants, end, read_until, start

COMMON = (
    *("--users", "8", "--spawn-rate", "8", "--think-time", "0.2"),
    *("--limits", "tests/end_to_end/ending.toml", "--prompts", "tests/end_to_end/long.toml"),
)


def read_until_runs(process: subprocess.Popen[str]) -> str:
    """Up to the progress line that tells of a run that was ok."""
    heard = ""
    while not re.search(r"\b[1-9]\d* runs ok", heard):
        heard += read_until(process, "runs ok")
    return heard


def workers_of(master: psutil.Process) -> list[psutil.Process]:
    """Forked ones: they have their master's command line."""
    return [child for child in master.children() if child.cmdline() == master.cmdline()]


def is_silent_for(process: psutil.Process, seconds: float) -> None:
    """Stop a process, and let it go on."""
    process.suspend()
    time.sleep(seconds)  # bounded: the silence that is tested
    process.resume()


def assert_nothing_lost(ended: Ended) -> None:
    assert ended.run["problems"] == []
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
    received = sum(worker["events_received"] for worker in ended.run["workers"].values())
    assert received == len(ended.rows("events")) > 0
    for worker in ended.run["workers"].values():
        assert worker["batches_received"] == worker["last_batch"]


def test_a_killed_worker_is_named_with_the_number_of_its_events(tmp_path: Path) -> None:
    process = start(tmp_path, *COMMON, "--run-time", "16s", "--processes", "2")
    heard = read_until_runs(process)
    victim, other = workers_of(psutil.Process(process.pid))
    victim.kill()
    ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 4 == ended.verdict["exit_code"], ended.output
    [(name, lost)] = [(name, one) for name, one in ended.run["workers"].items() if one["pid"] == victim.pid]
    [(_, whole)] = [(name, one) for name, one in ended.run["workers"].items() if one["pid"] == other.pid]
    assert lost["lost"] and not whole.get("lost")
    events = ended.rows("events")
    of_lost = sum(row["worker"] == name for row in events)
    [problem] = [text for text in ended.run["problems"] if "was lost" in text]
    missing = lost["events_received"] - of_lost
    assert f"worker {name} ({lost['host']}, pid {victim.pid}) was lost" in problem
    assert f"received {lost['events_received']:,} events; {of_lost:,} are in the record, {missing:,} are not" in problem
    assert 0 < of_lost <= lost["events_received"]
    assert ended.verdict["measurement"]["unaccounted_events"] == missing
    assert 0 <= lost["gap_s"] < 5 and lost["last_heard_s"] > 1  # found by its process, not by its silence
    assert f"worker {name} ({lost['host']}, pid {victim.pid}) is gone" in ended.output
    assert len(events) - of_lost == whole["events_received"]  # everything else is there
    assert whole["batches_received"] == whole["last_batch"]
    assert "Traceback" not in ended.output, ended.output


@pytest.mark.long
def test_two_load_tests_with_processes_share_a_machine(tmp_path: Path) -> None:
    """And nothing secret of theirs is seen in the list of processes."""
    folders = [tmp_path / "one", tmp_path / "two"]
    both = [start(folder, *COMMON, "--run-time", "60s", "--processes", "2") for folder in folders]
    heard = [read_until_runs(process) for process in both]
    secrets = [(folder / ".canary-secret").read_text() for folder in folders]
    family = [process for one in both for process in [psutil.Process(one.pid), *descendants(one.pid)]]
    command_lines = " ".join(" ".join(process.cmdline()) for process in family)
    assert len(family) == 2 * 4
    assert not any(secret in command_lines for secret in secrets)
    for process in both:
        os.kill(process.pid, signal.SIGINT)
    for process, folder, text in zip(both, folders, heard, strict=True):
        ended = end(process, folder, heard=text)
        assert ended.exit_code == 0, ended.output
        assert "Traceback" not in ended.output
        assert_nothing_lost(ended)
        assert len(ended.run["workers"]) == 3


def test_a_stalled_master_makes_workers_spill_and_nothing_is_lost(tmp_path: Path) -> None:
    process = start(tmp_path, *COMMON, "--run-time", "20s", "--processes", "2")
    heard = read_until_runs(process)
    family = descendants(process.pid)
    is_silent_for(psutil.Process(process.pid), 8)
    ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 0, ended.output
    assert_nothing_lost(ended)
    for name, worker in ended.run["workers"].items():
        if name == "master":
            continue
        [silence] = worker["silences"]
        assert 6 < silence["silent_s"] < 30
        assert worker["spilled_batches"] >= silence["batches_kept"] > 0
        assert f"worker {name}: the master has not answered" in ended.output
        assert f"worker {name}: the master answers again" in ended.output
        received = [row["arrived_ns"] for row in ended.rows("events") if row["worker"] == name]
        during = [at for at in received if 0 < at - silence["began_ns"] < silence["silent_s"] * 1e9]
        assert len(during) > 0.2 * len(received)  # load went on, and was seen
    assert not list(tmp_path.glob("spill-*"))
    assert alive(family) == []
