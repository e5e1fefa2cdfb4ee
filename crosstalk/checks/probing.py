"""What the answers to attempts on another's belongings mean: channels 13 (objects) and 14 (functions).

Pure: the engine (`crosstalk.probing`) carries attempts out and hands over what came back; this says whether the target
refused, or what it let through. Next to it: listings.py (channel 7), sockets.py (channels 8, 9, 12, 15).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from crosstalk.checks.violation import ISOLATION, Violation, field_path
from crosstalk.wire.dialect import Attempt, Belongings
from crosstalk.wire.event import Event, Kind

#: kinds that give nothing away: refusals, and what a server says to anybody. An ack is how an unknown type is answered.
NEUTRAL = frozenset(
    {Kind.REFUSED, Kind.REJECTED, Kind.ERROR, Kind.MALFORMED, Kind.ACK, Kind.PONG, Kind.HEARTBEAT, Kind.WELCOME}
)
#: verbs that change nothing: these alone may be tried with guessed ids, which may be anybody's
HARMLESS = frozenset({"read", "list"})
#: fields that change without anybody's doing: times, and counts of looks
_RESTLESS = re.compile(r"(_at|_ns|_ms|_s|time|date|timestamp|seen|viewed|accessed|etag|version)$", re.IGNORECASE)
_DIGITS = re.compile(r"\d+$")


class Meaning(StrEnum):
    """What an answer says about the attempt that it answers."""

    REFUSED = "refused"
    REACHED = "reached"
    UNCLEAR = "unclear"  # no answer, a redirect, a failure of the server: neither granted nor refused


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for an attempt. `status` 0: no HTTP answer; `events`: what came on the socket before the barrier.

    `alive`: the socket was there to be answered on (an attempt on a socket that has ended proves nothing, unless it is
    what ended it: `refused_by_end`).
    """

    status: int = 0
    body: bytes = b""
    events: tuple[tuple[Event, bytes], ...] = ()
    alive: bool = True
    refused_by_end: bool = False


@dataclass(frozen=True, slots=True)
class Victim:
    """Whose belongings are reached for. `secrets`: what nobody else can know and no attempt says itself."""

    name: str
    belongings: Belongings = field(default_factory=Belongings)
    secrets: frozenset[bytes] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """Every id of the victim's that is known."""
        of = self.belongings
        return frozenset({of.user_id, of.thread_id, of.run_id, of.message_id, of.connection_id} - {""})


def meaning(attempt: Attempt, reply: Reply, *, own_ids: Collection[str] = (), about: Collection[str] = ()) -> Meaning:
    """Was the attempt refused?

    :param own_ids: of runs and threads of whoever attempts; events under them are no answer.
    :param about: ids of the victim's, one of which stands in an answer on the socket: what names none of them came by
        itself (a word to all, a notification). Empty: any event counts.
    """
    if attempt.call is not None:
        if 200 <= reply.status < 300:
            return Meaning.REACHED
        return Meaning.REFUSED if 400 <= reply.status < 500 else Meaning.UNCLEAR
    if answers(reply, own_ids=own_ids, about=about):
        return Meaning.REACHED
    if reply.refused_by_end:
        return Meaning.REFUSED
    return Meaning.REFUSED if reply.alive else Meaning.UNCLEAR


def answers(reply: Reply, *, own_ids: Collection[str] = (), about: Collection[str] = ()) -> list[tuple[Event, bytes]]:
    """Events that give something away."""
    ids = [wire_id.encode() for wire_id in about if wire_id]
    return [
        (event, frame)
        for event, frame in reply.events
        if is_answer(event, own_ids) and (not ids or any(wire_id in frame for wire_id in ids))
    ]


def is_answer(event: Event, own_ids: Collection[str] = ()) -> bool:
    """Does an event give something away, and is it not about one's own?"""
    return event.kind not in NEUTRAL and not ({event.run_id, event.thread_id} - {""}) & set(own_ids)


def reached(
    attempt: Attempt, reply: Reply, victim: Victim, *, own_ids: Collection[str] = (), guessed: bool = False
) -> Violation | None:
    """The violation that this answer is, if it is one: anything but a refusal, or a refusal that tells a secret.

    :param guessed: the ids were made up. What they hit is somebody's, and nobody can say whose, unless it tells.
    """
    came = answers(reply, own_ids=own_ids, about=victim.ids)
    means = meaning(attempt, reply, own_ids=own_ids, about=victim.ids)
    secret, told_in = _told(attempt, reply, victim)
    if means is not Meaning.REACHED and not secret:
        return None
    what = _came(attempt, reply, came)
    if secret:
        what += f"; it tells {victim.name}'s {secret.decode(errors='replace')[:48]!r}"
    about_run = attempt.object in ("run", "message", "thread")
    return Violation(
        ISOLATION,
        "foreign_object_reached",
        expected=f"a refusal of: {attempt}",
        came=f"{attempt}: {what}",
        event_kind=str(came[0][0].kind) if came else "",
        channel=channel_of(attempt),
        scope="cross_user" if secret or not guessed else "unverified",
        owner="" if guessed and not secret else victim.name,
        owner_run=victim.belongings.run_id if about_run and not guessed else "",
        site=attempt.object,
        field=field_path(told_in, secret.decode(errors="replace")) if secret else attempt.place,
        decode="plain",
    )


