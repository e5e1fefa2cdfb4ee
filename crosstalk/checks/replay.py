"""A run whose user lost the connection in its middle: did everything that was missed come, once and in order? Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from crosstalk.checks.run import RunCheck
from crosstalk.checks.violation import Violation
from crosstalk.wire.event import RUN_KINDS, Event
from crosstalk.wire.lifecycle import Lifecycle


@dataclass(frozen=True, slots=True)
class Rejoined:
    """What the two halves of a run make together."""

    ended: bool
    missed: int  # events that came as a replay
    violations: tuple[Violation, ...]


def rejoin(
    before: Sequence[Event],
    after: Sequence[Event],
    *,
    replay_at: int,
    replayed: int,
    run_id: str,
    lifecycle: Lifecycle,
    expects: Collection[str] = (),
) -> Rejoined:
    """Put a run together as it was sent, and check it like any other.

    What comes of it on the new connection before the replay was sent after what is replayed, so it stands behind it.

    :param before: events on the old connection, in order of arrival; of other runs too.
    :param after: events on the new one.
    :param replay_at: how many of `after` had come when the replay began.
    :param replayed: how many events of runs the replay has, as the target says.
    """
    early, rest = after[:replay_at], list(after[replay_at:])
    replay: list[Event] = []
    while rest and len(replay) < replayed:
        event = rest.pop(0)
        if event.kind in RUN_KINDS:
            replay.append(event)
    check = RunCheck(lifecycle, expects)
    found: list[Violation] = []
    for instant, event in enumerate((*before, *replay, *early, *rest)):
        if event.run_id == run_id and event.kind in RUN_KINDS:
            found.extend(check.advance(event, instant).violations)
    ended = check.ended
    found.extend(check.conclude() if ended else ())
    return Rejoined(ended, len(replay), tuple(found))
