"""The figures: where time goes, two runs up close, response over time, the generator's own load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crosstalk.checks.columns import MISSING, Columns
from reports import drawing, figures
from reports.drawing import BLUE, GREEN, GRID, INK, MUTED, OCHRE, ORANGE, PURPLE, SKY, VERMILLION, Plot
from reports.figures import MS, Spread
from reports.numbers import count, milliseconds, plural, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KIND_COLOURS = {
    "started": BLUE,
    "thinking": PURPLE,
    "tool_executing": ORANGE,
    "tool_completed": ORANGE,
    "chunk": SKY,
    "handoff": OCHRE,
    "notice": MUTED,
    "completed": GREEN,
    "error": VERMILLION,
}
#: kinds that share a lane of the waterfall: a tool is one bar
LANES = {"tool_executing": "tool", "tool_completed": "tool"}
#: outcome → colour and marker; the marker says it again in grey
OUTCOME_MARKS = {
    "ok": (BLUE, "o"),
    "agent_error": (ORANGE, "s"),
    "violated": (VERMILLION, "X"),
    "timeout": (PURPLE, "^"),
    "disconnected": (PURPLE, "v"),
    "refused": (MUTED, "D"),
    "cut": (MUTED, "|"),
}
FLOOR_MS = 0.05  # a logarithmic axis has no zero
LABEL = 8.5
#: of one outcome in one figure; more would make the page heavy and the figure no clearer
DOTS = 2000


def spoken(name: str) -> str:
    """A column or metric as words: `time_to_first_event_ms` → "time to first event"."""
    return name.removesuffix("_ms").replace("_", " ")


def times(spreads: Sequence[Spread], limits: Sequence[dict[str, Any]]) -> Plot:
    """One row a time: the line is the range, the bar goes from p50 to p95, with signs for p50, p95, p99 and max."""

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.bare(axes)
        axes.set_xscale("log")
        finite = [v for s in spreads for v in (s.low, s.high, s.p50) if np.isfinite(v)]
        finite += [float(one["limit"]) for one in limits if _bound(one, spreads)]
        right = max(finite, default=1.0) * (3.0 if narrow else 1.9)
        axes.set_xlim(max(FLOOR_MS, min(finite, default=1.0) * 0.7), right)
        for y, one in enumerate(reversed(spreads)):
            _spread_row(axes, y, one, right)
            for limit in limits:
                if limit["metric"] == one.name and limit.get("limit"):
                    _limit_mark(axes, y, limit, narrow)
        axes.set_yticks(range(len(spreads)), [spoken(s.name) for s in reversed(spreads)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.6, len(spreads) - 0.4)
        first_kinds = sum(s.group != "of the run" for s in spreads)
        if 0 < first_kinds < len(spreads):
            axes.axhline(first_kinds - 0.5, color=MUTED, linewidth=0.7)
        axes.xaxis.set_major_formatter(drawing.time_label)
        axes.xaxis.set_minor_formatter(lambda *_: "")

    height = 0.5 + 0.3 * len(spreads)
    title = "Times on a logarithmic axis: range (line), p50 to p95 (bar), p50 │, p95 ┃, p99 ◇, largest ●; limits dashed"
    return Plot("times", title, draw, (height, height))


def _bound(limit: dict[str, Any], spreads: Sequence[Spread]) -> bool:
    return bool(limit.get("limit")) and any(limit["metric"] == one.name for one in spreads)


def _spread_row(axes: Axes, y: int, one: Spread, right: float) -> None:
    colour = KIND_COLOURS.get(one.name, BLUE)

    def at(value: float) -> float:
        return float(np.clip(value, FLOOR_MS, right))

    axes.plot([at(one.low), at(one.high)], [y, y], color=MUTED, linewidth=1, solid_capstyle="round")
    if one.p95 is not None:
        axes.plot([at(one.p50), at(one.p95)], [y, y], color=colour, linewidth=7, solid_capstyle="butt", alpha=0.75)
        axes.plot([at(one.p95)] * 2, [y - 0.26, y + 0.26], color=INK, linewidth=2.2)
    axes.plot([at(one.p50)] * 2, [y - 0.26, y + 0.26], color=INK, linewidth=1)
    if one.p99 is not None and np.isfinite(one.p99):
        axes.plot(
            [at(one.p99)], [y], marker="D", markersize=4.5, markerfacecolor="none", markeredgecolor=INK, linestyle=""
        )
    if one.censored:
        axes.annotate(
            f"{one.censored} × no end", (right, y - 0.31), ha="right", va="center", fontsize=7, color=VERMILLION
        )
    else:
        axes.plot([at(one.high)], [y], marker="o", markersize=3.6, color=INK, linestyle="")


def _limit_mark(axes: Axes, y: int, limit: dict[str, Any], narrow: bool) -> None:
    value = float(limit["limit"])
    axes.plot([value] * 2, [y - 0.42, y + 0.42], color=VERMILLION, linewidth=1.3, linestyle=(0, (2.2, 1.2)))
    text = milliseconds(value) if narrow else f"{limit['statistic']} ≤ {milliseconds(value)}"
    axes.annotate(
        text,
        (value, y + 0.28),
        ha="left",
        va="center",
        fontsize=7,
        color=VERMILLION,
        xytext=(3, 0),
        textcoords="offset points",
    )


def waterfall(name: str, what: str, runs: Columns, row: int, events: Columns, *, until_ns: int | None = None) -> Plot:
    """Every event of one run on one axis: a tick where it arrived, a bar while a tool was at work.

    :param until_ns: of a run without an end, when it was given up or lost: the silence before it is shaded.
    """
    run, sent = str(runs["run"][row]), int(runs["sent_ns"][row])
    mine = np.flatnonzero((events["run"] == run) & (events["account"] == runs["account"][row]))
    mine = mine[np.argsort(events["n"][mine], kind="stable")]
    kinds = list(dict.fromkeys(LANES.get(kind, kind) for kind in events["kind"][mine].tolist()))
    lanes = {kind: len(kinds) - 1 - i for i, kind in enumerate(kinds)}
    at = (events["arrived_ns"][mine] - sent) / MS
    ended = bool(runs["end_ns"][row] != MISSING)
    last = float(at.max(initial=0.0))
    until = last if ended or until_ns is None else max((until_ns - sent) / MS, last)

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.bare(axes)
        if until > last:
            _silence(axes, last, until, len(kinds))
        for kind in sorted(set(events["kind"][mine].tolist())):
            y, of_kind = lanes[LANES.get(kind, kind)], at[events["kind"][mine] == kind]
            colour, width = KIND_COLOURS.get(kind, MUTED), 1.6 if kind == "chunk" else 2.4
            axes.vlines(of_kind, y - 0.34, y + 0.34, color=colour, linewidth=width)
        for i, instant in zip(mine.tolist(), at.tolist(), strict=True):
            _tool_bar(axes, events, i, instant, lanes.get("tool", 0))
            if not narrow and until <= 2 * last:  # where silence takes most of the axis, names would run together
                _name(axes, events, i, instant, lanes[LANES.get(events["kind"][i], events["kind"][i])])
        axes.set_yticks(list(lanes.values()), [spoken(kind) for kind in lanes])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.7, max(len(kinds) - 0.3, 0.7))
        axes.set_xlim(0, max(until, 0.001) * 1.04)
        axes.xaxis.set_major_formatter(drawing.time_label)
        axes.xaxis.set_major_locator(_few_ticks(narrow))

    took = milliseconds((int(runs["end_ns"][row]) - sent) / MS) if ended else "no end"
    told = f"{took}, {plural(mine.size, 'event')}, {spoken(str(runs['outcome'][row]))}"
    height = 0.55 + 0.34 * max(len(kinds), 2)
    return Plot(name, f"{what}, since its prompt was sent: {told}", draw, (height, height))


def _silence(axes: Axes, last: float, until: float, lanes: int) -> None:
    """From the last event to where the run was given up."""
    axes.axvspan(last, until, color=GRID, alpha=0.55, linewidth=0)
    axes.annotate(
        f"silence, {seconds(int((until - last) * MS))}",
        ((last + until) / 2, max(lanes - 1, 0) / 2),
        ha="center",
        va="center",
        fontsize=LABEL,
        color=MUTED,
    )


def _tool_bar(axes: Axes, events: Columns, i: int, at: float, y: int) -> None:
    took = int(events["tool_time_ns"][i])
    if took != MISSING:
        axes.barh(y, took / MS, left=at - took / MS, height=0.36, color=ORANGE, alpha=0.4, linewidth=0)


def _name(axes: Axes, events: Columns, i: int, at: float, y: int) -> None:
    """The tool above the beginning of its bar, the agent after its start."""
    if events["kind"][i] == "tool_executing":
        axes.annotate(events["tool"][i], (at, y + 0.3), va="bottom", ha="left", fontsize=7, color=MUTED)
    elif events["kind"][i] == "started":
        axes.annotate(
            events["agent"][i],
            (at, y),
            va="center",
            ha="left",
            fontsize=7,
            color=MUTED,
            xytext=(4, 0),
            textcoords="offset points",
        )


def _few_ticks(narrow: bool) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4 if narrow else 9)


def over_time(runs: Columns, health: Columns, started_ns: int, *, window: tuple[float, float] | None = None) -> Plot:
    """Above, each run where its prompt was sent; below, how many users there were then.

    :param window: seconds between which runs are judged; what lies before is shaded.
    """

    def draw(figure: Figure, narrow: bool) -> None:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
        for axes, title in ((above, "response time (no end: at the upper edge)"), (below, "users")):
            drawing.bare(axes, grid="both")
            axes.set_title(title, fontsize=LABEL, color=MUTED, loc="left")
        _dots(above, runs, started_ns)
        if window is not None and window[0] > 0:
            first = float((runs["sent_ns"].min() - started_ns) / 1e9)
            for axes in (above, below):
                axes.axvspan(min(first, 0.0), window[0], color=GRID, alpha=0.55, linewidth=0, zorder=0)
        above.yaxis.set_major_formatter(drawing.time_label)
        place = {"loc": "lower left", "bbox_to_anchor": (0, -0.22 if narrow else -0.2), "ncols": 3 if narrow else 7}
        look = {"fontsize": 7.5, "frameon": False, "labelcolor": INK, "handletextpad": 0.1, "columnspacing": 1.2}
        above.legend(borderpad=0, **place, **look)
        when, users = figures.users_over_time(health)
        below.step((when - started_ns) / 1e9, users, where="post", color=INK, linewidth=1.4)
        below.set_ylim(0, max(int(users.max(initial=1)), 1) * 1.15)
        below.yaxis.set_major_locator(_few_ticks(True))
        below.xaxis.set_major_formatter(lambda x, _: f"{x:g} s")

    return Plot(
        "over_time",
        "Response time of each run, and how many users there were; shaded: ramp and warm-up, not judged",
        draw,
        (4.0, 3.9),
    )


def _dots(axes: Axes, runs: Columns, started_ns: int) -> None:
    """A dot a run, by outcome; runs without an end stand at the upper edge."""
    ended = runs["end_ns"] != MISSING
    took = np.where(ended, (runs["end_ns"] - runs["intended_ns"]) / MS, np.nan)
    top = float(np.nanmax(took)) * 1.12 if ended.any() else 1000.0
    at = (runs["sent_ns"] - started_ns) / 1e9
    for outcome, (colour, marker) in OUTCOME_MARKS.items():
        mine, label = _thinned(np.flatnonzero(runs["outcome"] == outcome), spoken(outcome))
        if mine.size:
            y = np.where(ended[mine], took[mine], top)
            size, line = 13 if outcome == "ok" else 26, 0.9 if marker == "|" else 0
            axes.scatter(at[mine], y, s=size, c=colour, marker=marker, linewidths=line, alpha=0.8, label=label)
    axes.set_ylim(0, top * 1.06)


def _thinned(rows: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """At most `DOTS` of the rows, evenly taken, and a label that says so."""
    step = -(-rows.size // DOTS)
    label = f"{name}, {count(rows.size)}"
    return (rows, label) if step <= 1 else (rows[::step], f"{label} (one in {step} drawn)")


def generator(health: Columns, started_ns: int) -> Plot:
    """What each process took and how late it was, each a line: CPU, waiting for one, hub lag, receive lag."""
    workers = sorted(set(health["worker"].tolist()))
    colours = [BLUE, ORANGE, GREEN, PURPLE, SKY, OCHRE, VERMILLION, MUTED]
    styles = ["-", "--", ":", "-."]
    panels: tuple[tuple[str, Callable[[Columns], np.ndarray]], ...] = (
        ("CPU of each process, % of one core", lambda rows: rows["cpu_percent"]),
        ("waited for a CPU, % of the time", figures.waited_percent),
        ("hub lag, worst in each second, ms", lambda rows: rows["hub_lag_max_ns"] / MS),
        ("receive lag, p99 of each second, ms", lambda rows: rows["receive_lag_p99_ns"] / MS),
    )

    def draw(figure: Figure, narrow: bool) -> None:
        every = figure.subplots(*((4, 1) if narrow else (2, 2)), sharex=True).flat
        for axes, (title, of) in zip(every, panels, strict=True):
            drawing.bare(axes, grid="both")
            axes.set_title(title, fontsize=LABEL, color=MUTED, loc="left")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g} s")
            for i, worker in enumerate(workers):
                rows = {name: health[name][health["worker"] == worker] for name in health}
                look = {"color": colours[i % len(colours)], "linestyle": styles[i % len(styles)]}
                at = (rows["at_ns"] - started_ns) / 1e9
                axes.plot(at, of(rows), **look, linewidth=1.4, label=worker)
            axes.set_ylim(bottom=0)
        every[0].set_ylim(0, max(100.0, float(health["cpu_percent"].max(initial=0)) * 1.1))
        if len(workers) > 1:
            every[0].legend(fontsize=7.5, frameon=False, labelcolor=INK)

    return Plot("generator", "The generator's own load", draw, (3.6, 6.4))
