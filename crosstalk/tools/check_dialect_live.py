"""One user's few runs on a target, with every frame kept: a generator without Locust, for the tools that ask.

The rows that a load test would put into its record are read here, as they leave the generator.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import configargparse  # type: ignore[import-untyped]

from crosstalk.accounts import PREFLIGHT_NUMBER
from crosstalk.checks.canary import new_load_test
from crosstalk.clock import clock
from crosstalk.config import ConfigError, Settings, canary_secret, check_target, load_settings
from crosstalk.generator import Begin, Generator
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.options import add_options
from crosstalk.person import Person
from crosstalk.record.batch import Inlet
from crosstalk.record.rows import COLUMNS
from crosstalk.session import NotReady, Session
from crosstalk.tools.check_dialect_seen import Frame, Report, RunSeen
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import Event

#: where the way up may end, as a connection's row calls it
STAGES = ("resolve", "connect", "tls", "upgrade", "authenticate", "ready")


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]
    """Locust's parser as far as our options use it: importing Locust would patch the whole process."""

    def add_argument(self, *names: str, include_in_web_ui: bool = True, **more: Any) -> Any:
        return super().add_argument(*names, **more)


def option_parser(name: str, described: str) -> Any:
    """A parser with Crosstalk's own options."""
    parser = _Parser(prog=f"python -m {name}", description=described.partition("\n")[0])
    add_options(parser)
    return parser


@dataclass(slots=True)
class Rows:
    """What the generator would have sent to the record, table by table."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _inlet: Inlet = field(default_factory=Inlet)

    def take(self, body: bytes) -> int:
        batch = self._inlet.take(body)
        if batch is None:
            return 0
        for table, rows in batch.tables.items():
            self.tables.setdefault(table, []).extend(dict(zip(COLUMNS[table], row, strict=True)) for row in rows)
        return batch.number


def make_generator(settings: Settings, host: str, rows: Rows) -> Generator:
    """A generator for one person, that hands its rows to `rows`.

    :raises ConfigError: there is no way to a token, or the host may not be used.
    """
    check_target(settings, host, 1)
    begin = Begin(
        load_test=new_load_test(random.Random(random.SystemRandom().getrandbits(64))),
        canary_secret=canary_secret(settings.results),
        target=host,
        token_secret="",
        nonce_required=False,  # whether references come back is told, not judged
        seed=settings.seed,
    )
    generator = Generator(
        settings=settings, begin=begin, worker="local", role="local", fire_request=lambda **_: None,
        send=lambda _number, body: _sent(generator, rows.take(body)), ask=lambda _wanted: None,
    )  # fmt: skip
    return generator


def one_person(generator: Generator) -> Person:
    """The one user of a tool: the first account of a file, or the number that no load test's user has."""
    return generator.person("tool", 0 if generator.settings.accounts else PREFLIGHT_NUMBER)


def watched(dialect: Dialect, seen: list[Frame]) -> Dialect:
    """The same dialect, which also writes down what it was given and what it answered."""
    decode = dialect.decode

    def keep(_self: Dialect, frame: bytes) -> Iterable[Event]:
        events = tuple(decode(frame))
        seen.append(Frame(clock.now_ns(), frame, events))
        return events

    kept: Dialect = type("Watched", (type(dialect),), {"decode": keep})()
    return kept


def watch_runs(options: Any, *, runs: int) -> Report:
    """Run a few prompts, one after the other, each of another family, and tell what was understood.

    :raises ConfigError:
    :raises NotReady: the target is not ready.
    """
    settings = load_settings(options)
    seen: list[Frame] = []
    rows = Rows()
    settings = replace(settings, dialect=watched(settings.dialect, seen))
    if not settings.target:
        raise ConfigError("expected --host ws(s)://…, the target; or --frames FILE, to look at recorded frames alone")
    generator = make_generator(settings, settings.target, rows)
    try:
        found, before = _run_all(generator, _prompts(settings, runs), seen)
    finally:
        generator.finish()
    identities = [row["identity"] for row in rows.tables.get("connections", [])]
    return Report(
        dialect=settings.dialect,
        runs=tuple(_run_seen(run, frames, rows) for run, frames in found),
        before=tuple(before),
        identity=identities[0] if identities else "unknown",
        loose=tuple(_in_words(row) for row in rows.tables.get("violations", []) if not row["run"]),
    )


def _prompts(settings: Settings, runs: int) -> list[Prompt]:
    """One prompt of each family in turn. What an answer must show is the backend's business, not the dialect's."""
    families = list(settings.prompts.families.values())
    return [replace(families[n % len(families)][0], expects=()) for n in range(runs)]


def _run_all(
    generator: Generator, prompts: list[Prompt], seen: list[Frame]
) -> tuple[list[tuple[LiveRun, list[Frame]]], list[Frame]]:
    person = one_person(generator)
    dialect = generator.settings.dialect
    thread = person.new_thread(ids_from=dialect.ids_from)
    session: Session | None = None
    found, before = [], []
    for prompt in prompts:
        if dialect.socket_per != "run" and (session is None or not session.is_ready):
            session = _connect(generator, person, thread)
            before += seen
        seen.clear()
        run = _ask(generator, person, session, prompt, thread)
        found.append((run, list(seen)))
        seen.clear()
    if session is not None:
        session.close()
    if thread.thread_id:
        generator.delete_thread(person, thread.thread_id)
    return found, before


def _connect(generator: Generator, person: Person, thread: Thread) -> Session:
    if generator.settings.dialect.socket_per == "thread" and not thread.socket_path:
        generator.create_thread(person, thread)
    return generator.connect(person, thread.socket_path)


def _ask(generator: Generator, person: Person, session: Session | None, prompt: Prompt, thread: Thread) -> LiveRun:
    how: dict[str, Any] = {"intended_ns": None, "warm_up": False}
    if session is not None:
        return session.ask(prompt, thread, **how)
    alone = generator.session(person)
    run = alone.ask_alone(prompt, thread, partial(generator.call, person), **how)
    generator.disconnected(person)
    if not run.events and run.outcome in ("refused", "disconnected") and not alone.is_ready:
        stage, _, reason = run.refusal.partition(": ")
        raise NotReady(stage if stage in STAGES else "connect", reason or run.signature)
    return run


def _run_seen(run: LiveRun, frames: list[Frame], rows: Rows) -> RunSeen:
    violations = [_in_words(row) for row in rows.tables.get("violations", []) if row["run"] == run.run_id]
    if run.outcome not in ("ok", "agent_error", "violated"):
        violations.append(f"{run.outcome}: {run.signature}")
    return RunSeen(
        frames=tuple(frames),
        sent_ns=run.sent_ns,
        outcome=run.outcome,
        violations=tuple(dict.fromkeys(violations)),
        reference_back=run.nonce in run.seen,
        ended=run.check.ended,
    )


def _in_words(row: dict[str, Any]) -> str:
    return f"{row['name']}: expected {row['expected']}, came {row['came']}"


def _sent(generator: Generator, number: int) -> None:
    generator.outbox.acknowledge(number)
