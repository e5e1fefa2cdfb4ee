"""`python -m reports show DIR [--failures]`, `python -m reports evidence DIR` and `python -m reports html DIR`.

DIR is results/<id>, results/latest, or a record folder itself. Exit codes: 0 done (whatever the verdict is: that is
in verdict.json), 1 the verdict could not be written, 2 misuse: no such folder, no record in it, unknown command.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reports", description="Pages made from the record of a load test.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="show | evidence | html")
    show = commands.add_parser("show", help="print the closing summary")
    html = commands.add_parser("html", help="make all reports again, from the record alone")
    evidence = commands.add_parser("evidence", help="print what proves the gravest violation, and open the report")
    for command in (show, evidence, html):
        command.add_argument("folder", type=Path, metavar="DIR", help="results/<id>, results/latest or a record folder")
    html.add_argument(
        "--step-summary", action="store_true", help="append summary.md to the file that GITHUB_STEP_SUMMARY names"
    )
    html.add_argument("--show", action="store_true", help="print the closing summary too")
    for command in (show, evidence, html):
        command.add_argument(
            "--colour", action="store_true", help="in colour also where standard output is no terminal"
        )
    show.add_argument("--failures", action="store_true", help="print where it broke instead: every group of failures")
    options = parser.parse_args(arguments)
    from crosstalk.record.parts import RecordError

    try:
        if options.command == "html":
            _html(options.folder, options.step_summary)
        if options.command == "evidence":
            _evidence(options.folder, colour=options.colour)
        elif options.command == "show" and options.failures:
            _failures(options.folder, colour=options.colour)
        elif options.command == "show" or options.show:
            _show(options.folder, colour=options.colour)
    except RecordError as error:
        print(f"python -m reports: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"python -m reports: cannot write the reports: {error}", file=sys.stderr)
        return 1
    return 0


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

    interactive = sys.stdout.isatty()
    print(proof(judged(locate(folder), []), colour=colour or (interactive and not os.environ.get("NO_COLOR"))))
    if interactive and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open((locate(folder) / "report.html").as_uri() + "#violations")


def _named(folder: Path) -> str:
    """The load test's folder as the person named it."""
    text = str(folder).rstrip("/")
    return text.removesuffix("/record") or text


if __name__ == "__main__":
    sys.exit(main())
