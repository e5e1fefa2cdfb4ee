"""Does a user receive what belongs to another? One `Observer` an account; pure.

Every frame is looked at whole (`inspect`): its envelope's ids must belong to the observer, and every canary in it must
be one that may be here. Channels (the numbers are those of docs/isolation.md):

    1 wrong_socket      a whole event of someone else
    2 foreign_content   a foreign canary inside one's own event
    3 foreign_id        someone else's id on one's own event, without content
    17 after_end        foreign content or ids under a run that has ended
    20 side_event       1–3 on hand-offs, progress and notifications

A canary's scope decides what is foreign: `cross_user`, and for one's own canaries `cross_thread` and `cross_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crosstalk.checks.canary import ID_SITES, PHANTOM_FIRST, SCOPES, Hit, Keyring, Label, Scope, Site
from crosstalk.checks.violation import HARNESS, ISOLATION, Violation, field_path
from crosstalk.wire.event import Event, Kind

CHANNELS = {
    1: "event on the wrong socket",
    2: "foreign content in one's own event",
    3: "foreign id without content",
    17: "events after a run's end",
    20: "progress, notification and hand-off events",
}
#: kinds that are not part of an answer: checked as channel 20
SIDE_KINDS = frozenset({Kind.HANDOFF, Kind.NOTICE, Kind.OTHER, Kind.HEARTBEAT, Kind.ACK, Kind.PONG})


@dataclass(slots=True)
class Exposure:
    """What one channel had a chance to see. `opportunities`: observations while another user's canary was live."""

    observations: int = 0
    opportunities: int = 0
    controls_expected: int = 0
    controls_seen: int = 0


@dataclass(slots=True)
class Exposures:
    """Exposure of every channel in one process, and which canaries are live in it."""

    channels: dict[int, Exposure] = field(default_factory=lambda: {channel: Exposure() for channel in CHANNELS})
    live: int = 0  # runs in progress, all users of this process
    phantoms: int = 0
    server_ids: dict[str, str] = field(default_factory=dict)  # id that the server chose → account it was told to

    def observe(self, channel: int, *, own_live: int) -> None:
        exposure = self.channels[channel]
        exposure.observations += 1
        if self.live > own_live:
            exposure.opportunities += 1

    def control(self, channel: int, *, expected: int, seen: int) -> None:
        exposure = self.channels[channel]
        exposure.controls_expected += expected
        exposure.controls_seen += seen


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run of the observer stands: what `inspect` must know of it."""

    run_id: str
    ordinal: int
    thread_first: int  # ordinal of the first run of its thread
    ended: bool


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is who in this load test: account number ↔ the name that the backend uses."""

    name_of: Callable[[int], str]
    number_of: Callable[[str], int | None]


