"""The class of a new dialect, as text: attributes, decode, prompt, create. Pure."""

from __future__ import annotations

import json
from typing import Any

from crosstalk.tools.new_dialect_guess import Guess
from crosstalk.tools.new_dialect_seen import split_call

FILL_IN = "# FILL IN:"
TURN = {
    "{prompt}": "turn.text",
    "{thread_id}": "turn.thread_id",
    "{run_id}": "turn.run_id",
    "{user_id}": "turn.user_id",
    "{message_id}": "turn.message_id",
    "{context}": "dict(turn.context)",
}
LINE_MAX = 118


def class_source(guess: Guess, class_name: str, *, encoded: bool, lifecycle: str) -> str:
    head = [f"class {class_name}(Dialect):", f"    name = {text_literal(class_name.lower())}"]
    lines = [*head, *_attributes(guess), f"    lifecycle = {lifecycle}"]
    lines += ["", "    def decode(self, frame: bytes) -> Iterable[Event]:"]
    if guess.not_json:
        lines.append(f"        {FILL_IN} {guess.not_json} recorded frames are no JSON objects; how are they read?")
    lines += [
        "        try:",
        "            fields = orjson.loads(frame)",
        "        except orjson.JSONDecodeError as error:",
        '            return malformed(f"not JSON: {error}")',
        f"        name = _at(fields, {text_literal(guess.name_path)})",
        "        if not name:",
        f'            return malformed("expected a JSON object with {guess.name_path}")',
        "        kind = KINDS.get(name, Kind.OTHER)",
        '        text = _at(fields, TEXTS.get(name, ""))',
    ]
    if encoded:
        lines += [
            "        try:",
            "            text = base64.b64decode(text, validate=True).decode() if name in BASE64 else text",
            "        except ValueError as error:",
            '            return malformed(f"text is not base64 of UTF-8: {error}")',
        ]
    lines += [f"        {line}" for line in _event(guess)]
    lines += ["", *_prompt(guess), *_create(guess)]
    if guess.recording.auth == "message":
        lines += [
            "",
            "    def opening(self, token: str) -> Iterable[str]:",
            f"        {FILL_IN} how a token travels in the first message; this form was sent while recording",
            '        return [orjson.dumps({"type": "authenticate", "token": token}).decode()] if token else []',
        ]
    lines += [
        "",
        "    def delete_thread(self, thread_id: str) -> Call | None:",
        f"        {FILL_IN} the call that deletes a thread; None leaves what a load test made on the target",
        "        return None",
    ]
    return "\n".join(lines)


def _attributes(guess: Guess) -> list[str]:
    recording = guess.recording
    lines = [f"    socket_path = {text_literal(recording.path)}"] if not guess.place.get("socket_path") else []
    if guess.socket_per != "user":
        lines.append(f"    socket_per = {text_literal(guess.socket_per)}")
    if recording.before and not guess.welcome_name:
        lines.append(f"    {FILL_IN} what makes a connection ready. A frame came first, without {guess.name_path}")
    if not guess.welcome_name:
        lines.append('    ready_by = "upgrade"  # no frame came before the prompt')
    if not guess.run_by_client:
        lines.append('    ids_from = "server"')
    if not guess.run_path:
        lines.append("    frames_name_runs = False  # no field is the same within an exchange and another in the next")
    if guess.welcome_names_user != "no":
        lines.append(f"    welcome_names_user = {text_literal(guess.welcome_names_user)}")
    if any(where.encoded for where in guess.texts.values()):
        lines.append("    encodes_text = True")
    return [*lines, f"    health_path = {text_literal(recording.health_path)}"]


def _event(guess: Guess) -> list[str]:
    in_welcome = guess.place.get("welcome_user", "")
    user = guess.user_path or in_welcome
    lines = ["return [", "    Event(", "        kind,"]
    if guess.run_path:
        also = f"  # also possible: {', '.join(guess.run_others)}" if guess.run_others else ""
        lines.append(f"        run_id=_at(fields, {text_literal(guess.run_path)}),{also}")
    paths = {"user_id": user, "thread_id": guess.thread_path, "agent": guess.agent_path, "tool": guess.tool_path,
             "call_id": guess.call_path}  # fmt: skip
    for field, path in paths.items():
        other = in_welcome if field == "user_id" and in_welcome != path else ""
        also = f" or _at(fields, {text_literal(other)})" if other else ""
        lines += [f"        {field}=_at(fields, {text_literal(path)}){also},"] if path else []
    lines.append("        text=text,")
    if guess.index_path:
        lines.append(f"        index=_number(fields, {text_literal(guess.index_path)}),")
    if guess.ok_path:
        lines.append(f'        ok=_at(fields, {text_literal(guess.ok_path)}) not in ("False", "error", "failed"),')
    if guess.seq_path:
        lines.append(f'        key=f"seq:{{_at(fields, {guess.seq_path!r})}}",')
    elif guess.call_path and guess.call_path != guess.tool_path:
        tools = "(Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED)"
        lines.append("        # a call has an id: the same call twice is one event, sent twice")
        lines.append(f'        key=f"{{kind}}:{{_at(fields, {guess.call_path!r})}}"')
        lines.append(f"        if kind in {tools}")
        lines.append('        else "",')
    others = f"  # also possible: {', '.join(guess.name_others[:3])}" if guess.name_others else ""
    return [*lines, f"        name=name,{others}", "    )", "]"]


def _prompt(guess: Guess) -> list[str]:
    lines = ["    def prompt(self, turn: Turn) -> str | None:"]
    template = guess.recording.send
    if not template:
        return [*lines, "        return None  # the call of `create` has said it all"]
    try:
        said = json.loads(template)
    except ValueError:
        return [*lines, f"        return {_expression(template, 8)}"]
    return [*lines, f"        said = {_expression(said, 8)}", "        return orjson.dumps(said).decode()"]


def _create(guess: Guess) -> list[str]:
    if not guess.recording.create:
        return []
    method, path, body = split_call(guess.recording.create)
    said = f", {_expression(body, 8)}" if body is not None else ""
    fields = [("thread_id", "thread_id"), ("run_id", "run_id"), ("socket_path", "socket_path")]
    told = [
        f"            {name}=_at(answer, {text_literal(guess.place[key])}),"
        for name, key in fields
        if key in guess.place
    ]
    return [
        "",
        "    def create(self, turn: Turn) -> Call | None:",
        f"        return Call({text_literal(method)}, {_expression(path, 8)}{said})",
        "",
        "    def created(self, answer: Mapping[str, Any]) -> Place:",
        "        return Place(",
        *told,
        "        )",
    ]


def _expression(value: Any, indent: int) -> str:
    """A template's value as Python: placeholders become fields of the turn."""
    if isinstance(value, dict):
        inner = [f"{text_literal(key)}: {_expression(item, indent + 4)}" for key, item in value.items()]
        flat = "{" + ", ".join(inner) + "}"
        if indent + len(flat) <= LINE_MAX - 16:
            return flat
        pad = " " * (indent + 4)
        return "{\n" + "".join(f"{pad}{item},\n" for item in inner) + " " * indent + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_expression(item, indent) for item in value) + "]"
    if not isinstance(value, str):
        return repr(value)
    if value in TURN:
        return TURN[value]
    if any(mark in value for mark in TURN):
        shown = value.replace("{", "{{").replace("}", "}}")
        for mark, said in TURN.items():
            shown = shown.replace("{" + mark + "}", "{" + said + "}")
        return "f" + text_literal(shown)
    return text_literal(value)


def text_literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
