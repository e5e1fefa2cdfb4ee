"""Records a short exchange with a backend that no dialect is known for: a few prompts, and whatever comes back.

Everything is bounded: each exchange in time and bytes, the silence after which it counts as over, and the whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

import orjson
from gevent.event import Event as Flag

from crosstalk.checks.canary import Site
from crosstalk.clock import clock
from crosstalk.config import ConfigError, Route, tls_context
from crosstalk.connection import Arrival, ConnectFailed, Connection, Endpoint, Inbox, Lost
from crosstalk.generator import Generator
from crosstalk.person import Person
from crosstalk.session import NotReady
from crosstalk.tools.new_dialect_guess import place_of
from crosstalk.tools.new_dialect_seen import Exchange, Recording, flat, split_call
from crosstalk.wire.dialect import Call, Dialect
from crosstalk.wire.redact import redact
from crosstalk.wire.rfc6455 import Close, Message, Opcode

BYTES_MAX = 1_000_000
FIRST_FRAME_S = 10.0
EXCHANGE_MAX_S = 20.0
WELCOME_S = 0.7


class Unknown(Dialect):
    """Stands where a dialect is asked for and none is known yet: nothing is decoded by it."""

    name: ClassVar[str] = "unknown"
    ready_by: ClassVar[Literal["welcome", "upgrade"]] = "upgrade"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be said, and where. Templates have {prompt}, {thread_id}, {run_id}, {user_id}, {message_id}."""

    url: str
    send: str
    create: str
    transport: str
    quiet_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    route: Route = field(default_factory=Route)
    timeout_s: float = 5.0


