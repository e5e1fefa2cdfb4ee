"""What load tests of a release came to, and whether that is as it should be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PASS, LEAK = 0, 3
#: of the load tests of a release that leaks, how many must say so
SHARE_FOUND_MIN = 0.9


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one load test. `after_s`: from its start to the first frame that leaked; None where none did.

    `opportunities`: frames of the required channel, looked at while another user's canary was live.
    """

    exit_code: int
    channels: tuple[int, ...] = ()
    after_s: float | None = None
    opportunities: int = 0

    @property
    def found(self) -> bool:
        return self.exit_code == LEAK and bool(self.channels)


@dataclass(frozen=True, slots=True)
class Row:
    """A release of an incident. `fixed`: it must not leak."""

    incident: str
    pin: str
    fixed: bool
    outcomes: tuple[Outcome, ...]

    @property
    def found(self) -> int:
        return sum(outcome.found for outcome in self.outcomes)

    @property
    def as_it_should_be(self) -> bool:
        """A fixed release passes every load test; any other is found out by nine load tests in ten."""
        if not self.outcomes:
            return False
        if self.fixed:
            return all(outcome.exit_code == PASS and not outcome.channels for outcome in self.outcomes)
        return self.found >= math.ceil(SHARE_FOUND_MIN * len(self.outcomes))


def read(folder: Path, exit_code: int) -> Outcome:
    """What the folder of a load test says. One that left no verdict is told by its exit code alone."""
    try:
        verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Outcome(exit_code)
    isolation, started_ns = verdict["isolation"], verdict["load_test"]["started_ns"]
    confirmed = [row for row in isolation["violations"] if row["confirmed"]]
    first_ns = min((row["surfaced_ns"] for row in confirmed), default=None)
    return Outcome(
        exit_code,
        tuple(channel["channel"] for channel in isolation["channels"] if channel["violations"]),
        None if first_ns is None else (first_ns - started_ns) / 1e9,
        max((channel["opportunities"] for channel in isolation["channels"] if channel["required"]), default=0),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a table of Markdown."""
    lines = [
        "| incident | release | load tests | leak found | opportunities | channel | time to detection | right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        channels = sorted({channel for outcome in row.outcomes for channel in outcome.channels})
        times = [outcome.after_s for outcome in row.outcomes if outcome.after_s is not None]
        shown = f"{median(times):.1f} s ({min(times):.1f} to {max(times):.1f})" if times else "–"
        codes = sorted({outcome.exit_code for outcome in row.outcomes})
        verdict = "yes" if row.as_it_should_be else f"NO (exit codes {', '.join(map(str, codes))})"
        cells = (
            row.incident,
            row.pin + (", fixed" if row.fixed else ""),
            str(len(row.outcomes)),
            str(row.found),
            f"{sum(outcome.opportunities for outcome in row.outcomes):,}",
            ", ".join(map(str, channels)) or "–",
            shown,
            verdict,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
