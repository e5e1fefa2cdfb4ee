"""Did people get done what they came for? Journeys and their steps, by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosstalk.checks import statistics
from crosstalk.checks.families import CUT, FAILED, FAMILIES, NOT_OFFERED, OK
from crosstalk.checks.tally import Tally
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.words import counted


def judge_families(tally: Tally, played: tuple[str, ...]) -> list[dict[str, Any]]:
    """The verdict's `families`: one entry for each that somebody of the scenario plays, or that left steps.

    A family fails when one step failed, and is unknown when none was completed.
    """
    steps = tally.steps
    names = [*played, *(name for name in steps.families() if name not in played)]
    return [_family(tally, name) for name in sorted(names, key=_in_order)]


def failures_of(families: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why delivery fails: each step that failed, with its first example; the one that failed first stands first."""
    said: list[tuple[int, str]] = []
    for family in families:
        for step in family["steps"]:
            if step["failed"]:
                n = step["ok"] + step["failed"]
                example = step["examples"][0]
                reason = (
                    f"{family['title']}: {step['step']} failed {step['failed']:,} of {counted(n, 'times')}: expected "
                    f"{example['expected']}, came {example['came']}"
                )
                said.append((example["begun_ns"], reason))
    return [reason for _, reason in sorted(said)]


def _family(tally: Tally, name: str) -> dict[str, Any]:
    journeys = tally.steps.outcomes(name, "")
    entries = [_step(tally, name, step) for family, step in tally.steps.places() if family == name and step]
    done, failed = sum(e["ok"] for e in entries), sum(e["failed"] for e in entries)
    verdict = FAIL if failed or journeys[FAILED] else PASS if done else UNKNOWN
    reason = ""
    if verdict == UNKNOWN:
        offered = [entry for entry in entries if not entry["not_offered"]]
        reason = "no step was completed" if offered or not entries else "the target offers nothing of it"
    return {
        "family": name,
        "title": FAMILIES.get(name, name),
        "verdict": verdict,
        "reason": reason,
        "journeys": {"ok": journeys[OK], "failed": journeys[FAILED], "cut": journeys[CUT], **_times(tally, name, "")},
        "steps": entries,
    }


def _step(tally: Tally, family: str, step: str) -> dict[str, Any]:
    outcomes = tally.steps.outcomes(family, step)
    return {
        "step": step,
        "ok": outcomes[OK],
        "failed": outcomes[FAILED],
        "cut": outcomes[CUT],
        "not_offered": outcomes[NOT_OFFERED],
        "why_not_offered": tally.steps.why_not_offered(family, step),
        **_times(tally, family, step),
        "examples": tally.steps.examples(family, step),
    }


def _times(tally: Tally, family: str, step: str) -> dict[str, float | None]:
    """Median and longest in ms; None without an attempt, and where what failed has no end."""
    samples = np.sort(tally.steps.samples(family, step)[0])
    return {
        "p50_ms": _finite(statistics.percentile(samples, 0.5)) if len(samples) else None,
        "max_ms": _finite(float(samples[-1])) if len(samples) else None,
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 3)


def _in_order(name: str) -> tuple[int, str]:
    names = list(FAMILIES)
    return (names.index(name) if name in names else len(names), name)
