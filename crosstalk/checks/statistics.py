"""Order statistics: what a handful of samples allows one to say about a quantile or a share.

Everything here is distribution-free: the number of samples below a quantile p is Binomial(n, p), whatever the
samples' distribution is. Sources: Conover, *Practical Nonparametric Statistics*, ch. 3 (confidence bounds of a
quantile); Hahn and Meeker, *Statistical Intervals*, §5.2 and §6.2 (the same for quantiles and for shares,
Clopper-Pearson); MLPerf Inference, rules on early stopping and on the number of queries. Samples are assumed
independent; those of one load test are only roughly so.

Samples that were never observed (a run that timed out) are +inf: they keep their place at the upper end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
#: rounding of a sum of binomial terms; only decides exact ties, such as 0.95 ** 1 against 0.95
_TIE = 1e-12


def percentile(ordered: np.ndarray, quantile: float) -> float:
    """The nearest-rank percentile of samples in ascending order: the smallest that is not below `quantile` of them.

    :raises ValueError: when there is no sample.
    """
    if len(ordered) == 0:
        raise ValueError("expected at least one sample for a percentile, got none")
    return float(ordered[max(math.ceil(quantile * len(ordered) - _TIE), 1) - 1])


def upper_bound(ordered: np.ndarray, quantile: float, confidence: float = CONFIDENCE) -> float | None:
    """One-sided upper confidence bound of a quantile; None when there are too few samples for one."""
    rank = upper_rank(len(ordered), quantile, confidence)
    return None if rank is None else float(ordered[rank - 1])


def lower_bound(ordered: np.ndarray, quantile: float, confidence: float = CONFIDENCE) -> float | None:
    """One-sided lower confidence bound of a quantile; None when there are too few samples for one."""
    rank = lower_rank(len(ordered), quantile, confidence)
    return None if rank is None else float(ordered[rank - 1])


@lru_cache(maxsize=4096)
def upper_rank(n: int, quantile: float, confidence: float = CONFIDENCE) -> int | None:
    """Smallest rank r (1-based) with P(r-th sample >= the quantile) = P(Binomial(n, p) <= r - 1) >= confidence."""
    if n == 0:
        return None
    first, cumulative = _binomial(n, quantile)
    enough = np.flatnonzero(cumulative >= confidence - _TIE)
    rank = first + int(enough[0]) + 1 if len(enough) else n + 1
    return rank if rank <= n else None


@lru_cache(maxsize=4096)
def lower_rank(n: int, quantile: float, confidence: float = CONFIDENCE) -> int | None:
    """Largest rank r (1-based) with P(r-th sample <= the quantile) = P(Binomial(n, p) >= r) >= confidence."""
    if n == 0:
        return None
    first, cumulative = _binomial(n, quantile)
    # P(Binomial >= r) = 1 - P(Binomial <= r - 1)
    enough = np.flatnonzero(1.0 - cumulative >= confidence - _TIE)
    rank = first + int(enough[-1]) + 1 if len(enough) else first
    return rank if rank >= 1 else None


@lru_cache(maxsize=256)
def samples_needed(quantile: float, confidence: float = CONFIDENCE, *, exceedances: int = 0) -> int:
    """Fewest samples with which an upper bound of the quantile exists, `exceedances` samples lying above that bound.

    Smallest n with P(Binomial(n, 1 - quantile) <= exceedances) <= 1 - confidence. With none allowed it is
    ln(1 - confidence) / ln(quantile): 29, 59, 299 for p90, p95, p99 at 95 %, and 44, 90, 459 at 99 %. MLPerf's floors
    for early stopping, 64, 130, 662, are those with one allowed, at 99 %: its LoadGen takes the t-th longest query as
    its estimate, t being the most that may lie above the quantile, and so needs a t of at least 1.
    """
    n = max(math.ceil(math.log(1.0 - confidence) / math.log(quantile) - _TIE), exceedances + 1)
    while binomial_cdf(exceedances, n, 1.0 - quantile) > 1.0 - confidence + _TIE:
        n += 1
    return n


def samples_for_margin(quantile: float, confidence: float = 0.99, *, margin: float | None = None) -> int:
    """Samples that place a share of `quantile` within +- `margin`: z^2 p (1 - p) / margin^2, the normal approximation.

    MLPerf takes a margin of (1 - quantile) / 20 at 99 %: 23,886 for p90, 50,426 for p95 (its table rounds 50,425.2
    down), 262,742 for p99.
    """
    width = (1.0 - quantile) / 20.0 if margin is None else margin
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    return math.ceil(z * z * quantile * (1.0 - quantile) / (width * width))


def bound_for_none(n: int, confidence: float = CONFIDENCE) -> float | None:
    """Upper bound of a rate after 0 hits in n independent trials: 1 - (1 - confidence)^(1/n), about 3/n at 95 %."""
    return None if n == 0 else -math.expm1(math.log(1.0 - confidence) / n)


def bound_for_none_at_once(n: int, kinds: int, confidence: float = CONFIDENCE) -> float | None:
    """The same for `kinds` rates at once, each with 0 hits in at least n trials: ln(kinds / (1 - confidence)) / n."""
    return None if n == 0 or kinds == 0 else min(math.log(kinds / (1.0 - confidence)) / n, 1.0)


def share_bounds(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """One-sided lower and upper bounds of a share (Clopper-Pearson), each at `confidence`; (0, 1) without a trial."""
    if n == 0:
        return 0.0, 1.0
    alpha = 1.0 - confidence
    lower = 0.0 if hits == 0 else _solve(lambda p: 1.0 - binomial_cdf(hits - 1, n, p) < alpha)
    upper = 1.0 if hits == n else _solve(lambda p: binomial_cdf(hits, n, p) > alpha)
    return lower, upper


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) <= k)."""
    if k >= n or p <= 0.0:
        return 1.0
    if k < 0 or p >= 1.0:
        return 0.0
    first, cumulative = _binomial(n, p)
    return 0.0 if k < first else float(cumulative[min(k - first, len(cumulative) - 1)])


def _binomial(n: int, p: float) -> tuple[int, np.ndarray]:
    """The first k that matters and the cumulative probabilities from there on.

    Terms further than 14 standard deviations from the mean (and 40 steps) are below the rounding of a double.
    """
    reach = 14.0 * math.sqrt(n * p * (1.0 - p)) + 40.0
    first, last = max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))
    k = np.arange(first, last + 1)
    mode = min(max(math.floor((n + 1) * p), first), last)
    at_mode = (
        math.lgamma(n + 1)
        - math.lgamma(mode + 1)
        - math.lgamma(n - mode + 1)
        + mode * math.log(p)
        + (n - mode) * math.log1p(-p)
    )
    # log of the ratio of neighbours, P(k + 1) / P(k), summed up from the first term and shifted to fit at the mode
    steps = np.log((n - k[:-1]) / (k[:-1] + 1.0)) + math.log(p) - math.log1p(-p)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    return first, np.minimum(np.cumsum(np.exp(logs - logs[mode - first] + at_mode)), 1.0)


def _solve(too_low: Callable[[float], bool]) -> float:
    """The p in (0, 1) at which `too_low` turns from true to false."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return (low + high) / 2.0
