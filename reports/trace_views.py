"""Views: a violation or a run with its lanes, their clock, and the places that matter. Pure: a record in, views out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from crosstalk.checks.columns import Columns
from reports import evidence, trace_decode, trace_lanes
from reports.evidence import Evidence
from reports.trace_choice import Choice, RunChoice, run_anchor, violation_anchor
from reports.trace_lanes import NO_END, PLANTED, SURFACED, Index, Lane, Moment

TABLES = ("violations", "runs", "frames", "events", "health")
NOT_KEPT = (
    "The owner's frames are not in the record: frames are kept of runs with a violation or a failure, and of a sample. "
    "The owner is named by the reference itself."
)


@dataclass(frozen=True, slots=True)
class View:
    """One page of the trace. Instants of all lanes are told as milliseconds since `zero_ns`."""

    anchor: str
    why: str  # "violation", or why the run was chosen
    lanes: tuple[Lane, ...]
    zero_ns: int
    zero: str  # what happened then
    evidence: Evidence | None = None
    clocks_apart_ns: int | None = None  # how far two workers' clocks may be apart; None with one clock

    def place(self, role: str) -> tuple[int, Moment] | None:
        """(lane, moment) that has this role."""
        found = [(n, m) for n, lane in enumerate(self.lanes) for m in lane.moments if m.role == role]
        return found[0] if found else None

    @property
    def row(self) -> dict[str, Any]:
        return {} if self.evidence is None else self.evidence.row


def views(tables: dict[str, Columns], choice: Choice) -> list[View]:
    """Every chosen violation, then every chosen run."""
    found = evidence.gather(choice.violations, tables["frames"])
    index = _index(tables, found, choice)
    return [
        *(_violation(one, index, tables) for one in found),
        *(_run(one, index, tables) for one in choice.runs),
    ]


def _index(tables: dict[str, Columns], found: list[Evidence], choice: Choice) -> Index:
    runs = tables["runs"]
    planting = (tables["frames"]["run"][one.planted_row] for one in found if one.planted_row is not None)
    wanted = {str(run) for run in planting} | {runs["run"][one.row] for one in choice.runs}
    wanted |= {one.row[key] for one in found for key in ("run", "owner_run")}
    return Index(tables, runs=wanted, connections=(one.row["observer_connection"] for one in found))


def _run(choice: RunChoice, index: Index, tables: dict[str, Columns]) -> View:
    row = trace_lanes.row_of(tables["runs"], choice.row)
    lane = trace_lanes.stalled(trace_lanes.run_lane(index, "run", run=row["run"], account=row["account"]))
    anchor = run_anchor(row["account"], row["run"])
    return View(anchor, choice.why, (trace_lanes.bounded(lane),), row["sent_ns"], "the prompt")


def _violation(one: Evidence, index: Index, tables: dict[str, Columns]) -> View:
    row = one.row
    observer = _surfaced(_observer(row, index), one)
    lanes = [observer] if not _has_owner(row) else [_owner(one, index, tables["frames"]), observer]
    zero_ns, zero = _zero(lanes, row)
    return View(
        violation_anchor(row["violation"]),
        "violation",
        tuple(trace_lanes.bounded(lane) for lane in lanes),
        zero_ns,
        zero,
        one,
        _clocks_apart(lanes, tables["health"]),
    )


def _has_owner(row: dict[str, Any]) -> bool:
    """Is there another side to show? One's own other run is one as well."""
    return bool(row["owner"]) and (row["owner"] != row["observer"] or row["owner_run"] not in ("", row["run"]))


def _observer(row: dict[str, Any], index: Index) -> Lane:
    side = "observer" if _has_owner(row) else "run"
    if row["run"]:
        lane = trace_lanes.run_lane(index, side, run=row["run"], account=row["observer"])
        if lane.moments:
            return replace(lane, connection=lane.connection or row["observer_connection"])
    return trace_lanes.connection_lane(
        index,
        side,
        connection=row["observer_connection"],
        account=row["observer"],
        at_ns=row["surfaced_ns"],
        worker=row["worker"],
    )


