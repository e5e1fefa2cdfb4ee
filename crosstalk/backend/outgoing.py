"""The last station of a netra socket that asked for another envelope than the main one: it packs events, sends some of
them again, and makes the mistakes of faults that concern how an event is packed and labelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from crosstalk.backend.envelopes import (
    BATCH_EVENTS_MAX,
    BATCH_S,
    BATCHED,
    FLATTENED,
    MAIN,
    WRAPPED,
    Fields,
    batch,
    event_in,
    flattened,
    wrapped,
)
from crosstalk.backend.events import frame_of
from crosstalk.backend.plan import CHUNK, COMPLETED, ERROR, SUPERVISOR, THINKING, TOOL_COMPLETED

#: faults that bite here, whatever the envelope
LABEL_FAULTS = frozenset({"metadata_missing", "ids_missing", "timestamp_backwards"})
_BACKWARDS = timedelta(seconds=5)
#: what batch_over_limit takes for the limits
_WRONG_EVENTS_MAX, _WRONG_BATCH_S = 40, 0.4

_Bites = Callable[[str, str], bool]


class Outgoing:
    """What one socket is sent.

    :param envelope: one of `envelopes.ENVELOPES`.
    :param retries: the acknowledgement of some events never comes: they are sent once more, as the second attempt
        (the first thought, the first tool's result and the second chunk of a run; flattened only).
    :param write: puts a frame on the wire.
    :param bites: decides a fault for a run, as (fault, what).
    """

    def __init__(
        self, envelope: str, *, retries: bool, write: Callable[[bytes], None], bites: _Bites, name: str = ""
    ) -> None:
        ignored = envelope != MAIN and bites("envelope_ignored", name)
        self._envelope = MAIN if ignored else envelope
        self._retries = retries and self._envelope == FLATTENED
        self._write = write
        self._bites = bites
        over = self._envelope == BATCHED and bites("batch_over_limit", name)
        self._events_max, self._batch_s = (_WRONG_EVENTS_MAX, _WRONG_BATCH_S) if over else (BATCH_EVENTS_MAX, BATCH_S)
        self._waiting: list[Fields] = []
        self._timer: asyncio.TimerHandle | None = None
        self._late: dict[str, Fields] = {}  # run → what will be sent again after its end (a fault)

    def put(self, frame: bytes) -> None:
        event = event_in(frame)
        if event is None:
            self.flush()  # what was asked for later is not answered earlier
            self._write(frame)
            return
        event = self._labelled(event)
        if self._envelope == BATCHED:
            self._gather(event)
        elif self._envelope == WRAPPED:
            nameless = _is_first_thought(event) and self._bites("envelope_wrong_name", _run_of(event))
            self._write(frame_of(wrapped(event, named=not nameless)))
        elif self._envelope == FLATTENED:
            self._write(frame_of(flattened(event)))
            if self._retries:
                self._retry(event)
        else:
            self._write(frame_of(event))

    def flush(self) -> None:
        """Send what waits in the batch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._waiting = self._waiting, []
        if not events:
            return
        if len(events) > 1 and self._bites("batch_reordered", _run_of(events[0])):
            events.reverse()
        self._write(frame_of(batch(events)))

    def _gather(self, event: Fields) -> None:
        """A timer may be late; what came too long after the first of the batch waits for the next one all the same."""
        if self._waiting and _instant(event) - _instant(self._waiting[0]) > timedelta(seconds=self._batch_s):
            self.flush()
        self._waiting.append(event)
        if len(self._waiting) >= self._events_max:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._batch_s, self.flush)

    def _retry(self, event: Fields) -> None:
        run_id = _run_of(event)
        if event["type"] == TOOL_COMPLETED and self._bites("retry_after_end", run_id):
            self._late[run_id] = event
        elif _is_sent_again(event):
            attempt = 1 if self._bites("retry_unmarked", run_id) else 2
            self._write(frame_of(flattened(event, attempt=attempt)))
        if _is_end(event) and run_id in self._late:
            self._write(frame_of(flattened(self._late.pop(run_id), attempt=2)))

    def _labelled(self, event: Fields) -> Fields:
        """The event with its labels: as they are, or as faults of a run's first thought want them."""
        if not _is_first_thought(event):
            return event
        run_id = _run_of(event)
        if self._bites("metadata_missing", run_id):
            event = {key: value for key, value in event.items() if key not in ("agent_name", "timestamp")}
        if self._bites("ids_missing", run_id):
            event = {key: value for key, value in event.items() if key not in ("run_id", "user_id")}
        if "timestamp" in event and self._bites("timestamp_backwards", run_id):
            event = {**event, "timestamp": (_instant(event) - _BACKWARDS).isoformat()}
        return event


def _run_of(event: Fields) -> str:
    return str(event.get("run_id", ""))


def _is_first_thought(event: Fields) -> bool:
    return event["type"] == THINKING and event["data"].get("step") == 1 and event.get("agent_name") == SUPERVISOR


def _is_sent_again(event: Fields) -> bool:
    data = event["data"]
    if event["type"] == TOOL_COMPLETED:
        return bool(data.get("call_id") == "call-1")
    return _is_first_thought(event) or (event["type"] == CHUNK and data.get("chunk_index") == 1)


def _is_end(event: Fields) -> bool:
    return event["type"] in (COMPLETED, ERROR) and not event["data"].get("nested")


def _instant(event: Fields) -> datetime:
    """When it was said; where a fault has taken that away, now."""
    said = event.get("timestamp")
    return datetime.fromisoformat(said) if isinstance(said, str) else datetime.now().astimezone()
