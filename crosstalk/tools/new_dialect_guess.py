"""From what was seen to what a dialect must say: names, kinds, texts, ids. Pure. A wrong guess is for its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosstalk.tools.check_dialect_seen import looks_like_id
from crosstalk.tools.new_dialect_kinds import Meaning, TextAt, meanings, prose_of, streams
from crosstalk.tools.new_dialect_seen import (
    Exchange,
    Recording,
    Said,
    by_name,
    flat,
    json_object,
    name_paths,
    take_apart,
    words,
)
from crosstalk.wire.event import Kind

RUN_WORDS = {"run", "turn", "task", "request", "execution", "job", "generation", "response"}
THREAD_WORDS = {"thread", "conversation", "session", "chat", "dialog", "room", "channel"}


@dataclass(slots=True)
class Guess:
    """What the file will say. Paths are dotted; "" where nothing was found."""

    recording: Recording
    name_path: str = ""
    name_others: list[str] = field(default_factory=list)
    not_json: int = 0
    kinds: dict[str, Meaning] = field(default_factory=dict)
    texts: dict[str, TextAt] = field(default_factory=dict)
    run_path: str = ""
    run_others: list[str] = field(default_factory=list)
    run_by_client: bool = True
    thread_path: str = ""
    user_path: str = ""
    welcome_names_user: str = "no"
    welcome_name: str = ""
    agent_path: str = ""
    tool_path: str = ""
    call_path: str = ""
    ok_path: str = ""
    index_path: str = ""
    seq_path: str = ""
    place: dict[str, str] = field(default_factory=dict)  # thread_id, run_id, socket_path → path in the answer
    whole_text: bool = False
    socket_per: str = "user"


def guess(recording: Recording) -> Guess:
    """Everything that the exchanges tell."""
    found = Guess(recording)
    paths = name_paths(recording)
    found.name_path, found.name_others = (paths[0], paths[1:]) if paths else ("type", [])
    bodies = [body for x in recording.exchanges for _, body in x.frames]
    found.not_json = sum(json_object(body) is None for body in bodies)
    said = take_apart(recording, found.name_path)
    streamed = streams(said, recording.exchanges)
    found.kinds = meanings(said, recording.exchanges, streamed)
    found.texts = {name: where for name, where in streamed.items() if found.kinds[name].kind is Kind.CHUNK}
    _texts(found, said)
    _sockets(found)
    _ids(found, said)
    _welcome(found)
    _tools(found, said)
    _numbers(found, said)
    found.agent_path = _best(said, lambda path, _: bool({"agent", "node", "author"} & set(words(path))))
    return found


def place_of(answer: Any) -> dict[str, str]:
    """Where the answer to a call tells the ids and the socket: field of `Place` → path."""
    fields = flat(answer) if isinstance(answer, dict) else {}
    found: dict[str, str] = {}
    for path, value in fields.items():
        said = set(words(path.rpartition(".")[2]))
        if not isinstance(value, str):
            continue
        if value.startswith(("/", "ws://", "wss://")):
            found.setdefault("socket_path", path)
        elif said & THREAD_WORDS:
            found.setdefault("thread_id", path)
        elif said & RUN_WORDS:
            found.setdefault("run_id", path)
    if "thread_id" not in found and "run_id" not in found:
        left = [path for path, value in fields.items() if looks_like_id(path, value)]
        found.update({"thread_id": left[0]} if left else {})
    return found


def _texts(found: Guess, said: Sequence[Said]) -> None:
    names = by_name(said)
    for name, meaning in found.kinds.items():
        if meaning.kind is Kind.THINKING and (where := prose_of(names[name])):
            found.texts[name] = where
    [chunks] = [name for name, m in found.kinds.items() if m.kind is Kind.CHUNK][:1] or [""]
    [end] = [name for name, m in found.kinds.items() if m.kind is Kind.COMPLETED][:1] or [""]
    if not chunks or not end:
        if end and (where := prose_of(names[end])):
            found.texts[end] = where
        return
    where = found.texts[chunks]
    streamed = ["".join(where.of(s) for s in names[chunks] if s.exchange == n) for n in _numbers_of(found)]
    last = [[s for s in names[end] if s.exchange == n][-1:] for n in _numbers_of(found)]
    for path in dict.fromkeys(path for one in names[end] for path in one.fields):
        at = TextAt(path, where.encoded)
        same = [bool(ones) and at.of(ones[0]) == text for ones, text in zip(last, streamed, strict=True)]
        if all(same):
            found.texts[end], found.whole_text = at, True
            return


def _sockets(found: Guess) -> None:
    recording = found.recording
    if recording.create:
        closes = all(x.close_code is not None for x in recording.exchanges)
        found.socket_per = "run" if closes and not recording.send else "thread"
        found.place = place_of(recording.exchanges[0].answer)
        if found.socket_per == "thread" and "thread_id" not in found.place and "run_id" in found.place:
            found.place["thread_id"] = found.place.pop("run_id")


def _ids(found: Guess, said: Sequence[Said]) -> None:
    exchanges = found.recording.exchanges
    scores: list[tuple[float, str, bool]] = []
    for path in dict.fromkeys(path for one in said for path in one.fields):
        values = [{one.text(path) for one in said if one.exchange == n} - {""} for n in _numbers_of(found)]
        if not all(len(each) == 1 for each in values):
            continue
        each = [next(iter(value)) for value in values]
        sent = [value == x.run_id for value, x in zip(each, exchanges, strict=True)]
        if len(set(each)) == len(each) and (
            all(sent) or (looks_like_id(path, each[0]) and _frames_all(found, said, path))
        ):
            share = sum(bool(one.text(path)) for one in said) / len(said)
            score = 100 * all(sent) + 40 * bool(RUN_WORDS & set(words(path))) + 10 * share - 5 * path.count(".")
            scores.append((score, path, all(sent)))
        if not found.thread_path and _is_thread(found, path, each):
            found.thread_path = path
        if not found.user_path and all(_names(value, x) for value, x in zip(each, exchanges, strict=True)):
            found.user_path = path
    scores.sort(key=lambda entry: -entry[0])
    if scores:
        found.run_path, found.run_by_client = scores[0][1], scores[0][2]
        found.run_others = [path for _, path, _ in scores[1:4]]
    elif found.recording.create:
        found.run_by_client = False


def _frames_all(found: Guess, said: Sequence[Said], path: str) -> bool:
    """Has the first or the last frame of each exchange the field? The id of a run has; that of its one call has not."""
    whole = [[one for one in said if one.exchange == number] for number in _numbers_of(found)]
    return all(each[0].text(path) or each[-1].text(path) for each in whole)


def _is_thread(found: Guess, path: str, each: Sequence[str]) -> bool:
    exchanges = found.recording.exchanges
    if all(value == x.thread_id for value, x in zip(each, exchanges, strict=True)):
        return True
    told = [flat(x.answer).get(found.place.get("thread_id", "")) for x in exchanges]
    return all(value == answer for value, answer in zip(each, told, strict=True)) or (
        bool(THREAD_WORDS & set(words(path))) and len(set(each)) == 1 and looks_like_id(path, each[0])
    )


def _names(value: str, exchange: Exchange) -> bool:
    shown = value.removesuffix("...")
    return value == exchange.user_id or (len(shown) >= 4 and value != shown and exchange.user_id.startswith(shown))


def _welcome(found: Guess) -> None:
    if not found.recording.before:
        return
    fields = flat(json_object(found.recording.before[0]) or {})
    found.welcome_name = str(fields.get(found.name_path) or "")
    for path, value in fields.items():
        if isinstance(value, str) and _names(value, found.recording.exchanges[0]):
            found.welcome_names_user = "full" if value == found.recording.exchanges[0].user_id else "prefix"
            found.place.setdefault("welcome_user", path)


def _tools(found: Guess, said: Sequence[Said]) -> None:
    opened = [one for one in said if found.kinds[one.name].kind is Kind.TOOL_EXECUTING]
    closed = [one for one in said if found.kinds[one.name].kind is Kind.TOOL_COMPLETED]
    if not opened:
        return
    skip = {found.name_path, found.run_path, found.thread_path, found.user_path}
    pairs = [path for path in opened[0].fields if path not in skip and isinstance(opened[0].fields[path], str)]
    pairs = [path for path in pairs if closed and {o.text(path) for o in opened} == {c.text(path) for c in closed}]
    calls = [path for path in pairs if len({(o.exchange, o.text(path)) for o in opened}) == len(opened)]
    calls.sort(key=lambda path: ("call" not in words(path), "id" not in words(path), path.count(".")))
    found.tool_path = _best(opened, lambda path, v: "tool" in words(path) and isinstance(v, str) and _word(path, v))
    found.call_path = calls[0] if calls else found.tool_path
    found.ok_path = _best(closed, lambda path, _: words(path)[-1:] in (["ok"], ["success"], ["status"], ["succeeded"]))


def _word(path: str, value: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][\w.-]*", value)) and words(path)[-1:] not in (["id"], ["call"])


def _numbers(found: Guess, said: Sequence[Said]) -> None:
    chunks = [one for one in said if found.kinds[one.name].kind is Kind.CHUNK]
    for path in dict.fromkeys(path for one in said for path in one.fields):
        if not found.seq_path and _counts(found, said, path):
            found.seq_path = path
        if not found.index_path and chunks and _counts(found, chunks, path, first=0):
            found.index_path = path


def _counts(found: Guess, said: Sequence[Said], path: str, *, first: int | None = None) -> bool:
    """Does the field number these frames, one by one, in each exchange?"""
    for number in _numbers_of(found):
        values = [one.fields.get(path) for one in said if one.exchange == number]
        start = values[0] if values and first is None else first
        if not values or not isinstance(start, int) or isinstance(start, bool):
            return False
        if values != list(range(start, start + len(values))):
            return False
    return True


def _best(said: Sequence[Said], wanted: Callable[[str, Any], bool]) -> str:
    """The path with that property that most frames have; of equals, the one that is nearest to the root."""
    count: dict[str, int] = {}
    for one in said:
        for path, value in one.fields.items():
            if isinstance(value, str | bool) and "[]" not in path and wanted(path, value):
                count[path] = count.get(path, 0) + 1
    return min(count, key=lambda path: (-count[path], path.count("."), len(path)), default="")


def _numbers_of(found: Guess) -> range:
    return range(len(found.recording.exchanges))
