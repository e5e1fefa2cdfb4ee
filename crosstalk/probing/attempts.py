"""Attempts on another's belongings, carried out over HTTP and on one's own socket; channels 13 and 14."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

from crosstalk.checks.probing import (
    HARMLESS,
    Meaning,
    Reply,
    Victim,
    answers,
    body_of,
    channel_of,
    guesses,
    meaning,
    reached,
    says_nothing,
    tells,
)
from crosstalk.checks.violation import Violation
from crosstalk.generator import Generator
from crosstalk.http import Answer
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.dialect import Attempt, Belongings
from crosstalk.wire.event import Event

#: makes of any path one that leads nowhere
NOWHERE = "-of-nobody"
#: statuses that refuse: right answers to an attempt
REFUSALS = tuple(range(400, 500))


@dataclass(slots=True)
class Prober:
    """Somebody who reaches for what is another's.

    :param session: its own socket, ready; None: attempts over HTTP only.
    """

    generator: Generator
    person: Person
    session: Session | None = None
    refused: list[Attempt] = field(default_factory=list)
    let_through: list[Attempt] = field(default_factory=list)

    def reach(self, attempt: Attempt, victim: Victim, *, guessed: bool = False) -> Reply:
        """Carry an attempt out; what it brought, if anything, is a violation."""
        self._announce(victim.belongings)
        reply = self.carry_out(attempt)
        if not guessed and self._anybody_gets(attempt, reply, victim):
            reply = replace(reply, status=0)  # neither granted nor refused
        self._judge(attempt, reply, victim, guessed=guessed)
        return reply

    def _anybody_gets(self, attempt: Attempt, reply: Reply, victim: Victim) -> bool:
        """Would an id that nobody has get the same answer? Asked only where an HTTP answer grants and tells nothing."""
        if attempt.call is None or not 200 <= reply.status < 300 or tells(attempt, reply, victim):
            return False
        nobody = nobody_like(victim.belongings)
        same = (other for other in self.generator.settings.dialect.reach(nobody) if str(other) == str(attempt))
        other = next(same, None)
        if other is None:
            return False
        ids = {getattr(of, one.name) for of in (victim.belongings, nobody) for one in fields(of)} - {""}
        return says_nothing(reply, self.carry_out(other), ids)

    def _judge(self, attempt: Attempt, reply: Reply, victim: Victim, *, guessed: bool = False) -> None:
        own_ids = self.own_ids(reply.events)
        violation = reached(attempt, reply, victim, own_ids=own_ids, guessed=guessed)
        if violation is not None:
            self.say(violation, body_of(reply, own_ids=own_ids, about=victim.ids))
        means = meaning(attempt, reply, own_ids=own_ids, about=victim.ids)
        if violation is not None or means is Meaning.REACHED:
            self.let_through.append(attempt)
        elif means is Meaning.REFUSED:
            self.refused.append(attempt)

    def guess(self, own: Belongings, victim: Victim) -> int:
        """Harmless attempts with made-up ids; how many. What is answered for any id at all says nothing."""
        dialect, tried = self.generator.settings.dialect, 0
        nobody = nobody_like(own)
        for_nobody = {str(a): self.carry_out(a) for a in dialect.reach(nobody) if a.verb in HARMLESS}
        for guess in guesses(own):
            guessed = self._without_own(guess)
            for attempt in dialect.reach(guessed):
                baseline = for_nobody.get(str(attempt))
                granted = baseline is not None and meaning(attempt, baseline) is Meaning.REACHED
                if attempt.verb in HARMLESS and not granted:
                    self.reach(attempt, replace(victim, belongings=guessed), guessed=True)
                    tried += 1
        return tried

    def _without_own(self, guess: Belongings) -> Belongings:
        """Neighbours of one's own ids may be one's own."""
        named = {one.name: getattr(guess, one.name) for one in fields(guess)}
        owner_of = self.person.observer.owner_of
        return Belongings(**{key: value for key, value in named.items() if owner_of(value) != self.person.name})

    def functions(self) -> None:
        """What only administrators may do (channel 14)."""
        for attempt in self.generator.settings.dialect.functions():
            reply = self.carry_out(attempt)
            if attempt.call is not None and 200 <= reply.status < 300:
                nowhere = replace(attempt, call=replace(attempt.call, path=f"{attempt.call.path}{NOWHERE}"))
                if says_nothing(reply, self.carry_out(nowhere), {attempt.call.path}):
                    reply = replace(reply, status=0)  # every path leads to the same page
            if attempt.call is None and (once := self._names(reply)):
                # what comes by itself (a word to all) hardly comes twice: an answer does
                again = self.carry_out(attempt)
                both = tuple((event, frame) for event, frame in again.events if event.name in once)
                reply = replace(again, events=both)
            self._judge(attempt, reply, Victim(""))
            if meaning(attempt, reply, own_ids=self.own_ids(reply.events)) is not Meaning.UNCLEAR:
                self.count(14)

    def _names(self, reply: Reply) -> set[str]:
        return {event.name for event, _ in answers(reply, own_ids=self.own_ids(reply.events))}

    def is_there(self, attempts: Iterable[Attempt]) -> dict[str, bool]:
        """The positive control: does each attempt bring something, made by the owner?"""
        return {
            str(attempt): meaning(attempt, self.carry_out(attempt, look=False)) is Meaning.REACHED
            for attempt in attempts
            if attempt.verb in HARMLESS
        }

    def carry_out(self, attempt: Attempt, *, look: bool = True) -> Reply:
        """Make the request, or send the frame and hear what comes before the barrier.

        :param look: at the HTTP answer, for what belongs to anybody else.
        """
        if attempt.call is not None:
            answer = self.generator.http.call(
                attempt.call.method, attempt.call.path, token=self.generator.token(self.person), json=attempt.call.json
            )
            error = "" if answer.status in REFUSALS else answer.error
            self.generator.milestone("PROBE", str(attempt), answer.time_ms, answer.size_bytes, error)
            if look:
                self._look(attempt, answer)
            return Reply(status=answer.status, body=answer.raw)
        if self.session is None or not self.session.is_ready or attempt.frame is None:
            return Reply(alive=False)
        events = self.session.exchange(attempt.frame)
        alive = self.session.is_ready
        return Reply(events=tuple(events), alive=alive, refused_by_end=not alive)

    def overheard(self, heard: Sequence[tuple[Event, bytes]], victim: Victim, tried: Sequence[Attempt]) -> None:
        """What came on one's own socket all along: events of the victim's run, had a subscription been granted."""
        came = [(event, frame) for event, frame in heard if event.run_id and event.run_id == victim.belongings.run_id]
        if came and tried:
            violation = reached(tried[-1], Reply(events=tuple(came[:5])), victim)
            if violation is not None:
                self.say(violation, came[0][1])

    def count(self, channel: int) -> None:
        self.generator.exposures.observe(channel, own_live=self.person.observer.runs_live)

    def say(self, violation: Violation, frame: bytes = b"") -> None:
        self.generator.notes(self.person).violation(violation, frame=frame)

    def own_ids(self, events: Iterable[tuple[Event, bytes]]) -> set[str]:
        """Which ids that these events name are one's own: events under them answer nothing."""
        named = {wire_id for event, _ in events for wire_id in (event.run_id, event.thread_id) if wire_id}
        return {wire_id for wire_id in named if self.person.observer.owner_of(wire_id) == self.person.name}

    def _announce(self, of: Belongings) -> None:
        """Ids that are about to be sent may be repeated in a refusal: that is no leak."""
        for one in fields(of):
            if one.name != "cursor":
                self.person.observer.sends(getattr(of, one.name))

    def _look(self, attempt: Attempt, answer: Answer) -> None:
        """An HTTP answer is looked at for what belongs to anybody; what comes on a socket is looked at there."""
        where = f"answer to: {attempt}"
        if not 200 <= answer.status < 300:
            self.generator.look(self.person, answer, where=where)
            return
        self.generator.look(self.person, replace(answer, raw=b""), where=where)
        look = self.person.observer.look
        for violation in look(answer.raw, where=where, kind="http", channel=channel_of(attempt), counts=False):
            self.say(violation, answer.raw)


def nobody_like(of: Belongings) -> Belongings:
    """Belongings of the same forms that nobody has."""
    return Belongings(**{one.name: _nobodys(getattr(of, one.name)) for one in fields(of) if one.name != "cursor"})


def _nobodys(wire_id: str) -> str:
    """An id of the same form that nobody has: its letters turned."""
    return wire_id[::-1] if wire_id else ""
