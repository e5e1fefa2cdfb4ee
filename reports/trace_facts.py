"""What stands above the lanes: the violation or the run in words. Pure: a view in, words out."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.channels import CHANNELS
from reports import numbers
from reports.markup import Html, element, join
from reports.trace_choice import FAILED, SAMPLE, SLOW
from reports.trace_lanes import PLANTED, STALLED, SURFACED
from reports.trace_views import View

MILESTONES = (
    ("accepted", "accepted_ns"),
    ("first event", "first_event_ns"),
    ("first text", "first_chunk_ns"),
    ("end", "end_ns"),
)


def title(view: View) -> Html:
    row = view.row
    if not row:
        lane = view.lanes[0]
        return join([element("b", _why(view)), f" · {lane.account} · prompt “{lane.of_run.get('prompt', '')}”"])
    return join([element("b", row["name"]), element("span", _where(row) + _whose(row))])


def list_entry(view: View, started_ns: int) -> Html:
    row = view.row
    if not row:
        of_run = view.lanes[0].of_run
        said = (of_run.get("signature") or of_run.get("outcome")) if view.why == FAILED else of_run.get("prompt", "")
        return join([element("b", said), " ", element("small", f"{of_run.get('account', '')} · {_length(of_run)}")])
    at = numbers.seconds(row["surfaced_ns"] - started_ns)
    whose = str(row["observer"]) if row["owner"] in ("", row["observer"]) else f"{row['owner']} → {row['observer']}"
    times = f" · {numbers.plural(row['count'], 'time')}" if row["count"] > 1 else ""
    channel = f" · channel {row['channel']}" if row["channel"] else ""
    return join([element("b", row["name"]), channel, element("small", f"{whose} · {at}{times}")])


def _length(of_run: dict[str, Any]) -> str:
    if of_run.get("end_ns") is None:
        return "no end"
    return numbers.from_ns(of_run["end_ns"] - of_run["sent_ns"])


def _why(view: View) -> str:
    of_run = view.lanes[0].of_run
    outcome = str(of_run.get("outcome") or "run")
    return {SLOW: "slow run", SAMPLE: "typical run", FAILED: outcome.replace("_", " ")}.get(view.why, "run")


def _where(row: dict[str, Any]) -> str:
    return f" · channel {row['channel']}" if row["channel"] else ""


def _whose(row: dict[str, Any]) -> str:
    if not row["owner"]:
        return f" · {row['observer']}"
    if row["owner"] == row["observer"]:
        other = {"cross_thread": " of another thread", "cross_run": " of another run"}.get(row["scope"], "")
        return f" · {row['observer']} saw what is its own{other}"
    return f" · {row['observer']} saw what belongs to {row['owner']}"


def facts(view: View, started_ns: int) -> list[tuple[object, object]]:
    pairs = _of_violation(view, started_ns) if view.row else _of_run(view, started_ns)
    return [(name, value) for name, value in pairs if value]


def _of_violation(view: View, started_ns: int) -> list[tuple[object, object]]:
    row = view.row
    channel = f"{row['channel']} · {CHANNELS.get(row['channel'], 'unknown')}" if row["channel"] else ""
    times = f", seen {numbers.plural(row['count'], 'time')}" if row["count"] > 1 else ""
    return [
        ("expected", row["expected"]),
        ("came", row["came"]),
        ("channel", channel),
        ("scope", row["scope"].replace("_", " ")),
        ("judged as", row["judgement"]),
        ("planted", _planted(view)),
        ("surfaced", _surfaced(view, started_ns) + times),
        ("field", element("code", row["field"]) if row["field"] not in ("", "(frame)") else ""),
        ("read as", row["decode"].replace("+", ", then ")),
        ("trace id", element("code", row["trace_id"]) if row["trace_id"] else ""),
        ("violation", element("code", row["violation"])),
    ]


def _planted(view: View) -> str:
    row = view.row
    if not row["owner"]:
        return ""
    place = view.place(PLANTED)
    at_ns = place[1].at_ns if place else row["planted_ns"]
    said = [f"by {row['owner']}", f"as {row['site']}" if row["site"] else "", numbers.instant(at_ns) if at_ns else ""]
    return " · ".join(filter(None, said))


def _surfaced(view: View, started_ns: int) -> str:
    shown = view.place(SURFACED)
    at_ns = shown[1].at_ns if shown else view.row["surfaced_ns"]
    said = f"{numbers.instant(at_ns)}, {numbers.seconds(at_ns - started_ns)} after the start"
    place = view.place(PLANTED)
    if place:
        later = at_ns - place[1].at_ns
        said += f", {numbers.from_ns(abs(later))} {'after' if later >= 0 else 'before'} it was planted"
    return said


def _of_run(view: View, started_ns: int) -> list[tuple[object, object]]:
    lane = view.lanes[0]
    row = lane.of_run
    if not row:
        return [("run", element("code", lane.run))]
    times = [f"{name} {numbers.from_ns(row[key] - row['sent_ns'])}" for name, key in MILESTONES if row[key] is not None]
    late_ns = row["sent_ns"] - row["intended_ns"]
    sent = f"{numbers.instant(row['sent_ns'])}, {numbers.seconds(row['sent_ns'] - started_ns)} after the start"
    return [
        ("outcome", row["outcome"]),
        ("what happened", row["signature"]),
        ("sent", sent + (f", {numbers.from_ns(late_ns)} later than it was due" if late_ns >= 1_000_000 else "")),
        ("times", " · ".join(times)),
        ("longest silence", _stall(view)),
        ("user", f"{row['account']} ({row['user_class']}), turn {row['turn']} of {row['thread']}"),
        ("connection", row["connection"]),
        ("trace id", element("code", row["trace_id"]) if row["trace_id"] else ""),
        ("run", element("code", row["run"])),
    ]


def _stall(view: View) -> str:
    place = view.place(STALLED)
    if place is None:
        return ""
    if place[1].gap_ns:
        return f"{numbers.from_ns(place[1].gap_ns)}, before {place[1].kind.replace('_', ' ')}"
    return f"after the last event; {place[1].note}"
