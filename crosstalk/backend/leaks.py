"""The moment of a leak: an event whose step is marked for faults is sent, and what is another's gets into it, or it
gets to another's socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crosstalk.backend.events import Event
from crosstalk.backend.leak_forms import AFTER_END, FORMS, Form
from crosstalk.backend.leftovers import Seen
from crosstalk.backend.plan import Step

_Send = Callable[[list[bytes]], None]


@dataclass(frozen=True, slots=True)
class Ways:
    """Where frames can go. `own`: to the sockets of the run. `astray`: to another user's socket, `everywhere`: to those
    of all others, `first_only`: to one of several sockets of the run; None where there is no such socket."""

    own: _Send
    astray: _Send | None
    everywhere: _Send | None
    first_only: _Send | None


def send_wrongly(
    step: Step,
    event: Event,
    *,
    other: Callable[[Form], Seen | None],
    bites: Callable[[str], bool],
    render: Callable[[Event], list[bytes]],
    ways: Ways,
) -> None:
    """Send the event of a step that is marked for faults.

    `other` finds the run that gets into this one, None where there is none; without one, or without the way that it
    needs, a leak has no opportunity. A step after the end is there only because its fault has been decided.
    """
    events, packs = [event], []
    leaked = False
    for name in step.faults:
        form = FORMS.get(name)
        seen = other(form) if form is not None else None
        if form is None or seen is None or not (name in AFTER_END or bites(name)):
            continue
        leaked = True
        if form.events is not None:
            events = [*form.events(events[0], seen), *events[1:]]
        if form.frames is not None:
            packs.append((form.frames, seen))
    if not leaked and any(name in AFTER_END for name in step.faults):
        return
    frames = [frame for one in events for frame in render(one)]
    for pack, seen in packs:
        frames = pack(frames, seen)
    if "malformed_event" in step.faults and bites("malformed_event"):
        longest = max(range(len(frames)), key=lambda index: len(frames[index]))
        frames[longest] = _cut(frames[longest])
    _deliver(step, frames, bites, ways)


def _deliver(step: Step, frames: list[bytes], bites: Callable[[str], bool], ways: Ways) -> None:
    if "fan_out_missing" in step.faults and ways.first_only is not None and bites("fan_out_missing"):
        ways.first_only(frames)
    else:
        ways.own(frames)
    if "duplicate_event" in step.faults and bites("duplicate_event"):
        ways.own(frames)
    for name, way in (("leak_wrong_socket", ways.astray), ("leak_broadcast", ways.everywhere)):
        if name in step.faults and way is not None and bites(name):
            way(frames)


def _cut(frame: bytes) -> bytes:
    """Cut between characters: the frame is still a legal text message, only its JSON is broken."""
    return frame[: len(frame) // 2].decode(errors="ignore").encode()
