"""Leaks that happen now and then are found at the rate that their exposure predicts.

The pure checks over histories of twenty seeds: real runs and frames of the reference backend, each family of leaks at
accounts of its own, at a rate.
"""

from __future__ import annotations

import math

import pytest

from crosstalk.checks.statistics import binomial_cdf
from crosstalk.checks.violation import Violation
from tests.checks.rare_histories import History, history
from tests.helpers import user_name

#: family → the share of its opportunities at which it bites
FAMILIES = {
    "leak_wrong_socket": 0.35,
    "leak_content": 0.35,
    "leak_partial": 0.35,
    "leak_run_id": 0.35,
    "leak_tool_result": 0.7,  # only in runs with a tool
    "leak_cache": 0.8,  # only where others have said the same words
    "leak_cross_thread": 0.5,
    "leak_after_end": 0.35,
    "leak_handoff": 0.7,  # only in runs with a hand-off
    "leak_base64": 0.35,
    "leak_split_chunks": 0.35,
}
ACCOUNTS_EACH, RUNS_EACH = 1, 14
SEEDS = range(20)


def accounts(family: str) -> range:
    first = list(FAMILIES).index(family) * ACCOUNTS_EACH
    return range(first, first + ACCOUNTS_EACH)


def sightings(one: History, family: str, number: int) -> list[Violation]:
    """What an account's bites came to: where its events went astray, others saw them."""
    return one.seen_of(number) if family == "leak_wrong_socket" else one.seen_by(number)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    faults = [f"{name}:{rate}:{accounts(name)[0]}-{accounts(name)[-1]}" for name, rate in FAMILIES.items()]
    users = len(FAMILIES) * ACCOUNTS_EACH + 2
    return [history(seed, faults, users=users, runs_each=RUNS_EACH) for seed in SEEDS]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rare_leak_is_found_in_at_least_19_of_20_seeds(histories: list[History], family: str) -> None:
    """Wherever at least 3 occurrences are to be expected: in all seeds together, and in all but a few of them."""
    expected = [FAMILIES[family] * sum(one.table.asked[family, n] for n in accounts(family)) for one in histories]
    found = [any(sightings(one, family, number) for number in accounts(family)) for one in histories]
    assert sum(expected) / len(expected) >= 3, expected
    enough = [seen for seen, number in zip(found, expected, strict=True) if number >= 3]
    assert len(enough) >= 0.7 * len(SEEDS), expected
    assert sum(enough) >= 0.95 * len(enough), (found, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bite_is_seen(histories: list[History], family: str) -> None:
    for seed, one in zip(SEEDS, histories, strict=True):
        for number in accounts(family):
            assert len(sightings(one, family, number)) >= one.table.bitten[family, number], (family, seed)


def test_nobody_sees_anything_without_a_bite(histories: list[History]) -> None:
    """What somebody saw is the doing of a fault that bit its own run, or that sent another's event astray."""
    for seed, one in zip(SEEDS, histories, strict=True):
        bitten = {number for (_, number), times in one.table.bitten.items() if times}
        astray = {user_name(number) for number in accounts("leak_wrong_socket") if number in bitten}
        for user in one.users:
            unexplained = [v for v in user.found if user.number not in bitten and v.owner not in astray]
            assert not unexplained, (seed, user.number, unexplained)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rate_of_detection_is_what_the_exposure_predicts(histories: list[History], family: str) -> None:
    """Each account of each seed is a trial: it is caught with 1 − (1 − rate)^opportunities."""
    trials = [(one, number) for one in histories for number in accounts(family)]
    predicted = [1 - (1 - FAMILIES[family]) ** one.table.asked[family, number] for one, number in trials]
    caught = sum(bool(one.table.bitten[family, number] and sightings(one, family, number)) for one, number in trials)
    mean = math.fsum(predicted) / len(trials)
    low, high = binomial_cdf(caught, len(trials), mean), 1 - binomial_cdf(caught - 1, len(trials), mean)
    assert min(low, high) > 0.0005, (caught, len(trials), mean)


def test_a_clean_history_has_no_violation() -> None:
    one = history(3, [], users=10, runs_each=8)
    assert one.frames > 1_000
    assert [v for user in one.users for v in user.found] == []


def test_a_history_depends_on_its_seed_alone() -> None:
    first, again = (history(5, ["leak_content:0.3:0-3"], users=5, runs_each=4) for _ in range(2))
    assert [user.frames for user in first.users] == [user.frames for user in again.users]
    assert first.table.bitten == again.table.bitten
    assert [user.found for user in first.users] == [user.found for user in again.users]
