"""A circuit breaker seen from outside: it opens after a few failures, says when to come again, and closes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crosstalk.clock import clock
from crosstalk.http import Answer
from crosstalk.journey import Journey, Step
from crosstalk.wire.dialect import Call

#: failures that are answered one by one; after so many nobody has opened anything
FAILURES_MAX = 10
#: a dependency that is back is noticed within that time, and the breaker closes
CLOSES_WITHIN_S = 8.0
#: between two calls that are let through, in seconds
TRIAL_S = 0.1
#: the longest that an open breaker may ask to wait, in seconds
RETRY_AFTER_MAX_S = 60
#: what a call is answered with whose dependency does not answer
FAILED = (500, 502, 504)
OPEN = 503


@dataclass(slots=True)
class Outside:
    """Somebody who calls.

    :param call: makes a call in a person's name.
    :param wait: lets so many seconds pass, or raises where the load test ends meanwhile.
    """

    call: Callable[[Call], Answer]
    wait: Callable[[float], None]

    def opens(self, journey: Journey, away: Call) -> bool:
        """Step "breaker opens"; False where the dependency cannot be made to fail, and nothing was tried.

        :param away: a call whose dependency does not answer.
        """
        answer = self.call(away)
        if answer.status == 200:
            why = "what it depends on is well, and cannot be taken away here"
            journey.not_offered("breaker opens", why)
            return False
        with journey.step("breaker opens") as step:
            failures = 0
            while answer.status in FAILED:
                failures += 1
                step.expect(failures < FAILURES_MAX, "503 after a few failures", f"{failures} x HTTP {answer.status}")
                answer = self.call(away)
            step.answered(answer, OPEN)
            retry_after_s(step, answer)
        return True

    def closes(self, journey: Journey, whole: Call) -> None:
        """Step "breaker closes": each time is waited for that the target asks for, and none longer than that."""
        with journey.step("breaker closes") as step:
            begun_ns, answer = clock.now_ns(), self.call(whole)
            while answer.status == OPEN or answer.status in FAILED:
                late = clock.now_ns() - begun_ns > CLOSES_WITHIN_S * 1e9
                step.expect(not late, f"200 within {CLOSES_WITHIN_S:g} s, as told", f"HTTP {answer.status} still")
                self.wait(retry_after_s(step, answer) if answer.status == OPEN else TRIAL_S)
                answer = self.call(whole)
            step.answered(answer, 200)
            step.answered(self.call(whole), 200)  # closed, not half-open


def retry_after_s(step: Step, answer: Answer) -> int:
    """The seconds of an answer's Retry-After.

    :raises Unmet: it has none, or one that nobody would wait for.
    """
    said = answer.headers.get("Retry-After", "")
    right = said.isdecimal() and 0 < int(said) <= RETRY_AFTER_MAX_S
    step.expect(right, f"Retry-After of 1 to {RETRY_AFTER_MAX_S} s", said or "none")
    return int(said)
