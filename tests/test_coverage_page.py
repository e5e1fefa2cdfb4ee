"""The page of coverage says what the tests do: each row's fault, limit, step and user exist; its test has the fault."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from crosstalk.backend.catalogue import NAMES
from crosstalk.checks.families import FAMILIES
from crosstalk.checks.metrics import metric_of
from tests.coverage_page import PAGE, PROMISES, ROOT, counted, counts, covered, limits, modules, page, steps_of
from tests.end_to_end.test_promises import BROKEN_BY

ROWS = covered()
KEYS = {"family", "what", "step", "user", "limit", "fault", "test"}


def cast() -> dict[str, str]:
    """User class → the family of its journeys."""
    found = {}
    for file in (ROOT / "users").glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                assigned = [one for one in node.body if isinstance(one, ast.Assign)]
                constants = {ast.unparse(one.targets[0]): one.value for one in assigned}
                said = [
                    one.value for name, one in constants.items() if name == "family" and isinstance(one, ast.Constant)
                ]
                found[node.name] = str(said[0]) if said else ""
    return found


def test_the_page_is_made_from_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.coverage_page > docs/coverage.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['family']}: {row['what']}, {row['fault'] or 'no fault'}")
def test_a_row_names_what_there_is(row: dict[str, str]) -> None:
    assert row.keys() == KEYS
    assert row["family"] in FAMILIES and row["what"]
    assert not row["fault"] or row["fault"] in NAMES
    assert not row["limit"] or metric_of(row["limit"]) is not None
    assert cast()[row["user"]] == row["family"]
    tried = {step for of in counts().values() for step in of["steps"]}
    assert set(steps_of(row)) <= tried, "nobody took this step in any load test that was counted"


@pytest.mark.parametrize("path", modules())
def test_the_test_of_a_family_commits_the_faults_that_it_covers(path: str) -> None:
    """Beside the list of what it covers: each fault is asked for by name there, or taken from the list itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    rest = [node for node in tree.body if "COVERED" not in {ast.unparse(t) for t in _targets(node)}]
    text = "\n".join(ast.unparse(node) for node in rest)
    for row in ROWS:
        if row["test"] == path and row["fault"]:
            assert re.search(rf"\b{row['fault']}\b", text) or re.search(r"\bCOVERED\b", text), row


def _targets(node: ast.stmt) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []


def test_every_family_is_covered() -> None:
    assert {row["family"] for row in ROWS} == {family for family in cast().values() if family}


def test_every_promise_is_in_the_page_and_can_be_broken() -> None:
    of_families = {name for name, one in limits().items() if re.match(r"(steps|journeys)_ok\[", one.metric)}
    required = {name for name, one in limits().items() if one.required}
    named = {one.limit for one in PROMISES}
    assert required == named | of_families
    for one in PROMISES:
        assert bool(one.fault) != bool(one.shown_by), one
        assert not one.fault or one.fault in NAMES
        if one.shown_by:
            path, _, test = one.shown_by.partition("::")
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), one
    assert set(BROKEN_BY) <= named


@pytest.mark.parametrize("scenario", ["smoke", "golden_path"])
def test_what_was_counted_has_every_promise(scenario: str) -> None:
    for one in PROMISES:
        assert counts()[scenario]["limits"].get(one.limit, 0) > 0, one


def test_counts_are_read_from_a_verdict(tmp_path: Path) -> None:
    step = {"ok": 3, "failed": 1, "cut": 2}
    verdict = {
        "load_test": {"scenario": "smoke"},
        "families": [
            {
                "family": "sign_in",
                "journeys": {"ok": 2, "failed": 1, "cut": 4},
                "steps": [{"step": "login", **step}, {"step": "x", "ok": 0, "failed": 0}],
            }
        ],
        "limits": [{"name": "connect", "n": 7}, {"name": "hand-offs", "n": 0}],
    }
    (tmp_path / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    assert counted([tmp_path]) == {"smoke": {"steps": {"sign_in/": 3, "sign_in/login": 4}, "limits": {"connect": 7}}}
