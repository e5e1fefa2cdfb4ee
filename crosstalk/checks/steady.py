"""Steady or not: which part of a load test its times are taken from, decided without looking at any of those times.

Two series are looked at, in blocks that each last at least as long as a user's turn with the pause after it: how many
runs ended, and how many were under way. From them come three answers. `steady`: the load stayed as it was, after a
warm-up that is cut off where there was one. `no steady state`: it went on changing. `too short to tell`: there are not
enough blocks, or they swing so slowly that they are worth only a few; then the ramp alone decides, and that is said.

The warm-up is found by the MSER rule: cut where the standard error of what remains is smallest (White, "An Effective
Truncation Heuristic for Bias Reduction in Simulation Output", Simulation 69(6), 1997), and only where what is cut
really differs from what remains. The rest is tested for a change of level (the largest standardised rank sum over all
places to split it, against random permutations; Pettitt, Applied Statistics 28(2), 1979) and for a trend (Mann-Kendall;
Theil-Sen for its size). Neighbouring blocks resemble each other: both tests are tempered by the integrated
autocorrelation (initial positive sequence; Geyer, Statistical Science 7(4), 1992). Less than a tenth is no change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from crosstalk.checks.columns import MISSING
from crosstalk.checks.words import number

STEADY, UNSTEADY, SHORT = "steady", "no steady state", "too short to tell"

BLOCKS_MIN, BLOCKS_MAX = 12, 60
#: independent blocks that a series must be worth
WORTH_MIN = 10.0
#: share of the mean below which a difference is none
TOLERANCE = 0.10
#: share of the window that may be warm-up; what changes later has not warmed up but changed
CUT_MAX = 0.4
#: a warm-up stands out by so many standard errors
CUT_ERRORS = 4.0
#: both series and both tests together, on a window that nothing was cut from, and on what a cut has left
ALPHA, ALPHA_AFTER_CUT = 0.01, 0.05
PERMUTATIONS = 4000
#: blocks on each side of a split
SIDE_MIN = 3


@dataclass(frozen=True, slots=True)
class Steady:
    """The window: runs that started from `from_ns` on, until `until_ns`, when the last one was started."""

    state: str
    reason: str
    from_ns: int
    until_ns: int
    cut_s: float = 0.0  # of warm-up after the ramp
    blocks: int = 0
    block_s: float = 0.0

    @property
    def seconds(self) -> float:
        return max(self.until_ns - self.from_ns, 0) / 1e9


@dataclass(frozen=True, slots=True)
class _Change:
    """What became of one series. `size` and `swing` are shares of its mean."""

    found: bool
    size: float
    at: int  # the block before which it lies; 0 for a trend
    worth: float  # independent blocks
    swing: float  # standard deviation


def steady_window(sent_ns: np.ndarray, end_ns: np.ndarray, account: np.ndarray, warm_up: np.ndarray) -> Steady:
    """The window of a load test, from all its runs, also those of the ramp and those that were cut off.

    :param end_ns: MISSING for runs without an end: they count as under way until their account starts its next one.
    :param warm_up: started before all users were there.
    """
    if len(sent_ns) == 0 or warm_up.all():
        last = int(sent_ns.max(initial=0))
        return Steady(SHORT, "no run started after the ramp", last, last)
    begin, until = int(sent_ns[~warm_up].min()), int(sent_ns.max())
    over_ns, turn_s = _ends_and_turn(sent_ns, end_ns, account, begin, until)
    seconds = (until - begin) / 1e9
    blocks = min(int(seconds / turn_s), BLOCKS_MAX) if turn_s > 0 else 0
    if blocks < BLOCKS_MIN:
        return Steady(SHORT, _too_few(seconds, turn_s), begin, until)
    edges = begin + np.linspace(0.0, seconds, blocks + 1) * 1e9
    series = {
        "runs that ended": np.histogram(end_ns[end_ns != MISSING], edges)[0].astype(float),
        "runs under way": _under_way(sent_ns, over_ns, edges),
    }
    return _decide(series, begin, until, seconds / blocks)


def _decide(series: dict[str, np.ndarray], begin: int, until: int, block_s: float) -> Steady:
    blocks = len(next(iter(series.values())))
    cut = max(_warm_up(values) for values in series.values())
    cut_s = cut * block_s

    def answer(state: str, reason: str, *, use_cut: bool) -> Steady:
        start = begin + round(cut_s * 1e9) if use_cut else begin
        return Steady(state, reason, start, until, cut_s if use_cut else 0.0, blocks, block_s)

    if cut > CUT_MAX * blocks:
        seconds = round(blocks * block_s, 1)
        why = f"it settled {number(round(cut_s, 1))} s after the ramp, of {number(seconds)} s: too late"
        return answer(UNSTEADY, why, use_cut=False)
    alpha = (ALPHA_AFTER_CUT if cut else ALPHA) / (2 * len(series))
    changes = {name: _change(values[cut:], alpha) for name, values in series.items()}
    for name, change in changes.items():
        if change.found:
            at_s = round((cut + change.at) * block_s, 1)
            when = f"from {number(at_s)} s after the ramp on" if change.at else "from beginning to end"
            sign = "more" if change.size > 0 else "fewer"
            return answer(UNSTEADY, f"{name}: {abs(change.size) * 100:.0f} % {sign}, {when}", use_cut=bool(cut))
    for name, change in changes.items():
        if change.worth < WORTH_MIN and change.swing > TOLERANCE:
            why = f"{name} swing so slowly that {blocks - cut} blocks are worth {number(round(change.worth, 1))}"
            return answer(SHORT, why, use_cut=bool(cut))
    why = f"{blocks - cut} blocks of {number(round(block_s, 1))} s without a trend or a change of level"
    return answer(STEADY, why, use_cut=True)


def _too_few(seconds: float, turn_s: float) -> str:
    if turn_s <= 0:
        return "no user started a second turn"
    wanted = math.ceil(BLOCKS_MIN * turn_s)
    return f"{number(round(seconds, 1))} s after the ramp; turns {number(round(turn_s, 1))} s apart need {wanted:,} s"


def _ends_and_turn(
    sent: np.ndarray, end: np.ndarray, account: np.ndarray, begin: int, until: int
) -> tuple[np.ndarray, float]:
    """When each run was over, and the median seconds between two starts of one account (0 without a second one)."""
    order = np.lexsort((sent, account))
    following = np.full(len(sent), max(until, begin), dtype=np.int64)
    same = account[order][1:] == account[order][:-1]
    following[order[:-1][same]] = sent[order[1:][same]]
    gaps = (following - sent)[order[:-1][same]]
    turn_s = float(np.median(gaps)) / 1e9 if len(gaps) else 0.0
    return np.where(end == MISSING, np.maximum(following, sent), end), turn_s


def _under_way(sent_ns: np.ndarray, over_ns: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean number of runs under way in each block: the integral over time, not a sample."""

    def area(instants: np.ndarray) -> np.ndarray:
        """Sum over all instants of how long before each edge they lie, in s."""
        ordered = (np.sort(instants) - edges[0]) / 1e9
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        at = (edges - edges[0]) / 1e9
        before = np.searchsorted(ordered, at, side="right")
        found: np.ndarray = before * at - sums[before]
        return found

    mean: np.ndarray = np.diff(area(sent_ns) - area(over_ns)) / (np.diff(edges) / 1e9)
    return mean


