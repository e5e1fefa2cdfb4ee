"""What a verdict says, in the words that all reports share. Pure: a verdict's dict in, words out."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.words import percent
from reports import numbers

JUDGEMENTS = ("delivery", "isolation", "timing", "measurement")


def word(verdict: dict[str, Any]) -> str:
    """SHIP or HOLD; whatever is not a pass is a HOLD."""
    return str(verdict.get("word") or ("SHIP" if verdict.get("verdict") == "pass" else "HOLD"))


def judgement(verdict: dict[str, Any], name: str) -> str:
    """pass, fail, unknown or warn (NOT JUDGED, which counts as nothing) of one of `JUDGEMENTS`."""
    apart = (verdict.get("judgements") or {}).get(name) or (verdict.get(name) or {}).get("verdict")
    return {"not judged": "warn"}.get(str(apart), str(apart or "unknown"))


def judged_text(verdict: dict[str, Any], name: str, *, short: bool = False) -> str:
    """What stands behind a judgement's word: "for 2 of 9, 7 NOT JUDGED" of the times, "" where all were judged."""
    if name != "timing":
        return ""
    asked = [one for one in verdict.get("limits") or [] if one.get("required") and one.get("judgement") == name]
    judged = sum(one.get("verdict") != "unknown" for one in asked)
    if not judged or judged == len(asked):
        return ""
    return f"for {judged} of {len(asked)}" + ("" if short else f", {len(asked) - judged} NOT JUDGED")


def limit_state(limit: dict[str, Any]) -> str:
    """A key of `markup.STATES`: pass, fail, unknown (counts), warn (NOT JUDGED, does not count), shown, not reached."""
    said = str(limit.get("verdict", "unknown"))
    if limit.get("required") is False:
        return "shown"
    if said != "unknown" or limit.get("counts", True):
        return said
    return "not reached" if str(limit.get("reason") or "").startswith("not reached") else "warn"


def limit_text(limit: dict[str, Any], *, separator: str = numbers.THIN) -> str:
    """ "≤ 2 000 ms"; "–" for a figure that is only shown."""
    bound = limit.get("limit")
    if bound is None:
        return numbers.NONE
    sign = "≥" if limit.get("direction") == "at_least" else "≤"
    gap = numbers.THIN if separator == numbers.THIN else " "
    return (
        sign + gap + numbers.quantity(bound, metric=limit["metric"], statistic=limit["statistic"], separator=separator)
    )


def value_text(limit: dict[str, Any], *, separator: str = numbers.THIN) -> str:
    """The value; "insufficient n" where there are too few samples for one, "no end" for a wait that did not end."""
    value, n = limit.get("value"), int(limit.get("n") or 0)
    if value is None:
        return numbers.NONE if not n else "insufficient n" if n < int(limit.get("needed") or 1) else numbers.NO_END
    return numbers.quantity(value, metric=limit["metric"], statistic=limit["statistic"], separator=separator)


def metric_text(limit: dict[str, Any]) -> str:
    """ "p95 of service_time"; a share or a count is called by its metric alone."""
    metric = str(limit["metric"]).removesuffix("_ms")
    return metric if limit["statistic"] in ("share", "count") else f"{limit['statistic']} of {metric}"


def pass_rate(phase: dict[str, Any], verdict: dict[str, Any]) -> tuple[int, int]:
    """(limits passed, limits judged) of a phase."""
    if "passed" in phase and "judged" in phase:
        return int(phase["passed"]), int(phase["judged"])
    states = [limit_state(one) for one in verdict.get("limits") or [] if one.get("phase") == phase.get("name")]
    judged = [one for one in states if one in ("pass", "fail")]
    return judged.count("pass"), len(judged)


def window_text(verdict: dict[str, Any]) -> str:
    """Which runs the times are of: "Times are of 612 runs: steady, 33 blocks of 1.1 s without …"."""
    window = verdict.get("window") or {}
    if "runs" not in window:
        return ""
    left_out = int(window["runs_left_out"])
    runs = numbers.plural(int(window["runs"]), "run", separator=numbers.COMMA)
    said = f"Times are of {runs} in {float((window['until_ns'] - window['from_ns']) / 1e9):.1f} s"
    said += f", without {numbers.count(left_out, separator=numbers.COMMA)} of the ramp" if left_out else ""
    said += f" and a warm-up of {window['warm_up_s']:.1f} s" if window["warm_up_s"] else ""
    meaning = {"too short to tell": "; the ramp alone decides", "no steady state": "; no time of a run can pass"}
    return f"{said}. {str(window['state']).capitalize()}: {window['reason']}{meaning.get(str(window['state']), '')}."


def goodput_text(verdict: dict[str, Any]) -> str:
    """Runs per second that ended well and met every limit; "" without a second to count in."""
    said = verdict.get("goodput") or {}
    if said.get("per_s") is None:
        return ""
    good, well, runs = (numbers.count(said[name], separator=numbers.COMMA) for name in _GOOD)
    limits = numbers.plural(len(said["limits"]), "limit")
    rate = f"Goodput {said['per_s']:.2f} runs/s"
    return f"{rate}: of {runs} runs {well} ended well, {good} of them within {limits} of a run."


_GOOD = ("runs_good", "runs_ended_well", "runs")


def reasons(verdict: dict[str, Any]) -> list[str]:
    """Why delivery and isolation are not a pass; what is said of both is said once."""
    said = [
        str(reason) for name in ("delivery", "isolation") for reason in (verdict.get(name) or {}).get("reasons") or []
    ]
    return list(dict.fromkeys(reason.removeprefix("not everything was seen: ") for reason in said))


def since_lines(verdict: dict[str, Any], key: str) -> list[str]:
    """The entries of `since[key]` as text."""
    return [str(entry) for entry in (verdict.get("since") or {}).get(key) or []]


def channel_claim(channel: dict[str, Any], *, separator: str = numbers.THIN) -> str:
    """What may be claimed of a channel: "0 in 12 400; leak rate < 0.024 % at 95 %". Never "isolated"."""
    opportunities, violations = int(channel.get("opportunities") or 0), int(channel.get("violations") or 0)
    seen = numbers.count(opportunities, separator=separator)
    if violations:
        return f"{numbers.count(violations, separator=separator)} in {seen}"
    if channel.get("verdict") == "not exercised" or not opportunities:
        return "not exercised"
    return f"0 in {seen}; leak rate < {percent(channel.get('bound_95'))} at 95 %"
