"""Does a figure grow? The slope of a series with an interval that holds although neighbours resemble each other.

The samples are cut into at most 60 blocks, in the order of time; each block's median stands for it, so that a few slow
ones tilt nothing. A straight line is laid through the medians by least squares. What is left over is correlated: a heap
fills and is collected, a busy minute follows a busy minute. So the line is worth fewer blocks than there are:

    worth = n (1 - r - 0.68 / √n) / (1 + r + 0.68 / √n),    r: correlation of neighbours in what is left over

after Nychka, Buchberger, Wigley, Santer, Taylor and Jones, "Confidence intervals for trend estimates with
autocorrelated observations" (2000), who add 0.68 / √n because r comes out too small when it is estimated from the same
few values; see also Santer et al., Int. J. Climatology 28 (2008). The interval is that of Student's t with worth - 2
degrees of freedom. Their correction is for a memory of one step; for longer ones, r of every second and of every fourth
value is looked at too, and the least worth counts. On simulated series with a known slope (white, lognormal, AR(1) up
to 0.9, sums of ten, sawtooth; 60 blocks) the interval holds the slope in 93 to 99 of 100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

CONFIDENCE = 0.95
BLOCKS_MIN, BLOCKS_MAX = 20, 60
#: degrees of freedom that a line is granted at least: its interval is very wide then
FREEDOM_MIN = 1.0
#: of Nychka et al.
_SHORT_OF = 0.68


@dataclass(frozen=True, slots=True)
class Slope:
    """Change per unit of x, with both ends of its interval at 95 %. None: it cannot be told, and `reason` says why."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # samples
    blocks: int = 0
    worth: float = 0.0  # independent blocks
    level: float | None = None  # of the line in the middle
    reason: str = ""


def slope(x: np.ndarray, y: np.ndarray, *, a_block: int = 1, confidence: float = CONFIDENCE) -> Slope:
    """The slope of y over x; both in the order of time, x never falling. Samples that are not finite are left out.

    :param a_block: samples of which a block has at least so many, if there are enough for `BLOCKS_MIN` such blocks:
        more than a few, where single ones lie far out.
    """
    known = np.isfinite(y)
    x, y = np.asarray(x, dtype=float)[known], np.asarray(y, dtype=float)[known]
    n = len(y)
    if n < BLOCKS_MIN:
        return Slope(None, None, None, n, reason=f"{n} samples, at least {BLOCKS_MIN} are needed")
    order = np.argsort(x, kind="stable")
    at, level = _blocks(x[order], y[order], a_block)
    spread = float(np.sum((at - at.mean()) ** 2))
    if spread <= 0:
        return Slope(None, None, None, n, len(at), reason="all samples are of one instant")
    per_x = float(np.sum((at - at.mean()) * (level - level.mean()))) / spread
    left = level - level.mean() - per_x * (at - at.mean())
    worth = worth_of(left)
    freedom = max(worth - 2, FREEDOM_MIN)
    reach = student(freedom, confidence) * math.sqrt(float(left @ left) / freedom / spread)
    return Slope(per_x, per_x - reach, per_x + reach, n, len(at), worth, float(level.mean()))


def _blocks(x: np.ndarray, y: np.ndarray, a_block: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of x and median of y in blocks of neighbours, all of about as many samples."""
    edges = np.linspace(0, len(y), max(min(len(y) // a_block, BLOCKS_MAX), BLOCKS_MIN) + 1).astype(int)
    pairs = list(pairwise(edges.tolist()))
    return np.array([x[a:b].mean() for a, b in pairs]), np.array([np.median(y[a:b]) for a, b in pairs])


def worth_of(left: np.ndarray) -> float:
    """How many independent values what is left over of a line is worth; at most as many as there are."""
    n = len(left)
    total = float(left @ left)
    if total <= 1e-18 * n:
        return float(n)
    worths = []
    for lag in (1, 2, 4):
        r = float(left[lag:] @ left[:-lag]) / total
        r = math.copysign(abs(r) ** (1 / lag), r) if r > 0 else 0.0  # as if it were the memory of one step
        short_of = _SHORT_OF / math.sqrt(n)
        worths.append(n * max(1 - r - short_of, 0.0) / (1 + r + short_of))
    return min(worths)


@lru_cache(maxsize=1024)
def student(freedom: float, confidence: float) -> float:
    """Two-sided quantile of Student's t: P(|T| < t) = confidence.

    With t = √freedom tan θ its density is cos θ to the power of freedom - 1, summed up here over a fine grid of θ.
    """
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1) if freedom != 1 else np.ones_like(angles)
    sums = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp(confidence * sums[-1], sums, angles))
    return math.sqrt(freedom) * math.tan(angle)


def settled_from(y: np.ndarray) -> int:
    """From which sample on a series has settled: what fills up to a bound, first, is no growth. At most half is cut.

    The rule is MSER's, as for the window of times (steady.py): cut where the standard error of the mean of what remains
    is smallest. A series that goes on growing loses its first half by it, and keeps its slope.
    """
    n = len(y)
    if n < 2 * BLOCKS_MIN:
        return 0
    errors = [float(np.sum((y[cut:] - y[cut:].mean()) ** 2)) / (n - cut) ** 2 for cut in range(n // 2 + 1)]
    return int(np.argmin(errors))
