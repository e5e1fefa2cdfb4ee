"""Steps of the family "limits": a limited rate, met politely and impolitely, over HTTP and on a socket.

Polite is who waits as long as the refusal says. Impolite is who goes on in spite of it: it stays refused, nothing
breaks, and once it is polite again it is heard.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from dataclasses import dataclass

from crosstalk.clock import clock
from crosstalk.generator import Generator
from crosstalk.http import Answer
from crosstalk.journey import Journey
from crosstalk.journeys.spares import Spare
from crosstalk.person import Person
from crosstalk.wire.dialect import Call
from crosstalk.wire.event import Kind
from crosstalk.wire.promises import Promises

#: users who wait for each other before they use up their allowances, and how long the first of them waits
GATHERED, PATIENCE_S = 32, 1.0
#: how often is gone on after a refusal
INSISTED = 4
#: a refusal is waited for up to so many allowances: while they are used up, they grow again
ALLOWANCES_MAX = 4
#: a longer wait than this is not politeness any more
WAIT_MAX_S = 30.0
#: `Retry-After` counts whole seconds
WHOLE_S = 1.0
TAKEN, REFUSED, BROKEN = "taken", "refused", "broken"
NAMES = ("within the rate limit", "rate limited", "impolite", "polite again")
ON_SOCKET = " on the socket"
#: the step before them, where a socket of its own is made for it
SOCKET = "socket to be limited"


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request was met. `wait_s`: what its refusal says; None: nothing."""

    how: str  # taken | refused | broken
    words: str
    at_ns: int
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests in so many seconds, by one way; `ask` makes one, `well` tells whether nothing broke by it."""

    suffix: str
    amount: int
    window_s: float
    ask: Callable[[], Reply]
    well: Callable[[], bool]


def over_http(
    generator: Generator, person: Person, call: Call, promises: Promises, well: Callable[[], bool]
) -> Allowance:
    """:param well: does the person's socket still answer?"""

    def ask() -> Reply:
        answer = generator.call(person, call, name="rate limited", fine=(429,))
        at_ns, words = clock.now_ns(), answer.error or f"HTTP {answer.status}"
        if answer.status == 429:
            return Reply(REFUSED, words, at_ns, retry_after_s(answer))
        return Reply(TAKEN if 200 <= answer.status < 300 else BROKEN, words, at_ns)

    return Allowance("", promises.rate_amount, promises.rate_window_s, ask, well)


def on_socket(generator: Generator, spare: Spare, promises: Promises) -> Allowance:
    dialect, rng = generator.settings.dialect, spare.person.rng

    def ask() -> Reply:
        frame = dialect.rate_limited_frame(f"limited-{rng.getrandbits(40):010x}")
        events = spare.session.exchange(frame or "")
        at_ns = clock.now_ns()
        if not spare.session.is_ready:
            return Reply(BROKEN, spare.how(), at_ns)
        for event, body in events:
            if event.kind is Kind.REFUSED and (wait_s := dialect.retry_after_s(body)) is not None:
                return Reply(REFUSED, f"{event.code} {event.text}", at_ns, wait_s or None)
            if event.kind is Kind.ACK:
                return Reply(TAKEN, "an ack", at_ns)
        return Reply(BROKEN, "no answer", at_ns)

    return Allowance(ON_SOCKET, promises.rate_amount, promises.rate_window_s, ask, lambda: spare.session.is_ready)


def use_up(generator: Generator, journey: Journey, allowance: Allowance) -> None:
    """All four steps, as far as the ones before them hold. The allowance must be whole at the beginning."""
    within, limited, impolite, polite = (name + allowance.suffix for name in NAMES)
    done = False
    with journey.step(within, go_on=True) as step:
        generator.gathering(f"limits{allowance.suffix}", GATHERED).wait(PATIENCE_S)
        step.begun_ns = clock.now_ns()
        for number in range(1, allowance.amount + 1):
            reply = allowance.ask()
            expected = f"{allowance.amount} requests in {allowance.window_s:g} s that are taken"
            step.expect(reply.how == TAKEN, expected, f"{reply.words} to number {number}")
        done = True
    if not done:
        return
    refusal: Reply | None = None
    with journey.step(limited, go_on=True) as step:
        reply = allowance.ask()
        for _ in range((ALLOWANCES_MAX - 1) * allowance.amount):
            if reply.how != TAKEN:
                break
            reply = allowance.ask()
        step.expect(reply.how == REFUSED, "a refusal because of the rate", reply.words)
        bounded = reply.wait_s is not None and 0 < reply.wait_s <= WAIT_MAX_S
        came = "it says nothing of it" if reply.wait_s is None else f"{reply.wait_s:g} s"
        step.expect(bounded, f"how long to wait, up to {WAIT_MAX_S:g} s", came)
        refusal = reply
    if refusal is None:
        return
    done = False
    with journey.step(impolite, go_on=True) as step:
        for _ in range(INSISTED):
            reply = allowance.ask()
            step.expect(reply.how == REFUSED or _may_be_taken(refusal, reply), "a refusal as before", reply.words)
            refusal = reply if reply.how == REFUSED else refusal
        step.expect(allowance.well(), "a socket that answers as before", "it does not")
        done = True
    if done:
        with journey.step(polite, go_on=True) as step:
            wait_s = min(refusal.wait_s or 0.0, WAIT_MAX_S)
            generator.stopping.wait(wait_s)
            step.begun_ns = clock.now_ns()
            reply = allowance.ask()
            step.expect(reply.how == TAKEN, f"to be heard after {wait_s:g} s", reply.words)


def not_offered(journey: Journey, suffix: str, why: str) -> None:
    for name in NAMES:
        journey.not_offered(name + suffix, why)


def _may_be_taken(refusal: Reply, reply: Reply) -> bool:
    """It was taken, and as late as the refusal said, or so that whole seconds cannot tell."""
    due_ns = refusal.at_ns + int(((refusal.wait_s or 0.0) - WHOLE_S) * 1e9)
    return reply.how == TAKEN and reply.at_ns >= due_ns


def retry_after_s(answer: Answer) -> float | None:
    """Seconds, or a date (RFC 9110, 10.2.3) against the answer's own; None: neither."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        return max((until - email.utils.parsedate_to_datetime(answer.headers["Date"])).total_seconds(), 0.0)
    except (TypeError, ValueError, KeyError):
        return None
