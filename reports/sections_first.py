"""The first screen: SHIP or HOLD, why in one sentence, what each phase is worth, what changed since last time."""

from __future__ import annotations

from typing import Any

from reports import failures, numbers
from reports.markup import STATES, Html, element, escape, join, paragraph, section, state
from reports.material import Material
from reports.words import JUDGEMENTS, judged_text, judgement, pass_rate, reasons, since_lines, word

REASONS_SHOWN = 5


def header(material: Material) -> Html:
    load_test = material.load_test
    target = material.run.get("target") or {}
    said = [
        element("span", element("b", "Crosstalk"), " · ", load_test.get("scenario", "load test")),
        element("span", f"environment {load_test.get('environment', '–')}"),
        element("span", f"arrivals: {load_test.get('arrivals', '–')}"),
        element("span", f"target {target.get('url', '–')}"),
        element("span", numbers.instant(load_test.get("started_ns"))),
    ]
    return element("div", *said, class_="top")


def loosened(material: Material) -> Html:
    lines = since_lines(material.verdict, "loosened")
    if not lines:
        return Html("")
    items = element("ul", *(element("li", numbers.thin(line.removeprefix("LOOSENED "))) for line in lines))
    return element("div", element("b", "LOOSENED since last time"), items, class_="alarm", role="note")


def verdict(material: Material) -> Html:
    meaning = {
        "pass": "every required promise was kept",
        "fail": "a required promise was broken",
        "unknown": "it could not be judged",
    }[material.state]
    code = material.verdict.get("exit_code")
    small = element("small", meaning, element("br"), f"verdict {material.state}, exit code {code}")
    big = element("h1", element("span", word(material.verdict)), small, class_=f"word {material.state}")
    chips = [
        element("li", element("span", name.capitalize(), class_="what"), _chip(material.verdict, name))
        for name in JUDGEMENTS
    ]
    sentence = paragraph(numbers.thin(str(material.verdict.get("sentence", ""))), class_="sentence")
    judged = element("ul", *chips, class_="judgements", aria_label="judgements")
    found = bool(material.table("violations")["violation"].size)
    links = [element("a", "See the evidence", href="#violations")] if found else []
    links += [element("a", "See where it broke", href="#failures")] if failures.listed(material.verdict) else []
    link = paragraph(join(links, " · "), class_="see") if links else Html("")
    return element("div", big, sentence, judged, _reasons(material), link, class_="verdict")


def _chip(verdict: dict[str, Any], name: str) -> Html:
    word_of, behind = judgement(verdict, name), judged_text(verdict, name)
    return state(word_of, f"{STATES[word_of][1]} {behind}") if behind else state(word_of)


def _reasons(material: Material) -> Html:
    """Why it is not a pass, where the sentence has no room for all of it."""
    if material.state == "pass":
        return Html("")
    said = [one for one in reasons(material.verdict) if one not in str(material.verdict.get("sentence", ""))]
    more = [element("li", f"and {len(said) - REASONS_SHOWN} more")] if len(said) > REASONS_SHOWN else []
    items = [element("li", numbers.thin(one)) for one in said[:REASONS_SHOWN]]
    return element("ul", *items, *more, class_="reasons") if items else Html("")


def tiles(material: Material) -> Html:
    """The figures that everyone asks for first."""
    runs = (material.verdict.get("delivery") or {}).get("runs") or {}
    load_test = material.load_test
    connections = material.verdict.get("connections") or {}
    leaks = (material.verdict.get("isolation") or {}).get("violations_confirmed")
    took = int(load_test.get("ended_ns") or 0) - material.started_ns
    unaccounted = (material.verdict.get("measurement") or {}).get("unaccounted_events")
    events = ((material.verdict.get("measurement") or {}).get("events") or {}).get("recorded")
    shown = [
        (numbers.count(load_test.get("users")), "users"),
        (
            f"{numbers.count(connections.get('ready'))} of {numbers.count(connections.get('attempted'))}",
            "connections ready",
        ),
        (f"{numbers.count(runs.get('ok'))} of {numbers.count(runs.get('started'))}", "runs ended well"),
        (numbers.count(events), "events recorded"),
        (numbers.count(leaks), "isolation violations"),
        (numbers.count(unaccounted), "unaccounted events"),
        (numbers.seconds(max(took, 0)), f"ended by {load_test.get('ended_by', '–')}"),
    ]
    return element(
        "div", *(element("div", element("b", figure), element("span", name)) for figure, name in shown), class_="tiles"
    )


def phases(material: Material) -> Html:
    listed = material.verdict.get("phases") or []
    if not listed:
        return section("phases", "Phases", paragraph("No limits were given, so no phase was judged.", class_="lead"))
    items = [_phase(phase, material.verdict) for phase in listed]
    return section("phases", "Phases", element("ol", *items, class_="phases"))


def _phase(phase: dict[str, Any], verdict: dict[str, Any]) -> Html:
    word_of = str(phase.get("verdict", "unknown"))
    passed, judged = pass_rate(phase, verdict)
    width = 100 * passed / judged if judged else 0
    style = word_of if word_of in ("pass", "fail", "unknown") else "unknown"
    risk = str(phase.get("at_risk") or "")
    value, reason = str(phase.get("value") or ""), str(phase.get("reason") or "")
    stake = (
        join([element("b", "at risk: ", class_="state fail" if word_of == "fail" else "state unknown"), risk])
        if risk
        else element("span", f"at stake: {value}" if value else "", class_="muted")
    )
    return element(
        "li",
        element(
            "span",
            str(phase.get("name", "")),
            element("span", f"priority {phase.get('priority', '–')}", class_="priority"),
            class_="name",
        ),
        state(word_of if word_of in STATES else "unknown", word_of),
        element("div", Html(f'<i style="width:{width:.1f}%"></i>'), class_=f"meter {style}", aria_hidden="true"),
        element("span", f"{passed} of {judged} limits" if judged else "nothing judged", class_="rate"),
        element("span", stake, class_="risk"),
        *([element("span", numbers.thin(reason), class_="reason")] if reason else []),
    )


def since(material: Material) -> Html:
    said = material.verdict.get("since") or {}
    previous = said.get("previous")
    if said.get("refused"):
        lead = paragraph(f"Not compared with {said['refused']}.", class_="lead")
        return section("since", "Since last time", lead)
    if not previous:
        return section(
            "since",
            "Since last time",
            paragraph("There is no earlier record of this scenario and target to compare with.", class_="lead"),
        )
    columns = []
    for key, title in (("fixed", "Fixed"), ("still", "Still failing"), ("new", "New")):
        lines = since_lines(material.verdict, key)
        items = element("ul", *(element("li", line) for line in lines)) if lines else paragraph("none", class_="muted")
        columns.append(element("div", element("h3", f"{title}: {len(lines)}" if lines else title), items))
    lead = join(["compared with ", element("code", escape(previous))])
    return section("since", "Since last time", element("div", *columns, class_="since"), lead=lead)
