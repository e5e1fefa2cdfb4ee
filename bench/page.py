"""Rows of the benchmark as a page, a document and a picture. Functions of the rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from bench.machine import sentence
from bench.one_run import Row
from bench.tools import TOOLS
from reports import drawing
from reports.drawing import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HARNESS = "crosstalk"
#: colour, hatch and marker of a tool: told apart in grey as well
_LOOK = {
    "crosstalk": (BLUE, "", "o"),
    "crosstalk-pure": (GREEN, "---", "P"),
    "plain": (ORANGE, "///", "s"),
    "plain-tuned": (SKY, "...", "D"),
    "k6": (VERMILLION, "xxx", "^"),
    "picows": (PURPLE, "\\\\\\", "v"),
}

Cell = tuple[str, str]  # regime, scheme


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the alternations."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{figure_of(self.median)} ({figure_of(self.least)}–{figure_of(self.most)})"


def spread(values: Iterable[float]) -> Spread | None:
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1]) if found else None


def cells(rows: Sequence[Row]) -> list[Cell]:
    return list(dict.fromkeys((row.regime, row.scheme) for row in rows))


def cost(rows: Sequence[Row], tool: str, cell: Cell) -> Spread | None:
    """CPU µs an event. None where a tool was sent nothing in any alternation."""
    return spread(row.cpu_us_per_event for row in _of(rows, tool, cell) if row.sent)


def ratio(rows: Sequence[Row], tool: str, cell: Cell) -> Spread | None:
    """CPU per event of the harness over that of another tool, alternation by alternation."""
    theirs = {row.alternation: row for row in _of(rows, tool, cell) if row.sent and row.cpu_us_per_event}
    return spread(
        row.cpu_us_per_event / theirs[row.alternation].cpu_us_per_event
        for row in _of(rows, HARNESS, cell)
        if row.sent and row.alternation in theirs
    )


def as_document(rows: Sequence[Row], where: Mapping[str, str]) -> bytes:
    """For machines: every alternation, and what was made of them."""
    summary = [
        {"regime": cell[0], "scheme": cell[1], "tool": tool, "cpu_us_per_event": cost(rows, tool, cell),
         "harness_over_it": ratio(rows, tool, cell)}
        for cell in cells(rows) for tool in _tools(rows)
    ]  # fmt: skip
    document = {"schema": 1, "conditions": dict(where), "summary": summary, "rows": [row.as_dict() for row in rows]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def as_markdown(rows: Sequence[Row], where: Mapping[str, str]) -> str:
    alternations = len({row.alternation for row in rows})
    lines = [
        "# Side by side with peers",
        "",
        f"Measured on {sentence(dict(where))}. {alternations} alternations; each figure is their median, and in "
        "brackets the least and the most. What each tool does, and what is on its bill: [README.md](../README.md).",
        "",
        "![CPU per event and error](side_by_side.png)",
        "",
        "## CPU time of the client, µs per event",
        "",
        *table_of(["tool", *map(_name, cells(rows))], _cost_rows(rows)),
        "",
        "## Error against the sender's clock, ms",
        "",
        "From the sender's stamp, just before its write, to the instant that the tool gives. Medians of the "
        "alternations' p50 and p99; the largest of their maxima. k6 has a clock of whole milliseconds.",
        "",
        *table_of(["tool and its instant", "", *map(_name, cells(rows))], _error_rows(rows)),
        "",
        "## What was wrong",
        "",
        *(_problems(rows) or ["Nothing: every tool took all that was offered, and has every event that was sent."]),
    ]
    return "\n".join(lines) + "\n"


def _cost_rows(rows: Sequence[Row]) -> list[list[str]]:
    table = []
    for tool in _tools(rows):
        costs = [_mark(rows, tool, cell, str(cost(rows, tool, cell) or "no figure")) for cell in cells(rows)]
        table.append([TOOLS[tool].title, *costs])
    table += [
        [f"**Crosstalk ÷ {tool}**", *(str(ratio(rows, tool, cell) or "") for cell in cells(rows))]
        for tool in _tools(rows)
        if tool != HARNESS and HARNESS in _tools(rows)
    ]
    if HARNESS not in _tools(rows):
        return table
    exact = [spread(row.more["exact_share"] for row in _of(rows, HARNESS, cell) if row.more) for cell in cells(rows)]
    ends = [spread(row.cpu_once_ns / 1e6 for row in _of(rows, HARNESS, cell)) for cell in cells(rows)]
    table.append(["Crosstalk: share of exact stamps", *(f"{100 * one.median:.0f} %" if one else "" for one in exact)])
    table.append(["Crosstalk: once, at its end, ms", *(f"{one.median:.0f}" if one else "" for one in ends)])
    return table


def _error_rows(rows: Sequence[Row]) -> list[list[str]]:
    table = []
    for tool in _tools(rows):
        for instant in dict.fromkeys(kind for row in rows if row.tool == tool for kind in row.errors):
            for name, statistic in (("p50", statistics.median), ("p99", statistics.median), ("max", max)):
                said = []
                for cell in cells(rows):
                    found = [getattr(row.errors[instant], f"{name}_ms") for row in _of(rows, tool, cell)
                             if instant in row.errors and row.errors[instant].n]  # fmt: skip
                    said.append(_mark(rows, tool, cell, figure_of(statistic(found))) if found else "")
                table.append([f"{tool}: {instant}" if name == "p50" else "", name, *said])
    return table


def _problems(rows: Sequence[Row]) -> list[str]:
    found = [(row, problem.splitlines()[0]) for row in rows for problem in row.problems]
    said = [
        f"- † {row.tool}, {row.regime} over {row.scheme}, alternation {row.alternation + 1}: {problem}"
        for row, problem in found
    ]
    late = [row for row in rows if row.skipped_slots]
    said += [
        f"- the sender skipped {row.skipped_slots} slots in alternation {row.alternation + 1} of {row.regime} over "
        f"{row.scheme} with {row.tool}: the machine was too busy for the load that was asked for"
        for row in late
    ]
    return said


def figure(rows: Sequence[Row]) -> Plot:
    """CPU per event as bars, a dot for each alternation; errors as lines from p50 to p99 with a mark at the maximum.

    The harness has two lines: its exact stamps, and dotted all that it gives.
    """

    def draw(figure: Figure, _narrow: bool) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        tools, places = _tools(rows), cells(rows)
        height = 0.82 / len(tools)
        for place, cell in enumerate(places):
            for number, tool in enumerate(tools):
                y = place - 0.41 + height * (number + 0.5)
                _bar(left, rows, tool, cell, y, height, label=place == 0)
                _line(right, rows, tool, cell, y, height)
        left.set_yticks(range(len(places)), [_name(cell) for cell in places])
        left.invert_yaxis()
        for axes, label in ((left, "CPU µs per event"), (right, "error, ms: p50 to p99, and the maximum")):
            drawing.bare(axes)
            axes.set_xlabel(label, fontsize=8.5, color=MUTED)
        figure.legend(fontsize=7.5, frameon=False, loc="outside lower center", ncols=len(tools))
        right.set_xscale("log")

    size = 1.6 + 0.95 * len(cells(rows))
    title = "The client's CPU time per event, and its error against the sender's clock"
    return Plot("side_by_side", title, draw, (size, size))


def _bar(axes: Axes, rows: Sequence[Row], tool: str, cell: Cell, y: float, height: float, *, label: bool) -> None:
    found = cost(rows, tool, cell)
    if found is None:
        return
    colour, hatch, _ = _LOOK[tool]
    axes.barh(
        y, found.median, height * 0.9, color=colour, hatch=hatch, edgecolor="white", linewidth=0,
        label=tool if label else None,
    )  # fmt: skip
    each = [row.cpu_us_per_event for row in _of(rows, tool, cell) if row.sent]
    axes.plot(each, [y] * len(each), ".", markersize=3, color=INK)


def _line(axes: Axes, rows: Sequence[Row], tool: str, cell: Cell, y: float, height: float) -> None:
    colour, _, marker = _LOOK[tool]
    shown = [instant for row in _of(rows, tool, cell) for instant in row.errors]
    for instant, style, offset in zip(dict.fromkeys(shown), ("-", ":"), (0.0, 0.3), strict=False):
        errors = [
            row.errors[instant] for row in _of(rows, tool, cell) if instant in row.errors and row.errors[instant].n
        ]
        if not errors:
            continue
        at = y + offset * height
        # a clock of milliseconds can be early: what is less than a microsecond stands at one
        p50, p99 = (max(statistics.median(getattr(one, key) for one in errors), 1e-3) for key in ("p50_ms", "p99_ms"))
        axes.plot([p50, p99], [at, at], style, color=colour, marker=marker, markersize=4, linewidth=1.6)
        axes.plot(
            [max(one.max_ms for one in errors)], [at], color=colour, marker=marker, markersize=4, fillstyle="none"
        )


def _of(rows: Sequence[Row], tool: str, cell: Cell) -> list[Row]:
    return [row for row in rows if row.tool == tool and (row.regime, row.scheme) == cell]


def _tools(rows: Sequence[Row]) -> list[str]:
    there = {row.tool for row in rows}
    return [name for name in TOOLS if name in there]


def _mark(rows: Sequence[Row], tool: str, cell: Cell, text: str) -> str:
    return f"{text} †" if any(row.problems for row in _of(rows, tool, cell)) else text


def _name(cell: Cell) -> str:
    return f"{cell[0]} {cell[1]}"


def figure_of(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:.{digits}f}"


def table_of(head: list[str], body: list[list[str]]) -> list[str]:
    rule = "|".join(["---", *["---:"] * (len(head) - 1)])
    return ["| " + " | ".join(head) + " |", f"|{rule}|", *("| " + " | ".join(line) + " |" for line in body)]
