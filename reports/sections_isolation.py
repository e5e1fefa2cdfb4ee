"""Isolation: what could have been seen, what was seen, and the evidence for each violation."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.words import percent
from reports import alike, evidence, leak_picture, numbers, trace, trace_choice
from reports.alike import Alike
from reports.evidence import Evidence
from reports.markup import Html, definitions, details, element, join, paragraph, section, state, table
from reports.material import Material
from reports.trace_choice import violation_anchor
from reports.trace_views import NOT_KEPT
from reports.words import channel_claim

#: shown in full; the others are in a table beneath
SHOWN_IN_FULL = 12
LISTED = 200
GROUPS_LISTED = 40


def channels(material: Material) -> Html:
    title = "Isolation by channel"
    isolation = material.verdict.get("isolation") or {}
    listed = isolation.get("channels") or []
    if not listed:
        return section(
            "isolation",
            title,
            paragraph("No channel was exercised: nothing can be said about isolation.", class_="lead"),
        )
    heads = ("State", "Channel", "Opportunities", "Positive control", "Violations", "What may be claimed", "")
    rows = [_channel(one) for one in listed]
    shown = table(heads, rows, right=(2, 3, 4))
    return section("isolation", title, shown, *_notes(isolation), *_who_saw_whose(material), lead=_lead())


def _who_saw_whose(material: Material) -> list[Html]:
    """The picture of owners and observers, and its figures as a table; nothing where nothing crossed."""
    connections = material.table("connections")
    accounts = sorted(set(connections["account"][connections["purpose"] == "user"].tolist()))
    made = leak_picture.crossing(evidence.ordered(material.table("violations")), accounts)
    if not made.cells:
        return []
    links = trace.links(material)
    often = sorted(made.cells, key=lambda cell: (-cell.times, cell.owner, cell.observer))
    rows = [
        (_span(made.bins[c.owner]), _span(made.bins[c.observer]), numbers.count(c.times), _link(c.example, links))
        for c in often[:LISTED]
    ]
    figures = table(("Whose it is", "Who saw it", "Times", "The gravest"), rows, right=(2,), wide=False)
    more = [paragraph(f"and {len(often) - LISTED} more pairs", class_="note")] if len(often) > LISTED else []
    pairs = details("The pairs", figures, *more)
    return [element("h3", "Who saw whose"), leak_picture.drawn(made, links), pairs]


def _span(names: tuple[str, str]) -> str:
    return names[0] if names[0] == names[1] else f"{names[0]} to {names[1]}"


def _link(violation: str, links: dict[str, str]) -> Html:
    """To its trace; how to make one where the page of traces has none of it."""
    if violation in links:
        return element("a", violation, href=links[violation])
    return element("code", f"python -m reports trace {violation}")


def _lead() -> str:
    return (
        "An opportunity is a checked observation made while another user's reference was live. The positive control "
        "is the share of one's own references that came back: where they do not, a leak could not have shown either."
    )


def _channel(one: dict[str, Any]) -> list[object]:
    word = str(one.get("verdict", "unknown"))
    return [
        state(word),
        f"{one.get('channel')} · {one.get('name', '')}",
        numbers.count(one.get("opportunities")),
        numbers.share(one.get("positive_control")),
        numbers.count(one.get("violations")),
        join([numbers.thin(channel_claim(one)), element("small", one["reason"]) if one.get("reason") else ""]),
        "required" if one.get("required") else "shown",
    ]


def _notes(isolation: dict[str, Any]) -> list[Html]:
    overall = isolation.get("bound_95_all")
    said = ["Opportunities of one load test are not independent trials; the bounds hold as far as they are."]
    if overall is not None:
        said.insert(0, f"Over all required channels at once, with none seen: leak rate < {percent(overall)} at 95 %.")
    return [paragraph(" ".join(said), class_="note")]


def violations(material: Material) -> Html:
    title = "Violations"
    rows = evidence.ordered(material.table("violations"))
    if not rows:
        return section("violations", title, paragraph("None was recorded.", class_="lead"))
    links = trace.links(material)
    shown = trace_choice.spread(rows, SHOWN_IN_FULL)
    found = evidence.gather(shown, material.table("frames"))
    blocks = [_violation(one, material, links, opened=i == 0) for i, one in enumerate(found)]
    in_full = {id(row) for row in shown}
    rest = [row for row in rows if id(row) not in in_full]
    if rest:
        blocks.append(details(f"{numbers.count(len(rest))} more", _rest(rest, links, material.started_ns)))
    lead = f"{alike.told(rows, material.verdict)}. The gravest first; each opens in the trace, both sides on one clock."
    groups = _alike(alike.groups(rows), links, material.started_ns)
    return section("violations", title, groups, element("h3", "In full"), *blocks, lead=lead)


def _alike(groups: list[Alike], links: dict[str, str], started_ns: int) -> Html:
    heads = ("What", "Channel", "Scope", "Surfaced in", "Read as", "Times", "Owners", "Observers", "First", "Trace")
    rows = [
        (
            element("b", one.example["name"]),
            one.example["channel"] or numbers.NONE,
            one.example["scope"].replace("_", " ") or one.example["judgement"],
            " ".join(filter(None, (one.example["event_kind"], one.example["field"]))) or numbers.NONE,
            one.example["decode"] or numbers.NONE,
            numbers.count(one.times),
            numbers.count(one.owners) if one.owners else numbers.NONE,
            numbers.count(one.observers),
            numbers.seconds(one.first_ns - started_ns),
            _link(one.example["violation"], links),
        )
        for one in groups[:GROUPS_LISTED]
    ]
    more = len(groups) - GROUPS_LISTED
    note = [paragraph(f"and {numbers.plural(more, 'more kind')} in the record", class_="note")] if more > 0 else []
    caption = f"{numbers.plural(len(groups), 'kind')}: alike in name, channel, scope, place and reading"
    return join([table(heads, rows, right=(5, 6, 7, 8), caption=caption), *note])


def _violation(one: Evidence, material: Material, links: dict[str, str], *, opened: bool) -> Html:
    row = one.row
    where = f" · channel {row['channel']}" if row["channel"] else ""
    whose = f" · {row['observer']} saw what belongs to {row['owner']}" if row["owner"] else f" · {row['observer']}"
    times = f" · {numbers.plural(row['count'], 'time')}" if row["count"] > 1 else ""
    title = join([element("b", row["name"]), element("span", f"{where}{whose}{times}")])
    to_trace = paragraph("Both sides on one clock: ", _link(row["violation"], links), class_="see")
    block = details(title, to_trace, definitions(_facts(one, material.started_ns)), _frames(one), opened=opened)
    softer = row["judgement"] != "isolation" or row["scope"] in ("unverified", "other_load_test")
    style = "violation softer" if softer else "violation"
    return Html(block.replace("<details", f'<details class="{style}" id="{violation_anchor(row["violation"])}"', 1))


def _facts(one: Evidence, started_ns: int) -> list[tuple[object, object]]:
    row = one.row
    planted = row["planted_ns"] or one.planted_at_ns
    surfaced = (
        f"{numbers.instant(row['surfaced_ns'])}, {numbers.seconds(row['surfaced_ns'] - started_ns)} after the start"
    )
    if planted:
        surfaced += f", {numbers.from_ns(row['surfaced_ns'] - planted)} after it was planted"
    pairs = [
        ("expected", row["expected"]),
        ("came", row["came"]),
        ("owner", " · ".join(filter(None, (row["owner"], row["owner_run"])))),
        ("planted", " · ".join(filter(None, (row["site"], numbers.instant(planted) if planted else "")))),
        ("observer", " · ".join(filter(None, (row["observer"], row["observer_connection"], row["run"])))),
        ("surfaced", surfaced),
        (
            "in",
            " · ".join(
                filter(None, (row["event_kind"], row["field"], f"read {row['decode']}" if row["decode"] else ""))
            ),
        ),
        ("scope", row["scope"].replace("_", " ")),
        ("judged as", row["judgement"]),
        ("trace id", element("code", row["trace_id"]) if row["trace_id"] else ""),
        ("violation", element("code", row["violation"])),
    ]
    return [(name, value) for name, value in pairs if value]


def _frames(one: Evidence) -> Html:
    marks = {"theirs": one.theirs, "own": one.own}
    pictures = [
        element(
            "div",
            element("h4", f"The frame that showed it, to {one.row['observer']}"),
            element("pre", evidence.highlighted(one.shown, **marks), tabindex="0"),
        )
    ]
    if one.row["owner"]:
        body = (
            element("pre", evidence.highlighted(one.planted, **marks), tabindex="0")
            if one.planted
            else paragraph(NOT_KEPT)
        )
        pictures.insert(0, element("div", element("h4", f"Where it was planted, by {one.row['owner']}"), body))
    legend = Html("")
    if one.row["owner"] and one.row["owner"] != one.row["observer"]:
        theirs = element("mark", f"belongs to {one.row['owner']}", class_="theirs")
        legend = paragraph(
            theirs, " ", element("mark", f"belongs to {one.row['observer']}", class_="own"), class_="note"
        )
    return join([legend, element("div", *pictures, class_="frames")])


def _rest(rows: list[dict[str, Any]], links: dict[str, str], started_ns: int) -> Html:
    heads = ("Name", "Channel", "Observer", "Owner", "In", "At", "Times", "Trace")
    cells = [
        (
            row["name"],
            row["channel"] or numbers.NONE,
            row["observer"],
            row["owner"] or numbers.NONE,
            " ".join(filter(None, (row["event_kind"], row["field"]))),
            numbers.seconds(row["surfaced_ns"] - started_ns),
            numbers.count(row["count"]),
            _link(row["violation"], links),
        )
        for row in rows[:LISTED]
    ]
    more = [paragraph(f"and {len(rows) - LISTED} more in the record", class_="note")] if len(rows) > LISTED else []
    return join([table(heads, cells, right=(5, 6)), *more])
