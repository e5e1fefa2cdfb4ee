"""Steps of the family "connection": many sockets at once, as many as one may have, one that speaks too early, what is
agreed in the upgrade, and how sockets end. What is done in silence is in silence.py."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from crosstalk.clock import clock
from crosstalk.generator import Generator
from crosstalk.journey import Journey, Step, Unmet
from crosstalk.journeys.spares import ANSWER_S, REFUSED_BY_CLOSE, REFUSED_BY_HTTP, Spare, Spares
from crosstalk.live_run import Prompt, Thread
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.promises import Promises

#: users who wait for each other before a fan-in, and how long the first of them waits
GATHERED, PATIENCE_S = 32, 1.0
#: sockets that each of them opens at that instant, where the target bears so many
FAN_IN = 5
#: a cap above this is not tried: it would be a load test of its own
CAP_MAX = 40
#: a socket that was just closed may count for a moment more
ROOM_ATTEMPTS, ROOM_PAUSE_S = 4, 0.5
#: subprotocols that nobody speaks
UNKNOWN = ("no-such-protocol.v9", "nor-this-one.v7")
#: how a target can be asked to end a socket; 1011 is missing: it is never right
CLOSES = (1000, 1001, 1003, 1008, 1012, 1013, 1006, 0)


@dataclass(frozen=True, slots=True)
class Trial:
    """Who tries: the socket that is theirs all the time, spare ones, and what the target has declared."""

    generator: Generator
    person: Person
    journey: Journey
    main: Session
    spares: Spares
    promises: Promises


def fan_in(trial: Trial) -> None:
    """Everybody of this process who comes here connects at the same instant, with several sockets each."""
    cap = trial.promises.sockets_per_user
    with trial.journey.step("fan in", go_on=True) as step:
        count = min(FAN_IN, cap - 1) if cap else 1
        spares = [trial.spares.make() for _ in range(count)]
        try:
            trial.generator.gathering("fan in", GATHERED).wait(PATIENCE_S)
            step.begun_ns = clock.now_ns()
            problems = trial.spares.open_at_once(spares)
            step.time_ns = max(filter(None, map(_ready_time_ns, spares)), default=None)
            came = f"{len(problems)} of them not: {problems[0]}" if problems else ""
            step.expect(not problems, f"{count} sockets of each that are ready", came)
        finally:
            trial.spares.close(*spares)


def sockets_up_to_the_cap(trial: Trial) -> None:
    """As many sockets as the target bears, one more, and another one in the place of one that was closed."""
    cap, journey = trial.promises.sockets_per_user, trial.journey
    if not 1 < cap <= CAP_MAX:
        why = f"a cap of {cap} sockets: more than a journey opens" if cap else "the target declares no cap"
        for name in ("several sockets", "over the cap", "room again"):
            journey.not_offered(name, why)
        return
    spares: list[Spare] = []
    with journey.step("several sockets", go_on=True):
        for _ in range(cap - 1):
            spares.append(trial.spares.ready())
    if len(spares) == cap - 1:
        with journey.step("over the cap", go_on=True) as step:
            _one_too_many(trial, step, spares, cap)
        with journey.step("room again", go_on=True) as step:
            trial.spares.close(spares.pop())
            spares.append(_in_its_place(trial, step))
    trial.spares.close(*spares)


def _one_too_many(trial: Trial, step: Step, spares: list[Spare], cap: int) -> None:
    extra = trial.spares.make()
    problem = extra.refusal()
    how = extra.how(problem)
    code, status = extra.closing.code, extra.session.way_up[1].http_status
    trial.spares.close(extra)
    step.expect(problem is not None, f"a refusal of socket {cap + 1}", "a socket that is ready")
    proper = status in REFUSED_BY_HTTP or (code in REFUSED_BY_CLOSE and bool(extra.closing.reason))
    step.expect(proper, "HTTP 429 or 403, or close 1008 with a reason", how)
    silent = sum(not session.answers() for session in (trial.main, *(spare.session for spare in spares)))
    step.expect(not silent, f"that the other {cap} stay", f"{silent} of them do not answer any more")


def _in_its_place(trial: Trial, step: Step) -> Spare:
    """:raises Unmet: none becomes ready."""
    how = ""
    for attempt in range(ROOM_ATTEMPTS):
        if attempt and trial.generator.stopping.wait(ROOM_PAUSE_S):
            break
        spare = trial.spares.make()
        problem = spare.refusal()
        if problem is None:
            return spare
        how = spare.how(problem)
        trial.spares.close(spare)
    raise Unmet("a socket in the place of one that was closed", how)


def speaks_before_ready(trial: Trial, prompt: Prompt, thread: Thread) -> None:
    """A prompt right behind the upgrade is answered, or refused with a word; it is never lost."""
    name, dialect = "speaks before ready", trial.generator.settings.dialect
    if dialect.ready_by == "upgrade":
        trial.journey.not_offered(name, "a socket of this protocol is ready with its upgrade")
        return
    with trial.journey.step(name, go_on=True) as step:
        spare = trial.spares.make()
        try:
            run = step.of(spare.ask(prompt, thread, warm_up=trial.generator.warm_up, early=True))
            step.connection = spare.session.name
            if run.refusal:
                proper = spare.closing.code != 1011 and spare.session.way_up[1].http_status not in range(500, 600)
                step.expect(proper, "an answer, or a refusal", f"{spare.how()}: {run.refusal}")
            else:
                step.well(run)
        finally:
            trial.spares.close(spare)


def subprotocols(trial: Trial) -> None:
    """Of those that are offered one that the target speaks is agreed on, and nothing else."""
    known = trial.generator.settings.dialect.known_subprotocols
    if not known:
        for name in ("known subprotocol", "unknown subprotocols"):
            trial.journey.not_offered(name, "nobody says which subprotocols the target speaks")
        return
    with trial.journey.step("known subprotocol", go_on=True) as step:
        offered, agreed, how = _agreed(trial, UNKNOWN[0], *known, UNKNOWN[1])
        allowed = set(offered) - set(UNKNOWN)  # a token that travels there is echoed too
        step.expect(agreed in allowed, f"one of {', '.join(known)}", how or repr(agreed or "none"))
    with trial.journey.step("unknown subprotocols", go_on=True) as step:
        offered, agreed, how = _agreed(trial, *UNKNOWN)
        proper = agreed in {"", *offered} - set(UNKNOWN) if not how else how.startswith(("HTTP 4", "close 1003"))
        step.expect(proper, "none agreed on, or a refusal", how or repr(agreed))


def _agreed(trial: Trial, *names: str) -> tuple[tuple[str, ...], str, str]:
    """What was offered, what was agreed on, and how it was refused instead, if it was."""
    spare = trial.spares.make()
    spare.offer(*names)
    problem = spare.refusal()
    try:
        connection = spare.session.connection
        return connection.endpoint.subprotocols, connection.subprotocol, spare.how(problem) if problem else ""
    finally:
        trial.spares.close(spare)


def close_codes(trial: Trial) -> None:
    """Every way in which the target can end a socket is told apart here, and is what was asked for."""
    dialect = trial.generator.settings.dialect
    if dialect.hang_up(CLOSES[0]) is None:
        trial.journey.not_offered("close codes", "the target cannot be asked to close a socket")
        return
    with trial.journey.step("close codes", go_on=True) as step:
        for code in CLOSES:
            spare = trial.spares.ready()
            step.connection = spare.session.name
            with suppress(OSError):  # its end is being delivered
                spare.session.connection.send(dialect.hang_up(code) or "")
            came = spare.how() if spare.ended(ANSWER_S) else f"nothing within {ANSWER_S:g} s"
            step.expect(_is_that(spare, code), _named(code), came)
            trial.spares.close(spare)


def _is_that(spare: Spare, code: int) -> bool:
    closing = spare.closing
    if code in (0, 1006):
        was_reset = "reset" in closing.reason.lower()
        return (closing.code, closing.by) == (1006, "transport") and was_reset == (code == 0)
    return (closing.code, closing.by) == (code, "peer")


def _named(code: int) -> str:
    return {0: "a reset", 1006: "the end of the transport without a close frame"}.get(code, f"close {code}")


def _ready_time_ns(spare: Spare) -> int | None:
    times, progress = spare.session.way_up
    return None if progress.ready_ns is None else progress.ready_ns - times.begun_ns
