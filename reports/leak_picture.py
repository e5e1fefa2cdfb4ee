"""Who saw whose: owners down, observers across, one square for each pair. Inline SVG, the same bytes for the same rows.

Up to 30 accounts a square holds its number; beyond that its size says it, and above 100 accounts neighbours share
a row. It says the same in grey, and to people with any colour vision: number or size carries it, never the hue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.markup import Html, element, join
from reports.numbers import count, plural

EACH_MAX = 100
BINS = 50
NUMBERED_MAX = 30
LABELS_MAX = 24
ROOM_PX = 640
LABEL_LETTERS = 12
LETTER_PX = 6.6


@dataclass(frozen=True, slots=True)
class Cell:
    owner: int  # bin
    observer: int
    times: int
    example: str  # the gravest violation of the pair
    own: bool  # of one's own other run or thread


@dataclass(frozen=True, slots=True)
class Crossing:
    """Bins of accounts in their order, each named after its first and last, and what crossed between them."""

    bins: tuple[tuple[str, str], ...]
    cells: tuple[Cell, ...]
    accounts: int


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where things are, in the units of the picture."""

    side: float
    span: float
    margin: int

    def middle(self, at: int) -> float:
        return self.margin + (at + 0.5) * self.side


def crossing(rows: Sequence[Mapping[str, Any]], accounts: Sequence[str]) -> Crossing:
    """Isolation violations with a known owner, by pair. :param rows: violations, the gravest first."""
    leaks = [row for row in rows if row["judgement"] == "isolation" and row["owner"]]
    names = sorted({*accounts, *(row["owner"] for row in leaks), *(row["observer"] for row in leaks)})
    width = 1 if len(names) <= EACH_MAX else math.ceil(len(names) / BINS)
    bin_of = {name: i // width for i, name in enumerate(names)}
    groups = tuple((names[i], names[min(i + width, len(names)) - 1]) for i in range(0, len(names), width))
    times: dict[tuple[int, int, bool], int] = {}
    examples: dict[tuple[int, int, bool], str] = {}
    for row in leaks:
        key = (bin_of[row["owner"]], bin_of[row["observer"]], row["owner"] == row["observer"])
        times[key] = times.get(key, 0) + int(row["count"])
        examples.setdefault(key, row["violation"])
    cells = tuple(Cell(a, b, times[a, b, own], examples[a, b, own], own) for a, b, own in sorted(times))
    return Crossing(groups, cells, len(names))


def drawn(made: Crossing, links: Mapping[str, str]) -> Html:
    """:param links: violation → where its trace is; a pair without one is no link."""
    number = len(made.bins)
    side = max(min(26.0, ROOM_PX / max(number, 1)), 5.0)
    span = side * number
    most = max((cell.times for cell in made.cells), default=1)
    margin = round(12 + LETTER_PX * max((len(_label(first)) for first, _ in made.bins), default=0))
    grid = _Grid(side, span, margin)
    shapes = [*_grid(made, grid), *(_square(cell, made, grid, most, links) for cell in made.cells)]
    box = f"0 0 {margin + span + 8:.0f} {margin + span + 8:.0f}"
    label = f"Owner by observer: {plural(len(made.cells), 'pair')} of accounts, {plural(made.accounts, 'account')}"
    style = f"max-width: {margin + span + 8:.0f}px"
    picture = element("svg", *shapes, viewBox=box, role="group", aria_label=label, style=style)
    return element("figure", picture, element("figcaption", _caption(made)), class_="crossing")


def _caption(made: Crossing) -> str:
    said = "Down: whose it is. Across: who saw it. "
    said += "The number says how often" if len(made.bins) <= NUMBERED_MAX else "A larger square is more often"
    if made.accounts > len(made.bins):
        said += f"; each row and column stands for up to {math.ceil(made.accounts / len(made.bins))} accounts"
    if any(cell.own for cell in made.cells):
        said += "; dashed on the diagonal: of one's own other run or thread"
    return said + ". A square opens the trace of its gravest."


def _label(name: str) -> str:
    return name if len(name) <= LABEL_LETTERS else f"…{name[1 - LABEL_LETTERS :]}"


def _grid(made: Crossing, grid: _Grid) -> list[Html]:
    every = max(1, math.ceil(len(made.bins) / LABELS_MAX))
    margin, size = grid.margin, f"{grid.span:.1f}"
    shapes = [element("rect", x=margin, y=margin, width=size, height=size, class_="frame")]
    for i, (first, _) in enumerate(made.bins):
        middle = grid.middle(i)
        shapes.append(_path(f"M{margin} {middle:.1f}h{size}M{middle:.1f} {margin}v{size}"))
        if i % every == 0:
            name = _label(first)
            shapes.append(element("text", name, x=margin - 6, y=f"{middle + 3.5:.1f}", text_anchor="end"))
            turned = f"translate({middle + 3.5:.1f} {margin - 6}) rotate(-90)"
            shapes.append(element("text", name, transform=turned))
    return shapes


def _path(line: str) -> Html:
    return element("path", d=line, class_="line")


def _square(cell: Cell, made: Crossing, grid: _Grid, most: int, links: Mapping[str, str]) -> Html:
    numbered = len(made.bins) <= NUMBERED_MAX
    size = grid.side - 3 if numbered else max(grid.side * math.sqrt(cell.times / most), 4.0)
    x, y = grid.middle(cell.observer), grid.middle(cell.owner)
    left, top, width = (f"{value:.1f}" for value in (x - size / 2, y - size / 2, size))
    style = " ".join(filter(None, ("cell", "numbered" if numbered else "", "own" if cell.own else "")))
    shape = element("rect", x=left, y=top, width=width, height=width, rx="2", class_=style)
    said = f"{_name(made, cell.observer)} saw what belongs to {_name(made, cell.owner)}: {plural(cell.times, 'time')}"
    parts = [element("title", said), shape]
    if numbered:
        number = count(cell.times) if cell.times < 1000 else "999+"
        parts.append(element("text", number, x=f"{x:.1f}", y=f"{y + 3.8:.1f}", text_anchor="middle", class_="many"))
    link = links.get(cell.example)
    return element("a", *parts, href=link, aria_label=said) if link else element("g", join(parts))


def _name(made: Crossing, at: int) -> str:
    first, last = made.bins[at]
    return first if first == last else f"{first} to {last}"
