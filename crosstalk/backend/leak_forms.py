"""The forms of a leak: what becomes of an event, or of its frames, when another user's run gets into it.

Each is a pure function of the event or frames that are about to be sent and of what was seen of the other run. Where in
a run it may happen says `Form.kinds`; whether it happens is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crosstalk.backend.events import Binary, Event, Ping
from crosstalk.backend.leak_transforms import TRANSFORMS, json_escapes
from crosstalk.backend.leftovers import Seen, has_words
from crosstalk.backend.plan import (
    CHUNK,
    COMPLETED,
    DEBUG,
    HANDOFF,
    NOTIFICATION,
    PROGRESS,
    THINKING,
    TOOL_COMPLETED,
    TOOL_EXECUTING,
)

#: stands in `Form.kinds` for the kinds of events whose frames name their run
NAMES_RUN = "names run"


@dataclass(frozen=True, slots=True)
class Form:
    """`kinds`: the events that one is chosen from; the first chunk stands for all of them. `having`: what must be known
    of the other run. `own_user`: the other run is not another user's but the same user's newest.

    `events` makes of an own event what is sent in its place, `frames` does so with its frames.
    """

    kinds: tuple[str, ...]
    events: Callable[[Event, Seen], list[Event]] | None = None
    frames: Callable[[list[bytes], Seen], list[bytes]] | None = None
    having: Callable[[Seen], bool] = has_words
    own_user: bool = False


def _was_answered(other: Seen) -> bool:
    return has_words(other) and other.reference in other.answer


def _with(event: Event, **changes: Any) -> Event:
    return event._replace(data={**event.data, **changes})


def _also_says(event: Event, words: str) -> Event:
    if event.kind == CHUNK:
        return _with(event, chunk=f"{words} {event.data['chunk']}")
    if event.kind == THINKING:
        return _with(event, thought=f"{event.data['thought']} {words}")
    return _with(event, result=f"{event.data['result']} {words}")


def _content(event: Event, other: Seen) -> list[Event]:
    return [_also_says(event, other.words)]


def _transformed(name: str) -> Callable[[Event, Seen], list[Event]]:
    def change(event: Event, other: Seen) -> list[Event]:
        alignment = sum(event.run_id.encode()) % 3
        return [_also_says(event, TRANSFORMS[name](other.reference, alignment))]

    return change


def _tool_arguments(event: Event, other: Seen) -> list[Event]:
    arguments = event.data["arguments"]
    return [_with(event, arguments={**arguments, "references": [*arguments.get("references", ()), other.words]})]


def _tool_result(event: Event, other: Seen) -> list[Event]:
    return [_with(event, result={**event.data["result"], "previous": other.words})]


def _spliced_chunk(event: Event, other: Seen) -> list[Event]:
    """Two writers on one stream: the other run's chunks that hold its reference come as one piece, with the number that
    the first of them has there."""
    index, piece = piece_with(other.reference, other.pieces)
    return [event, _with(event, chunk=piece, chunk_index=index)]


def _mixed(event: Event, other: Seen) -> list[Event]:
    """One buffer for all runs of a user: the piece of another one that holds its reference, in place of the own one."""
    return [_with(event, chunk=piece_with(other.reference, other.pieces)[1])]


def piece_with(reference: str, pieces: tuple[str, ...]) -> tuple[int, str]:
    """The chunks from where the reference begins to where it ends, joined, and the number of the first of them."""
    start = "".join(pieces).index(reference)
    position, first, found = 0, 0, ""
    for index, piece in enumerate(pieces):
        position += len(piece)
        if position > start:
            first = first if found else index
            found += piece
            if position >= start + len(reference):
                break
    return first, found


def _rest_of_another(event: Event, other: Seen) -> list[Event]:
    """An event that is another user's but for the run that it is filed under."""
    changed = _with(event, chunk=f"Your reference is {other.words}. ")
    return [changed._replace(user_id=other.user_id, thread_id=other.thread_id)]


def _and_besides(kind: str, data: Callable[[Seen], dict[str, Any]]) -> Callable[[Event, Seen], list[Event]]:
    """One more event of the same run behind the own one."""
    return lambda event, other: [event, event._replace(kind=kind, data=data(other))]


# --- frames: what a serialiser attaches, escapes or packs -----------------------------------------------------------


def _longest(frames: list[bytes]) -> int:
    """The frame that has the content, among those that only open and close it."""
    return max(range(len(frames)), key=lambda index: 0 if isinstance(frames[index], Ping) else len(frames[index]))


def _attached(key: str, value: Callable[[Seen], Any]) -> Callable[[list[bytes], Seen], list[bytes]]:
    def change(frames: list[bytes], other: Seen) -> list[bytes]:
        index = _longest(frames)
        frame = orjson.dumps({**orjson.loads(bytes(frames[index])), key: value(other)})
        return [*frames[:index], type(frames[index])(frame), *frames[index + 1 :]]

    return change


