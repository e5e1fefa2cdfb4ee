"""A breaker from outside: answers in, steps out. Time is what is waited; nothing here sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.http import Answer
from crosstalk.journeys.breaker import FAILURES_MAX, Outside
from crosstalk.wire.dialect import Call
from tests.test_journey import Desk, begin

AWAY, WHOLE = Call("GET", "/x?away"), Call("GET", "/x")


def answer(status: int, retry_after: str = "") -> Answer:
    return Answer(status, None, {"Retry-After": retry_after} if retry_after else {}, "", 1.0, 0)


@dataclass
class Target:
    """Answers in order, the last one for ever; how long was waited between them."""

    answers: list[Answer]
    asked: list[Call] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def outside(self) -> Outside:
        said: Iterator[Answer] = iter(self.answers)

        def call(wanted: Call) -> Answer:
            self.asked.append(wanted)
            return next(said, self.answers[-1])

        return Outside(call, self.waited.append)


def opened(*answers: Answer) -> tuple[list[tuple[str, str]], Desk, Target]:
    desk, target = Desk(), Target(list(answers))
    with begin(desk, family="recovery") as journey:
        target.outside().opens(journey, AWAY)
    return desk.told(), desk, target


def closed(*answers: Answer) -> tuple[list[tuple[str, str]], Desk, Target]:
    desk, target = Desk(), Target(list(answers))
    with begin(desk, family="recovery") as journey:
        target.outside().closes(journey, WHOLE)
    return desk.told(), desk, target


@given(st.integers(1, FAILURES_MAX - 1), st.sampled_from([500, 502, 504]))
def test_it_opens_after_a_few_failures(failures: int, status: int) -> None:
    told, _, target = opened(*[answer(status)] * failures, answer(503, "2"))
    assert told == [("breaker opens", "ok"), ("", "ok")]
    assert target.asked == [AWAY] * (failures + 1)


def test_one_that_never_opens_fails() -> None:
    told, desk, target = opened(answer(502))
    assert told == [("breaker opens", "failed"), ("", "failed")]
    assert desk.rows[0]["came"] == f"{FAILURES_MAX} x HTTP 502"
    assert len(target.asked) == FAILURES_MAX


def test_an_open_one_says_when_to_come_again() -> None:
    for said in ("", "soon", "0", "99999"):
        told, desk, _ = opened(answer(502), answer(503, said))
        assert told[0] == ("breaker opens", "failed"), said
        assert desk.rows[0]["came"] == (said or "none")


def test_what_cannot_be_taken_away_is_not_offered() -> None:
    assert opened(answer(200))[0] == [("breaker opens", "not_offered")]


def test_it_is_waited_for_as_long_as_is_asked_and_must_be_closed_twice() -> None:
    told, _, target = closed(answer(503, "3"), answer(502), answer(503, "1"), answer(200), answer(200))
    assert told == [("breaker closes", "ok"), ("", "ok")]
    assert target.waited == [3, 0.1, 1]


def test_one_call_that_is_let_through_closes_nothing() -> None:
    told, desk, _ = closed(answer(503, "1"), answer(200), answer(503, "1"))
    assert told[0] == ("breaker closes", "failed")
    assert desk.rows[0]["came"] == "HTTP 503"
