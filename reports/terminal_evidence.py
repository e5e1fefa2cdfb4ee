"""The proof of the gravest violation on the terminal: owner, observer, and both frames with their times."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from reports.evidence import Evidence, gather, ordered
from reports.material import Material
from reports.redact import redact

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FRAME_LINES = 24


def proof(material: Material, *, colour: bool) -> str:
    """The gravest violation in full; one line where there is none."""
    rows = ordered(material.table("violations"))
    if not rows:
        return "no violation: there is nothing to prove"
    [evidence] = gather(rows[:1], material.table("frames"))
    row = evidence.row
    lines = [
        f"{row['name']}"
        + (f", channel {row['channel']}" if row["channel"] else "")
        + f", {len(rows)} violations in all",
        f"  observer   {row['observer']}  (connection {row['observer_connection']}, run {row['run'] or 'none'})",
        f"  owner      {row['owner'] or 'nobody else'}" + (f"  (run {row['owner_run']})" if row["owner_run"] else ""),
        f"  expected   {row['expected']}",
        f"  came       {row['came']}",
    ]
    if row["field"]:
        lines.append(f"  where      {row['field']} of {row['event_kind'] or 'a frame'}, read as {row['decode']}")
    if row["trace_id"]:
        lines.append(f"  trace      {row['trace_id']}")
    lines += ["", *_planted(evidence, colour), "", *_shown(evidence, colour)]
    return redact("\n".join(_CONTROL.sub("?", line) if not colour else line for line in lines))


def _planted(evidence: Evidence, colour: bool) -> list[str]:
    row = evidence.row
    if not row["owner"]:
        return ["(no other user owns what came)"]
    if evidence.planted is None or evidence.planted_at_ns is None:
        return [f"the frame that {row['owner']} sent is not in the record any more"]
    head = f"{row['owner']} sent, {_time(evidence.planted_at_ns)}"
    return [head, *_frame(evidence.planted, evidence, colour)]


def _shown(evidence: Evidence, colour: bool) -> list[str]:
    row = evidence.row
    return [f"{row['observer']} received, {_time(row['surfaced_ns'])}", *_frame(evidence.shown, evidence, colour)]


def _frame(text: str, evidence: Evidence, colour: bool) -> list[str]:
    lines = [_CONTROL.sub("?", line) for line in text.splitlines()[:FRAME_LINES]]
    marks = [re.escape(mark) for mark in sorted(evidence.theirs, key=len, reverse=True)]
    if colour and marks:
        lines = [re.sub(f"({'|'.join(marks)})", "\x1b[1;31m\\1\x1b[0m", line, flags=re.IGNORECASE) for line in lines]
    elif marks:
        lines = [line + "   <── theirs" if re.search("|".join(marks), line, re.IGNORECASE) else line for line in lines]
    return [f"  {line}" for line in lines]


def _time(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%H:%M:%S.%f UTC")
