"""Faults of isolation: a process-wide place that remembers what anybody did last, and the events it gets into.

A real backend leaks in the same way: through a module-level "current" something that the next request overwrites.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crosstalk.backend.events import Event
from crosstalk.backend.plan import CHUNK, COMPLETED, THINKING, TOOL_COMPLETED, Step

SEEN_MAX = 64
CACHED_ANSWERS_MAX = 1_024
_TEXT_CHARS = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What is left of a run in the process-wide place. `words`: its references, or the beginning of its answer."""

    user_id: str
    run_id: str
    words: str

    @classmethod
    def of(cls, user_id: str, run_id: str, references: tuple[str, ...], text: str, prompt: str) -> Seen:
        return cls(user_id, run_id, " ".join(references) or text[:_TEXT_CHARS] or prompt[:_TEXT_CHARS])


class Leftovers:
    """Last seen by anyone: the newest runs of all users, and answers by prompt text."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=SEEN_MAX)
        self._answers: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def note_run(self, seen: Seen) -> None:
        self._seen.append(seen)

    def note_answer(self, prompt: str, user_id: str, text: str) -> None:
        self._answers[prompt] = (user_id, text)
        self._answers.move_to_end(prompt)
        if len(self._answers) > CACHED_ANSWERS_MAX:
            self._answers.popitem(last=False)

    def answer_of_another(self, prompt: str, user_id: str) -> str | None:
        """The answer that another user got to the same prompt; one's own would be no leak between users."""
        owner, text = self._answers.get(prompt, (user_id, ""))
        return None if owner == user_id else text

    def of_another(self, user_id: str, active: Container[str]) -> Seen | None:
        """The newest run of another user, one in progress (`active` has its id) before one that has ended."""
        newest = None
        for seen in self.all_of_others(user_id):
            if seen.run_id in active:
                return seen
            newest = newest or seen
        return newest

    def all_of_others(self, user_id: str) -> Iterator[Seen]:
        """Newest first."""
        return (seen for seen in reversed(self._seen) if seen.user_id != user_id)


def send_wrongly(
    step: Step,
    event: Event,
    *,
    other: Seen | None,
    bites: Callable[[str], bool],
    render: Callable[[Event], list[bytes]],
    send: Callable[[list[bytes]], None],
    send_astray: Callable[[list[bytes]], None] | None,
) -> None:
    """Send the event of a step that is marked for faults.

    `other` is another user's run, None where there is none; `send_astray` sends to another user's socket, None where
    nobody else is connected. Without them the leaks have no opportunity. A step after the end is there only because its
    fault has been decided.
    """
    leaked = False
    for name in step.faults:
        rewrite = _REWRITES.get(name)
        if rewrite is not None and other is not None and (name == "leak_after_end" or bites(name)):
            event = rewrite(event, other)
            leaked = True
    if "leak_after_end" in step.faults and not leaked:
        return
    frames = render(event)
    if "malformed_event" in step.faults and bites("malformed_event"):
        longest = max(range(len(frames)), key=lambda index: len(frames[index]))
        frames[longest] = _cut(frames[longest])
    send(frames)
    if "duplicate_event" in step.faults and bites("duplicate_event"):
        send(frames)
    if "leak_wrong_socket" in step.faults and send_astray is not None and bites("leak_wrong_socket"):
        send_astray(frames)


def _cut(frame: bytes) -> bytes:
    """Cut between characters: the frame is still a legal text message, only its JSON is broken."""
    return frame[: len(frame) // 2].decode(errors="ignore").encode()


def _leak_content(event: Event, other: Seen) -> Event:
    data = event.data
    if event.kind == TOOL_COMPLETED:
        return _with(event, result={**data["result"], "previous": other.words})
    if event.kind == CHUNK:
        return _with(event, chunk=f"{other.words} {data['chunk']}")
    if event.kind == THINKING:
        return _with(event, thought=f"{data['thought']} {other.words}")
    if event.kind == COMPLETED:
        return _with(event, result=f"{data['result']} {other.words}")
    return event


def _leak_run_id(event: Event, other: Seen) -> Event:
    return event._replace(run_id=other.run_id)


def _leak_after_end(event: Event, other: Seen) -> Event:
    return _with(event, chunk=other.words)


def _leak_handoff(event: Event, other: Seen) -> Event:
    return _with(event, context=other.words)


def _with(event: Event, **changes: Any) -> Event:
    return event._replace(data={**event.data, **changes})


_REWRITES: Mapping[str, Callable[[Event, Seen], Event]] = {
    "leak_content": _leak_content,
    "leak_run_id": _leak_run_id,
    "leak_after_end": _leak_after_end,
    "leak_handoff": _leak_handoff,
}
