"""Bounds of a quantile where the samples of one user resemble each other, as they do: a far-away user is always late.

The order statistics of `statistics` take all samples as independent. Here users are what is independent: each is a
cluster of samples. How much the share of samples below the quantile varies from user to user tells what the samples
are worth (the design effect), and the same exact order statistics are taken of so many. Woodruff, JASA 47 (1952), for
bounds of a quantile from a share; Korn and Graubard, Survey Methodology 24 (1998), for the effective number of samples
and its correction for few clusters. No shape is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from crosstalk.checks.statistics import CONFIDENCE, lower_rank, upper_rank

#: fewer users say nothing of how users differ
USERS_MIN = 5


@dataclass(frozen=True, slots=True)
class ByUser:
    """One-sided bounds, None where the samples are worth too few; `worth`: as many independent samples."""

    low: float | None
    high: float | None
    worth: int
    users: int


def bounds_by_user(
    ordered: np.ndarray, users: np.ndarray, quantile: float, confidence: float = CONFIDENCE
) -> ByUser | None:
    """Bounds of a quantile, each at `confidence`; None with fewer than `USERS_MIN` users.

    :param ordered: samples, ascending.
    :param users: the number of the user of each.
    """
    _, numbers = np.unique(users, return_inverse=True)
    clusters, n = int(numbers.max(initial=-1)) + 1, len(ordered)
    if clusters < USERS_MIN:
        return None
    worth = _worth(numbers, clusters, quantile, confidence)
    low, high = lower_rank(worth, quantile, confidence), upper_rank(worth, quantile, confidence)
    # the r-th of so many independent samples stands where the same share of all of them is
    low_place = None if low is None else math.floor((low - 1) / worth * n + 1e-9)
    high_place = None if high is None else min(math.ceil(high / worth * n - 1e-9), n) - 1
    return ByUser(
        None if low_place is None else float(ordered[low_place]),
        None if high_place is None else float(ordered[high_place]),
        worth,
        clusters,
    )


def _worth(numbers: np.ndarray, clusters: int, quantile: float, confidence: float) -> int:
    """Independent samples that these are worth, at most as many as there are.

    The variance of the share below the sample quantile, from the users' totals, against that of independent samples.
    """
    n = len(numbers)
    below = max(math.ceil(quantile * n - 1e-12), 1)
    over_share = (np.arange(n) < below) - below / n
    totals = np.bincount(numbers, over_share, minlength=clusters)
    variance = clusters / (clusters - 1) * float(totals @ totals) / n**2
    effect = variance * n / (quantile * (1.0 - quantile))
    if effect <= 1.0:
        return n
    normal = NormalDist().inv_cdf(confidence)
    return int(n / effect * (normal / _student(normal, clusters - 1)) ** 2)


def _student(normal: float, freedom: int) -> float:
    """Student's quantile from the normal one: Abramowitz and Stegun 26.7.5, good to 0.5 % from 4 degrees on."""
    z = normal
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
