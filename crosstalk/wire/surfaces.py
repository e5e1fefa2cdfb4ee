"""Attempts written in one line: the words of a report, and the request or the frame that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crosstalk.wire.dialect import Attempt, Call, scalar


def by_http(verb: str, kind: str, place: str, method: str, path: str, json: dict[str, object] | None = None) -> Attempt:
    return Attempt(kind, verb, place, call=Call(method, path, json))


def by_frame(verb: str, kind: str, place: str, name: str, fields: dict[str, Any]) -> Attempt:
    """`place` "payload": the fields stand in the payload; otherwise beside the type, in the frame itself."""
    return Attempt(kind, verb, place, frame=framed(name, **({"payload": fields} if place == "payload" else fields)))


def framed(name: str, **fields: Any) -> str:
    return orjson.dumps({"type": name, **fields}).decode()


def objects_in(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of a list in an answer; what is none is left out."""
    entries = answer.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def messages_in(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Id and content of each message of an answer that lists them, as they stand."""
    return [(scalar(one.get("id")), scalar(one.get("content"))) for one in objects_in(answer, "messages")]


def administration(reference: str) -> list[Attempt]:
    """What the reference backend has for administrators, over HTTP, in every shape. What others notice comes last."""
    reading = ("/api/admin/users", "/api/admin/threads", "/api/debug/state")
    text: dict[str, object] = {"text": reference}
    return [
        *(by_http("call", "function", f"path {path}", "GET", path) for path in reading),
        by_http("call", "function", "path /api/admin/broadcast", "POST", "/api/admin/broadcast", text),
    ]
