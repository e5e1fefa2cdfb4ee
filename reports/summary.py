"""`summary.md`: the verdict in a page of Markdown, for a pull request or a pipeline's own summary."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from crosstalk.checks.judge_arrivals import arrivals_text
from reports import evidence, failures, journeys, numbers, sections_soak
from reports.markup import printable
from reports.material import Material
from reports.words import (
    JUDGEMENTS,
    channel_claim,
    goodput_text,
    judged_text,
    judgement,
    limit_state,
    limit_text,
    metric_text,
    pass_rate,
    since_lines,
    value_text,
    window_text,
    word,
)

SIGNS = {
    "pass": "✅",
    "fail": "❌",
    "unknown": "❔",
    "warn": "❔",
    "not reached": "⚪",
    "not exercised": "⚪",
    "shown": "·",
}
VIOLATIONS_SHOWN = 5
FAILURES_SHOWN = 5


def summary(material: Material, problems: list[str]) -> str:
    verdict = material.verdict
    load_test = material.load_test
    parts = [
        f"# {SIGNS[material.state]} {word(verdict)} · {_text(load_test.get('scenario', 'load test'))}",
        f"**{_text(verdict.get('sentence', ''))}**",
        " · ".join(_judged(verdict, name) for name in JUDGEMENTS),
        f"Arrivals: {_text(arrivals_text((verdict.get('measurement') or {}).get('arrivals') or {}))}.",
        " ".join(_text(said) for said in (window_text(verdict), goodput_text(verdict)) if said),
        *_bullets("Slower than the other workers", [one["said"] for one in _slower(verdict)]),
        *_bullets("LOOSENED since last time", since_lines(verdict, "loosened")),
        _phases(verdict),
        _journeys(verdict),
        _limits(verdict),
        _failures(material),
        _violations(material),
        _isolation(verdict),
        *([_text(sections_soak.sentence(material))] if sections_soak.is_told(material) else []),
        _since(verdict),
        *_bullets("Problems while the reports were made", problems),
        _beside(material),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _judged(verdict: dict[str, Any], name: str) -> str:
    return f"{name} {_told(judgement(verdict, name))} {judged_text(verdict, name)}".rstrip()


def _slower(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    return list((verdict.get("workers") or {}).get("slower") or [])


def _phases(verdict: dict[str, Any]) -> str:
    rows = []
    for phase in verdict.get("phases") or []:
        passed, judged = pass_rate(phase, verdict)
        rate = f"{passed} of {judged}" if judged else "nothing judged"
        rows.append(
            [
                phase.get("priority"),
                phase.get("name"),
                _told(str(phase.get("verdict"))),
                rate,
                phase.get("at_risk") or "",
            ]
        )
    return _table(["Priority", "Phase", "Verdict", "Limits passed", "At risk"], rows)


def _journeys(verdict: dict[str, Any]) -> str:
    """Each family in a row, and beneath the table every step that failed, and what the target has not."""
    rows: list[list[object]] = []
    lines = []
    for family in journeys.families(verdict):
        counts, times = journeys.counts(family, separator=","), journeys.times(family, separator=",")
        why = family["reason"] or f"{len(family['steps'])} steps"
        phases = ", ".join(journeys.phases(verdict, family))
        rows.append([_told(family["verdict"]), family["title"], phases, counts, times, why])
        for step in journeys.failed_steps(family):
            lines.append(f"- **{_text(family['title'])}**: {_text(journeys.failure(step, separator=','))}")
        if gone := journeys.not_offered(family):
            named = "; ".join(f"{step['step']} ({step['why_not_offered']})" for step in gone)
            lines.append(f"- {_text(family['title'])}: not offered by the target: {_text(named)}")
    table = _table(["State", "Family", "Phase", "Journeys", "Times", ""], rows)
    return "\n\n".join(filter(None, ["### Journeys", table, "\n".join(lines)])) if rows else ""


def _limits(verdict: dict[str, Any]) -> str:
    rows = []
    for limit in verdict.get("limits") or []:
        state = limit_state(limit)
        if state in ("pass", "shown", "not reached"):
            continue
        told = {"warn": "❔ NOT JUDGED"}.get(state, _told(state))
        promised, value = limit_text(limit, separator=","), value_text(limit, separator=",")
        rows.append(
            [told, limit["name"], f"{metric_text(limit)} {promised}", value, limit.get("n"), limit.get("reason") or ""]
        )
    table = _table(["State", "Limit", "Promised", "Value", "n", "Why"], rows)
    return f"### Limits that failed or were not judged\n\n{table}" if rows else ""


def _failures(material: Material) -> str:
    """The first groups in a table, and beneath it what may be behind each and where to look."""
    groups = failures.listed(material.verdict)
    shown = groups[:FAILURES_SHOWN]
    if not shown:
        return ""
    rows: list[list[object]] = [
        [
            one["stage"],
            one["signature"],
            failures.how_many(one, separator=","),
            failures.when(one, material.started_ns),
            one["example_run"] or one["example_connection"],
        ]
        for one in shown
    ]
    parts = ["### Where it broke", _table(["Stage", "Signature", "How many", "When", "Example"], rows)]
    for one in shown:
        lines = [
            f"- *{cause['sure']}*: {_text(cause['likely'])} Look at: {_text(cause['look_at'])}"
            for cause in one["causes"]
        ]
        parts += [f"**{_text(one['signature'])}**", *(["\n".join(lines)] if lines else []), _fenced(one["log_query"])]
    if len(groups) > len(shown):
        parts.append(f"{numbers.plural(len(groups) - len(shown), 'more group', separator=',')} in the report.")
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    """A code block that nothing in the text can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _violations(material: Material) -> str:
    found = evidence.ordered(material.table("violations"))
    rows = [
        [row["name"], row["channel"] or "", row["observer"], row["owner"], row["event_kind"], row["came"], row["count"]]
        for row in found[:VIOLATIONS_SHOWN]
    ]
    if not rows:
        return ""
    more = (
        f"\n\n{numbers.plural(len(found) - len(rows), 'more', 'more', separator=',')} in the report."
        if len(found) > len(rows)
        else ""
    )
    heads = ["Violation", "Channel", "Observer", "Owner", "Event", "Came", "Times"]
    return f"### Violations\n\n{_table(heads, rows)}{more}"


