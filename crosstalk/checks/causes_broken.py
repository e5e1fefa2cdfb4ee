"""Which runs and connections broke, at which stage, and with what signature: rows of a record in, `Broken` out.

Every run that ended neither well nor by our own hand is in exactly one `Broken`, and so is every connection that was
lost or never became ready, and every step of a journey that failed. A run that was lost because its connection had
ended before it could say anything is folded into the connection, and a step whose own run broke into that run: one
thing broke, not two. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crosstalk.checks.causes_rules import STAGES, Row, Violations, broken_rule, groupable, told_rule, what_of
from crosstalk.checks.columns import Columns
from crosstalk.checks.families import FAILED, FAMILIES
from crosstalk.checks.tally_faults import rows_of

RUNS, CONNECTIONS, STEPS = "runs", "connections", "steps"
BAD_TOKEN = "bad_token"
PROBE = "probe"
_STATUS = re.compile(r"^HTTP (\d{3})\b")
_LAST_EVENT = re.compile(r"last event (\w+)")


@dataclass(frozen=True, slots=True)
class Broken:
    """One failed run, one failed connection with the runs that went with it, or one failed step of a journey.

    `from_ns`..`until_ns` is when it was under way; `broke_ns` when it broke, None where nothing marks the instant
    (a wait that was given up). `code`: the close code or the HTTP status. `silence_ns`: of a lost connection, from the
    last frame that we are known to have sent to its end.
    """

    of: str  # RUNS | CONNECTIONS | STEPS
    stage: str
    signature: str
    account: str
    connection: str
    runs: tuple[str, ...]
    trace_id: str
    from_ns: int
    until_ns: int
    broke_ns: int | None = None
    outcome: str = ""
    code: int | None = None
    said: str = ""  # the peer's own words: close reason, refusal or error code; without tokens and ids
    transport: str = ""
    identity_seen: str = ""
    silence_ns: int | None = None
    answer_ns: int | None = None  # first event to end
    violations: tuple[Row, ...] = ()
    run_beside: str = ""  # of a step: its own run, which did not break


def broken(tables: Mapping[str, Columns], *, timeout_ns: int) -> list[Broken]:
    """:param tables: `runs`, `connections`, `violations` and `steps`; one that is missing counts as empty.
    :param timeout_ns: how long a run is waited for; 0 where it is not known.
    """
    connections = rows_of(tables.get("connections", {}))
    violations = Violations(rows_of(tables.get("violations", {})))
    runs = _failed_runs(tables.get("runs", {}), violations)
    lost = {str(row["connection"]): row for row in connections if _is_lost(row)}
    last_said = _last_said(tables.get("runs", {}), lost)
    found: list[Broken] = []
    folded: dict[str, list[Row]] = {}
    for row in runs:
        connection = lost.get(str(row["connection"]))
        if connection is not None and row["outcome"] == "disconnected" and _is_folded(row, connection):
            folded.setdefault(str(row["connection"]), []).append(row)
        else:
            found.append(_of_run(row, connection, violations, timeout_ns, last_said))
    in_mid_run = {one.connection: n for n, one in enumerate(found) if one.outcome == "disconnected"}
    for row in connections:
        with_it = tuple(str(run["run"]) for run in folded.get(str(row["connection"]), ()))
        if _is_lost(row) and (n := in_mid_run.get(str(row["connection"]))) is not None:
            found[n] = replace(found[n], runs=(*found[n].runs, *with_it))  # the run tells the connection's end
        elif (one := _of_connection(row, with_it, last_said)) is not None:
            found.append(one)
    by_name = {str(row["connection"]): row for row in connections}
    found += [_seen_between(rows, by_name) for rows in violations.of_no_run()]
    broken_runs = {(one.account, run) for one in found for run in one.runs}
    return [*found, *_steps(tables.get("steps", {}), broken_runs)]


def is_cut(row: Row) -> bool:
    """A connection that we closed while it was on its way up: not an attempt."""
    stopped = row["outcome"] == "cut" or (row["outcome"] != "ready" and row["closed_by"] == "us")
    return stopped and not row["error"]


# --- runs -----------------------------------------------------------------------------------------------------------


def _failed_runs(runs: Columns, violations: Violations) -> list[dict[str, Any]]:
    """Runs that failed, and others in which a rule was broken. Rows of good runs are not unpacked."""
    if not runs or not len(runs["run"]):
        return []
    bad = ~np.isin(runs["outcome"], ["ok", "cut"])
    for i in np.flatnonzero(~bad).tolist() if violations.of_runs else []:
        bad[i] = (runs["account"][i], runs["run"][i]) in violations.of_runs
    return rows_of({name: values[bad] for name, values in runs.items()})


def _last_said(runs: Columns, lost: Mapping[str, Row]) -> dict[str, int]:
    """By lost connection: when the last prompt was sent before it ended."""
    last: dict[str, int] = {}
    if runs and lost:
        for name, sent_ns in zip(runs["connection"].tolist(), runs["sent_ns"].tolist(), strict=True):
            if name in lost and sent_ns <= (lost[name]["ended_ns"] or 0):
                last[name] = max(sent_ns, last.get(name, 0))
    return last


def _is_folded(run: Row, connection: Row) -> bool:
    """Nothing had come on this connection yet, or it had ended before the run began."""
    return not connection["events_in"] or run["sent_ns"] >= (connection["ended_ns"] or 0)


def _of_run(
    row: Row, connection: Row | None, violations: Violations, timeout_ns: int, last_said: Mapping[str, int]
) -> Broken:
    mine = violations.of(row)
    stage, signature = _run_signature(row, connection, mine)
    lost = row["outcome"] == "disconnected" and connection is not None
    ended_ns = connection["ended_ns"] if lost and connection is not None else row["end_ns"]
    until_ns = ended_ns or row["sent_ns"] + (timeout_ns if row["outcome"] == "timeout" else 0)
    first_ns = row["first_event_ns"]
    return Broken(
        of=RUNS,
        stage=stage,
        signature=signature,
        account=str(row["account"]),
        connection=str(row["connection"]),
        runs=(str(row["run"]),),
        trace_id=str(row["trace_id"]),
        from_ns=int(row["sent_ns"]),
        until_ns=int(until_ns),
        broke_ns=ended_ns,
        outcome=str(row["outcome"]),
        code=connection["close_code"] if lost and connection is not None else None,
        said=groupable(str(connection["close_reason"])) if lost and connection is not None else _told(row),
        silence_ns=_silence(connection, last_said) if lost and connection is not None else None,
        answer_ns=row["end_ns"] - first_ns if row["end_ns"] and first_ns else None,
        violations=tuple(mine),
    )


def _run_signature(row: Row, connection: Row | None, mine: tuple[Row, ...]) -> tuple[str, str]:
    """(stage, signature) of a run that failed."""
    outcome, what, stage = str(row["outcome"]), what_of(row), _stage(row)
    last = _LAST_EVENT.search(what)
    if outcome == "timeout":
        if not row["events"]:
            return "first event", "agent timeout: no event at all"
        return stage, f"agent timeout: silence after {last[1] if last else 'its last event'}"
    if outcome == "disconnected":
        if connection is None:
            return stage, "no answer in time, and none to a ping either"
        when = "in mid-run" if row["events"] else "before the run's first event"
        return stage, f"close {_code(connection)} {when}"
    if outcome == "refused":
        return "send", f"refused: {_first_code(what)}"
    if mine and (outcome != "agent_error" or any(one["judgement"] == "isolation" for one in mine)):
        return broken_rule(mine, stage)
    if outcome == "violated":
        return told_rule(what, stage)
    return ("end" if outcome == "agent_error" else stage), groupable(what) or outcome.replace("_", " ")


def _stage(row: Row) -> str:
    said = str(row["signature"]).partition(": ")[0]
    return said if said in STAGES else "end" if row["end_ns"] else "stream" if row["events"] else "first event"


def _told(row: Row) -> str:
    """What the peer said to it, in words."""
    return groupable(what_of(row)) if row["outcome"] in ("refused", "agent_error") else ""


def _first_code(refusal: str) -> str:
    """The code of a refusal where it begins with one ("RATE_LIMITED slow down"), else its text."""
    first = refusal.split(" ", 1)[0]
    return first if re.fullmatch(r"[A-Z][A-Z0-9_]{2,}|\d{3}", first) else groupable(refusal)


def _seen_between(rows: tuple[Row, ...], connections: Mapping[str, Row]) -> Broken:
    """What was seen on a connection outside of any run of its user."""
    stage, signature = broken_rule(rows, "stream")
    at = [int(row["surfaced_ns"]) for row in rows]
    connection = connections.get(str(rows[0]["observer_connection"]), {})
    return Broken(
        of=CONNECTIONS,
        stage=stage,
        signature=signature,
        account=str(rows[0]["observer"]),
        connection=str(rows[0]["observer_connection"]),
        runs=(),
        trace_id=str(connection.get("trace_id") or rows[0]["trace_id"]),
        from_ns=min(at),
        until_ns=max(at),
        broke_ns=min(at),
        outcome="violated",
        transport=str(connection.get("transport") or ""),
        violations=rows,
    )


# --- connections ----------------------------------------------------------------------------------------------------


def _is_lost(row: Row) -> bool:
    """It was ready, and its end was not our doing."""
    ended_by_others = row["closed_by"] in ("peer", "transport") or row["close_code"] == 1011
    return bool(row["outcome"] == "ready" and ended_by_others and row["purpose"] not in (BAD_TOKEN, PROBE))


def _of_connection(row: Row, folded: tuple[str, ...], last_said: Mapping[str, int]) -> Broken | None:
    """None for a connection that is as it should be. `folded`: runs that went with it."""
    signature = _connection_signature(row)
    if signature is None:
        return None
    lost = _is_lost(row)
    ended_ns = int(row["ended_ns"] or row["begun_ns"])
    return Broken(
        of=CONNECTIONS,
        stage=signature[0],
        signature=signature[1],
        account=str(row["account"]),
        connection=str(row["connection"]),
        runs=folded,
        trace_id=str(row["trace_id"]),
        from_ns=int(row["ready_ns"] or row["begun_ns"]) if lost else int(row["begun_ns"]),
        until_ns=ended_ns,
        broke_ns=ended_ns if lost else None,
        outcome=str(row["outcome"]),
        code=row["close_code"] or row["http_status"],
        said=groupable(str(row["close_reason"])),
        transport=str(row["transport"]),
        identity_seen=str(row["identity_seen"]),
        silence_ns=_silence(row, last_said) if lost else None,
    )


def _connection_signature(row: Row) -> tuple[str, str] | None:
    if is_cut(row):
        return None
    if row["purpose"] == BAD_TOKEN:
        return _of_bad_token(row)
    if row["purpose"] == PROBE:
        return None  # it tries what may well be refused, or end it
    if row["identity"] == "mismatch":
        return "ready", "another identity than the token's"
    if row["outcome"] == "ready":
        if not _is_lost(row):
            return None
        if not row["events_in"]:
            return "send", f"close {_code(row)} before any event"
        return "late", f"close {_code(row)} while no run was under way"
    return _way_up_signature(row)


def _way_up_signature(row: Row) -> tuple[str, str]:
    """(stage, signature) of a connection that did not become ready."""
    error = groupable(str(row["error"]))
    if row["stage"] not in ("authenticate", "ready"):
        return str(row["stage"] if row["stage"] in STAGES else "connect"), error or "failed without a word"
    if error.startswith("expected a welcome, got close"):
        return "authenticate", f"close {_code(row)} before the welcome"
    if row["stage"] == "ready":
        return "ready", error.replace("expected a welcome, got nothing", "no welcome") or "no welcome"
    return "authenticate", error or f"close {_code(row)} before the welcome"


def _of_bad_token(row: Row) -> tuple[str, str] | None:
    """A bad token must be refused, and a server fault is not a refusal. A kind of its own is named."""
    if row["outcome"] == "ready":
        kind = kind_of_bad_token(row)
        return "authenticate", "forged token accepted" + (f": {kind}" if kind else "")
    fault = row["close_code"] == 1011 or (row["http_status"] or 0) >= 500
    return ("authenticate", f"forged token answered by a server fault: {_code(row)}") if fault else None


def kind_of_bad_token(row: Row) -> str:
    """What is wrong with a token beside its signature ("expired", …); "" for one that nobody signed."""
    kind = str(row.get("user_class", "")).partition("afterwards: ")[2]
    return "" if kind in ("forged", "wrong signature") else kind


def _code(row: Row) -> str:
    """The close code, or the status of the upgrade's answer."""
    return str(row["close_code"] or (f"HTTP {row['http_status']}" if row["http_status"] else "without a code"))


