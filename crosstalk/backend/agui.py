"""The agui shape: AG-UI over WebSocket. A thread is made over HTTP and has one socket, ready once it is open."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from crosstalk.backend import agui_frames as frames
from crosstalk.backend.bodies import answer, page_of, read_body
from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.endpoint import Endpoint, Socket
from crosstalk.backend.events import Address
from crosstalk.backend.gate import Gate
from crosstalk.backend.limits import Limits
from crosstalk.backend.store import Refused, Thread

PATH = "/agui/threads"


class AguiEndpoint(Endpoint):
    """One run at a time in a thread. The server chooses the ids of threads, runs, messages and calls."""

    shape = "agui"

    def __init__(self, chat: Chat, gate: Gate, *, limits: Limits) -> None:
        super().__init__(chat, gate, limits=limits)
        self._sockets: dict[str, Socket] = {}
        self._runs: dict[str, str] = {}
        self._handlers: Mapping[str, Callable[[Socket, dict[str, Any]], None]] = {
            "RUN": self._start_run,
            "CANCEL": self._cancel,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.make_thread),
            web.get(PATH, self.list_threads),
            web.get(f"{PATH}/{{id}}", self.show_thread),
            web.delete(f"{PATH}/{{id}}", self.delete_thread),
            web.get(f"{PATH}/{{id}}/messages", self.list_messages),
            web.get(f"{PATH}/{{id}}/ws", self.serve),
            web.get("/agui/runs/{id}", self.show_run),
            web.post("/agui/runs/{id}/cancel", self.cancel_run),
        ]

    async def make_thread(self, request: web.Request) -> web.Response:
        user_id = self.gate.user_of(request, as_socket=True)
        title = (await read_body(request, needed=False)).get("title", "")
        if not isinstance(title, str):
            raise web.HTTPUnprocessableEntity(text="title must be a string")
        thread = self.chat.store.open_thread(user_id, str(uuid.uuid4()), title=title)
        return answer({"threadId": thread.id, "socket": f"{PATH}/{thread.id}/ws"}, status=201)

    async def list_threads(self, request: web.Request) -> web.Response:
        threads = self.chat.access.threads(self.gate.user_of(request, as_socket=True))
        limit, offset = page_of(request)
        shown = [_described(thread) for thread in threads[offset : offset + limit]]
        return answer({"threads": shown, "total": len(threads)})

    async def show_thread(self, request: web.Request) -> web.Response:
        return answer(_described(self._thread(request, "idor_read_thread")))

    async def show_run(self, request: web.Request) -> web.Response:
        user_id = self.gate.user_of(request, as_socket=True)
        run = self.chat.access.run(user_id, request.match_info["id"], "idor_read_run")
        said = self.chat.described(user_id, run)
        return answer({"runId": run.id, "threadId": run.thread_id, "status": said["status"], "result": said["answer"]})

    async def cancel_run(self, request: web.Request) -> web.Response:
        user_id, run_id = self.gate.user_of(request, as_socket=True), request.match_info["id"]
        self.chat.stop_run(user_id, run_id, "idor_cancel_run")
        return answer({"runId": run_id, "status": "cancelled"})

    async def delete_thread(self, request: web.Request) -> web.Response:
        thread = self._thread(request, "idor_delete_thread")
        thread_id = thread.id
        self.chat.access.delete(thread)
        if thread_id in self._sockets:
            self._sockets[thread_id].close(1000, b"the thread was deleted")
        return web.Response(status=204)

    async def list_messages(self, request: web.Request) -> web.Response:
        thread = self._thread(request, "idor_read_messages")
        limit, offset = page_of(request)
        stored = self.chat.access.messages(self.gate.user_of(request, as_socket=True), thread)
        messages = [
            {key: message[key] for key in ("id", "role", "content")} | {"metadata": {"runId": message["run_id"]}}
            for message in stored[offset : offset + limit]
        ]
        return answer({"threadId": thread.id, "messages": messages, "total": len(stored)})

    def _thread(self, request: web.Request, fault: str) -> Thread:
        return self.chat.access.thread(self.gate.user_of(request, as_socket=True), request.match_info["id"], fault)

    def address(self, request: web.Request, user_id: str) -> Address:
        thread_id = request.match_info["id"]
        thread = self.chat.access.thread(user_id, thread_id, "token_of_another_accepted_on_thread")
        return Address(self.shape, thread.id)

    def refusal(self, code: str, text: str) -> bytes:
        return frames.refusal(code, text)

    def ready(self, socket: Socket) -> None:
        """A thread has one socket: a newer one takes the place of an older one, which may be dead and not know it."""
        older = self._sockets.get(socket.address.id)
        self._sockets[socket.address.id] = socket
        if older is not None:
            self.chat.outlets.leave(older)
            older.close(1001, b"another socket has taken over this thread")
        self.chat.outlets.join(socket)

    def left(self, socket: Socket) -> None:
        super().left(socket)
        if self._sockets.get(socket.address.id) is socket:
            del self._sockets[socket.address.id]

    def receive(self, socket: Socket, raw: bytes | None) -> bool:
        try:
            message = orjson.loads(raw or b"")
        except orjson.JSONDecodeError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if not isinstance(kind, str):
            expected = "expected a text frame with a JSON object that has a type"
            socket.send(frames.refusal("BAD_MESSAGE", self.error_text(socket.user_id, expected), ""))
            return True
        try:
            if kind not in self._handlers:
                raise Refused("UNKNOWN_TYPE", f"expected a type of {', '.join(self._handlers)}")
            self._handlers[kind](socket, message)
        except Refused as refusal:
            socket.send(frames.refusal(refusal.code, self.error_text(socket.user_id, str(refusal)), kind))
        return True

    def _start_run(self, socket: Socket, message: dict[str, Any]) -> None:
        thread_id = socket.address.id
        named = message.get("threadId", thread_id)
        if not isinstance(named, str):
            raise Refused("INVALID_ID", "threadId must be a string")
        thread = self.chat.access.thread(socket.user_id, named, "idor_continue_thread")
        if named != thread_id and thread.owner == socket.user_id:
            raise Refused("WRONG_THREAD", "this socket is of another thread of yours")
        if self.chat.is_running(socket.user_id, self._runs.get(thread_id, "")):
            raise Refused("RUN_IN_PROGRESS", "a run of this thread is in progress")
        prompt = _last_words(message.get("messages"))
        if not prompt.strip():
            raise Refused("EMPTY_MESSAGE", "expected messages, the last of role user with text as its content")
        context = _context(message.get("context"))
        run_id = str(uuid.uuid4())
        turn = Turn(
            prompt,
            named,
            run_id,
            context,
            context,
            slow=socket.idle_cut_s > 0,
            thread=thread,
            request_id=_id_of_last(message["messages"]),
        )
        self.chat.start_run(
            socket.user_id,
            turn,
            address=socket.address,
            voice=frames.AguiVoice(),
            done=lambda: self._forget_run(thread_id, run_id),
        )
        self._runs[thread_id] = run_id

    def _forget_run(self, thread_id: str, run_id: str) -> None:
        if self._runs.get(thread_id) == run_id:
            del self._runs[thread_id]

    def _cancel(self, socket: Socket, message: dict[str, Any]) -> None:
        run_id = message.get("runId")
        if not isinstance(run_id, str):
            raise Refused("INVALID_ID", "runId is missing")
        self.chat.stop_run(socket.user_id, run_id)


def _described(thread: Thread) -> dict[str, Any]:
    said = thread.described()
    return {"threadId": thread.id, "title": said["title"], "messageCount": said["message_count"]}


def _last_words(messages: Any) -> str:
    """The text of the last message where a user speaks, "" for anything else. Content is text or a list of parts."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return ""
    content = last.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _id_of_last(messages: list[dict[str, Any]]) -> str:
    """What the client calls the message that is answered, "" where it does not."""
    message_id = messages[-1].get("id")
    return message_id if isinstance(message_id, str) else ""


def _context(entries: Any) -> dict[str, str]:
    """Descriptions and values: the private "reference", and the "name" to be greeted by."""
    if not isinstance(entries, list):
        return {}
    return {
        entry["description"]: entry["value"]
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("description"), str) and isinstance(entry.get("value"), str)
    }
