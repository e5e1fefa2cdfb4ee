"""What a sighting of something foreign is called: its channel, and the violation that reports show.

The channel tells where a backend's bug will be found. What holds first, names it:

    22 it had to be decoded first
    6, 16 it is one's own, of another run or thread
    17 the run had ended
    18 its owner had cancelled the run it belongs to: a reply that somebody else read
    11, 19 the run was made to look for just that (`Prompt.probe`)
    4, 20, 21 by the kind of event: tools; progress, notifications, hand-offs; errors and all that is no event
    2 content, 3 an id

Channels 5 and 10 are known only when the run is over: see `settled`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crosstalk.checks.canary import ID_SITES, Hit, Keyring, Label, Site
from crosstalk.checks.channels import CONTENT_CHANNEL_OF, PROBE_CHANNELS, SIDE_KINDS
from crosstalk.checks.exposure import Planted
from crosstalk.checks.violation import HARNESS, ISOLATION, Violation, field_path
from crosstalk.wire.event import Kind

if TYPE_CHECKING:
    from crosstalk.checks.isolation import Roster, RunPlace


#: the kind of a sighting in all that was received in a run, or besides
TRANSCRIPT = "transcript"


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where something was seen: an event of a kind, or (a `channel` of its own) what is no event."""

    kind: Kind | str
    what: str  # for people: the event's name
    place: RunPlace | None
    frame: bytes
    channel: int = 0
    field: str = ""
    of_a_tool: bool = False  # a notice about a tool's call, as where arguments come in pieces

    @property
    def content_channel(self) -> int:
        if self.channel:
            return self.channel
        if self.place is not None and self.place.ended:
            return 17
        if self.place is not None and self.place.probe in PROBE_CHANNELS:
            return self.place.probe
        if self.of_a_tool:
            return 4
        return CONTENT_CHANNEL_OF[self.kind] if isinstance(self.kind, Kind) else 2

    def id_channel(self, otherwise: int) -> int:
        """Of an id, or of a whole event: as told by the kind of event where it says more."""
        if self.channel:
            return self.channel
        if self.place is not None and self.place.ended:
            return 17
        return 20 if self.kind in SIDE_KINDS else otherwise


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a whole event is, and what told it."""

    label_or_id: Label | str | None
    user: str | None
    told_to: str
    field: str


class Accusation:
    """Makes the violations of one observer."""

    def __init__(
        self, keyring: Keyring, roster: Roster, number: int, subject: str,
        planted: Mapping[tuple[int, int], Planted],
    ) -> None:  # fmt: skip
        self._planted = planted
        self._keyring = keyring
        self._roster = roster
        self._number = number
        self._subject = subject

    def canary(
        self, at: Sighting, hit: Hit, scope: str, *, steps: tuple[str, ...], abandoned: bool, live: bool
    ) -> Violation:
        """A canary that must not be here: content, or an id that a client chose.

        :param abandoned: its owner had given up on the run it belongs to.
        :param live: the observer's own run of that ordinal is in progress.
        """
        label = hit.label
        decode = _decode(hit, steps)
        if _disguised(hit, steps):
            channel = 22
        elif scope in ("cross_run", "cross_thread") and not at.channel:
            channel = 6 if scope == "cross_run" or live else 16
        elif abandoned and not is_id(label) and at.content_channel != 17:
            channel = 18
        else:
            channel = at.id_channel(3) if is_id(label) else at.content_channel
        own = " from this thread" if label.owner == self._number else ""
        text = hit.canary.decode()
        return Violation(
            HARNESS if scope == "phantom" else ISOLATION,
            "foreign_id" if is_id(label) else "foreign_content",
            expected=f"ids of {self._subject}{own}" if is_id(label) else f"content of {self._subject}{own}",
            came=f"{text} of {self.name(label)}"
            if is_id(label)
            else f"a {label.site_name} reference of {self.name(label)}",
            event_kind=str(at.kind),
            channel=channel,
            scope=scope,
            owner=self.name(label),
            owner_run=self._run_of(label),
            site=f"{label.site_name}_id" if is_id(label) else label.site_name,
            field=at.field or field_path(at.frame, text),
            decode=decode,
            planted_ns=self._planted_ns(label),
        )

    def whole_event(self, at: Sighting, run_id: str, owner: Owner, scope: str) -> Violation:
        """An event of someone else on one's own socket."""
        label = owner.label_or_id if isinstance(owner.label_or_id, Label) else None
        name = owner.user or owner.told_to or (self.name(label) if label else "")
        known = label is not None or self._roster.number_of(name) is not None
        named_by = owner.field if label or not owner.user else "user_id"
        return self._id(
            at, "wrong_socket", expected=f"events of {self._subject}", came=f"{at.what} of {name}",
            channel=at.id_channel(1), scope=scope or ("cross_user" if known else "unverified"), owner=name,
            owner_run=run_id if owner.label_or_id else "", site=named_by, field=named_by, label=label,
        )  # fmt: skip

    def user_label(self, at: Sighting, name: str) -> Violation:
        """One's own run, labelled with someone else's name."""
        known = self._roster.number_of(name) is not None
        return self._id(
            at, "foreign_id", expected=f"user_id {self._subject}", came=f"user_id {name}", channel=at.id_channel(3),
            scope="cross_user" if known else "unverified", owner=name, site="user_id", field="user_id",
        )  # fmt: skip

    def run_label(self, at: Sighting, run_id: str, label: Label, scope: str) -> Violation:
        """One's own event that bears the id of someone else's run."""
        return self._id(
            at, "foreign_id", expected=f"ids of {self._subject}", came=f"{run_id} of {self.name(label)}",
            channel=at.id_channel(3), scope=scope, owner=self.name(label), owner_run=self._run_of(label),
            site=f"{label.site_name}_id", field="run_id", label=label,
        )  # fmt: skip

    def told_id(
        self, at: Sighting, wire_id: str, owner: str, *, field: str = "", run_id: str = "",
        steps: tuple[str, ...] = (),
    ) -> Violation:  # fmt: skip
        """An id that the server chose for someone else, or somebody's name."""
        field = field or at.field or field_path(at.frame, wire_id)
        site = "user_id" if wire_id == owner else field.rpartition(".")[2]
        return self._id(
            at, "foreign_id", expected=f"ids of {self._subject}", came=f"{wire_id} of {owner}",
            channel=22 if steps else at.id_channel(3), scope="cross_user", owner=owner,
            owner_run=wire_id if wire_id == run_id else "", site=site, field=field, decode="+".join(steps) or "plain",
        )  # fmt: skip

    def unknown_run(self, at: Sighting, run_id: str) -> Violation:
        return self._id(
            at, "unknown_run", expected=f"runs that {self._subject} started",
            came=f"{at.what} of run {run_id}, which no user of this load test started", channel=1,
            scope="unverified", owner="", owner_run=run_id, site="", field=field_path(at.frame, run_id),
        )  # fmt: skip

    def name(self, label: Label) -> str:
        if label.load_test != self._keyring.load_test:
            return "an account of another load test"
        return self._roster.name_of(label.owner)

    def _id(
        self, at: Sighting, name: str, *, expected: str, came: str, channel: int, scope: str, owner: str,
        site: str, field: str, owner_run: str = "", decode: str = "plain", label: Label | None = None,
    ) -> Violation:  # fmt: skip
        return Violation(
            ISOLATION, name, expected=expected, came=came, event_kind=str(at.kind), channel=channel, scope=scope,
            owner=owner, owner_run=owner_run, site=site, field=field, decode=decode,
            planted_ns=self._planted_ns(label) if label else None,
        )  # fmt: skip

    def _planted_ns(self, label: Label) -> int | None:
        known = self._planted.get((label.owner, label.ordinal)) if label.load_test == self._keyring.load_test else None
        return known.at_ns if known is not None and known.at_ns else None

    def _run_of(self, label: Label) -> str:
        """The id of the run in which a canary was planted (client-chosen ids are canaries, so it can be made again)."""
        ours = label.verified and label.load_test == self._keyring.load_test
        if not ours or label.site in (Site.THREAD, Site.PROFILE):
            return ""
        if known := self._planted.get((label.owner, label.ordinal)):
            return known.run_id
        return "run-" + self._keyring.make(owner=label.owner, ordinal=label.ordinal, site=Site.RUN)


