"""A guess as files: the dialect, and a test that feeds it the recorded frames. Pure: texts in, texts out.

What the writer is not sure of stands behind `# FILL IN:` with its reason and what else was seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from crosstalk.checks.run import RunCheck
from crosstalk.tools.new_dialect_class import FILL_IN, class_source, text_literal
from crosstalk.tools.new_dialect_guess import Guess
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import RUN_KINDS, Kind


def dialect_source(guess: Guess, class_name: str) -> str:
    """The file of the dialect. Its lifecycle is the five events' where all exchanges keep to it."""
    strict = _source(guess, class_name, five_events=True)
    if all(not wrong for wrong in _violations(strict, class_name, guess)):
        return strict
    return _source(guess, class_name, five_events=False)


def load(source: str, class_name: str) -> Dialect:
    """The dialect of a source text, as it would be imported."""
    room: dict[str, Any] = {}
    exec(compile(source, "new dialect", "exec"), room)
    made: Dialect = room[class_name]()
    return made


def test_source(guess: Guess, class_name: str, *, stem: str, source: str) -> str:
    """A test that feeds the recorded frames to `decode`: what it answers today, and that every run is whole."""
    dialect = load(source, class_name)
    kinds = [
        [str(event.kind) for _, body in x.frames for event in dialect.decode(body)] for x in guess.recording.exchanges
    ]
    counted = [{kind: said.count(kind) for kind in dict.fromkeys(said)} for said in kinds]
    return f'''"""The recorded exchanges of {stem}.py: each is understood as when it was recorded, and is whole."""

import json
from collections import Counter
from pathlib import Path

import pytest

from crosstalk.checks.run import RunCheck
from crosstalk.config import load_dialect
from crosstalk.wire.event import RUN_KINDS

HERE = Path(__file__).parent
DIALECT = load_dialect(f"{{HERE / '{stem}.py'}}:{class_name}")
LINES = [json.loads(line) for line in (HERE / "{stem}.frames.jsonl").read_text(encoding="utf-8").splitlines()]
#: how often each kind came, an exchange each; after a place was filled in, put right what it changed
KINDS = {_indented(json.dumps(counted))}


def frames(exchange: int) -> list[bytes]:
    return [line["frame"].encode() for line in LINES if line["exchange"] == exchange and line["direction"] == "in"]


@pytest.mark.parametrize("exchange", range(len(KINDS)))
def test_frames_are_understood(exchange: int) -> None:
    events = [event for frame in frames(exchange) for event in DIALECT.decode(frame)]
    assert Counter(str(event.kind) for event in events) == KINDS[exchange]


@pytest.mark.parametrize("exchange", range(len(KINDS)))
def test_runs_are_whole(exchange: int) -> None:
    check = RunCheck(DIALECT.lifecycle)
    events = [event for frame in frames(exchange) for event in DIALECT.decode(frame) if event.kind in RUN_KINDS]
    found = [violation for number, event in enumerate(events) for violation in check.advance(event, number).violations]
    assert check.ended and found + check.conclude() == []


def test_what_cannot_be_read_is_told_and_not_raised() -> None:
    assert [str(event.kind) for event in DIALECT.decode(b"{{")] == ["malformed"]
'''


def _violations(source: str, class_name: str, guess: Guess) -> list[list[str]]:
    dialect, found = load(source, class_name), []
    for exchange in guess.recording.exchanges:
        check, names = RunCheck(dialect.lifecycle), []
        for _, body in exchange.frames:
            for event in dialect.decode(body):
                if event.kind in RUN_KINDS:
                    names += [violation.name for violation in check.advance(event, 0).violations]
        found.append(names + [violation.name for violation in check.conclude()])
    return found


# --- the file -------------------------------------------------------------------------------------------------------


def _source(guess: Guess, class_name: str, *, five_events: bool) -> str:
    encoded = any(where.encoded for where in guess.texts.values())
    lifecycle = "FIVE_EVENTS" if five_events else "LIFECYCLE"
    made, count = bool(guess.recording.create), len(guess.recording.exchanges)
    parts = [
        f'"""The `{class_name.lower()}` dialect, guessed from {count} recorded exchanges."""\n',
        "import base64" if encoded else "",
        f"from collections.abc import Iterable{', Mapping' if made else ''}\nfrom typing import Any\n\nimport orjson\n",
        f"from crosstalk.wire.dialect import Call, Dialect, {'Place, ' if made else ''}Turn, malformed",
        "from crosstalk.wire.event import Event, Kind",
        f"from crosstalk.wire.lifecycle import {'FIVE_EVENTS' if five_events else 'Lifecycle'}\n",
        _kinds(guess),
        _texts(guess),
        "" if five_events else _lifecycle(guess),
        "\n",
        class_source(guess, class_name, encoded=encoded, lifecycle=lifecycle),
        "\n",
        AT + (NUMBER if guess.index_path else ""),
    ]
    return "\n".join(part for part in parts if part).replace("\n\n\n\n", "\n\n\n")


