"""The text of a frame, laid out with the field that matters marked. Pure: text in, HTML out, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from reports.evidence import highlighted
from reports.markup import Html, element, join
from reports.redact import redact

#: deeper documents are shown as they came
DEPTH_MAX = 40

Line = tuple[int, str, str]  # depth, path of the value on it, its text


def shown(text: str, *, field: str, theirs: Iterable[str], own: Iterable[str]) -> Html:
    """A frame without tokens as indented JSON, the line of `field` marked, and in it what belongs to whom.

    What is no JSON (cut off at 4 KiB, malformed, a close reason) is shown as it came.
    """
    marks = {"theirs": tuple(theirs), "own": tuple(own)}
    text = redact(text)
    lines = _lines(text)
    if lines is None:
        return highlighted(text, **marks)
    shown_lines = []
    for depth, path, written in lines:
        content = highlighted(written, **marks)
        hit = bool(field) and path == field
        line = join(["  " * depth, element("b", content, class_="field") if hit else content])
        shown_lines.append(line)
    return join(shown_lines, "\n")


def value_at(text: str, field: str) -> str | None:
    """What stands at `field` of a frame ("data.result.text", "data.items[3].{key}"); None where nothing does."""
    return next((value for path, value in values(text) if path == field), None)


def values(text: str) -> Iterator[tuple[str, str]]:
    """(path, text) of all keys and plain values of a frame, in no order that matters; none where it is no JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                here = _inside(path, key)
                yield f"{here}.{{key}}", str(key)
                waiting.append((here, inner))
        elif isinstance(value, list):
            waiting += [(f"{path}[{number}]", inner) for number, inner in enumerate(value)]
        else:
            yield path, value if isinstance(value, str) else json.dumps(value)


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _lines(text: str) -> list[Line] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    lines: list[Line] = []
    return lines if isinstance(document, dict | list) and _put(lines, document, 0, "", "", "") else None


def _put(lines: list[Line], value: object, depth: int, path: str, before: str, after: str) -> bool:
    """Add the lines of a value. False when it is too deep."""
    if depth > DEPTH_MAX:
        return False
    if not isinstance(value, dict | list) or not value:
        lines.append((depth, path, before + json.dumps(value, ensure_ascii=False) + after))
        return True
    first, last = "{}" if isinstance(value, dict) else "[]"
    lines.append((depth, "", before + first))
    if isinstance(value, dict):
        inside = [(_inside(path, key), f"{json.dumps(key, ensure_ascii=False)}: ", one) for key, one in value.items()]
    else:
        inside = [(f"{path}[{number}]", "", one) for number, one in enumerate(value)]
    for number, (here, name, one) in enumerate(inside):
        comma = "," if number < len(inside) - 1 else ""
        if not _put(lines, one, depth + 1, here, name, comma):
            return False
    lines.append((depth, "", last + after))
    return True
