"""The benchmark in its smallest form: real tools, a real sender, a tool that loses events. `make bench` does it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.one_run import Row, ToolFailed, run
from bench.side_by_side import REGIMES
from bench.stand import ROOT, Regime
from bench.tools import TOOLS, Tool, _from_delays, _locust
from tests.end_to_end.locust_process import environment

SMALL = Regime("bursts", users=4, period_ms=100, per_slot=25, events_per_run=25)
PACED = Regime("paced", users=6, period_ms=20, per_slot=1, events_per_run=40)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("bench")
    command = [
        sys.executable, "-m", "bench.side_by_side", "--alternations", "1", "--seconds", "2", "--only", "bursts",
        "--users", "4", "--tools", "crosstalk,plain", "--out", str(into),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return into


@pytest.mark.long
def test_every_tool_has_every_event_and_its_cost(pages: Path) -> None:
    rows = json.loads((pages / "side_by_side.json").read_text())["rows"]
    assert {(row["tool"], row["scheme"]) for row in rows} == {
        (t, s) for t in ("crosstalk", "plain") for s in ("ws", "wss")
    }
    for row in rows:
        assert row["sent"] == row["received"] > 100, row
        assert row["cpu_us_per_event"] > 1, row
        assert row["errors"], row
        assert not [problem for problem in row["problems"] if not problem.startswith("lagged")], row


@pytest.mark.long
def test_what_the_harness_does_after_its_users_is_on_its_bill(pages: Path) -> None:
    rows = json.loads((pages / "side_by_side.json").read_text())["rows"]
    for row in rows:
        assert (row["cpu_after_ns"] > 0) == (row["cpu_once_ns"] > 0) == (row["tool"] == "crosstalk")
        billed_ns = row["cpu_window_ns"] + max(row["cpu_after_ns"] - row["cpu_once_ns"], 0)
        assert row["cpu_us_per_event"] * row["sent"] * 1000 == pytest.approx(billed_ns)


@pytest.mark.long
def test_page_and_picture_name_every_tool_and_regime(pages: Path) -> None:
    page = (pages / "side_by_side.md").read_text()
    for text in (
        "bursts ws",
        "bursts wss",
        TOOLS["crosstalk"].title,
        TOOLS["plain"].title,
        "Crosstalk ÷ plain",
        "date",
    ):
        assert text in page
    assert (pages / "side_by_side.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_record_agrees_with_the_senders_clock(pages: Path) -> None:
    """No arrival before its sending, and none after the read that found it."""
    rows = [row for row in json.loads((pages / "side_by_side.json").read_text())["rows"] if row["tool"] == "crosstalk"]
    for row in rows:
        exact, every, read = row["errors"].values()
        assert 0 < exact["p50_ms"] <= exact["max_ms"] < 1000
        assert exact["n"] == pytest.approx(row["more"]["exact_share"] * row["sent"])
        assert 0 < exact["n"] < every["n"] == read["n"] == row["sent"]
        assert every["p50_ms"] <= read["p50_ms"]
        assert row["more"]["interval_holds_share"] > 0.99


def test_a_tool_that_loses_events_is_marked(tmp_path: Path) -> None:
    file = str(Path(__file__).with_name("losing_user.py"))
    losing = Tool("plain", "loses some", lambda sender, _: _locust(sender, file), _from_delays, lambda: "")
    row = run(losing, SMALL, tmp_path, seconds=1.0)
    assert row.received == row.sent - row.sent // 10 or row.received == row.sent - row.sent // 10 - 1
    assert f"received {row.received:,} of {row.sent:,} events" in row.problems
    assert row.is_wrong


@pytest.mark.parametrize("code, says", [("raise SystemExit(7)", "code 7"), ("", "code 0")])
def test_a_tool_that_ends_too_early_is_a_failure_with_its_last_words(tmp_path: Path, code: str, says: str) -> None:
    def command(*_: object) -> list[str]:
        return [sys.executable, "-c", f"print('these are my last words'); {code}"]

    tool = Tool("plain", "ends", command, _from_delays, lambda: "")
    with pytest.raises(ToolFailed, match=f"(?s){says}.*these are my last words"):
        run(tool, SMALL, tmp_path, seconds=1.0)


@pytest.mark.parametrize("name", ["picows", "k6", "plain-tuned"])
def test_the_other_peers_have_every_event(tmp_path: Path, name: str) -> None:
    tool = TOOLS[name]
    if why := tool.missing():
        pytest.skip(why)
    row = run(tool, PACED, tmp_path, seconds=1.5)
    assert row.sent == row.received > 100
    assert not row.is_wrong
    assert row.cpu_window_ns > 0


def test_the_regimes_are_those_that_are_quoted() -> None:
    offered = {regime.name: (regime.users, round(regime.rate)) for regime in REGIMES}
    assert offered == {"bursts": (50, 5000), "paced-200": (200, 10_000), "paced-800": (800, 40_000)}
    assert Row("x", "bursts", "ws", 0, 50, 5000.0).cpu_us_per_event == 0
