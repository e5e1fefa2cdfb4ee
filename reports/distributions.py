"""How each time is distributed: every percentile with its 95 % bounds, a small panel each. Pure: samples in, figure.

Upwards goes the share of samples that were quicker, stretched towards the end as HdrHistogram's plots are, so that the
99th percentile has as much room as the 90th; times are logarithmic. The line is in ink and the band is pale: both are
told apart in grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.checks.statistics import lower_bound, percentile, upper_bound
from reports import drawing, numbers
from reports.drawing import INK, MUTED, SKY, VERMILLION, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: points of a curve; each costs bytes of the page, four times
POINTS = 40
FLOOR_MS = 0.05  # a logarithmic axis has no zero
TICKS = (0.5, 0.9, 0.99, 0.999, 0.9999)
#: the narrow panel has the axis of the wide one, and half of its columns
COLUMNS_WIDE, COLUMNS_NARROW = 4, 2
PANEL_IN, EDGE_IN = 1.45, 0.35
#: of the axis, between two ticks
TICK_DISTANCE = 0.36
#: fewer samples make no curve; their table says all
SAMPLES_MIN = 5


@dataclass(frozen=True, slots=True)
class Curve:
    """Of one time: shares in ascending order, the percentile at each, and its bounds, None where there are too few."""

    name: str
    n: int
    never: int
    shares: tuple[float, ...]
    times_ms: tuple[float, ...]
    low_ms: tuple[float | None, ...]
    high_ms: tuple[float | None, ...]


def curve(name: str, ordered: np.ndarray) -> Curve | None:
    """None with too few samples. Shares stop where one more sample would be the slowest one."""
    n = len(ordered)
    if n < SAMPLES_MIN:
        return None
    last = 1.0 - 1.0 / n
    shares = [0.0, *(1.0 - 10.0**-depth for depth in np.linspace(0.02, -math.log10(1.0 - last), POINTS).tolist())]
    inner = [share for share in shares if 0.0 < share <= last + 1e-12]
    return Curve(
        name=name,
        n=n,
        never=int(np.isinf(ordered).sum()),
        shares=(0.0, *inner),
        times_ms=(float(ordered[0]), *(percentile(ordered, share) for share in inner)),
        low_ms=(None, *(lower_bound(ordered, share) for share in inner)),
        high_ms=(float(ordered[0]), *(upper_bound(ordered, share) for share in inner)),
    )


def plot(curves: Sequence[tuple[str, Curve]], limits: Sequence[dict[str, Any]]) -> Plot:
    """:param curves: each with its title.
    :param limits: of the verdict; those of a percentile are drawn where they are promised, a cross at share and time.
    """

    def draw(figure: Figure, narrow: bool) -> None:
        columns = COLUMNS_NARROW if narrow else COLUMNS_WIDE
        panels = figure.subplots(-(-len(curves) // columns), columns, squeeze=False).ravel().tolist()
        for axes, (title, one) in zip(panels, curves, strict=False):
            _panel(axes, title, one, [limit for limit in limits if limit["metric"] == one.name])
        for axes in panels[len(curves) :]:
            axes.set_visible(False)

    wide, narrow = (EDGE_IN + PANEL_IN * -(-len(curves) // columns) for columns in (COLUMNS_WIDE, COLUMNS_NARROW))
    title = "Share of samples that took no longer, with 95 % bounds (band); axes stretched; ✕ a limit of a percentile"
    return Plot("distributions", title, draw, (wide, narrow))


def _panel(axes: Axes, title: str, one: Curve, limits: Sequence[dict[str, Any]]) -> None:
    drawing.bare(axes, grid="both")
    axes.set_title(title, fontsize=8, color=INK, loc="left", pad=3)
    n = f"n = {numbers.count(one.n)}"
    axes.annotate(n, (0.03, 0.97), xycoords="axes fraction", ha="left", va="top", fontsize=7, color=MUTED)
    promised = [(_depth(_share_of(limit)), float(limit["limit"])) for limit in limits if _share_of(limit)]
    left, right = _edges(one, [time for _, time in promised])
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    depths = [_depth(share) for share in one.shares]
    axes.fill_betweenx(depths, *band(one, left, right), color=SKY, alpha=0.4, linewidth=0)
    ended = [(max(time, FLOOR_MS), depth) for time, depth in zip(one.times_ms, depths, strict=True) if time < math.inf]
    if ended:
        axes.plot(*zip(*ended, strict=True), color=INK, linewidth=1.3)
    for depth, time in promised:
        axes.plot([time], [depth], marker="x", markersize=6, markeredgewidth=1.6, color=VERMILLION, linestyle="")
    top = max([depths[-1], *(depth for depth, _ in promised)]) + 0.12
    axes.set_ylim(0, top)
    ticks = [share for share in TICKS if _depth(share) <= top]
    axes.set_yticks([_depth(share) for share in ticks], [numbers.share(share) for share in ticks])
    axes.tick_params(labelsize=7)
    _time_ticks(axes, left, right)
    if one.never:
        said = f"{numbers.count(one.never)} × no end"
        axes.annotate(said, (1, 0.03), xycoords="axes fraction", ha="right", fontsize=7, color=VERMILLION)


def band(one: Curve, left: float, right: float) -> tuple[list[float], list[float]]:
    """Lower and upper bounds as they are drawn: one that does not exist lies at the edge of the panel."""
    low = [left if bound is None else min(max(bound, left), right) for bound in one.low_ms]
    high = [right if bound is None else min(max(bound, left), right) for bound in one.high_ms]
    return low, high


def _edges(one: Curve, promised: list[float]) -> tuple[float, float]:
    """The axis holds the curve and its promises, and has a width even where all samples are equal."""
    shown = [max(time, FLOOR_MS) for time in (*one.times_ms, *one.high_ms, *promised) if time is not None]
    finite = [time for time in shown if time < math.inf] or [1.0]
    return min(finite) / 1.25, max(finite) * 1.25


def _time_ticks(axes: Axes, left: float, right: float) -> None:
    """Two or three ticks at round times, so far apart that their labels never touch in a narrow panel."""
    from matplotlib.ticker import NullLocator

    inside: list[float] = []
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), [n / 20 for n in range(20, 200)]):
        inside = [step * 10.0**decade for decade in range(-2, 8) for step in steps]
        inside = [mark for mark in inside if left <= mark <= right]
        if len(inside) > 1:
            break
    chosen: list[float] = []
    for mark in reversed(inside):
        if not chosen or math.log(chosen[-1] / mark) > TICK_DISTANCE * math.log(right / left):
            chosen.append(mark)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(chosen, [drawing.time_label(mark) for mark in chosen])


def _depth(share: float) -> float:
    """Where a share stands: 0 at 0 %, 1 at 90 %, 2 at 99 %."""
    return -math.log10(1.0 - share)


def _share_of(limit: dict[str, Any]) -> float:
    """0.95 of a limit of a p95 that has a bound; 0 of others."""
    said = str(limit.get("statistic", ""))
    return int(said[1:]) / 100 if limit.get("limit") and said.startswith("p") and said[1:].isdigit() else 0.0