def settled(violation: Violation, *, equal_prompt: bool, nonce_back: bool, chunk: str, streamed: Sequence[str],
            final_text: str) -> Violation:  # fmt: skip
    """The name of a sighting on channel 2, now that its run is over.

    10: many users say the very same words, and this answer never showed one's own reference: it is another's.
    5: the chunk that showed it is one too many: without it, the stream is the final text.

    :param nonce_back: the answer (chunks or final text) repeats one's own reference.
    :param equal_prompt: the run's prompt is one of those that are told apart by their private context only.
    :param chunk: the text of the chunk that showed it; "" where it was no chunk.
    """
    if violation.channel != 2 or violation.scope != "cross_user":
        return violation
    if equal_prompt and violation.site == "context" and not nonce_back:
        return replace(violation, channel=10)
    if chunk and final_text and chunk in streamed:
        rest = list(streamed)
        rest.remove(chunk)
        if "".join(rest) == final_text:
            return replace(violation, channel=5)
    return violation


def is_id(label: Label) -> bool:
    """Is it an id that a client chose, not content?"""
    return label.site in ID_SITES


def _disguised(hit: Hit, steps: tuple[str, ...]) -> bool:
    return bool(steps) or hit.folded


def _decode(hit: Hit, steps: tuple[str, ...]) -> str:
    words = list(steps)
    words += ["partial"] if hit.label.partial else []
    words += ["case"] if hit.folded and "case" not in words else []
    return "+".join(words) or "plain"
