"""Load tests under each arrival process: the rate is kept, waits count, people come and leave, nothing is mixed up."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import end, read_until, run, start

LIMITS = ("--limits", "tests/end_to_end/arrivals.toml")
MS, S = 1_000_000, 1_000_000_000


def quantile_ms(rows: list[dict[str, Any]], since: str, quantile: float) -> float:
    """Nearest rank, of the runs that are judged."""
    times = sorted((row["end_ns"] - row[since]) / MS for row in rows)
    return times[math.ceil(quantile * len(times)) - 1]


@pytest.mark.long
def test_a_backend_that_freezes_for_two_seconds_shows_as_the_formula_says(tmp_path: Path) -> None:
    """Starts are spread evenly over the window W, so the q-quantile of response time is 2 s - (1 - q) * W."""
    options = ("--users", "8", "--spawn-rate", "8", "--run-time", "14s", "--arrivals", "constant", *LIMITS)
    with backend("--time-scale", "0.02") as target:
        process = start(
            tmp_path, *options, "--turn-interval", "0.5", "--host", target.url, JWT_SECRET_KEY=SECRET
        )  # fmt: skip
        heard = read_until(process, " runs ok ")
        target.process.send_signal(signal.SIGSTOP)
        frozen_ns = time.monotonic_ns()
        time.sleep(2)  # bounded: it is the freeze
        target.process.send_signal(signal.SIGCONT)
        frozen_ms = (time.monotonic_ns() - frozen_ns) / MS
        ended = end(process, tmp_path, heard=heard)
    assert ended.exit_code == 0, ended.output
    rows = [row for row in ended.rows("runs") if not row["warm_up"] and row["outcome"] == "ok"]
    window_ms = (max(row["intended_ns"] for row in rows) - min(row["intended_ns"] for row in rows)) / MS
    for quantile in (0.90, 0.95):
        analytic_ms = frozen_ms - (1 - quantile) * window_ms
        # later by what four queued runs of a user take, one after the other
        assert analytic_ms - 250 < quantile_ms(rows, "intended_ns", quantile) < analytic_ms + 500
    # the omission: taken from `sent`, each of the eight users had one slow run in twenty-six
    assert quantile_ms(rows, "sent_ns", 0.90) < 350
    assert sum(row["end_ns"] - row["sent_ns"] > S for row in rows) == 8
    measured = ended.verdict["measurement"]
    assert measured["causes"] == []  # the wait was the target's, and every start was made up for
    assert measured["arrivals"]["offered"] - measured["arrivals"]["achieved"] <= 1
    # all that fell due meanwhile but the eight that were under way, and those behind the queue
    assert (frozen_ms - 700) / window_ms < measured["arrivals"]["waited_share"] < 2 * frozen_ms / window_ms
    assert measured["schedule_lag_ms"]["p99"] < 100


@pytest.mark.long
def test_two_workers_offer_the_rate_of_all_users(tmp_path: Path) -> None:
    options = ("--users", "8", "--spawn-rate", "8", "--run-time", "9s", "--arrivals", "constant", *LIMITS)
    with backend("--time-scale", "0.02") as target:
        ended = run(
            tmp_path, *options, "--turn-interval", "0.5", "--processes", "2", "--host", target.url,
            JWT_SECRET_KEY=SECRET,
        )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    arrivals = ended.verdict["measurement"]["arrivals"]
    assert arrivals["offered_per_s"] == pytest.approx(16, rel=0.05)
    assert arrivals["achieved"] >= arrivals["offered"] - 1
    assert {name for name, one in ended.run["workers"].items() if one["arrivals"]["offered"]} == {"w0", "w1"}
    rows = sorted(ended.rows("runs"), key=lambda row: (row["account"], row["intended_ns"]))
    schedules = [[row["intended_ns"] for row in of] for _, of in groupby(rows, key=lambda row: row["account"])]
    assert len(schedules) == 8
    assert {later - earlier for due in schedules for earlier, later in pairwise(due)} == {500 * MS}
    phases = sorted(due[0] % (500 * MS) for due in schedules)
    assert max(later - earlier for earlier, later in pairwise([*phases, phases[0] + 500 * MS])) < 200 * MS
    assert "arrivals constant" in ended.output and "turns/s offered" in ended.output
    assert "constant, a turn every 0.5 s" in (ended.folder / "summary.md").read_text()
    assert "arrivals constant" in (ended.folder / "junit.xml").read_text()
    assert "constant, a turn every 0.5 s" in (ended.folder / "report.html").read_text()


def test_a_backend_slower_than_the_interval_leaves_timing_unknown(tmp_path: Path) -> None:
    """Turns of about 0.7 s, due every 0.3 s: the users cannot offer what was asked for, and the report says so."""
    options = ("--users", "4", "--spawn-rate", "4", "--run-time", "8s", "--arrivals", "poisson", *LIMITS)
    ended = run(tmp_path, *options, "--turn-interval", "0.3")
    [cause] = [one for one in ended.verdict["measurement"]["causes"] if one.startswith("arrivals: ")]
    assert "never started: users were busy" in cause
    arrivals = ended.verdict["measurement"]["arrivals"]
    assert arrivals["achieved_per_s"] < 0.7 * arrivals["offered_per_s"]
    assert arrivals["waited_share"] > 0.8
    assert ended.verdict["judgements"]["delivery"] == "pass"


def test_waiting_for_a_socket_of_ones_own_is_not_the_generators_lag(tmp_path: Path) -> None:
    """Where each thread has a socket, its first turn opens it when it is due; other turns find it open."""
    options = ("--users", "4", "--spawn-rate", "4", "--run-time", "8s", "--arrivals", "constant", *LIMITS)
    with backend("--time-scale", "0.02") as target:
        ended = run(
            tmp_path, *options, "--turn-interval", "0.5", "--dialect", "agui", "--host", target.url,
            JWT_SECRET_KEY=SECRET,
        )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    rows = ended.rows("runs")
    assert {(row["turn"] == 1, row["waited"]) for row in rows if row["turn"] < 3} >= {(True, True), (False, False)}
    assert all(row["waited"] for row in rows if row["turn"] == 1)
    assert sum(row["waited"] for row in rows if row["turn"] > 1) <= 3


def test_people_come_converse_and_leave(tmp_path: Path) -> None:
    options = ("--users", "10", "--spawn-rate", "10", "--run-time", "12s", "--arrivals", "sessions", *LIMITS)
    with backend("--time-scale", "0.05") as target:
        ended = run(
            tmp_path, *options, "--session-rate", "2", "--think-time", "0.2", "--host", target.url,
            JWT_SECRET_KEY=SECRET,
        )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    arrivals = ended.verdict["measurement"]["arrivals"]
    people = [row for row in ended.rows("connections") if row["purpose"] == "user"]
    assert 10 <= arrivals["offered"] <= 45  # 22 expected; a Poisson count is beyond these once in a thousand
    assert arrivals["achieved"] == arrivals["offered"]
    assert 0 <= len(people) - arrivals["achieved"] <= 6  # those who came during the ramp
    turns = Counter(row["connection"] for row in ended.rows("runs"))
    said = [turns[row["connection"]] for row in people]
    assert max(said) <= 5 and sum(2 <= n <= 5 for n in said) >= len(people) - 10  # the last ones were still there
    assert {row["closed_by"] for row in people} == {"us"}
    there = [row["users"] for row in ended.rows("health")]
    assert min(there) < max(there) <= 10
    assert "people/s offered" in ended.output


def test_people_who_find_nobody_free_are_not_admitted_and_shown(tmp_path: Path) -> None:
    options = ("--users", "2", "--spawn-rate", "2", "--run-time", "8s", "--arrivals", "sessions", *LIMITS)
    ended = run(tmp_path, *options, "--session-rate", "4", "--think-time", "0.1")
    arrivals = ended.verdict["measurement"]["arrivals"]
    assert arrivals["achieved"] < 0.6 * arrivals["offered"]
    turned_away = arrivals["offered"] - arrivals["achieved"]
    assert f"{turned_away} people not admitted" in ended.output
    assert any("found no user free" in cause for cause in ended.verdict["measurement"]["causes"])
    open_at_once = 0
    people = [row for row in ended.rows("connections") if row["purpose"] == "user"]
    for row in people:
        here = [one for one in people if one["begun_ns"] <= row["begun_ns"] < one["ended_ns"]]
        open_at_once = max(open_at_once, len(here))
    assert open_at_once == 2  # users are the ceiling


@pytest.mark.long
def test_results_of_other_arrivals_are_refused(tmp_path: Path) -> None:
    few = ("--users", "4", "--spawn-rate", "4", "--run-time", "5s", *LIMITS)
    first = run(tmp_path, *few)
    constant = ("--arrivals", "constant", "--turn-interval", "1")
    second = run(tmp_path, *few, *constant)
    reason = "its arrivals are think, these are constant"
    assert reason in second.verdict["since"]["refused"] and second.verdict["since"]["previous"] is None
    assert "not compared with" in second.output and reason in (second.folder / "summary.md").read_text()
    third = run(tmp_path, *few)
    assert third.verdict["since"]["previous"] == first.folder.name and "refused" not in third.verdict["since"]
    refused = run(tmp_path, *few, *constant, "--baseline", str(first.folder))
    assert refused.exit_code == 2 and reason in refused.output
