"""Steps of the family "limits": messages that are as large as may be, larger, without sense, or of no known type."""

from __future__ import annotations

from crosstalk.generator import Generator
from crosstalk.journey import Journey, Step
from crosstalk.journeys.spares import ANSWER_S, Spare, Spares
from crosstalk.live_run import Prompt, Thread
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.promises import Promises

#: this near to the declared size a message is still, and no longer, taken: targets count headers, or do not
MARGIN_BYTES = 64
#: a larger size than this is not tried: it would be a load test of its own
SIZE_MAX_BYTES = 4 << 20
SIZES = ("largest message", "oversized message", "next connection")


def sizes(generator: Generator, journey: Journey, spares: Spares, promises: Promises) -> None:
    """Just below the declared size a message is taken; above it, it is refused, or ends its socket with 1009."""
    dialect, size = generator.settings.dialect, promises.message_bytes
    large, too_large = dialect.sized(size - MARGIN_BYTES), dialect.sized(size + MARGIN_BYTES)
    if not 0 < size <= SIZE_MAX_BYTES or large is None or too_large is None:
        why = f"declared {size:,} bytes: more than a journey sends" if size > SIZE_MAX_BYTES else "no size is declared"
        for name in SIZES:
            journey.not_offered(name, why)
        return
    with journey.step(SIZES[0], go_on=True) as step:
        spare = spares.ready()
        step.connection = spare.session.name
        events = spare.session.exchange(large)
        step.expect(_has(events, Kind.ACK), f"an answer to {size - MARGIN_BYTES:,} bytes", _came(events, spare))
        spares.close(spare)
    with journey.step(SIZES[1], go_on=True) as step:
        spare = spares.ready()
        step.connection = spare.session.name
        events = spare.session.exchange(too_large)
        if not _has(events, Kind.REFUSED):
            spare.ended(ANSWER_S)
        proper = _has(events, Kind.REFUSED) or spare.closing.code == 1009
        step.expect(proper, f"an error, or close 1009, for {size + MARGIN_BYTES:,} bytes", _came(events, spare))
        spares.close(spare)
    with journey.step(SIZES[2], go_on=True) as step:
        spare = spares.ready()
        step.connection = spare.session.name
        step.expect(spare.session.answers(), "a socket that answers", _came([], spare))
        spares.close(spare)


def nonsense(generator: Generator, journey: Journey, spares: Spares) -> None:
    """What makes no sense is answered with an error, and the socket lives."""
    frames = list(generator.settings.dialect.nonsense())
    if not frames:
        journey.not_offered("malformed message", "nobody says what makes no sense")
        return
    with journey.step("malformed message", go_on=True) as step:
        spare = spares.ready()
        step.connection = spare.session.name
        for what, frame in frames:
            _expect_life(step, spare, spare.session.exchange(frame), (Kind.REFUSED,), f"an error for {what}")
        spares.close(spare)


def unknown(generator: Generator, journey: Journey, spares: Spares, prompt: Prompt, thread: Thread) -> None:
    """What nobody knows is acknowledged or refused, the socket lives, and a run on it ends well afterwards."""
    frame = generator.settings.dialect.unknown(f"unknown-{spares.person.rng.getrandbits(40):010x}")
    if frame is None:
        journey.not_offered("unknown type", "the protocol has no types that are unknown")
        return
    spare: Spare | None = None
    with journey.step("unknown type", go_on=True) as step:
        fresh = spares.ready()
        step.connection = fresh.session.name
        events = fresh.session.exchange(frame)
        _expect_life(step, fresh, events, (Kind.ACK, Kind.REFUSED), "an ack or an error")
        spare = fresh
    if spare is not None:
        with journey.step("run after it", go_on=True) as step:
            step.well(spare.ask(prompt, thread, warm_up=generator.warm_up))
        spares.close(spare)


def _expect_life(
    step: Step, spare: Spare, events: list[tuple[Event, bytes]], kinds: tuple[Kind, ...], expected: str
) -> None:
    """One of these kinds came, and the socket lives."""
    answered = any(_has(events, kind) for kind in kinds) and spare.session.is_ready
    step.expect(answered, f"{expected}, and a socket that lives", _came(events, spare))


def _has(events: list[tuple[Event, bytes]], kind: Kind) -> bool:
    return any(event.kind is kind for event, _ in events)


def _came(events: list[tuple[Event, bytes]], spare: Spare) -> str:
    """The end, or what was answered before the pong."""
    if spare.closing.code is not None:
        return spare.how()
    return ", ".join(event.name for event, _ in events if event.kind is not Kind.PONG) or "no answer"
