"""The netra shape: one socket per user, a welcome when it is ready, ids that the client may choose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from crosstalk.backend import netra_frames as frames
from crosstalk.backend.admin import everything, users
from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.endpoint import Endpoint, Socket, token_in
from crosstalk.backend.events import Address
from crosstalk.backend.gate import Gate
from crosstalk.backend.store import Refused, Thread
from crosstalk.backend.tokens import BadToken

PATHS = ("/ws", "/api/v1/websocket")
ID_CHARS_MAX = 128
_PROMPT_KEYS = ("user_request", "content", "message", "text", "prompt", "query")


class NetraEndpoint(Endpoint):
    """Accepts first and authenticates after it: a bad token is told in a frame and closed with 1008."""

    shape = "netra"
    ready_by_upgrade = False

    def __init__(
        self, chat: Chat, gate: Gate, *, receive_timeout_s: float, ping_interval_s: float, message_bytes_max: int
    ) -> None:
        super().__init__(chat, gate, ping_interval_s=ping_interval_s, message_bytes_max=message_bytes_max)
        self._receive_timeout_s = receive_timeout_s
        self._voice = frames.NetraVoice()
        self._handlers: Mapping[str, Callable[[Socket, dict[str, Any], dict[str, Any]], None]] = {
            **dict.fromkeys(("execute_agent", "start_agent", "agent"), self._start_run),
            **dict.fromkeys(("user_message", "chat_message", "chat"), self._start_run),
            **dict.fromkeys(("stop_agent", "cancel_agent"), self._stop_run),
            "switch_thread": self._switch_thread,
            "subscribe_thread": self._subscribe_thread,
            "get_thread_history": self._show_history,
            "delete_thread": self._delete_thread,
            **dict.fromkeys(("list_threads", "get_threads"), self._list_threads),
            "get_run": self._show_run,
            "resume": self._resume,
            **dict.fromkeys(("admin_list_users", "debug_state"), self._administer),
            "authenticate": self._authenticate_again,
            "ping": lambda socket, message, _payload: socket.send(frames.pong(message)),
        }

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self.serve) for path in PATHS]

    def address(self, _request: web.Request, user_id: str) -> Address:
        return Address(self.shape, user_id)

    def refusal(self, code: str, text: str) -> bytes:
        return frames.error(code, text)

    def ready(self, socket: Socket) -> None:
        socket.send(frames.welcome(socket.user_id, socket.connection_id))
        self.chat.connections.open(socket.connection_id, socket.user_id, socket.address, socket)
        self.chat.outlets.join(socket)
        socket.heartbeat = asyncio.get_running_loop().call_later(self._receive_timeout_s, self._beat, socket)

    def left(self, socket: Socket) -> None:
        super().left(socket)
        self.chat.connections.end(socket.connection_id)
        if socket.heartbeat is not None:
            socket.heartbeat.cancel()

    def receive(self, socket: Socket, raw: bytes | None) -> bool:
        if raw is None:
            socket.send(self._error(socket, "BAD_MESSAGE", "expected a text frame"))
            return True
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            socket.send(self._error(socket, "BAD_MESSAGE", "expected JSON"))
            return True
        kind = message.get("type") if isinstance(message, dict) else None
        payload = message.get("payload", message) if isinstance(message, dict) else None
        if not isinstance(kind, str) or not isinstance(payload, dict):
            expected = "expected an object with a type and, where given, an object payload"
            socket.send(self._error(socket, "BAD_MESSAGE", expected))
            return True
        return self._dispatch(socket, kind, message, payload)

    def _dispatch(self, socket: Socket, kind: str, message: dict[str, Any], payload: dict[str, Any]) -> bool:
        handler = self._handlers.get(kind)
        if handler is None:
            socket.send(frames.ack(kind, socket.user_id, message))
            return True
        try:
            handler(socket, message, payload)
        except Refused as refusal:
            more: dict[str, Any] = {"received_type": kind}
            # A run that could not start is named, for its sender to give it up; one that has ended is not, because
            # nothing may follow its end.
            run_id = payload.get("run_id") or message.get("run_id")
            if handler == self._start_run and isinstance(run_id, str):
                more["run_id"] = run_id
            socket.send(self._error(socket, refusal.code, str(refusal), message, **more))
        except BadToken:
            socket.send(self._error(socket, "AUTH_FAILED", "authentication failed", message))
            return False
        return True

    def _error(self, socket: Socket, code: str, text: str, message: dict[str, Any] | None = None, **more: Any) -> bytes:
        return frames.error(code, self.error_text(socket.user_id, text), message, **more)

    def _start_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        prompt = next((payload[key] for key in _PROMPT_KEYS if isinstance(payload.get(key), str)), "")
        if not prompt.strip():
            raise Refused("EMPTY_MESSAGE", f"expected text in one of {', '.join(_PROMPT_KEYS)}")
        turn = Turn(
            prompt=prompt,
            thread_id=_id(message, payload, "thread_id"),
            run_id=_id(message, payload, "run_id"),
            context=_object(payload, "context"),
            profile=_object(payload, "profile"),
            slow=socket.idle_cut_s > 0,
            request_id=_text(message.get("request_id") or message.get("message_id")),
        )
        self.chat.start_run(socket.user_id, turn, address=socket.address, voice=self._voice)
        self.chat.store.note_profile(socket.user_id, turn.profile)

    def _stop_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        self.chat.stop_run(socket.user_id, _needed_id(message, payload, "run_id"))

    def _switch_thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread_id = _needed_id(message, payload, "thread_id")
        thread = self.chat.access.open_thread(socket.user_id, thread_id, "token_of_another_accepted_on_thread")
        socket.send(frames.reply("thread_updated", message, thread_id=thread.id, data={"thread": thread.described()}))

    def _subscribe_thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        """This socket gets the events of that thread too, once each, whichever socket asked for them."""
        thread = self._thread(socket, message, payload, "idor_subscribe_thread")
        self.chat.connections.follow(socket.connection_id, thread.id)
        socket.send(frames.reply("subscribed", message, thread_id=thread.id, data={"thread": thread.described()}))

    def _show_history(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread = self._thread(socket, message, payload, "idor_socket_history")
        data = {"thread": thread.described(), "messages": self.chat.access.messages(socket.user_id, thread)}
        socket.send(frames.reply("thread_data", message, thread_id=thread.id, data=data))

    def _delete_thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread = self._thread(socket, message, payload, "idor_socket_delete")
        self.chat.store.delete_thread(thread)
        socket.send(frames.reply("thread_deleted", message, thread_id=thread.id, data={}))

    def _thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any], fault: str) -> Thread:
        return self.chat.access.thread(socket.user_id, _needed_id(message, payload, "thread_id"), fault)

    def _list_threads(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        wanted = payload.get("user_id", message.get("user_id"))
        threads = [thread.described() for thread in self.chat.access.threads(socket.user_id, wanted)]
        socket.send(frames.reply("thread_list", message, thread_id=None, data={"threads": threads}))

    def _show_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        run = self.chat.access.run(socket.user_id, _needed_id(message, payload, "run_id"), "idor_socket_run")
        socket.send(frames.reply("run_data", message, thread_id=None, data={"run": run.described()}))

    def _resume(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        """What another connection of the user was to get behind its n-th event of a run, and this one has not got."""
        old_id, cursor = _needed_id(message, payload, "connection_id"), _cursor(message, payload)
        missed = self.chat.connections.missed(socket.connection_id, old_id, cursor)
        data = {"connection_id": old_id, "events": len(missed)}
        socket.send(frames.reply("resumed", message, thread_id=None, data=data))
        for frame in missed:
            socket.send(frame)

    def _administer(self, socket: Socket, message: dict[str, Any], _payload: dict[str, Any]) -> None:
        """Administration is done over HTTP, by those who have the permission: no socket is asked for it."""
        kind = message["type"]
        if not self.chat.bites_now("admin_socket_open", socket.user_id, kind):
            raise Refused("FORBIDDEN", "this is for administrators")
        data = everything(self.chat) if kind == "debug_state" else {"users": users(self.chat)}
        socket.send(frames.reply(kind, message, thread_id=None, data=data))

    def _authenticate_again(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        """A fresh token of the same user is acknowledged; any other ends the socket, so that no subscription stays."""
        user_id = self.gate.identify(token_in(payload), "authenticate")
        if user_id != socket.user_id:
            if not self.chat.bites_now("token_swap_keeps_subscription", user_id, socket.connection_id):
                raise BadToken("the token is of another user")
            self._become(socket, user_id)
        socket.send(frames.ack("authenticate", socket.user_id, message))

    def _become(self, socket: Socket, user_id: str) -> None:
        """The socket is another user's from now on; what it was told to follow, it goes on following (a fault's)."""
        self.chat.connections.follow(socket.connection_id, socket.address)
        self.chat.outlets.leave(socket)
        socket.user_id, socket.address = user_id, Address(self.shape, user_id)
        self.chat.connections.move(socket.connection_id, user_id, socket.address)
        self.chat.outlets.join(socket)

    def _beat(self, socket: Socket) -> None:
        silent_s = time.monotonic() - socket.received_s
        due_s = self._receive_timeout_s - silent_s
        # Timers are rounded to milliseconds: one that comes a trifle early is on time.
        if due_s <= 0.002:
            socket.send(frames.heartbeat(socket.connection_id))
            due_s = self._receive_timeout_s
        socket.heartbeat = asyncio.get_running_loop().call_later(due_s, self._beat, socket)


def _id(message: dict[str, Any], payload: dict[str, Any], key: str) -> str | None:
    """An id of the payload, or of the frame around it; None where neither has one."""
    value = payload.get(key) or message.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > ID_CHARS_MAX:
        raise Refused("INVALID_ID", f"{key} must be a string of at most {ID_CHARS_MAX} characters")
    return value


def _needed_id(message: dict[str, Any], payload: dict[str, Any], key: str) -> str:
    value = _id(message, payload, key)
    if value is None:
        raise Refused("INVALID_ID", f"{key} is missing")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _cursor(message: dict[str, Any], payload: dict[str, Any]) -> int:
    value = payload.get("last_event", message.get("last_event", 0))
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused("INVALID_CURSOR", "last_event must be the number of events that were received")
    return value


def _object(payload: dict[str, Any], key: str) -> dict[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}
