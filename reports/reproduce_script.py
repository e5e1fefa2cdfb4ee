"""A story as `repro.py`: one readable file that needs websocket-client alone, and holds no secret.

What a dialect would send is rendered once, here, with %NAMES% where each start puts ids and references of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import orjson

from crosstalk.live_run import ASKS_TO_REPEAT
from crosstalk.wire.dialect import Call, Dialect, Place, Turn
from reports.reproduce_kinds import NotReproducible
from reports.reproduce_story import Step, Story, User

_DIRECTIVE = re.compile(r"#(if (\w+)|end)$")
_AUTHENTICATE = {
    "header": 'headers.append("Authorization: Bearer " + user.token)',
    "subprotocol": "protocols.append(SUBPROTOCOL_PREFIX + user.token)",
    "query": 'url += ("&" if "?" in url else "?") + "token=" + user.token',
    "message": "# the token travels in a frame",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How the target is spoken to. `headers`: the name of each → the environment variable that holds its value.

    `run_key`: the field in which frames name a run whose id the target chose; "" where the client does.
    """

    dialect: Dialect
    host: str
    path: str
    transport: str
    rest: str = ""  # "": on the same host
    claims: Mapping[str, object] = field(default_factory=dict)
    life_s: int = 900
    headers: Mapping[str, str] = field(default_factory=dict)
    run_key: str = ""


def script(story: Story, way: Way, *, title: str) -> str:
    """The text of `repro.py`.

    :raises NotReproducible: the dialect cannot be baked in.
    """
    dialect = way.dialect
    whats = {step.what for user in story.users for step in user.steps}
    opening = [frame for frame in dialect.opening("%JWT%" if way.transport == "message" else "") if frame]
    by_client = dialect.ids_from == "client"
    flags = {
        "http": dialect.socket_per != "user",
        "perthread": dialect.socket_per == "thread",
        "perrun": dialect.socket_per == "run",
        "peruser": dialect.socket_per == "user",
        "client": by_client,
        "rounds": story.rounds > 1,
        "once": story.rounds == 1,
        "runkey": bool(way.run_key) and not by_client,
        "opening": bool(opening),
        "welcome": dialect.ready_by == "welcome",
        **{what: what in whats for what in ("cancel", "drop", "connect")},
    }
    template = files("reports").joinpath("repro_template.txt").read_text(encoding="utf-8")
    text = "\n".join(_kept(template.splitlines(), {name for name, on in flags.items() if on})) + "\n"
    known = {
        # it may quote a target: nothing in it ends the text that it stands in
        "TITLE": title.replace("\\", "/").replace('"', "'"),
        "HOST": way.host,
        "CONSTANTS": "\n".join(_constants(story, way, opening, flags)),
        "AUTHENTICATE": _AUTHENTICATE[way.transport],
        "SOCKET_PER": dialect.socket_per,
    }
    return re.sub(r"@([A-Z_]+)@", lambda found: known[found[1]], text)


def _kept(lines: list[str], flags: set[str]) -> Iterator[str]:
    """The lines of a template whose every `#if NAME` … `#end` around them holds."""
    holds: list[bool] = []
    for line in lines:
        directive = _DIRECTIVE.match(line)
        if directive is None:
            if all(holds):
                yield line
        elif directive[2]:
            holds.append(directive[2] in flags)
        else:
            holds.pop()


def _constants(story: Story, way: Way, opening: list[str], flags: Mapping[str, bool]) -> Iterator[str]:
    dialect = way.dialect
    headers = ", ".join(f"{name!r}: os.environ.get({variable!r}, '')" for name, variable in way.headers.items())
    yield f"HOST, PATH = {way.host!r}, {way.path!r}"
    yield f"HEADERS, SUBPROTOCOLS = {{{headers}}}, {list(dialect.subprotocols)!r}"
    if way.transport == "subprotocol":
        yield f"SUBPROTOCOL_PREFIX = {dialect.subprotocol_prefix!r}"
    yield f"CLAIMS, LIFE_S = {dict(way.claims)!r}, {way.life_s}"
    if opening:
        yield f"OPENING = {opening!r}"
    if flags["runkey"]:
        yield f"RUN_KEY = {way.run_key!r}  # where frames name a run; the target chooses its id"
    if flags["http"]:
        yield f"REST, PLACE = {way.rest!r}, {place_keys(dialect)!r}"
    if flags["perthread"]:
        yield f"CREATE = {_call(dialect.create(Turn('', '%USER%', '', '', '')))!r}"
    if flags["rounds"]:
        yield f"ROUNDS = {story.rounds}  # played so often in a start, or until it leaks"
    yield f"QUIET_S, LISTEN_S = {story.quiet_ms / 1000:g}, {story.listen_ms / 1000:g}"
    yield "# a user: the digits of its account, and its steps: milliseconds from the start, what, thread, turn, frame"
    yield "USERS = ["
    digits = [digits_of(user, number) for number, user in enumerate(story.users, 1)]
    if len(set(digits)) < len(digits):  # accounts of a file, whose names end alike
        digits = [f"{number:05}" for number in range(1, len(digits) + 1)]
    for number, user in enumerate(story.users, 1):
        yield f"    ({digits[number - 1]!r}, ["
        lines = [f"        {step!r}" for step in _steps(user, dialect)]
        yield ",\n".join(lines) + "]),"
    yield "]"


