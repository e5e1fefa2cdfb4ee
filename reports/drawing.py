"""One figure, twice: SVG for the page (its colours follow the reader's light or dark setting) and PNG beside it.

matplotlib draws without pyplot, so nothing is global. With a fixed salt and no date the same data give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.markup import Html, element, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by people with any colour vision. The page replaces these by its own variables.
INK, MUTED, GRID = "#1c2733", "#66727f", "#dfe4ea"
BLUE, SKY, GREEN, ORANGE = "#0072b2", "#56b4e9", "#009e73", "#e69f00"
VERMILLION, PURPLE, OCHRE = "#d55e00", "#cc79a7", "#a08b00"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BLUE: "--blue",
    SKY: "--sky",
    GREEN: "--green",
    ORANGE: "--orange",
    VERMILLION: "--vermillion",
    PURPLE: "--purple",
    OCHRE: "--ochre",
}

#: inches; the narrow one is what a telephone shows
WIDE_IN, NARROW_IN = 9.4, 3.5
PNG_DPI = 144

_HEX = re.compile("|".join(VARIABLES), re.IGNORECASE)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_FONT = re.compile(r"(font: [^;\"]*?px|font-family:) '[^;\"]+")
_DIGITS = re.compile(r"(\d+\.\d{2})\d+")


@dataclass(frozen=True, slots=True)
class Plot:
    """What to draw. `draw(figure, narrow)` puts axes on an empty figure; `heights_in` are for wide and narrow."""

    name: str
    title: str
    draw: Callable[[Figure, bool], None]
    heights_in: tuple[float, float]


def svg(plot: Plot) -> Html:
    """Both sizes; the style sheet shows the one that suits the window."""
    pictures = [
        element("div", _svg(plot, narrow=narrow), class_=cls) for narrow, cls in ((False, "wide"), (True, "slim"))
    ]
    return element("figure", *pictures, element("figcaption", plot.title), class_="plot")


def png(plot: Plot) -> bytes:
    stream = io.BytesIO()
    figure = _figure(plot, narrow=False)
    figure.suptitle(plot.title, fontsize=10.5, x=0.01, ha="left", color=INK)
    figure.set_facecolor("white")
    figure.savefig(stream, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return stream.getvalue()


def _figure(plot: Plot, *, narrow: bool) -> Figure:
    from matplotlib.figure import Figure

    size = (NARROW_IN if narrow else WIDE_IN, plot.heights_in[narrow])
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    plot.draw(figure, narrow)
    return figure


def _svg(plot: Plot, *, narrow: bool) -> Html:
    import matplotlib

    name = f"{plot.name}-{'slim' if narrow else 'wide'}"
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        _figure(plot, narrow=narrow).savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = _STYLE.sub("", _METADATA.sub("", text))
    text = _FONT.sub(r"\1 var(--sans)", text)
    text = _HEX.sub(lambda match: f"var({VARIABLES[match[0].lower()]})", text)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = _DIGITS.sub(r"\1", text)
    # Ids must be unique on the page: several figures live there, each in two sizes.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<svg\b", f'<svg role="img" aria-label="{escape(plot.title)}"', text, count=1)
    return Html(
        re.sub(r"<svg([^>]*?) width=\"[^\"]*\"", r"<svg\1", re.sub(r' height="[^"]*pt"', "", text, count=1), count=1)
    )


def bare(axes: Axes, *, grid: str = "x") -> None:
    """Quiet axes: no frame but one line, a pale grid, small muted labels."""
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8.5, colors=MUTED, labelcolor=MUTED)
    axes.grid(visible=True, axis="both" if grid == "both" else "x" if grid == "x" else "y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")


def time_label(milliseconds: float, _position: float | None = None) -> str:
    """A tick on an axis of milliseconds: "20 ms", "2 s"."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:g} s"
    return f"{milliseconds:g} ms"