def _nested(other: Seen) -> dict[str, Any]:
    span = {"name": "complete", "attributes": {"model": {"messages": [{"role": "user", "content": other.words}]}}}
    return {"trace": {"spans": [{"name": "request"}, span]}}


def _escaped(frames: list[bytes], other: Seen) -> list[bytes]:
    """The words are put into a field of their own, every letter of them escaped: the same JSON, other bytes."""
    plain, escaped = other.reference.encode(), json_escapes(other.reference).encode()
    noted = _attached("note", lambda seen: seen.reference)(frames, other)
    return [type(frame)(frame.replace(plain, escaped)) for frame in noted]


def _binary(frames: list[bytes], other: Seen) -> list[bytes]:
    """The event comes as a binary message, and what is another's in it."""
    index = _longest(frames)
    changed = _attached("note", lambda seen: seen.words)(frames, other)
    return [*changed[:index], Binary(changed[index]), *changed[index + 1 :]]


def _ping(frames: list[bytes], other: Seen) -> list[bytes]:
    """A ping behind the event: its payload is a buffer that was not cleared (125 bytes are the most it may hold)."""
    return [*frames, Ping(other.words.encode()[:125])]


def _batch(frames: list[bytes], other: Seen) -> list[bytes]:
    """A buffer of events that all sockets share is flushed to one of them."""
    own = [orjson.loads(bytes(frame)) for frame in frames if not isinstance(frame, Ping)]
    theirs = {**own[0], "run_id": other.run_id, "user_id": other.user_id, "thread_id": other.thread_id}
    theirs["data"] = {"thought": f"Considering {other.words}", "step": 1}
    batch = orjson.dumps({"type": "event_batch", "events": [*own, theirs]})
    return [batch, *(frame for frame in frames if isinstance(frame, Ping))]


FORMS: Mapping[str, Form] = {
    "leak_content": Form((THINKING, CHUNK, COMPLETED), _content),
    "leak_thought": Form((THINKING,), _content),
    "leak_final_text": Form((COMPLETED,), _content),
    "leak_key": Form((THINKING,), frames=_attached("usage", lambda other: {other.reference: 1})),
    "leak_nested": Form((THINKING, CHUNK, COMPLETED), frames=_attached("debug", _nested)),
    "leak_run_id": Form(
        (NAMES_RUN,), lambda event, other: [event._replace(run_id=other.run_id)], having=lambda other: True
    ),
    "leak_thread_id": Form(
        (NAMES_RUN,), lambda event, other: [event._replace(thread_id=other.thread_id)], having=lambda other: True
    ),
    "leak_user_id": Form(
        (NAMES_RUN,), lambda event, other: [event._replace(user_id=other.user_id)], having=lambda other: True
    ),
    "leak_message_id": Form(
        (THINKING,),
        frames=_attached("request_id", lambda other: other.request_id),
        having=lambda other: bool(other.request_id),
    ),
    "leak_user_name": Form(
        (THINKING,), frames=_attached("debug", lambda other: {"served_by": other.user_id}), having=lambda other: True
    ),
    "leak_tool_arguments": Form((TOOL_EXECUTING,), _tool_arguments),
    "leak_tool_result": Form((TOOL_COMPLETED,), _tool_result),
    "interleaved_stream": Form((CHUNK,), _spliced_chunk, having=_was_answered),
    "swapped_runs": Form(
        (COMPLETED,), lambda event, other: [_with(event, result=other.answer)], having=_was_answered, own_user=True
    ),
    "parallel_text_mixed": Form((CHUNK,), _mixed, having=_was_answered, own_user=True),
    "leak_after_end": Form((), lambda event, other: [_with(event, chunk=other.words)]),
    "late_foreign_event": Form((), _rest_of_another),
    "leak_handoff": Form((HANDOFF,), lambda event, other: [_with(event, context=other.words)]),
    "leak_progress": Form(
        (THINKING,), _and_besides(PROGRESS, lambda other: {"message": f"Working on {other.words}", "percent": 50})
    ),
    "leak_notification": Form(
        (THINKING,), _and_besides(NOTIFICATION, lambda other: {"thread": {"title": f"About {other.words}"}})
    ),
    "leak_unknown_event": Form((THINKING,), _and_besides(DEBUG, lambda other: {"last_input": other.words})),
    "leak_json_escaped": Form((THINKING,), frames=_escaped),
    "leak_binary_frame": Form((THINKING,), frames=_binary),
    "leak_ping": Form((THINKING,), frames=_ping),
    "leak_batch": Form((THINKING,), frames=_batch),
    **{name: Form((THINKING,), _transformed(name)) for name in TRANSFORMS},
}
#: forms of an event that is there for nothing else: one more chunk after the end
AFTER_END = ("leak_after_end", "late_foreign_event")
