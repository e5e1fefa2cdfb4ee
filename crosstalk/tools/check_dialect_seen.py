"""What a dialect understood of the frames it was given: pure values, and what can be told from them.

Between the watching (check_dialect_live.py, or a file of frames) and the page for people (check_dialect_text.py).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crosstalk.checks.canary import PREFIX
from crosstalk.checks.run import RunCheck
from crosstalk.checks.violation import Violation
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import RUN_KINDS, Event, Kind

UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_LONG = re.compile(r"[A-Za-z0-9_-]{16,80}")
_NAMED_ID = re.compile(r"(^|[a-z0-9_.])(_id|Id|ID)$|^id$")
#: values of an id field that are kept as examples
EXAMPLES_MAX = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came in, when, and the events that the dialect made of it."""

    at_ns: int
    body: bytes
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One run. `sent_ns`: when its prompt was sent, or its first frame came where that is not known."""

    frames: tuple[Frame, ...]
    sent_ns: int
    outcome: str  # as in the record; "" where frames were read from a file
    violations: tuple[str, ...]  # "name: expected …, came …"
    reference_back: bool | None = None  # None: cannot be told
    ended: bool = False

    @property
    def understood(self) -> bool:
        return self.ended and not self.violations and self.outcome in ("", "ok", "agent_error")


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was seen. `identity`: how the target showed whose socket it is, "" where it was not asked."""

    dialect: Dialect
    runs: tuple[RunSeen, ...]
    before: tuple[Frame, ...] = ()  # frames outside of runs: welcomes, answers to probes and pings
    identity: str = ""
    loose: tuple[str, ...] = ()  # violations of no run

    @property
    def understood(self) -> bool:
        return bool(self.runs) and all(run.understood for run in self.runs) and not self.loose

    @property
    def frames(self) -> tuple[Frame, ...]:
        return (*self.before, *(frame for run in self.runs for frame in run.frames))


@dataclass(slots=True)
class IdField:
    """A field that looks like an id and that no event carries."""

    path: str
    values: list[str] = field(default_factory=list)
    constant_in_runs: bool = True


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Frames of one name that became nothing we act on."""

    name: str
    kind: Kind
    count: int
    fields: tuple[str, ...]
    reason: str


def leaves(value: Any, path: str = "", *, depth: int = 6) -> Iterator[tuple[str, Any]]:
    """(dotted path, scalar) of decoded JSON; lists count as one place, "[]"."""
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key), depth=depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value[:20]:
            yield from leaves(inner, f"{path}[]", depth=depth - 1)
    else:
        yield path, value


def objects_of(body: bytes) -> list[Any]:
    """The JSON of a frame: one value, or one a line; empty where it is neither."""
    try:
        return [orjson.loads(body)]
    except orjson.JSONDecodeError:
        pass
    try:
        return [orjson.loads(line) for line in body.splitlines() if line.strip()]
    except orjson.JSONDecodeError:
        return []


def looks_like_id(path: str, value: object) -> bool:
    if not isinstance(value, str) or not value or " " in value or value.startswith(PREFIX):
        return False
    key = path.rpartition(".")[2].removesuffix("[]")
    if _NAMED_ID.search(key) or UUID.fullmatch(value):
        return True
    kinds = [any(c.isdigit() for c in value), any(c.isalpha() for c in value)]
    return bool(_LONG.fullmatch(value)) and all(kinds) and len(set(value)) >= 8


def unused_ids(runs: Sequence[Sequence[Frame]]) -> list[IdField]:
    """Fields that look like ids, and whose values no event has as its run, user, thread or call id."""
    used: set[str] = set()
    found: dict[str, IdField] = {}
    carried: set[str] = set()
    for frames in runs:
        in_this: dict[str, set[str]] = {}
        for frame in frames:
            for event in frame.events:
                used |= {event.run_id, event.user_id, event.thread_id, event.call_id, event.text}
            for path, value in (leaf for whole in objects_of(frame.body) for leaf in leaves(whole)):
                if looks_like_id(path, value) and not any(_says(event, value) for event in frame.events):
                    in_this.setdefault(path, set()).add(value)
                    _note(found.setdefault(path, IdField(path)), value)
        for path, values in in_this.items():
            found[path].constant_in_runs &= len(values) == 1
            if values & used:
                carried.add(path)
    return [entry for path, entry in found.items() if path not in carried]


def unmapped(frames: Iterable[Frame]) -> list[Unmapped]:
    """Frames of kind OTHER and MALFORMED, by name, with the fields they have."""
    seen: dict[tuple[str, Kind], tuple[int, dict[str, None], str]] = {}
    for frame in frames:
        for event in frame.events or (Event(Kind.OTHER, text="decode answered no event"),):
            if event.kind not in (Kind.OTHER, Kind.MALFORMED):
                continue
            count, fields, reason = seen.setdefault((event.name, event.kind), (0, {}, event.text))
            for path, _ in (leaf for whole in objects_of(frame.body) for leaf in leaves(whole)):
                fields[path] = None
            seen[event.name, event.kind] = (count + 1, fields, reason)
    return [
        Unmapped(name, kind, count, tuple(fields), reason) for (name, kind), (count, fields, reason) in seen.items()
    ]


def runs_of(frames: Iterable[Frame], dialect: Dialect) -> tuple[RunSeen, ...]:
    """Recorded frames, run by run: by their run ids, else from one end to the next beginning."""
    groups: dict[str, list[Frame]] = {}
    current, number, ended = "", 0, False
    for frame in frames:
        of_run = [event for event in frame.events if event.kind in RUN_KINDS]
        if of_run and of_run[0].run_id and dialect.frames_name_runs:
            current, ended = of_run[0].run_id, False
        elif of_run and (not current or (ended and of_run[0].kind is Kind.STARTED)):
            number += 1
            current, ended = f"run {number}", False
        if not current and not of_run and not any(event.kind is Kind.MALFORMED for event in frame.events):
            continue  # before the first run: a welcome, say
        groups.setdefault(current, []).append(frame)
        ended = ended or any(event.kind in (Kind.COMPLETED, Kind.ERROR) for event in of_run)
    return tuple(_checked(group, dialect) for group in groups.values())


def in_words(violation: Violation) -> str:
    return f"{violation.name}: expected {violation.expected}, came {violation.came}"


def _checked(frames: list[Frame], dialect: Dialect) -> RunSeen:
    check, found = RunCheck(dialect.lifecycle), []
    for frame in frames:
        for event in frame.events:
            if event.kind in RUN_KINDS:
                found += [in_words(violation) for violation in check.advance(event, frame.at_ns).violations]
            elif event.kind is Kind.MALFORMED:
                found.append(f"malformed: expected a frame that can be decoded, came {event.text}")
    found += [in_words(violation) for violation in check.conclude()]
    return RunSeen(tuple(frames), frames[0].at_ns, "", tuple(found), ended=check.ended)


def _says(event: Event, value: str) -> bool:
    """Is the value the event's text, as it stands in the frame: plain, or in base64?"""
    if value == event.text:
        return True
    try:
        return bool(event.text) and base64.b64decode(value, validate=True) == event.text.encode()
    except (binascii.Error, ValueError):
        return False


def _note(entry: IdField, value: str) -> None:
    if value not in entry.values and len(entry.values) < EXAMPLES_MAX:
        entry.values.append(value)
