"""What the `netra` protocol says about threads, their messages, and coming back, over HTTP and in frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson

from crosstalk.wire.dialect import Call, Dialect, scalar
from crosstalk.wire.surfaces import framed, objects_in

#: what is asked for in a frame → the frame's name, and the name of its answer
_FRAMES = {
    "list": ("list_threads", "thread_list"),
    "history": ("get_thread_history", "thread_data"),
    "switch": ("switch_thread", "thread_updated"),
    "delete": ("delete_thread", "thread_deleted"),
}
_ANSWERS = frozenset(answer for _, answer in _FRAMES.values())
_SPEAKERS = {"user": "user", "assistant": "agent"}


class NetraThreads(Dialect):
    """A part of `Netra`."""

    def titles(self, answer: Mapping[str, Any]) -> Mapping[str, str]:
        return {scalar(thread.get("id")): scalar(thread.get("title")) for thread in objects_in(answer, "threads")}

    def page_of_threads(self, *, limit: int, offset: int) -> Call:
        return Call("GET", f"/api/threads?limit={limit}&offset={offset}")

    def page_of_history(self, thread_id: str, *, limit: int, offset: int) -> Call:
        return Call("GET", f"/api/threads/{thread_id}/messages?limit={limit}&offset={offset}")

    def speakers(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        said = ((scalar(one.get("role")), scalar(one.get("content"))) for one in objects_in(answer, "messages"))
        return [(_SPEAKERS.get(role, role), content) for role, content in said]

    def add_message(self, thread_id: str, text: str) -> Call:
        return Call("POST", f"/api/threads/{thread_id}/messages", {"content": text})

    def thread_frame(self, verb: Literal["list", "history", "switch", "delete"], thread_id: str = "") -> str:
        return framed(_FRAMES[verb][0], payload={"thread_id": thread_id} if thread_id else {})

    def told(self, frame: bytes) -> Mapping[str, Any] | None:
        message = _object(frame)
        data = message.get("data")
        return data if message.get("type") in _ANSWERS and isinstance(data, dict) else None

    def replayed(self, frame: bytes) -> int:
        message = _object(frame)
        data = message.get("data")
        events = data.get("events") if message.get("type") == "resumed" and isinstance(data, dict) else None
        return events if isinstance(events, int) else -1

    def dependent(self, *, away: bool) -> Call:
        return Call("GET", "/api/insights" + ("?dependency=away" if away else ""))

    def occasions(self) -> Call:
        return Call("GET", "/health/occasions")

    def going_on(self, answer: Mapping[str, Any]) -> Iterable[str]:
        names = answer.get("now")
        return [scalar(name) for name in names] if isinstance(names, list) else ()


def _object(frame: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}
