"""The search for the largest load, on machines that hold what they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.tools.calibrate_search import largest


@given(st.integers(7, 6000))
def test_it_finds_what_a_machine_holds_and_never_says_more(capacity: int) -> None:
    tried: list[int] = []

    def holds(users: int) -> bool:
        tried.append(users)
        return users <= capacity

    found = largest(holds, first=100, most=6400)
    assert found <= capacity < found * 1.4
    assert len(tried) < 14


def test_a_machine_that_holds_everything_is_only_said_to_hold_what_was_tried() -> None:
    assert largest(lambda _: True, first=100, most=1000) == 800


def test_no_load_is_tried_again_for_nothing() -> None:
    tried: list[int] = []

    def holds(users: int) -> bool:
        tried.append(users)
        return users <= 6

    assert largest(holds, first=100, most=6400) == 6
    assert len(tried) == len(set(tried)) + 1  # the first failure


def test_a_machine_that_holds_nothing_holds_nothing() -> None:
    assert largest(lambda _: False, first=100, most=1000) == 0


@pytest.mark.parametrize("unlucky", [100, 200, 800])
def test_one_failure_by_chance_does_not_end_it(unlucky: int) -> None:
    tried: list[int] = []

    def holds(users: int) -> bool:
        tried.append(users)
        return users <= 1000 and not (users == unlucky and tried.count(users) == 1)

    assert 850 <= largest(holds, first=100, most=6400) <= 1000
