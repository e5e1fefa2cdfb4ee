"""Checks and suites by name: passed only where all that they ask for was tried and held."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosstalk.checks.channels import CHANNELS
from crosstalk.checks.limits import parse_limits
from reports.__main__ import main
from reports.material import Material
from reports.suites import (
    FAILED,
    NOT_JUDGED,
    PASSED,
    Named,
    Result,
    SuitesError,
    load,
    page,
    previous_of,
    results,
    table,
)
from tests.reports.records import make

Materials = Callable[..., Material]
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "suites.md"


def asked(made: Material, *asks: str) -> Result:
    [found] = results([Named("x", "check", asks, "y")], made)
    return found


@pytest.mark.parametrize(
    ("ask", "journeys", "state", "why"),
    [
        ("step sign_in/login", "well", PASSED, ""),
        ("step sign_in/*", "well", PASSED, ""),
        ("step sign_in/oauth", "badly", FAILED, "oauth: expected HTTP 200, came HTTP 500"),
        ("step sign_in/*", "badly", FAILED, "oauth: expected HTTP 200, came HTTP 500"),
        ("step recovery/*", "well", NOT_JUDGED, "recovery/*: nobody came so far"),
        ("step five_events/*", "well", NOT_JUDGED, "envelope wrapped: not offered"),
        ("limit signing in", "well", PASSED, ""),
        ("limit signing in", "badly", FAILED, "signing in: 56 of 58"),
        ("limit rare waits", "well", NOT_JUDGED, "rare waits: insufficient n"),
        ("limit no such", "well", NOT_JUDGED, "there is no limit 'no such'"),
        ("channel 2", "well", PASSED, ""),
        ("channel 14", "well", NOT_JUDGED, "channel 14: not exercised"),
        ("no missing", "well", PASSED, ""),
    ],
)
def test_what_a_name_asks_for(ask: str, journeys: str, state: str, why: str, material: Materials) -> None:
    found = asked(material(journeys=journeys), ask)
    assert found.state == state
    assert found.why.startswith(why) and bool(found.why) == bool(why)


def test_a_violation_and_a_leak_fail_what_asks_for_them(material: Materials) -> None:
    bad = material(leak=True, missing=True)
    assert asked(bad, "no missing").state == FAILED
    assert asked(bad, "channel 2").state == FAILED
    assert asked(bad, "no late").state == PASSED
    assert asked(material(users=0), "no late").state == NOT_JUDGED


def test_the_worst_decides_and_what_had_no_opportunity_is_never_passed(material: Materials) -> None:
    made = material(journeys="badly")
    assert asked(made, "step sign_in/login", "step recovery/*").state == NOT_JUDGED
    assert asked(made, "step sign_in/oauth", "step recovery/*").state == FAILED
    assert asked(made, "step sign_in/login", "channel 2").state == PASSED


def test_a_step_that_was_cut_each_time_is_not_judged(material: Materials) -> None:
    made = material(journeys="well")
    family = made.verdict["families"][0]
    steps = [family["steps"][0] | {"ok": 0, "failed": 0, "cut": 2}, *family["steps"][1:]]
    other = Material(made.folder, made.record, {**made.verdict, "families": [family | {"steps": steps}]}, made.tally)
    found = asked(other, "step sign_in/*")
    assert (found.state, found.why) == (NOT_JUDGED, "login: cut each time")


def test_how_long_a_name_took(material: Materials) -> None:
    made = material(journeys="well")
    steps = made.verdict["families"][0]["steps"]
    assert asked(made, "step sign_in/*", "step sign_in/login").took_ms == pytest.approx(sum(s["p50_ms"] for s in steps))
    middle = asked(made, "channel 2").took_ms
    assert middle is not None and 300 < middle < 1500
    assert asked(material(users=0), "channel 2").took_ms is None
    assert asked(made, "channel 2", "step recovery/*").took_ms is None  # nobody came so far


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_table_has_a_line_a_name_with_what_it_was_last_time() -> None:
    now = [Result("a", "check", PASSED, 12.3, ""), Result("b", "check", FAILED, None, "x" * 200),
           Result("a", "suite", NOT_JUDGED, 1234.0, "nobody came so far")]  # fmt: skip
    before = [Result("a", "check", FAILED, 1.0, "y"), Result("b", "suite", PASSED, 1.0, "")]
    lines = table(now, before).splitlines()
    assert re.fullmatch(r"a +passed +12\.3 ms   FAILED", lines[1])
    assert re.fullmatch(r"b +FAILED +–   –", lines[2])
    assert re.fullmatch(r"a +not judged +1,234 ms   –", lines[6])
    assert lines[-1] == "3 names: 1 passed, 1 FAILED, 1 not judged"
    assert max(map(len, lines)) <= 100


def test_the_command_prints_it_and_ends_with_the_verdicts_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = make(tmp_path / "20250915-002625-smoke", journeys="well")
    bad = make(tmp_path / "20250916-002625-smoke", journeys="badly", previous={"id": good.name, "outcomes": {}})
    assert main(["suites", str(good)]) == 0
    first = capsys.readouterr().out
    assert re.search(r"(?m)^thread history +not judged", first)
    assert main(["suites", str(bad)]) == 1
    out = capsys.readouterr().out
    assert re.search(r"(?m)^authentication +FAILED .* (not judged|passed)$", out)
    assert "oauth: expected HTTP 200, came HTTP 500" in out
    assert main(["suites", str(good), "--previous", str(bad)]) == 0
    assert re.search(r"(?m)^authentication +\S.* FAILED$", capsys.readouterr().out)


def test_last_time_is_what_it_was_compared_with_while_it_is_there(tmp_path: Path, material: Materials) -> None:
    made = material()
    other = Material(tmp_path / "now", made.record, {**made.verdict, "since": {"previous": "before"}}, made.tally)
    assert previous_of(made) is None and previous_of(other) is None
    make(tmp_path / "before", users=1)
    assert previous_of(other) == tmp_path / "before"


# --- the file and the page ------------------------------------------------------------------------------------------


def test_all_names_of_the_platform_are_there() -> None:
    named = load()
    assert (sum(one.kind == "check" for one in named), sum(one.kind == "suite" for one in named)) == (25, 10)


def test_what_is_asked_for_exists() -> None:
    text = (ROOT / "scenarios/limits/local.toml").read_text(encoding="utf-8")
    limits = {one.name for one in parse_limits(text, source="local.toml").limits}
    for one in load():
        for ask in one.asks:
            word, _, what = ask.partition(" ")
            assert word != "limit" or what in limits, ask
            assert word != "channel" or int(what) in CHANNELS, ask


@pytest.mark.parametrize(
    "text",
    [
        '[[check]]\nname = "a"\nasks = ["steps x"]\nstricter = "b"',
        '[[check]]\nname = "a"\nasks = ["step nobody/x"]\nstricter = "b"',
        '[[check]]\nname = "a"\nasks = ["channel x"]\nstricter = "b"',
        '[[check]]\nname = "a"\nasks = ["limit"]\nstricter = "b"',
        '[[check]]\nname = "a"\nasks = []\nstricter = "b"',
        '[[check]]\nname = "a"\nasks = ["channel 1"]',
        '[[check]]\nname = "a"\nasks = ["channel 1"]\nstricter = "b"\n' * 2,
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "suites.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SuitesError, match=r"suites\.toml"):
        load(file)


def test_the_page_is_made_from_the_file() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(load()) in text, "docs/suites.md: its tables are made by reports.suites.page"
    named: list[Any] = re.findall(r"(?m)^\| ([a-z -]+) \| (?:step|limit|channel|no) ", text)
    assert len(named) == 35
