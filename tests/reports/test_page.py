"""The page: every section reacts to its data, nothing in a frame becomes part of it, and it needs no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports import sections_first, sections_generator, sections_runs
from reports.markup import VOID
from reports.material import Material
from reports.page import page
from reports.words import judged_text
from tests.reports.conftest import split
from tests.reports.rows import HOSTILE, JWT, MS

Sections = Callable[..., dict[str, str]]
PREVIOUS = {
    "id": "20250914-smoke",
    "outcomes": {"delivery": "fail", "limit: runs completed": "pass"},
    "expectations": {
        "limits": {
            "phase": [
                {"limit": [{"name": "critical flow", "metric": "service_time_ms", "statistic": "p95", "at_most": 900}]}
            ]
        }
    },
}


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("first", {"leak": True}),
        ("phases", {"timeouts": 2}),
        ("since", {"previous": PREVIOUS}),
        ("limits", {"slow": 4.0}),
        ("isolation", {"leak": True}),
        ("violations", {"missing": True}),
        ("funnel", {"timeouts": 2}),
        ("times", {"slow": 1.5}),
        ("waterfalls", {"slow": 1.5}),
        ("failures", {"timeouts": 2}),
        ("connections", {"users": 19}),
        ("reality", {"users": 19}),
        ("generator", {"problems": ["worker w2 spilled 3 batches"]}),
        ("provenance", {"seed": 8}),
    ],
)
def test_a_section_reacts_to_its_data(section: str, options: dict[str, Any], sections: Sections) -> None:
    assert sections(**options)[section] != sections()[section]


def test_figures_of_the_first_screen(sections: Sections) -> None:
    first = sections(timeouts=2)["first"]
    assert "HOLD" in first
    assert "78 of 80" in first
    assert "2 runs never answered" in first
    assert "SHIP" in sections()["first"]


def test_loosened_stands_above_the_verdict(sections: Sections) -> None:
    first = sections(previous=PREVIOUS)["first"]
    assert first.index("LOOSENED") < first.index("SHIP")
    assert "p95 of service_time: 900 → 2\u202f000\u202fms" in first
    assert "LOOSENED" not in sections()["first"]


def test_value_at_risk_is_said_where_a_phase_fails(sections: Sections) -> None:
    assert re.search(r"at risk: </b>\$200K MRR", sections(timeouts=2)["phases"])
    assert "at risk: </b>$200K MRR" not in sections()["phases"]


def test_a_fall_in_the_funnel_is_named(sections: Sections) -> None:
    assert "−1" in sections(timeouts=2)["funnel"]
    assert "−" not in sections()["funnel"]


def test_evidence_of_a_leak(sections: Sections) -> None:
    shown = sections(leak=True)["violations"]
    for said in ("foreign_content", "k3f00004 saw what belongs to k3f00000", "data.result.text", "read plain", "214"):
        assert said in shown
    assert len(re.findall(r'<mark class="theirs">ctlk[a-z2-7]{32}</mark>', shown)) >= 6  # three leaks, both frames


def test_who_saw_whose_is_drawn_where_something_crossed(sections: Sections) -> None:
    said = sections(leak=True)["isolation"]
    assert "k3f00004 saw what belongs to k3f00000: 3 times" in said
    assert "Who saw whose" not in sections()["isolation"]


def test_the_violations_are_counted_in_the_words_of_the_verdict(sections: Sections) -> None:
    said = sections(leak=True, missing=True)["violations"]
    assert "3 isolation violations, 1 delivery violation; 4 in all" in said
    assert "2 kinds" in said


def test_channels_say_what_may_be_claimed(sections: Sections) -> None:
    assert re.search(r"0 in [\d\u202f]+; leak rate &lt; [\d.]+\s% at 95\s%", sections()["isolation"])
    assert "not exercised" in sections(users=0)["isolation"]
    assert all("isolated" not in text for text in sections().values())


def test_not_judged_is_said_in_words(sections: Sections) -> None:
    assert "NOT JUDGED" in sections()["limits"]
    assert "insufficient n" in sections()["limits"]


@pytest.mark.parametrize(
    "section",
    ["funnel", "times", "waterfalls", "over-time", "failures", "connections", "reality", "violations", "isolation"],
)
def test_without_data_a_section_says_so(section: str, sections: Sections) -> None:
    text = sections(users=0)[section]
    assert re.search(r"\b(?:None|No|nothing|not exercised)\b", text)


def test_without_limits_nothing_is_judged(sections: Sections) -> None:
    made = sections(limits={})
    assert "No limits were given" in made["limits"]
    assert "none" not in made["phases"].lower()
    assert "no phase was judged" in made["phases"]


def test_frames_are_escaped(leaking: Path) -> None:
    text = (leaking / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ["verdict.json", "summary.md", "junit.xml", "report.html"])
def test_no_token_is_in_any_report(name: str, leaking: Path) -> None:
    text = (leaking / name).read_text(encoding="utf-8")
    assert JWT not in text
    assert not re.search(r"eyJ[A-Za-z0-9_-]{8,}", text)


def test_the_page_loads_nothing(leaking: Path) -> None:
    text = (leaking / "report.html").read_text(encoding="utf-8")
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"https?://(?!127\.0\.0\.1)", text)
    assert not re.search(r"<(?:script|link|img|iframe|object|embed)\b|@import|url\((?!#)", text)


class Balance(HTMLParser):
    """Notes elements that are not closed in order, and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])] if str(given.get("href", "")).startswith("#") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_well_formed(leaking: Path) -> None:
    """Elements are closed in order, ids are unique although figures stand there in two sizes, links lead somewhere."""
    seen = Balance()
    seen.feed((leaking / "report.html").read_text(encoding="utf-8"))
    assert seen.wrong == seen.open == []
    assert len(seen.ids) == len(set(seen.ids))
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)


