"""Rows of `events` on their way from a session to the record: the numbers of each event, and once what many share.

An event is the one row that is written for every frame, so it is kept as cheaply as Python can: a few numbers, packed.
What all events of a run have in common (`Place`) and the few words that name an event (`Label`) stand beside them once
in each batch. So a batch can be read on its own: whatever else is lost, it says everything about the events in it.
Pure.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from crosstalk.record.rows import MISSING, Row

#: what is written of each event: its name, and its format in `struct`; place and label are numbers of the batch's own
NUMBERS = {
    "place": "i",
    "label": "i",
    "n": "i",
    "arrived_ns": "q",
    "arrived_after_ns": "q",
    "received_ns": "q",
    "exact": "?",
    "gap_ns": "q",
    "chunk_gap_ns": "q",
    "tool_time_ns": "q",
    "bytes": "i",
}
_MISSING: Final = MISSING
_PACKED = struct.Struct("<" + "".join(NUMBERS.values()))
_pack: Final = _PACKED.pack
#: events that a batch holds at most: with what they share, about 256 KiB when they are encoded
EVENTS_MAX = 3000


class Place(NamedTuple):
    """What the events of a run on a connection have in common: columns of `events`."""

    run: str
    connection: str
    account: str
    intended_ns: int
    sent_ns: int


class Label(NamedTuple):
    """What an event is called: columns of `events`."""

    kind: str
    agent: str
    tool: str


@dataclass(frozen=True, slots=True)
class Logged:
    """Events of one batch of a worker. `numbers`: those of `NUMBERS`, packed little-endian, event after event."""

    worker: str
    places: list[Place]
    labels: list[Label]
    numbers: bytes

    def __len__(self) -> int:
        return len(self.numbers) // _PACKED.size

    def encoded(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return {
            "places": [tuple(place) for place in self.places],
            "labels": [tuple(label) for label in self.labels],
            "numbers": b64encode(self.numbers).decode(),
        }

    @staticmethod
    def decoded(worker: str, content: dict[str, Any]) -> Logged:
        """:raises ValueError: it is not whole: events of another version, or cut short."""
        numbers = b64decode(content["numbers"])
        if len(numbers) % _PACKED.size:
            raise ValueError(f"expected {_PACKED.size} bytes for each event, came {len(numbers)} in all")
        places = [Place(*place) for place in content["places"]]
        return Logged(worker, places, [Label(*label) for label in content["labels"]], numbers)

    def rows(self) -> list[Row]:
        """In the order of the table's columns. Slow: for looking at a batch, and for tests."""
        rows: list[Row] = []
        for place, label, n, arrived, after, received, exact, *times, size in _PACKED.iter_unpack(self.numbers):
            run, connection, account, intended, sent = self.places[place]
            rows.append((
                self.worker, run, connection, account, n, *self.labels[label], intended, sent, arrived, after, received,
                exact, *(None if time == _MISSING else time for time in times), size,
            ))  # fmt: skip
        return rows


class EventLog:
    """The events that have been gathered since the last batch. One for each process.

    :param on_full: called when there are enough for a batch; it takes them out.
    """

    __slots__ = ("_labels", "_numbers", "_on_full", "_places", "_worker", "batch")

    def __init__(self, worker: str, on_full: Callable[[], None]) -> None:
        self._worker = worker
        self._on_full = on_full
        self.batch = 0  # how often a batch was begun: the number of a place is good for this one only
        self._begin()

    def _begin(self) -> None:
        self._numbers: list[bytes] = []
        self._places: list[Place] = []
        self._labels: dict[tuple[str, str, str], int] = {}
        self.batch += 1

    def __len__(self) -> int:
        return len(self._numbers)

    def place(self, run: str, connection: str, account: str, intended_ns: int, sent_ns: int) -> int:
        """The number, in this batch, of what the next events have in common."""
        self._places.append(Place(run, connection, account, intended_ns, sent_ns))
        return len(self._places) - 1

    def add(
        self, place: int, kind: str, agent: str, tool: str, n: int, arrived_ns: int, arrived_after_ns: int,
        received_ns: int, exact: bool, gap_ns: int | None, chunk_gap_ns: int | None, tool_time_ns: int | None,
        size_bytes: int,
    ) -> None:  # fmt: skip
        """One event; None: not observed. The place must be one of this batch."""
        key = (kind, agent, tool)
        label = self._labels.get(key)
        if label is None:
            label = self._labels[key] = len(self._labels)
        numbers = self._numbers
        numbers.append(_pack(
            place, label, n, arrived_ns, arrived_after_ns, received_ns, exact,
            _MISSING if gap_ns is None else gap_ns,
            _MISSING if chunk_gap_ns is None else chunk_gap_ns,
            _MISSING if tool_time_ns is None else tool_time_ns,
            size_bytes,
        ))  # fmt: skip
        if len(numbers) >= EVENTS_MAX:
            self._on_full()

    def take(self) -> Logged | None:
        """All events since the last time; None when there are none."""
        if not self._numbers:
            return None
        labels = [Label(str(kind), agent, tool) for kind, agent, tool in self._labels]
        taken = Logged(self._worker, self._places, labels, b"".join(self._numbers))
        self._begin()
        return taken
