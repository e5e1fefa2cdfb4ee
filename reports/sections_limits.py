"""Every limit with its value, its interval, how many samples stand behind it, and what was decided."""

from __future__ import annotations

import math
from typing import Any

from reports import numbers
from reports.markup import Html, element, join, paragraph, section, state
from reports.material import Material
from reports.words import limit_state, limit_text, metric_text, value_text

HEADS = ("State", "Limit", "Promised", "Value", "95 % interval", "n", "Why")
LEAD = (
    "A limit passes when the confidence bound lies inside it, fails when the interval lies outside, and is unknown "
    "between. Intervals are by order statistics and assume no shape; beneath stands one that allows for users who "
    "differ, where they do. NOT JUDGED is never a pass."
)


def limits(material: Material) -> Html:
    listed = material.verdict.get("limits") or []
    if not listed:
        return section(
            "limits", "Limits", paragraph("No limits were given: figures are shown, none is judged.", class_="lead")
        )
    rows: list[Html] = []
    phase = None
    for limit in listed:
        if limit.get("phase") != phase:
            phase = limit.get("phase")
            rows.append(element("tr", element("td", phase, colspan=len(HEADS)), class_="group"))
        rows.append(_row(limit))
    figures = {3, 4, 5}
    head = element("tr", *(element("th", h, class_="figure" if i in figures else None) for i, h in enumerate(HEADS)))
    inner = element("table", element("thead", head), element("tbody", *rows), class_="limits")
    box = element("div", inner, class_="scroll", tabindex="0", role="region", aria_label="limits")
    return section("limits", "Limits", box, lead=LEAD)


def _row(limit: dict[str, Any]) -> Html:
    word = limit_state(limit)
    told = {"warn": "NOT JUDGED", "shown": "shown"}.get(word, word)
    name = join([limit["name"], element("small", metric_text(limit))])
    why = element("span", numbers.thin(str(limit.get("reason") or "")), class_="why")
    cells = {
        "of": state(word, told),
        "what": name,
        "promised": limit_text(limit),
        "figure value": _with(value_text(limit), whole_run(limit)),
        "figure interval" + (" none" if interval(limit) == numbers.NONE else ""): _with(
            interval(limit), by_user(limit)
        ),
        "figure n": numbers.count(limit.get("n")),
        "reason": why,
    }
    return element("tr", *(element("td", cell, class_=style) for style, cell in cells.items()))


def whole_run(limit: dict[str, Any]) -> str:
    """The figure with ramp and warm-up, where it is another: "with ramp 812 ms"."""
    whole = (limit.get("whole_run") or {}).get("value")
    if whole is None:
        return ""
    said = numbers.quantity(whole, metric=limit["metric"], statistic=limit["statistic"])
    return f"with ramp {said}" if said != value_text(limit) else ""


def by_user(limit: dict[str, Any]) -> str:
    """The interval that allows for users who differ, where these samples are worth fewer than they are."""
    found = limit.get("by_user") or {}
    if not found or found["worth"] >= limit["n"]:
        return ""
    low, high = ("open" if end is None else numbers.milliseconds(end, unit=False) for end in found["ci"])
    return f"by user {low} – {high}"


def _with(figure: str, beneath: str) -> Html | str:
    return join([figure, element("small", beneath, class_="bounds")]) if beneath else figure


def interval(limit: dict[str, Any]) -> str:
    """ "780–844 ms"; an open end is a bound that too few samples support, or a wait that did not end."""
    ends = limit.get("ci")
    if not ends or all(end is None for end in ends):
        return numbers.NONE
    low, high = (_end(end, limit) for end in ends)
    return f"{low} – {high}"


def _end(value: float | None, limit: dict[str, Any]) -> str:
    if value is None or math.isinf(value):
        return "open" if value is None else "no end"
    return numbers.quantity(value, metric=limit["metric"], statistic=limit["statistic"])
