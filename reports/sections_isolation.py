"""Isolation: what could have been seen, what was seen, and the evidence for each violation."""

from __future__ import annotations

from typing import Any

from crosstalk.checks.words import percent
from reports import evidence, numbers
from reports.evidence import Evidence
from reports.markup import Html, definitions, details, element, join, paragraph, section, state, table
from reports.material import Material
from reports.words import channel_claim

#: shown in full; the others are in a table beneath
SHOWN_IN_FULL = 12
LISTED = 200
NOT_KEPT = (
    "The owner's frame is not in the record: frames are kept of runs with a violation or a failure, and of a sample. "
    "The owner is named by the reference itself."
)


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
    return section("isolation", title, table(heads, rows, right=(2, 3, 4)), *_notes(isolation), lead=_lead())


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
        channel_claim(one),
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
    shown = _spread_over_names(rows)
    found = evidence.gather(shown, material.table("frames"))
    blocks = [_violation(one, material, opened=i == 0) for i, one in enumerate(found)]
    rest = [row for row in rows if row not in shown]
    if rest:
        blocks.append(details(f"{numbers.count(len(rest))} more", _rest(rest, material.started_ns)))
    times = sum(int(row["count"]) for row in rows)
    lead = (
        f"{numbers.plural(len(rows), 'distinct violation')}, seen {numbers.plural(times, 'time')}. The gravest first."
    )
    return section("violations", title, *blocks, lead=lead)


def _spread_over_names(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of every kind, then more of the gravest, in the order of `rows`."""
    firsts = {(row["judgement"], row["name"], row["channel"]): id(row) for row in reversed(rows)}
    chosen = set(list(reversed(firsts.values()))[:SHOWN_IN_FULL])
    for row in rows:
        if len(chosen) >= SHOWN_IN_FULL:
            break
        chosen.add(id(row))
    return [row for row in rows if id(row) in chosen]


def _violation(one: Evidence, material: Material, *, opened: bool) -> Html:
    row = one.row
    where = f" · channel {row['channel']}" if row["channel"] else ""
    whose = f" · {row['observer']} saw what belongs to {row['owner']}" if row["owner"] else f" · {row['observer']}"
    times = f" · {numbers.plural(row['count'], 'time')}" if row["count"] > 1 else ""
    title = join([element("b", row["name"]), element("span", f"{where}{whose}{times}")])
    block = details(title, definitions(_facts(one, material.started_ns)), _frames(one), opened=opened)
    softer = row["judgement"] != "isolation" or row["scope"] in ("unverified", "other_load_test")
    style = "violation softer" if softer else "violation"
    return Html(block.replace("<details", f'<details class="{style}" id="{_anchor(row)}"', 1))


def _anchor(row: dict[str, Any]) -> str:
    return "violation-" + "".join(c if c.isalnum() else "-" for c in str(row["violation"]))


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
        ("trace", element("code", row["trace_id"]) if row["trace_id"] else ""),
        ("number", element("code", row["violation"])),
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


def _rest(rows: list[dict[str, Any]], started_ns: int) -> Html:
    heads = ("Name", "Channel", "Observer", "Owner", "In", "At", "Times")
    cells = [
        (
            row["name"],
            row["channel"] or numbers.NONE,
            row["observer"],
            row["owner"] or numbers.NONE,
            " ".join(filter(None, (row["event_kind"], row["field"]))),
            numbers.seconds(row["surfaced_ns"] - started_ns),
            numbers.count(row["count"]),
        )
        for row in rows[:LISTED]
    ]
    more = [paragraph(f"and {len(rows) - LISTED} more in the record", class_="note")] if len(rows) > LISTED else []
    return join([table(heads, cells, right=(5, 6)), *more])
