"""The dialect of server.py: a message is one patch a line (`{"op", "path", "value"}`), of a run that the server named.

add /r1 {…}                   the run begins          append /r1/notes "…"    the agent thinks aloud
add /r1/tools/1 {"name": …}   a tool is called        append /r1/text "…"     a piece of the answer
add /r1/tools/1/result …      its result              replace /r1 {…}         the run is done, with the whole text
"""

from collections.abc import Iterable
from typing import Any

import orjson

from crosstalk.wire.dialect import Dialect, Turn, malformed
from crosstalk.wire.event import Event, Kind

#: operation and length of the path → kind, where the field's name does not tell
KINDS = {
    ("add", 1): Kind.STARTED,
    ("add", 3): Kind.TOOL_EXECUTING,
    ("add", 4): Kind.TOOL_COMPLETED,
    ("replace", 1): Kind.COMPLETED,
}
APPENDED = {"notes": Kind.THINKING, "text": Kind.CHUNK}


class Patches(Dialect):
    name = "patches"
    socket_path = "/patches"
    ready_by = "upgrade"
    ids_from = "server"
    health_path = "/healthz"

    def decode(self, frame: bytes) -> Iterable[Event]:
        try:
            return [_event(orjson.loads(line)) for line in frame.splitlines()]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            return malformed(f"not lines of patches: {error}")

    def prompt(self, turn: Turn) -> str:
        return orjson.dumps({"ask": turn.text, "note": turn.context.get("reference", "")}).decode()


def _event(patch: dict[str, Any]) -> Event:
    steps = patch["path"].strip("/").split("/")
    value = patch["value"]
    kind = KINDS.get((patch["op"], len(steps)), Kind.OTHER)
    if patch["op"] == "append":
        kind = APPENDED.get(steps[-1], Kind.OTHER)
    told = value if isinstance(value, dict) else {"text": value}
    return Event(
        kind,
        run_id=steps[0],
        tool=told.get("name", ""),
        call_id=steps[2] if len(steps) > 2 else "",
        text=told.get("text", ""),
        key=patch["path"] if patch["op"] == "add" else "",
        name=f"{patch['op']} {steps[-1] if len(steps) > 1 else 'run'}",
    )
