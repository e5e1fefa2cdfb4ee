"""A journey: what a user comes to do, step by step, each with what must hold and how long it took.

    with self.journey() as journey:
        with journey.step("login") as step:
            answer = step.answered(self.generator.call(person, login), 200)
            step.expect(bool(answer.body), "tokens", "an empty body")

A step that does not hold is a row of the record and a failure in Locust's table, never an exception to the user: the
rest of its journey is left out (`go_on` where the next step does not build on it). What the load test itself cut short,
or came too late for (`miss`), is `cut`, and what the target has not is `not_offered`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from crosstalk.checks.families import CUT, FAILED, FAMILIES, NOT_OFFERED, OK
from crosstalk.clock import clock
from crosstalk.http import Answer
from crosstalk.live_run import LiveRun
from crosstalk.person import Person
from crosstalk.record.batch import row
from crosstalk.session import NotReady
from crosstalk.wire.redact import redact

if TYPE_CHECKING:
    from crosstalk.generator import Generator

WORDS_MAX = 300


class Unmet(Exception):
    """What a step expected is not what came."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}, came {came}")
        self.expected, self.came = expected, came


class Missed(Exception):
    """What a step wanted to try was over before it could be tried, and nobody is to blame: it is no attempt."""


class Step:
    """One step under way. `time_ns`: how long it took, where something else is meant than from its begin to its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.run = self.connection = self.trace_id = ""
        self.begun_ns = clock.now_ns()
        self.time_ns: int | None = None

    def expect(self, holds: bool, expected: str, came: object) -> None:
        """:raises Unmet: it does not hold."""
        if not holds:
            raise Unmet(expected, str(came))

    def miss(self, came: str) -> NoReturn:
        """What was to be tried was over before: no attempt, and nobody's fault. The journey goes on.

        :raises Missed: always.
        """
        raise Missed(came)

    def answered(self, answer: Answer, *statuses: int) -> Answer:
        """The answer, which must have one of these HTTP statuses.

        :raises Unmet: it has another.
        """
        came = answer.error or f"HTTP {answer.status}"
        self.expect(answer.status in statuses, "HTTP " + " or ".join(map(str, statuses)), came)
        return answer

    def well(self, run: LiveRun | None) -> LiveRun:
        """The run, which must have ended well.

        :raises Unmet: it did not, or there is none.
        """
        if run is None:
            raise Unmet("a run", "none: nothing came back")
        self.of(run)
        self.expect(run.outcome == "ok", "a run that ends well", f"{run.outcome}: {run.signature}")
        return run

    def of(self, run: LiveRun) -> LiveRun:
        """This step is about that run: its row and its evidence name it."""
        self.run, self.trace_id = run.run_id, run.trace_id
        return run


class Journey:
    """A journey under way; see `ChatUser.journey`."""

    def __init__(self, generator: Generator, person: Person, family: str) -> None:
        if family not in FAMILIES:
            raise ValueError(f"expected a family of {', '.join(FAMILIES)}; came {family!r}")
        self._generator, self._person, self.family = generator, person, family
        person.journeys += 1
        self.name = f"{generator.worker}-{person.name}-j{person.journeys}"
        self._begun_ns = clock.now_ns()
        self._outcomes: list[str] = []

    @contextmanager
    def step(self, name: str, *, go_on: bool = False) -> Iterator[Step]:
        """One step. What it raises by `expect` is recorded; the journey ends there, or goes on."""
        step = Step(name)
        try:
            yield step
        except (Unmet, NotReady) as problem:
            unmet = problem if isinstance(problem, Unmet) else Unmet("a connection that is ready", problem.reason)
            cut = self._generator.stopping.is_set()
            self._note(step, CUT if cut else FAILED, expected=unmet.expected, came=unmet.came)
            if not go_on or cut:
                raise unmet from None
        except Missed as reason:
            self._note(step, CUT, came=str(reason))
        except BaseException:  # a user that is stopped, or a mistake of ours: not the target's doing
            self._note(step, CUT)
            raise
        else:
            self._note(step, OK)

    def not_offered(self, name: str, why: str) -> None:
        """The target has no such thing: said once in a journey, and no attempt."""
        self._note(Step(name), NOT_OFFERED, expected=why)

    def over(self) -> None:
        """Write the row of the whole; a journey of which nothing was tried leaves none."""
        tried = [outcome for outcome in self._outcomes if outcome != NOT_OFFERED]
        if tried:
            whole = Step("")
            whole.begun_ns = self._begun_ns
            self._note(whole, FAILED if FAILED in tried else CUT if CUT in tried else OK)

    def _note(self, step: Step, outcome: str, *, expected: str = "", came: str = "") -> None:
        generator, person = self._generator, self._person
        time_ns = clock.now_ns() - step.begun_ns if step.time_ns is None else step.time_ns
        if step.name:
            self._outcomes.append(outcome)
        expected, came = (redact(text)[:WORDS_MAX] for text in (expected, came))
        generator.record("steps", row(
            "steps", worker=generator.worker, journey=self.name, family=self.family, step=step.name,
            account=person.name, user_class=person.user_class, begun_ns=step.begun_ns, time_ns=time_ns, outcome=outcome,
            expected=expected, came=came, run=step.run, connection=step.connection, trace_id=step.trace_id,
        ))  # fmt: skip
        if outcome == FAILED and step.run:
            generator.keep(step.run)
        if outcome in (OK, FAILED) and step.name:
            error = f"expected {expected}, came {came}" if outcome == FAILED else ""
            generator.milestone("STEP", f"{self.family}/{step.name}", time_ns / 1e6, 0, error)


@contextmanager
def journey(generator: Generator, person: Person, family: str) -> Iterator[Journey]:
    """A journey of this person's: ends at the first step that does not hold, and is written down in any case."""
    under_way = Journey(generator, person, family)
    try:
        yield under_way
    except Unmet:
        pass  # its step's row says why
    finally:
        under_way.over()


def families_played(user_classes: Iterable[type]) -> tuple[str, ...]:
    """Families of the journeys that these users make, as their `family` says; each once, in the order of FAMILIES."""
    played = {getattr(user_class, "family", "") for user_class in user_classes}
    return tuple(family for family in FAMILIES if family in played)
