"""Reports: pages made from a record and from nothing else. `publish` is what a scenario hands to the harness.

This module imports neither numpy, pyarrow nor matplotlib, so a locustfile may import it before Locust forks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: the longest that making all reports may take; far above what is needed for a million events
DEADLINE_S = 300.0


class ReportFailed(Exception):
    """The reports were not made; the text ends with what their process said last."""


def publish(folder: Path, *, deadline_s: float = DEADLINE_S, suites: bool = False) -> dict[str, Any]:
    """Make all reports of the load test in `folder` (`results/<id>` or its `record/`) and return its verdict.

    The work is done by a process of its own: drawing neither stalls the caller's loop nor takes it down. Where
    `GITHUB_STEP_SUMMARY` names a file, the summary is appended to it.

    The verdict has one key that verdict.json has not: `closing`, the summary for the terminal, in colour where standard
    output is one and `NO_COLOR` is not set. Whoever runs the load test prints it last, where it is seen.

    :param suites: `closing` ends with the table of the platform's checks and suites by their names (suites.py).
    :raises ReportFailed: when no verdict was written. Problems with single reports are printed and do not raise.
    """
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    options = ["--step-summary", "--show", *(["--colour"] if colour else []), *(["--suites"] if suites else [])]
    command = [sys.executable, "-m", "reports", "html", *options, str(folder)]
    try:
        # A session of its own: Ctrl+C meant for the load test must not leave it without its reports.
        done = subprocess.run(
            command,
            env=_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=deadline_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ReportFailed(
            f"the reports took longer than {deadline_s:g} s; make them again: {_again(folder)}"
        ) from None
    except OSError as error:
        raise ReportFailed(f"the reports' process could not be started: {error}") from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise ReportFailed(f"the reports ended with code {done.returncode}; make them again: {_again(folder)}\n{last}")
    if done.stderr.strip():
        print(done.stderr.strip(), file=sys.stderr)
    return {**_verdict(folder), "closing": done.stdout}


def _environment() -> dict[str, str]:
    """This process's, with our packages importable whatever the working directory is."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def _verdict(folder: Path) -> dict[str, Any]:
    for path in (folder / "verdict.json", folder.resolve().parent / "verdict.json"):
        if path.is_file():
            verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return verdict
    raise ReportFailed(f"the reports left no verdict.json in {folder}; make them again: {_again(folder)}")


def _again(folder: Path) -> str:
    return f"python -m reports html {folder}"
