"""Since last time: what was fixed, what still fails, what is new, and what was loosened to get there.

A load test stores `outcomes_of(verdict)` and `expectations_of(run)`; the next one of the same scenario and target gets
them as `previous`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crosstalk.checks.families import FAMILIES
from crosstalk.checks.judge_arrivals import THINK, incomparable
from crosstalk.checks.judge_limits import limit_label
from crosstalk.checks.metrics import metric_unit
from crosstalk.checks.verdicts import FAIL, NOT_REACHED, PASS, UNKNOWN
from crosstalk.checks.words import number, percent, quantity

NOT_JUDGED = "not judged"
#: of a step of a journey: nobody came so far; the target has it not
NOT_TRIED, NOT_OFFERED = "not tried", "not offered"
STEP = "step: "
#: an upper limit of an earlier one is stricter than of a later one; for lower limits it is the other way round
_STRICTEST_FIRST = ("max", "p99", "p95", "p90", "p50")

Json = Mapping[str, Any]


def since(previous: Json | None, now: Json) -> dict[str, Any]:
    """What changed. Under other arrivals than before nothing is compared, and `refused` says why.

    :param previous: `{id, arrivals, outcomes, expectations}` of the load test before, or None.
    :param now: `{arrivals, outcomes, expectations}` of this one.
    """
    nothing: dict[str, Any] = {"previous": None, "fixed": [], "still": [], "new": [], "loosened": []}
    if not previous:
        return nothing
    if why := incomparable(previous.get("arrivals") or THINK, now.get("arrivals") or THINK):
        return {**nothing, "refused": f"{previous.get('id')}: {why}"}
    before, after = previous.get("outcomes") or {}, now.get("outcomes") or {}
    fixed, still, new = [], [], []
    for check in [*before, *(check for check in after if check not in before)]:
        was, came = before.get(check, PASS), after.get(check)
        if came is None:
            # a kind of violation that is not there any more; anything else that is gone stands under `loosened`
            came = PASS if check.startswith("delivery: ") and after.get("delivery") == PASS else None
            came = NOT_TRIED if check.startswith(STEP) else came
        if was == FAIL and came == PASS:
            fixed.append(check)
        elif was == FAIL and came is not None:
            still.append(check if came == FAIL else f"{check} (failed then, {_said(came)} now)")
        elif came == FAIL:
            new.append(check)
        elif was == PASS and check in before and came in (UNKNOWN, NOT_REACHED, NOT_OFFERED):
            new.append(f"{check} (passed then, {_said(came)} now)")
    new.sort(key=lambda check: check not in after)  # what fails before what could not be judged
    return {
        "previous": previous.get("id"),
        "fixed": fixed,
        "still": still,
        "new": new,
        "loosened": loosened(previous.get("expectations") or {}, now.get("expectations") or {}),
    }


def outcomes_of(verdict: Json) -> dict[str, str]:
    """Check → pass, fail, unknown, not judged, not reached or not offered, for the next load test to compare itself
    with."""
    outcomes: dict[str, str] = {judgement: verdict["judgements"][judgement] for judgement in ("delivery", "isolation")}
    for name, count in verdict["delivery"]["violations"].items():
        outcomes[f"delivery: {name}"] = FAIL if count else PASS
    for channel in verdict["isolation"]["channels"]:
        state = channel["verdict"] if channel["verdict"] in (PASS, FAIL) else UNKNOWN
        if not channel["required"] and state != FAIL:
            state = NOT_JUDGED
        outcomes[f"isolation: channel {channel['channel']}, {channel['name']}"] = state
    for family in verdict.get("families") or []:
        outcomes |= {f"{STEP}{family['title']}, {step['step']}": _of_step(step) for step in family["steps"]}
    reached = {phase["name"] for phase in verdict["phases"] if phase["verdict"] != NOT_REACHED}
    for entry in verdict["limits"]:
        state = entry["verdict"] if entry["counts"] else NOT_JUDGED
        outcomes[f"limit: {entry['name']}"] = state if entry["phase"] in reached else NOT_REACHED
    return outcomes


def _of_step(step: Json) -> str:
    if step["failed"] or step["ok"]:
        return FAIL if step["failed"] else PASS
    return NOT_TRIED if step["cut"] or not step["not_offered"] else NOT_OFFERED


def expectations_of(run: Json) -> dict[str, Any]:
    """What was promised and asked for: limits, journeys, channels, nonce, controls, prompts and timeouts, as JSON."""
    given, limits = run.get("expectations") or {}, run.get("limits") or {}
    isolation = limits.get("isolation") or {}
    return {
        "limits": limits,
        "families": list((run.get("load_test") or {}).get("families") or []),
        "nonce": (limits.get("delivery") or {}).get("nonce"),
        "channels": isolation.get("required_channels", []),
        "control_min": isolation.get("control_min"),
        "prompts": {},
        "timeouts": {},
        **given,
    }


def loosened(before: Json, after: Json) -> list[str]:
    """Each way in which less is asked for than before, in words. What was tightened is not mentioned."""
    lines: list[str] = []
    lines += _limits(_by_name(before), _by_name(after))
    lines += _generator(before, after)
    families = _gone(before.get("families"), after.get("families"))
    lines += [f"journeys of {FAMILIES.get(family, family)}: nobody makes them any more" for family in families]
    lines += [
        f"channel {channel}: no longer required" for channel in _gone(before.get("channels"), after.get("channels"))
    ]
    if _raised(after.get("control_min"), before.get("control_min")):
        least = f"{percent(before['control_min'])} → {percent(after['control_min'])}"
        lines.append(f"positive control: own canaries back at least {least}")
    if before.get("nonce") == "every_run" and after.get("nonce") not in (None, "every_run"):
        lines.append(f"nonce: every_run → {after['nonce']}")
    prompts_before, prompts_after = before.get("prompts") or {}, after.get("prompts") or {}
    for family, prompt in prompts_before.items():
        if family not in prompts_after:
            lines.append(f"prompt family {family}: removed")
            continue
        for expected in _gone(_expects(prompt), _expects(prompts_after[family])):
            lines.append(f"prompt family {family}: no longer expects {expected}")
    timeouts = after.get("timeouts") or {}
    for name, seconds in (before.get("timeouts") or {}).items():
        if name not in timeouts:
            lines.append(f"timeout {name}: {seconds:g} s → none")
        elif _raised(seconds, timeouts[name]):
            lines.append(f"timeout {name}: {seconds:g} → {timeouts[name]:g} s")
    return [f"LOOSENED {line}" for line in lines]


def _limits(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    lines = []
    for name, old in before.items():
        if name not in after:
            if old.get("required", True):
                lines.append(f"{limit_label(old)}: limit removed ({name})")
            continue
        lines += [f"{limit_label(old)}: {change}" for change in _changes(old, after[name])]
    return lines


def _changes(old: Json, new: Json) -> list[str]:
    """How one limit asks for less than it did."""
    if not old.get("required", True):
        return []
    changes = []
    if old["metric"] != new["metric"]:
        changes.append(f"now of {new['metric']}")
    if not new.get("required", True):
        changes.append("required → not required")
    if old.get("when_unknown", "fail") == "fail" and new.get("when_unknown", "fail") == "warn":
        changes.append("when unknown: fail → warn")
    if _weaker(old, new):
        changes.append(f"statistic {old['statistic']} → {new['statistic']}")
    more: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
        ("at_most", _raised),
        ("at_least", lambda was, now: _raised(now, was)),
    )
    for key, eased in more:
        if key not in old:
            continue
        if key not in new:
            changes.append(f"{key.replace('_', ' ')} {_figure(old[key], old)} → no such limit")
        elif eased(old[key], new[key]):
            was = number(old[key]) if metric_unit(old["metric"]) == "ms" else _figure(old[key], old)
            changes.append(f"{was} → {_figure(new[key], old)}")
    return changes


def _generator(before: Json, after: Json) -> list[str]:
    """A generator that may be in more trouble gives times that are worth less."""
    old = (before.get("limits") or {}).get("generator") or {}
    new = (after.get("limits") or {}).get("generator") or {}
    return [f"generator {key}: {was:g} → {new[key]:g}" for key, was in old.items() if _raised(was, new.get(key))]


def _expects(prompt: Json | list[str]) -> list[str]:
    """What a prompt family expects: written as a list, or under `expects`."""
    return list(prompt.get("expects") or []) if isinstance(prompt, Mapping) else list(prompt)


def _weaker(old: Json, new: Json) -> bool:
    if old["statistic"] not in _STRICTEST_FIRST or new["statistic"] not in _STRICTEST_FIRST:
        return False
    later = _STRICTEST_FIRST.index(new["statistic"]) - _STRICTEST_FIRST.index(old["statistic"])
    return later > 0 if "at_most" in old else later < 0


def _by_name(expectations: Json) -> dict[str, Json]:
    phases = (expectations.get("limits") or {}).get("phase") or []
    return {limit["name"]: limit for phase in phases for limit in phase.get("limit") or []}


def _figure(value: float, limit: Json) -> str:
    return quantity(value, metric_unit(limit["metric"]))


def _raised(was: float | None, now: float | None) -> bool:
    return was is not None and now is not None and now > was


def _gone(before: Iterable[Any] | None, after: Iterable[Any] | None) -> list[Any]:
    left = list(after or [])
    return [one for one in before or [] if one not in left]


def _said(state: str) -> str:
    return state.replace("unknown", "could not be judged")
