"""A load generator in trouble of its own says so, by name; the target, which is as good as ever, is never blamed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from crosstalk.checks.judge_generator import why_late
from tests.end_to_end.locust_process import Ended, end, read_until, run, start

LOCUSTFILE = "tests/end_to_end/trouble_users.py"
LIMITS = "tests/end_to_end/trouble.toml"
MS = 1_000_000


def options(*, users: int = 6, runs: int = 16) -> tuple[str, ...]:
    shown = ("--headless", "--only-summary", "--think-time", "0.1", "--run-time", "60s", "--max-runs", str(runs))
    return ("-f", LOCUSTFILE, "--limits", LIMITS, "--users", str(users), "--spawn-rate", str(users), *shown)


def in_trouble(results: Path, trouble: str, **more: int) -> Ended:
    return run(results, *options(**more), scenario=None, TROUBLE=trouble)


def nobody_is_blamed(ended: Ended) -> dict[str, Any]:
    """The verdict, after it was seen that it is unknown, and that nothing is held against the target."""
    verdict = ended.verdict
    assert ended.exit_code == 4, ended.output
    assert (verdict["verdict"], verdict["judgements"]["timing"]) == ("unknown", "unknown")
    runs = verdict["delivery"]["runs"]
    assert runs["started"] == runs["ok"] + runs["cut"], runs
    assert not any(verdict["delivery"]["violations"].values())
    assert [limit["name"] for limit in verdict["limits"] if limit["verdict"] == "fail"] == []
    return verdict


@pytest.mark.parametrize(
    ("trouble", "where"), [("callback", "in the receive callback"), ("listener", "while handling a message")]
)
def test_an_error_in_the_receive_path_is_the_harnesss_own(tmp_path: Path, trouble: str, where: str) -> None:
    ended = in_trouble(tmp_path, trouble)
    verdict = nobody_is_blamed(ended)
    assert verdict["judgements"]["delivery"] == "unknown"
    cause = verdict["measurement"]["causes"][0]
    assert cause.startswith("fault of the harness: harness_error, ")
    assert cause.endswith(f"(RuntimeError {where}: planted in the {trouble})")
    assert "harness_error" in verdict["sentence"]
    assert "harness_error" in ended.output
    assert {row["judgement"] for row in ended.rows("violations")} == {"harness"}
    # the others went on: what was received is in the record, all of it
    assert verdict["measurement"]["unaccounted_events"] == 0
    assert verdict["delivery"]["runs"]["ok"] > 0


def test_an_error_in_the_last_check_does_not_take_the_verdict_with_it(tmp_path: Path) -> None:
    ended = in_trouble(tmp_path, "afterwards", runs=6)
    verdict = nobody_is_blamed(ended)
    assert "the check of bad tokens failed: RuntimeError: planted in the last check" in verdict["measurement"]["causes"]
    assert verdict["delivery"]["runs"]["ok"] >= 6


def the_late_loop(verdict: dict[str, Any], said: str) -> None:
    """A cause names it; where this machine was so busy that waiting was the greater part, waiting is the truth."""
    [cause] = [cause for cause in verdict["measurement"]["causes"] if cause.startswith("hub lag of local: p99 ")]
    assert said in cause or "the process waited" in cause, cause
    assert verdict["judgements"]["delivery"] == "pass"


@pytest.mark.long
def test_a_loop_that_is_at_work_without_a_pause_is_named(tmp_path: Path) -> None:
    ended = in_trouble(tmp_path, "burn")
    the_late_loop(nobody_is_blamed(ended), "its loop was at work for ")
    assert max(row["hub_lag_loop_ns"] for row in ended.rows("health")) > 250 * MS


@pytest.mark.long
def test_garbage_collections_are_named(tmp_path: Path) -> None:
    ended = in_trouble(tmp_path, "garbage")
    verdict = nobody_is_blamed(ended)
    the_late_loop(verdict, "garbage collections took ")
    longest = max(ended.rows("health"), key=lambda row: row["hub_lag_gc_ns"])
    assert longest["hub_lag_gc_ns"] > 0.4 * longest["hub_lag_max_ns"]
    assert verdict["measurement"]["gc_pause_ms_max"]["local"] * MS >= 0.5 * longest["hub_lag_gc_ns"]


@pytest.mark.long
def test_a_processor_that_others_have_is_named(tmp_path: Path) -> None:
    verdict = nobody_is_blamed(in_trouble(tmp_path, "hog"))
    [cause] = verdict["measurement"]["causes"]
    assert "for a CPU: this machine is busy with something else" in cause
    assert verdict["measurement"]["cpu_wait_percent"]["local"] > 10


def test_a_process_that_was_stopped_stood_still(tmp_path: Path) -> None:
    process = start(tmp_path, *options(runs=40), scenario=None)
    heard = read_until(process, " runs ok ")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.5)  # bounded: how long it stands still is what is tested
    os.kill(process.pid, signal.SIGCONT)
    ended = end(process, tmp_path, heard=heard)
    the_late_loop(nobody_is_blamed(ended), "the process stood still for ")
    worst = max(ended.rows("health"), key=lambda row: row["hub_lag_max_ns"])
    assert why_late(worst).startswith("the process stood still for ")
    assert worst["hub_lag_max_ns"] > 1400 * MS


def test_sockets_that_could_not_be_made_are_no_refusals(tmp_path: Path) -> None:
    ended = in_trouble(tmp_path, "files", users=20)
    verdict = nobody_is_blamed(ended)
    assert verdict["judgements"]["delivery"] == "unknown"
    assert any(cause.startswith("fault of the harness: no_socket, ") for cause in verdict["measurement"]["causes"])
    connections = verdict["connections"]
    assert connections["ready"] == connections["attempted"] > 0
    assert connections["cut"] > 0
