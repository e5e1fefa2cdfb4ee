"""Do the intervals hold the truth as often as they say? Simulated samples whose quantiles are known.

A bound at 95 % may fail to hold in 5 % of all trials, within the Monte-Carlo error: three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from bench.coverage import held
from crosstalk.checks.by_user import USERS_MIN, _student, bounds_by_user
from crosstalk.checks.statistics import lower_rank, upper_rank

NORMAL = NormalDist().inv_cdf
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def bimodal(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Nine of ten answers take about 300 ms, one of ten about 4 s, nothing between."""
    return np.where(random.uniform(size=size) < 0.9, random.normal(300, 20, size), random.normal(4000, 200, size))


SHAPES: dict[str, tuple[Draw, Callable[[float], float]]] = {
    "lognormal": (lambda random, size: random.lognormal(6.0, 1.2, size), lambda q: math.exp(6.0 + 1.2 * NORMAL(q))),
    "Pareto, infinite variance": (lambda random, size: 1 + random.pareto(1.5, size), lambda q: (1 - q) ** (-1 / 1.5)),
    "two humps": (
        bimodal,
        lambda q: NormalDist(300, 20).inv_cdf(q / 0.9) if q < 0.9 else NormalDist(4000, 200).inv_cdf((q - 0.9) / 0.1),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("quantile", "n"), [(0.5, 20), (0.5, 400), (0.95, 59), (0.95, 400), (0.99, 299), (0.99, 1000)])
def test_bounds_hold_whatever_the_shape(shape: str, quantile: float, n: int) -> None:
    trials = 4000
    draw, truth_of = SHAPES[shape]
    samples = np.sort(draw(np.random.default_rng(n), (trials, n)), axis=1)
    upper, lower = upper_rank(n, quantile), lower_rank(n, quantile)
    assert upper is not None and lower is not None
    least = 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)
    assert np.mean(samples[:, upper - 1] >= truth_of(quantile)) >= least
    assert np.mean(samples[:, lower - 1] <= truth_of(quantile)) >= least


@pytest.mark.parametrize(
    ("alike", "quantile", "independent_at_most"),
    [(0.0, 0.95, 1.0), (0.2, 0.5, 0.85), (0.2, 0.95, 0.93), (0.5, 0.5, 0.78), (0.5, 0.95, 0.82)],
)
def test_users_that_differ_widen_the_interval(alike: float, quantile: float, independent_at_most: float) -> None:
    """20 users, 30 runs each. What takes the samples as independent holds too seldom; by user the bound holds."""
    independent, by_user, _ = held(users=20, runs=30, alike=alike, quantile=quantile, trials=1000)
    assert by_user >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1000)
    assert independent <= independent_at_most
    assert alike or independent >= 0.93


def test_with_few_users_the_correction_for_few_is_needed() -> None:
    """Ten users, half of the variance between them: without Student's factor 93.6 % of these bounds would hold."""
    _, by_user, _ = held(users=10, runs=30, alike=0.5, quantile=0.95, trials=1500)
    assert by_user >= 0.95


def test_where_users_are_alike_little_is_lost() -> None:
    """Independent samples: nearly all are worth themselves."""
    random = np.random.default_rng(12)
    whose = np.repeat(np.arange(50), 20)
    worth = []
    for _ in range(200):
        order = random.permutation(1000)
        found = bounds_by_user(np.arange(1000.0), whose[order], 0.95)
        assert found is not None
        worth.append(found.worth)
    assert 850 <= float(np.mean(worth)) <= 1000
    assert max(worth) == 1000


def test_a_user_that_is_always_late_is_one_sample_and_not_thirty() -> None:
    """One of 20 users makes every late answer: the p95 might be anything between quick and late."""
    ordered = np.concatenate([np.full(570, 100.0), np.full(30, 9000.0)])
    found = bounds_by_user(ordered, np.repeat(np.arange(20), 30), 0.95)
    assert found is not None
    assert (found.low, found.high, found.users) == (100.0, None, 20)
    assert found.worth < 30
    assert upper_rank(600, 0.95) == 580  # 9,000 ms: an end, as if thirty people had been late


def test_too_few_users_say_nothing_of_how_users_differ() -> None:
    assert bounds_by_user(np.arange(40.0), np.repeat(np.arange(USERS_MIN - 1), 10), 0.5) is None
    assert bounds_by_user(np.empty(0), np.empty(0, dtype=np.int64), 0.5) is None


@pytest.mark.parametrize(("freedom", "published"), [(4, 2.132), (9, 1.833), (19, 1.729), (60, 1.671)])
def test_students_quantile(freedom: int, published: float) -> None:
    assert _student(NORMAL(0.95), freedom) == pytest.approx(published, rel=0.005)
