"""`junit.xml` is what pipelines accept, and no state but a pass looks like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from reports.junit import junit
from reports.material import Material

#: attributes that the Jenkins schema (jenkins-junit.xsd) knows, and the children an element may have
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
    "testsuite": {
        "name",
        "tests",
        "failures",
        "errors",
        "time",
        "disabled",
        "skipped",
        "timestamp",
        "hostname",
        "id",
        "package",
    },
    "testcase": {"name", "assertions", "time", "classname", "status"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
}
CHILDREN = {"testsuites": {"testsuite"}, "testsuite": {"testcase"}, "testcase": {"failure", "error", "skipped"}}


def parsed(made: Material) -> ET.Element:
    return ET.fromstring(junit(made))


def cases(made: Material) -> dict[str, str]:
    """Name of each case → passed, failure, error or skipped."""
    return {str(case.get("name")): (case[0].tag if len(case) else "passed") for case in parsed(made).iter("testcase")}


@pytest.mark.parametrize(
    "options", [{}, {"leak": True, "missing": True, "hostile": True}, {"users": 0}, {"limits": {}}]
)
def test_it_is_ordinary_junit(options: dict[str, Any], material: Callable[..., Material]) -> None:
    root = parsed(material(**options))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for suite in root:
        kinds = [case[0].tag if len(case) else "" for case in suite]
        assert int(suite.attrib["tests"]) == len(suite) > 0
        assert [int(suite.attrib[name]) for name in ("failures", "errors", "skipped")] == [
            kinds.count(kind) for kind in ("failure", "error", "skipped")
        ]


def test_a_suite_a_phase_and_two_more(material: Callable[..., Material]) -> None:
    assert [suite.get("name") for suite in parsed(material())] == [
        "auth",
        "agents",
        "journeys",
        "delivery",
        "isolation",
    ]


def test_states_of_limits(material: Callable[..., Material]) -> None:
    good, bad = cases(material()), cases(material(slow=4.0, timeouts=1))
    assert good["critical flow"] == "passed"
    assert bad["critical flow"] == "failure"
    assert good["rare waits"] == "skipped"  # 71 samples of 299: NOT JUDGED
    assert good["first sign of life"] == "skipped"  # shown only
    assert bad["runs completed"] == "failure"


def test_an_unknown_that_counts_is_an_error(material: Callable[..., Material]) -> None:
    found = cases(material(users=0))
    assert found["runs completed"] == "error"
    assert found["at least one run"] == "error"
    assert "passed" not in {found[name] for name in found if name.startswith("channel ")}


def test_violations_fail_under_their_name(material: Callable[..., Material]) -> None:
    assert cases(material())["no event is missing"] == "passed"
    found = cases(material(leak=True, missing=True))
    assert found["no event is missing"] == "failure"
    assert [name for name in found if name.startswith("channel 2:") and found[name] == "failure"]


def test_signs_that_xml_forbids_are_replaced(material: Callable[..., Material]) -> None:
    made = material()
    limits = [{**one, "reason": "\x00\x1b[31m <&> \ud800"} for one in made.verdict["limits"]]
    strange = Material(made.folder, made.record, {**made.verdict, "limits": limits}, made.tally)
    assert "\ufffd" in ET.tostring(parsed(strange), encoding="unicode")
