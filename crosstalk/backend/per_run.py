"""The per_run shape: a run is made over HTTP and has a socket of its own, which starts it and ends with it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

from aiohttp import web

from crosstalk.backend import per_run_frames as frames
from crosstalk.backend.bodies import answer, object_of, page_of, read_body, text_of
from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.endpoint import Endpoint, Socket
from crosstalk.backend.events import Address
from crosstalk.backend.gate import Gate
from crosstalk.backend.limits import Limits
from crosstalk.backend.store import Refused

# Runs that were made and have no socket yet: beyond this the oldest is forgotten.
WAITING_MAX = 10_000


class PerRunEndpoint(Endpoint):
    """Frames name no run: the socket does. The server chooses the ids of runs and conversations."""

    shape = "per_run"

    def __init__(self, chat: Chat, gate: Gate, *, limits: Limits) -> None:
        super().__init__(chat, gate, limits=limits)
        self._waiting: dict[str, tuple[str, Turn]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/runs", self.make_run),
            web.get("/runs/{id}", self.show_run),
            web.delete("/runs/{id}", self.delete_run),
            web.get("/ws/runs/{id}", self.serve),
            web.get("/conversations", self.list_conversations),
            web.get("/conversations/{id}", self.show_conversation),
            web.delete("/conversations/{id}", self.delete_conversation),
        ]

    async def make_run(self, request: web.Request) -> web.Response:
        user_id = self.gate.user_of(request, as_socket=True)
        body = await read_body(request)
        prompt, context = text_of(body, "input"), object_of(body, "context")
        if not prompt.strip():
            raise web.HTTPUnprocessableEntity(text="input must be text")
        if body.get("conversation") is None:
            thread = self.chat.store.open_thread(user_id, str(uuid.uuid4()), title=prompt[:60])
        else:
            thread = self.chat.access.thread(user_id, text_of(body, "conversation"), "idor_continue_thread")
        run_id = str(uuid.uuid4())
        if len(self._waiting) >= WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[run_id] = (user_id, Turn(prompt, thread.id, run_id, context, context, thread=thread))
        return answer({"run": run_id, "conversation": thread.id, "socket": f"/ws/runs/{run_id}"}, status=201)

    async def delete_run(self, request: web.Request) -> web.Response:
        """Cancels a run; one whose socket never came is forgotten."""
        user_id, run_id = self.gate.user_of(request, as_socket=True), request.match_info["id"]
        if self._owner_of_waiting(run_id) == user_id:
            del self._waiting[run_id]
        else:
            self.chat.stop_run(user_id, run_id, "idor_cancel_run")
        return web.Response(status=204)

    async def show_run(self, request: web.Request) -> web.Response:
        user_id, run_id = self.gate.user_of(request, as_socket=True), request.match_info["id"]
        if self._owner_of_waiting(run_id) == user_id:
            return answer({"run": run_id, "conversation": self._waiting[run_id][1].thread_id, "status": "waiting"})
        run = self.chat.access.run(user_id, run_id, "idor_read_run")
        said = self.chat.described(user_id, run)
        shown = {"status": said["status"], "output": said["answer"]}
        return answer({"run": run.id, "conversation": run.thread_id, **shown})

    async def list_conversations(self, request: web.Request) -> web.Response:
        threads = self.chat.access.threads(self.gate.user_of(request, as_socket=True))
        limit, offset = page_of(request)
        shown = [{"conversation": thread.id, "title": thread.title} for thread in threads[offset : offset + limit]]
        return answer({"conversations": shown, "total": len(threads)})

    async def show_conversation(self, request: web.Request) -> web.Response:
        """With its messages."""
        user_id = self.gate.user_of(request, as_socket=True)
        thread = self.chat.access.thread(user_id, request.match_info["id"], "idor_read_messages")
        limit, offset = page_of(request)
        stored = self.chat.access.messages(user_id, thread)
        messages = [{key: one[key] for key in ("id", "role", "content")} for one in stored[offset : offset + limit]]
        return answer({"conversation": thread.id, "title": thread.title, "messages": messages, "total": len(stored)})

    async def delete_conversation(self, request: web.Request) -> web.Response:
        user_id = self.gate.user_of(request, as_socket=True)
        self.chat.access.delete(self.chat.access.thread(user_id, request.match_info["id"], "idor_delete_thread"))
        return web.Response(status=204)

    def address(self, request: web.Request, user_id: str) -> Address:
        run_id = request.match_info["id"]
        owner = self._owner_of_waiting(run_id)
        if owner is None:
            self.chat.store.run(user_id, run_id)
            raise Refused("RUN_TAKEN", "this run has had its socket")
        if owner != user_id and not self.chat.bites_now("token_of_another_accepted_on_thread", user_id, run_id):
            raise Refused("NOT_FOUND", "there is no such run")
        return Address(self.shape, run_id)

    def refusal(self, code: str, text: str) -> bytes:
        return frames.refusal(code, text)

    def ready(self, socket: Socket) -> None:
        owner, turn = self._waiting.pop(socket.address.id, ("", None))
        if turn is None:
            socket.close(1008, b"this run has had its socket")
            return
        if socket.late_s:
            asyncio.get_running_loop().call_later(socket.late_s, self._join, socket)
        else:
            self._join(socket)
        turn = replace(turn, slow=socket.idle_cut_s > 0)
        try:
            self.chat.start_run(
                owner,
                turn,
                address=socket.address,
                voice=frames.PerRunVoice(),
                done=lambda: socket.close(1000, b"the run has ended"),
            )
        except Refused as refusal:
            socket.send(self.refusal(refusal.code, str(refusal)))
            socket.close(1008, str(refusal).encode())

    def left(self, socket: Socket) -> None:
        """Nobody else hears this run, so it ends with its socket."""
        super().left(socket)
        if self.chat.is_running(socket.user_id, socket.address.id):
            self.chat.stop_run(socket.user_id, socket.address.id)

    def receive(self, _socket: Socket, _raw: bytes | None) -> bool:
        """There is nothing to say on this socket."""
        return True

    def _join(self, socket: Socket) -> None:
        if socket.alive:
            self.chat.outlets.join(socket)

    def _owner_of_waiting(self, run_id: str) -> str | None:
        """Whose run that is, if it was made and has had no socket yet."""
        return self._waiting[run_id][0] if run_id in self._waiting else None
