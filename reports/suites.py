"""A platform's checks and suites by their names, judged from one record: passed, failed or not judged, and how long.

What each name asks for stands in `suites.toml`, and is one of: `step FAMILY/STEP` (with `*` for any text), `limit
NAME`, `channel N`, `no NAME` (a violation of delivery that must not occur). A name is passed when everything that it
asks for was tried and held; where anything had no opportunity it is not judged, unless something else of it failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from crosstalk.checks import statistics
from crosstalk.checks.families import FAMILIES
from crosstalk.files import read_toml
from reports import numbers
from reports.material import Material
from reports.words import limit_state

FILE = Path(__file__).parent / "suites.toml"
PASSED, FAILED, NOT_JUDGED = "passed", "FAILED", "not judged"
KINDS = ("check", "suite")
ASKS = ("step", "limit", "channel", "no")
#: the worst first: one of the first decides
_ORDER = (FAILED, NOT_JUDGED, PASSED)
COLUMNS = 100


class SuitesError(Exception):
    """The file of names is not what it should be; the text says where."""


@dataclass(frozen=True, slots=True)
class Named:
    """A check or a suite of the platform. `stricter`: how what is asked for here goes beyond it."""

    name: str
    kind: str
    asks: tuple[str, ...]
    stricter: str


@dataclass(frozen=True, slots=True)
class Result:
    """`took_ms`: one time through its steps, each at its median; of a name that asks for none, a run's median. None
    where there was neither. `why`: of what is not passed."""

    name: str
    kind: str
    state: str
    took_ms: float | None
    why: str


def load(file: Path = FILE) -> tuple[Named, ...]:
    """:raises SuitesError:"""
    data = read_toml(file, "suites")
    found = tuple(_named(kind, table) for kind in KINDS for table in data.get(kind, []))
    names = [(one.kind, one.name) for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SuitesError(f"{FILE.name}: expected each name once, came twice: {twice}")
    return found


def _named(kind: str, table: dict[str, Any]) -> Named:
    one = Named(str(table.get("name", "")), kind, tuple(table.get("asks", ())), str(table.get("stricter", "")))
    if not one.name or not one.asks or not one.stricter:
        raise SuitesError(f"{FILE.name}: [[{kind}]] {one.name!r}: expected name, asks and stricter")
    for ask in one.asks:
        word, _, rest = ask.partition(" ")
        wrong = word not in ASKS or not rest or (word == "channel" and not rest.isdigit())
        if wrong or (word == "step" and rest.partition("/")[0] not in FAMILIES):
            raise SuitesError(f"{FILE.name}: {one.name}: expected {' | '.join(ASKS)} and what, came {ask!r}")
    return one


def results(named: Iterable[Named], material: Material) -> list[Result]:
    """What came of each name in this load test."""
    return [_result(one, material) for one in named]


def _result(one: Named, material: Material) -> Result:
    said = [_asked(ask, material.verdict) for ask in one.asks]
    state = next(state for state in _ORDER if state in {found for found, _ in said})
    why = [reason for found, reason in said if found == state] if state != PASSED else []
    return Result(one.name, one.kind, state, _took_ms(one, material), "; ".join(dict.fromkeys(why)))


def _asked(ask: str, verdict: dict[str, Any]) -> tuple[str, str]:
    """(state, why) of one thing that is asked for."""
    word, _, what = ask.partition(" ")
    return {"step": _steps, "limit": _limit, "channel": _channel, "no": _none}[word](what, verdict)


def _steps(pattern: str, verdict: dict[str, Any]) -> tuple[str, str]:
    matching = _matching(pattern, verdict)
    if not matching:
        return NOT_JUDGED, f"{pattern}: nobody came so far"
    for step in matching:
        if step["failed"]:
            example = step["examples"][0]
            return FAILED, f"{step['step']}: expected {example['expected']}, came {example['came']}"
    for step in matching:
        if not step["ok"]:
            gone = f"not offered: {step['why_not_offered']}" if step["not_offered"] else "cut each time"
            return NOT_JUDGED, f"{step['step']}: {gone}"
    return PASSED, ""


def _matching(pattern: str, verdict: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        step
        for family in verdict.get("families") or []
        for step in family["steps"]
        if fnmatchcase(f"{family['family']}/{step['step']}", pattern)
    ]


def _limit(name: str, verdict: dict[str, Any]) -> tuple[str, str]:
    entry = next((one for one in verdict.get("limits") or [] if one["name"] == name), None)
    if entry is None:
        return NOT_JUDGED, f"there is no limit {name!r}"
    state = {"pass": PASSED, "fail": FAILED}.get(limit_state(entry), NOT_JUDGED)
    return state, "" if state == PASSED else f"{name}: {entry['reason']}"


def _channel(number: str, verdict: dict[str, Any]) -> tuple[str, str]:
    channels = (verdict.get("isolation") or {}).get("channels") or []
    one = next((one for one in channels if one["channel"] == int(number)), None)
    if one is None:
        return NOT_JUDGED, f"channel {number}: not exercised"
    state = {"pass": PASSED, "fail": FAILED}.get(one["verdict"], NOT_JUDGED)
    seen = f"{one['violations']:,} violations" if state == FAILED else str(one["reason"])
    return state, "" if state == PASSED else f"channel {number} ({one['name']}): {seen}"


def _none(name: str, verdict: dict[str, Any]) -> tuple[str, str]:
    """A violation of delivery that must not occur, in runs that came to an end."""
    delivery = verdict.get("delivery") or {}
    if seen := (delivery.get("violations") or {}).get(name, 0):
        return FAILED, f"{seen:,} {name.replace('_', ' ')}"
    runs = delivery.get("runs") or {}
    ended = int(runs.get("started", 0)) - int(runs.get("cut", 0))
    return (PASSED, "") if ended else (NOT_JUDGED, "no run came to its end")


def _took_ms(one: Named, material: Material) -> float | None:
    steps = [step for ask in one.asks if ask.startswith("step ") for step in _matching(ask[5:], material.verdict)]
    times = [step["p50_ms"] for step in {id(step): step for step in steps}.values() if step["p50_ms"] is not None]
    if any(ask.startswith("step ") for ask in one.asks):
        return float(sum(times)) if times else None
    runs = material.tally.samples("service_time_ms", window="all")
    middle = statistics.percentile(runs, 0.5) if len(runs) else None
    return middle if middle is not None and np.isfinite(middle) else None


# --- the table ------------------------------------------------------------------------------------------------------


def table(now: list[Result], before: list[Result] | None) -> str:
    """One line a name: state, how long it took, what it was last time; beneath what is not passed, why."""
    last = {(one.kind, one.name): one.state for one in before or []}
    lines = []
    for kind in KINDS:
        own = [one for one in now if one.kind == kind]
        lines += ["", f"{kind + 's':<28} {'result':<12}{'took':>10}   last time"] if own else []
        for one in own:
            took = numbers.milliseconds(one.took_ms, separator=",")
            lines.append(f"{one.name:<28} {one.state:<12}{took:>10}   {last.get((kind, one.name), numbers.NONE)}")
            if one.why:
                lines.append(_fitted(f"    {one.why}"))
    return "\n".join([*lines, "", _totals(now)]).lstrip("\n") + "\n"


def _totals(now: list[Result]) -> str:
    counts = [(sum(one.state == state for one in now), state) for state in (PASSED, FAILED, NOT_JUDGED)]
    return f"{len(now)} names: " + ", ".join(f"{n} {state}" for n, state in counts if n)


def _fitted(line: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in line)
    return plain if len(plain) <= COLUMNS else plain[: COLUMNS - 1] + "…"


def previous_of(material: Material) -> Path | None:
    """The folder of the load test that this one was compared with, where it is still there."""
    name = (material.verdict.get("since") or {}).get("previous")
    folder = material.folder.parent / str(name) if name else None
    return folder if folder is not None and (folder / "record" / "run.json").is_file() else None


# --- the page -------------------------------------------------------------------------------------------------------


def page(named: Iterable[Named]) -> str:
    """The two tables of docs/suites.md: what checks each name here, and how that is stricter."""
    parts = []
    for kind in KINDS:
        rows = [f"| {one.name} | {_asks(one)} | {one.stricter} |" for one in named if one.kind == kind]
        parts.append("\n".join([f"| {kind} | checked by | stricter in |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _asks(one: Named) -> str:
    words = {"step": "step `{}`", "limit": "limit “{}”", "channel": "channel {}", "no": "no event is {}"}
    said = []
    for ask in one.asks:
        word, _, what = ask.partition(" ")
        said.append(words[word].format(what.replace("_", " ") if word == "no" else what))
    return ", ".join(said)
