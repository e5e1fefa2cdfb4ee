"""Slopes that are known beforehand: how often the interval holds them, also where neighbours resemble each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.slopes import BLOCKS_MIN, settled_from, slope, student, worth_of

PLANTED = 0.03
Noise = Callable[[np.random.Generator, int], np.ndarray]


def remembering(share: float) -> Noise:
    """AR(1): each value keeps a share of the one before."""

    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        fresh, values = rng.standard_normal(n), np.empty(n)
        values[0] = fresh[0] / np.sqrt(1 - share**2)
        for at in range(1, n):
            values[at] = share * values[at - 1] + fresh[at]
        return values

    return noise


def saw(rng: np.random.Generator, n: int) -> np.ndarray:
    """A heap that fills and is collected."""
    return ((np.arange(n) + rng.integers(0, 23)) % 23) / 3 + 0.3 * rng.standard_normal(n)


NOISES: dict[str, Noise] = {
    "white": lambda rng, n: rng.standard_normal(n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    **{f"AR(1) {share}": remembering(share) for share in (0.3, 0.6, 0.8, 0.9)},
    "sums of ten": lambda rng, n: np.convolve(rng.standard_normal(n + 9), np.ones(10) / 3, "valid"),
    "saw-tooth": saw,
}


@pytest.mark.parametrize("n", [60, 600])
@pytest.mark.parametrize("name", NOISES)
def test_the_interval_holds_the_slope_as_often_as_it_says(name: str, n: int) -> None:
    """93 % at least, of 500 series; three standard errors of a true 95 % are 2.9 %: so it must do better than that."""
    rng, x = np.random.default_rng(7), np.arange(n, dtype=float)
    held = 0
    for _ in range(500):
        found = slope(x, 5 + PLANTED * x + NOISES[name](rng, n))
        assert found.low is not None and found.high is not None
        held += found.low <= PLANTED <= found.high
    assert held >= 0.93 * 500, held


def test_correlated_noise_widens_the_interval() -> None:
    """An ordinary least-squares interval would hold the slope of AR(1) 0.8 in half of the cases only."""
    rng, x = np.random.default_rng(7), np.arange(60.0)

    def width(noise: Noise) -> float:
        found = [slope(x, noise(rng, 60) / noise(rng, 60).std()) for _ in range(50)]
        return float(np.median([one.high - one.low for one in found]))

    assert width(remembering(0.8)) > 2 * width(NOISES["white"])


def test_growth_that_is_there_is_found_with_its_size() -> None:
    rng, x = np.random.default_rng(1), np.linspace(0.0, 0.5, 600)  # half an hour
    found = slope(x, 500 + 40 * x + 5 * rng.standard_normal(600))
    assert found.low is not None and 0 < found.low < 40 < found.high
    assert found.level == pytest.approx(510, abs=2)
    assert (found.n, found.blocks) == (600, 60)


def test_a_few_slow_ones_tilt_nothing() -> None:
    x = np.arange(600.0)
    y = np.where(x % 37 == 36, 50_000.0 * (x > 300), 100 + 0.01 * x)
    found = slope(x, y)
    assert found.value == pytest.approx(0.01, rel=0.05)


def test_what_never_ended_is_left_out_and_too_little_says_nothing() -> None:
    x = np.arange(100.0)
    assert slope(x, np.where(x < 50, np.inf, x)).n == 50
    few = slope(x[: BLOCKS_MIN - 1], x[: BLOCKS_MIN - 1])
    assert (few.value, few.low) == (None, None) and "samples" in few.reason
    assert "one instant" in slope(np.zeros(50), np.arange(50.0)).reason
    assert slope(x, 3.0 + 0 * x).value == 0


@given(st.floats(1, 500), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_students_t_is_that_of_its_density(freedom: float, confidence: float) -> None:
    """Against the other integral: of (1 + t² / f) to the power of -(f + 1) / 2 over t, by u = t / (1 + t)."""
    t = student(freedom, confidence)
    u = np.linspace(0, 1, 200_001)[:-1]
    at = u / (1 - u)
    density = (1 + at**2 / freedom) ** (-(freedom + 1) / 2) / (1 - u) ** 2
    assert np.sum(density[at <= t]) / np.sum(density) == pytest.approx(confidence, abs=1e-3)


@pytest.mark.parametrize(("freedom", "known"), [(1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (120, 1.980)])
def test_students_t_is_that_of_the_tables(freedom: float, known: float) -> None:
    assert student(freedom, 0.95) == pytest.approx(known, abs=2e-3)


def test_independent_values_are_worth_most() -> None:
    rng = np.random.default_rng(3)
    worth = [float(np.median([worth_of(NOISES[name](rng, 60)) for _ in range(200)])) for name in
             ("white", "AR(1) 0.3", "AR(1) 0.6", "AR(1) 0.9")]  # fmt: skip
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 4 * worth[-1]
    assert all(0 <= one <= 60 for one in worth)


def test_what_fills_up_first_is_no_growth() -> None:
    """And a leak keeps its slope, whatever is cut."""
    x, rng = np.linspace(0.0, 0.5, 90), np.random.default_rng(5)
    filled = 20 * (1 - np.exp(-x / 0.05)) + 0.05 * rng.standard_normal(90)
    whole, rest = slope(x, filled), settled_from(filled)
    kept = slope(x[rest:], filled[rest:])
    assert whole.value is not None and whole.value > 5 and rest > 10
    assert kept.high is not None and kept.high < 5
    leaking = 12 * x + 0.05 * rng.standard_normal(90)
    found = slope(x[settled_from(leaking) :], leaking[settled_from(leaking) :])
    assert found.low is not None and 5 < found.low <= 12 <= found.high
    assert settled_from(np.zeros(30)) == 0
