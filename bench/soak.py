"""Half an hour of people who stay: runs, renewals, what was lost to one, and what grows, our own heap above all.

    python -m bench.soak                              30 minutes and two more for the cost of tracing; writes soak.md
    python -m bench.soak --minutes 120                the same for two hours
    python -m bench.soak --of results/<id>            the page of a load test that is over, without the cost

20 users, tokens of two minutes (`scenarios/soak.conf`), the people in one worker process and the record in its master.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench.machine import conditions, sentence
from crosstalk.record.parts import Record
from reports.sections_soak import grows, refreshes_text

ROOT = Path(__file__).resolve().parents[1]
COST_MINUTES = 1.0
HEAD = """# Half an hour of people who stay

`python -m bench.soak`: {users} users for {minutes:.0f} minutes, tokens that live {life_s} s, on the reference backend,
which closes a socket when its token expires; `tracemalloc` is on in the process that holds the people. See
[soak](../../docs/soak.md).

Measured on {machine}.{remark}

{runs}

| what | change | 95 % interval | n | grows? |
|---|---:|---:|---:|---|
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: no run was lost to a renewal, and the worker's heap is known to grow by less than 5 MiB/h."""
    options = _options(arguments)
    if options.of is not None:
        folder, cost, machine = options.of.resolve(), None, conditions()
        _write(options.out, folder, cost, machine, options.remark)
        return 0 if is_still(folder) else 1
    machine = conditions()
    with tempfile.TemporaryDirectory(prefix="crosstalk-soak-") as scratch:
        results = options.results or Path(scratch)
        folder = run(results, options.minutes, trace=True)
        cost = cost_of(run(results, COST_MINUTES, trace=False), run(results, COST_MINUTES, trace=True))
        _write(options.out, folder, cost, machine, options.remark)
        return 0 if is_still(folder) else 1


def run(results: Path, minutes: float, *, trace: bool) -> Path:
    """One soak; the folder of its results."""
    command = [sys.executable, "-m", "locust", "--config", "scenarios/soak.conf", "--processes", "1",
               "--run-time", f"{round(minutes * 60)}s", "--results", str(results)]  # fmt: skip
    subprocess.run([*command, *(() if trace else ("--memory-trace", "0"))], cwd=ROOT, check=False)
    return (results / "latest").resolve()


def cost_of(without: Path, with_trace: Path) -> tuple[float, float]:
    """Processor time of the worker for each event, in µs: without tracing, and with it."""
    return _us_per_event(without), _us_per_event(with_trace)


def is_still(folder: Path) -> bool:
    told = _verdict(folder)["slopes"]
    heap = [
        one for one in told["memory"] if one["metric"] == "slope_mib_per_h[harness_heap]" and one["worker"] != "master"
    ]
    known = [one["ci"][1] < 5 for one in heap if one["ci"] is not None]
    return bool(known) and all(known) and told["refreshes"]["runs_lost"] == 0


def page(folder: Path, cost: tuple[float, float] | None, machine: dict[str, str], remark: str = "") -> str:
    """Pure: of the verdict and the record."""
    verdict, record = _verdict(folder), Record(folder / "record")
    told, test = verdict["slopes"], record.run["load_test"]
    minutes = (test["ended_ns"] - test["started_ns"]) / 6e10
    outcomes = {name: n for name, n in verdict["delivery"]["runs"].items() if n and name != "started"}
    runs = (
        f"Runs: {', '.join(f'{n:,} {name}' for name, n in outcomes.items())}. {refreshes_text(told['refreshes'])} "
        f"{verdict['sentence']}"
    )
    rows = [(one["metric"].partition("[")[2].rstrip("]") + (", with connections" if "100" in one["unit"] else ""), one)
            for one in told["times"]]  # fmt: skip
    rows += [(f"{one['what']}, {one['worker']}", one) for one in told["memory"]]
    head = HEAD.format(
        users=test["users"], minutes=minutes, life_s=_life_s(record), machine=sentence(machine), runs=runs,
        remark=f" {remark}" if remark else "",
    )  # fmt: skip
    return head + "\n".join(_row(name, one) for name, one in rows) + "\n" + _cost(cost)


def _row(name: str, one: dict[str, Any]) -> str:
    if one["ci"] is None:
        return f"| {name} | – | – | {one['n']:,} | {one['reason']} |"
    low, high = one["ci"]
    return f"| {name} | {one['value']:,.2f} {one['unit']} | {low:,.2f} to {high:,.2f} | {one['n']:,} | {grows(one)} |"


def _cost(cost: tuple[float, float] | None) -> str:
    if cost is None:
        return ""
    without, with_trace = cost
    more = 100 * (with_trace / without - 1) if without else 0.0
    return (
        f"\nTracing costs: {without:,.0f} µs of the worker's processor time an event without it, {with_trace:,.0f} µs "
        f"with it ({more:+.0f} %), of one minute each.\n"
    )


def _life_s(record: Record) -> int:
    """Of the tokens, as the renewals tell it: the median between two of one person, and a quarter of a life more."""
    steps = record.table("steps")
    made = (steps["step"] == "refresh") & (steps["outcome"] == "ok")
    gaps = [gap for account in set(steps["account"][made].tolist())
            for gap in np.diff(np.sort(steps["begun_ns"][made & (steps["account"] == account)])).tolist()]  # fmt: skip
    return round(float(np.median(gaps)) / 1e9 / 0.75) if gaps else 0


def _us_per_event(folder: Path) -> float:
    health = Record(folder / "record").table("health")
    mine = (health["role"] == "worker") & (health["users"] == health["users"].max())
    events = int(health["events_received"][mine].max() - health["events_received"][mine].min())
    busy_s = float(health["cpu_percent"][mine].sum()) / 100  # one row a second
    return 1e6 * busy_s / events if events else 0.0


def _verdict(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((folder / "verdict.json").read_bytes())
    return found


def _write(out: Path, folder: Path, cost: tuple[float, float] | None, machine: dict[str, str], remark: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "soak.md").write_text(page(folder, cost, machine, remark), encoding="utf-8")
    print(f"{out / 'soak.md'}", flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=30.0, help="of the soak (default %(default)s)")
    add("--of", type=Path, help="results of a soak that is over: its page alone")
    add("--remark", default="", help="a sentence about the machine, for the page")
    add("--results", type=Path, help="keep the load tests' results here (default: they are removed)")
    add("--out", type=Path, default=ROOT / "bench" / "results", help="where the page goes (default bench/results)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
