"""How many users one machine carries, with the reference backend on it: memory, CPU, lag and loss by number of users.

    python -m bench.scale                                     100 to 10,000 users, 60 s each; then the long one
    python -m bench.scale --users 10000 --seconds 300         must hold: 10,000 users, 10,000 events/s, nothing lost
    python -m bench.scale --users 2000 --workers 0,1,2        one process; a master and one worker; a master and two

Each step is a load test of the default cast with everything on: accounts, every check, the record, the reports. Turns
start by each user's schedule (`--arrivals constant`), so that the rate of events is asked for and does not follow the
target. Writes scale.md, scale.json and scale.png.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from bench.scale_figures import Figures, figures_of
from bench.scale_page import as_markdown, machine, picture
from bench.scale_run import Step, run

ROOT = Path(__file__).resolve().parents[1]
USERS = (100, 1_000, 3_000, 10_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every step was whole; 1: one lost something, or accused a backend that is right."""
    options = _options(arguments)
    steps = [
        Step(users, workers, options.seconds, options.spawn_rate, options.events_per_user, options.seed, options.pin)
        for workers in options.workers
        for users in options.users
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    done: list[Figures] = []
    for step in steps:
        print(f"{step.name}: about {step.ramp_s + step.seconds:.0f} s and its end", flush=True)
        with tempfile.TemporaryDirectory(prefix="crosstalk-scale-") as folder:
            done.append(figures_of(step, run(step, options.results or Path(folder))))
        print(f"  {done[-1].sentence}", flush=True)
        _write(options.out, done)
    print(f"{options.out / 'scale.md'}, scale.json, scale.png")
    return 0 if all(figures.whole for figures in done) else 1


def _write(folder: Path, done: list[Figures]) -> None:
    """After each step: what was measured stays, whatever becomes of the next one."""
    where = machine()
    document = {"machine": where, "steps": [asdict(figures) for figures in done]}
    (folder / "scale.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    (folder / "scale.md").write_text(as_markdown(done, where), encoding="utf-8")
    (folder / "scale.png").write_bytes(picture(done, where))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--users", type=_numbers, default=USERS, help="with commas (default 100,1000,3000,10000)")
    add("--workers", type=_numbers, default=(0,), help="worker processes; 0: one process is everything (default)")
    add("--seconds", type=float, default=60.0, help="of each step, once all users are there (default %(default)s)")
    add("--spawn-rate", type=float, default=100.0, help="users started a second (default %(default)s)")
    add("--events-per-user", type=float, default=1.0, help="events a user gets each second (default %(default)s)")
    add("--seed", type=int, default=1, help="of prompts, schedules and the backend (default %(default)s)")
    add("--pin", action="store_true", help="the backend on the last processor, all else on the others")
    add("--results", type=Path, help="keep the load tests' results here (default: they are removed)")
    add("--out", type=Path, default=ROOT / "bench" / "results", help="where the figures go (default bench/results)")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
