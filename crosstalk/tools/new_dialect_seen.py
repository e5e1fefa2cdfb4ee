"""What a short exchange with an unknown backend showed: frames in, sorted observations out. Pure.

Between the recording (new_dialect_record.py) and the guesses (new_dialect_guess.py).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crosstalk.tools.check_dialect_seen import leaves, looks_like_id

#: where backends write what a frame is, most common first
NAME_KEYS = ("type", "event", "kind", "name", "op", "t", "action", "method", "status")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,47}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One prompt and everything that came after it. Ids are those that we chose, whether they were sent or not."""

    user_id: str
    thread_id: str
    run_id: str
    reference: str  # the token that the prompt asks to repeat
    frames: tuple[tuple[float, bytes], ...]  # (ms since the first prompt, body)
    answer: Mapping[str, Any] = field(default_factory=dict)  # what the call before it answered
    close_code: int | None = None  # the server closed the socket after it


@dataclass(frozen=True, slots=True)
class Recording:
    """All exchanges. `before`: frames that came before anything was said."""

    exchanges: tuple[Exchange, ...]
    before: tuple[bytes, ...] = ()
    path: str = "/ws"
    send: str = ""
    create: str = ""
    auth: str = "header"
    health_path: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A frame taken apart: its name, and its leaves (the first value of each path)."""

    exchange: int
    name: str
    fields: Mapping[str, Any]

    def text(self, path: str) -> str:
        value = self.fields.get(path)
        return value if isinstance(value, str) else ""


def take_apart(recording: Recording, name_path: str) -> list[Said]:
    """All frames of all exchanges that are JSON objects, in order."""
    found = []
    for number, exchange in enumerate(recording.exchanges):
        for _, body in exchange.frames:
            whole = json_object(body)
            if whole is not None:
                fields = flat(whole)
                found.append(Said(number, str(fields.get(name_path) or ""), fields))
    return found


def flat(whole: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for path, value in leaves(whole):
        fields.setdefault(path, value)
    return fields


def json_object(body: bytes) -> dict[str, Any] | None:
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return whole if isinstance(whole, dict) else None


def name_paths(recording: Recording) -> list[str]:
    """Paths that could hold a frame's name, best first: in most frames, few values, all of them words."""
    wholes = [whole for x in recording.exchanges for _, body in x.frames if (whole := json_object(body)) is not None]
    values: dict[str, list[str]] = {}
    for whole in wholes:
        for path, value in flat(whole).items():
            if isinstance(value, str) and path.count(".") <= 1 and "[]" not in path:
                values.setdefault(path, []).append(value)
    found = []
    for path, said in values.items():
        kinds = set(said)
        few = 2 <= len(kinds) <= max(3, len(said) * 0.6)
        ids = any(looks_like_id(path, value) for value in kinds)
        if len(said) >= 0.8 * len(wholes) and few and not ids and all(_NAME.fullmatch(value) for value in kinds):
            key = path.rpartition(".")[2]
            found.append((NAME_KEYS.index(key) if key in NAME_KEYS else len(NAME_KEYS), path.count("."), path))
    return [path for _, _, path in sorted(found)]


def words(name: str) -> list[str]:
    """`TOOL_CALL_START`, `tool.call`, `toolCallStart` → words in lower case."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def plain_of(value: str) -> str | None:
    """The text behind base64; None where it is none."""
    if len(value) < 8 or len(value) % 4:
        return None
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def by_name(said: Sequence[Said]) -> dict[str, list[Said]]:
    """Frames by name, in order of first appearance."""
    found: dict[str, list[Said]] = {}
    for one in said:
        found.setdefault(one.name, []).append(one)
    return found


def split_call(text: str) -> tuple[str, str, Any]:
    """ "POST /path {json}" → method, path, decoded body or None.

    :raises ValueError: it does not read so.
    """
    method, _, rest = text.strip().partition(" ")
    path, _, body = rest.strip().partition(" ")
    if not method.isalpha() or not path.startswith("/"):
        raise ValueError(f"expected METHOD /path {{json}}, got {text!r}")
    return method.upper(), path, json.loads(body) if body.strip() else None
