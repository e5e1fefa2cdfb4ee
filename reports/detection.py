"""The detection matrix as a page, a document and a picture: what each fault was caught as. Functions of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson

from crosstalk.checks.detection import Detection, Sighting
from reports import drawing
from reports.drawing import BLUE, INK, MUTED, VERMILLION, Plot
from reports.markup import printable
from reports.numbers import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VERDICTS = {"caught": "caught", "wrong name": "WRONG NAME", "missed": "MISSED", "never bit": "never bit"}


def as_document(rows: Sequence[Detection], alarms: Sequence[Sighting], exit_codes: Mapping[str, int]) -> bytes:
    """For machines."""
    return orjson.dumps(
        {
            "schema": 1,
            "rows": [_fields(row) for row in rows],
            "false_alarms": [{"label": one.label, "observer": one.observer, "owner": one.owner} for one in alarms],
            "exit_codes": dict(exit_codes),
        },
        option=orjson.OPT_INDENT_2,
    )


def as_markdown(rows: Sequence[Detection], alarms: Sequence[Sighting], exit_codes: Mapping[str, int]) -> str:
    """For people: what fell short first, then every row."""
    caught = [row for row in rows if row.verdict == "caught"]
    lines = [
        "# Detection matrix",
        "",
        f"{len(caught)} of {len(rows)} rows caught under the name that the catalogue gives them; "
        f"{len(alarms)} false alarms at accounts without a fault.",
        "",
    ]
    lines += [
        f"- {_VERDICTS[row.verdict]}: `{row.planted.fault}` ({row.planted.shape}, {row.planted.intensity}), "
        f"expected {row.planted.judged_as}; seen: {_seen(row) or 'nothing'}"
        for row in rows
        if row.verdict != "caught"
    ]
    lines += [f"- false alarm: {one.label} at account {one.observer}" for one in alarms]
    lines += [
        "",
        "| fault | shape | intensity | bites | runs caught | expected | seen as (count) | time to detection | "
        "opportunities | |",
        "|---|---|---|---:|---:|---|---|---:|---:|---|",
        *(_line(row) for row in rows),
        "",
        "Exit codes of the load tests: " + ", ".join(f"{name} {code}" for name, code in exit_codes.items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def figure(rows: Sequence[Detection]) -> Plot:
    """Fault × label. The sign tells it in grey as well: full = expected and seen, ring = seen beside, cross = expected
    and not seen."""
    named = [(f"{row.planted.fault}{_more(row)}", row) for row in rows]
    labels = sorted({label for row in rows for label in (*row.caught_as, *dict(row.seen), *_wanted(row))}, key=_order)

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.bare(axes, grid="both")
        at = {label: position for position, label in enumerate(labels)}
        for y, (_, row) in enumerate(reversed(named)):
            for label, _number in row.seen:
                expected = label in row.planted.expected
                axes.plot(
                    at[label], y, marker="s" if expected else "o", markersize=5 if expected else 4,
                    color=BLUE if expected else MUTED, markerfacecolor=BLUE if expected else "none",
                )  # fmt: skip
            if row.verdict in ("missed", "wrong name"):
                for label in _wanted(row):
                    axes.plot(at[label], y, marker="x", markersize=6, markeredgewidth=2, color=VERMILLION)
            if not narrow:
                axes.text(len(labels) - 0.4, y, _time(row), fontsize=6.5, color=INK, va="center")
        axes.set_yticks(range(len(named)), [name for name, _ in reversed(named)], fontsize=6.5)
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6.5)
        axes.xaxis.tick_top()
        axes.set_xlim(-0.6, len(labels) + (1.6 if not narrow else 0))
        axes.set_ylim(-0.6, len(named) - 0.4)

    height = 2.0 + 0.145 * len(named)
    title = "Faults and what they are caught as: ■ under the expected name, ○ seen beside it, × expected and not seen"
    return Plot("detection", title, draw, (height, height))


def _fields(row: Detection) -> dict[str, object]:
    low, high = row.share_95
    planted = row.planted
    return {
        "fault": planted.fault,
        "shape": planted.shape,
        "intensity": planted.intensity,
        "judged_as": planted.judged_as,
        "accounts": None if planted.accounts is None else sorted(planted.accounts),
        "verdict": row.verdict,
        "bites": row.bites,
        "runs_bitten": row.runs_bitten,
        "runs_caught": row.runs_caught,
        "runs_caught_share_95": [round(low, 4), round(high, 4)],
        "seen": dict(row.seen),
        "caught_as": list(row.caught_as),
        "time_to_detection_ms": None if row.time_to_detection_ns is None else row.time_to_detection_ns / 1e6,
        "opportunities": row.opportunities,
    }


def _line(row: Detection) -> str:
    planted = row.planted
    runs = f"{row.runs_caught} of {row.runs_bitten}" if row.runs_bitten else "–"
    cells = [
        f"`{planted.fault}`", planted.shape, planted.intensity, count(row.bites), runs, planted.judged_as,
        _seen(row) or "–", _time(row) or "–", "–" if row.opportunities is None else count(row.opportunities),
        _VERDICTS[row.verdict],
    ]  # fmt: skip
    return "| " + " | ".join(printable(cell).replace("|", "\\|") for cell in cells) + " |"


def _seen(row: Detection) -> str:
    return ", ".join(f"{label} ({number})" for label, number in row.seen)


def _time(row: Detection) -> str:
    if row.time_to_detection_ns is None:
        return ""
    ms = row.time_to_detection_ns / 1e6
    return f"{ms / 1e3:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def _more(row: Detection) -> str:
    shape = "" if row.planted.shape == "netra" else f", {row.planted.shape}"
    intensity = "" if row.planted.intensity == "always" else f", {row.planted.intensity}"
    return shape + intensity


def _wanted(row: Detection) -> tuple[str, ...]:
    """The label to draw a cross at: the first expected one, where none was seen."""
    return row.planted.expected[:1] if not row.caught_as else ()


def _order(label: str) -> tuple[int, int, str]:
    number = label.removeprefix("channel ")
    return (0, int(number), "") if number.isdecimal() else (1, 0, label)
