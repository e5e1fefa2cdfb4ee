"""Every promise of the limits can be broken: one load test in which each is, by its fault, and each limit says so.

`docs/coverage.md` is made from the table here, among others; see tests/test_coverage_page.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.locust_process import ROOT, Ended, run

#: limit → (the fault that breaks it, and how often or at whom it bites)
BROKEN_BY = {
    "valid tokens accepted": ("header_ignored", "1:3"),
    "bad tokens rejected": ("accept_any_token", "1"),
    "no session-management failure": ("close_1011", "1:0-1"),
    "no close 1011": ("close_1011", "1:0-1"),
    "upgrade": ("upgrade_slow", "1:5"),
    "authentication": ("welcome_slow", "1:6"),
    "OAuth flow": ("oauth_slow", "1"),
    "agent runs completed": ("close_1011", "1:0-1"),
    "tools reliable": ("missing_event", "0.2"),
    "hand-offs": ("handoff_slow", "1"),
    "critical events complete": ("missing_event", "0.2"),
    "streaming": ("chunks_slow", "0.5"),
    "no context bleeding": ("leak_content", "0.1"),
    "newcomer succeeds": ("history_lacks_answer", "1"),
    "message processing": ("start_slow", "0.5"),
    "critical flow": ("end_slow", "0.5"),
    "first words": ("start_slow", "0.5"),
}


def faults() -> str:
    return ",".join(f"{name}:{how}" for name, how in dict(BROKEN_BY.values()).items())


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("promises")
    options = ("--users", "24", "--spawn-rate", "24", "--run-time", "22s", "--think-time", "0.2")
    limits = ("--limits", str(patient(folder)))
    return run(folder, *options, *limits, "--faults", faults(), scenario="golden_path")


def patient(folder: Path) -> Path:
    """The local limits, on a machine that may do something else: what is late by seconds is late on any."""
    text = (ROOT / "scenarios/limits/local.toml").read_text(encoding="utf-8")
    file = folder / "patient.toml"
    file.write_text(re.sub(r"(?m)^(\w+(?:_ms|_percent)_max) = \d+", r"\1 = 60000", text), encoding="utf-8")
    return file


@pytest.mark.parametrize("limit", BROKEN_BY)
def test_a_promise_that_is_broken_fails_its_limit(ended: Ended, limit: str) -> None:
    [entry] = [one for one in ended.verdict["limits"] if one["name"] == limit]
    assert entry["verdict"] == "fail", (entry["value"], entry["n"], entry["reason"])


def test_a_leak_among_all_that_comes_first(ended: Ended, tmp_path: Path) -> None:
    assert ended.exit_code == 3
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
