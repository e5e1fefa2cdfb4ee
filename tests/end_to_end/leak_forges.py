"""Ways to put something of another account into what an account gets: each makes the bytes that are sent instead."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable

from tests.end_to_end.wiretap import CLOSE, PING, TEXT, Document, Forge, Leak, wire

Text = Callable[[Leak], str]


def canary(leak: Leak) -> str:
    return leak.victim.canary


def name(leak: Leak) -> str:
    return leak.victim.name


def run_id(leak: Leak) -> str:
    return leak.victim.run_id


def thread_id(leak: Leak) -> str:
    return leak.victim.thread_id


def dumped(document: Document) -> bytes:
    return json.dumps(document).encode()


def of(kind: str) -> Callable[[Document], bool]:
    """An event of this type that is the supervisor's own, not a nested one."""
    return lambda frame: frame.get("type") == kind and not frame.get("data", {}).get("nested")


def chunk(index: int) -> Callable[[Document], bool]:
    return lambda frame: of("agent_response_chunk")(frame) and frame["data"]["chunk_index"] == index


# --- forges: own frame → what is sent instead ------------------------------------------------------------------------


def put(path: str, text: Text = canary) -> Forge:
    """The own frame with `text` under a path with dots; objects on the way are made."""

    def forge(frame: Document, leak: Leak) -> list[bytes]:
        *way, last = path.split(".")
        at = frame
        for key in way:
            at[key] = at = dict(at[key]) if isinstance(at.get(key), dict) else {}
        at[last] = text(leak)
        return [wire(dumped(frame))]

    return forge


def add(path: str, text: Text = canary) -> Forge:
    """The own frame with `text` in the middle of the text under a path."""

    def forge(frame: Document, leak: Leak) -> list[bytes]:
        *way, last = path.split(".")
        at = frame
        for key in way:
            at = at[key]
        half = len(at[last]) // 2
        at[last] = f"{at[last][:half]} {text(leak)} {at[last][half:]}"
        return [wire(dumped(frame))]

    return forge


def also(make: Callable[[Document, Leak], bytes]) -> Forge:
    """The own frame, and these bytes behind it."""
    return lambda frame, leak: [wire(dumped(frame)), make(frame, leak)]


def event(kind: str, **data: Text) -> Callable[[Document, Leak], bytes]:
    """An event of the observer's own newest run with foreign data."""

    def make(_frame: Document, leak: Leak) -> bytes:
        own = leak.own
        ids = {"run_id": own.run_id, "user_id": own.name, "thread_id": own.thread_id, "agent_name": "supervisor"}
        return wire(dumped({"type": kind, **ids, "data": {key: text(leak) for key, text in data.items()}}))

    return make


def nameless(kind: str, **fields: Text) -> Callable[[Document, Leak], bytes]:
    """A frame of the connection: no ids."""
    return lambda _frame, leak: wire(dumped({"type": kind, **{key: text(leak) for key, text in fields.items()}}))


def whole(_frame: Document, leak: Leak) -> bytes:
    return wire(leak.victim.event)


def relabelled(frame: Document, leak: Leak) -> bytes:
    """A foreign event under the observer's own ids."""
    ids = {key: frame.get(key, "") for key in ("run_id", "user_id", "thread_id")}
    text = leak.victim.event.decode()
    for mine, theirs in (("run_id", leak.victim.run_id), ("thread_id", leak.victim.thread_id)):
        text = text.replace(theirs, str(ids[mine]))
    return wire(dumped({**json.loads(text), **ids}))


def batch(frame: Document, leak: Leak) -> list[bytes]:
    return [wire(dumped({"type": "event_batch", "events": [frame, json.loads(leak.victim.event)]}))]


def batch_content(frame: Document, leak: Leak) -> list[bytes]:
    frame["data"]["debug"] = leak.victim.canary
    return [wire(dumped({"type": "event_batch", "events": [frame]}))]


def batched(leak: Leak, events: list[str]) -> bytes:
    return wire(dumped({"type": "event_batch", "events": events, "from": leak.victim.canary}))


def under_earlier_run(frame: Document, leak: Leak) -> list[bytes]:
    """Foreign content under the observer's own run before this one, which has ended."""
    if not leak.own.run_id_before:
        return []
    made = json.loads(_payload_of(event("agent_thinking", thought=canary)({}, leak)))
    return [wire(dumped(frame)), wire(dumped({**made, "run_id": leak.own.run_id_before}))]


