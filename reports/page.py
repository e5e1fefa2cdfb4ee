"""`report.html`: one file that opens offline, on a telephone too, and says the same in grey."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reports import (
    failures,
    numbers,
    sections_failures,
    sections_first,
    sections_generator,
    sections_isolation,
    sections_journeys,
    sections_limits,
    sections_proof,
    sections_runs,
    sections_soak,
    sections_times,
    trace,
)
from reports.markup import Html, element, escape, join, paragraph, section
from reports.material import Material
from reports.words import judgement, word

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
#: what lies beside the page, where there is something to trace `trace.html` too
BESIDE = ("verdict.json", "summary.md", "junit.xml", "plots/", "record/")


def page(material: Material, drawn: dict[str, Html], problems: list[str]) -> str:
    """The whole page. A section that cannot be made says so in its place and is added to `problems`."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    title = f"{word(material.verdict)} · {material.load_test.get('scenario', 'load test')} · Crosstalk"
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            # Nothing on this page may load or run anything, whatever a recorded frame contains.
            element("meta", http_equiv="Content-Security-Policy", content=POLICY),
            element("title", title),
            element("style", Html(style)),
        ],
        "\n",
    )
    parts = [_guarded(name, make, problems) for name, make in _sections(material, drawn)]
    footer = _guarded("footer", lambda: _footer(material), problems)
    body = [Html(f'<div class="bar {material.state}"></div>'), element("main", *parts), footer]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{join(body, chr(10))}\n</body>\n</html>\n'
    )


def _sections(material: Material, drawn: dict[str, Html]) -> list[tuple[str, Callable[[], Html]]]:
    """In reading order. What went wrong stands right behind the first screen: leaks, then where it broke, then other
    violations."""
    found = bool(material.table("violations")["violation"].size)
    violations = ("violations", lambda: sections_isolation.violations(material))
    broke = ("failures", lambda: sections_failures.where_it_broke(material, drawn))
    leaking = judgement(material.verdict, "isolation") == "fail"
    wrong = [violations, broke] if leaking else [broke, violations]
    first = [one for one in wrong if found or one is not violations] if failures.listed(material.verdict) else []
    last = [one for one in (violations, broke) if one not in first]
    listed: list[tuple[str, Callable[[], Html]]] = [
        ("header", lambda: sections_first.header(material)),
        ("loosened", lambda: sections_first.loosened(material)),
        ("verdict", lambda: sections_first.verdict(material)),
        ("tiles", lambda: sections_first.tiles(material)),
        ("phases", lambda: sections_first.phases(material)),
        ("since", lambda: sections_first.since(material)),
        *first,
        ("journeys", lambda: sections_journeys.told(material)),
        ("limits", lambda: sections_limits.limits(material)),
        ("isolation", lambda: sections_isolation.channels(material)),
        *last,
        ("funnel", lambda: sections_runs.funnel(material)),
        ("times", lambda: sections_times.times(material, drawn)),
        ("waterfalls", lambda: sections_runs.waterfalls(material, drawn)),
        ("over time", lambda: sections_runs.over_time(material, drawn)),
        *([("slopes", lambda: sections_soak.slopes(material))] if sections_soak.is_told(material) else []),
        ("connections", lambda: sections_proof.connections(material)),
        ("reality", lambda: sections_proof.reality(material)),
        ("generator", lambda: sections_generator.generator(material, drawn)),
        ("provenance", lambda: sections_proof.provenance(material)),
    ]
    return listed


def _guarded(name: str, make: Callable[[], Html], problems: list[str]) -> Html:
    try:
        return make()
    except Exception as error:  # one section must not cost the others
        problem = f"section {name!r} of report.html could not be made: {type(error).__name__}: {error}"
        problems.append(problem)
        return section(f"broken-{name.replace(' ', '-')}", name.capitalize(), paragraph(problem, class_="lead"))


def _footer(material: Material) -> Html:
    beside = (trace.NAME, *BESIDE) if trace.chosen(material) else BESIDE
    links = join([element("a", name, href=name) for name in beside], " · ")
    name = escape(material.folder.name)
    again = element("code", f"python -m reports html results/{name}")
    made = numbers.instant(material.load_test.get("ended_ns"))
    return element(
        "footer",
        paragraph("Beside this page: ", links),
        paragraph("Made from the record alone, the same bytes each time: ", again, f". The load test ended at {made}."),
    )
