"""Steps of the family "connection" on one socket that says nothing: pings, heartbeats, and the end of its patience.

What the target declares is what must be observed: "declared 35 s, observed 19 s".
"""

from __future__ import annotations

import orjson

from crosstalk.clock import clock
from crosstalk.journey import Step
from crosstalk.journeys.sockets import Trial
from crosstalk.journeys.spares import Spare
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.promises import Promises

#: silences that are asked for, where they can be: in this order, well apart
HEARTBEAT_S, PING_S, IDLE_S = 1.0, 1.6, 4.0
#: a longer silence than this is not sat out
SILENCE_MAX_S = 120.0
#: how much later than declared something may come: its share, and seconds for a busy machine
LATE, LATE_S = 1.5, 1.0
#: how much sooner the end may come: clocks and timers are not finer
EARLY, EARLY_S = 0.95, 0.1
#: what is due within so many seconds of the end may still have been on its way
HARDLY_DUE_S = 0.5
PINGS = ("application ping", "ping")
SILENCES = ("heartbeat", "server ping", "idle timeout")


def silence(trial: Trial) -> None:
    """Pings of both kinds on a new socket, which is silent then, until it is closed or nothing more is promised."""
    dialect = trial.generator.settings.dialect
    query = dialect.keepalive(heartbeat_s=HEARTBEAT_S, ping_s=PING_S, idle_s=IDLE_S)
    spare, ready = trial.spares.make(query), False
    heard = spare.session.listen()
    with trial.journey.step("silent socket", go_on=True) as step:
        step.connection = spare.session.name
        spare.session.open()
        ready = True
    if ready:
        _pings(trial, spare)
        promises = _told(trial, heard)
        spare.session.hush()
        since_ns = clock.now_ns()
        spare.session.answers()  # the last thing that is said: a ping may count as speech, or not
        _silences(trial, spare, promises, since_ns)
    trial.spares.close(spare)


def _pings(trial: Trial, spare: Spare) -> None:
    if trial.generator.settings.dialect.ping(0.0) is None:
        trial.journey.not_offered(PINGS[0], "the protocol has no ping of its own")
    else:
        with trial.journey.step(PINGS[0], go_on=True) as step:
            step.connection = spare.session.name
            step.expect(spare.session.ping(), "a pong", "none in time")
    with trial.journey.step(PINGS[1], go_on=True) as step:
        step.connection = spare.session.name
        payload = f"{trial.person.rng.getrandbits(64):016x}".encode()
        pong = spare.pong(payload)
        step.expect(pong == payload, f"a pong with the payload {payload!r}", "none" if pong is None else repr(pong))


def _told(trial: Trial, heard: list[tuple[Event, bytes]]) -> Promises:
    """What the welcome of this very socket says goes before what holds for all."""
    welcome = next((frame for event, frame in heard if event.kind is Kind.WELCOME), b"null")
    try:
        said = orjson.loads(welcome)
    except orjson.JSONDecodeError:
        said = None
    told = trial.generator.settings.dialect.promised(said) if isinstance(said, dict) else Promises()
    return told.over(trial.promises)


def _silences(trial: Trial, spare: Spare, promises: Promises, since_ns: int) -> None:
    incoming = spare.session.incoming
    for name, promised_s in zip(SILENCES, (promises.heartbeat_s, promises.ping_s, promises.idle_s), strict=True):
        if not 0 < promised_s <= SILENCE_MAX_S:
            why = f"declared {promised_s:g} s: longer than a journey is silent" if promised_s else "it is not declared"
            trial.journey.not_offered(name, why)
            continue
        flag = {"heartbeat": incoming.beaten, "server ping": incoming.pinged}.get(name, incoming.ended)
        spare.wait_for(flag, _left_s(since_ns, promised_s))
        at_ns = {"heartbeat": incoming.beaten_ns, "server ping": incoming.pinged_ns}.get(name, spare.closing.at_ns)
        observed_s, end_s = _seconds(since_ns, at_ns), _seconds(since_ns, spare.closing.at_ns)
        if observed_s is None and promises.idle_s and end_s is not None and end_s < promised_s + HARDLY_DUE_S:
            continue  # the end came before; whether it came too soon is the idle timeout's business
        with trial.journey.step(name, go_on=True) as step:
            step.connection = spare.session.name
            if name == "idle timeout":
                _expect_end(step, promised_s, observed_s, spare)
            else:
                came = "observed none" if observed_s is None else f"observed {observed_s:.1f} s"
                came += f"; {spare.how()} after {end_s:.1f} s" if end_s is not None else ""
                in_time = observed_s is not None and observed_s <= _latest_s(promised_s)
                step.expect(in_time, f"declared {promised_s:g} s", came)
            if name == "server ping":
                # who pings waits for the pong no longer than until the next ping
                spare.ended(0.75 * promised_s)
                step.expect(spare.closing.code != 1006, "a socket that lives, as its ping was answered", spare.how())
            step.time_ns = int((observed_s or 0.0) * 1e9)
        if spare.closing.code == 1006:
            return


def _expect_end(step: Step, promised_s: float, observed_s: float | None, spare: Spare) -> None:
    """The target ends it when it said that it would, neither sooner nor much later, and with a word."""
    declared = f"declared {promised_s:g} s"
    step.expect(observed_s is not None, declared, f"observed none within {_latest_s(promised_s):.1f} s")
    assert observed_s is not None
    fits = EARLY * promised_s - EARLY_S <= observed_s <= _latest_s(promised_s)
    step.expect(fits, declared, f"observed {observed_s:.1f} s: {spare.how()}")
    step.expect(spare.closing.code in (1000, 1001, 1008), "close 1000, 1001 or 1008", spare.how())


def _seconds(since_ns: int, at_ns: int | None) -> float | None:
    return None if at_ns is None else (at_ns - since_ns) / 1e9


def _latest_s(promised_s: float) -> float:
    return LATE * promised_s + LATE_S


def _left_s(since_ns: int, promised_s: float) -> float:
    return max(_latest_s(promised_s) - (clock.now_ns() - since_ns) / 1e9, 0.0)
