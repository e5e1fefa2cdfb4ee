"""Does a user receive what belongs to another? One `Observer` an account; pure.

Every frame is looked at whole (`inspect`): its envelope's ids must belong to the observer, and every canary in it must
be one that may be here. What is no frame of events (close reasons, headers, control frames, HTTP bodies) is looked at
by `look`, and what was received in a run, or besides, once more by `search`: decoded, joined, piece by piece.
What a sighting is called is decided in accusation.py.

A canary's scope decides what is foreign: `cross_user`, and for one's own canaries `cross_thread` and `cross_run`.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from crosstalk.checks.accusation import TRANSCRIPT, Accusation, Owner, Sighting, is_id
from crosstalk.checks.canary import HEAD_LENGTH, PHANTOM_FIRST, SCOPES, Hit, Keyring, Label, Scope, Site, only_known
from crosstalk.checks.deep import Deep
from crosstalk.checks.exposure import Exposure, Exposures, remember
from crosstalk.checks.pieces import Pieces
from crosstalk.checks.transforms import marks_of, runs_of
from crosstalk.checks.violation import Violation, texts_of
from crosstalk.wire.event import Event, Kind

__all__ = ["Exposure", "Exposures", "Observer", "Roster", "RunPlace", "run_id", "thread_id"]

#: ids that an observer was told, or sent itself, and still knows as such
IDS_KNOWN = 4096
#: runs whose thread an observer looks up; of older ones, the order of ordinals tells it
RUNS_KNOWN = 256
#: what stands before the canary in ids of runs and of threads that the client chooses
RUN_ID = "run-"
THREAD_ID = "thread-"
#: letters and digits of an id that the server chose, for it to be nobody else's by chance
LABEL_LETTERS = 16
#: what the search must be able to undo, for its own control
DISGUISES: tuple[Callable[[bytes], bytes], ...] = (
    base64.b64encode,
    binascii.hexlify,
    lambda canary: canary[::-1],
    lambda canary: codecs.encode(canary.decode(), "rot13").encode(),
    lambda canary: b"%".join([b"", *(b"%02x" % byte for byte in canary)]),
    lambda canary: b"-".join(canary[at : at + 4] for at in range(0, len(canary), 4)),
)
#: runs of a process after which a disguise is tried again
CONTROL_EVERY = 100
#: parts of a transcript that are searched one by one for what was found in all of them
PARTS_LOOKED_AT = 500
#: ids and names in a text: what may be looked up
_TOKEN = re.compile(rb"[A-Za-z0-9_.@+-]{%d,128}" % LABEL_LETTERS)
_ID = marks_of(bytes(byte for byte in range(128) if chr(byte).isalnum()) + b"_.@+-")
_ID_GAPS = bytes(byte if byte < 128 and chr(byte).isalnum() else 0x20 for byte in range(256))


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run of the observer stands: what `inspect` must know of it."""

    run_id: str
    ordinal: int
    thread_first: int  # ordinal of its thread
    ended: bool
    probe: int = 0  # the channel that the run is a probe of
    known: frozenset[bytes] = frozenset()  # own canaries that may be in its frames: a quick list, not all of them


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is who in this load test: account number ↔ the name that the backend uses."""

    name_of: Callable[[int], str]
    number_of: Callable[[str], int | None]
    names_in: Callable[[bytes], Iterable[str]]  # names that stand in a text and cannot be there by chance


class Observer:
    """One account's eyes.

    :param number: of the account; its canaries carry it.
    :param subject: the account's name in its token.
    :param deep: searches what was received for canaries in disguise; shared by the process.
    :param pieces: the process's canaries, for `deep`: what is planted is added to it.
    """

    def __init__(
        self, *, keyring: Keyring, roster: Roster, number: int, subject: str, exposures: Exposures, deep: Deep,
        pieces: Pieces,
    ) -> None:  # fmt: skip
        self._keyring = keyring
        self._roster = roster
        self.number = number
        self.subject = subject
        self._exposures = exposures
        self._deep = deep
        self._pieces = pieces
        self._mine: dict[bytes, int] = {}  # own canaries that were sent → ordinal
        self._threads: dict[int, int] = {}  # ordinal → ordinal of its thread
        self._own_ids: dict[str, None] = {}  # that the server told to this account
        self._sent: dict[str, None] = {}  # others' ids that the observer sent itself
        self._live: set[int] = set()  # ordinals of runs in progress
        self._accusation = Accusation(keyring, roster, number, subject, exposures.planted)

    @property
    def runs_live(self) -> int:
        return len(self._live)

    def plant(self, *, ordinal: int, site: Site) -> str:
        """Make a canary of this account and remember it as sent."""
        canary = self._keyring.make(owner=self.number, ordinal=ordinal, site=site)
        self.plant_again(canary, ordinal=ordinal, site=site)
        return canary

    def plant_again(self, canary: str, *, ordinal: int, site: Site) -> None:
        """A canary of this account that was made before is about to be sent: it is as new."""
        letters = canary.encode()
        self._mine[letters] = ordinal
        self._pieces.add(letters, Label(self._keyring.load_test, self.number, ordinal, int(site), verified=True))

    def phantom(self, ordinal: int) -> str:
        """Make a canary of an owner that does not exist. It is never sent: a hit means that the harness is wrong."""
        self._exposures.phantoms += 1
        owner = PHANTOM_FIRST + self.number % 4096
        return self._keyring.make(owner=owner, ordinal=ordinal, site=Site.PHANTOM)

    def own_id(self, wire_id: str) -> bool:
        """The server chose this id for this account; False when it was another account's before.

        An id that is too short to be one of its kind in the world (a number from 1, say) is compared with nobody's.
        """
        remember(self._own_ids, wire_id, None, at_most=IDS_KNOWN)
        return not is_label(wire_id) or self._exposures.tell(wire_id, self.subject)

    def knows(self, wire_id: str) -> bool:
        """Has the server told this id to this account, or to another one?"""
        return wire_id in self._own_ids or wire_id in self._exposures.server_ids

    def sends(self, wire_id: str) -> None:
        """The observer is about to send somebody else's id: seeing it come back proves nothing."""
        if wire_id:
            for sent in (wire_id, wire_id.rpartition("-")[2].lower()):
                if sent not in self._sent:
                    remember(self._sent, sent, None, at_most=IDS_KNOWN)

    def forget_before(self, ordinal: int) -> None:
        """Drop canaries of runs before `ordinal` from the quick list; they are still recognised by decoding."""
        self._mine = {canary: number for canary, number in self._mine.items() if number >= ordinal}

    def thread_begun(self, ordinal: int) -> None:
        """A thread has an ordinal of its own."""
        self._know(ordinal, ordinal)

    def run_started(self, ordinal: int, thread_first: int, *, run_id: str = "", at_ns: int = 0) -> None:
        """:param run_id: as far as it is known; `run_named` tells it later."""
        self._live.add(ordinal)
        self._exposures.live += 1
        self._exposures.plant(self.number, ordinal, run_id, at_ns)
        self._know(ordinal, thread_first)

    def run_named(self, ordinal: int, run_id: str) -> None:
        """The server has told the id of a run of the observer's."""
        self.own_id(run_id)
        self._exposures.name(self.number, ordinal, run_id)

    def run_over(self, ordinal: int) -> None:
        if ordinal in self._live:
            self._live.discard(ordinal)
            self._exposures.live -= 1

    def beside(self, ordinal: int, thread_first: int) -> list[int]:
        """The channels between one's own runs for which a run was an opportunity: another of one's own was there."""
        channels = [6] if self._live - {ordinal} else []
        if any(thread != thread_first for thread in self._threads.values()):
            channels.append(16)
        return channels

    def abandoned(self, ordinal: int, *, at_ns: int) -> None:
        """The observer gave up on a run of its own."""
        self._exposures.abandon(self.number, ordinal, at_ns)

    def is_own(self, frame: bytes, event: Event, known: frozenset[bytes], seen: set[bytes]) -> bool:
        """Is all in a frame of a run of the observer's its own, as can be told at once? Nearly every frame is such.

        Then it has been counted as an observation, and `inspect` has nothing to add.

        :param known: own canaries that may be in frames of this run.
        :param seen: those found are added to it.
        """
        user_id, thread_id = event.user_id, event.thread_id
        if user_id != self.subject and (user_id or not event.run_id):
            return False
        server_ids = self._exposures.server_ids
        if thread_id and server_ids and server_ids.get(thread_id, self.subject) != self.subject:
            return False
        if not only_known(frame, known, seen):
            return False
        self._exposures.own_event(event.kind, len(self._live))
        return True

    def inspect(
        self,
        frame: bytes,
        event: Event,
        place: RunPlace | None,
        *,
        seen: set[bytes] | None = None,
        asked_for: int = 0,
    ) -> list[Violation]:
        """Everything in this frame that belongs to someone else.

        :param place: the observer's run that the event names; None when it names none of the observer's.
        :param seen: own canaries found are added to it (the positive control of the run).
        :param asked_for: the channel on which the observer asks for something of another's just now; what comes is
            named after it.
        """
        known: Set[bytes] = place.known if place is not None else self._mine.keys()
        strangers = self._keyring.strangers(frame, known, seen)
        foreign = self._strangers(strangers, place, seen)
        run_owner = None if place is not None else self._owner_of_id(event.run_id)
        if not isinstance(run_owner, Label) and self._told_to(event.thread_id) not in ("", self.subject):
            run_owner = event.thread_id  # a thread that the server gave to someone else
        user_owner = self._owner_of_user(event.user_id)
        self._account_for(event, place, frame)
        if not foreign and not run_owner and not user_owner:
            return []
        of_a_tool = event.kind is Kind.NOTICE and event.call_id != ""
        sighting = Sighting(
            event.kind, event.name or str(event.kind), place, frame, channel=asked_for, of_a_tool=of_a_tool
        )
        return self._judge(sighting, event, foreign, run_owner, user_owner)

    def owner_of(self, wire_id: str) -> str:
        """The account that an id tells as its owner, or that the server told it to; "" for nobody known."""
        label = self._keyring.read(wire_id.rpartition("-")[2])
        if label is not None and self._is_ours(label):
            return self._accusation.name(label)
        return self._exposures.server_ids.get(wire_id, "")

    def look(
        self, data: bytes, *, where: str, kind: str, channel: int = 21, counts: bool = True, deep: bool = True
    ) -> list[Violation]:
        """What belongs to someone else in something that is no frame of events.

        :param where: what it is, for people: "close reason", "header of the upgrade", "ping", "body of GET /threads".
        :param kind: what stands in its event's place in the record: "close", "header", "ping", "http".
        :param channel: the channel that it is seen on.
        :param counts: it is an observation of its own.
        :param deep: it is searched deeply now, and not later with other things.
        """
        if counts:
            self._exposures.observe(channel, own_live=self.runs_live)
        foreign = self._strangers(self._keyring.strangers(data, self._mine.keys()), None, None)
        sighting = Sighting(kind, where, None, data, channel=channel, field=where)
        found = [self._accuse(sighting, hit) for hit in foreign]
        if found or not deep:
            return found
        return [violation for violation, _ in self.search([data], None, sighting=sighting)]

    def search(
        self,
        parts: Sequence[bytes],
        place: RunPlace | None,
        *,
        seen: set[bytes] | None = None,
        sighting: Sighting | None = None,
        joined: bool = False,
    ) -> list[tuple[Violation, bytes]]:
        """What was received, once more and deeply: canaries in disguise, in pieces, over several parts; ids and names.

        :param parts: frames, and texts that belong together, in order of their arrival.
        :param joined: the parts were put together from pieces: what stands there plainly was split.
        :return: each violation with the part that shows it.
        """
        found: dict[Violation, bytes] = {}
        known: Set[bytes] = place.known if place is not None else self._mine.keys()
        result = self._deep.search_parts(parts, known, with_texts=bool(self._exposures.server_ids))
        self._exposures.skip(22, result.bytes_skipped)
        if seen is not None:
            seen |= result.own
        for deep in result.hits:  # weak ones may be chance: see pieces.py
            if not deep.hit.label.verified and deep.hit.label.owner == self.number:
                continue  # a piece of one's own canary, as streamed texts are full of
            for hit in self._strangers([deep.hit], place, seen):
                here = sighting or self._where(parts, hit, place)
                steps = deep.steps or (("split",) if joined else ())
                found.setdefault(self._accuse(here, hit, steps=steps), here.frame)
        for wire_id, owner, steps in (*self._named(result.names), *self._told_in(result.texts or parts)):
            here = sighting or Sighting(TRANSCRIPT, "a transcript", place, _part_with(parts, wire_id.encode()))
            found.setdefault(self._accusation.told_id(here, wire_id, owner, steps=steps), here.frame)
        return list(found.items())

    def _know(self, ordinal: int, thread_first: int) -> None:
        remember(self._threads, ordinal, thread_first, at_most=RUNS_KNOWN)

    def finds_in_disguise(self, ordinal: int) -> bool:
        """The control of the search itself: is a canary found that stands in a text in disguise?

        Another disguise each time; the canary is one of the observer's own that was never sent. The search is the same
        for all observers of a process: each disguise is tried by one run in `CONTROL_EVERY`, and its last answer holds.
        """
        number = ordinal % len(DISGUISES)
        asked, answer = self._deep.controls.get(number, (0, False))
        if asked % CONTROL_EVERY == 0:
            canary = self._keyring.make(owner=self.number, ordinal=ordinal, site=Site.PHANTOM)
            hidden = DISGUISES[number](canary.encode())
            found = self._deep.search(b'{"note": "see ' + hidden + b', please"}')
            answer = any(deep.hit.canary == canary.encode() and deep.steps for deep in found.hits)
        self._deep.controls[number] = (asked + 1, answer)
        return answer

    def _where(self, parts: Sequence[bytes], hit: Hit, place: RunPlace | None) -> Sighting:
        """The part that shows a canary, and the field in it; the last part, where it takes several of them."""
        head = hit.canary[:HEAD_LENGTH]

        def shown(text: bytes) -> bool:
            return any(one.hit.canary.startswith(head) for one in self._deep.search(text).hits)

        for part in parts:
            if hit.canary in part.lower():
                return Sighting(TRANSCRIPT, "a transcript", place, part)
        for part in parts[:PARTS_LOOKED_AT]:
            if shown(part):
                path = next((path for path, text in texts_of(part) if shown(text.encode(errors="replace"))), "(frame)")
                return Sighting(TRANSCRIPT, "a transcript", place, part, field=path)
        return Sighting(TRANSCRIPT, "a transcript", place, parts[-1])

    # --- what is in the frame ---------------------------------------------------------------------------------------

    def _strangers(self, hits: Iterable[Hit], place: RunPlace | None, seen: set[bytes] | None) -> list[Hit]:
        """Those of the canaries that must not be here."""
        strangers = []
        for hit in hits:
            ordinal = self._mine.get(hit.canary)
            if ordinal is None and hit.label.owner == self.number and self._is_ours(hit.label):
                ordinal = hit.label.ordinal
            if ordinal is not None:
                if seen is not None:
                    seen.add(hit.canary)
                if self._may_be_here(ordinal, hit.label.site, place):
                    continue
            elif hit.canary.decode() in self._sent:
                self._exposures.exempted += 1
                continue
            strangers.append(hit)
        return strangers

    def _is_ours(self, label: Label) -> bool:
        return label.verified and label.load_test == self._keyring.load_test

    def _may_be_here(self, ordinal: int, site: int, place: RunPlace | None) -> bool:
        """Is one's own canary inside its scope?"""
        if place is None or site not in Site._value2member_map_:
            return True
        scope = SCOPES[Site(site)]
        if scope is Scope.USER:
            return True
        if scope is Scope.THREAD:
            return self._thread_of(ordinal, place) == place.thread_first and ordinal <= place.ordinal
        return ordinal == place.ordinal

    def _thread_of(self, ordinal: int, place: RunPlace) -> int:
        """The thread that a run of one's own was in. Runs that were forgotten are older than the thread at hand."""
        known = self._threads.get(ordinal)
        if known is not None:
            return known
        return place.thread_first if place.thread_first <= ordinal <= place.ordinal else ordinal

    def _owner_of_id(self, wire_id: str) -> Label | str | None:
        """Whose id this is: None for nobody's or one's own; a string where it carries no label."""
        if not wire_id or wire_id in self._sent or self._is_told(wire_id):
            return None
        label = self._keyring.read(wire_id.rpartition("-")[2])
        if label is None:
            return wire_id
        return None if label.owner == self.number and self._is_ours(label) else label

    def _is_own_thread(self, wire_id: str) -> bool:
        """Does the envelope name a thread of the observer's?"""
        if not wire_id or self._is_told(wire_id):
            return bool(wire_id)
        label = self._keyring.read(wire_id.rpartition("-")[2])
        return label is not None and label.owner == self.number and self._is_ours(label)

    def _is_told(self, wire_id: str) -> bool:
        """Did the server choose this id for the observer?"""
        return wire_id in self._own_ids or self._exposures.server_ids.get(wire_id) == self.subject

    def _told_to(self, wire_id: str) -> str:
        """The other account that the server told this id to; "" when it told nobody here."""
        return "" if wire_id in self._sent else self._exposures.server_ids.get(wire_id, "")

    def _owner_of_user(self, user_id: str) -> str | None:
        """Another account's name, or None when the frame names this one, or nobody."""
        if not user_id or user_id == self.subject or user_id in self._sent:
            return None
        if user_id.endswith("...") and self.subject.startswith(user_id[:-3]):
            return None
        return user_id

    def _named(self, names: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Others' names, each with whose it is and how it was hidden."""
        for name, steps in names.items():
            if name != self.subject and name not in self._sent:
                yield name, name, steps

    def _told_in(self, parts: Sequence[bytes]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Ids that the server told to others and that stand anywhere, each with its owner."""
        if not self._exposures.server_ids:
            return
        ids = self._exposures.server_ids
        tokens = {token for part in parts for run in runs_of(part, _ID, LABEL_LETTERS) for token in _TOKEN.findall(run)}
        for token in sorted(one for one in map(bytes.decode, _with_pieces(tokens)) if one in ids):
            owner = self._told_to(token)
            if owner and owner != self.subject:
                yield token, owner, ()

    # --- what it means ----------------------------------------------------------------------------------------------

    def _account_for(self, event: Event, place: RunPlace | None, frame: bytes) -> None:
        """Count the observation, and what of one's own came with it."""
        named_user = event.user_id == self.subject or (
            event.user_id != "" and self._owner_of_user(event.user_id) is None
        )
        named = event.run_id != "" or event.user_id != ""
        self._exposures.event(
            event.kind, own_live=len(self._live), named=named, named_own=place is not None or named_user
        )
        if not named and event.kind is Kind.HANDOFF:
            known = place.known if place is not None else self._mine
            self._exposures.control(20, expected=1, seen=int(any(canary in frame for canary in known)))

    def _judge(
        self,
        sighting: Sighting,
        event: Event,
        foreign: list[Hit],
        run_owner: Label | str | None,
        user_owner: str | None,
    ) -> list[Violation]:
        accusation, place = self._accusation, sighting.place
        content = [hit for hit in foreign if not is_id(hit.label)]
        own_user = (event.user_id != "" and user_owner is None) or self._is_own_thread(event.thread_id)
        # a canary that tells its owner is proof, whatever the envelope says
        proved = [hit for hit in content if self._scope(hit.label) in ("cross_user", "phantom")]
        if user_owner and place is not None:
            return [
                accusation.user_label(sighting, user_owner), *(self._accuse(sighting, hit) for hit in proved)
            ]  # fmt: skip
        own_run = place is not None and event.run_id == place.run_id
        if user_owner or (run_owner and not own_user and not own_run):
            told_to = self._told_to(run_owner) if isinstance(run_owner, str) else ""
            if isinstance(run_owner, str) and not told_to and user_owner is None:
                found = [self._accuse(sighting, hit) for hit in proved]
                return found or [accusation.unknown_run(sighting, event.run_id)]
            owner = Owner(run_owner, user_owner, told_to, _field_of(event, run_owner))
            return [accusation.whole_event(sighting, event.run_id, owner, self._scope_of(run_owner))]
        if run_owner and not content:
            if isinstance(run_owner, Label):
                return [accusation.run_label(sighting, event.run_id, run_owner, self._scope(run_owner))]
            if told_to := self._told_to(run_owner):
                field = _field_of(event, run_owner)
                return [accusation.told_id(sighting, run_owner, told_to, field=field, run_id=event.run_id)]
            return [accusation.unknown_run(sighting, event.run_id)]
        # a text that is looked at encoded and decoded holds the same twice
        return list(dict.fromkeys(self._accuse(sighting, hit) for hit in content or foreign))

    def _accuse(self, sighting: Sighting, hit: Hit, *, steps: tuple[str, ...] = ()) -> Violation:
        label = hit.label
        abandoned = (label.owner, label.ordinal) in self._exposures.abandoned and self._is_ours(label)
        return self._accusation.canary(
            sighting, hit, self._scope(label, sighting.place), steps=steps,
            abandoned=abandoned and label.owner != self.number, live=label.ordinal in self._live,
        )  # fmt: skip

    def _scope_of(self, owner: Label | str | None) -> str:
        return self._scope(owner) if isinstance(owner, Label) else ""

    def _scope(self, label: Label, place: RunPlace | None = None) -> str:
        if not label.verified:
            return "unverified"
        if label.load_test != self._keyring.load_test:
            return "other_load_test"
        if label.owner >= PHANTOM_FIRST:
            return "phantom"
        if label.owner != self.number:
            return "cross_user"
        if place is not None and self._thread_of(label.ordinal, place) == place.thread_first:
            return "cross_run"
        return "cross_thread"


def is_label(wire_id: str) -> bool:
    """Can an id that the server chose be nobody else's by chance? 16 letters and digits, among them a digit: 64 bits
    where it is hexadecimal, more elsewhere."""
    letters = [letter for letter in wire_id if letter.isalnum()]
    return len(letters) >= LABEL_LETTERS and any(letter.isdigit() for letter in letters)


def run_id(keyring: Keyring, *, owner: int, ordinal: int) -> str:
    return RUN_ID + keyring.make(owner=owner, ordinal=ordinal, site=Site.RUN)


def thread_id(keyring: Keyring, *, owner: int, ordinal: int) -> str:
    return THREAD_ID + keyring.make(owner=owner, ordinal=ordinal, site=Site.THREAD)


def _field_of(event: Event, run_owner: Label | str | None) -> str:
    """Which field of the envelope told whose an event is."""
    return "thread_id" if run_owner == event.thread_id and run_owner != event.run_id else "run_id"


def _with_pieces(tokens: set[bytes]) -> set[bytes]:
    """Tokens and the parts that they are joined from: `run_3f2b8c1e…` holds an id too."""
    return tokens | {
        piece for token in tokens for piece in token.translate(_ID_GAPS).split(b" ") if len(piece) >= LABEL_LETTERS
    }


def _part_with(parts: Sequence[bytes], needle: bytes) -> bytes:
    """The part that holds it as it is; the last one where it stands in none, or over several."""
    lowered = needle.lower()
    return next((part for part in parts if lowered in part.lower()), parts[-1] if parts else b"")
