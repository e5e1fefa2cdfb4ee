"""Lanes: what one side saw and sent, in order, on one clock. Pure: columns in, lanes out.

A lane is made of the frames that were kept and, where they were not, of the recorded events, which every run has: then
the moment is there and its text is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns

#: moments of one lane; what is left out between them is said
LANE_MAX = 200
#: moments kept beside each marked one where a lane is too long
BESIDE = 12
#: of a connection whose frame named no run: how many before and after the one that counts
BEFORE, AFTER = 30, 10

PLANTED, SURFACED, STALLED = "planted", "surfaced", "stalled"
NO_END = "no end"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened on one side. `body` is None where the text is not in the record."""

    at_ns: int
    direction: str  # in | out | "" where nothing travelled
    kind: str
    who: str = ""  # agent and tool
    body: str | None = None
    size_bytes: int | None = None
    exact: bool = True  # False: `at_ns` is an upper bound
    gap_ns: int | None = None  # since the moment before it in its lane
    role: str = ""  # PLANTED, SURFACED, STALLED or ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    side: str  # owner | observer | run
    account: str
    run: str
    connection: str
    worker: str
    moments: tuple[Moment, ...]
    of_run: dict[str, Any] = field(default_factory=dict)  # its row of `runs`; empty where there is none
    lacking: str = ""  # what is not in the record, in words


class Index:
    """Rows of a record's tables by run and by connection, of those only that are asked for: one pass a table."""

    def __init__(self, tables: dict[str, Columns], *, runs: Iterable[str], connections: Iterable[str]) -> None:
        self.tables = tables
        wanted, links = set(runs) - {""}, set(connections) - {""}
        self._runs = {name: _rows_by(tables[name]["run"], wanted) for name in ("runs", "frames", "events")}
        self._links = {name: _rows_by(tables[name]["connection"], links) for name in ("frames", "events")}

    def of_run(self, table: str, run: str, account: str) -> list[int]:
        accounts = self.tables[table]["account"]
        return [i for i in self._runs[table].get(run, ()) if not account or accounts[i] == account]

    def of_connection(self, table: str, connection: str) -> list[int]:
        return self._links[table].get(connection, [])

    def run_row(self, run: str, account: str) -> dict[str, Any]:
        """The run's row with nulls as None; empty when the record has none."""
        rows = self.of_run("runs", run, account)
        return row_of(self.tables["runs"], rows[0]) if rows else {}


def row_of(columns: Columns, at: int) -> dict[str, Any]:
    """A row as plain values; nulls are None."""
    values = {name: column[at : at + 1].tolist()[0] for name, column in columns.items()}
    return {name: None if value == MISSING else value for name, value in values.items()}