def _kinds(guess: Guess) -> str:
    sure = [(name, meaning) for name, meaning in guess.kinds.items() if meaning.sure and name]
    unsure = [(name, meaning) for name, meaning in guess.kinds.items() if not meaning.sure and name]
    lines = ["KINDS = {"]
    if guess.welcome_name:
        lines.append(f"    {text_literal(guess.welcome_name)}: Kind.WELCOME,")
    lines += [f"    {text_literal(name)}: {_kind(meaning.kind)},  # {meaning.why}" for name, meaning in sure]
    if unsure:
        lines.append(f"    {FILL_IN} what these mean. Guessed from their place alone; the kinds are those of Kind")
        lines += [f"    {text_literal(name)}: {_kind(meaning.kind)},  # {meaning.why}" for name, meaning in unsure]
    if not any(meaning.kind is Kind.ERROR for meaning in guess.kinds.values()):
        lines.append(f"    {FILL_IN} how a failed run ends. No run failed while this was recorded")
        lines.append('    "name-of-an-error": Kind.ERROR,')
    return "\n".join([*lines, "}"])


def _texts(guess: Guess) -> str:
    lines = ["#: where the text stands in a frame of that name"]
    if not guess.texts:
        names = ", ".join(guess.kinds) or "none"
        lines.append(f"{FILL_IN} name → path of its text (data.delta, say). No answer was found; names: {names}")
    lines.append("TEXTS: dict[str, str] = {")
    lines += [f"    {text_literal(name)}: {text_literal(where.path)}," for name, where in guess.texts.items()]
    lines.append("}")
    if coded := [name for name, where in guess.texts.items() if where.encoded]:
        lines.append(f"BASE64 = {{{', '.join(map(text_literal, coded))}}}")
    return "\n".join(lines)


def _lifecycle(guess: Guess) -> str:
    seen = {meaning.kind for meaning in guess.kinds.values()}
    required = [kind for kind in (Kind.STARTED, Kind.COMPLETED) if kind in seen]
    return "\n".join([
        "AT_WORK = dict.fromkeys(",
        "    [Kind.STARTED, Kind.THINKING, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED, Kind.CHUNK, Kind.HANDOFF,",
            "     Kind.NOTICE],",
        '    "working",',
        ")",
        "ENDS = {Kind.COMPLETED: \"completed\", Kind.ERROR: \"failed\"}",
        "#: the recorded runs do not keep to the five events: until the end anything may come",
        "LIFECYCLE = Lifecycle(",
        '    initial="prompted",',
        '    moves={"prompted": {**AT_WORK, **ENDS}, "working": {**AT_WORK, "nested_started": "working",',
        '           "nested_completed": "working", **ENDS}},',
        '    ended=frozenset({"completed", "failed"}),',
        f"    required=({''.join(f'{_kind(kind)}, ' for kind in required).rstrip()}),",
        f"    chunks_make_final_text={guess.whole_text},",
        ")",
    ])  # fmt: skip


AT = '''def _at(value: Any, path: str) -> str:
    """What stands at a dotted path, as text; "" where nothing does, or no scalar."""
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, dict) else None
    return "" if not path or value is None or isinstance(value, dict | list) else str(value)
'''
NUMBER = """

def _number(value: Any, path: str) -> int:
    text = _at(value, path)
    return int(text) if text.isdigit() else -1
"""


def _kind(kind: Kind) -> str:
    return f"Kind.{kind.name}"


def _indented(text: str) -> str:
    return text.replace("}, {", "},\n    {").replace("[{", "[\n    {").replace("}]", "},\n]")


def places(source: str) -> Sequence[str]:
    """What is left to fill in, a line each."""
    return [line.partition(FILL_IN)[2].strip() for line in source.splitlines() if FILL_IN in line]
