"""Did anything reach a user that was another's?

One confirmed case fails, on any channel; none is reported with the bound it supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosstalk.checks.limits import Limits
from crosstalk.checks.statistics import bound_for_none, bound_for_none_at_once
from crosstalk.checks.tally import Tally
from crosstalk.checks.tally_faults import CONFIRMED, Exposure
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.words import counted, listed, percent

EVIDENCE_SHOWN = 50
NOT_EXERCISED = "not exercised"
NOTE = "opportunities within one load test are not independent; the bounds take them as if they were"

#: channel → what it is called
CHANNELS: dict[int, str] = {
    1: "event on the wrong socket",
    2: "foreign content in one's own event",
    3: "foreign id without content",
    4: "tool arguments and results",
    5: "interleaved stream",
    6: "swap between one's own runs",
    7: "thread and history listing",
    8: "recycled session",
    9: "resume cursor",
    10: "shared response cache",
    11: "shared memory",
    12: "token swap",
    13: "object level authorisation",
    14: "function level authorisation",
    15: "one user, two sockets",
    16: "one user, two threads",
    17: "late events",
    18: "poisoned pool",
    19: "colliding client ids",
    20: "progress, notification and hand-off events",
    21: "errors, close reasons, headers and control frames",
    22: "transformed content",
}
#: channels that look for canaries: own ones must come back, or nothing foreign could have been seen either
CONTENT_CHANNELS = frozenset({2, 4, 5, 6, 10, 11, 16, 18, 19, 20, 21, 22})


def judge_isolation(tally: Tally, limits: Limits, gaps: Sequence[str]) -> dict[str, Any]:
    """The verdict's `isolation`. `judged` is false where the scenario requires no channel and nothing leaked."""
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
    return row["scope"] in CONFIRMED and row["observer"] not in doubtful and row["owner"] not in doubtful


def _channel(number: int, exposure: Exposure, tally: Tally, limits: Limits, doubtful: set[str]) -> dict[str, Any]:
    hits = sum(
        count
        for kind, count in tally.violations.counts.items()
        if kind.judgement == "isolation"
        and kind.channel == number
        and kind.scope in CONFIRMED
        and not {kind.observer, kind.owner} & doubtful
    )
    control = exposure.controls_seen / exposure.controls_expected if exposure.controls_expected else None
    verdict, reason = PASS, ""
    if hits:
        verdict = FAIL
    elif exposure.opportunities == 0:
        verdict, reason = NOT_EXERCISED, "no opportunity: no other user's canary was live while a frame was checked"
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
        if kind.judgement == "isolation" and kind.scope not in CONFIRMED:
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