def _rows_by(column: np.ndarray, wanted: set[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    if wanted:
        for i, value in enumerate(column.tolist()):
            if value in wanted:
                found.setdefault(value, []).append(i)
    return found


def run_lane(index: Index, side: str, *, run: str, account: str) -> Lane:
    """Everything of a run on its own side, from its prompt to its end, or to what it ended in."""
    row = index.run_row(run, account)
    frames = index.of_run("frames", run, account)
    moments = _moments(index, frames, index.of_run("events", run, account))
    if row and not any(m.direction == "out" for m in moments):
        moments.insert(0, Moment(row["sent_ns"], "out", "prompt", note="the frame itself is not in the record"))
    if row and row["end_ns"] is None:
        last_ns = max((m.at_ns for m in moments), default=row["sent_ns"])
        moments.append(Moment(last_ns, "", NO_END, note=f"nothing more of this run: {_ending(row)}"))
    lacking = "" if moments else "Nothing of this run is in the record."
    if moments and not frames:
        lacking = (
            "The frames of this run were not kept, only when each event came: frames are kept of runs with a "
            "violation or a failure, and of a sample."
        )
    connection = row.get("connection") or _first(index, "frames", frames, "connection")
    worker = row.get("worker") or _first(index, "frames", frames, "worker")
    return Lane(side, account, run, connection, worker, tuple(timed(moments)), row, lacking)


def _ending(row: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(filter(None, (row["outcome"], row["signature"]))))


def connection_lane(index: Index, side: str, *, connection: str, account: str, at_ns: int, worker: str) -> Lane:
    """What is in the record of a connection around `at_ns`: for what no run of its user claims."""
    frames = index.of_connection("frames", connection)
    moments = timed(_moments(index, frames, index.of_connection("events", connection)))
    before = [m for m in moments if m.at_ns <= at_ns][-BEFORE:]
    after = [m for m in moments if m.at_ns > at_ns][:AFTER]
    lacking = "" if moments else "Nothing else of this connection is in the record."
    return Lane(side, account, "", connection, worker, tuple(timed([*before, *after])), lacking=lacking)


def _first(index: Index, table: str, rows: list[int], column: str) -> str:
    return str(index.tables[table][column][rows[0]]) if rows else ""


def _moments(index: Index, frames: list[int], events: list[int]) -> list[Moment]:
    """Each frame with what is known of its event; then the events whose frames were not kept."""
    known = index.tables["events"]
    waiting: dict[tuple[int, str], list[int]] = {}
    for i in events:
        waiting.setdefault((int(known["received_ns"][i]), known["kind"][i]), []).append(i)
    moments = [_framed(index.tables["frames"], i, known, waiting) for i in frames]
    rest = sorted(i for rows in waiting.values() for i in rows)
    return moments + [
        Moment(
            int(known["arrived_ns"][i]),
            "in",
            known["kind"][i],
            who=_who(known, i),
            size_bytes=int(known["bytes"][i]),
            exact=bool(known["exact"][i]),
        )
        for i in rest
    ]


def _framed(frames: Columns, at: int, events: Columns, waiting: dict[tuple[int, str], list[int]]) -> Moment:
    same = waiting.get((int(frames["received_ns"][at]), frames["kind"][at]))
    event = same.pop(0) if same and frames["direction"][at] == "in" else None
    return Moment(
        int(frames["arrived_ns"][at]),
        frames["direction"][at],
        frames["kind"][at],
        who="" if event is None else _who(events, event),
        body=frames["body"][at],
        size_bytes=None if event is None else int(events["bytes"][event]),
        exact=event is None or bool(events["exact"][event]),
    )


def _who(events: Columns, at: int) -> str:
    return " ".join(filter(None, (events["agent"][at], events["tool"][at])))


def timed(moments: list[Moment]) -> list[Moment]:
    """In the order of their instants, each with the time since the one before it."""
    ordered = sorted(moments, key=lambda m: (m.at_ns, {"out": 0, "in": 1}.get(m.direction, 2)))
    return [
        replace(moment, gap_ns=None if i == 0 else moment.at_ns - ordered[i - 1].at_ns)
        for i, moment in enumerate(ordered)
    ]


def marked(lane: Lane, at: int, role: str, note: str = "") -> Lane:
    """The lane with a role at one of its moments."""
    moments = list(lane.moments)
    moments[at] = replace(moments[at], role=role, note=note or moments[at].note)
    return replace(lane, moments=tuple(moments))


def added(lane: Lane, moment: Moment) -> Lane:
    return replace(lane, moments=tuple(timed([*lane.moments, moment])))


def stalled(lane: Lane) -> Lane:
    """The lane with the end of its longest silence marked; of a run without an end, the silence it ended in."""
    if lane.moments and lane.moments[-1].kind == NO_END:
        return marked(lane, len(lane.moments) - 1, STALLED)
    gaps = [(m.gap_ns or 0, -i) for i, m in enumerate(lane.moments) if m.direction == "in"]
    longest, at = max(gaps, default=(0, 0))
    return marked(lane, -at, STALLED) if longest > 0 else lane


def bounded(lane: Lane, most: int = LANE_MAX) -> Lane:
    """A lane of at most about `most` moments: its beginning, its end, and what stands beside marked ones."""
    if len(lane.moments) <= most:
        return lane
    roles = [i for i, m in enumerate(lane.moments) if m.role][:3]
    keep = {j for i in roles for j in range(max(i - BESIDE, 0), min(i + BESIDE + 1, len(lane.moments)))}
    half = (most - len(keep)) // 2
    keep |= {*range(half), *range(len(lane.moments) - half, len(lane.moments))}
    moments: list[Moment] = []
    left_out = 0
    for i, moment in enumerate(lane.moments):
        if i not in keep:
            left_out += 1
            continue
        if left_out:
            moments.append(Moment(moment.at_ns, "", f"{left_out} more", note="in the record, not shown here"))
            left_out = 0
        moments.append(moment)
    return replace(lane, moments=tuple(moments))
