"""Real leaks of real libraries: each is found on the release that has it, and not on the one that mends it.

`python -m examples.incidents [--times N] [--only FOLDER]`, from the project's folder. Exit code 0: all was as it should
be; 1: it was not; 4: something that an incident needs could not be installed, or did not start or end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from examples.incidents.outcomes import Outcome, Row, read, table
from examples.incidents.stand import Incident, StandFailed, load_test
from examples.incidents.venvs import ROOT, CannotInstall, python_with

RESULTS = ROOT / "results" / "incidents"
RUN_TIME_S = 12
INCIDENTS = (
    Incident("redis_py", "cancel", ("--users", "20", "--think-time", "0.2"), redis=True),
    Incident("django_channels", "smoke", ("--users", "20", "--think-time", "0.2", "--dialect", "per_run")),
    Incident("uvicorn_state", "smoke", ("--users", "12", "--dialect", "per_run"), front=True),
)


def outcome_of(incident: Incident, release: str, *, run_time_s: int) -> Outcome:
    """Install what is missing, and run one load test."""
    python = python_with(incident.requirements(release), f"{incident.folder}_{release}")
    results = RESULTS / f"{incident.folder}_{release}"
    (results / "latest").unlink(missing_ok=True)  # what it points at is of an earlier load test
    exit_code = load_test(incident, python, results, run_time_s=run_time_s)
    return read((results / "latest").resolve(), exit_code)


def rows_of(incident: Incident, *, times: int, run_time_s: int) -> list[Row]:
    rows = []
    for release in incident.releases:
        outcomes = []
        for number in range(times):
            outcome = outcome_of(incident, release, run_time_s=run_time_s)
            outcomes.append(outcome)
            said = f"leak found after {outcome.after_s:.1f} s" if outcome.after_s is not None else "no leak"
            print(
                f"{incident.pin(release):18} {number + 1:2} of {times}: exit code {outcome.exit_code}, {said}",
                flush=True,
            )
        rows.append(Row(incident.folder, incident.pin(release), release == "fixed", tuple(outcomes)))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.incidents", description=__doc__)
    parser.add_argument("--times", type=int, default=1, metavar="N", help="load tests of each release (default 1)")
    parser.add_argument("--only", choices=[incident.folder for incident in INCIDENTS], help="one incident")
    parser.add_argument("--run-time", type=int, default=RUN_TIME_S, metavar="S", help=f"default {RUN_TIME_S}")
    options = parser.parse_args(arguments)
    if options.times < 1:
        parser.error("--times: expected at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))  # an exit, so that what was started is ended
    rows = []
    try:
        for incident in INCIDENTS:
            if options.only in (None, incident.folder):
                rows += rows_of(incident, times=options.times, run_time_s=options.run_time)
    except (CannotInstall, StandFailed) as problem:
        print(f"incidents: {problem}", file=sys.stderr)
        return 4
    print(f"\n{table(rows)}")
    return 0 if all(row.as_it_should_be for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
