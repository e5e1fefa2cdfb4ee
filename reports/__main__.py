"""`python -m reports show DIR [--failures]`, `evidence DIR`, `html DIR`, `trace NAME [DIR]`, `suites [DIR]`,
`reproduce NAME [DIR]`.

DIR is results/<id>, results/latest, or a record folder itself. Exit codes: 0 done (whatever the verdict is: that is
in verdict.json), 1 something could not be written, 2 misuse: no such folder, no record in it, unknown command, unknown
name; of `suites` the verdict's; of `reproduce` also 4 it did not leak again, 5 the target is not there.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reports", description="Pages made from the record of a load test.")
    shown = "show | evidence | trace | suites | reproduce | html"
    commands = parser.add_subparsers(dest="command", required=True, metavar=shown)
    show = commands.add_parser("show", help="print the closing summary")
    html = commands.add_parser("html", help="make all reports again, from the record alone")
    evidence = commands.add_parser("evidence", help="print what proves the gravest violation, and open the report")
    for command in (show, evidence, html):
        command.add_argument("folder", type=Path, metavar="DIR", help="results/<id>, results/latest or a record folder")
    trace = commands.add_parser("trace", help="make the trace of one violation or run, and print its path")
    trace.add_argument("name", metavar="RUN_OR_VIOLATION", help="its id, or a part of it that no other has")
    trace.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("results/latest"))
    html.add_argument(
        "--step-summary", action="store_true", help="append summary.md to the file that GITHUB_STEP_SUMMARY names"
    )
    html.add_argument("--show", action="store_true", help="print the closing summary too")
    html.add_argument("--suites", action="store_true", help="print the platform's checks and suites by name too")
    suites = commands.add_parser("suites", help="print the platform's checks and suites by name, with their results")
    suites.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("results/latest"))
    suites.add_argument("--previous", type=Path, metavar="DIR", help="last time; default: what it was compared with")
    for command in (show, evidence, html):
        command.add_argument(
            "--colour", action="store_true", help="in colour also where standard output is no terminal"
        )
    show.add_argument("--failures", action="store_true", help="print where it broke instead: every group of failures")
    _add_reproduce(commands)
    options, more = parser.parse_known_args(arguments)
    if more and options.command != "reproduce":
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    from crosstalk.record.parts import RecordError
    from reports.trace import NotFound

    try:
        return _run(options, more)
    except (RecordError, NotFound) as error:
        print(f"python -m reports: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"python -m reports: cannot write: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, more: list[str]) -> int:
    if options.command == "reproduce":
        return _reproduce(options, more)
    if options.command == "suites":
        return _suites(options.folder, options.previous)
    if options.command == "trace":
        _trace(options.folder, options.name)
        return 0
    if options.command == "html":
        _html(options.folder, options.step_summary)
    if options.command == "evidence":
        _evidence(options.folder, colour=options.colour)
    elif options.command == "show" and options.failures:
        _failures(options.folder, colour=options.colour)
    elif options.command == "show" or options.show:
        _show(options.folder, colour=options.colour)
    if options.command == "html" and options.suites:
        _print("\n")
        _suites(options.folder, None)
    return 0


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="drive a leak again, make it small, and write repro.py",
        description="Drive what went on around a leak again, make it small, and write repro.py. Options of a load test "
        "(--environment, --dialect, --auth, --prompts, --accounts, --yes …) may follow; those of the record are known.",
    )
    reproduce.add_argument("violation", metavar="VIOLATION", help='its number in the report, or "gravest"')
    reproduce.add_argument("folder", type=Path, nargs="?", default=Path("results/latest"), metavar="DIR")
    where = reproduce.add_mutually_exclusive_group()
    where.add_argument("--host", default="", metavar="URL", help="the target; default: that of the record")
    where.add_argument(
        "--reference", action="store_true", help="the reference backend, with the record's faults and seed"
    )
    reproduce.add_argument("--tries", type=_tries, default=10, metavar="N", help="starts of a story; default 10")
    reproduce.add_argument(
        "--budget-s", type=float, default=300.0, metavar="S", help="make it smaller for so long at most; default 300"
    )
    reproduce.add_argument("--out", type=Path, metavar="FILE", help="default: repro.py in the load test's folder")


def _tries(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000, got {text!r}")
    return int(text)


def _reproduce(options: argparse.Namespace, more: list[str]) -> int:
    from reports.reproduce import Wish, reproduce

    return reproduce(
        Wish(
            options.violation, options.folder, options.host, options.reference, options.tries, options.budget_s,
            options.out, tuple(more),
        )
    )  # fmt: skip


def _html(folder: Path, step_summary: bool) -> None:
    from reports.build import build

    named = os.environ.get("GITHUB_STEP_SUMMARY") if step_summary else None
    for problem in build(folder, step_summary=Path(named) if named else None):
        print(f"reports: {problem}", file=sys.stderr)


def _show(folder: Path, *, colour: bool) -> None:
    from reports.build import judged
    from reports.material import locate
    from reports.redact import redact
    from reports.terminal import closing

    _print(redact(closing(judged(locate(folder), []), colour=_coloured(colour), shown_as=_named(folder))))


def _failures(folder: Path, *, colour: bool) -> None:
    from reports.build import judged
    from reports.material import locate
    from reports.terminal_failures import groups

    _print(groups(judged(locate(folder), []), colour=_coloured(colour)))


def _coloured(asked: bool) -> bool:
    return asked or (sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def _print(text: str) -> None:
    """A terminal that knows no "≤" gets a "?" and not an error."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def _evidence(folder: Path, *, colour: bool) -> None:
    import webbrowser

    from reports.build import judged
    from reports.material import locate
    from reports.terminal_evidence import proof
    from reports.trace import gravest

    interactive = sys.stdout.isatty()
    material = judged(locate(folder), [])
    _print(proof(material, colour=colour or (interactive and not os.environ.get("NO_COLOR"))) + "\n")
    if interactive and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(f"{material.folder.as_uri()}/{gravest(material) or 'report.html#violations'}")


def _trace(folder: Path, name: str) -> None:
    from reports.build import judged
    from reports.material import locate
    from reports.trace import one

    _print(f"{one(judged(locate(folder), []), name)}\n")


def _suites(folder: Path, previous: Path | None) -> int:
    from reports.build import judged
    from reports.material import locate
    from reports.redact import redact
    from reports.suites import load, previous_of, results, table

    material = judged(locate(folder), [])
    named, last = load(), previous or previous_of(material)
    before = results(named, judged(locate(last), [])) if last is not None else None
    _print(redact(table(results(named, material), before)))
    return int(material.verdict["exit_code"])


def _named(folder: Path) -> str:
    """The load test's folder as the person named it."""
    text = str(folder).rstrip("/")
    return text.removesuffix("/record") or text


if __name__ == "__main__":
    sys.exit(main())
