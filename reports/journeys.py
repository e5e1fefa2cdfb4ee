"""Journeys, as all reports tell them: families of a verdict, their state, and the words for one. Pure."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.metrics import families_of
from reports import numbers

Family = dict[str, Any]
Step = dict[str, Any]


def families(verdict: dict[str, Any]) -> list[Family]:
    return list(verdict.get("families") or [])


def phases(verdict: dict[str, Any], family: Family) -> list[str]:
    """Phases whose limits are about this family alone."""
    of_it = [one["phase"] for one in verdict.get("limits") or [] if families_of(one["metric"]) == (family["family"],)]
    return list(dict.fromkeys(of_it))


def tried(step: Step) -> int:
    return int(step["ok"]) + int(step["failed"])


def step_state(step: Step) -> str:
    """pass, fail; "not reached" where every attempt was cut, "not exercised" where the target has no such thing."""
    if tried(step):
        return "fail" if step["failed"] else "pass"
    return "not reached" if step["cut"] or not step["not_offered"] else "not exercised"


def counts(family: Family, *, separator: str = numbers.THIN) -> str:
    """ "41 of 42 journeys, 1 cut"; "no journey, 1 cut" where none came to its end."""
    of = family["journeys"]
    made = of["ok"] + of["failed"]
    well = numbers.count(of["ok"], separator=separator)
    cut = f", {numbers.count(of['cut'], separator=separator)} cut" if of["cut"] else ""
    return (f"{well} of {numbers.plural(made, 'journey', separator=separator)}" if made else "no journey") + cut


def times(family: Family, *, separator: str = numbers.THIN) -> str:
    """ "p50 812 ms, longest 1 204 ms", of whole journeys; a journey that failed has no end."""
    of = family["journeys"]
    if not of["ok"] + of["failed"]:
        return ""
    middle = numbers.milliseconds(of["p50_ms"], separator=separator) if of["p50_ms"] is not None else numbers.NO_END
    longest = numbers.NO_END if of["failed"] else numbers.milliseconds(of["max_ms"], separator=separator)
    return f"p50 {middle}, longest {longest}"


def failed_steps(family: Family) -> list[Step]:
    return [one for one in family["steps"] if one["failed"]]


def failure(step: Step, *, separator: str = numbers.THIN) -> str:
    """ "oauth failed 3 of 40 times: expected HTTP 200, came HTTP 500"."""
    example = step["examples"][0]
    of = numbers.plural(tried(step), "time", separator=separator)
    many = f"{step['step']} failed {numbers.count(step['failed'], separator=separator)} of {of}"
    return f"{many}: expected {example['expected']}, came {example['came']}"


def not_offered(family: Family) -> list[Step]:
    return [one for one in family["steps"] if one["not_offered"]]
