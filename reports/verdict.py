"""From a record to its verdict: the columns are tallied and judged, and what changed since last time is added."""

from __future__ import annotations

from typing import Any

import orjson

from crosstalk.checks.judge import judge
from crosstalk.checks.since import expectations_of, outcomes_of
from crosstalk.checks.tally import Tally
from crosstalk.record.parts import Record
from crosstalk.record.rows import TABLES
from reports.failures import failures_of


def judged(record: Record) -> tuple[dict[str, Any], Tally]:
    """The verdict as `verdict.json` has it, and the figures behind it."""
    tally = Tally()
    for table in TABLES:
        tally.add(table, record.table(table))
    verdict = judge(record.run, tally)
    # What the next load test compares itself with stands beside the verdict, so that it need not judge this one again.
    verdict = {**verdict, **_failures(record)}
    return {**verdict, "outcomes": outcomes_of(verdict), "expectations": expectations_of(record.run)}, tally


def _failures(record: Record) -> dict[str, Any]:
    """`failures`, where it broke. They explain a verdict and are no part of it: one that crashes leaves it as it is."""
    try:
        return {"failures": failures_of(record)}
    except Exception as error:
        return {"failures": [], "failures_problem": f"failures could not be grouped: {type(error).__name__}: {error}"}


def as_json(verdict: dict[str, Any]) -> str:
    """Indented JSON; figures that are not finite become null, as JSON has no word for them."""
    return (
        orjson.dumps(
            verdict, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        ).decode()
        + "\n"
    )


def unjudged(run: dict[str, Any], reason: str) -> dict[str, Any]:
    """The verdict on a record that could not be judged at all: unknown, with the reason as its sentence."""
    outcomes = dict.fromkeys(
        ("started", "ok", "agent_error", "timeout", "disconnected", "refused", "violated", "cut"), 0
    )
    violations = dict.fromkeys(("missing", "duplicate", "out_of_order", "late", "malformed"), 0)
    return {
        "schema": 1,
        "verdict": "unknown",
        "exit_code": 4,
        "word": "HOLD",
        "sentence": f"HOLD: this record could not be judged: {reason}",
        "phases": [],
        "limits": [],
        "delivery": {"verdict": "unknown", "runs": outcomes, "violations": violations},
        "isolation": {"verdict": "unknown", "violations": [], "channels": []},
        "timing": {"verdict": "unknown"},
        "connections": {"attempted": 0, "ready": 0, "refused": 0, "close_codes": {}},
        "measurement": {
            "verdict": "unknown",
            "clock": "",
            "receive_lag_ms": {"p50": None, "p99": None, "max": None},
            "schedule_lag_ms": {},
            "cpu_percent": {},
            "unaccounted_events": None,
            "causes": [reason],
        },
        "failures": [],
        "since": {"previous": None, "fixed": [], "still": [], "new": [], "loosened": []},
        "provenance": {"target": run.get("target") or {}},
    }
