"""Sockets that are offered what was another's, and two sockets of one user: channels 8, 9, 12 and 15; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from crosstalk.checks.probing import Victim, is_answer
from crosstalk.checks.violation import ISOLATION, Violation
from crosstalk.wire.event import RUN_KINDS, Event

# --- resumed sessions (channels 8 and 9) ------------------------------------------------------------------------------


def resumed(
    events: Iterable[tuple[Event, bytes]], *, channel: int, owner: Victim, own_ids: Collection[str],
    their_ids: Collection[str] = (),
) -> Violation | None:  # fmt: skip
    """What the offer of another's connection (8) or cursor (9) brought, if anything.

    An event may have come by itself: what shows neither an id nor a secret of the owner's is nobody's for sure.

    :param their_ids: of runs and threads that these events name and that are the owner's.
    """
    came = [(event, frame) for event, frame in events if event.kind in RUN_KINDS and is_answer(event, own_ids)]
    secret = next((s for _, frame in events for s in sorted(owner.secrets) if s and s in frame), b"")
    if not came and not secret:
        return None
    ids = {*their_ids, *owner.ids}
    theirs = [
        event
        for event, frame in came
        if {event.run_id, event.thread_id} & ids or any(wire_id.encode() in frame for wire_id in ids)
    ]
    proved = bool(theirs or secret)
    first = next(iter(theirs or [event for event, _ in came]), None)
    what = {8: "connection id", 9: "cursor"}[channel]
    names = ", ".join(dict.fromkeys(event.name or str(event.kind) for event, _ in came)) or "an answer with its content"
    return Violation(
        ISOLATION,
        "foreign_session_resumed",
        expected=f"a refusal of {owner.name}'s {what}",
        came=f"{len(came)} events: {names}"[:200],
        event_kind=str(first.kind) if first else "",
        channel=channel,
        scope="cross_user" if proved else "unverified",
        owner=owner.name if proved else "",
        owner_run=first.run_id if first else owner.belongings.run_id,
        site=what.replace(" ", "_"),
        field="(frame)",
        decode="plain",
    )


def kept_subscription(events: Iterable[Event], *, of: str, now: str, run_id: str) -> Violation | None:
    """Events of the first person's run on a socket that has shown another's token since (channel 12)."""
    came = [event for event in events if event.kind in RUN_KINDS and event.run_id == run_id]
    if not came:
        return None
    return Violation(
        ISOLATION,
        "subscription_kept",
        expected=f"nothing of {of} once the socket is {now}'s",
        came=f"{len(came)} events of run {run_id}, first {came[0].name or came[0].kind}",
        event_kind=str(came[0].kind),
        channel=12,
        scope="cross_user",
        owner=of,
        owner_run=run_id,
        site="run_id",
        field="run_id",
        decode="plain",
    )


def opened(*, of: str, now: str) -> Violation:
    """The socket of a thread took another's token (channel 12)."""
    return Violation(
        ISOLATION,
        "foreign_object_reached",
        expected=f"a refusal of {now}'s token on a thread of {of}",
        came="a socket that is ready",
        channel=12,
        scope="cross_user",
        owner=of,
        site="thread",
        field="path",
        decode="plain",
    )


# --- one user, two sockets (channel 15) -------------------------------------------------------------------------------


def fan_out(
    first: Sequence[Event], second: Sequence[Event], *, policy: bool, run_id: str, subject: str
) -> Violation | None:
    """Does the declared policy hold for a run that was asked for on the first socket? Kinds, order and texts count."""
    one, other = _trace(first, run_id), _trace(second, run_id)
    if policy and one == other:
        return None
    if not policy and not other:
        return None
    if policy:
        at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        expected = f"the same {len(one)} events on both sockets"
        came = f"{len(other)} on the second; from number {at + 1} on: {_at(other, at)} for {_at(one, at)}"
    else:
        expected, came = "nothing on the second socket", f"{len(other)} events there, first {_at(other, 0)}"
    return Violation(
        ISOLATION,
        "fan_out_broken",
        expected=expected,
        came=came,
        event_kind=_at(one or other, 0),
        channel=15,
        scope="cross_run",
        owner=subject,
        owner_run=run_id,
        site="socket",
        field="(frame)",
        decode="plain",
    )


def _trace(events: Sequence[Event], run_id: str) -> list[tuple[str, int, str]]:
    return [(str(e.kind), e.index, e.text) for e in events if e.kind in RUN_KINDS and e.run_id == run_id]


def _at(trace: Sequence[tuple[str, int, str]], number: int) -> str:
    return trace[number][0] if number < len(trace) else "nothing"
