"""What a process's heap holds: by file, in groups, and only what was asked for since tracing began."""

from __future__ import annotations

import tracemalloc

import gevent
import pytest

from crosstalk.checks.memory_groups import GROUPS, group_of
from crosstalk.memory import MemoryTrace, held, short_name
from crosstalk.record.rows import COLUMNS

ROOT = __file__.rpartition("/tests/")[0]


@pytest.mark.parametrize(
    ("path", "short", "group"),
    [
        (f"{ROOT}/crosstalk/checks/pieces.py", "crosstalk/checks/pieces.py", "own"),
        (f"{ROOT}/crosstalk/checks/tally_runs.py", "crosstalk/checks/tally_runs.py", "tally"),
        (f"{ROOT}/crosstalk/record/batch.py", "crosstalk/record/batch.py", "tally"),
        ("/v/lib/python3.11/site-packages/locust/stats.py", "locust/stats.py", "locust"),
        ("/v/lib/python3.11/site-packages/gevent/hub.py", "gevent/hub.py", "own"),
        ("/usr/lib/python3.11/json/decoder.py", "python3.11/json/decoder.py", "own"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>", "own"),
    ],
)
def test_a_file_is_named_shortly_and_belongs_to_somebody(path: str, short: str, group: str) -> None:
    assert (short_name(path), group_of(short)) == (short, group)
    assert group in GROUPS


def test_what_is_held_is_told_and_what_was_freed_is_not() -> None:
    tracemalloc.start()
    try:
        before = sum(size for size, _ in held().values())
        kept = [bytes(1000) for _ in range(2000)]
        there = held()
        size, blocks = there["own", "tests/test_memory.py"]
        assert 2_000_000 < size < 2_400_000 and 2000 <= blocks < 2100
        kept.clear()
        assert sum(size for size, _ in held().values()) < before + 400_000
    finally:
        tracemalloc.stop()


def test_it_writes_rows_until_it_is_stopped_and_leaves_no_tracing_behind() -> None:
    rows: list[dict[str, object]] = []
    trace = MemoryTrace(worker="w1", every_s=0.01, record=lambda table, row: rows.append(
        dict(zip(COLUMNS[table], row, strict=True))))  # fmt: skip
    with gevent.Timeout(10):
        while not rows:
            gevent.sleep(0.01)  # bounded: by the timeout around it
    trace.stop()
    assert not tracemalloc.is_tracing()
    assert {row["worker"] for row in rows} == {"w1"} and {row["group"] for row in rows} <= set(GROUPS)
    count = len(rows)
    gevent.sleep(0.05)  # bounded: five times the pause between two looks
    assert len(rows) == count
