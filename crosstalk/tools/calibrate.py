"""`python -m crosstalk.tools.calibrate`: up to how many events a second does this machine know when each one came?

Raises the load against a backend of known delays until the harness's times are no longer right, or its own limits are
passed, on `ws` and on `wss`; writes down the largest load that was held, so that load tests can say beforehand how near
to it they come. Takes about two minutes. Exit codes: 0 measured, 1 no load at all was held, 2 misuse.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from crosstalk import __version__
from crosstalk.calibration import SCHEMA, calibration_file, this_machine
from crosstalk.checks.words import number, percent
from crosstalk.clock import clock
from crosstalk.tools.calibrate_errors import QUANTILE_ELSE, QUANTILES, Spread
from crosstalk.tools.calibrate_level import CalibrateError, Level, measure
from crosstalk.tools.calibrate_search import largest

EXIT_MEASURED, EXIT_NOTHING_HELD = 0, 1
BUSY_PERCENT_MAX = 25.0
#: edges of the error histogram, in ms
EDGES_MS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, float("inf"))
BAR = 40


def main(arguments: list[str]) -> int:
    options = _read_options(arguments)
    target: Path = options.out
    machine = this_machine(__version__)
    print(f"calibrate   {machine['host']}, {machine['processors']} x {machine['cpu']}", flush=True)
    print(f"a load is held while p99 of the error of arrivals is at most {number(options.bound_ms)} ms, and the "
          "generator's own limits are kept", flush=True)  # fmt: skip
    if (busy := psutil.cpu_percent(0.5)) > BUSY_PERCENT_MAX:
        print(f"WARNING: this machine is {busy:.0f} % busy with something else: the result will be too low", flush=True)
    found: dict[str, Any] = {}
    try:
        for transport in options.transports:
            first = found["ws"]["users"] if found.get("ws", {}).get("users") else options.first
            found[transport] = _search(transport, first, options)
    except CalibrateError as problem:
        print(f"calibrate: {problem}", file=sys.stderr)
        return EXIT_NOTHING_HELD
    if any(one["users"] for one in found.values()):
        made = {"schema": SCHEMA, "machine": machine, "made_ns": clock.now_ns(), "bound_ms": options.bound_ms}
        _write(target, {**made, "transports": {**_written_before(target, made), **found}})
        print(f"\nwritten to {target}")
    else:
        print("\nnothing was written: try again when the machine does nothing else, or with another --bound-ms")
    return EXIT_MEASURED if all(one["users"] for one in found.values()) else EXIT_NOTHING_HELD


def _search(transport: str, first: int, options: argparse.Namespace) -> dict[str, Any]:
    """Raise the load on one transport; what was found, as it is written down."""
    levels: list[Level] = []
    print(f"\n{transport}   users   events/s   CPU   waits    error p50 / p99 / max, ms   exact", flush=True)

    def holds(users: int) -> bool:
        with tempfile.TemporaryDirectory(prefix="crosstalk-calibrate-") as folder:
            level = measure(
                users, tls=transport == "wss", seconds=options.seconds, bound_ms=options.bound_ms, folder=Path(folder)
            )
        levels.append(level)
        print(_line(level), flush=True)
        return level.is_held

    users = largest(holds, first=first, most=options.most)
    held = [level for level in levels if level.is_held and level.users == users]
    if not held:
        least = min(levels, key=lambda level: level.users)
        print(f"{transport}: no load was held, not even the smallest, which came to\n")
        print("\n".join(_tables(least)), flush=True)
        return {"users": 0, "events_per_s": 0, "levels": [_as_dict(level) for level in levels]}
    best = held[-1]
    failed = [level for level in levels if not level.is_held and level.users > users]
    limited_by = failed[-1].faults[0] if failed else f"more than {options.most:,} were not tried"
    print(f"{transport}: {best.users:,} users, {number(best.events_per_s)} events/s; beyond: {limited_by}\n")
    print("\n".join(_tables(best)), flush=True)
    return {**_as_dict(best), "limited_by": limited_by, "levels": [_as_dict(level) for level in levels]}


def _line(level: Level) -> str:
    arrival = level.comparison.spread("arrival")
    spread = " / ".join(f"{value:.3f}" for value in (arrival.p50, arrival.p99, arrival.most)) if arrival else "none"
    waits = "?" if level.waited_share is None else f"{level.waited_share * 100:.1f} %"
    return (
        f"     {level.users:6,}   {level.events_per_s:8,.0f}   {level.cpu_percent:3.0f} %  {waits:>6}  {spread:>24}   "
        f"{percent(level.comparison.exact_share):>8}   {'held' if level.is_held else level.faults[0]}"
    )


def _tables(level: Level) -> list[str]:
    """The errors of the level that was held: by quantity, and how those of arrivals are distributed."""
    lines = ["error of              n          p50        p99        max   ms      judged"]
    for quantity, errors_ns in level.comparison.errors_ns.items():
        spread = Spread.of(errors_ns)
        if spread is not None:
            judged = f"p{QUANTILES.get(quantity, QUANTILE_ELSE) * 100:.0f}"
            figures = f"{spread.p50:10.3f} {spread.p99:10.3f} {spread.most:10.3f}"
            lines.append(f"{quantity:20} {spread.n:7,} {figures}           {judged}")
    comparison = level.comparison
    inside = comparison.contained_share
    held = f"; the bounds of the others hold the truth for {percent(inside)}" if inside is not None else ""
    lines.append(f"exact stamps: {percent(comparison.exact_share)}{held}")
    sizes_ms = np.abs(comparison.errors_ns["arrival"]) / 1e6
    counts, _ = np.histogram(sizes_ms, EDGES_MS)
    lines.append("\nerror of arrival, ms      events")
    for low, high, count in zip(EDGES_MS, EDGES_MS[1:], counts.tolist(), strict=False):
        until = f"{high:g}" if np.isfinite(high) else "…"
        bar = "#" * round(BAR * count / max(counts.sum(), 1)) or ("." if count else "")
        lines.append(f"{low:>8g} to {until:<6}    {count:9,}   {bar}")
    return lines


def _as_dict(level: Level) -> dict[str, Any]:
    comparison = level.comparison
    spreads = {quantity: comparison.spread(quantity) for quantity in comparison.errors_ns}
    return {
        "users": level.users,
        "events_per_s": level.events_per_s,
        "held": level.is_held,
        "faults": level.faults,
        "cpu_percent": round(level.cpu_percent, 1),
        "waited_share": level.waited_share,
        "exact_share": comparison.exact_share,
        "contained_share": comparison.contained_share,
        "wide_share": comparison.wide_share,
        "sender_late_p99_ms": comparison.late_ms,
        "errors": {quantity: spread.as_dict() for quantity, spread in spreads.items() if spread is not None},
    }


def _written_before(path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """What the file says of transports, where it is of the same machine and bound."""
    try:
        said = orjson.loads(path.read_bytes())
        same = all(said[key] == made[key] for key in ("schema", "machine", "bound_ms"))
        return dict(said["transports"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    os.replace(temporary, path)


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crosstalk.tools.calibrate", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=calibration_file(), metavar="FILE", help="where the result goes (%(default)s)")
    add("--bound-ms", type=_at_least(1e-6), default=1.0, metavar="MS", help="largest p99 of the error (%(default)s)")
    add("--seconds", type=_at_least(1.0), default=4.0, metavar="S", help="of each load, after its ramp (%(default)s)")
    add("--first", type=_count, default=100, metavar="N", help="users to begin with (%(default)s)")
    add("--most", type=_count, default=6400, metavar="N", help="never more users (%(default)s)")
    add("--transports", nargs="+", choices=("ws", "wss"), default=("ws", "wss"), metavar="T", help="ws, wss (both)")
    return parser.parse_args(arguments)


def _at_least(least: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= 1e6:
            raise argparse.ArgumentTypeError(f"expected a number, {least:g} or more, got {text!r}")
        return value

    return read


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
