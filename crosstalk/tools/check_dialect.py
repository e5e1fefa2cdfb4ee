"""`python -m crosstalk.tools.check_dialect`: a few runs, and for each frame what the dialect understood of it.

Live: a few runs of one user on a target. Offline, with `--frames FILE`: recorded frames, one a line. The answer is on
the terminal and in the exit code: 0 everything was understood, 1 something was not, 2 a mistake in the options, 5 the
target is not ready.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from crosstalk.config import ConfigError, load_dialect
from crosstalk.session import NotReady
from crosstalk.tools.check_dialect_live import option_parser, watch_runs
from crosstalk.tools.check_dialect_seen import Frame, Report, runs_of
from crosstalk.tools.check_dialect_text import page

EXIT_UNDERSTOOD, EXIT_NOT_UNDERSTOOD, EXIT_USAGE, EXIT_NOT_READY = 0, 1, 2, 5
RUNS_MAX = 100


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        report = (
            read_frames(Path(options.frames), options.dialect)
            if options.frames
            else watch_runs(options, runs=options.runs)
        )
    except ConfigError as problem:
        print(f"check_dialect: {problem}", file=sys.stderr)
        return EXIT_USAGE
    except NotReady as problem:
        print(f"check_dialect: target not ready: {problem}; {_advice(problem)}", file=sys.stderr)
        return EXIT_NOT_READY
    print(page(report))
    return EXIT_UNDERSTOOD if report.understood else EXIT_NOT_UNDERSTOOD


def read_frames(path: Path, dialect_name: str) -> Report:
    """Recorded frames as the dialect sees them. Nothing is said about identity, and nothing about references.

    A line is {"at_ms": …, "direction": "in" or "out", "frame": "…"}, or a frame as it stands.

    :raises ConfigError: the file cannot be read, or holds no frame.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--frames {path}: expected a text file with one frame a line: {error}") from None
    dialect = load_dialect(dialect_name)
    frames = [frame for number, line in enumerate(lines) if line.strip() for frame in _frame_of(number, line)]
    if not frames:
        raise ConfigError(f"--frames {path}: no frame came in; expected one a line")
    decoded = [Frame(frame.at_ns, frame.body, tuple(dialect.decode(frame.body))) for frame in frames]
    return Report(dialect=dialect, runs=runs_of(decoded, dialect))


def _frame_of(number: int, line: str) -> list[Frame]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        entry = None
    if isinstance(entry, dict) and isinstance(entry.get("frame"), str):
        at_ms = entry.get("at_ms", number)
        at_ns = int(float(at_ms) * 1e6) if isinstance(at_ms, int | float) else number
        return [] if entry.get("direction") == "out" else [Frame(at_ns, entry["frame"].encode(), ())]
    return [Frame(number * 1_000_000, line.encode(), ())]


def _advice(problem: NotReady) -> str:
    if problem.wrong_identity:
        return "the socket is somebody else's: is the target in a demo or test mode?"
    return {
        "resolve": "check the host's name",
        "connect": "is it running, and is the port right?",
        "upgrade": "check the dialect's socket_path, create and --auth",
        "authenticate": "does the secret here equal the target's, and is the account known there?",
        "ready": "check the dialect's ready_by, and that decode answers `welcome` for its first frame",
    }.get(problem.stage, "see the stage above")


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = option_parser("crosstalk.tools.check_dialect", __doc__ or "")
    parser.add_argument("--host", default="", metavar="URL", env_var="LOCUST_HOST", help="the target, ws(s)://…")
    parser.add_argument("--runs", type=int, default=5, choices=range(1, RUNS_MAX + 1), metavar="N", help="default 5")
    parser.add_argument("--frames", default="", metavar="FILE", help="recorded frames instead of a target")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
