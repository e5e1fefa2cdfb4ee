"""Was what the arrival process offered also done? Offered against achieved rate, and who had to wait.

A rate that the load generator's users could not keep up with is not the rate that was asked for: times taken at it say
nothing of the load that they are printed with. Schroeder, Wierman and Harchol-Balter, "Open Versus Closed" (NSDI 2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crosstalk.checks.words import counted, number, percent

THINK, SESSIONS = "think", "sessions"
#: achieved may differ from offered by this share of the offered, or by one start: what falls due as everything ends
TOLERANCE = 0.02

Json = Mapping[str, Any]


def arrivals_of(load_test: Json, workers: Mapping[str, Json], waited_share: float | None) -> dict[str, Any]:
    """The arrival process and what came of it; with `think` there is no rate to keep.

    :param load_test: `arrivals`, `turn_interval_s`, `session_rate` of a record's `load_test`.
    :param workers: the final word of each; one that was lost said nothing of its arrivals.
    """
    process = str(load_test.get("arrivals") or THINK)
    if process == THINK:
        return {"process": THINK, "waited_share": waited_share}
    said = [final["arrivals"] for final in workers.values() if final.get("arrivals")]
    return {
        "process": process,
        "of": "people" if process == SESSIONS else "turns",
        "turn_interval_s": load_test.get("turn_interval_s") or None,
        "session_rate": load_test.get("session_rate") or None,
        "offered": sum(one["offered"] for one in said),
        "achieved": sum(one["made"] for one in said),
        "offered_per_s": _rate(said, "offered"),
        "achieved_per_s": _rate(said, "made"),
        "waited_share": waited_share,
    }


def arrivals_cause(figures: Json) -> str:
    """Why the times of this load test are not those of its arrival process; "" where they are."""
    if figures["process"] == THINK:
        return ""
    offered, achieved = figures["offered"], figures["achieved"]
    if not offered:
        return f"arrivals: nothing of {figures['process']} fell due after the ramp"
    if abs(offered - achieved) <= max(1, TOLERANCE * offered):
        return ""
    if figures["process"] == SESSIONS:
        why = f"{_people(offered - achieved)} of {offered:,} found no user free: more users, or a lower rate"
    else:
        why = f"{offered - achieved:,} of {counted(offered, 'turns')} never started: users were busy; more users, or a "
        why += "longer interval"
    return f"arrivals: {_rates(figures)}, more than {percent(TOLERANCE)} apart; {why}"


def arrivals_text(figures: Json) -> str:
    """One line: "constant, a turn every 2 s: 10 turns/s offered, 10 achieved; 1.2 % had to wait"."""
    if not figures or figures["process"] == THINK:
        return "think: a user's next turn starts when its last one is over and its pause too"
    if figures["process"] == SESSIONS:
        turned_away = figures["offered"] - figures["achieved"]
        asked = f"sessions, {number(figures['session_rate'] or 0)} people/s"
        return f"{asked}: {_rates(figures)}; {_people(turned_away)} not admitted"
    asked = f"{figures['process']}, a turn every {number(figures['turn_interval_s'] or 0)} s"
    waited = figures["waited_share"]
    return f"{asked}: {_rates(figures)}" + (f"; {percent(waited)} had to wait" if waited is not None else "")


def incomparable(before: str, now: str) -> str:
    """Why results of these two processes are not compared; "" where they may be."""
    if before == now:
        return ""
    return f"its arrivals are {before}, these are {now}: results of different arrival processes are never compared"


def _rates(figures: Json) -> str:
    if figures["offered_per_s"] is None:
        return "no rate"
    of = figures["of"]
    return f"{number(figures['offered_per_s'])} {of}/s offered, {number(figures['achieved_per_s'])} achieved"


def _people(n: int) -> str:
    return "1 person" if n == 1 else f"{n:,} people"


def _rate(said: list[Json], what: str) -> float | None:
    """Per second, over all workers; None where no worker had a time after its ramp."""
    rates = [one[what] / one["window_s"] for one in said if one["window_s"] > 0]
    return round(sum(rates), 4) if rates else None
