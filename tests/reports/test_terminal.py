"""The closing summary fits a terminal and says the worst first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from reports.material import Material
from reports.terminal import closing

VARIANTS: list[dict[str, Any]] = [
    {},
    {"leak": True, "missing": True, "timeouts": 4, "hostile": True},
    {"users": 0},
    {"users": 2, "runs_per_user": 2},
    {"slow": 4.0},
    {"limits": {}},
    {"problems": ["a batch of worker w1 was spilled to its disk, and this text goes on and on " * 3]},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("colour", [False, True])
def test_it_fits_24_lines_of_100(options: dict[str, Any], colour: bool, material: Callable[..., Material]) -> None:
    text = closing(material(**options), colour=colour, shown_as="results/latest")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert "results/latest/report.html" in text


def test_colour_only_when_asked(material: Callable[..., Material]) -> None:
    assert "\x1b" not in closing(material(leak=True), colour=False, shown_as="x")
    assert "\x1b[1;31m" in closing(material(leak=True), colour=True, shown_as="x")


def test_it_begins_with_the_word_and_the_sentence(material: Callable[..., Material]) -> None:
    assert closing(material(), colour=False, shown_as="x").startswith("SHIP")
    lines = closing(material(leak=True), colour=False, shown_as="x").splitlines()
    assert lines[0].startswith("HOLD")
    assert "k3f00004 received a prompt reference of k3f00000" in lines[1]


def test_limits_that_failed_stand_before_those_that_were_not_judged(material: Callable[..., Material]) -> None:
    text = closing(material(timeouts=1), colour=False, shown_as="x")
    assert 0 < text.index("FAIL        runs completed") < text.index("NOT JUDGED  ")


def test_no_number_where_there_are_too_few_samples(material: Callable[..., Material]) -> None:
    line = next(one for one in closing(material(), colour=False, shown_as="x").splitlines() if "rare waits" in one)
    assert line.startswith("NOT JUDGED")
    assert "insufficient n = " in line


def test_nothing_is_ever_called_isolated(material: Callable[..., Material]) -> None:
    text = closing(material(), colour=False, shown_as="x")
    assert re.search(r"0 in \d[\d,]*; leak rate < [\d.]+ % at 95 %", text)
    assert "isolated" not in text
