"""What the page and the summary say of hours: renewals, what grows with its interval, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reports import sections_soak
from reports.material import Material
from reports.page import page
from reports.summary import summary


def entry(metric: str, unit: str, value: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "unit": unit, "value": value, "ci": [low, high], "n": 600, "blocks": 60, "worth": 40.0,
            "level": 800.0, "reason": "", "percent_per_h": None, **more}  # fmt: skip


TOLD: dict[str, Any] = {
    "times": [
        entry("slope_ms_per_h[service_time_ms]", "ms/h", 90.0, 40.0, 140.0, percent_per_h=11.25),
        entry("slope_ms_per_h[accept_time_ms]", "ms/h", 1.0, -2.0, 4.0, percent_per_h=0.1),
        {**entry("slope_ms_per_100_connections[accept_time_ms]", "ms/100 connections", 0, 0, 0), "value": None,
         "ci": None, "reason": "3 connections were made meanwhile: too few to tell"},
    ],
    "memory": [
        entry("slope_mib_per_h[harness_heap]", "MiB/h", 0.4, -0.3, 1.1, worker="w0", what="the harness's own heap"),
        entry("slope_mib_per_h[target_memory]", "MiB/h", 30, 20, 40, worker="master", what="the target's memory"),
    ],
    "refreshes": {"made": 300, "refused": 0, "runs_at_stake": 580, "runs_lost": 2},
}  # fmt: skip


@pytest.fixture
def soaked(material: Callable[..., Material]) -> Material:
    made = material()
    return replace(made, verdict={**made.verdict, "slopes": TOLD})


def test_the_page_tells_growth_with_its_interval(soaked: Material) -> None:
    problems: list[str] = []
    text = page(soaked, {}, problems)
    assert problems == []
    told = text[text.index('<section id="slopes"') :].partition("</section>")[0]
    assert "300 renewals of tokens, 0 refused; 2 of 580 runs at stake lost to one." in told
    assert "90 ms/h (11.2 %/h)" in told and "40 to 140" in told
    assert [told.count(f"<td>{word}</td>") for word in ("yes", "not known to")] == [2, 2]
    assert "3 connections were made meanwhile: too few to tell" in told


def test_the_summary_names_what_is_known_to_grow(soaked: Material) -> None:
    text = summary(soaked, [])
    assert "Growing: service time 90 ms/h (11.2 %/h) (40 to 140); the target's memory 30 MiB/h (20 to 40)." in text
    assert "The harness's own heap (w0): 0.4 MiB/h, -0.3 to 1.1." in text


def test_nothing_is_said_of_a_short_load_test_without_renewals(material: Callable[..., Material]) -> None:
    assert not sections_soak.is_told(material())
    problems: list[str] = []
    assert 'id="slopes"' not in page(material(), {}, problems)


def test_a_check_that_crashed_says_so(soaked: Material) -> None:
    broken = replace(soaked, verdict={**soaked.verdict, "slopes": {"problem": "it crashed"}})
    assert "it crashed" in sections_soak.slopes(broken)
    assert "it crashed" in sections_soak.sentence(broken)
