"""After a loss: a connection again, with pauses that grow and differ, and what was missed, once and in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crosstalk.checks.replay import Rejoined, rejoin
from crosstalk.clock import clock
from crosstalk.generator import Generator
from crosstalk.journey import Journey, Step
from crosstalk.live_run import LiveRun
from crosstalk.probing.resuming import Left
from crosstalk.session import COME_AGAIN, NotReady, Session
from crosstalk.wire.event import Event, Kind

#: a target that is well again takes everybody within that time, seconds
RETURN_S = 20.0
#: between two looks at whether a run has ended
LOOK_S = 0.05
Heard = list[tuple[Event, bytes]]


def loss_of(session: Session | None) -> tuple[int, int]:
    """Close code and instant of an end that was not ours; (0, 0): it lives, or we ended it."""
    if session is None or session.is_ready:
        return 0, 0
    closing = session.heard[1]
    return (closing.code or 1006, closing.at_ns or 0) if closing.by in ("peer", "transport") else (0, 0)


def is_announced(code: int) -> bool:
    """Does this close code ask to come again?"""
    return code in COME_AGAIN


def come_back(
    journey: Journey, name: str, lost_ns: int, connect: Callable[[float, list[NotReady]], Session]
) -> Session | None:
    """A step from the loss until ready again; None where that came to nothing. Whoever cannot be taken in is told so.

    It may stand within another step, which has its own end: so it fails for itself alone.

    :param connect: connects within so many seconds, and tells what each attempt that failed was told.
    """
    turned_away: list[NotReady] = []
    session: Session | None = None
    with journey.step(name, go_on=True) as step:
        session = connect(RETURN_S, turned_away)
        step.connection = session.name
        ready_ns = session.way_up[1].ready_ns or clock.now_ns()
        step.time_ns = max(ready_ns - lost_ns, 0)
        silent = [one for one in turned_away if not one.said and one.stage != "connect"]
        expected = "a connection, or at once a word that it is to come later"
        step.expect(not silent, expected, silent[0].reason if silent else "")
    return session


class PutOff(Exception):
    """The target asks to come again: what was being tried is neither done nor refused."""


@dataclass(slots=True)
class Resumption:
    """A run that goes on while its user is away, and the two halves of what came of it."""

    generator: Generator
    run: LiveRun
    left: Left
    before: Heard
    after: Heard = field(default_factory=list)

    def offer(self, step: Step, session: Session) -> None:
        """Offer the old connection on the new one, and wait for the end of the run, which must be whole.

        :raises PutOff: the new connection was lost on the way, with a word that asks to come again.
        :raises Unmet: the target refused, or the run is not whole.
        """
        dialect = self.generator.settings.dialect
        frame = dialect.resume(self.left.belongings)
        assert frame is not None
        step.of(self.run)
        heard = session.exchange(frame)
        refused = next((event for event, _ in heard if event.kind is Kind.REFUSED), None)
        if refused is not None:
            step.expect(False, "the old connection is known", f"{refused.code} {refused.text}")
        rejoined = self._await_end(session)
        session.ping()  # what came twice has come by then
        if is_announced(loss_of(session)[0]) and not (rejoined and rejoined.ended):
            raise PutOff
        rejoined = self._rejoined()
        if rejoined is None:
            step.expect(False, "an answer to the offer", "none before the answer to a ping")
        elif rejoined.violations:
            step.expect(False, rejoined.violations[0].expected, _named(rejoined))
        else:
            step.expect(rejoined.ended, "the end of the run", f"none, with {rejoined.missed} events sent again")

    def _await_end(self, session: Session) -> Rejoined | None:
        deadline_ns = clock.now_ns() + int(self.generator.settings.environment.run_timeout_s * 1e9)
        while True:
            rejoined = self._rejoined()
            if rejoined is None or rejoined.ended or not session.is_ready or clock.now_ns() > deadline_ns:
                return rejoined
            self.generator.stopping.wait(LOOK_S)  # bounded: by the deadline above

    def _rejoined(self) -> Rejoined | None:
        """The run as both connections tell it; None before the answer to the offer."""
        dialect = self.generator.settings.dialect
        at = next((n for n, (_, frame) in enumerate(self.after) if dialect.replayed(frame) >= 0), -1)
        if at < 0:
            return None
        return rejoin(
            [event for event, _ in self.before],
            [event for event, _ in self.after],
            replay_at=at,
            replayed=dialect.replayed(self.after[at][1]),
            run_id=self.run.run_id,
            lifecycle=dialect.lifecycle,
            expects=self.run.prompt.expects,
        )


def _named(rejoined: Rejoined) -> str:
    first = rejoined.violations[0]
    more = f", and {len(rejoined.violations) - 1} more" if len(rejoined.violations) > 1 else ""
    return f"{first.name}: {first.came}{more}"
