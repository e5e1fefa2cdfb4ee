"""What the names of frames mean: guessed from their words, and from where and how often they come. Pure.

A guess that the words bear out is sure; one that only the shape of the exchange speaks for is to be looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crosstalk.tools.new_dialect_seen import Exchange, Said, by_name, plain_of, words
from crosstalk.wire.event import Kind

TOOL = ("tool", "function", "action")
CALL = ("call", "invo", "use", "run", "exec", "result", "output", "return")
THINK = ("think", "thought", "reason", "reflect")
END = ("done", "finish", "complet", "end", "final", "stop", "success")
START = ("start", "begin", "began", "creat", "accept", "init", "open", "queued")
CHUNK = ("chunk", "token", "delta", "content", "partial", "text", "message", "stream", "answer", "response")
RESULT = ("result", "output", "respon", "return", "complet", "done", "finish")
SIDE = {Kind.PONG: ("pong",), Kind.HEARTBEAT: ("heartbeat", "keepalive", "ping"), Kind.ACK: ("ack",)}
FAILED = ("error", "fail", "exception")
HANDOFF = ("handoff", "transfer", "delegat")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means, why that is thought, and whether its words say so."""

    kind: Kind
    why: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class TextAt:
    """Where a text stands in frames of a name. `encoded`: in base64."""

    path: str
    encoded: bool = False

    def of(self, one: Said) -> str:
        value = one.text(self.path)
        return (plain_of(value) or "") if self.encoded else value


def meanings(said: Sequence[Said], exchanges: Sequence[Exchange], streamed: Mapping[str, TextAt]) -> dict[str, Meaning]:
    """A meaning for each name that came; `other` where nothing speaks for more.

    :param streamed: names in whose frames the answer seems to be streamed, see `streams`.
    """
    names = by_name(said)
    found: dict[str, Meaning] = {}
    for name in names:
        if (side := _side(name)) is not None:
            found[name] = Meaning(side, "its name")
        elif _has(name, FAILED) and not _has(name, TOOL):
            found[name] = Meaning(Kind.ERROR, "its name")
        elif _has(name, HANDOFF) or {"hand", "off"} <= set(words(name)):
            found[name] = Meaning(Kind.HANDOFF, "its name")
    _tools(names, found)
    _thoughts(names, found)
    _ends_and_starts(said, len(exchanges), found)
    for name in streamed:
        sure = _has(name, CHUNK)
        found.setdefault(name, Meaning(Kind.CHUNK, "the answer is streamed in these frames", sure))
    for name in names:
        found.setdefault(name, Meaning(Kind.OTHER, "nothing speaks for one of the kinds", sure=False))
    return {name: found[name] for name in names}


def streams(said: Sequence[Said], exchanges: Sequence[Exchange]) -> dict[str, TextAt]:
    """The name and field whose pieces, joined, hold the prompt's reference; else the name that comes most often."""
    found: list[tuple[int, str, TextAt]] = []
    for name, frames in by_name(said).items():
        if _has(name, TOOL) or _has(name, THINK) or len(frames) < 2 * len(exchanges):
            continue
        for where in _texts(frames):
            joined = [
                "".join(where.of(one) for one in frames if one.exchange == number) for number in range(len(exchanges))
            ]
            back = sum(x.reference in text for x, text in zip(exchanges, joined, strict=True))
            varied = len({where.of(one) for one in frames}) > len(frames) / 2
            if varied and (back or _prose(joined)):
                found.append((back * 1000 + len(frames), name, where))
    found.sort(key=lambda entry: -entry[0])
    return {found[0][1]: found[0][2]} if found else {}


def prose_of(frames: Sequence[Said]) -> TextAt | None:
    """The field of these frames that reads like something written for people."""
    best = [(sum(len(where.of(one)) for one in frames), where) for where in _texts(frames)]
    best = [(size, where) for size, where in best if _prose([where.of(one) for one in frames])]
    return max(best, key=lambda entry: entry[0])[1] if best else None


def _texts(frames: Sequence[Said]) -> list[TextAt]:
    paths = {path: None for one in frames for path, value in one.fields.items() if isinstance(value, str)}
    found = []
    for path in paths:
        values = [one.text(path) for one in frames if one.text(path)]
        long_ones = [value for value in values if len(value) >= 8]
        encoded = bool(long_ones) and all(plain_of(value) is not None for value in long_ones)
        found.append(TextAt(path, encoded))
    return found


def _prose(texts: Sequence[str]) -> bool:
    """Mostly texts with blanks in them; JSON is none."""
    good = sum(" " in text.strip() and not text.lstrip().startswith(("{", "[")) for text in texts)
    return good * 2 > len([text for text in texts if text]) > 0


def _tools(names: Mapping[str, list[Said]], found: dict[str, Meaning]) -> None:
    of_tools = [name for name, frames in names.items() if name not in found and _of_tools(name, frames)]
    results = [name for name in of_tools if _has(name, RESULT)] or [name for name in of_tools if _has(name, END)]
    starts = [name for name in of_tools if name not in results and not _has(name, ("arg", "delta", "end"))]
    for name in results[:1]:
        found[name] = Meaning(Kind.TOOL_COMPLETED, "its name")
    for name in starts[:1]:
        found[name] = Meaning(Kind.TOOL_EXECUTING, "its name")
    for name in of_tools:
        found.setdefault(name, Meaning(Kind.OTHER, "opens or closes what another frame says"))


def _of_tools(name: str, frames: Sequence[Said]) -> bool:
    """Does the name speak of a tool, or each of its frames name one?"""
    fields = [{word for path in one.fields for word in words(path)} for one in frames]
    return _has(name, TOOL) or (_has(name, CALL) and all({"tool", "function"} & each for each in fields))


def _thoughts(names: Mapping[str, list[Said]], found: dict[str, Meaning]) -> None:
    thoughts = [name for name in names if name not in found and _has(name, THINK)]
    telling = [name for name in thoughts if prose_of(names[name]) is not None] or thoughts
    for name in thoughts:
        kind = Kind.THINKING if name in telling[:1] else Kind.OTHER
        found[name] = Meaning(kind, "its name" if kind is Kind.THINKING else "opens or closes what another frame says")


def _ends_and_starts(said: Sequence[Said], exchanges: int, found: dict[str, Meaning]) -> None:
    """The last frame of an exchange is its end, the first its start; words make it sure."""
    free = [one for one in said if one.name not in found]
    last = Counter(one.name for n in range(exchanges) for one in [s for s in free if s.exchange == n][-1:])
    first = Counter(one.name for n in range(exchanges) for one in [s for s in free if s.exchange == n][:1])
    for name, count in last.most_common(1):
        sure = _has(name, END) and count == exchanges
        found[name] = Meaning(Kind.COMPLETED, f"the last frame of {count} of {exchanges} exchanges", sure)
    for name, count in first.most_common(1):
        sure = _has(name, START) and count == exchanges
        if sure or not _has(name, CHUNK):
            why = f"the first frame of {count} of {exchanges} exchanges"
            found.setdefault(name, Meaning(Kind.STARTED, why, sure))
    for name in dict.fromkeys(one.name for one in free):
        if name not in found and (_has(name, START) or _has(name, END)):
            found[name] = Meaning(Kind.OTHER, "opens or closes what another frame says")


def _side(name: str) -> Kind | None:
    return next((kind for kind, starts in SIDE.items() if any(word in starts for word in words(name))), None)


def _has(name: str, starts: Sequence[str]) -> bool:
    return any(word.startswith(start) for word in words(name) for start in starts)
