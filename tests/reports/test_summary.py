"""`summary.md`: the verdict, what failed or was not judged, and Markdown that cannot be broken from within."""

from __future__ import annotations

from collections.abc import Callable

from reports.material import Material
from reports.summary import summary
from tests.reports.test_page import PREVIOUS


def test_a_pass_names_what_was_not_judged(material: Callable[..., Material]) -> None:
    text = summary(material(), [])
    assert text.startswith("# ✅ SHIP · smoke")
    assert "NOT JUDGED | rare waits" in text
    assert "critical flow |" not in text  # it passed
    assert "leak rate &lt; " in text or "leak rate < " in text


def test_a_leak_is_in_the_table_of_violations(material: Callable[..., Material]) -> None:
    text = summary(material(leak=True), [])
    assert text.startswith("# ❌ HOLD")
    assert "| foreign\\_content | 2 | k3f00004 | k3f00000 |" in text


def test_loosened_and_since(material: Callable[..., Material]) -> None:
    text = summary(material(previous=PREVIOUS), [])
    assert text.index("LOOSENED") < text.index("| Priority |")
    assert "Since `20250914-smoke`: fixed: delivery" in text


def test_problems_of_the_reports_are_named(material: Callable[..., Material]) -> None:
    assert "- plots/times.png could not be made" in summary(material(), ["plots/times.png could not be made"])


def test_cells_cannot_break_out(material: Callable[..., Material]) -> None:
    made = material(timeouts=1)
    limits = [{**one, "name": "a | b\n# c <img src=x> `d` [e](f)"} for one in made.verdict["limits"]]
    text = summary(Material(made.folder, made.record, {**made.verdict, "limits": limits}, made.tally), [])
    assert "a \\| b # c &lt;img src=x&gt; \\`d\\` \\[e\\](f)" in text
    assert "<img" not in text
