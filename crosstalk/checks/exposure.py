"""What the channels had a chance to see in one process: observations, opportunities, controls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from crosstalk.checks.channels import CHANNELS, OBSERVED_BY, SIDE_KINDS
from crosstalk.wire.event import Kind

K = TypeVar("K")
V = TypeVar("V")

#: runs that their users gave up on, of which each process remembers the newest
ABANDONED_MAX = 4096
#: runs of all users, of which each process remembers the newest
RUNS_MAX = 16384
#: of those, none that began longer ago: what stands still in number does not grow with the hours
RUNS_KEPT_S = 600.0
#: ids that servers chose, of all users, of which each process remembers the newest
IDS_MAX = 500_000
#: how long after somebody gave up on a run its reply may lie around
ABANDONED_S = 5.0


def remember(newest: dict[K, V], key: K, value: V, *, at_most: int) -> None:
    """Put an entry into a dict that keeps its newest ones only."""
    if len(newest) >= at_most:
        del newest[next(iter(newest))]
    newest[key] = value


@dataclass(slots=True)
class Planted:
    """A run as the wire calls it, and when its prompt, with its canaries, was sent."""

    run_id: str
    at_ns: int


@dataclass(slots=True)
class Exposure:
    """What one channel had a chance to see. `opportunities`: observations while another user's canary was live.

    `skipped_bytes`: what was received and not searched deeply, because there was too much of it.
    """

    observations: int = 0
    opportunities: int = 0
    controls_expected: int = 0
    controls_seen: int = 0
    skipped_bytes: int = 0


@dataclass(slots=True)
class Seen:
    """Events of one kind: how many, and how many of them while another user's canary was live.

    `named`: those that name a run or a user. `named_own`: those that name one of the observer's.
    """

    events: int = 0
    opportunities: int = 0
    named: int = 0
    named_own: int = 0


@dataclass(slots=True)
class Exposures:
    """Exposure of every channel in one process, and what is live in it."""

    live: int = 0  # runs in progress, all users of this process
    phantoms: int = 0
    exempted: int = 0  # ids that were seen and do not count, because the observer had sent them itself
    server_ids: dict[str, str] = field(default_factory=dict)  # id that the server chose → account it was told to
    told: list[tuple[str, str]] = field(default_factory=list)  # ids and accounts, new since somebody wrote them down
    abandoned: dict[tuple[int, int], None] = field(default_factory=dict)  # (owner, ordinal) of cancelled runs
    _given_up_ns: dict[int, int] = field(default_factory=dict)  # account → when it last gave up on a run
    planted: dict[tuple[int, int], Planted] = field(default_factory=dict)  # (owner, ordinal) → its run
    _kinds: dict[Kind, Seen] = field(default_factory=lambda: {kind: Seen() for kind in Kind})
    _channels: dict[int, Exposure] = field(default_factory=lambda: {number: Exposure() for number in CHANNELS})

    def plant(self, owner: int, ordinal: int, run_id: str, at_ns: int) -> None:
        """A run begins: its prompt is about to be sent."""
        planted, oldest_ns = self.planted, at_ns - int(RUNS_KEPT_S * 1e9)
        while planted and (first := next(iter(planted))) and planted[first].at_ns < oldest_ns:
            del planted[first]
        remember(self.planted, (owner, ordinal), Planted(run_id, at_ns), at_most=RUNS_MAX)

    def name(self, owner: int, ordinal: int, run_id: str) -> None:
        """The server has told the id of a run."""
        if (owner, ordinal) in self.planted:
            self.planted[owner, ordinal].run_id = run_id

    def tell(self, wire_id: str, account: str) -> bool:
        """The server told this id to an account; False when it was another's before."""
        if wire_id not in self.server_ids:
            self.hear(wire_id, account)
            self.told.append((wire_id, account))
        return self.server_ids[wire_id] == account

    def hear(self, wire_id: str, account: str) -> None:
        """An id was told to an account, here or in another process."""
        if wire_id not in self.server_ids:
            remember(self.server_ids, wire_id, account, at_most=IDS_MAX)

    @property
    def channels(self) -> dict[int, Exposure]:
        """Every channel's exposure up to now."""
        sums = {
            number: Exposure(own.observations, own.opportunities, own.controls_expected, own.controls_seen,
                             own.skipped_bytes)
            for number, own in self._channels.items()
        }  # fmt: skip
        for kind, seen in self._kinds.items():
            for number in OBSERVED_BY[kind]:
                sums[number].observations += seen.events
                sums[number].opportunities += seen.opportunities
            for number in (20,) if kind in SIDE_KINDS else (1, 3):
                sums[number].controls_expected += seen.named
                sums[number].controls_seen += seen.named_own
        return sums

    def event(self, kind: Kind, *, own_live: int, named: bool = False, named_own: bool = False) -> None:
        """An event was checked: an observation for each channel that its kind speaks for.

        :param named: it names a run or a user, which is the control of the channels of ids.
        :param named_own: one of the observer's.
        """
        seen = self._kinds[kind]
        seen.events += 1
        if self.live > own_live:
            seen.opportunities += 1
        if named:
            seen.named += 1
            if named_own:
                seen.named_own += 1

    def own_event(self, kind: Kind, own_live: int) -> None:
        """An event was checked that names the observer's own run or account: `event`, at the cost of one frame."""
        seen = self._kinds[kind]
        seen.events += 1
        seen.named += 1
        seen.named_own += 1
        if self.live > own_live:
            seen.opportunities += 1

    def observe(self, channel: int, *, own_live: int) -> None:
        exposure = self._channels[channel]
        exposure.observations += 1
        if self.live > own_live:
            exposure.opportunities += 1

    def chance(self, channel: int) -> None:
        """An observation that was an opportunity, whoever else was there."""
        self.observe(channel, own_live=-1)

    def control(self, channel: int, *, expected: int, seen: int) -> None:
        exposure = self._channels[channel]
        exposure.controls_expected += expected
        exposure.controls_seen += seen

    def skip(self, channel: int, size_bytes: int) -> None:
        self._channels[channel].skipped_bytes += size_bytes

    def abandon(self, owner: int, ordinal: int, at_ns: int) -> None:
        """A user cancelled this run, or dropped its socket in mid-run: its reply may lie around somewhere."""
        remember(self.abandoned, (owner, ordinal), None, at_most=ABANDONED_MAX)
        self._given_up_ns[owner] = at_ns

    def abandoned_by_others(self, number: int, *, before_ns: int, after_ns: int) -> bool:
        """Did anybody else give up on a run shortly before a run began or while it went on?"""
        earliest_ns = before_ns - int(ABANDONED_S * 1e9)
        return any(earliest_ns <= at_ns <= after_ns for owner, at_ns in self._given_up_ns.items() if owner != number)
