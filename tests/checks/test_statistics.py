"""Order statistics against published values, against brute force, and against random samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.statistics import (
    binomial_cdf,
    bound_for_none,
    bound_for_none_at_once,
    lower_bound,
    lower_rank,
    percentile,
    samples_for_margin,
    samples_needed,
    share_bounds,
    upper_bound,
    upper_rank,
)


@pytest.mark.parametrize(
    ("quantile", "at_95", "at_99", "mlperf"), [(0.90, 29, 44, 64), (0.95, 59, 90, 130), (0.99, 299, 459, 662)]
)
def test_published_numbers_of_samples(quantile: float, at_95: int, at_99: int, mlperf: int) -> None:
    """Wilks' 29/59/299 and 44/90/459; MLPerf's early stopping allows one exceedance at 99 %."""
    assert samples_needed(quantile) == at_95
    assert samples_needed(quantile, 0.99) == at_99
    assert samples_needed(quantile, 0.99, exceedances=1) == mlperf


@pytest.mark.parametrize(
    ("queries", "quantile", "discarded"),
    [(2048, 0.90, 172), (2116, 0.90, 178), (1_179_125, 0.99, 11_539), (2_091_550, 0.99, 20_579)],
)
def test_mlperf_results_as_published(queries: int, quantile: float, discarded: int) -> None:
    """Published logs of MLPerf's LoadGen say "Would discard 172 highest latency queries" of 2,048 and so on.

    LoadGen finds the most overlong queries t that leave 99 % confidence, and takes the t-th longest: it discards t - 1.
    """
    rank = upper_rank(queries, quantile, 0.99)
    assert rank is not None
    assert queries - rank - 1 == discarded


@pytest.mark.parametrize(("queries", "more"), [(21, 438), (300, 159)])
def test_mlperf_failures_as_published(queries: int, more: int) -> None:
    """LoadGen on a server at p99: "Processed 21 queries. Would need to run at least 438 more queries"."""
    assert samples_needed(0.99, 0.99) - queries == more


def test_mlperf_queries_for_a_margin() -> None:
    assert [samples_for_margin(quantile) for quantile in (0.90, 0.95, 0.99)] == [23_886, 50_426, 262_742]


@pytest.mark.parametrize(
    ("n", "quantile", "lower", "upper"),
    # Conover, table A3 (binomial), worked by hand: P(Bin(10, .5) <= 1) = 0.0107 and <= 2 = 0.0547
    [
        (10, 0.5, 2, 9),
        (5, 0.5, 1, 5),
        (4, 0.5, None, None),
        (59, 0.95, 53, 59),
        (58, 0.95, 52, None),
        (93, 0.95, 85, 92),
    ],
)
def test_ranks_of_bounds(n: int, quantile: float, lower: int | None, upper: int | None) -> None:
    assert (lower_rank(n, quantile), upper_rank(n, quantile)) == (lower, upper)


@pytest.mark.parametrize("n", [1, 7, 59, 300, 2000])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.95, 0.99])
def test_binomial_against_exact_sums(n: int, p: float) -> None:
    for k in {0, n // 2, round(n * p), n - 1}:
        logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1)]
        exact = math.fsum(math.exp(c + i * math.log(p) + (n - i) * math.log(1 - p)) for i, c in enumerate(logs))
        assert binomial_cdf(k, n, p) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("n", "quantile"), [(60, 0.95), (100, 0.95), (300, 0.99), (40, 0.90), (30, 0.50)])
def test_bounds_cover_the_true_quantile(n: int, quantile: float) -> None:
    """Of 4,000 sets of samples (lognormal: the method must not care) at least 95 % of the bounds hold.

    4,000 trials at 95 % have a standard error of 0.35 %: 93.9 % is three of them below.
    """
    random = np.random.default_rng(7)
    samples = np.sort(random.lognormal(5.0, 1.0, size=(4000, n)), axis=1)
    truth = math.exp(5.0 + _normal_quantile(quantile))
    above = np.mean([upper_bound(row, quantile) >= truth for row in samples])
    below = np.mean([lower_bound(row, quantile) <= truth for row in samples])
    assert above >= 0.939
    assert below >= 0.939
    # one rank less would not do: the bounds are as tight as they may be
    upper, lower = upper_rank(n, quantile), lower_rank(n, quantile)
    assert upper is not None and lower is not None
    assert np.mean(samples[:, upper - 2] >= truth) < 0.961
    assert np.mean(samples[:, lower] <= truth) < 0.961


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_point_lies_between_its_bounds(values: list[float], quantile: float) -> None:
    ordered = np.sort(np.array(values))
    low, high = lower_bound(ordered, quantile), upper_bound(ordered, quantile)
    point = percentile(ordered, quantile)
    assert low is None or low <= point
    assert high is None or high >= point
    assert (high is not None) == (len(values) >= samples_needed(quantile))


def test_nearest_rank() -> None:
    ordered = np.arange(1.0, 101.0)
    assert [percentile(ordered, q) for q in (0.50, 0.90, 0.95, 0.99)] == [50, 90, 95, 99]
    assert percentile(np.array([3.0]), 0.99) == 3
    with pytest.raises(ValueError, match="at least one sample"):
        percentile(np.array([]), 0.5)


def test_runs_that_never_ended_stay_at_the_end() -> None:
    ordered = np.array([1.0] * 90 + [math.inf] * 10)
    assert percentile(ordered, 0.95) == math.inf
    assert upper_bound(ordered, 0.90) == math.inf
    assert lower_bound(ordered, 0.90) == 1.0


def test_none_in_so_many() -> None:
    assert bound_for_none(12_400) == pytest.approx(0.00024156, rel=1e-4)
    assert bound_for_none(1) == pytest.approx(0.95)
    assert bound_for_none(0) is None
    assert bound_for_none_at_once(12_400, 5) == pytest.approx(math.log(100) / 12_400)
    assert bound_for_none_at_once(0, 5) is None


def test_bounds_of_a_share() -> None:
    """20 of 20: 0.05 ** (1/20); 5 of 10: Clopper-Pearson, 0.2224 and 0.7776 (Hahn and Meeker)."""
    assert share_bounds(20, 20) == (pytest.approx(0.05 ** (1 / 20)), 1.0)
    assert share_bounds(0, 20) == (0.0, pytest.approx(1 - 0.05 ** (1 / 20)))
    assert share_bounds(5, 10) == (pytest.approx(0.22244, abs=1e-4), pytest.approx(0.77756, abs=1e-4))
    assert share_bounds(0, 0) == (0.0, 1.0)


def test_a_million_samples_are_no_trouble() -> None:
    """The normal approximation is right to a rank or two there."""
    spread = 1.6448536 * math.sqrt(1_000_000 * 0.95 * 0.05)
    assert upper_rank(1_000_000, 0.95) == pytest.approx(950_000 + spread, abs=2)
    assert lower_rank(1_000_000, 0.95) == pytest.approx(950_000 - spread, abs=2)


def _normal_quantile(quantile: float) -> float:
    return {0.50: 0.0, 0.90: 1.2815516, 0.95: 1.6448536, 0.99: 2.3263479}[quantile]
