"""The page of a soak, made of a record: what was lost, what grows, and what a heap must not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.soak import is_still, page
from reports.build import build
from tests.reports.records import make

HEAP = "slope_mib_per_h[harness_heap]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make(tmp_path / "20250915-soak")
    assert build(made) == []
    return made


def told(folder: Path, *, high: float | None, lost: int = 0, worker: str = "w0") -> Path:
    """With a heap whose interval ends there."""
    verdict = orjson.loads((folder / "verdict.json").read_bytes())
    known = high is not None
    heap: dict[str, Any] = {"metric": HEAP, "unit": "MiB/h", "n": 90, "worker": worker, "what": "the harness itself"}
    heap |= {"value": 1.0 if known else None, "ci": [-1.0, high] if known else None}
    heap["reason"] = "" if known else "12 samples"
    verdict["slopes"]["memory"] = [heap]
    verdict["slopes"]["refreshes"] |= {"made": 260, "runs_at_stake": 500, "runs_lost": lost}
    (folder / "verdict.json").write_bytes(orjson.dumps(verdict))
    return folder


def test_a_page_tells_runs_renewals_and_slopes(folder: Path) -> None:
    text = page(told(folder, high=3.0), (40.0, 50.0), {"processor": "2 x something"}, "Others were at work.")
    assert "Runs: " in text and "260 renewals of tokens, 0 refused; 0 of 500 runs at stake lost to one." in text
    assert "| the harness itself, w0 | 1.00 MiB/h | -1.00 to 3.00 | 90 | not known to |" in text
    assert "Measured on processor 2 x something. Others were at work." in text
    assert "(+25 %)" in text
    assert "Tracing" not in page(folder, None, {})


@pytest.mark.parametrize(
    ("high", "lost", "still"), [(4.9, 0, True), (5.1, 0, False), (4.9, 1, False), (None, 0, False)]
)
def test_it_stands_still_where_the_whole_interval_says_so_and_no_run_was_lost(
    folder: Path, high: float | None, lost: int, still: bool
) -> None:
    assert is_still(told(folder, high=high, lost=lost)) is still
