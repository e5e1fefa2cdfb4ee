"""Where it broke: failures grouped by stage and signature, an example of each, likely causes, what to look at next."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from crosstalk.checks.causes_rules import STAGES
from crosstalk.checks.columns import MISSING
from reports import failures, numbers, plots
from reports.drawing import Plot
from reports.failures import Failure
from reports.markup import Html, definitions, details, element, join, paragraph, section, table
from reports.material import Material
from reports.sections_runs import events_of

TITLE = "Where it broke"
#: groups that are shown in full, and of these, those whose example is drawn
IN_FULL, DRAWN = 12, 4
LEAD = (
    "Every failed run, connection and step of a journey is in exactly one group. What the record shows is a fact; a "
    "cause is what may be behind it, with how sure that is."
)


def where_it_broke(material: Material, drawn: dict[str, Html]) -> Html:
    groups = failures.listed(material.verdict)
    cut = int((material.table("runs")["outcome"] == "cut").sum())
    aside = f" {numbers.plural(cut, 'run')} still under way when the load test ended are counted apart." if cut else ""
    if problem := material.verdict.get("failures_problem"):
        return section("failures", TITLE, paragraph(str(problem), class_="lead"))
    if not groups:
        return section("failures", TITLE, paragraph(f"No run and no connection failed.{aside}", class_="lead"))
    blocks = [_group(one, n, material, drawn) for n, one in enumerate(groups[:IN_FULL])]
    rest = [details(f"{len(groups) - IN_FULL} more", _rest(groups[IN_FULL:], material))] if groups[IN_FULL:] else []
    return section("failures", TITLE, _stages(groups), *blocks, *rest, lead=LEAD + aside)


def all_plots(material: Material) -> list[Plot]:
    """The example of each of the first groups, where events of it came."""
    runs, events = material.table("runs"), material.table("events")
    found = []
    for n, one in enumerate(failures.listed(material.verdict)[:DRAWN]):
        row = _row_of(one, material)
        if row is None or not runs["events"][row]:
            continue
        until_ns = int(one["example_until_ns"])
        what = f"An example of “{one['signature']}”"
        found.append(plots.waterfall(_plot_name(n), what, runs, row, events, until_ns=until_ns))
    return found


def _plot_name(n: int) -> str:
    return f"failure_{n + 1}"


def _row_of(one: Failure, material: Material) -> int | None:
    """The example's row in `runs`; None where it is of a connection alone."""
    runs = material.table("runs")
    if not one["example_run"]:
        return None
    rows = np.flatnonzero((runs["run"] == one["example_run"]) & (runs["account"] == one["example_user"]))
    return int(rows[0]) if rows.size else None


def _stages(groups: list[Failure]) -> Html:
    """The way of a run from left to right, with what broke at each stage."""
    counts: Counter[str] = Counter()
    for one in groups:
        counts[one["stage"]] += int(one["count"])
    items = []
    for stage in STAGES:
        number = counts[stage]
        sign = element("b", numbers.count(number)) if number else element("b", "·", aria_hidden="true")
        items.append(element("li", sign, element("span", stage), class_="broke" if number else None))
    return element("ol", *items, class_="stages", aria_label="failures by stage")


def _group(one: Failure, n: int, material: Material, drawn: dict[str, Html]) -> Html:
    about = f" · {one['stage']} · {failures.how_many(one)} · {failures.when(one, material.started_ns)}"
    title = join([element("b", one["signature"]), element("span", about)])
    leak = ", channel " in one["signature"]
    block = details(
        title,
        *_shown(one),
        *_causes(one),
        element("h4", "An example"),
        definitions(_example(one)),
        *_timeline(one, n, material, drawn),
        *([paragraph(element("a", "The frames that show it", href="#violations"), class_="note")] if leak else []),
        element("h4", "For the server's logs"),
        element("pre", one["log_query"], tabindex="0"),
        opened=n == 0,
    )
    return Html(block.replace("<details", '<details class="violation broke"', 1))


