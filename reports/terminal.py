"""The closing summary on the terminal: at most 24 lines of 100 columns, in colour only where someone looks.

Where users make journeys, a table of these stands among them, and comes on top of the 24: one line a family, and
beneath it the first of its steps that failed.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from crosstalk.checks.judge_arrivals import arrivals_text
from reports import failures, journeys, numbers
from reports.material import Material
from reports.words import (
    JUDGEMENTS,
    channel_claim,
    judged_text,
    judgement,
    limit_state,
    limit_text,
    metric_text,
    pass_rate,
    since_lines,
    value_text,
    word,
)

LINES = 24
COLUMNS = 100
#: lines that the limits may take
LIMIT_LINES = 8
#: failed steps that a family's line may have beneath it
STEP_LINES = 3
COLOURS = {"pass": "32", "fail": "31", "unknown": "33", "warn": "33"}
SIGNS = {
    "pass": "ok",
    "fail": "FAIL",
    "unknown": "unknown",
    "warn": "NOT JUDGED",
    "not reached": "not reached",
    "shown": "",
}
_ESCAPES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def closing(material: Material, *, colour: bool, shown_as: str) -> str:
    """:param shown_as: the folder as the person named it, for the path of the report."""
    verdict = material.verdict
    painted = _Paint(colour)
    loosened = since_lines(verdict, "loosened")
    lines = [f"LOOSENED  {line.removeprefix('LOOSENED ')}" for line in loosened[:2]]
    if len(loosened) > 2:
        lines.append(f"LOOSENED  and {len(loosened) - 2} more, in the report")
    lines += [painted(material.state, f"{word(verdict)}  ") + _test_name(material)]
    lines += _wrapped(str(verdict.get("sentence", "")), most=4)
    judged = [painted(judgement(verdict, name), _judged(verdict, name)) for name in JUDGEMENTS]
    lines += ["", "judged      " + "   ".join(judged), *_phases(verdict, painted)]
    after = [
        *_broke(verdict),
        *_isolation(verdict),
        *_arrivals(verdict),
        *_goodput(verdict),
        _accounts(material),
        *_since(verdict),
    ]
    lines += [*_limits(verdict, painted, most=LINES - 2 - len(lines) - len(after)), *after]
    # the path comes last and whole: it is there to be copied
    shown = [
        *(_fitted(line) for line in _with_journeys(lines, verdict, painted)),
        "",
        f"report      {shown_as}/report.html",
    ]
    return "\n".join(shown) + "\n"


class _Paint:
    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, state: str, text: str) -> str:
        code = COLOURS.get(state)
        return f"\x1b[1;{code}m{text}\x1b[0m" if self.colour and code else text


def _judged(verdict: dict[str, Any], name: str) -> str:
    return f"{name} {_told(judgement(verdict, name))} {judged_text(verdict, name, short=True)}".rstrip()


def _told(state: str) -> str:
    return "NOT JUDGED" if state == "warn" else state


def _test_name(material: Material) -> str:
    load_test = material.load_test
    said = [
        load_test.get("scenario"),
        load_test.get("environment"),
        f"{numbers.count(load_test.get('users'), separator=',')} users",
        f"arrivals {load_test.get('arrivals', 'think')}",
    ]
    return " · ".join(str(part) for part in said if part)


def _wrapped(text: str, *, most: int) -> list[str]:
    lines = textwrap.wrap(_ESCAPES.sub("", text), COLUMNS)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: COLUMNS - 2] + " …"]
    return lines


def _phases(verdict: dict[str, Any], painted: _Paint) -> list[str]:
    said = []
    for phase in verdict.get("phases") or []:
        passed, judged = pass_rate(phase, verdict)
        state = str(phase.get("verdict"))
        rate = f" {passed}/{judged}" if judged else ""
        said.append(painted(state, f"{phase.get('name')} {state}{rate}"))
    return ["phases      " + "   ".join(said)] if said else []


def _with_journeys(lines: list[str], verdict: dict[str, Any], painted: _Paint) -> list[str]:
    """As many of the lines as there is room for, with the table of journeys behind the first block of them."""
    kept, table = lines[: LINES - 2], _journeys(verdict, painted)
    if not table:
        return kept
    at = next(n for n, line in enumerate(kept) if line.startswith("judged  ")) + 1
    at += sum(line.startswith("phases  ") for line in kept[at : at + 1])
    return [*kept[:at], "", *table, *kept[at:]]


def _journeys(verdict: dict[str, Any], painted: _Paint) -> list[str]:
    """One line a family; what failed of it beneath."""
    lines = []
    for family in journeys.families(verdict):
        state = str(family["verdict"])
        counts = journeys.counts(family, separator=",")
        told = journeys.times(family, separator=",") if counts and not family["reason"] else str(family["reason"])
        lines.append(painted(state, f"{SIGNS.get(state, state):<11}") + f" {family['title']:<21} {counts:<28} {told}")
        failed = journeys.failed_steps(family)
        lines += [
            f"            {_ESCAPES.sub('', journeys.failure(one, separator=','))}" for one in failed[:STEP_LINES]
        ]
        if len(failed) > STEP_LINES:
            lines.append(f"            and {len(failed) - STEP_LINES} more, in the report")
    return lines


def _limits(verdict: dict[str, Any], painted: _Paint, *, most: int) -> list[str]:
    """What failed and what was not judged; then times that passed, as far as there is room: `most` lines in all."""
    listed = verdict.get("limits") or []
    bad = [one for one in listed if limit_state(one) in ("fail", "unknown", "warn")]
    bad.sort(key=lambda one: ("fail", "unknown", "warn").index(limit_state(one)))
    key = [one for one in listed if limit_state(one) == "pass" and str(one["metric"]).endswith("_ms")]
    room = min(LIMIT_LINES, most - 1)  # an empty line stands before them
    room -= len(bad) > room  # and a line after them says how many are hidden
    chosen = [*bad, *key][: max(room, 0)]
    lines = [""] if chosen else []
    for one in chosen:
        state = limit_state(one)
        promised = f"{metric_text(one)} {limit_text(one, separator=',')}"
        value = f"{value_text(one, separator=',')}, n = {numbers.count(one.get('n'), separator=',')}"
        value = value.replace("insufficient n, n =", "insufficient n =")
        lines.append(
            painted(state, f"{SIGNS.get(state, state):<11}") + f" {one['name'][:28]:<28} {promised[:36]:<36} {value}"
        )
    hidden = len(bad) - len(chosen)
    return [*lines, f"            and {hidden} more, in the report"] if hidden > 0 else lines


def _broke(verdict: dict[str, Any]) -> list[str]:
    """One line: the group with the most failures. Where it is too long, its signature is cut and the rest stays."""
    groups = failures.listed(verdict)
    if not groups:
        return []
    top = groups[0]
    many = numbers.plural(int(top["count"]), str(top["of"]).removesuffix("s"), separator=",")
    tail = "".join(f" · {part}" for part in (many, failures.cause_name(top)) if part)
    tail += f" (+{len(groups) - 1} more)" if len(groups) > 1 else ""
    head = _ESCAPES.sub("", f"{top['stage']}: {top['signature']}")
    room = COLUMNS - len("broke at    ") - len(tail)
    return [f"broke at    {head if len(head) <= room else head[: max(room - 1, 12)] + '…'}{tail}"]


def _isolation(verdict: dict[str, Any]) -> list[str]:
    """One line: the channels in which something was seen, or the narrowest claim of those that are required."""
    listed = (verdict.get("isolation") or {}).get("channels") or []
    leaking = [one for one in listed if one.get("violations")]
    required = [one for one in listed if one.get("required")] or listed
    missed = [str(one.get("channel")) for one in required if one.get("verdict") == "not exercised"]
    if leaking:
        said = "; ".join(f"channel {one.get('channel')}: {channel_claim(one, separator=',')}" for one in leaking)
    elif missed or not required:
        said = f"not exercised: channel {', '.join(missed)}" if missed else "no channel was exercised"
    else:
        weakest = min(required, key=lambda one: int(one.get("opportunities") or 0))
        said = f"{len(required)} channels; the least exercised, {weakest.get('channel')}: "
        said += channel_claim(weakest, separator=",")
    return [f"isolation   {said}"]


def _arrivals(verdict: dict[str, Any]) -> list[str]:
    """One line where there is a rate to keep."""
    figures = (verdict.get("measurement") or {}).get("arrivals") or {}
    return [f"arrivals    {arrivals_text(figures)}"] if figures.get("process", "think") != "think" else []


def _goodput(verdict: dict[str, Any]) -> list[str]:
    """One line, and one more where a worker is slower than the others."""
    said, window = verdict.get("goodput") or {}, verdict.get("window") or {}
    lines = []
    if said.get("per_s") is not None:
        good, runs = (numbers.count(said[name], separator=",") for name in ("runs_good", "runs"))
        state = f"; {window['state']}" if window.get("state") in ("steady", "no steady state") else ""
        lines.append(f"goodput     {said['per_s']:.2f} runs/s ended well and in time, {good} of {runs}{state}")
    slower = (verdict.get("workers") or {}).get("slower") or []
    more = f" (+{len(slower) - 1} more)" if len(slower) > 1 else ""
    return [*lines, *(f"slower      {one['said']}{more}" for one in slower[:1])]


def _accounts(material: Material) -> str:
    measured = material.verdict.get("measurement") or {}
    unaccounted = measured.get("unaccounted_events")
    events = int(material.table("events")["n"].size)
    recorded, lost = (numbers.count(n, separator=",") for n in (events, unaccounted))
    said = f"events      {recorded} recorded, {lost} unaccounted"
    causes = [str(cause) for cause in measured.get("causes") or []]
    return f"{said}; {causes[0]}" if causes else said


def _since(verdict: dict[str, Any]) -> list[str]:
    since = verdict.get("since") or {}
    if since.get("refused"):
        return [f"since       not compared with {since['refused']}"]
    if not since.get("previous"):
        return []
    said = ", ".join(
        f"{len(since_lines(verdict, key))} {name}"
        for key, name in (("fixed", "fixed"), ("still", "still failing"), ("new", "new"))
    )
    return [f"since       {since['previous']}: {said}"]


def _fitted(line: str) -> str:
    """At most `COLUMNS` signs that show; colours do not count."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    if len(plain) <= COLUMNS:
        return line.rstrip()
    return plain[: COLUMNS - 1] + "…"