def _surfaced(lane: Lane, one: Evidence) -> Lane:
    """The observer's lane with the moment that showed the violation; added from the violation's own row where no
    frame of the lane is that one."""
    row = one.row
    at = _shown_at(lane, one)
    if at is not None:
        moments = list(lane.moments)
        body = row["frame"] if moments[at].body is None else moments[at].body
        late = moments[at].at_ns != row["surfaced_ns"]
        note = "found when the run was over and its frames were searched once more" if late else ""
        if late and "split" in trace_decode.words(row["decode"]):
            note = "spread over several fields or frames; this is the last frame of the run that was searched"
        moments[at] = replace(moments[at], body=body, role=SURFACED, note=note)
        return replace(lane, moments=tuple(moments))
    at_ns, frame = row["surfaced_ns"], row["frame"]
    kind = row["event_kind"] or (row["name"] if not frame else "frame")
    note = "as the violation keeps it" if frame else f"expected {row['expected']}; came {row['came']}"
    if not frame:  # the judgement says that there was no end, and when that was known
        lane = replace(lane, moments=tuple(m for m in lane.moments if m.kind != NO_END))
    direction = "in" if frame else ""
    moment = Moment(at_ns, direction, kind, body=frame or None, exact=not frame, role=SURFACED, note=note)
    return trace_lanes.added(lane, moment)


def _shown_at(lane: Lane, one: Evidence) -> int | None:
    """Which moment of the lane is the frame that showed it: the one of that instant, the one whose text it is, or the
    one that reads so when it is decoded."""
    row = one.row
    if not row["frame"]:
        return None
    came = [i for i, m in enumerate(lane.moments) if m.direction == "in"]
    same = [i for i in came if lane.moments[i].at_ns == row["surfaced_ns"]]
    for i in same:
        if lane.moments[i].body == row["frame"]:
            return i
    for i in same:
        if lane.moments[i].kind == row["event_kind"]:
            return i
    hidden = bool(trace_decode.words(row["decode"]))
    for i in came:
        body = lane.moments[i].body
        if body and hidden and trace_decode.steps(row["decode"], trace_decode.joined([body]), one.planted_canaries):
            return i
    alike = [i for i in came if lane.moments[i].body == row["frame"]]
    return alike[-1] if alike else None


def _owner(one: Evidence, index: Index, frames: Columns) -> Lane:
    row = one.row
    run = row["owner_run"]
    if one.planted_row is not None:
        run = str(frames["run"][one.planted_row])
    if not run:
        return Lane("owner", row["owner"], "", "", "", _planted_alone(row), lacking=NOT_KEPT)
    lane = trace_lanes.run_lane(index, "owner", run=run, account=row["owner"])
    if not lane.moments:
        return replace(lane, moments=_planted_alone(row), lacking=NOT_KEPT)
    return _planted(lane, one)


def _planted_alone(row: dict[str, Any]) -> tuple[Moment, ...]:
    if row["planted_ns"] is None:
        return ()
    return (Moment(row["planted_ns"], "out", row["site"] or "prompt", role=PLANTED, note="when it was planted"),)


def _planted(lane: Lane, one: Evidence) -> Lane:
    """The owner's lane with the frame that carried what later surfaced: the one sent at the recorded instant, else
    the first that contains it, else the first that was sent."""
    sent = [i for i, m in enumerate(lane.moments) if m.direction == "out"]
    marks = [mark.lower() for mark in one.theirs if len(mark) >= evidence.LONG_MARK]

    def unfit(i: int) -> tuple[bool, bool, int]:
        body = (lane.moments[i].body or "").lower()
        return lane.moments[i].at_ns != one.row["planted_ns"], not any(mark in body for mark in marks), i

    return trace_lanes.marked(lane, min(sent, key=unfit), PLANTED) if sent else lane


def _zero(lanes: list[Lane], row: dict[str, Any]) -> tuple[int, str]:
    for lane in lanes:
        for moment in lane.moments:
            if moment.role == PLANTED:
                return moment.at_ns, f"{lane.account}'s prompt" if lane.account else "the owner's prompt"
    for lane in reversed(lanes):
        for moment in lane.moments:
            if moment.direction == "out":
                return moment.at_ns, f"{lane.account}'s prompt"
    return row["surfaced_ns"], "the violation itself"


def _clocks_apart(lanes: list[Lane], health: Columns) -> int | None:
    """The sum of the largest drifts that the two workers measured between their clock and the wall clock."""
    workers = {lane.worker for lane in lanes if lane.worker}
    if len(workers) < 2:
        return None
    return sum(_drift(worker, health) for worker in workers)


def _drift(worker: str, health: Columns) -> int:
    drifts = health["wall_drift_ns"][health["worker"] == worker]
    return int(abs(drifts).max()) if drifts.size else 0


def in_order(view: View) -> Iterator[tuple[int, Moment]]:
    """(lane, moment) of all lanes on one clock; what was sent stands before what came at the same instant."""
    rows = [(m.at_ns, n, i) for n, lane in enumerate(view.lanes) for i, m in enumerate(lane.moments)]
    for _, lane, at in sorted(rows):
        yield lane, view.lanes[lane].moments[at]
