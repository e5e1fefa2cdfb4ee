"""`python -m crosstalk.tools.preflight`: is everything there for a load test, and if not, what is to be done?

Takes the options of a load test, does with one account what each of its users would do, and says what it saw, a line a
step. Exit codes: 0 ready (there may be warnings), 5 not ready, 2 misuse.
"""

from __future__ import annotations

if __name__ == "__main__":  # as Locust does it, and before anything else is imported
    from gevent import monkey

    monkey.patch_all()

import os
import random
import sys
import tempfile
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from locust.argument_parser import get_parser

from crosstalk.accounts import PREFLIGHT_NUMBER
from crosstalk.checks.canary import new_load_test
from crosstalk.config import ConfigError, Settings, check_target, load_settings
from crosstalk.generator import Begin, Generator
from crosstalk.options import add_options
from crosstalk.ready import FAIL, OK, WARN, Check, Line, connection, forged_token, health, token
from crosstalk.target import BackendFailed, ReferenceBackend
from crosstalk.tools.preflight_hints import hints, probe_idle
from crosstalk.tools.preflight_machine import machine, variables
from crosstalk.tools.preflight_network import network
from crosstalk.tools.preflight_plan import plan
from crosstalk.tools.preflight_run import one_run
from crosstalk.vitals import raise_file_limit

EXIT_READY, EXIT_USAGE, EXIT_NOT_READY = 0, 2, 5


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.locustfile:
        options.locustfile = ""
    try:
        settings = load_settings(options, environ)
        if options.dry_run:
            print("\n".join(plan(settings, options, _sources(parser, options), environ)))
            return EXIT_READY
        check_target(settings, settings.target, options.num_users or 1, environ)
        known = {action.env_var for action in parser._actions if getattr(action, "env_var", None)}
        return _run(settings, options, known, environ)
    except ConfigError as problem:
        print(f"preflight: {problem}", file=sys.stderr)
        return EXIT_USAGE
    except BackendFailed as problem:
        print(f"preflight: {problem}", file=sys.stderr)
        return problem.exit_code if problem.exit_code == EXIT_USAGE else EXIT_NOT_READY


def _run(settings: Settings, options: Any, known: set[str], environ: Mapping[str, str]) -> int:
    raise_file_limit()
    counts: Counter[str] = Counter()
    print(
        f"preflight   {settings.target or 'the reference backend'}   environment {settings.environment.name}   "
        f"dialect {settings.dialect_name}   auth {settings.transport}",
        flush=True,
    )
    for warning in settings.warnings:
        _say(Line(WARN, "certificates", warning), counts)
    for line in (*machine(options.num_users or 1), *variables(environ, settings, settings.target, known)):
        _say(line, counts)
    milestones: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, _generator(settings, Path(folder), milestones) as generator:
        for line in _steps(generator, milestones, options.probe_idle):
            _say(line, counts)
    told = f"{counts[OK]} ok, {counts[WARN]} to look at, {counts[FAIL]} failed"
    print(f"{'not ready' if counts[FAIL] else 'ready'}: {told}", flush=True)
    return EXIT_NOT_READY if counts[FAIL] else EXIT_READY


def _steps(generator: Generator, milestones: list[tuple[str, float]], probe_idle_s: float) -> Iterator[Line]:
    """All steps in order, up to one after which no other can succeed."""
    for line in network(generator.addresses, generator.settings.route):
        yield line
        if line.fatal:
            return
    check = Check(generator, 0 if generator.settings.accounts else PREFLIGHT_NUMBER, milestones=milestones)
    try:
        for step in (health, token, connection, forged_token, one_run):
            for line in step(check):
                yield line
                if line.fatal:
                    yield from hints(check)
                    return
        if probe_idle_s:
            yield from probe_idle(check, probe_idle_s)
    finally:
        check.close()


@contextmanager
def _generator(settings: Settings, folder: Path, milestones: list[tuple[str, float]]) -> Iterator[Generator]:
    """A generator whose record goes nowhere; for the reference backend, with one that ends afterwards.

    :param milestones: gets the events of runs.
    """

    def take(*, request_type: str, name: str, response_time: float | None, **_: object) -> None:
        if request_type == "EVENT" and response_time is not None:
            milestones.append((name, response_time))

    reference = None
    if not settings.target:
        log = str(folder / "backend.log")
        reference = ReferenceBackend(
            seed=settings.seed, faults=settings.faults, log=log, environment=settings.environment.name
        )
    try:
        begin = Begin(
            load_test=new_load_test(random.Random(random.SystemRandom().getrandbits(64))),
            canary_secret=os.urandom(32),
            target=reference.url if reference else settings.target,
            token_secret=reference.token_secret if reference else "",
            nonce_required=False,
            seed=settings.seed,
        )
        generator = Generator(
            settings=settings,
            begin=begin,
            worker="preflight",
            role="local",
            fire_request=take,
            send=lambda number, _body: generator.outbox.acknowledge(number),
            ask=lambda _wanted: None,
        )
        try:
            yield generator
        finally:
            generator.finish()
    finally:
        if reference is not None:
            reference.stop()


def _say(line: Line, counts: Counter[str]) -> None:
    counts[line.state] += 1
    print(f"{line.state:5} {line.name:17} {line.seen}", flush=True)
    if line.advice:
        print(f"{'':23} → {line.advice}", flush=True)


def _parser() -> Any:
    """Locust's own, so that files, variables and options mean here what they mean in a load test."""
    parser = get_parser()
    parser.prog = "python -m crosstalk.tools.preflight"
    add_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be used, every setting with where it came from, and connect nowhere",
    )
    parser.add_argument(
        "--probe-idle",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="stay silent for up to S seconds and see how long the socket is kept; 0: do not",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise ArgumentTypeError(f"expected seconds, 0 to 3600, got {text!r}")
    return value


def _sources(parser: Any, options: Any) -> dict[str, str]:
    """Option → where its value came from, of our own options and those that a preflight heeds."""
    shown = ("host", "locustfile", "num_users", "spawn_rate", "run_time", "headless", "processes")
    before = set(vars(get_parser().parse_args([])))
    names = [name for name in vars(options) if (name not in before or name in shown) and name not in ("dry_run",)]
    found = dict.fromkeys(names, "default")
    by_key = {key.lstrip("-"): action.dest for action in parser._actions for key in action.option_strings}
    by_variable = {action.env_var: action.dest for action in parser._actions if getattr(action, "env_var", None)}
    for source, settings in reversed(parser.get_source_to_settings_dict().items()):
        kind, _, where = source.partition("|")
        for key, (action, value) in settings.items():
            if kind == "command_line":
                given = {part.partition("=")[0].lstrip("-") for part in value if str(part).startswith("-")}
                found |= {by_key[part]: "command line" for part in given if by_key.get(part) in found}
                continue
            name = action.dest if action is not None else by_key.get(key) or by_variable.get(key, "")
            if name in found and kind != "defaults":
                found[name] = where if kind == "config_file" else f"variable {key}"
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
