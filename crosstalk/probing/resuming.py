"""Old connections that are offered again: one's own (the positive control), and a stranger's (channels 8 and 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crosstalk.checks.probing import Victim
from crosstalk.checks.sockets import resumed
from crosstalk.generator import Generator
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.dialect import Belongings
from crosstalk.wire.event import RUN_KINDS


@dataclass(frozen=True, slots=True)
class Left:
    """A connection that was dropped in mid-run: what it was called, how far it had come, and what it was about."""

    whose: str
    belongings: Belongings
    secrets: frozenset[bytes] = frozenset()


def drop(person: Person, session: Session) -> Left:
    """Drop the transport in mid-run, without a word."""
    runs = [run for run in person.runs.values() if not run.outcome]
    belongings = Belongings(
        user_id=person.name,
        thread_id=runs[-1].thread.thread_id if runs else "",
        run_id=runs[-1].run_id if runs else "",
        connection_id=session.welcome_id,
        cursor=str(session.events_in),
    )
    session.reset()
    return Left(person.name, belongings, frozenset(run.nonce for run in person.runs.values()))


@dataclass(slots=True)
class Offering:
    """Somebody who offers old connections on a new socket."""

    generator: Generator
    person: Person
    session: Session

    def own(self, left: Left) -> bool:
        """One's own: does it bring what was missed? It is what makes a refusal of a stranger's mean something."""
        frame = self.generator.settings.dialect.resume(left.belongings)
        if frame is None:
            return False
        events = self.session.exchange(frame)
        seen = any(event.kind in RUN_KINDS and event.run_id == left.belongings.run_id for event, _ in events)
        for channel in (8, 9):
            self.generator.exposures.control(channel, expected=1, seen=int(seen))
        return seen

    def strangers(self, theirs: Left, own: Left | None) -> None:
        """A stranger's connection (8); and its cursor alone, with a connection of one's own or of nobody (9)."""
        unknown = Belongings(connection_id=_turned(theirs.belongings.connection_id), cursor=theirs.belongings.cursor)
        self._offer(8, theirs.belongings, theirs)
        self._offer(9, replace(unknown, user_id=theirs.whose), theirs)
        if own is not None:
            self._offer(9, replace(own.belongings, cursor=theirs.belongings.cursor), theirs)

    def _offer(self, channel: int, of: Belongings, theirs: Left) -> None:
        frame = self.generator.settings.dialect.resume(of)
        if frame is None or not self.session.is_ready or not of.connection_id:
            return
        self.person.observer.sends(of.connection_id)
        for run in self.person.runs.values():
            run.dropped = run.dropped or bool(run.outcome)  # what is asked for once more may come once more
        events = self.session.exchange(frame, asked_for=channel)
        self.generator.exposures.observe(channel, own_live=self.person.observer.runs_live)
        owner = Victim(theirs.whose, theirs.belongings, theirs.secrets)
        owner_of = self.person.observer.owner_of
        own_ids = {event.run_id for event, _ in events if owner_of(event.run_id) == self.person.name}
        their_ids = {event.run_id for event, _ in events if owner_of(event.run_id) == theirs.whose}
        violation = resumed(events, channel=channel, owner=owner, own_ids=own_ids, their_ids=their_ids)
        if violation is not None:
            first = next((f for event, f in events if event.kind in RUN_KINDS and event.run_id not in own_ids), b"")
            self.generator.notes(self.person).violation(violation, frame=first)


def _turned(wire_id: str) -> str:
    """An id of the same form that nobody has."""
    return wire_id[:-4] + wire_id[-4:][::-1].translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