def _warm_up(values: np.ndarray) -> int:
    """Blocks to cut off at the beginning: MSER's, or none where they do not stand out from the rest."""
    blocks = len(values)
    errors = [float(np.sum((values[cut:] - values[cut:].mean()) ** 2)) / (blocks - cut) ** 2
              for cut in range(blocks // 2 + 1)]  # fmt: skip
    cut = int(np.argmin(np.array(errors) + 1e-12 * np.arange(len(errors))))
    if cut == 0:
        return 0
    before, after = values[:cut], values[cut:]
    spread = float(after.var(ddof=1)) * correlation_time(after)
    least = max(CUT_ERRORS * math.sqrt(spread * (1 / cut + 1 / len(after))), TOLERANCE * abs(float(after.mean())))
    return cut if abs(float(before.mean() - after.mean())) > least else 0


def _change(values: np.ndarray, alpha: float) -> _Change:
    """A change of level or a trend in one series, each at `alpha` and of more than a tenth."""
    blocks, mean = len(values), abs(float(values.mean())) or 1.0
    split, standing_out = _split(values)
    step = float(values[split:].mean() - values[:split].mean()) / mean
    slope = _theil_sen(values)
    trend = slope * (blocks - 1) / mean
    without_step = np.concatenate([values[:split] - values[:split].mean(), values[split:] - values[split:].mean()])
    without_trend = values - slope * np.arange(blocks)
    time = min(correlation_time(without_step), correlation_time(without_trend))
    beyond = int(np.sum(_by_chance(blocks) >= standing_out / math.sqrt(time)))
    level = (1 + beyond) / (PERMUTATIONS + 1) <= alpha and abs(step) > TOLERANCE
    trending = _mann_kendall(values, correlation_time(without_trend)) <= alpha and abs(trend) > TOLERANCE
    return _Change(
        found=level or trending,
        size=step if level else trend,
        at=split if level else 0,
        worth=blocks / correlation_time(values),
        swing=float(values.std()) / mean,
    )


def _split(values: np.ndarray) -> tuple[int, float]:
    """Where the two sides differ most in their ranks, and by how many standard deviations."""
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2
    standing_out = np.abs(_rank_sums(ranks))
    place = int(np.argmax(standing_out))
    return place + 1, float(standing_out[place])


def _rank_sums(ranks: np.ndarray) -> np.ndarray:
    """Standardised sums of the ranks before each place to split at; along the last axis. 0 too near the ends."""
    blocks = ranks.shape[-1]
    before = np.arange(1, blocks)
    sums = np.cumsum(ranks, axis=-1)[..., :-1] - before * (blocks + 1) / 2
    found: np.ndarray = sums / np.sqrt(before * (blocks - before) * (blocks + 1) / 12.0)
    found[..., (before < SIDE_MIN) | (before > blocks - SIDE_MIN)] = 0.0
    return found


@lru_cache(maxsize=BLOCKS_MAX)
def _by_chance(blocks: int) -> np.ndarray:
    """How far the most telling split stands out where order means nothing: always the same permutations."""
    orders = np.random.default_rng(blocks).permuted(np.tile(np.arange(1.0, blocks + 1), (PERMUTATIONS, 1)), axis=1)
    found: np.ndarray = np.abs(_rank_sums(orders)).max(axis=1)
    return found


def _mann_kendall(values: np.ndarray, time: float) -> float:
    """Two-sided p of no trend; the variance has the correction for ties and is stretched by the correlation time."""
    blocks = len(values)
    score = abs(float(np.triu(np.sign(values[None, :] - values[:, None]), 1).sum()))
    _, ties = np.unique(values, return_counts=True)
    variance = float(blocks * (blocks - 1) * (2 * blocks + 5) - np.sum(ties * (ties - 1) * (2 * ties + 5))) / 18
    if variance <= 0 or score <= 1:
        return 1.0
    return 2 * (1 - NormalDist().cdf((score - 1) / math.sqrt(variance * time)))


def _theil_sen(values: np.ndarray) -> float:
    """Median slope over all pairs, per block."""
    first, second = np.triu_indices(len(values), 1)
    return float(np.median((values[second] - values[first]) / (second - first)))


def correlation_time(values: np.ndarray) -> float:
    """How many neighbouring values are worth one independent one, at least 1: the initial positive sequence.

    The last factor makes up for a mean that was estimated from the same few values.
    """
    n = len(values)
    rest = values - values.mean()
    total = float(rest @ rest)
    if total <= 1e-18 * n:
        return 1.0
    time, before = -1.0, math.inf
    for lag in range(0, n // 3 * 2 - 1, 2):
        pair = float(rest[lag:] @ rest[: n - lag] + rest[lag + 1 :] @ rest[: n - lag - 1]) / total
        if pair <= 0:
            break
        before = min(pair, before)
        time += 2 * before
    time = max(time, 1.0)
    return time / (1 - time / n) if time < 0.9 * n else 10 * time