def _payload_of(frame: bytes) -> bytes:
    return frame[frame.index(b"{") :]


def fragmented(frame: Document, leak: Leak) -> list[bytes]:
    """The canary straddles two fragments, with a ping between them."""
    frame["data"]["debug"] = leak.victim.canary
    payload = dumped(frame)
    cut = payload.index(leak.victim.canary.encode()) + 12
    return [wire(payload[:cut], TEXT, fin=False), wire(b"still here", PING), wire(payload[cut:], 0)]


def cut_json(frame: Document, leak: Leak) -> list[bytes]:
    frame["data"]["debug"] = leak.victim.canary
    return [wire(dumped(frame)[:-2])]


def twice_keyed(frame: Document, leak: Leak) -> list[bytes]:
    """One key twice: readers keep the last; the first is written in JSON escapes."""
    first = f'{{"note": "{escaped(leak.victim.canary)}", "note": "fine", '
    return [wire((first + dumped(frame).decode()[1:]).encode())]


def escaped_field(frame: Document, leak: Leak) -> list[bytes]:
    marked = dumped({**frame, "debug": "HERE"}).decode()
    return [wire(marked.replace("HERE", escaped(leak.victim.canary)).encode())]


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def two_users(frame: Document, leak: Leak) -> list[bytes]:
    data = {**frame["data"], "user_id": leak.own.name}
    return [wire(dumped({**frame, "user_id": leak.victim.name, "data": data}))]


def deep(frame: Document, leak: Leak) -> list[bytes]:
    value: object = leak.victim.canary
    for _ in range(200):
        value = [value]
    return [wire(dumped({**frame, "debug": value}))]


def long(frame: Document, leak: Leak) -> list[bytes]:
    return [wire(dumped({**frame, "padding": "x" * 90_000, "debug": leak.victim.canary}))]


def in_bytes(start: int, stop: int) -> Text:
    return lambda leak: leak.victim.canary[start:stop]


def coded(code: Callable[[str], str], around: str = "reference {} of the account") -> Text:
    return lambda leak: code(around.format(leak.victim.canary))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def wide(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def ends_with(text: Text) -> Forge:
    """The own chunk with `text` at its end, so that the next chunk may go on with it."""

    def forge(frame: Document, leak: Leak) -> list[bytes]:
        frame["data"]["chunk"] += text(leak)
        return [wire(dumped(frame))]

    return forge


def begins_with(text: Text) -> Forge:
    def forge(frame: Document, leak: Leak) -> list[bytes]:
        frame["data"]["chunk"] = text(leak) + frame["data"]["chunk"]
        return [wire(dumped(frame))]

    return forge


def garbled(text: str, position: int) -> str:
    return text[:position] + ("b" if text[position] != "b" else "c") + text[position + 1 :]


# --- answers: head and body → the whole answer -----------------------------------------------------------------------


def header(name: str, text: Text = canary) -> Callable[[bytes, bytes, Leak], bytes]:
    return lambda head, body, leak: head[:-2] + f"{name}: {text(leak)}\r\n\r\n".encode() + body


def answer(status: str, body: Text, *more: str) -> Callable[[bytes, bytes, Leak], bytes]:
    def make(_head: bytes, _body: bytes, leak: Leak) -> bytes:
        content = body(leak).encode()
        lines = [f"HTTP/1.1 {status.format(leak.victim.canary)}", f"Content-Length: {len(content)}"]
        lines += ["Content-Type: application/json", *(line.format(leak.victim.canary) for line in more)]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content

    return make


def reason(leak: Leak) -> str:
    return f'{{"error": "no such thread: {leak.victim.canary}"}}'


def reserved(frame: Document, leak: Leak) -> list[bytes]:
    """As a compressed message is marked, without having agreed on compression."""
    sent = wire(dumped({**frame, "debug": leak.victim.canary}))
    return [bytes([sent[0] | 0x40]) + sent[1:]]


def no_utf8(frame: Document, leak: Leak) -> list[bytes]:
    payload = dumped({**frame, "debug": leak.victim.canary, "name": "HERE"})
    return [wire(payload.replace(b"HERE", b"\xff\xfe"))]


def close_plain() -> list[bytes]:
    return [wire((1001).to_bytes(2, "big"), CLOSE)]


def close(code: int) -> Forge:
    return lambda _frame, leak: [wire(code.to_bytes(2, "big") + f"bye {leak.victim.canary}".encode(), CLOSE)]
