"""The `agui` dialect: AG-UI events over WebSocket; a thread is made over HTTP and has one socket, ready once open.

The server chooses the ids of threads and runs: the thread's comes with the answer to `create`, the run's with
RUN_STARTED.
AG-UI opens and closes what it says (a message, a call, a step); the frames that only do so are no events here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import orjson

from crosstalk.wire.dialect import Attempt, Belongings, Call, Dialect, Place, Turn, malformed, scalar
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS
from crosstalk.wire.surfaces import administration, by_frame, by_http, framed, messages_in, objects_in

KINDS = {
    "RUN_STARTED": Kind.STARTED,
    "REASONING_MESSAGE_CONTENT": Kind.THINKING,
    "THINKING_TEXT_MESSAGE_CONTENT": Kind.THINKING,
    "TOOL_CALL_START": Kind.TOOL_EXECUTING,
    "TOOL_CALL_ARGS": Kind.NOTICE,
    "TOOL_CALL_RESULT": Kind.TOOL_COMPLETED,
    "TEXT_MESSAGE_CONTENT": Kind.CHUNK,
    "TEXT_MESSAGE_CHUNK": Kind.CHUNK,
    "STEP_STARTED": Kind.NOTICE,
    "STATE_SNAPSHOT": Kind.NOTICE,
    "STATE_DELTA": Kind.NOTICE,
    "MESSAGES_SNAPSHOT": Kind.NOTICE,
    "ACTIVITY_SNAPSHOT": Kind.NOTICE,
    "CUSTOM": Kind.NOTICE,
    "RUN_FINISHED": Kind.COMPLETED,
    "RUN_ERROR": Kind.ERROR,
}
HANDOFF = "hand-off to "
TOO_LATE = "RUN_ENDED"


class Agui(Dialect):
    name = "agui"
    socket_per: ClassVar[Literal["user", "thread", "run"]] = "thread"
    ready_by: ClassVar[Literal["welcome", "upgrade"]] = "upgrade"
    ids_from: ClassVar[Literal["client", "server"]] = "server"
    lifecycle = FIVE_EVENTS

    def decode(self, frame: bytes) -> Iterable[Event]:
        try:
            fields = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return malformed(f"not JSON: {error}")
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            return malformed("expected a JSON object with a type")
        return [_event(fields)]

    def create(self, turn: Turn) -> Call:
        return Call("POST", "/agui/threads", {})

    def created(self, answer: Mapping[str, Any]) -> Place:
        return Place(thread_id=str(answer.get("threadId", "")), socket_path=str(answer.get("socket", "")))

    def prompt(self, turn: Turn) -> str:
        message = {"id": turn.message_id, "role": "user", "content": turn.text}
        frame = {
            "type": "RUN",
            "threadId": turn.thread_id,
            "messages": [message],
            "context": [{"description": name, "value": value} for name, value in turn.context.items()],
            "state": {},
            "tools": [],
            "forwardedProps": {"traceparent": turn.traceparent},
        }
        return orjson.dumps(frame).decode()

    def opening(self, token: str) -> Iterable[str]:
        return [orjson.dumps({"type": "authenticate", "token": token}).decode()] if token else []

    def cancel(self, run_id: str) -> str:
        return orjson.dumps({"type": "CANCEL", "runId": run_id}).decode()

    def delete_thread(self, thread_id: str) -> Call:
        return Call("DELETE", f"/agui/threads/{thread_id}")

    def list_threads(self) -> Call:
        return Call("GET", "/agui/threads?limit=1000")

    def listed(self, answer: Mapping[str, Any]) -> Iterable[str]:
        return [scalar(thread.get("threadId")) for thread in objects_in(answer, "threads")]

    def history(self, thread_id: str) -> Call:
        return Call("GET", f"/agui/threads/{thread_id}/messages?limit=1000")

    def messages(self, answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        return messages_in(answer)

    def reach(self, of: Belongings) -> Iterable[Attempt]:
        thread, run = f"/agui/threads/{of.thread_id}", f"/agui/runs/{of.run_id}"
        if of.thread_id:
            yield by_http("read", "thread", "path", "GET", thread)
            yield by_http("list", "message", "path", "GET", f"{thread}/messages")
        if of.run_id:
            yield by_http("read", "run", "path", "GET", run)
        if of.thread_id:
            said = {"messages": [{"id": "m1", "role": "user", "content": "hello"}], "threadId": of.thread_id}
            yield by_frame("continue", "thread", "frame", "RUN", said)
        if of.run_id:
            yield by_http("cancel", "run", "path", "POST", f"{run}/cancel")
            yield by_frame("cancel", "run", "frame", "CANCEL", {"runId": of.run_id})
        if of.thread_id:
            yield by_http("delete", "thread", "path", "DELETE", thread)

    def functions(self) -> Iterable[Attempt]:
        return administration("a word to all")

    def logout(self) -> Call:
        return Call("POST", "/auth/logout")

    def run_status(self, run_id: str) -> Call:
        return Call("GET", f"/agui/runs/{run_id}")

    def end_over_http(self, run_id: str, verb: Literal["stop", "cancel"]) -> Call | None:
        return Call("POST", f"/agui/runs/{run_id}/cancel") if verb == "cancel" else None

    def provoke(self, reference: str) -> Iterable[str]:
        """Each is answered by a RUN_ERROR that names the type which was refused; no run ends with it."""
        yield framed(f"NO_SUCH_TYPE_{reference}")
        yield f'{{"type": "RUN", "messages": ["{reference}"'
        yield framed("RUN", messages=[{"id": reference, "role": "user", "content": " "}])
        yield framed("RUN", messages=[], threadId=f"{reference}")
        yield framed("CANCEL", runId=reference)


def _event(fields: dict[str, Any]) -> Event:
    name = fields["type"]
    kind = KINDS.get(name, Kind.OTHER)
    agent = scalar(fields.get("stepName"))
    if name == "STEP_STARTED" and agent.startswith(HANDOFF):
        kind = Kind.HANDOFF
    metadata = fields.get("metadata")
    about: dict[str, Any] = metadata if isinstance(metadata, dict) else {}  # RUN_ERROR names its run only there
    if kind is Kind.ERROR and "refused" in about:
        # a request was refused; no run has ended, and none is refused by the answer to a cancel that crossed its end
        kind = Kind.OTHER if fields.get("code") == TOO_LATE else Kind.REFUSED
    call_id = scalar(fields.get("toolCallId"))
    return Event(
        kind,
        run_id=scalar(fields.get("runId") or about.get("runId")),
        thread_id=scalar(fields.get("threadId") or about.get("threadId")),
        agent=agent.removeprefix(HANDOFF),
        tool=scalar(fields.get("toolCallName")),
        call_id=call_id,
        text=_text(kind, fields),
        ok=not _failed(fields.get("content")) if kind is Kind.TOOL_COMPLETED else True,
        key=_key(kind, fields, call_id),
        code=scalar(fields.get("code")),
        name=name,
    )


def _text(kind: Kind, fields: dict[str, Any]) -> str:
    if kind is Kind.COMPLETED:
        result = fields.get("result")
        return result if isinstance(result, str) else ""
    return scalar(fields.get("delta") or fields.get("message"))


def _failed(content: object) -> bool:
    """A tool's result is text; by convention a JSON object with its status, or an error."""
    try:
        result = orjson.loads(content) if isinstance(content, str) else content
    except orjson.JSONDecodeError:
        return False
    return isinstance(result, dict) and (result.get("status") == "error" or bool(result.get("error")))


def _key(kind: Kind, fields: dict[str, Any], call_id: str) -> str:
    """Calls and runs have ids; deltas of a message have none, and the same piece may rightly come twice."""
    if kind in (Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED):
        return f"{kind}:{call_id}"
    if kind is Kind.STARTED:
        return f"{kind}:{scalar(fields.get('runId'))}"
    if kind is Kind.THINKING:
        return f"{kind}:{scalar(fields.get('messageId'))}:{scalar(fields.get('delta'))}"
    return ""
