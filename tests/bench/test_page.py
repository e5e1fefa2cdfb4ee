"""Rows in, page out: ratios within an alternation, marks where something was wrong, a meter that tells the truth."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import orjson
import pytest

from bench.accuracy import Wanted, regime_for, shortfalls
from bench.one_run import Row, cpu_of
from bench.page import as_document, as_markdown, figure, ratio, spread
from bench.side_by_side import REGIMES, turns
from bench.tools import TOOLS, Error
from reports.drawing import png

WHERE = {"date": "2026-01-01", "processor": "2 × a test's"}
CELL = ("bursts", "ws")


def a_row(tool: str, alternation: int, cpu_us: float, *, problems: tuple[str, ...] = (), after_us: float = 0.0) -> Row:
    return Row(
        tool, *CELL, alternation, 50, 5000.0, problems, seconds=4.0, sent=1000, received=1000,
        cpu_window_ns=int(cpu_us * 1e6), cpu_after_ns=int(after_us * 1e6),
        errors={"read": Error(1000, 0.5, 2.0, 9.0)},
    )  # fmt: skip


ROWS = [
    a_row("crosstalk", 0, 9.0, after_us=1.0), a_row("k6", 0, 40.0),
    a_row("crosstalk", 1, 19.0, after_us=1.0), a_row("k6", 1, 50.0),
    a_row("crosstalk", 2, 29.0, after_us=1.0), a_row("k6", 2, 60.0),
]  # fmt: skip


def test_a_ratio_is_of_figures_of_one_alternation() -> None:
    found = ratio(ROWS, "k6", CELL)
    assert found is not None
    assert (found.least, found.median, found.most) == pytest.approx((0.25, 0.4, 0.5))
    assert "| **Crosstalk ÷ k6** | 0.40 (0.25–0.50) |" in as_markdown(ROWS, WHERE)


def test_a_peer_without_figures_makes_no_ratio() -> None:
    rows = [a_row("crosstalk", 0, 9.0), Row("k6", *CELL, 0, 50, 5000.0, ("it ended with code 7",))]
    assert ratio(rows, "k6", CELL) is None
    page = as_markdown(rows, WHERE)
    assert "no figure †" in page and "it ended with code 7" in page
    assert png(figure(rows)).startswith(b"\x89PNG")


def test_what_was_wrong_is_marked_and_told() -> None:
    assert "†" not in as_markdown(ROWS, WHERE)
    page = as_markdown([*ROWS[:5], a_row("k6", 2, 60.0, problems=("received 7 of 9 events",))], WHERE)
    assert "50.0 (40.0–60.0) †" in page
    assert "k6, bursts over ws, alternation 3: received 7 of 9 events" in page


def test_the_document_has_every_alternation() -> None:
    document = orjson.loads(as_document(ROWS, WHERE))
    assert [row["cpu_us_per_event"] for row in document["rows"]] == pytest.approx([10, 40, 20, 50, 30, 60])
    assert document["conditions"] == WHERE


def test_what_an_end_costs_once_is_not_an_events() -> None:
    row = a_row("crosstalk", 0, 9.0, after_us=3.0)
    assert row.cpu_us_per_event == pytest.approx(12.0)
    assert replace(row, cpu_once_ns=2_000_000).cpu_us_per_event == pytest.approx(10.0)
    assert replace(row, cpu_once_ns=9_000_000).cpu_us_per_event == pytest.approx(9.0)
    assert "| Crosstalk: once, at its end, ms | 2 |" in as_markdown([replace(row, cpu_once_ns=2_000_000)], WHERE)


def test_a_spread_is_of_something() -> None:
    assert spread([]) is None
    assert str(spread([1.0, 3.0, 2.0])) == "2.00 (1.00–3.00)"


def test_lagging_is_told_and_is_not_wrong() -> None:
    assert not a_row("k6", 0, 1.0, problems=("lagged: took 80 % of what was offered",)).is_wrong
    assert a_row("k6", 0, 1.0, problems=("delivery: fail: 2 not real",)).is_wrong


def test_turns_are_taken_and_nobody_is_always_first() -> None:
    tools = list(TOOLS.values())
    plan = list(turns(REGIMES[:1], tools, len(tools)))
    assert [tool for alternation, _, tool in plan if alternation == 1][:2] == [tools[1], tools[2]]
    assert {plan[n * len(tools)][2].name for n in range(len(tools))} == set(TOOLS)


def test_the_cpu_meter_agrees_with_what_a_process_says_of_itself() -> None:
    code = (
        "import time, sys\n"
        "while time.process_time() < 0.4: pass\n"
        "print(time.process_time_ns(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        own_ns = int(child.stdout.readline())
        ours_ns = cpu_of(child.pid)
        child.stdin.close()
    assert own_ns <= ours_ns < own_ns * 1.2


def test_the_cpu_meter_counts_children() -> None:
    code = (
        "import subprocess, sys\n"
        "busy = 'import time, sys\\nwhile time.process_time() < 0.3: pass\\nprint(1, flush=True); sys.stdin.read()'\n"
        "with subprocess.Popen([sys.executable, '-c', busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:\n"
        "    child.stdout.readline(); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        parent.stdout.readline()
        assert cpu_of(parent.pid) > 300_000_000
        parent.stdin.close()


def test_more_load_than_users_can_carry_comes_as_more_events_a_slot() -> None:
    few, many = regime_for(5_000, tls=False), regime_for(70_000, tls=True)
    assert (few.users, few.per_slot, few.scheme) == (100, 1, "ws")
    assert many.per_slot == 3 and many.rate == pytest.approx(70_000, rel=0.01) and many.scheme == "wss"
    assert many.events_per_run / many.per_slot == few.events_per_run  # runs of the same length in time
    assert Wanted(95).least < 0.95 < Wanted(95).most


@pytest.mark.parametrize(
    "p99_ms, holds, received, falls_short",
    [(0.05, 1.0, 100, 0), (0.11, 1.0, 100, 1), (0.05, 0.998, 100, 1), (0.05, 1.0, 99, 1), (0.2, 0.5, 99, 3)],
)
def test_promises_of_accuracy_are_held(p99_ms: float, holds: float, received: int, falls_short: int) -> None:
    row = Row(
        "crosstalk", "6 users", "ws", 50, 6, 300.0, sent=100, received=received,
        errors={"kernel stamps that are exact": Error(90, 0.01, p99_ms, 0.3)}, more={"interval_holds_share": holds},
    )  # fmt: skip
    assert len(shortfalls([row])) == falls_short
