"""Was every run answered, completely and in order? Runs by outcome, violations by name, steps that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crosstalk.checks.judge_steps import failures_of
from crosstalk.checks.limits import Limits
from crosstalk.checks.tally import Tally
from crosstalk.checks.tally_runs import OUTCOMES
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.words import counted

#: always in the verdict, also at 0
NAMES = ("missing", "duplicate", "out_of_order", "late", "malformed")
#: a run that answered without its own reference: nothing shows that it was really run
NOT_REAL = "not_real"
EVIDENCE_SHOWN = 20


def judge_delivery(
    run: Mapping[str, Any], tally: Tally, limits: Limits, gaps: Sequence[str], families: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The verdict's `delivery`. Fails on any violation, any run that was never answered and any step that failed."""
    outcomes = tally.runs.outcomes()
    started = sum(outcomes.values())
    violations = {**dict.fromkeys(NAMES, 0), **tally.violations.by_name("delivery")}
    judged = dict(violations)
    if limits.nonce == "every_run":
        without = tally.runs.runs_ok_without_nonce()
        if without > violations.get(NOT_REAL, 0):
            judged[NOT_REAL] = violations[NOT_REAL] = without
    else:
        judged.pop(NOT_REAL, None)
    failed = [f"{count:,} {name.replace('_', ' ')}" for name, count in judged.items() if count]
    unanswered = outcomes["timeout"] + outcomes["disconnected"]
    if unanswered:
        failed.append(f"{counted(unanswered, 'runs')} never answered")
    # what people could not do says more than how many events were missing meanwhile
    failed = [*failures_of(families), *failed]
    doubts = [*_unbalanced(run, outcomes, started), *gaps]
    if started == 0:
        doubts.insert(0, "no run was started")
    elif started == outcomes["cut"]:
        doubts.insert(0, "every run was cut before its end")
    return {
        "verdict": FAIL if failed else UNKNOWN if doubts else PASS,
        "reasons": [*failed, *doubts],
        "runs": {"started": started, **outcomes},
        "violations": violations,
        "evidence": tally.violations.evidence("delivery")[:EVIDENCE_SHOWN],
    }


def _unbalanced(run: Mapping[str, Any], outcomes: Mapping[str, int], started: int) -> list[str]:
    """Runs started = sum of outcomes, and as many as the workers say that they started."""
    causes = [
        f"{counted(n, 'runs')} ended as {name!r}, which is no known outcome"
        for name, n in outcomes.items()
        if n and name not in OUTCOMES
    ]
    finals = (run.get("workers") or {}).values()
    if finals and all("runs_started" in final for final in finals):
        said = sum(int(final["runs_started"]) for final in finals)
        if said != started:
            causes.append(f"{counted(said, 'runs')} were started, {started:,} have an outcome")
    return causes