def _silence(connection: Row, last_said: Mapping[str, int]) -> int | None:
    spoke_ns = max(last_said.get(str(connection["connection"]), 0), connection["ready_ns"] or 0)
    return int(connection["ended_ns"]) - spoke_ns if spoke_ns and connection["ended_ns"] else None


# --- steps of journeys ----------------------------------------------------------------------------------------------


def _steps(steps: Columns, broken_runs: set[tuple[str, str]]) -> list[Broken]:
    """Steps that failed, but for those whose run is among what broke already; rows of good ones are not unpacked."""
    if not steps or not len(steps["step"]):
        return []
    failed = (steps["outcome"] == FAILED) & (steps["step"] != "")
    rows = rows_of({name: values[failed] for name, values in steps.items()})
    return [_of_step(row) for row in rows if (str(row["account"]), str(row["run"])) not in broken_runs]


def _of_step(row: Row) -> Broken:
    ended_ns = int(row["begun_ns"]) + int(row["time_ns"])
    status = _STATUS.search(str(row["came"]))
    family = FAMILIES.get(str(row["family"]), str(row["family"]))
    expected, came = groupable(str(row["expected"])), groupable(str(row["came"]))
    return Broken(
        of=STEPS,
        stage="journey",
        signature=f"{family}, {row['step']}: expected {expected}, came {came}",
        account=str(row["account"]),
        connection=str(row["connection"]),
        runs=(),
        run_beside=str(row["run"]),
        trace_id=str(row["trace_id"]),
        from_ns=int(row["begun_ns"]),
        until_ns=ended_ns,
        broke_ns=ended_ns,
        outcome=FAILED,
        code=int(status[1]) if status else None,
    )
