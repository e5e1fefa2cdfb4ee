"""The detection matrix: every fault of the reference backend × what it is caught as, when, and at what exposure.

    python -m bench.detection_matrix [--shapes netra,agui,per_run] [--intensities always,overlap] [--only NAME,…]

Few load tests with many faults each, by account; faults that concern the process have one each. Writes
`detection_matrix.md`, `.json` and `.png` to bench/results; ends with 1 when a fault was missed or was caught under a
wrong name, one that is always on never bit, or somebody without a fault was accused.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.detection_matrix_plan import INTENSITIES, Entry, LoadTest, plan, read_catalogue
from bench.detection_matrix_run import ROOT, Outcome, run
from crosstalk.checks.detection import Detection
from reports.detection import as_document, as_markdown, figure
from reports.drawing import png

SHAPES = ("netra", "agui", "per_run")


def catalogue_of(shape: str) -> list[Entry]:
    """What the backend says that it can do wrong in a shape."""
    said = [
        subprocess.run(
            [sys.executable, "-m", "crosstalk.backend", "--list-faults", *more],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for more in ((), ("--long",))
    ]  # fmt: skip
    return read_catalogue(said[0], said[1], shape)


def load_tests(shapes: list[str], intensities: list[str], only: set[str]) -> list[LoadTest]:
    """The whole plan. Intensities other than `always` are for the first shape: they are draws of the backend's."""
    tests = []
    for shape in shapes:
        catalogue = [entry for entry in catalogue_of(shape) if not only or entry.name in only]
        wanted = intensities if shape == shapes[0] else [one for one in intensities if one == "always"]
        tests += plan(catalogue, shape=shape, intensities=wanted)
    return tests


def write(outcomes: list[Outcome], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    rows = rows_of(outcomes)
    alarms = [alarm for outcome in outcomes for alarm in outcome.false_alarms]
    codes = {outcome.test.name: outcome.exit_code for outcome in outcomes}
    (into / "detection_matrix.json").write_bytes(as_document(rows, alarms, codes))
    (into / "detection_matrix.md").write_text(as_markdown(rows, alarms, codes))
    (into / "detection_matrix.png").write_bytes(png(figure(rows)))


def rows_of(outcomes: list[Outcome]) -> list[Detection]:
    return [row for outcome in outcomes for row in outcome.detections]


def _may_be_silent(row: Detection) -> bool:
    """What is rare need not have happened."""
    return row.verdict == "never bit" and row.planted.intensity != "always"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--intensities", default=",".join(INTENSITIES))
    parser.add_argument("--only", default="", help="names of faults, joined by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "detection-matrix")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    tests = load_tests(asked.shapes.split(","), asked.intensities.split(","), set(filter(None, asked.only.split(","))))
    outcomes = []
    for number, test in enumerate(tests, 1):
        print(f"{number}/{len(tests)} {test.name}: {len(test.planted)} faults, {test.users} users", flush=True)
        outcomes.append(outcome := run(test, asked.results, seed=asked.seed))
        for row in outcome.detections:
            if row.verdict != "caught":
                print(f"    {row.verdict}: {row.planted.fault}, expected {row.planted.judged_as}, seen {row.seen}")
        for alarm in outcome.false_alarms:
            print(f"    false alarm: {alarm.label} at {alarm.observer} of {alarm.owner}")
        write(outcomes, asked.out)
    rows = rows_of(outcomes)
    bad = [row for row in rows if row.verdict != "caught" and not _may_be_silent(row)]
    alarms = [alarm for outcome in outcomes for alarm in outcome.false_alarms]
    caught = sum(row.verdict == "caught" for row in rows)
    print(f"{caught} of {len(rows)} rows caught under their own name; {len(alarms)} false alarms; see {asked.out}")
    return int(bool(bad or alarms))


if __name__ == "__main__":
    sys.exit(main())
