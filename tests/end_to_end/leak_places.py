"""Places for a leak that no catalogue of faults has: where in what an account gets something of another's may stand.

Grouped as in docs/isolation.md; `channels` of a place are the ones that may name it.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tests.end_to_end.leak_forges import (
    add,
    also,
    answer,
    b64,
    batch,
    batch_content,
    batched,
    begins_with,
    canary,
    chunk,
    close,
    close_plain,
    coded,
    cut_json,
    deep,
    dumped,
    ends_with,
    escaped,
    escaped_field,
    event,
    fragmented,
    garbled,
    header,
    in_bytes,
    long,
    name,
    nameless,
    no_utf8,
    of,
    put,
    reason,
    relabelled,
    reserved,
    rot13,
    run_id,
    thread_id,
    twice_keyed,
    two_users,
    under_earlier_run,
    whole,
    wide,
)
from tests.end_to_end.wiretap import BINARY, CLOSE, PING, PONG, Document, Forge, Place, wire

# --- the table -------------------------------------------------------------------------------------------------------

THOUGHT, CHUNK, END = of("agent_thinking"), chunk(1), of("agent_completed")


def at(wants: Callable[[Document], bool], name: str, channels: tuple[int, ...], *forges: Forge) -> Place:
    return Place(name, channels, wants=wants, forges=forges)


IN_EVENTS = (
    at(THOUGHT, "unknown field", (2,), put("data.debug")),
    at(THOUGHT, "unknown field at the root", (2,), put("debug.trace.origin")),
    at(THOUGHT, "key", (2,), lambda frame, leak: [wire(dumped({**frame, leak.victim.canary: 1}))]),
    at(THOUGHT, "thought", (2,), add("data.thought")),
    at(CHUNK, "own chunk", (2, 5), add("data.chunk")),
    at(END, "final text", (2,), add("data.result")),
    at(of("tool_executing"), "tool arguments", (4,), put("data.arguments.account")),
    at(of("tool_completed"), "tool result", (4,), put("data.result.previous")),
    at(of("agent_handoff"), "hand-off", (20,), put("data.note")),
    at(THOUGHT, "agent's name", (2,), put("agent_name")),
    at(THOUGHT, "deep inside", (2,), deep),
    at(THOUGHT, "far behind in a long frame", (2,), long),
    at(THOUGHT, "batch, own event", (2,), batch_content),
    at(THOUGHT, "batch, foreign event beside it", (1,), batch),
    at(THOUGHT, "fragmented message", (2,), fragmented),
    at(THOUGHT, "key given twice", (2, 20, 22), twice_keyed),
    at(THOUGHT, "right behind one's own", (2,), put("data.debug", lambda leak: leak.own.canary + leak.victim.canary)),
    at(THOUGHT, "batch of nothing", (2, 20), also(lambda _, leak: batched(leak, []))),
    at(THOUGHT, "batch of texts", (2, 20), also(lambda _, leak: batched(leak, [leak.victim.canary]))),
)
WHOLE = (
    at(THOUGHT, "whole foreign event", (1,), also(whole)),
    at(END, "whole foreign event after the end", (1, 17), also(whole)),
    at(THOUGHT, "foreign event under own ids", (2, 4), also(relabelled)),
    at(END, "content after the end", (17,), also(event("agent_thinking", thought=canary))),
    at(THOUGHT, "content under an earlier run", (17,), under_earlier_run),
    at(
        END, "binary, after the end", (17, 2, 20, 21),
        also(lambda _frame, leak: wire(leak.victim.canary.encode(), BINARY)),
    ),
    at(THOUGHT, "binary frame, JSON", (2,), lambda frame, leak: [wire(dumped({**frame, "x": canary(leak)}), BINARY)]),
    at(
        THOUGHT, "binary frame, no text", (2, 20, 21),
        also(lambda _frame, leak: wire(b"\x00\xff\x01" + leak.victim.canary.encode() + b"\x00", BINARY)),
    ),
)  # fmt: skip
BESIDE = (
    at(THOUGHT, "unknown event type with ids", (2, 20), also(event("diagnostics", state=canary))),
    at(THOUGHT, "unknown event type without ids", (20,), also(nameless("diagnostics", state=canary))),
    at(THOUGHT, "heartbeat", (20,), also(nameless("heartbeat", state=canary))),
    at(THOUGHT, "notice", (20,), also(event("progress_update", message=canary))),
    at(THOUGHT, "thread's title", (20,), also(event("thread_updated", title=canary))),
    at(THOUGHT, "error message", (21,), also(nameless("error_message", error_message=canary))),
    at(CHUNK, "agent's error", (21,), also(event("agent_error", error_message=canary))),
    at(THOUGHT, "malformed JSON", (21,), cut_json),
    at(THOUGHT, "behind the JSON", (21,), lambda frame, leak: [wire(dumped(frame) + leak.victim.canary.encode())]),
    at(THOUGHT, "JSON that is no object", (21,), also(lambda _frame, leak: wire(json.dumps([canary(leak)]).encode()))),
    at(THOUGHT, "ping", (21,), also(lambda _frame, leak: wire(leak.victim.canary.encode(), PING))),
    at(THOUGHT, "pong", (21,), also(lambda _frame, leak: wire(leak.victim.canary.encode(), PONG))),
    at(END, "close reason 1001", (21,), also(lambda frame, leak: close(1001)(frame, leak)[0])),
    at(THOUGHT, "close reason 1011", (21,), close(1011)),
    at(THOUGHT, "frame with a reserved bit", (20, 21), reserved),
    at(THOUGHT, "text that is no UTF-8", (20, 21), no_utf8),
    at(
        THOUGHT, "frame behind the close frame", (1, 3, 20, 21),
        lambda frame, leak: [*close_plain(), whole(frame, leak)],
    ),
)  # fmt: skip
#: what comes before one's own first run: for accounts that come late, when others have spoken
EARLY = (
    at(
        of("connection_established"),
        "refusal instead of a welcome",
        (21,),
        lambda frame, leak: [
            nameless("error_message", error_code=lambda _: "AUTH_FAILED", error_message=canary)(frame, leak),
            wire((1008).to_bytes(2, "big"), CLOSE),
        ],
    ),
    at(of("pong"), "whole foreign event before any run", (1,), also(whole)),
    at(of("pong"), "pong of the application", (20,), put("data.state")),
    at(of("ack"), "acknowledgement", (20,), put("state")),
    at(of("connection_established"), "welcome", (20, 21, 2), put("data.previous")),
)
OF_HTTP = (
    Place("upgrade, header", (21,), "head", answer=header("X-Debug")),
    Place("upgrade, cookie", (21,), "head", answer=header("Set-Cookie", lambda leak: f"last={leak.victim.canary}")),
    Place("upgrade refused, body", (21,), "head", answer=answer("500 Oops", reason)),
    Place("upgrade refused, reason phrase", (21,), "head", answer=answer("503 {}", lambda _: "{}")),
    Place("upgrade redirected", (21,), "head", answer=answer("302 Found", lambda _: "", "Location: /ws/{}")),
    Place("delete, header", (21, 13, 2), "delete", answer=header("X-Debug")),
    Place("delete, body", (21, 13, 2), "delete", answer=answer("200 OK", lambda leak: f'{{"was": "{canary(leak)}"}}')),
    Place("delete, error", (21, 13), "delete", answer=answer("404 Not Found", reason)),
    Place("during the goodbye", (1, 17), "goodbye", forges=(lambda frame, leak: [whole(frame, leak)],)),
)  # fmt: skip
ENCODED = tuple(
    at(THOUGHT, what, (22,), put("data.debug", text))
    for what, text in {
        "upper case": coded(str.upper),
        "base64": coded(b64, "{}"),
        "base64, second alignment": coded(b64, "a{}"),
        "base64, third alignment": coded(b64, "ab{} and more"),
        "base64, inside a text": lambda leak: f"cursor={b64(leak.victim.canary)}; more",
        "base64, url-safe and unpadded": coded(
            lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), "\x7f?>{}>?"
        ),
        "hex": coded(lambda text: text.encode().hex()),
        "hex, upper case": coded(lambda text: text.encode().hex().upper()),
        "hex, with separators": coded(lambda text: text.encode().hex(":")),
        "percent": coded(lambda text: "".join(f"%{ord(letter):02X}" for letter in text)),
        "html": coded(lambda text: "".join(f"&#{ord(letter)};" for letter in text)),
        "html, hexadecimal": coded(lambda text: "".join(f"&#x{ord(letter):x};" for letter in text)),
        "rot13": coded(rot13),
        "reversed": coded(lambda text: text[::-1]),
        "full-width letters": coded(wide),
        "spaced letters": coded(" ".join, "{}"),
        "hyphens": coded(lambda text: "-".join(text[i : i + 4] for i in range(0, len(text), 4)), "{}"),
        "zero-width": coded("\u200b".join, "{}"),
        "soft hyphens": coded("\u00ad".join, "{}"),
        "line breaks": coded(lambda text: "\n".join(text[i : i + 9] for i in range(0, len(text), 9)), "{}"),
        "JSON in JSON, escaped": coded(lambda text: json.dumps({"a": f'{{"b": "{escaped(text)}"}}'})),
        "JSON escapes in a text": coded(escaped),
        "base64 of base64": coded(lambda text: b64(b64(text))),
        "hex of base64": coded(lambda text: b64(text).encode().hex()),
        "base64 of rot13": coded(lambda text: b64(rot13(text))),
        "base64 of reversed": coded(lambda text: b64(text[::-1])),
        "percent of base64": coded(lambda text: quote(b64(text), safe="")),
        "html of html": coded(lambda text: html.escape("".join(f"&#{ord(letter)};" for letter in text))),
        "base64 of gzip": coded(lambda text: base64.b64encode(gzip.compress(text.encode())).decode()),
    }.items()
)


PIECES = (
    at(THOUGHT, "JSON escapes of the frame", (22, 2), escaped_field),
    at(
        THOUGHT, "split over two fields", (22,),
        lambda frame, leak: [wire(dumped({**frame, "a": canary(leak)[:18], "b": canary(leak)[18:]}))],
    ),
    at(
        chunk(0), "split over two chunks", (22, 2, 5),
        ends_with(in_bytes(0, 17)), begins_with(in_bytes(17, 36)),
    ),
    at(
        chunk(0), "split over three chunks", (22, 2, 5),
        ends_with(in_bytes(0, 12)), put("data.chunk", in_bytes(12, 24)),
        begins_with(in_bytes(24, 36)),
    ),
    at(THOUGHT, "first 28 letters", (2, 22), put("data.debug", in_bytes(0, 28))),
    at(THOUGHT, "first 30 letters, in upper case", (2, 22), put("data.debug", lambda leak: canary(leak)[:30].upper())),
    at(THOUGHT, "last 12 letters", (2, 22), put("data.debug", in_bytes(24, 36))),
    at(THOUGHT, "last 10 letters", (2, 22), put("data.debug", in_bytes(26, 36))),
    at(THOUGHT, "without its prefix", (2, 22), put("data.debug", in_bytes(4, 36))),
    at(THOUGHT, "one letter garbled at its end", (2, 22), put("data.debug", lambda leak: canary(leak)[:-1] + "!")),
    replace(
        at(THOUGHT, "letter garbled in its head", (2, 22), put("data.debug", lambda leak: garbled(canary(leak), 14))),
        names_owner=False,
    ),
)  # fmt: skip
IDS = (
    at(THOUGHT, "account's name, own field", (3, 2), put("data.owner", name)),
    at(THOUGHT, "account's name, in a text", (3, 2), add("data.thought", lambda leak: f"as {leak.victim.name} said")),
    at(THOUGHT, "account's name, as a key", (3, 2), lambda frame, leak: [wire(dumped({**frame, leak.victim.name: 1}))]),
    at(THOUGHT, "account's name, as user_id", (3,), put("user_id", name)),
    at(THOUGHT, "account's name, as user_id at the root, own inside", (3, 2), two_users),
    at(THOUGHT, "account's name, in upper case", (3, 22), put("data.owner", lambda leak: leak.victim.name.upper())),
    at(THOUGHT, "account's name, in base64", (3, 22), put("data.owner", lambda leak: b64(f"user:{leak.victim.name}"))),
    at(THOUGHT, "run id, as run_id", (3,), put("run_id", run_id)),
    at(THOUGHT, "run id, any field", (3,), put("data.parent", run_id)),
    at(THOUGHT, "thread id, as thread_id", (3,), put("thread_id", thread_id)),
    at(THOUGHT, "thread id, any field", (3,), put("data.related", thread_id)),
    at(THOUGHT, "thread id, in base64", (3, 22), put("data.related", lambda leak: b64(leak.victim.thread_id))),
    at(THOUGHT, "message id, any field", (3,), put("data.in_reply_to", lambda leak: leak.victim.message_id)),
    at(THOUGHT, "connection id", (3,), put("data.via", lambda leak: leak.victim.connection_id)),
    at(THOUGHT, "token", (3, 21, 22), put("data.forwarded", lambda leak: leak.victim.token)),
    at(THOUGHT, "thread id in a heartbeat", (3, 20), also(nameless("heartbeat", thread=thread_id))),
    at(THOUGHT, "run id in a notice", (3, 20), also(event("progress_update", run=run_id))),
)  # fmt: skip


PLACES = (
    *IN_EVENTS, *WHOLE, *BESIDE, *ENCODED, *PIECES,
    *IDS, *EARLY, *OF_HTTP,
)  # fmt: skip
