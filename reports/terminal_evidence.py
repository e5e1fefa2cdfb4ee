"""The proof of the gravest violation on the terminal: owner, observer, and both frames with their times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from reports import alike, numbers, trace
from reports.evidence import Evidence, gather, ordered
from reports.material import Material
from reports.redact import redact
from reports.reproduce_kinds import is_reproducible

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FRAME_LINES = 24


def proof(material: Material, *, colour: bool) -> str:
    """The gravest violation in full; one line where there is none."""
    rows = ordered(material.table("violations"))
    if not rows:
        shown = trace.chosen(material)
        runs = [f"trace      {material.folder / trace.NAME}  (runs that failed, and the slowest)"] if shown else []
        return "\n".join(["no violation: there is nothing to prove", *runs])
    [evidence] = gather(rows[:1], material.table("frames"))
    row = evidence.row
    lines = [
        f"{row['name']}"
        + (f", channel {row['channel']}" if row["channel"] else "")
        + f"; {alike.told(rows, material.verdict, separator=numbers.COMMA)}",
        f"  observer   {row['observer']}  (connection {row['observer_connection']}, run {row['run'] or 'none'})",
        f"  owner      {row['owner'] or 'nobody else'}" + (f"  (run {row['owner_run']})" if row["owner_run"] else ""),
        f"  expected   {row['expected']}",
        f"  came       {row['came']}",
    ]
    if row["field"]:
        lines.append(f"  where      {row['field']} of {row['event_kind'] or 'a frame'}, read as {row['decode']}")
    if row["trace_id"]:
        lines.append(f"  trace id   {row['trace_id']}")
    lines += ["", *_planted(evidence, colour), "", *_shown(evidence, colour), "", *_next(rows, material)]
    return redact("\n".join(_CONTROL.sub("?", line) if not colour else line for line in lines))


def _next(rows: list[dict[str, Any]], material: Material) -> list[str]:
    """Where to look, and what to type next: to see it again where it is a leak, and to look at another one."""
    violation = rows[0]["violation"]
    lines = [f"trace      {material.folder}/{trace.links(material)[violation]}"]
    todo = [f"python -m reports trace {row['violation']} {material.folder}  # the next one" for row in rows[1:2]]
    if is_reproducible(rows[0]):
        todo.insert(0, f"python -m reports reproduce {violation} {material.folder}")
    return lines + [f"{'next' if not i else '':<10} {command}" for i, command in enumerate(todo)]


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
    if not row["frame"]:
        return [f"judged at {_time(row['surfaced_ns'])}; no single frame shows it"]
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
