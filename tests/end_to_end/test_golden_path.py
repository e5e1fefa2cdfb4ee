"""The golden path and the suites: everybody is in it, one family can be chosen alone, and names are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crosstalk.checks.exercisable import BY_ANY_RUN
from tests.end_to_end.locust_process import ROOT, Ended, run
from tests.test_coverage_page import cast

QUICK = ("--users", "12", "--spawn-rate", "12", "--run-time", "18s", "--think-time", "0.3")
FAMILIES = {family for family in cast().values() if family}  # of whom there is somebody


def played(scenario: str) -> list[str]:
    """Families whose users a scenario imports."""
    text = (ROOT / "scenarios" / f"{scenario}.py").read_text(encoding="utf-8")
    return [cast()[name] for name in re.findall(r"^from users\.\w+ import (\w+)", text, re.M) if cast()[name]]


def test_the_golden_path_has_every_family_and_one_user_class_each() -> None:
    assert sorted(played("golden_path")) == sorted(FAMILIES)


def test_the_suites_have_every_family_but_the_one_that_takes_hours() -> None:
    assert sorted(played("suites")) == sorted(FAMILIES - {"soak"})


def test_everybody_at_once_on_a_right_backend_fails_no_step(tmp_path: Path) -> None:
    """All families beside each other, for long enough that each makes a journey. Times are not judged here."""
    ended = run(tmp_path, "--users", "28", "--spawn-rate", "14", "--run-time", "35s", scenario="golden_path")
    families = {one["family"]: one for one in ended.verdict["families"]}
    assert [one["family"] for one in families.values() if one["verdict"] != "pass"] == []
    assert set(families) == FAMILIES
    assert (ended.verdict["delivery"]["own_verdict"], ended.verdict["isolation"]["verdict"]) == ("pass", "pass")
    assert ended.verdict["delivery"]["runs"]["started"] > 100


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return run(tmp_path_factory.mktemp("chosen"), *QUICK, "--tags", "orchestration", scenario="suites")


def test_one_family_alone_ends_in_a_pass(chosen: Ended) -> None:
    assert chosen.exit_code == 0, chosen.verdict["sentence"]
    assert [family["family"] for family in chosen.verdict["families"]] == ["orchestration"]
    assert chosen.verdict["families"][0]["verdict"] == "pass"
    assert {row["user_class"] for row in chosen.rows("runs")} == {"Conductor"}
    assert chosen.run["load_test"]["tags"] == ["orchestration"]


def test_a_choice_requires_the_channels_that_any_run_exercises(chosen: Ended) -> None:
    channels = chosen.verdict["isolation"]["channels"]
    assert {one["channel"] for one in channels if one["required"]} == BY_ANY_RUN
    assert chosen.verdict["isolation"]["verdict"] == "pass"


def test_the_suites_print_names_and_pass_none_that_had_no_opportunity(chosen: Ended) -> None:
    lines = dict(re.findall(r"(?m)^(\w[\w -]+?) +(passed|FAILED|not judged) ", chosen.output))
    assert len(lines) == 35
    assert lines["agent discovery"] == lines["rate limiting"] == lines["failure recovery"] == "not judged"
    assert lines["user-context isolation"] == "passed"


def test_a_tag_that_nobody_has_is_a_mistake(tmp_path: Path) -> None:
    ended = run(tmp_path, *QUICK, "--tags", "signin", scenario="golden_path")
    assert ended.exit_code == 2
    assert "--tags signin: no task of this scenario has that tag; there are: " in ended.output
    assert all(name in ended.output for name in played("golden_path"))
