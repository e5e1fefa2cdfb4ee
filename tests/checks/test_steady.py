"""Steady or not, on simulated load tests whose truth is known: how often each answer is given."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.coverage import CHANGING, STATIONARY, WARMING, answers, window_of
from bench.loads import closed
from crosstalk.checks.columns import MISSING
from crosstalk.checks.steady import (
    CUT_MAX,
    SHORT,
    STEADY,
    UNSTEADY,
    _by_chance,
    _change,
    _ends_and_turn,
    _rank_sums,
    _under_way,
    correlation_time,
    steady_window,
)

START_NS = 1_700_000_000_000_000_000


@pytest.mark.parametrize("name", STATIONARY)
def test_a_steady_load_is_rarely_called_unsteady(name: str) -> None:
    """At most 5 % false alarms, of 500 histories; three standard errors of that rate are 2.9 %."""
    found = answers(STATIONARY[name], 500)
    assert found[UNSTEADY] <= 0.05 * 500, found
    # where nothing swings slowly the answer is not avoided either
    assert (
        found[STEADY] >= (0.65 if name in ("Poisson starts, heavy tails", "people who come and go") else 0.93) * 500
    ), found


@pytest.mark.parametrize("name", CHANGING)
def test_a_load_that_changes_is_rarely_called_steady(name: str) -> None:
    """A saw-tooth of which a load test holds two teeth cannot be told from a slow swing: too short to tell is right."""
    found = answers(CHANGING[name], 100)
    slow = {"a drift to twice the time": 20, "a drift to half as much again": 25, "a saw-tooth of 30 s in 60 s": 35}
    assert found[STEADY] <= slow.get(name, 5), found
    if not name.startswith("a saw-tooth"):
        assert found[UNSTEADY] >= 70, found


@pytest.mark.parametrize("name", WARMING)
def test_a_warm_up_is_cut_off(name: str) -> None:
    """And what is left is steady: the cut mostly lies near the end of the transient, 8 s, or up to twice as late."""
    found = [window_of(WARMING[name](np.random.default_rng(seed))) for seed in range(100)]
    assert sum(one.state == STEADY for one in found) >= 80
    cuts = [one.cut_s + 1.0 for one in found if one.state == STEADY]  # the ramp was 1 s
    assert 5.6 <= float(np.median(cuts)) <= 16.0


def test_a_steady_load_keeps_its_samples() -> None:
    """MSER alone would cut something off half of them."""
    found = [window_of(closed(np.random.default_rng(seed))) for seed in range(200)]
    assert sum(one.cut_s > 0 for one in found) <= 10


def test_too_few_turns_are_too_short_to_tell() -> None:
    found = window_of(closed(np.random.default_rng(1), seconds=10))
    assert (found.state, found.cut_s) == (SHORT, 0.0)
    assert re.fullmatch(r"[89](\.\d)? s after the ramp; turns 1\.[23] s apart need 1[456] s", found.reason), (
        found.reason
    )
    assert found.from_ns >= START_NS + 10**9
    nothing = np.empty(0, dtype=np.int64)
    assert steady_window(nothing, nothing, nothing, nothing.astype(bool)).state == SHORT
    ramp = np.array([START_NS, START_NS + 1])
    assert steady_window(ramp, ramp + 5, ramp * 0, ramp > 0).reason == "no run started after the ramp"


def test_the_times_of_runs_are_not_looked_at() -> None:
    """Runs that end at other times within their block change neither series much, nor the answer."""
    sent, end, account = closed(np.random.default_rng(3))
    sooner = np.maximum(sent, end - 0.001)
    assert window_of((sent, end, account)).from_ns == window_of((sent, sooner, account)).from_ns


def test_the_same_runs_in_any_order_give_the_same_window() -> None:
    sent, end, account = closed(np.random.default_rng(4), seconds=60, shape=lambda at: 3.0 if at < 8 else 1.0)
    order = np.random.default_rng(5).permutation(len(sent))
    assert window_of((sent, end, account)) == window_of((sent[order], end[order], account[order]))


def test_a_run_without_an_end_is_under_way_until_its_account_goes_on() -> None:
    sent = np.arange(0, 60.0, 0.5)
    account = np.zeros(len(sent), dtype=np.int64)
    sent_ns = START_NS + (sent * 1e9).astype(np.int64)
    end_ns = sent_ns + 250_000_000
    lost = end_ns.copy()
    lost[60:] = MISSING
    warm = sent < 1
    assert steady_window(sent_ns, end_ns, account, warm).state == STEADY
    found = steady_window(sent_ns, lost, account, warm)
    assert found.state == UNSTEADY
    assert found.reason == "it settled 29.2 s after the ramp, of 58.5 s: too late"


def test_runs_under_way_are_an_integral() -> None:
    """One run from 0 to 10 s, one from 2.5 to 5 s; blocks of 5 s: 1.5 and 1 on the average."""
    sent, over = np.array([0, 2.5]) * 1e9, np.array([10, 5]) * 1e9
    assert _under_way(sent, over, np.array([0, 5, 10]) * 1e9).tolist() == [1.5, 1.0]


def test_permutations_are_a_fair_scale() -> None:
    """1 % of fresh random orders stand out more than 1 % of the kept ones did."""
    fresh = np.random.default_rng(99).permuted(np.tile(np.arange(1.0, 31.0), (4000, 1)), axis=1)
    beyond = np.abs(_rank_sums(fresh)).max(axis=1) >= np.quantile(_by_chance(30), 0.99)
    assert 0.005 <= float(np.mean(beyond)) <= 0.016


def test_correlated_blocks_are_worth_fewer() -> None:
    """AR(1) with 0.7: (1 + 0.7) / (1 - 0.7) = 5.7 values are worth one."""
    random = np.random.default_rng(6)
    noise = random.normal(size=20_000)
    values = noise.copy()
    for n in range(1, len(values)):
        values[n] += 0.7 * values[n - 1]
    assert correlation_time(values) == pytest.approx(5.7, rel=0.15)
    assert correlation_time(noise) == pytest.approx(1.0, abs=0.15)
    assert correlation_time(np.ones(20)) == 1.0


def test_a_warm_up_never_takes_most_of_a_window() -> None:
    for seed in range(50):
        found = window_of(closed(np.random.default_rng(seed), seconds=60, shape=lambda at: 1 + at / 60))
        assert found.cut_s <= CUT_MAX * found.blocks * found.block_s


def test_less_than_a_tenth_is_no_change_however_certain() -> None:
    """The same little noise around 100; then 105 or 115 from the middle on, at once or little by little."""
    noise = np.random.default_rng(9).normal(0, 0.3, 40)
    step, ramp = np.repeat([0.0, 1.0], 20), np.linspace(0, 1, 40)
    found = {size: [_change(100 + noise + size * shape, 0.0025).found for shape in (step, ramp)] for size in (5, 15)}
    assert found == {5: [False, False], 15: [True, True]}


def test_when_a_run_was_over() -> None:
    """At its end; without one, when its account started the next; and the last one of all with the load test."""
    sent, end = np.array([0, 1, 10, 11]) * 10**9, np.array([MISSING, 5 * 10**9, 12 * 10**9, MISSING])
    over, turn_s = _ends_and_turn(sent, end, np.array([1, 2, 1, 2]), 0, 20 * 10**9)
    assert (over / 1e9).tolist() == [10, 5, 12, 20]
    assert turn_s == 10.0
