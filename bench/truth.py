"""The harness's record beside the sender's log: of each measured event, when it was sent and when it came.

The record's instants are on a monotonic clock that was tied to the wall clock once; `health.wall_drift_ns` says how far
the two have moved apart since, sampled once a second, and is taken back here before wall clocks are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.sent_log import Column, read
from crosstalk.record.parts import Record


@dataclass(frozen=True, slots=True)
class Compared:
    """One entry a measured event that is on record. Instants are ns after the sender's stamp, just before its write.

    `written_ns`: when the sender's write had returned, so the kernel had it.
    """

    arrived_ns: Column
    arrived_after_ns: Column
    received_ns: Column
    written_ns: Column
    exact: NDArray[np.bool_]

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Does the interval that the record gives hold some instant at which the kernel may have had the event?"""
        return (self.arrived_ns >= 0) & (self.arrived_after_ns <= self.written_ns)


def compare(record: Path, log: Path) -> Compared:
    """Events of the record that the sender has in its log, each with its own stamp.

    :raises ValueError: the record has an event twice that was sent once.
    """
    sent, found = read(log), Record(record)
    events, health = found.table("events"), found.table("health")
    run = np.array([sent.runs.get(name, -1) for name in events["run"]], dtype=np.int64)
    stride = int(max(sent.n.max(initial=0), events["n"].max(initial=0))) + 1
    keys, sent_keys = run * stride + events["n"], sent.run * stride + sent.n
    order = np.argsort(sent_keys)
    place = np.searchsorted(sent_keys[order], keys)
    there = (run >= 0) & (place < len(order))
    there[there] = sent_keys[order][place[there]] == keys[there]
    index = order[place[there]]
    if len(np.unique(index)) != len(index):
        raise ValueError(f"{len(index) - len(np.unique(index))} events are on record more often than they were sent")
    received_ns, since = events["received_ns"][there], sent.sent_ns[index]
    offset_ns = _drift(health["at_ns"], health["wall_drift_ns"], received_ns) - since
    return Compared(
        events["arrived_ns"][there] + offset_ns, events["arrived_after_ns"][there] + offset_ns,
        received_ns + offset_ns, sent.written_ns[index] - since, events["exact"][there],
    )  # fmt: skip


def _drift(at_ns: Column, drift_ns: Column, instants_ns: Column) -> Column:
    """The drift that was known at each instant: that of the last sample before it, 0 before the first."""
    order = np.argsort(at_ns)
    known = np.concatenate([[0], drift_ns[order]])
    return known[np.searchsorted(at_ns[order], instants_ns, side="right")]