def _shown(one: Failure) -> list[Html]:
    lines = [element("li", numbers.thin(text)) for text in one.get("shown") or []]
    return [element("h4", "What the record shows"), element("ul", *lines)] if lines else []


def _causes(one: Failure) -> list[Html]:
    items = [
        element(
            "li",
            element("span", cause["sure"], class_=f"sure {cause['sure']}"),
            element("div", cause["likely"], element("small", element("b", "Look at: "), cause["look_at"])),
        )
        for cause in one.get("causes") or []
    ]
    if not items:
        unknown = (
            "No cause is known for this picture. The example and the server's log for its trace are where to begin."
        )
        return [element("h4", "Likely causes"), paragraph(unknown, class_="muted")]
    return [element("h4", "Likely causes"), element("ul", *items, class_="causes")]


def _example(one: Failure) -> list[tuple[object, object]]:
    took = numbers.from_ns(int(one["example_until_ns"]) - int(one["example_from_ns"]))
    pairs = [
        ("user", one["example_user"]),
        ("run", element("code", one["example_run"]) if one["example_run"] else ""),
        ("connection", element("code", one["example_connection"]) if one["example_connection"] else ""),
        ("trace", element("code", one["example_trace_id"]) if one["example_trace_id"] else ""),
        ("began", f"{numbers.instant(one['example_from_ns'])}, under way for {took}"),
    ]
    return [(name, value) for name, value in pairs if value]


def _timeline(one: Failure, n: int, material: Material, drawn: dict[str, Html]) -> list[Html]:
    """The events of the example run; of a connection, the steps that it got to."""
    row = _row_of(one, material)
    if row is not None and material.table("runs")["events"][row]:
        return [drawn.get(_plot_name(n), Html("")), details("Its events", events_of(material, row))]
    steps = _steps(one, material, row)
    return [element("h4", "Since its connect began"), definitions(steps)] if steps else []


def _steps(one: Failure, material: Material, row: int | None) -> list[tuple[object, object]]:
    """What is known of an example without events: its connection's steps, and when its prompt was sent."""
    connections = material.table("connections")
    found = np.flatnonzero(connections["connection"] == one["example_connection"])
    if not found.size:
        return []
    at = int(found[0])
    begun = int(connections["begun_ns"][at])
    steps: list[tuple[int, str]] = [
        (int(connections[column][at]), name)
        for column, name in (("connected_ns", "connected"), ("upgraded_ns", "upgraded"), ("ready_ns", "ready"))
        if connections[column][at] != MISSING
    ]
    runs, until_ns = material.table("runs"), int(one["example_until_ns"])
    if row is not None:
        steps.append((int(runs["sent_ns"][row]), "prompt sent; no event came"))
        if runs["outcome"][row] == "timeout":
            steps.append((until_ns, "given up"))
    if connections["ended_ns"][at] != MISSING and (row is None or connections["ended_ns"][at] <= until_ns):
        steps.append((int(connections["ended_ns"][at]), _end(connections, at)))
    return [(name, numbers.from_ns(instant - begun)) for instant, name in sorted(steps, key=lambda step: step[0])]


def _end(connections: dict[str, Any], at: int) -> str:
    code, by = connections["close_code"][at], connections["closed_by"][at]
    how = "ended" if code == MISSING else f"close {code}"
    who = {"us": "us", "peer": "the peer", "protocol": "the peer, as its run had ended", "transport": "the transport"}
    return f"{how}, by {who.get(by, by)}" if by else how


def _rest(groups: list[Failure], material: Material) -> Html:
    rows = [
        (
            one["stage"],
            one["signature"],
            failures.how_many(one),
            failures.when(one, material.started_ns),
            failures.cause_name(one) or numbers.NONE,
        )
        for one in groups
    ]
    return table(("Stage", "Signature", "How many", "When", "First cause"), rows)