@dataclass(slots=True)
class Line:
    """One connection and what came on it."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    close_code: int | None = None
    moved: Flag = field(default_factory=Flag)
    connection: Connection | None = None

    def take(self, arrival: Arrival) -> None:
        message = arrival.message
        if isinstance(message, Message):
            if message.opcode in (Opcode.TEXT, Opcode.BINARY):
                self.frames.append((arrival.arrived_ns, message.data))
        elif isinstance(message, Close):
            self.close_code = message.code
        elif isinstance(message, Lost):
            self.close_code = 1006
        self.moved.set()

    def listen(self, *, quiet_s: float, first_s: float) -> None:
        """Until it is silent for long enough, closed, or too much."""
        begun_ns, had = clock.now_ns(), len(self.frames)
        while self.close_code is None and clock.now_ns() - begun_ns < EXCHANGE_MAX_S * 1e9:
            self.moved.clear()
            if not self.moved.wait(quiet_s if len(self.frames) > had else first_s):
                return
            if sum(len(body) for _, body in self.frames[had:]) > BYTES_MAX:
                return


def record(wanted: Wanted, generator: Generator, person: Person, prompts: list[str]) -> Recording:
    """An exchange for each prompt: on one socket if the target lets it stay, else on one each.

    :raises NotReady: the target cannot be reached, or answers a prompt with nothing at all.
    """
    inbox, line = Inbox(), Line()
    begun_ns = clock.now_ns()
    thread_id = "thread-" + person.observer.plant(ordinal=1, site=Site.THREAD)
    answer: dict[str, Any] = {}
    before: list[bytes] = []
    found: list[Exchange] = []
    for number, prompt in enumerate(prompts, 1):
        ids = _ids(person, number, thread_id, prompt)
        if wanted.create and (line.connection is None or line.close_code is not None):
            answer = _made(wanted, generator, person, {**ids, "thread_id": _known(answer, "thread_id")})
        if line.connection is None or line.close_code is not None:
            line = _connect(wanted, generator.token(person), inbox, {**ids, **_ids_told(answer)}, answer)
            if wanted.send:
                line.listen(quiet_s=WELCOME_S, first_s=WELCOME_S)
                before = before or [body for _, body in line.frames]
                line.frames.clear()
        if wanted.send and line.connection is not None:
            line.connection.send(filled(wanted.send, {**ids, **_ids_told(answer)}))
        line.listen(quiet_s=wanted.quiet_s, first_s=FIRST_FRAME_S)
        if not line.frames:
            raise NotReady("ready", f"nothing came within {FIRST_FRAME_S:g} s of prompt {number}; is --send right?")
        frames = tuple(((at_ns - begun_ns) / 1e6, body) for at_ns, body in line.frames)
        line.frames.clear()
        found.append(Exchange(person.name, thread_id, ids["run_id"], ids["reference"], frames, answer, line.close_code))
    if line.connection is not None:
        line.connection.close()
    path = urlsplit(wanted.url).path or "/"
    return Recording(tuple(found), tuple(before), path, wanted.send, wanted.create, wanted.transport)


def filled(template: str, ids: Mapping[str, str]) -> str:
    """A template with its placeholders replaced; within JSON, in its texts only."""

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, list):
            return [put(item) for item in value]
        if value == "{context}":
            return {}
        if isinstance(value, str):
            for name, said in ids.items():
                value = value.replace("{" + name + "}", said)
        return value

    try:
        return json.dumps(put(json.loads(template)))
    except ValueError:
        return str(put(template))


def frames_file(recording: Recording, *, secrets: list[str]) -> str:
    """The exchanges as JSON lines, without tokens: {"exchange", "at_ms", "direction", "frame"}."""
    lines = []
    for number, exchange in enumerate(recording.exchanges):
        for at_ms, body in exchange.frames:
            text = redact(body.decode(errors="replace"))
            for secret in filter(None, secrets):
                text = text.replace(secret, "[token]")
            lines.append({"exchange": number, "at_ms": round(at_ms, 3), "direction": "in", "frame": text})
    return "".join(orjson.dumps(line).decode() + "\n" for line in lines)


def _ids(person: Person, ordinal: int, thread_id: str, prompt: str) -> dict[str, str]:
    plant = person.observer.plant
    reference = plant(ordinal=ordinal, site=Site.PROMPT)
    return {
        "prompt": f"{prompt.rstrip()} Please repeat this reference: {reference}",
        "thread_id": thread_id,
        "run_id": "run-" + plant(ordinal=ordinal, site=Site.RUN),
        "message_id": "msg-" + plant(ordinal=ordinal, site=Site.MESSAGE),
        "user_id": person.name,
        "reference": reference,
    }


def _ids_told(answer: Mapping[str, Any]) -> dict[str, str]:
    """Ids that the server chose take the place of ours."""
    return {name: told for name in ("thread_id", "run_id") if (told := _known(answer, name))}


def _known(answer: Mapping[str, Any], name: str) -> str:
    path = place_of(answer).get(name, "")
    return str(flat(answer).get(path) or "") if path else ""


def _made(wanted: Wanted, generator: Generator, person: Person, ids: Mapping[str, str]) -> dict[str, Any]:
    try:
        method, path, body = split_call(filled_call(wanted.create, ids))
    except ValueError as error:
        raise ConfigError(f"--create: {error}") from None
    answer = generator.call(person, Call(method, path, body))
    if answer.error or not isinstance(answer.body, dict):
        raise NotReady("connect", f"{method} {path}: {answer.error or 'no JSON object came back'}")
    return dict(answer.body)


def filled_call(template: str, ids: Mapping[str, str]) -> str:
    """A call with its placeholders replaced, in its path and in the texts of its body."""
    method, _, rest = template.strip().partition(" ")
    path, _, body = rest.strip().partition(" ")
    return f"{method} {filled(path, ids)} {filled(body, ids) if body.strip() else ''}"


def _connect(wanted: Wanted, token: str, inbox: Inbox, ids: Mapping[str, str], answer: Mapping[str, Any]) -> Line:
    """:raises NotReady:"""
    parts = urlsplit(wanted.url)
    url = urlunsplit(parts._replace(path=filled(parts.path, ids)))
    if told := _known(answer, "socket_path"):
        url = told if "://" in told else urlunsplit(parts._replace(path=told))
    headers = dict(wanted.headers)
    if wanted.transport == "header":
        headers["Authorization"] = f"Bearer {token}"
    elif wanted.transport == "query":
        url += ("&" if "?" in url else "?") + f"token={token}"
    subprotocols = (f"jwt.{token}",) if wanted.transport == "subprotocol" else ()
    route = wanted.route
    context = tls_context(route.ca_file, route.client_certificate, route.client_key, insecure=route.insecure)
    tls = context if url.startswith("wss") else None
    line = Line()
    line.connection = Connection(
        Endpoint(url, headers, subprotocols, tls, wanted.timeout_s, route.proxy), inbox, line.take
    )
    try:
        line.connection.open()
        if wanted.transport == "message":
            line.connection.send(json.dumps({"type": "authenticate", "token": token}))
    except ConnectFailed as failed:
        raise NotReady(failed.stage, failed.reason) from None
    return line
