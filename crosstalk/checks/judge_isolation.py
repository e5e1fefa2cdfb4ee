"""Did anything reach a user that was another's?

One confirmed case fails, on any channel; none is reported with the bound it supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosstalk.checks.channels import CHANNELS, CONTENT_CHANNELS
from crosstalk.checks.limits import Limits
from crosstalk.checks.statistics import bound_for_none, bound_for_none_at_once
from crosstalk.checks.tally import Tally
from crosstalk.checks.tally_faults import Exposure
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.violation import CONFIRMED_SCOPES
from crosstalk.checks.words import counted, listed, percent

EVIDENCE_SHOWN = 50
NOT_EXERCISED = "not exercised"
NOTE = "opportunities within one load test are not independent; the bounds take them as if they were"


def judge_isolation(tally: Tally, limits: Limits, gaps: Sequence[str]) -> dict[str, Any]:
    """The verdict's `isolation`. `judged` is false where the scenario requires no channel and nothing leaked."""
    tally.settle()
    doubtful = tally.mismatched()
    exposure = tally.exposure.channels()
    numbers = sorted({*exposure, *limits.required_channels, *_channels_hit(tally)})
    channels = [_channel(n, exposure.get(n, Exposure()), tally, limits, doubtful) for n in numbers]
    confirmed = tally.confirmed_leaks()
    reasons = _doubts(tally, channels, doubtful, gaps)
    if not limits.required_channels:
        reasons.append("no channel is required")
    exercised = [c for c in channels if c["required"] and c["verdict"] == PASS]
    fewest = min((c["opportunities"] for c in exercised), default=0)
    most = max((c["opportunities"] for c in exercised), default=0)
    verdict = FAIL if confirmed else UNKNOWN if reasons else PASS
    if confirmed:
        reasons.insert(0, f"{counted(confirmed, 'violations')} of {_where(channels)}")
    return {
        "verdict": verdict,
        "judged": bool(limits.required_channels) or confirmed > 0,
        "reasons": reasons,
        "violations": _evidence(tally, doubtful),
        "violations_confirmed": confirmed,
        "violations_shown_only": tally.violations.total("isolation") - confirmed,
        "channels": channels,
        "opportunities": most,
        "bound_95": bound_for_none(most) if not confirmed else None,
        "bound_95_weakest": bound_for_none(fewest) if not confirmed else None,
        "bound_95_all": bound_for_none_at_once(fewest, len(exercised)) if not confirmed else None,
        "note": NOTE,
    }


def is_confirmed(row: dict[str, Any], doubtful: set[str]) -> bool:
    """Is it a leak of this load test, between accounts whose sockets carry their own identity?"""
    return row["scope"] in CONFIRMED_SCOPES and row["observer"] not in doubtful and row["owner"] not in doubtful


def _channel(number: int, exposure: Exposure, tally: Tally, limits: Limits, doubtful: set[str]) -> dict[str, Any]:
    hits = sum(
        count
        for kind, count in tally.violations.counts.items()
        if kind.judgement == "isolation"
        and kind.channel == number
        and kind.scope in CONFIRMED_SCOPES
        and not {kind.observer, kind.owner} & doubtful
    )
    control = exposure.controls_seen / exposure.controls_expected if exposure.controls_expected else None
    verdict, reason = PASS, ""
    if hits:
        verdict = FAIL
    elif exposure.observations == 0:
        verdict, reason = NOT_EXERCISED, "no opportunity: nothing in this load test tried it"
    elif exposure.opportunities == 0:
        verdict, reason = NOT_EXERCISED, "no opportunity: no other user's canary was live while a frame was checked"
    elif number == 1 and control is None:
        verdict, reason = NOT_EXERCISED, "no frame named a run or a user, so none could have named another's"
    elif number == 22 and exposure.skipped_bytes:
        size = f"{exposure.skipped_bytes:,} bytes"
        verdict, reason = NOT_EXERCISED, f"{size} of what was received were too much to be searched deeply"
    elif number in CONTENT_CHANNELS and control is None:
        verdict, reason = NOT_EXERCISED, "no canary of its own was expected back"
    elif number in CONTENT_CHANNELS and control is not None and control < limits.control_min:
        came = f"{exposure.controls_seen:,} of {exposure.controls_expected:,}"
        least = percent(limits.control_min)
        verdict, reason = NOT_EXERCISED, f"own canaries back: {came} ({percent(control)}), at least {least} expected"
    return {
        "channel": number,
        "name": CHANNELS.get(number, "unknown channel"),
        "opportunities": exposure.opportunities,
        "observations": exposure.observations,
        "positive_control": control,
        "violations": hits,
        "skipped_bytes": exposure.skipped_bytes,
        "bound_95": bound_for_none(exposure.opportunities) if verdict == PASS else None,
        "verdict": verdict,
        "required": number in limits.required_channels,
        "reason": reason,
    }


def _doubts(tally: Tally, channels: list[dict[str, Any]], doubtful: set[str], gaps: Sequence[str]) -> list[str]:
    """Why isolation cannot be said to hold."""
    doubts = [
        f"channel {c['channel']} ({c['name']}) not exercised: {c['reason']}"
        for c in channels
        if c["required"] and c["verdict"] == NOT_EXERCISED
    ]
    scopes: dict[str, int] = {}
    for kind, count in tally.violations.counts.items():
        if kind.judgement == "isolation" and kind.scope not in CONFIRMED_SCOPES:
            scopes[kind.scope] = scopes.get(kind.scope, 0) + count
    words = {
        "other_load_test": "of another load test on the same target",
        "unverified": "whose owner could not be verified",
        "phantom": "of phantom users, never sent: a fault of the harness",
    }
    for scope, count in sorted(scopes.items()):
        doubts.append(f"{counted(count, 'things')} seen {words.get(scope, 'whose scope nobody named')}")
    if doubtful:
        accounts = listed(sorted(doubtful))
        doubts.append(f"sockets carry another identity than their token's, so whose is whose is not known: {accounts}")
    return doubts + [f"not everything was seen: {gap}" for gap in gaps]


def _evidence(tally: Tally, doubtful: set[str]) -> list[dict[str, Any]]:
    rows = [{**row, "confirmed": is_confirmed(row, doubtful)} for row in tally.violations.evidence("isolation")]
    return sorted(rows, key=lambda row: not row["confirmed"])[:EVIDENCE_SHOWN]


def _channels_hit(tally: Tally) -> set[int]:
    return {kind.channel for kind in tally.violations.counts if kind.judgement == "isolation" and kind.channel}


def _where(channels: list[dict[str, Any]]) -> str:
    return listed([f"channel {c['channel']} ({c['name']})" for c in channels if c["verdict"] == FAIL] or ["no channel"])
