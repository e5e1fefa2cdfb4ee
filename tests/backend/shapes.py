"""The same conversation in every shape: what a talker hears is said in one vocabulary, whatever the frames look like.

This is a reading of the wire by itself: it shares no code with the backend nor with the project's dialects.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection

from tests.backend.client import DEADLINE_S, Backend, mint

SHAPES = ("netra", "agui", "per_run")
KINDS = {
    "agent_started": "started",
    "RUN_STARTED": "started",
    "run.started": "started",
    "agent_thinking": "thinking",
    "REASONING_MESSAGE_CONTENT": "thinking",
    "thought": "thinking",
    "tool_executing": "call",
    "TOOL_CALL_ARGS": "call",
    "tool.call": "call",
    "tool_completed": "result",
    "TOOL_CALL_RESULT": "result",
    "tool.result": "result",
    "agent_response_chunk": "chunk",
    "TEXT_MESSAGE_CONTENT": "chunk",
    "token": "chunk",
    "agent_handoff": "handoff",
    "handoff": "handoff",
    "agent_completed": "completed",
    "RUN_FINISHED": "completed",
    "run.done": "completed",
    "agent_error": "failed",
    "error_message": "failed",
    "RUN_ERROR": "failed",
    "run.failed": "failed",
}
ENDS = ("completed", "failed")


@dataclass(frozen=True)
class Heard:
    """One frame: what it is, the text it carries, and the whole of it with its base64 undone."""

    kind: str
    text: str
    raw: str
    frame: dict[str, Any] = field(repr=False)

    @property
    def nested(self) -> bool:
        return bool(self.frame.get("data", {}).get("nested"))


def heard(raw: str) -> Heard:
    try:
        frame = json.loads(raw)
    except json.JSONDecodeError:
        return Heard("malformed", "", raw, {})
    name = frame.get("type") or frame["event"]
    kind = KINDS.get(name, name)
    if name == "STEP_STARTED" and "metadata" in frame:
        kind = "handoff"
    text, shown = "", raw
    if "event" in frame and "text" in frame:
        text = base64.b64decode(frame["text"]).decode()
        shown = raw.replace(frame["text"], text)
    elif kind == "chunk":
        text = frame["data"]["chunk"] if "data" in frame else frame["delta"]
    elif kind == "completed":
        text = frame["data"]["result"] if "data" in frame else frame["result"]
    return Heard(kind, text, shown, frame)


class Tapped(ClientConnection):
    """A socket that remembers the payloads of the pings it got."""

    pings: list[bytes]

    def process_event(self, event: Any) -> None:
        if getattr(event, "opcode", None) is Opcode.PING:
            self.pings = [*getattr(self, "pings", []), bytes(event.data)]
        super().process_event(event)


@dataclass
class Talk:
    """One user in one shape; for agui in one thread, for per_run in one conversation."""

    process: Backend
    shape: str
    user: str
    socket: Tapped | None = None
    thread: str | None = None
    close_code: int | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def open(self, path: str) -> None:
        self.stack.close()
        self.socket = self.stack.enter_context(
            self.process.open(path, additional_headers=bearer(self.user), create_connection=Tapped)
        )

    def start(
        self, prompt: str, *, reference: str | None = None, name: str | None = None, message_id: str = "m1", **ids: str
    ) -> None:
        """`name`: of the profile. `message_id`: what the client calls its request. `ids`: netra's own."""
        context = {"reference": reference} if reference else {}
        profile = {"name": name} if name else {}
        if self.shape == "netra":
            payload = {"user_request": prompt, "thread_id": self.thread, "context": context, "profile": profile, **ids}
            self.say({"type": "execute_agent", "request_id": message_id, "payload": payload})
        elif self.shape == "agui":
            entries = [{"description": key, "value": value} for key, value in {**context, **profile}.items()]
            self.say({**run_input(prompt, self.thread, message_id), "context": entries})
        else:
            context.update(profile)
            body = {"input": prompt, "context": context, "conversation": self.thread}
            status, answer, _ = self.process.http("POST", "/runs", user=self.user, body=body)
            assert status == 201
            self.thread = answer["conversation"]
            self.open(answer["socket"])

    def say(self, message: dict[str, Any]) -> None:
        assert self.socket
        self.socket.send(json.dumps(message))

    def cancel(self, run_id: str) -> None:
        if self.shape == "netra":
            self.say({"type": "stop_agent", "payload": {"run_id": run_id}})
        elif self.shape == "agui":
            self.say({"type": "CANCEL", "runId": run_id})
        else:
            assert self.process.http("DELETE", f"/runs/{run_id}", user=self.user)[0] == 204

    @property
    def run_id(self) -> str:
        """The run of a per_run socket: its path is the only place that names it."""
        assert self.socket
        assert self.socket.request
        return self.socket.request.path.rpartition("/")[2]

    def read(self, timeout_s: float = DEADLINE_S) -> Heard:
        assert self.socket
        raw = self.socket.recv(timeout=timeout_s)
        return heard(raw) if isinstance(raw, str) else Heard("binary", "", raw.decode(), json.loads(raw))

    def run(self, prompt: str, **private: Any) -> list[Heard]:
        """A run from its prompt to its end: in per_run to the close of the socket. `private`: as in `start`."""
        self.start(prompt, **private)
        return self.hear()

    def hear(self) -> list[Heard]:
        frames: list[Heard] = []
        try:
            while self.shape == "per_run" or not (frames and frames[-1].kind in ENDS and not frames[-1].nested):
                frames.append(self.read())
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else 1006
        return frames

    def more(self, timeout_s: float) -> list[Heard]:
        """What comes until nothing comes for so long, or the socket closes."""
        frames: list[Heard] = []
        try:
            while True:
                frames.append(self.read(timeout_s))
        except TimeoutError:
            return frames
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else 1006
            return frames


def run_input(prompt: str, thread_id: str | None, message_id: str = "m1") -> dict[str, Any]:
    return {
        "type": "RUN",
        "threadId": thread_id,
        "messages": [{"id": message_id, "role": "user", "content": prompt}],
        "context": [],
        "state": {},
        "tools": [],
        "forwardedProps": {},
    }


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(user)}"}


def make_thread(process: Backend, user: str) -> tuple[str, str]:
    """(thread id, socket path) of a new agui thread."""
    status, answer, _ = process.http("POST", "/agui/threads", user=user)
    assert status == 201
    return answer["threadId"], answer["socket"]


@contextmanager
def talk(process: Backend, shape: str, user: str) -> Iterator[Talk]:
    """A user who is ready to talk."""
    one = Talk(process, shape, user)
    path = "/ws"
    if shape == "agui":
        one.thread, path = make_thread(process, user)
    with one.stack:
        if shape != "per_run":
            one.open(path)
        if shape == "netra":
            assert one.read().kind == "connection_established"
        yield one


def kinds(frames: list[Heard]) -> list[str]:
    """What all shapes have: without the steps and brackets of agui, and without nested starts and ends."""
    return [one.kind for one in frames if one.kind in KINDS.values() and not one.nested]


def streamed(frames: list[Heard]) -> str:
    return "".join(one.text for one in frames if one.kind == "chunk")
