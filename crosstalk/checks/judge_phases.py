"""Phases: limits that stand together, what is at risk where they fall, and what was never reached behind a dead one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosstalk.checks.judge_limits import NO_OPPORTUNITY
from crosstalk.checks.limits import Limits, Phase
from crosstalk.checks.metrics import METRICS
from crosstalk.checks.verdicts import FAIL, NOT_REACHED, PASS, UNKNOWN, worst
from crosstalk.checks.words import listed


def judge_phases(limits: Limits, entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Phases by priority, and the limits' entries again, those of phases not reached made unknown.

    A phase is dead when a share that all the rest goes through (tokens accepted, runs ok) is 0, or of nothing. What
    needs it, directly or not, is not reached: neither failed nor judged.
    """
    dead: dict[str, str] = {}  # phase → why nothing behind it can be reached
    judged_entries: list[dict[str, Any]] = []
    phases = []
    for phase in limits.phases:  # a phase needs only phases that stand before it
        own = [entry for entry in entries if entry["phase"] == phase.name]
        blocked = [f"phase {name} is dead: {dead[name]}" for name in phase.needs if name in dead]
        if blocked:
            dead[phase.name] = dead[next(name for name in phase.needs if name in dead)]
            own = [_not_reached(entry, blocked[0]) for entry in own]
        else:
            closed = [e for e in own if _closed(e)]
            if closed:
                dead[phase.name] = f"{closed[0]['name']}: {closed[0]['reason']}"
        judged_entries += own
        phases.append(_phase(phase, own, blocked))
    order = {phase.name: phase.priority for phase in limits.phases}
    return sorted(phases, key=lambda phase: order[phase["name"]]), judged_entries


def _phase(phase: Phase, entries: list[dict[str, Any]], blocked: list[str]) -> dict[str, Any]:
    required = [e for e in entries if e["required"]]
    judged = [e for e in required if e["verdict"] != UNKNOWN]
    passed = sum(e["verdict"] == PASS for e in judged)
    unknown = [e["name"] for e in required if e["verdict"] == UNKNOWN]
    failed = [e["name"] for e in required if e["verdict"] == FAIL]
    verdict = worst(e["verdict"] for e in required if e["counts"])
    if required and not judged:
        verdict = UNKNOWN
    if blocked:
        verdict = NOT_REACHED
    reason = blocked[0] if blocked else f"failed: {listed(failed)}" if failed else ""
    if not reason and unknown:
        reason = f"NOT JUDGED: {listed(unknown)}"
    return {
        "name": phase.name,
        "priority": phase.priority,
        "value": phase.value,
        "needs": list(phase.needs),
        "verdict": verdict,
        "at_risk": phase.value or phase.name if verdict != PASS else None,
        "passed": passed,
        "judged": len(judged),
        "pass_rate": passed / len(judged) if judged else None,
        "not_judged": unknown,
        "failed": failed,
        "reason": reason,
    }


def _not_reached(entry: dict[str, Any], why: str) -> dict[str, Any]:
    counts = entry["required"] and entry["when_unknown"] == "fail"
    return {**entry, "verdict": UNKNOWN, "counts": counts, "reason": f"{NOT_REACHED}: {why}"}


def _closed(entry: Mapping[str, Any]) -> bool:
    metric = METRICS.get(entry["metric"])
    nothing = entry["value"] == 0 or (entry["n"] == 0 and entry["reason"].startswith(NO_OPPORTUNITY))
    return metric is not None and metric.gate and nothing