def _isolation(verdict: dict[str, Any]) -> str:
    """One line: what may be claimed of each channel that is required, or of all where none is."""
    listed = (verdict.get("isolation") or {}).get("channels") or []
    said = [one for one in listed if one.get("required")] or listed
    claims = [f"channel {one.get('channel')}: {channel_claim(one, separator=',')}" for one in said]
    return f"Isolation: {'; '.join(claims)}." if claims else "Isolation: no channel was exercised."


def _since(verdict: dict[str, Any]) -> str:
    since = verdict.get("since") or {}
    if since.get("refused"):
        return f"Not compared with {_text(since['refused'])}."
    if not since.get("previous"):
        return "No earlier record to compare with."
    kinds = [f"{title} {', '.join(_text(x) for x in since_lines(verdict, key)) or 'none'}" for key, title in _SINCE]
    return f"Since `{_text(since['previous'])}`: {'; '.join(kinds)}."


_SINCE = (("fixed", "fixed:"), ("still", "still failing:"), ("new", "new:"))


def _beside(material: Material) -> str:
    return f"`results/{material.folder.name}/`: `report.html`, `verdict.json`, `junit.xml`, `plots/`, `record/`"


def _bullets(title: str, lines: list[str]) -> list[str]:
    return [f"### {title}\n\n" + "\n".join(f"- {_text(line)}" for line in lines)] if lines else []


def _table(heads: list[str], rows: list[list[object]]) -> str:
    if not rows:
        return ""
    lines: list[Sequence[object]] = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _told(state: str) -> str:
    return f"{SIGNS.get(state, '')} {'not judged' if state == 'warn' else state}".strip()


def _text(value: object) -> str:
    """Text that cannot break out of a cell, nor become HTML or formatting."""
    text = html.escape(printable(" ".join(str("" if value is None else value).split())), quote=False)
    for sign in ("\\", "|", "`", "*", "_", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return text
