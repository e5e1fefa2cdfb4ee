"""How far the harness's stamps are from the sender's clock, while its process has half of a processor, and nearly all.

    python -m bench.accuracy [--seconds 8] [--schemes ws,wss] [--cpu 50,95] [--peers plain-tuned,k6] [--out DIR]

The load is raised until the harness has the CPU that is asked for; the same load is then put on the peers, whatever
CPU that takes them. Writes accuracy.md and .json to bench/results; ends with 1 where exact stamps, or the intervals of
the others, are not as good as is promised.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.machine import conditions, sentence
from bench.one_run import Row, run
from bench.page import figure_of, table_of
from bench.side_by_side import chosen, measure, said
from bench.stand import ROOT, Regime
from bench.tools import TOOLS

HARNESS = "crosstalk"
EXACT = "kernel stamps that are exact"
#: what is promised of them
EXACT_P99_MS_MAX, HOLDS_SHARE_MIN = 0.1, 0.999
PERIOD_MS = 20.0
#: beyond so many, users get more events in each of their slots: the sender has one processor, too
USERS_MAX = 600
TRIALS, TRIAL_S = 5, 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A share of one processor, and how far from it still counts."""

    percent: int

    @property
    def least(self) -> float:
        return (self.percent - 5) / 100

    @property
    def most(self) -> float:
        return (self.percent + 5) / 100


def regime_for(events_per_s: float, *, tls: bool) -> Regime:
    """Paced as chunks are: one event a user every 20 ms, for runs of two seconds, by as many users as it takes."""
    slots = max(1.0, events_per_s * PERIOD_MS / 1000)
    per_slot = int(-(-slots // USERS_MAX))
    users = max(1, round(slots / per_slot))
    return Regime(f"{users} users", users, PERIOD_MS, per_slot, 100 * per_slot, tls)


def find_load(wanted: Wanted, *, tls: bool, begin_per_s: float) -> Regime:
    """The load at which the harness has the CPU that is wanted, as near as a few trials come to it."""
    rate = begin_per_s
    for trial in range(TRIALS):
        regime = regime_for(rate, tls=tls)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            row = run(TOOLS[HARNESS], regime, Path(folder), seconds=TRIAL_S)
        print(f"    trial {trial + 1}: {regime.rate:,.0f} events/s: {100 * row.busy_share:.0f} % CPU", flush=True)
        if wanted.least <= row.busy_share <= wanted.most:
            break
        # what was taken, not what was offered: a process that lags takes less, and has no more to give
        rate = min(max(regime.rate * wanted.percent / 100 / max(row.busy_share, 0.02), rate / 4), rate * 4)
    return regime_for(regime.rate, tls=tls)


def rows_at(wanted: Wanted, *, tls: bool, peers: Sequence[str], seconds: float) -> list[Row]:
    scheme = "wss" if tls else "ws"
    print(f"{scheme}, {wanted.percent} % of a processor: looking for the load", flush=True)
    regime = find_load(wanted, tls=tls, begin_per_s=60 * wanted.percent)
    rows = []
    for name in (HARNESS, *peers):
        rows.append(measure(regime, TOOLS[name], wanted.percent, seconds))
        print(f"    {name:11} {said(rows[-1])}", flush=True)
    return rows


def shortfalls(rows: Sequence[Row]) -> list[str]:
    """What is promised and was not there."""
    found = []
    for row in rows:
        if row.tool != HARNESS:
            continue
        where = f"{row.scheme}, {row.alternation} %"
        exact = row.errors.get(EXACT)
        if exact is None or not exact.n:
            found.append(f"{where}: no exact stamp")
        elif exact.p99_ms > EXACT_P99_MS_MAX:
            found.append(f"{where}: p99 of exact stamps {exact.p99_ms:.3f} ms, promised {EXACT_P99_MS_MAX} ms")
        if row.more.get("interval_holds_share", 0.0) < HOLDS_SHARE_MIN:
            share = 100 * row.more.get("interval_holds_share", 0.0)
            found.append(f"{where}: {share:.2f} % of intervals hold the truth, promised {100 * HOLDS_SHARE_MIN} %")
        if row.received != row.sent:
            found.append(f"{where}: {row.received} of {row.sent} events")
    return found


def as_markdown(rows: Sequence[Row], where: Mapping[str, str]) -> str:
    body = []
    for row in rows:
        for number, (instant, error) in enumerate(row.errors.items()):
            load = f"{row.scheme}, {row.offered_per_s:,.0f}/s" if not number else ""
            cpu = f"{100 * row.busy_share:.0f} %" if not number else ""
            share = f"{100 * error.n / max(row.sent, 1):.1f} %"
            figures = (figure_of(value) for value in (error.p50_ms, error.p99_ms, error.max_ms))
            body.append([f"{row.tool}: {instant}", load, cpu, share, *figures])
    intervals = [
        [f"{row.scheme}, {row.alternation} %", f"{100 * row.more['interval_holds_share']:.3f} %",
         *(figure_of(row.more["interval_ms"][key]) for key in ("p50_ms", "p99_ms", "max_ms")),
         figure_of(row.more["exact_after_write_max_ms"])]
        for row in rows if "interval_ms" in row.more
    ]  # fmt: skip
    lines = [
        "# Accuracy of stamps",
        "",
        f"Measured on {sentence(dict(where))}. Errors in ms, from just before the sender's write to the instant that "
        "the tool gives. CPU is that of the tool while it was sent to, of one processor.",
        "",
        *table_of(["tool and its instant", "load", "CPU", "of its events", "p50", "p99", "max"], body),
        "",
        "Where a stamp is not exact, the record gives an interval: how many hold the truth, and how wide they are. The "
        "last column is of exact stamps: the latest of them, counted from the return of the sender's write. What is an "
        "error above and none there is the sender's, which lost its processor between its stamp and its write.",
        "",
        *table_of(["harness at", "hold the truth", "width p50", "p99", "max", "exact, after the write"], intervals),
        "",
        *(f"- falls short: {text}" for text in shortfalls(rows)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--schemes", default="")
    parser.add_argument("--cpu", default="50,95", help="percent of one processor, joined by commas")
    parser.add_argument("--peers", default="plain-tuned,k6")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    asked = parser.parse_args()
    peers = [name for name in chosen(asked.peers, list(TOOLS), "--peers") if not TOOLS[name].missing()]
    where, rows = conditions(), []
    for scheme in chosen(asked.schemes, ["ws", "wss"], "--schemes"):
        for percent in asked.cpu.split(","):
            rows += rows_at(Wanted(int(percent)), tls=scheme == "wss", peers=peers, seconds=asked.seconds)
    asked.out.mkdir(parents=True, exist_ok=True)
    document = {"schema": 1, "conditions": where, "rows": [row.as_dict() for row in rows]}
    (asked.out / "accuracy.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    (asked.out / "accuracy.md").write_text(as_markdown(rows, where), encoding="utf-8")
    found = shortfalls(rows)
    print("\n".join(found or ["all that is promised was there"]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
