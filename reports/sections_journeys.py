"""Journeys: what users came to do, family by family and step by step, with what did not hold and whose it was."""

from __future__ import annotations

from typing import Any

from reports import journeys, numbers, trace
from reports.markup import Html, details, element, join, paragraph, section, state, table
from reports.material import Material

LEAD = (
    "A journey is what a user comes to do; each of its steps must hold. One that does not fails delivery, and the rest "
    "of its journey is left out. What the load test itself cut short, and what the target has not, is no attempt."
)
HEADS = ("State", "Step", "Well", "Failed", "Cut", "p50", "Longest")


def told(material: Material) -> Html:
    """Nothing where no user of the scenario makes a journey."""
    families = journeys.families(material.verdict)
    if not families:
        return Html("")
    links = trace.run_links(material)
    blocks = [_family(one, material, links) for one in families]
    return section("journeys", "Journeys", element("div", *blocks, class_="families"), lead=LEAD)


def _family(family: dict[str, Any], material: Material, links: dict[tuple[str, str], str]) -> Html:
    """One line, and its steps beneath it; open where something is to be seen."""
    verdict = str(family["verdict"])
    phases = journeys.phases(material.verdict, family)
    line = join(
        [
            state(verdict),
            element(
                "span",
                element("b", family["title"]),
                element("small", f"phase {', '.join(phases)}") if phases else "",
                class_="name",
            ),
            element("span", journeys.counts(family), class_="counts"),
            element("span", journeys.times(family), class_="times"),
        ]
    )
    reason = [paragraph(numbers.thin(str(family["reason"])), class_="muted")] if family["reason"] else []
    block = details(
        line, *reason, *_steps(family), *_failures(family, links), *_missing(family), opened=verdict != "pass"
    )
    return Html(block.replace("<details", f'<details class="family {verdict}" id="journey-{family["family"]}"', 1))


def _steps(family: dict[str, Any]) -> list[Html]:
    offered = [one for one in family["steps"] if journeys.tried(one) or one["cut"]]
    rows = [
        [
            state(journeys.step_state(one)),
            one["step"],
            numbers.count(one["ok"]),
            numbers.count(one["failed"]) if one["failed"] else numbers.NONE,
            numbers.count(one["cut"]) if one["cut"] else numbers.NONE,
            numbers.milliseconds(one["p50_ms"]),
            numbers.NO_END if one["failed"] else numbers.milliseconds(one["max_ms"]),
        ]
        for one in offered
    ]
    return [table(HEADS, rows, right=(2, 3, 4, 5, 6))] if rows else []


def _failures(family: dict[str, Any], links: dict[tuple[str, str], str]) -> list[Html]:
    """The first failures of each step in words, with the way to their evidence."""
    found = []
    for step in family["steps"]:
        if not step["failed"]:
            continue
        items = [element("li", *_failure(one, links)) for one in step["examples"]]
        more = step["failed"] - len(step["examples"])
        items += [element("li", f"and {numbers.count(more)} more", class_="muted")] if more > 0 else []
        found += [element("h4", step["step"]), element("ul", *items)]
    return found


def _failure(one: dict[str, Any], links: dict[tuple[str, str], str]) -> list[object]:
    said = join(["expected ", element("b", one["expected"]), ", came ", element("b", one["came"])])
    return [said, element("small", _whose(one, links))]


def _whose(one: dict[str, Any], links: dict[tuple[str, str], str]) -> Html:
    """Whose it was; its run with its trace, or with how to make one; else the trace that the server's logs know."""
    parts: list[object] = [f"user {one['account']}"]
    if one["run"] and (link := links.get((one["account"], one["run"]))):
        parts.append(join(["run ", element("a", one["run"], href=link)]))
    elif one["run"]:
        parts.append(join(["run ", element("code", f"python -m reports trace {one['run']}")]))
    elif one["connection"]:
        parts.append(join(["connection ", element("code", one["connection"])]))
    if one["trace_id"]:
        parts.append(join(["trace ", element("code", one["trace_id"])]))
    return join(parts, " · ")


def _missing(family: dict[str, Any]) -> list[Html]:
    """Steps that the target has not, each with why."""
    gone = [one for one in family["steps"] if one["not_offered"]]
    items = [element("li", element("b", one["step"]), f": {one['why_not_offered']}") for one in gone]
    return [element("h4", "Not offered by the target"), element("ul", *items)] if items else []