def _steps(user: User, dialect: Dialect) -> Iterator[tuple[object, ...]]:
    turns: dict[int, int] = {}
    seen: set[int] = set()
    for step in user.steps:
        if step.what == "say":
            turn = turns[step.turn] = len(turns) + 1
            said = _said(step, turn, dialect, first=step.thread not in seen)
            yield (step.at_ms, "say", step.thread, turn, *said)
            seen.add(step.thread)
        elif step.what == "cancel":
            by_client = dialect.ids_from == "client"
            run = (
                f"%RUN{turns[step.turn]}%"
                if by_client
                else f"%RUN{step.thread}%"
                if dialect.socket_per == "run"
                else "%RUN%"
            )
            frame = dialect.cancel(run)
            if frame is not None:
                yield (step.at_ms, "cancel", step.thread, turns[step.turn], _shows(frame, run, dialect))
        else:
            yield (step.at_ms, step.what, step.thread, 0, "")


def _said(step: Step, number: int, dialect: Dialect, *, first: bool) -> Iterator[object]:
    """The frame of a turn; and where each run is made over HTTP: method, path and body of that call."""
    in_prompt = step.reference != "context"
    # whoever says the same words says them with the same mark, and no earlier start did
    text = f"{step.text.rstrip()} {ASKS_TO_REPEAT} %TOKEN%" if in_prompt else f"{step.text} (%START%)"
    by_client = dialect.ids_from == "client"
    known = by_client or dialect.socket_per == "thread" or (dialect.socket_per == "run" and not first)
    turn = Turn(
        text=text,
        user_id="%USER%",
        thread_id=f"%THREAD{step.thread}%" if known else "",
        run_id=f"%RUN{number}%" if by_client else "",
        message_id="%MESSAGE%",
        context={} if in_prompt else {"reference": "%TOKEN%"},
        traceparent="%TRACE%",
    )
    frame = dialect.prompt(turn) or ""
    call = dialect.create(turn) if dialect.socket_per == "run" else None
    baked = _call(call)
    _shows(frame + "".join(baked), "%TOKEN%", dialect)
    yield frame
    yield from baked


def _call(call: Call | None) -> tuple[str, ...]:
    """Method, path and body."""
    return () if call is None else (call.method, call.path, orjson.dumps(call.json or {}).decode())


def _shows(frame: str, name: str, dialect: Dialect) -> str:
    if name not in frame:
        raise NotReproducible(
            f"the dialect {dialect.name} writes what is said in a form that cannot be baked into a script"
        )
    return frame


class _Asked(dict[str, Any]):
    """An answer that has everything: what is taken out of it is the way that led there."""

    def __init__(self, way: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._way = way

    def __getitem__(self, key: str) -> _Asked:
        return _Asked((*self._way, key))

    def get(self, key: str, default: object = None) -> _Asked:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return "\0".join(self._way)


def place_keys(dialect: Dialect) -> dict[str, tuple[str, ...]]:
    """Where in the answer to `create` ids and socket stand, found by asking the dialect: name → keys, outermost first.

    :raises NotReproducible: it reads the answer in a way that cannot be told from outside.
    """
    try:
        place: Place = dialect.created(_Asked())
        found = {"THREAD": place.thread_id, "RUN": place.run_id, "SOCKET": place.socket_path}
        return {name: tuple(str(value).split("\0")) for name, value in found.items() if value}
    except Exception as error:  # whatever a dialect does with an answer that is none
        raise NotReproducible(
            f"the dialect {dialect.name} reads the answer to `create` in a way that no script can repeat: {error}"
        ) from None


def digits_of(user: User, number: int) -> str:
    """The number at the end of an account: a fault may hang on it, and so may the part of a target that serves it."""
    found = re.search(r"\d{1,5}$", user.account)
    return (found[0] if found else str(number)).zfill(5)


def write(path: str, text: str) -> None:
    """Whole or not at all."""
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