def test_figures_follow_the_readers_colours(leaking: Path) -> None:
    """No colour of the palette is left as a number in the figures: the style sheet decides it."""
    drawn = re.findall(r"(?s)<svg.*?</svg>", (leaking / "report.html").read_text(encoding="utf-8"))
    assert len(drawn) == 21  # six figures and four examples of failures, wide and slim; and who saw whose
    assert not re.search(r"#[0-9a-fA-F]{6}", "".join(drawn))


def test_a_section_that_breaks_says_so_and_the_others_stand(
    material: Callable[..., Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Material) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(sections_runs, "funnel", broken)
    problems: list[str] = []
    made = split(page(material(), {}, problems))
    assert problems == ["section 'funnel' of report.html could not be made: ZeroDivisionError: planted"]
    assert "planted" in made["broken-funnel"]
    assert made["limits"]


def test_names_are_escaped_too(material: Callable[..., Material]) -> None:
    made = material()
    phases = [{**one, "name": "<b>", "value": "<i>", "reason": "<u>"} for one in made.verdict["phases"]]
    text = sections_first.phases(Material(made.folder, made.record, {**made.verdict, "phases": phases}, made.tally))
    for tag in ("<b>&", "<i>&", "<u>"):
        assert tag not in text
    assert text.count("&lt;b&gt;") == len(phases)


def test_each_process_has_a_row_of_its_own_health(material: Callable[..., Material]) -> None:
    made = material()
    health = made.table("health")
    rows = re.findall(r"<tr><td>(.*?)</tr>", sections_generator.generator(made, {}))
    assert [row.split("<")[0] for row in rows] == sorted(set(health["worker"].tolist()))
    worst = {name: figures.copy() for name, figures in health.items()}
    last = worst["cpu_percent"].size - 1
    planted = {"cpu_percent": 93.0, "gc_pause_max_ns": 310 * MS, "open_files": 9_999, "wall_step_max_ns": -3000 * MS}
    for name, value in planted.items():
        worst[name][last] = value
    figures = sections_generator._process(worst, str(worst["worker"][last]), {"p50": 0.1, "p99": 84.0, "max": 90.0})
    thick = [str(figure).replace("\u202f", "") for figure in figures]
    assert (thick[2], thick[5], thick[6]) == ("93 %", "0.10ms, 84.0ms, 90.0ms", "310ms")
    assert (thick[8], thick[9]) == ("9999 of 10000", "-3000ms")


def test_the_word_of_timing_says_how_many_times_stand_behind_it(material: Callable[..., Material]) -> None:
    """Times that were not judged are no pass."""
    made = material()
    timing = [one for one in made.verdict["limits"] if one["judgement"] == "timing" and one["required"]]
    limits = [{**one, "verdict": "pass" if n < 2 else "unknown", "counts": n < 2} for n, one in enumerate(timing)]
    verdict = {**made.verdict, "limits": limits}
    said = f"for 2 of {len(timing)}, {len(timing) - 2} NOT JUDGED"
    assert judged_text(verdict, "timing") == said
    assert f"pass {said}" in sections_first.verdict(Material(made.folder, made.record, verdict, made.tally))
    assert judged_text(verdict, "delivery") == ""
    whole = {**made.verdict, "limits": [{**one, "verdict": "pass"} for one in timing]}
    assert judged_text(whole, "timing") == ""
