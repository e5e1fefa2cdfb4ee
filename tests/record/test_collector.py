"""The collector takes whole batches or none, whatever becomes of who hands them over, and however slow the disk is."""

from __future__ import annotations

import threading

import gevent
import pytest
from pyarrow import parquet

from crosstalk.record.batch import Outbox, row
from crosstalk.record.collector import Collector

EXPOSURE = {"worker": "w1", "channel": 1, "opportunities": 2, "observations": 3, "controls_expected": 4,
            "controls_seen": 4, "phantoms_live": 5, "skipped_bytes": 6}  # fmt: skip


def batches(n: int, tmp_path) -> list[bytes]:
    sent: list[bytes] = []
    outbox = Outbox("w1", lambda _number, body: sent.append(body), tmp_path / "spill.jsonl")
    for number in range(n):
        outbox.add("exposure", row("exposure", **EXPOSURE))
        outbox.add("ids", ("w1", "alice", f"thread-{number}"))
        outbox.flush()
    return sent


@pytest.fixture
def collector(tmp_path):
    return Collector(tmp_path / "record", lambda _violation: None)


def test_who_hands_over_may_be_killed(collector, tmp_path):
    disk = threading.Event()  # nothing is written before it is set: a disk that stalls
    collector._pool.spawn(disk.wait, 30)
    handing_over = gevent.spawn(lambda: [collector.take(body) for body in batches(5, tmp_path)])
    gevent.sleep(0)  # bounded: it has run, or waits for the disk in the middle of a batch
    handing_over.kill()
    disk.set()
    run = {"problems": []}
    collector.close(run)
    assert run["problems"] == []
    assert collector.rows == {"exposure": 5, "ids": 5}
    for table in ("exposure", "ids"):
        assert sum(parquet.read_metadata(part).num_rows for part in (tmp_path / "record" / table).iterdir()) == 5


def test_the_same_batch_counts_once(collector, tmp_path):
    [body] = batches(1, tmp_path)
    assert [collector.take(body), collector.take(body)] == [1, 0]
    collector.close({})
    assert collector.rows["exposure"] == 1
