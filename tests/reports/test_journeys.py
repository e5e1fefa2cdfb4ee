"""Journeys in every report: each family with its steps, what failed in words, what was never tried as that."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from reports import journeys
from reports.build import build
from reports.junit import junit
from reports.material import Material
from reports.summary import summary
from reports.terminal import LINES, closing
from tests.reports.records import make
from tests.reports.rows_journeys import WHY_NOT

Materials = Callable[..., Material]
Sections = Callable[..., dict[str, str]]


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_shows_each_family_with_its_phase_and_steps(sections: Sections) -> None:
    text = sections(journeys="well")["journeys"]
    assert re.findall(r'id="journey-(\w+)"', text) == ["sign_in", "five_events", "messages"]
    said = plain(text)
    assert "sign-in phase auth 20 of 20 journeys" in said
    assert "messages and threads phase journeys 19 of 19 journeys, 1 cut" in said
    assert all(step in said for step in ("login", "oauth", "refresh in mid-run", "history", "paging"))


def test_what_is_well_is_closed_and_what_is_not_is_open(sections: Sections) -> None:
    def opened(text: str) -> dict[str, bool]:
        return {name: " open" in rest for name, rest in re.findall(r'id="journey-(\w+)"([^>]*)>', text)}

    assert opened(sections(journeys="well")["journeys"]) == {"sign_in": False, "five_events": True, "messages": False}
    assert opened(sections(journeys="badly")["journeys"]) == dict.fromkeys(("sign_in", "five_events", "messages"), True)


def test_a_failed_step_is_told_with_both_sides_its_user_and_its_run(material: Materials, sections: Sections) -> None:
    made = material(journeys="badly")
    said = plain(sections(journeys="badly")["journeys"])
    assert "expected HTTP 200 , came HTTP 500 user k3f00003" in said
    [example] = made.verdict["families"][2]["steps"][0]["examples"]
    assert example["run"] and f"python -m reports trace {example['run']}" in said
    assert "<script>" not in sections(journeys="badly")["journeys"]
    assert "came" not in plain(sections(journeys="well")["journeys"]).replace("came to do", "")


def test_a_run_with_a_trace_is_linked_to_it(material: Materials) -> None:
    from reports import sections_journeys, trace

    made = material(journeys="badly")
    links = trace.run_links(made)
    assert links  # the slowest runs, at least
    (account, run), href = next(iter(links.items()))
    family = made.verdict["families"][2]
    step = family["steps"][0] | {"examples": [family["steps"][0]["examples"][0] | {"account": account, "run": run}]}
    changed = {**made.verdict, "families": [family | {"steps": [step]}]}
    shown = sections_journeys.told(Material(made.folder, made.record, changed, made.tally))
    assert f'<a href="{href}">{run}</a>' in shown
    assert href.partition("#")[2] in trace.trace(made)


def test_what_the_target_has_not_is_named_with_why(sections: Sections) -> None:
    text = plain(sections(journeys="well")["journeys"])
    assert f"Not offered by the target envelope wrapped : {WHY_NOT}" in text


def test_there_is_no_section_where_nobody_makes_a_journey(sections: Sections) -> None:
    assert "journeys" not in sections()


def test_failed_steps_stand_under_where_it_broke(sections: Sections) -> None:
    text = plain(sections(journeys="badly")["failures"])
    assert "sign-in, oauth: expected HTTP 200, came HTTP 500" in text
    assert "The handler of this step failed" in text


def test_all_reports_are_made_of_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "20250915-journeys", journeys="badly")
    assert build(folder) == []


# --- the terminal ---------------------------------------------------------------------------------------------------


def test_the_terminal_has_a_line_a_family_and_its_failed_steps_beneath(material: Materials) -> None:
    lines = closing(material(journeys="badly"), colour=False, shown_as="results/latest").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("FAIL        sign-in "))
    assert "18 of 20 journeys" in lines[at]
    assert lines[at + 1].strip() == "oauth failed 2 of 20 times: expected HTTP 200, came HTTP 500"
    assert lines[at + 2].startswith("unknown     five events") and "offers nothing" in lines[at + 2]
    assert lines[at + 3].startswith("FAIL        messages and threads")
    assert lines[-1] == "report      results/latest/report.html"
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    "options", [{}, {"leak": True, "missing": True, "timeouts": 4, "hostile": True}, {"slow": 4.0}]
)
def test_the_table_costs_no_other_line(options: dict[str, object], material: Materials) -> None:
    with_it = closing(material(journeys="well", **options), colour=False, shown_as="x").splitlines()
    assert len(with_it) <= LINES + 4  # three families and an empty line
    without = closing(material(**options), colour=False, shown_as="x").splitlines()
    keys = {line.split(" ")[0] for line in without if line}
    assert keys <= {line.split(" ")[0] for line in with_it if line}


# --- summary.md and JUnit -------------------------------------------------------------------------------------------


def test_the_summary_names_families_and_every_failed_step(material: Materials) -> None:
    text = summary(material(journeys="badly"), [])
    assert "| ❌ fail | sign-in | auth | 18 of 20 journeys |" in text
    assert "- **sign-in**: oauth failed 2 of 20 times: expected HTTP 200, came HTTP 500" in text
    assert f"five events: not offered by the target: envelope wrapped ({WHY_NOT})" in text
    assert "### Journeys" not in summary(material(), [])


def cases(made: Material, family: str) -> dict[str, tuple[str, str]]:
    """Step → (outcome, what is said)."""
    [suite] = [one for one in ET.fromstring(junit(made)) if one.attrib["name"] == f"journeys of {family}"]
    return {
        case.attrib["name"]: (case[0].tag, case[0].attrib["message"]) if len(case) else ("passed", "") for case in suite
    }


def test_junit_has_a_case_a_step(material: Materials) -> None:
    found = cases(material(journeys="badly"), "sign_in")
    assert found["oauth"] == ("failure", "oauth failed 2 of 20 times: expected HTTP 200, came HTTP 500")
    assert found["login"] == found["refresh in mid-run"] == ("passed", "")
    assert cases(material(journeys="well"), "five_events") == {
        "envelope wrapped": ("skipped", f"not offered: {WHY_NOT}")
    }


def test_junit_explains_a_failed_step_by_its_own_group(material: Materials) -> None:
    text = junit(material(journeys="badly"))
    [body] = re.findall(r'(?s)name="oauth".*?<failure[^>]*>(.*?)</failure>', text)
    assert "journey: sign-in, oauth" in body and "history" not in body


def test_steps_that_were_only_cut_are_skipped_and_families_without_any_an_error(material: Materials) -> None:
    made = material(journeys="well")
    step = made.verdict["families"][0]["steps"][0] | {"ok": 0, "failed": 0, "cut": 3, "examples": []}
    empty = {"family": "newcomer", "title": "newcomer", "verdict": "unknown", "reason": "no step was completed",
             "journeys": {"ok": 0, "failed": 0, "cut": 0, "p50_ms": None, "max_ms": None}, "steps": []}  # fmt: skip
    changed = {**made.verdict, "families": [made.verdict["families"][0] | {"steps": [step]}, empty]}
    other = Material(made.folder, made.record, changed, made.tally)
    assert cases(other, "sign_in") == {"login": ("skipped", "cut each time, 3 in all")}
    assert cases(other, "newcomer")["a step"][0] == "error"
    assert [journeys.step_state(one) for one in (step, step | {"ok": 1}, step | {"cut": 0, "not_offered": 1})] == [
        "not reached", "pass", "not exercised",
    ]  # fmt: skip
