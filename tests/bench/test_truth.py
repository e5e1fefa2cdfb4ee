"""A record beside the sender's log: literal histories in, differences out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.sent_log import SentLog, read
from bench.truth import compare
from crosstalk.record.batch import row
from crosstalk.record.parts import RecordWriter
from crosstalk.record.rows import COLUMNS, TABLES, Row

T0 = 1_795_000_000_000_000_000


def event(run: str, n: int, arrived_ns: int, *, exact: bool = True, after_ns: int | None = None) -> Row:
    return row(
        "events", worker="local", run=run, connection="c", account="a", n=n, kind="chunk", agent="", tool="",
        intended_ns=T0, sent_ns=T0, arrived_ns=arrived_ns, arrived_after_ns=arrived_ns if exact else after_ns,
        received_ns=arrived_ns + 5, exact=exact, gap_ns=None, chunk_gap_ns=None, tool_time_ns=None, bytes=9,
    )  # fmt: skip


def health(at_ns: int, drift_ns: int) -> Row:
    nothing = {"int": 0, "float": 0.0, "str": "", "bool": False}
    values = {name: None if kind.endswith("?") else nothing[kind] for name, kind in TABLES["health"].items()}
    values |= {"worker": "local", "role": "local", "at_ns": at_ns, "wall_drift_ns": drift_ns}
    return tuple(values[name] for name in COLUMNS["health"])


def write(folder: Path, events: list[Row], ticks: list[Row]) -> Path:
    writer = RecordWriter(folder)
    writer.append("events", events)
    writer.append("health", ticks)
    writer.flush()
    writer.write_run({})
    return folder


def log(folder: Path, *writes: tuple[str, int, int, int, int]) -> Path:
    """Each: run, first event (0-based), how many, before and after the write."""
    sent, numbers = SentLog(), dict[str, int]()
    for run, first, count, sent_ns, written_ns in writes:
        number = numbers.setdefault(run, len(numbers))
        if number == len(sent.runs):
            sent.new_run(run)
        sent.add(number, first, count, sent_ns, written_ns)
    sent.write(folder / "sent.npz")
    return folder / "sent.npz"


def test_a_write_of_several_events_is_one_entry_each(tmp_path: Path) -> None:
    sent = read(log(tmp_path, ("a", 0, 3, T0, T0 + 1), ("b", 5, 1, T0 + 2, T0 + 3), ("a", 3, 2, T0 + 4, T0 + 5)))
    assert sent.runs == {"a": 0, "b": 1}
    assert sent.run.tolist() == [0, 0, 0, 1, 0, 0]
    assert sent.n.tolist() == [1, 2, 3, 6, 4, 5]
    assert (sent.sent_ns - T0).tolist() == [0, 0, 0, 2, 4, 4]


def test_each_event_meets_its_own_stamp_and_others_are_left_out(tmp_path: Path) -> None:
    events = [event("b", 1, T0 + 250), event("a", 2, T0 + 130), event("a", 1, T0 + 110), event("other", 1, T0)]
    found = compare(
        write(tmp_path / "record", events, []),
        log(
            tmp_path, ("a", 0, 1, T0 + 100, T0 + 105), ("a", 1, 1, T0 + 120, T0 + 125), ("b", 0, 1, T0 + 200, T0 + 205)
        ),
    )
    assert found.arrived_ns.tolist() == [50, 10, 10]
    assert found.received_ns.tolist() == [55, 15, 15]
    assert found.written_ns.tolist() == [5, 5, 5]


def test_the_drift_of_the_clocks_is_taken_back_as_it_was_known_then(tmp_path: Path) -> None:
    events = [event("a", n, T0 + 1000 * n) for n in (1, 2, 3)]
    ticks = [health(T0 + 2500, 30), health(T0 + 1500, 20)]
    found = compare(
        write(tmp_path / "record", events, ticks),
        log(tmp_path, *(("a", n - 1, 1, T0 + 1000 * n, T0 + 1000 * n + 9) for n in (1, 2, 3))),
    )
    assert found.arrived_ns.tolist() == [0, 20, 30]


@pytest.mark.parametrize(
    "arrived, after, holds", [(8, 2, True), (3, 2, True), (8, 4, True), (8, 6, False), (-1, -3, False)]
)
def test_an_interval_holds_the_truth_or_not(tmp_path: Path, arrived: int, after: int, holds: bool) -> None:
    """The truth lies between 0 and 5."""
    one = event("a", 1, T0 + arrived, exact=False, after_ns=T0 + after)
    found = compare(write(tmp_path / "record", [one], []), log(tmp_path, ("a", 0, 1, T0, T0 + 5)))
    assert found.holds.tolist() == [holds]
    assert not np.any(found.exact)


def test_an_event_that_is_on_record_twice_is_no_figure(tmp_path: Path) -> None:
    twice = [event("a", 1, T0), event("a", 1, T0 + 1)]
    with pytest.raises(ValueError, match="1 events are on record more often"):
        compare(write(tmp_path / "record", twice, []), log(tmp_path, ("a", 0, 1, T0, T0 + 5)))
