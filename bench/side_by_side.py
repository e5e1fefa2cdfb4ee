"""This harness beside its peers, in one go on one machine, taking turns: CPU per event, and each tool's error.

    python -m bench.side_by_side [--alternations 5] [--seconds 3] [--only bursts,paced-200] [--schemes ws,wss]
                                 [--tools crosstalk,plain,plain-tuned,k6,picows] [--out DIR]

`--tools crosstalk,crosstalk-pure` shows what the compiled parts are worth, where there are any.
Writes side_by_side.md, .json (every alternation) and .png to bench/results; ends with 1 when the harness lost an event
or called something a violation. What is measured, and what each tool does: bench/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.machine import conditions
from bench.one_run import Row, ToolFailed, failed, run
from bench.page import as_document, as_markdown, figure
from bench.stand import ROOT, Regime, SenderFailed
from bench.tools import TOOLS, Tool
from reports.drawing import png

REGIMES = (
    Regime("bursts", users=50, period_ms=250, per_slot=25, events_per_run=25),
    Regime("paced-200", users=200, period_ms=20, per_slot=1, events_per_run=100),
    Regime("paced-800", users=800, period_ms=20, per_slot=1, events_per_run=100),
)

#: a window that is all end
NEXT_TO_NOTHING_S = 0.1


def turns(regimes: Sequence[Regime], tools: Sequence[Tool], alternations: int) -> Iterator[tuple[int, Regime, Tool]]:
    """Who is measured when. Every alternation begins with another tool, so that none is always first."""
    for alternation in range(alternations):
        for regime in regimes:
            first = alternation % len(tools)
            for tool in (*tools[first:], *tools[:first]):
                yield alternation, regime, tool


def measure(regime: Regime, tool: Tool, alternation: int, seconds: float) -> Row:
    """One row; a tool that fails has one too, that says so."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return run(tool, regime, Path(folder), seconds=seconds, alternation=alternation)
        except (ToolFailed, SenderFailed) as problem:
            return failed(tool, regime, alternation, str(problem))


def once(regimes: Sequence[Regime], tools: Sequence[Tool]) -> dict[tuple[str, Regime], int]:
    """What ending costs a tool that has work to do then, when next to nothing was sent to it: CPU time in ns."""
    found = {}
    for tool in (tool for tool in tools if not tool.leaves):
        for regime in regimes:
            row = measure(regime, tool, 0, NEXT_TO_NOTHING_S)
            found[tool.name, regime] = row.cpu_after_ns
            print(f"{regime.name} {regime.scheme} {tool.name}: ending takes {row.cpu_after_ns / 1e6:.0f} ms of CPU, "
                  "however few events there were", flush=True)  # fmt: skip
    return found


def said(row: Row) -> str:
    first = next(iter(row.errors.values()), None)
    error = f"error p50 {first.p50_ms:.3f} p99 {first.p99_ms:.3f} max {first.max_ms:.1f} ms" if first else "no figures"
    return (
        f"{row.cpu_us_per_event:7.2f} µs/event  {100 * row.busy_share:3.0f} % CPU  {row.sent:7,} events  {error}"
        + "".join(f"  ! {problem.splitlines()[0]}" for problem in row.problems)
    )


def chosen(names: str, known: Sequence[str], option: str) -> list[str]:
    """:raises SystemExit: one of them is not known."""
    wanted = [name for name in names.split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"{option}: {', '.join(unknown)}: expected some of {', '.join(known)}")
    return wanted or list(known)


def main() -> int:
    asked = parse()
    names = chosen(asked.only, [regime.name for regime in REGIMES], "--only")
    schemes = chosen(asked.schemes, ["ws", "wss"], "--schemes")
    regimes = [
        replace(regime, tls=scheme == "wss", users=asked.users or regime.users)
        for regime in REGIMES
        if regime.name in names
        for scheme in schemes
    ]
    tools = []
    for name in chosen(asked.tools, list(TOOLS), "--tools"):
        if why := TOOLS[name].missing():
            print(f"left out: {name}: {why}", flush=True)
        else:
            tools.append(TOOLS[name])
    where, rows = conditions(), []
    plan = list(turns(regimes, tools, asked.alternations))
    endings = once(regimes, tools)
    begun_s = time.monotonic()
    for number, (alternation, regime, tool) in enumerate(plan, 1):
        row = measure(regime, tool, alternation, asked.seconds)
        row = replace(row, cpu_once_ns=endings.get((tool.name, regime), 0))
        rows.append(row)
        left_s = (time.monotonic() - begun_s) / number * (len(plan) - number)
        print(f"{number:3}/{len(plan)} {left_s / 60:4.1f} min left  {regime.name:9} {regime.scheme:3} "
              f"{tool.name:11} {said(row)}", flush=True)  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "side_by_side.json").write_bytes(as_document(rows, where))
    (asked.out / "side_by_side.md").write_text(as_markdown(rows, where), encoding="utf-8")
    (asked.out / "side_by_side.png").write_bytes(png(figure(rows)))
    print(f"see {asked.out / 'side_by_side.md'}", flush=True)
    return int(any(row.tool.startswith("crosstalk") and row.is_wrong for row in rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="the window that is measured, each time")
    parser.add_argument("--only", default="", metavar="REGIMES", help=", ".join(regime.name for regime in REGIMES))
    parser.add_argument("--schemes", default="", help="ws, wss")
    parser.add_argument(
        "--tools", default=",".join(name for name in TOOLS if name != "crosstalk-pure"), help=", ".join(TOOLS)
    )
    parser.add_argument("--users", type=int, default=0, help="in place of the regime's own number")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
