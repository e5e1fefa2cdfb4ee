"""What a check says when the target broke a rule: one value, the same for delivery, isolation and identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from crosstalk.wire.event import Kind

DELIVERY = "delivery"
ISOLATION = "isolation"
IDENTITY = "identity"
HARNESS = "harness"
#: scopes of a leak of this load test; every other is shown and makes isolation unknown, never violated
CONFIRMED_SCOPES = ("cross_user", "cross_thread", "cross_run")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule broken by the target. `name` is what it is called in every report."""

    judgement: str
    name: str
    expected: str
    came: str
    event_kind: str = ""
    channel: int = 0  # isolation only, as the other fields below
    scope: str = ""  # cross_user, cross_thread, cross_run, other_load_test, phantom, unverified
    owner: str = ""
    owner_run: str = ""
    site: str = ""
    field: str = ""
    decode: str = ""
    planted_ns: int | None = None  # when the owner's prompt was sent; None where this process does not know

    @property
    def is_confirmed_leak(self) -> bool:
        """Something of an account of this load test, proved to be so."""
        return self.judgement == ISOLATION and self.scope in CONFIRMED_SCOPES

    @property
    def gist(self) -> tuple[str, bool]:
        """What it is about, and whether it is proved: a doubt that was told must not silence its proof."""
        return self.came, self.is_confirmed_leak


def delivery(name: str, *, expected: str, came: str, kind: Kind | str = "") -> Violation:
    return Violation(DELIVERY, name, expected=expected, came=came, event_kind=str(kind))


def ours(name: str, why: str) -> Violation:
    """A connection that failed by our own fault: the target is not to blame.

    :param name: "no_socket" or "harness_error".
    """
    expected = "a socket of one's own to connect with" if name == "no_socket" else "a working way up"
    return Violation(HARNESS, name, expected=expected, came=why)


def field_path(frame: bytes, needle: str) -> str:
    """Where in a JSON frame `needle` stands, in any case of letters: "data.result.text", "data.items[3].{key}".

    "(frame)" when the frame is not JSON or the needle straddles fields.
    """
    lowered = needle.lower()
    return next((path for path, text in texts_of(frame) if lowered in text.lower()), "(frame)")


def texts_of(frame: bytes) -> Iterator[tuple[str, str]]:
    """All texts of a JSON frame, keys too, each with its path; none where it is not JSON."""
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return
    yield from _texts(document)


def _texts(document: object) -> Iterator[tuple[str, str]]:
    """All texts of a document in their order, each with its path. Without recursion: frames may nest deeply."""
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            waiting += [(f"{path}[{number}]", inner) for number, inner in enumerate(value)][::-1]
        elif isinstance(value, dict):
            inside: list[tuple[str, object]] = []
            for key, inner in value.items():
                here = f"{path}.{key}" if path else str(key)
                inside += [(f"{here}.{{key}}", key), (here, inner)]
            waiting += inside[::-1]
