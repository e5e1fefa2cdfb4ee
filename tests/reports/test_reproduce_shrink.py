"""Delta debugging: finds what a planted leak needs, also where it shows only some of the time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.reproduce_shrink import ROUNDS_MAX, Count, Rule, Shrink, counted, ddmin, leaks_enough, rounds_for
from reports.reproduce_story import Step, Story, User

SIZES = st.integers(1, 40)


@given(size=SIZES, data=st.data())
def test_ddmin_finds_the_planted_set(size: int, data: st.DataObject) -> None:
    """The leak needs all of a planted set: nothing of it may go, and all else must."""
    units = list(range(size))
    planted = data.draw(st.sets(st.sampled_from(units), min_size=1))
    asked: list[list[int]] = []

    def holds(some: list[int]) -> bool:
        asked.append(some)
        return planted <= set(some)

    assert ddmin(units, holds) == sorted(planted)
    assert len(asked) <= size * size + 3 * size  # the bound of the paper


@given(size=st.integers(2, 12), data=st.data())
def test_ddmin_is_minimal_for_any_predicate(size: int, data: st.DataObject) -> None:
    """Whatever holds: the whole did, the result does, and no single unit can be left out of it."""
    units = list(range(size))
    table = data.draw(st.dictionaries(st.frozensets(st.sampled_from(units), min_size=1), st.booleans()))

    def holds(some: list[int]) -> bool:
        return len(some) == size or table.get(frozenset(some), False)

    found = ddmin(units, holds)
    assert holds(found)
    assert found == sorted(found)
    if len(found) > 1:
        assert not any(holds([unit for unit in found if unit != left_out]) for left_out in found)


@given(rate=st.integers(1, 10), tries=st.integers(1, 30))
def test_the_rule_asks_for_no_more_than_the_whole_showed(rate: int, tries: int) -> None:
    rule = Rule.after(Count(rate, 10), tries)
    assert 1 <= rule.needed <= tries
    assert rule.decide(Count(rule.needed, rule.needed)) is True
    assert rule.decide(Count(0, tries)) is False


@given(outcomes=st.lists(st.booleans(), min_size=10, max_size=10), rate=st.integers(1, 10))
def test_a_decision_uses_no_more_starts_than_are_allowed(outcomes: list[bool], rate: int) -> None:
    rule = Rule.after(Count(rate, 10), 10)
    left = iter(outcomes)
    enough, count = leaks_enough(lambda: next(left), rule)
    assert count.starts <= 10
    assert enough == (count.leaks >= rule.needed)


def story(accounts: int, turns: int) -> Story:
    users = tuple(
        User(f"a{user:05}", tuple(Step(turn * 10, "say", 1, turn, "x") for turn in range(turns)))
        for user in range(accounts)
    )
    return Story(users, users[0].account, users[-1].account, 1_000, 5_000)


def shrink(leaked: Callable[[Story], bool], rule: Rule, may_go_on: Callable[[], bool] = lambda: True) -> Shrink:
    return Shrink(lambda s: leaks_enough(lambda: leaked(s), rule)[0], may_go_on, lambda _: None)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.sampled_from([1.0, 0.95]))
def test_a_story_that_leaks_most_of_the_time_is_made_as_small_as_can_be(seed: int, rate: float) -> None:
    """Needed: the second turn of user 3 and the first of user 7, a cancel of user 5's first; shown at `rate`."""
    rng = random.Random(seed)
    whole = story(9, 3)
    cancelled = [*whole.users]
    cancelled[5] = User("a00005", (*cancelled[5].steps, Step(15, "cancel", 1, 0), Step(16, "drop")))
    whole = Story(tuple(cancelled), whole.observer, whole.owner, 1_000, 5_000)

    def leaked(of: Story) -> bool:
        found = {(user.account, step.what, step.turn) for user in of.users for step in user.steps}
        needed = {("a00003", "say", 1), ("a00007", "say", 0), ("a00005", "cancel", 0)}
        return needed <= found and rng.random() < rate

    small = shrink(leaked, Rule.after(counted(lambda: leaked(whole), 20), 10)).smallest(whole)
    found = {(user.account, step.what, step.turn) for user in small.users for step in user.steps}
    assert {("a00003", "say", 1), ("a00007", "say", 0), ("a00005", "cancel", 0)} <= found
    if rate == 1.0:
        assert small.size == "3 users, 3 turns, 1 other step"
    assert len(small.users) <= 4


def test_a_leak_that_never_shows_again_stays_whole() -> None:
    whole = story(6, 2)
    assert shrink(lambda _: False, Rule(5, 3, 2)).smallest(whole) == whole


def test_when_the_time_is_over_what_was_reached_stays() -> None:
    driven: list[Story] = []

    def leaked(of: Story) -> bool:
        driven.append(of)
        return True

    small = shrink(leaked, Rule(1, 1, 1), may_go_on=lambda: len(driven) < 2).smallest(story(16, 1))
    assert len(driven) == 2
    assert len(small.users) == 4


def test_cancels_and_reconnects_that_nothing_hangs_on_all_go() -> None:
    whole = story(2, 1)
    whole = Story(
        tuple(User(user.account, (*user.steps, Step(5, "cancel"), Step(6, "drop"))) for user in whole.users),
        whole.observer, whole.owner, 1_000, 5_000,
    )  # fmt: skip
    assert shrink(lambda _: True, Rule(1, 1, 1)).smallest(whole) == story(2, 1)


def test_one_user_alone_is_never_asked() -> None:
    driven: list[Story] = []
    shrink(lambda of: bool(driven.append(of)) or True, Rule(1, 1, 1)).smallest(story(8, 1))
    assert min(len(of.users) for of in driven) == 2


@pytest.mark.parametrize(("leaks", "rounds"), [(10, 1), (7, 1), (5, 4), (1, 22), (0, ROUNDS_MAX)])
def test_what_leaks_seldom_is_played_in_rounds(leaks: int, rounds: int) -> None:
    assert rounds_for(Count(leaks, 10)) == rounds


def test_counting_ends_with_the_time_but_never_before_three_starts() -> None:
    assert counted(lambda: True, 10, lambda: False) == Count(3, 3)
    assert str(counted(lambda: False, 4)) == "leaks 0 of 4"