class Observer:
    """One account's eyes.

    :param number: of the account; its canaries carry it.
    :param subject: the account's name in its token.
    """

    def __init__(self, *, keyring: Keyring, roster: Roster, number: int, subject: str, exposures: Exposures) -> None:
        self._keyring = keyring
        self._roster = roster
        self.number = number
        self.subject = subject
        self._exposures = exposures
        self._mine: dict[bytes, int] = {}  # own canaries that were sent → ordinal
        self.runs_live = 0

    def plant(self, *, ordinal: int, site: Site) -> str:
        """Make a canary of this account and remember it as sent."""
        canary = self._keyring.make(owner=self.number, ordinal=ordinal, site=site)
        self._mine[canary.encode()] = ordinal
        return canary

    def phantom(self, ordinal: int) -> str:
        """Make a canary of an owner that does not exist. It is never sent: a hit means that the harness is wrong."""
        self._exposures.phantoms += 1
        owner = PHANTOM_FIRST + self.number % 4096
        return self._keyring.make(owner=owner, ordinal=ordinal, site=Site.PHANTOM)

    def own_id(self, wire_id: str) -> bool:
        """The server chose this id for this account; False when it was another account's before."""
        return self._exposures.server_ids.setdefault(wire_id, self.subject) == self.subject

    def forget_before(self, ordinal: int) -> None:
        """Drop canaries of runs before `ordinal` from the quick list; they are still recognised by decoding."""
        self._mine = {canary: number for canary, number in self._mine.items() if number >= ordinal}

    def run_started(self) -> None:
        self.runs_live += 1
        self._exposures.live += 1

    def run_over(self) -> None:
        self.runs_live -= 1
        self._exposures.live -= 1

    def inspect(
        self,
        frame: bytes,
        event: Event,
        place: RunPlace | None,
        *,
        seen: set[bytes] | None = None,
        whole_text: bool = False,
    ) -> list[Violation]:
        """Everything in this frame that belongs to someone else.

        :param place: the observer's run that the event names; None when it names none of the observer's.
        :param seen: own canaries found are added to it (the positive control of the run).
        :param whole_text: `frame` is the joined text of a run whose frames were inspected before: no new observation.
        """
        foreign, own_seen = self._strangers(frame, place, seen)
        run_owner = None if place is not None else self._owner_of_id(event.run_id)
        if not isinstance(run_owner, Label) and self._told_to(event.thread_id) not in ("", self.subject):
            run_owner = event.thread_id  # a thread that the server gave to someone else
        user_owner = self._owner_of_user(event.user_id)
        channel = 0 if whole_text else self._account_for(event, place, own_seen)
        if not foreign and not run_owner and not user_owner:
            return []
        return self._judge(frame, event, place, channel, foreign, run_owner, user_owner)

    # --- what is in the frame ---------------------------------------------------------------------------------------

    def _strangers(self, frame: bytes, place: RunPlace | None, seen: set[bytes] | None) -> tuple[list[Hit], bool]:
        """Canaries that must not be here, and whether one of the observer's own is."""
        strangers, own_seen = [], False
        for hit in self._keyring.find(frame):
            ordinal = self._mine.get(hit.canary)
            if ordinal is None and hit.label.owner == self.number and self._is_ours(hit.label):
                ordinal = hit.label.ordinal
            if ordinal is not None:
                own_seen = True
                if seen is not None:
                    seen.add(hit.canary)
                if self._may_be_here(ordinal, hit.label.site, place):
                    continue
            strangers.append(hit)
        return strangers, own_seen

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
            return place.thread_first <= ordinal <= place.ordinal
        return ordinal == place.ordinal

    def _owner_of_id(self, wire_id: str) -> Label | str | None:
        """Whose id this is: None for nobody's or one's own; a string where it carries no label."""
        if not wire_id or self._exposures.server_ids.get(wire_id) == self.subject:
            return None
        label = self._keyring.read(wire_id.rpartition("-")[2])
        if label is None:
            return wire_id
        return None if label.owner == self.number and self._is_ours(label) else label

    def _is_own_thread(self, wire_id: str) -> bool:
        """Does the envelope name a thread of the observer's?"""
        if not wire_id or self._exposures.server_ids.get(wire_id) == self.subject:
            return bool(wire_id)
        label = self._keyring.read(wire_id.rpartition("-")[2])
        return label is not None and label.owner == self.number and self._is_ours(label)

    def _told_to(self, wire_id: str) -> str:
        """The other account that the server told this id to; "" when it told nobody here."""
        return self._exposures.server_ids.get(wire_id, "")

    def _owner_of_user(self, user_id: str) -> str | None:
        """Another account's name, or None when the frame names this one, or nobody."""
        if not user_id or user_id == self.subject:
            return None
        if user_id.endswith("...") and self.subject.startswith(user_id[:-3]):
            return None
        return user_id

    # --- what it means ----------------------------------------------------------------------------------------------

    def _account_for(self, event: Event, place: RunPlace | None, own_seen: bool) -> int:
        """Count the observation, and say which channel speaks for an event of this kind here."""
        side = event.kind in SIDE_KINDS
        own = int(place is not None or (event.user_id != "" and self._owner_of_user(event.user_id) is None))
        for channel in (20,) if side else (1, 2, 3):
            self._exposures.observe(channel, own_live=self.runs_live)
            # pongs and heartbeats name nobody: they are looked at, but prove nothing
            if channel == 20 and event.kind is Kind.HANDOFF and not (event.run_id or event.user_id):
                self._exposures.control(20, expected=1, seen=int(own_seen))
            elif channel != 2 and (event.run_id or event.user_id):
                self._exposures.control(channel, expected=1, seen=own)
        if place is not None and place.ended:
            return 17
        return 20 if side else 0

    def _judge(
        self,
        frame: bytes,
        event: Event,
        place: RunPlace | None,
        channel: int,
        foreign: list[Hit],
        run_owner: Label | str | None,
        user_owner: str | None,
    ) -> list[Violation]:
        content = [hit for hit in foreign if hit.label.site not in ID_SITES]
        own_user = (event.user_id != "" and user_owner is None) or self._is_own_thread(event.thread_id)
        # a canary that tells its owner is proof, whatever the envelope says
        proved = [hit for hit in content if self._scope(hit.label) in ("cross_user", "phantom")]
        if user_owner and place is not None:
            found = [self._content(frame, event, channel or 2, hit, place) for hit in proved]
            return [self._user_label(event, channel or 3, user_owner), *found]
        if user_owner or (run_owner and not own_user):
            told_to = self._told_to(run_owner) if isinstance(run_owner, str) else ""
            if isinstance(run_owner, str) and not told_to and user_owner is None:
                found = [self._content(frame, event, channel or 2, hit, place) for hit in proved]
                return found or [self._unknown_run(frame, event)]
            return [self._whole_event(event, channel or 1, run_owner, user_owner, told_to)]
        found = [self._content(frame, event, channel or 2, hit, place) for hit in content]
        if run_owner and not content:
            if isinstance(run_owner, str):
                told_to = self._told_to(run_owner)
                if told_to:
                    return [self._told_id(event, channel or 3, run_owner, told_to)]
                return [self._unknown_run(frame, event)]
            return [self._id(event, channel or 3, run_owner, "run_id", event.run_id)]
        ids = [hit for hit in foreign if hit.label.site in ID_SITES and not content]
        found += [
            self._id(event, channel or 3, hit.label, field_path(frame, hit.canary.decode()), hit.canary.decode(), hit)
            for hit in ids
        ]
        return found

    def _whole_event(
        self, event: Event, channel: int, run_owner: Label | str | None, user_owner: str | None, told_to: str
    ) -> Violation:
        label = run_owner if isinstance(run_owner, Label) else None
        owner = user_owner or told_to or (self._name(label) if label else "")
        known = label is not None or self._roster.number_of(owner) is not None
        named_by = _field_of(event, run_owner) if label or not user_owner else "user_id"
        return Violation(
            ISOLATION,
            "wrong_socket",
            expected=f"events of {self.subject}",
            came=f"{event.name or event.kind} of {owner}",
            event_kind=str(event.kind),
            channel=channel,
            scope=self._scope(label) if label else ("cross_user" if known else "unverified"),
            owner=owner,
            owner_run=event.run_id if run_owner else "",
            site=named_by,
            field=named_by,
            decode="plain",
        )

    def _user_label(self, event: Event, channel: int, user_owner: str) -> Violation:
        """One's own run, labelled with someone else's name."""
        known = self._roster.number_of(user_owner) is not None
        return Violation(
            ISOLATION,
            "foreign_id",
            expected=f"user_id {self.subject}",
            came=f"user_id {user_owner}",
            event_kind=str(event.kind),
            channel=channel,
            scope="cross_user" if known else "unverified",
            owner=user_owner,
            site="user_id",
            field="user_id",
            decode="plain",
        )

    def _content(self, frame: bytes, event: Event, channel: int, hit: Hit, place: RunPlace | None) -> Violation:
        label, canary = hit.label, hit.canary.decode()
        scope = self._scope(label, place)
        return Violation(
            HARNESS if scope == "phantom" else ISOLATION,
            "foreign_content",
            expected=f"content of {self.subject}" + ("" if label.owner != self.number else " from this thread"),
            came=f"a {label.site_name} reference of {self._name(label)}",
            event_kind=str(event.kind),
            channel=channel,
            scope=scope,
            owner=self._name(label),
            owner_run=self._run_of(label),
            site=label.site_name,
            field=field_path(frame, canary),
            decode=_decode(hit),
        )

    def _id(self, event: Event, channel: int, label: Label, field: str, came: str, hit: Hit | None = None) -> Violation:
        return Violation(
            ISOLATION,
            "foreign_id",
            expected=f"ids of {self.subject}",
            came=f"{came} of {self._name(label)}",
            event_kind=str(event.kind),
            channel=channel,
            scope=self._scope(label),
            owner=self._name(label),
            owner_run=self._run_of(label),
            site=f"{label.site_name}_id",
            field=field,
            decode=_decode(hit) if hit else "plain",
        )

    def _told_id(self, event: Event, channel: int, wire_id: str, owner: str) -> Violation:
        """One's own event under an id that the server chose for someone else."""
        return Violation(
            ISOLATION,
            "foreign_id",
            expected=f"ids of {self.subject}",
            came=f"{wire_id} of {owner}",
            event_kind=str(event.kind),
            channel=channel,
            scope="cross_user",
            owner=owner,
            owner_run=wire_id if wire_id == event.run_id else "",
            site=_field_of(event, wire_id),
            field=_field_of(event, wire_id),
            decode="plain",
        )

    def _unknown_run(self, frame: bytes, event: Event) -> Violation:
        return Violation(
            ISOLATION,
            "unknown_run",
            expected=f"runs that {self.subject} started",
            came=f"{event.name or event.kind} of run {event.run_id}, which no user of this load test started",
            event_kind=str(event.kind),
            channel=1,
            scope="unverified",
            field=field_path(frame, event.run_id),
            decode="plain",
        )

    def _scope(self, label: Label, place: RunPlace | None = None) -> str:
        if not label.verified:
            return "unverified"
        if label.load_test != self._keyring.load_test:
            return "other_load_test"
        if label.owner >= PHANTOM_FIRST:
            return "phantom"
        if label.owner != self.number:
            return "cross_user"
        if place is not None and place.thread_first <= label.ordinal <= place.ordinal:
            return "cross_run"
        return "cross_thread"

    def _name(self, label: Label) -> str:
        if label.load_test != self._keyring.load_test:
            return "an account of another load test"
        return self._roster.name_of(label.owner)

    def _run_of(self, label: Label) -> str:
        """The id of the run in which a canary was planted (client-chosen ids are canaries, so it can be made again)."""
        if not self._is_ours(label) or label.site in (Site.THREAD, Site.PROFILE):
            return ""
        return run_id(self._keyring, owner=label.owner, ordinal=label.ordinal)


def _field_of(event: Event, run_owner: Label | str | None) -> str:
    """Which field of the envelope told whose an event is."""
    return "thread_id" if run_owner == event.thread_id and run_owner != event.run_id else "run_id"


def run_id(keyring: Keyring, *, owner: int, ordinal: int) -> str:
    return "run-" + keyring.make(owner=owner, ordinal=ordinal, site=Site.RUN)


def thread_id(keyring: Keyring, *, owner: int, ordinal: int) -> str:
    return "thread-" + keyring.make(owner=owner, ordinal=ordinal, site=Site.THREAD)


def _decode(hit: Hit) -> str:
    words = ["partial"] if hit.label.partial else []
    words += ["case"] if hit.folded else []
    return "+".join(words) or "plain"