def says_nothing(reply: Reply, for_nobody: Reply, ids: Collection[str]) -> bool:
    """Is an HTTP answer the one that anybody's id gets, also one that nobody has?

    A list that ignores what it was asked for, a deletion that is done when there is nothing, a page that every path
    leads to: such an answer grants nothing. Ids, and what changes by itself, are taken out before they are compared.

    :param ids: of both attempts.
    """
    if not (200 <= reply.status < 300 and 200 <= for_nobody.status < 300):
        return False
    return _without(reply.body, ids) == _without(for_nobody.body, ids)


def _without(body: bytes, ids: Collection[str]) -> object:
    for wire_id in sorted(ids, key=len, reverse=True):
        body = body.replace(wire_id.encode(), b"?") if wire_id else body
    try:
        return settled(orjson.loads(body))
    except orjson.JSONDecodeError:
        return body


def channel_of(attempt: Attempt) -> int:
    """14 for functions; 12 for a token shown where another's thread is opened; 13 for what is done to an object."""
    if attempt.object == "function":
        return 14
    return 12 if (attempt.object, attempt.verb) == ("thread", "open") else 13


def body_of(reply: Reply, *, own_ids: Collection[str] = (), about: Collection[str] = ()) -> bytes:
    """The frame that is evidence: the HTTP body, or the first frame that gives something away."""
    if reply.body:
        return reply.body
    return next((frame for _, frame in answers(reply, own_ids=own_ids, about=about)), b"")


def tells(attempt: Attempt, reply: Reply, victim: Victim) -> bool:
    """Does an answer tell what only the victim can know?"""
    return bool(_told(attempt, reply, victim)[0])


def _told(attempt: Attempt, reply: Reply, victim: Victim) -> tuple[bytes, bytes]:
    """A secret of the victim's in an answer, and where it is told. What the attempt itself said is no secret."""
    said = f"{attempt.frame or ''} {attempt.call.path if attempt.call else ''} " + (
        str(attempt.call.json) if attempt.call and attempt.call.json else ""
    )
    secrets = [secret for secret in sorted(victim.secrets) if secret and secret.decode(errors="replace") not in said]
    for frame in (reply.body, *(frame for _, frame in reply.events)):
        for secret in secrets:
            if secret in frame:
                return secret, frame
    return b"", b""


def _came(attempt: Attempt, reply: Reply, came: list[tuple[Event, bytes]]) -> str:
    if attempt.call is not None:
        return f"HTTP {reply.status}, {len(reply.body)} bytes"
    names = [event.name or str(event.kind) for event, _ in came or reply.events]
    return ", ".join(names[:4]) or "nothing"


def changed(attempt: Attempt, victim: Victim, *, expected: str, came: str) -> Violation:
    """What the victim itself sees is not what it was: `attempt` is what was tried in between."""
    return Violation(
        ISOLATION,
        "victim_changed",
        expected=expected,
        came=f"after {attempt}: {came}",
        channel=13,
        scope="cross_user",
        owner=victim.name,
        owner_run=victim.belongings.run_id,
        site=attempt.object,
        field=attempt.place,
        decode="plain",
    )


# --- a victim's state -------------------------------------------------------------------------------------------------


def settled(document: Any, path: str = "") -> dict[str, Any]:
    """A JSON document as {path: scalar}, without what changes by itself: times, counts of looks."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [(path, document)]
    while waiting:
        here, value = waiting.pop()
        if isinstance(value, Mapping):
            inside = [(f"{here}.{key}" if here else str(key), inner) for key, inner in value.items()]
            waiting += [(name, inner) for name, inner in inside if not _RESTLESS.search(name)]
        elif isinstance(value, list):
            waiting += [(f"{here}[{number}]", inner) for number, inner in enumerate(value)]
        else:
            found[here] = value
    return found


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What is another now: the first of it in words, "" when nothing is."""
    paths = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    if not paths:
        return ""
    first = paths[0]
    was, now = before.get(first, "nothing"), after.get(first, "nothing")
    more = f", and {len(paths) - 1} more fields" if len(paths) > 1 else ""
    return f"{first or 'the answer'} was {str(was)[:80]!r}, is {str(now)[:80]!r}{more}"


# --- guessed ids ------------------------------------------------------------------------------------------------------


def guesses(own: Belongings) -> Iterator[Belongings]:
    """Ids that an intruder would try, knowing only its own: the neighbours of numbers, and plausible small ones."""
    for step in (-1, 1):
        yield Belongings(
            thread_id=_neighbour(own.thread_id, step),
            run_id=_neighbour(own.run_id, step),
            message_id=_neighbour(own.message_id, step),
            connection_id=_neighbour(own.connection_id, step),
        )
    for word in ("1", "00000000-0000-0000-0000-000000000001"):
        yield Belongings(thread_id=word, run_id=word, message_id=word)


def _neighbour(wire_id: str, step: int) -> str:
    """The id before or after: its last number counted on, else its last letter; "" where there is none before."""
    if not wire_id:
        return ""
    number = _DIGITS.search(wire_id)
    if number is not None:
        width, counted = len(number.group()), int(number.group()) + step
        return f"{wire_id[: number.start()]}{counted:0{width}}" if counted >= 0 else ""
    return wire_id[:-1] + chr(ord(wire_id[-1]) + step)
