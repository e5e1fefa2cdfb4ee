"""`junit.xml`: a suite a phase with a case a limit, a suite a family of journeys with a case a step, and suites for
delivery and isolation, for pipelines to draw.

A limit that failed is a `failure`; one that is unknown is an `error` where that counts and `skipped` where it is only
printed as NOT JUDGED: it is never a pass. Nor is a step that the target has not, or that was cut each time: `skipped`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from reports import failures, journeys
from reports.markup import printable
from reports.material import Material
from reports.words import channel_claim, limit_state, limit_text, metric_text, value_text

#: groups of failures in the text of a failed case
GROUPS_SHOWN = 3
#: names that always have a case, so that a pipeline sees them turn from green to red
DELIVERY_NAMES = ("missing", "duplicate", "out_of_order", "late", "malformed")


@dataclass(frozen=True, slots=True)
class Case:
    """`outcome`: "" (passed), failure, error or skipped. `about`: metric, violation or channel, for its failures."""

    name: str
    outcome: str = ""
    message: str = ""
    body: str = ""
    about: str = ""


def junit(material: Material) -> str:
    verdict, load_test = material.verdict, material.load_test
    suites = {
        **_phases(verdict),
        **_journeys(verdict),
        "delivery": _delivery(verdict),
        "isolation": _isolation(verdict),
    }
    began = datetime.fromtimestamp(material.started_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    took_s = max(int(load_test.get("ended_ns") or 0) - material.started_ns, 0) / 1e9
    arrivals = _plain(str(load_test.get("arrivals", "think")))
    root = ET.Element("testsuites", {"name": f"crosstalk, arrivals {arrivals}"})
    prefix = f"crosstalk.{load_test.get('scenario', 'load_test')}"
    for name, cases in suites.items():
        explained = [_explained(case, material) for case in cases]
        _suite(root, name, explained, prefix=prefix, timestamp=began, time_s=took_s)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _explained(case: Case, material: Material) -> Case:
    """A failed case with the groups of failures that are behind it, the most frequent first."""
    if case.outcome != "failure":
        return case
    behind = failures.explaining(material.verdict, case.about)[:GROUPS_SHOWN]
    told = ["\n".join(failures.told(one, material.started_ns)) for one in behind]
    return replace(case, body="\n\n".join(filter(None, [case.body, *told])))


def _phases(verdict: dict[str, Any]) -> dict[str, list[Case]]:
    listed = verdict.get("limits") or []
    names = [str(phase.get("name")) for phase in verdict.get("phases") or []]
    return {name: [_limit(one) for one in listed if one.get("phase") == name] for name in names}


def _limit(limit: dict[str, Any]) -> Case:
    state = limit_state(limit)
    promised = f"{metric_text(limit)} {limit_text(limit, separator=',')}"
    came = f"{value_text(limit, separator=',')} of n = {limit.get('n') or 0}"
    reason = str(limit.get("reason") or "")
    message = f"{promised}, came {came}"
    outcome = {"pass": "", "fail": "failure", "unknown": "error"}.get(state, "skipped")
    told = {
        "warn": f"NOT JUDGED: {reason or message}",
        "shown": f"shown, not judged: {came}",
        "not reached": f"not reached: {reason}",
    }
    return Case(str(limit["name"]), outcome, told.get(state, message), reason, str(limit["metric"]))


def _journeys(verdict: dict[str, Any]) -> dict[str, list[Case]]:
    return {f"journeys of {one['family']}": _family(one) for one in journeys.families(verdict)}


def _family(family: dict[str, Any]) -> list[Case]:
    cases = [_step(family, one) for one in family["steps"]]
    return cases or [Case("a step", "error", f"{family['reason']}: nobody came so far")]


def _step(family: dict[str, Any], step: dict[str, Any]) -> Case:
    about = f"steps_ok[{family['family']}/{step['step']}]"
    if step["failed"]:
        told = [
            f"expected {one['expected']}, came {one['came']} ({one['account']}{_of_run(one)})"
            for one in step["examples"]
        ]
        return Case(step["step"], "failure", journeys.failure(step, separator=","), "\n".join(told), about)
    if step["ok"]:
        return Case(step["step"], about=about)
    why = f"not offered: {step['why_not_offered']}" if step["not_offered"] else f"cut each time, {step['cut']} in all"
    return Case(step["step"], "skipped", why, about=about)


def _of_run(example: dict[str, Any]) -> str:
    return f", run {example['run']}" if example["run"] else ""


def _delivery(verdict: dict[str, Any]) -> list[Case]:
    delivery = verdict.get("delivery") or {}
    counts = {**dict.fromkeys(DELIVERY_NAMES, 0), **(delivery.get("violations") or {})}
    cases = [
        Case(
            f"no event is {name.replace('_', ' ')}" if name in DELIVERY_NAMES else name.replace("_", " "),
            "failure" if n else "",
            f"{n} seen",
            about=name,
        )
        for name, n in sorted(counts.items())
    ]
    unaccounted = (verdict.get("measurement") or {}).get("unaccounted_events")
    cases.append(Case("no event is unaccounted", "" if unaccounted == 0 else "error", f"{unaccounted} unaccounted"))
    runs = delivery.get("runs") or {}
    ended = sum(int(n) for name, n in runs.items() if name != "started")
    started = int(runs.get("started") or 0)
    said = f"{started} started, {ended} have an outcome"
    cases.append(Case("every run has one outcome", "" if started == ended else "error", said))
    if not started:
        cases.append(Case("at least one run", "error", "no run was started"))
    return cases


def _isolation(verdict: dict[str, Any]) -> list[Case]:
    isolation = verdict.get("isolation") or {}
    cases = []
    for one in isolation.get("channels") or []:
        state = str(one.get("verdict"))
        missed = "error" if one.get("required") else "skipped"
        outcome = {"pass": "", "fail": "failure"}.get(state, missed)
        cases.append(
            Case(
                f"channel {one.get('channel')}: {one.get('name', '')}".rstrip(": "),
                outcome,
                channel_claim(one, separator=","),
                about=f"channel {one.get('channel')}",
            )
        )
    if not cases:
        cases.append(Case("isolation", "error", "no channel was exercised"))
    return cases


def _suite(root: ET.Element, name: str, cases: list[Case], *, prefix: str, timestamp: str, time_s: float) -> None:
    counts = {kind: sum(case.outcome == kind for case in cases) for kind in ("failure", "error", "skipped")}
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _plain(name),
            "tests": str(len(cases)),
            "failures": str(counts["failure"]),
            "errors": str(counts["error"]),
            "skipped": str(counts["skipped"]),
            "timestamp": timestamp,
            "time": f"{time_s:.3f}",
        },
    )
    for case in cases:
        element = ET.SubElement(
            suite, "testcase", {"classname": _plain(f"{prefix}.{name}"), "name": _plain(case.name), "time": "0.000"}
        )
        if case.outcome:
            told = {"message": _plain(case.message)} | ({} if case.outcome == "skipped" else {"type": case.outcome})
            ET.SubElement(element, case.outcome, told).text = _plain(case.body) or None


def _plain(text: str) -> str:
    return printable(text)
