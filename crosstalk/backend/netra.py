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
from crosstalk.backend.envelopes import ENVELOPES, MAIN
from crosstalk.backend.events import Address
from crosstalk.backend.feedback import Feedback
from crosstalk.backend.gate import Gate
from crosstalk.backend.limits import RATE_FRAME, Limits
from crosstalk.backend.outgoing import LABEL_FAULTS, Outgoing
from crosstalk.backend.plan import SUPERVISOR
from crosstalk.backend.store import Refused, Thread
from crosstalk.backend.tokens import BadToken

PATHS = ("/ws", "/api/v1/websocket")
ID_CHARS_MAX = 128
# With pong_missing so many pings of a socket are answered.
PONGS_SURE = 3
HANG_UP_CODES = (1000, 1001, 1003, 1008, 1011, 1012, 1013, 1006, 0)
_PROMPT_KEYS = ("user_request", "content", "message", "text", "prompt", "query")


class NetraEndpoint(Endpoint):
    """Accepts first and authenticates after it: a bad token is told in a frame and closed with 1008."""

    shape = "netra"
    ready_by_upgrade = False
    is_capped = True

    def __init__(self, chat: Chat, gate: Gate, *, limits: Limits, feedback: Feedback) -> None:
        super().__init__(chat, gate, limits=limits)
        self._feedback = feedback
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
            "ping": self._pong,
            RATE_FRAME: self._take_feedback,
            "hang_up": self._hang_up,
        }

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self.serve) for path in PATHS]

    def address(self, _request: web.Request, user_id: str) -> Address:
        return Address(self.shape, user_id)

    def refusal(self, code: str, text: str) -> bytes:
        return frames.error(code, text)

    def ready(self, socket: Socket) -> None:
        described = self.limits.described(socket.keepalive)
        socket.send(frames.welcome(socket.user_id, socket.connection_id, described, envelope=self._pack(socket)))
        self.chat.connections.open(socket.connection_id, socket.user_id, socket.address, socket)
        self.chat.outlets.join(socket)
        socket.heartbeat = asyncio.get_running_loop().call_later(socket.keepalive.heartbeat_s, self._beat, socket)

    def _pack(self, socket: Socket) -> str:
        """Do what the query of its path asks for: `envelope`, `retries` (1), `send_buffer` (bytes). The envelope of it.

        A small send buffer is what a slow line looks like from here: it is full as soon as its client stops reading.
        """
        wanted = socket.asked.get("envelope", MAIN)
        envelope = wanted if wanted in ENVELOPES else MAIN
        if envelope != MAIN or LABEL_FAULTS & self.chat.faults_wanted:
            socket.outgoing = Outgoing(
                envelope,
                retries=socket.asked.get("retries") == "1",
                write=socket.queue.put,
                bites=lambda name, run_id: self.chat.bites(name, socket.user_id, run_id),
                name=socket.connection_id,
            )
        room = socket.asked.get("send_buffer", "")
        if room.isdecimal() and len(room) < 9:
            socket.make_room(int(room))
        return envelope

    def left(self, socket: Socket) -> None:
        super().left(socket)
        self.chat.connections.end(socket.connection_id)
        if self.chat.bites_now("message_lost_after_reconnect", socket.user_id, socket.connection_id):
            self.chat.store.lose_newest_message(socket.user_id)
        if socket.heartbeat is not None:
            socket.heartbeat.cancel()

    def receive(self, socket: Socket, raw: bytes | None) -> bool:
        if raw is None:
            return self._makes_no_sense(socket, "expected a text frame")
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return self._makes_no_sense(socket, "expected JSON")
        kind = message.get("type") if isinstance(message, dict) else None
        payload = message.get("payload", message) if isinstance(message, dict) else None
        if not isinstance(kind, str) or not isinstance(payload, dict):
            return self._makes_no_sense(socket, "expected an object with a type and, where given, an object payload")
        return self._dispatch(socket, kind, message, payload)

    def _makes_no_sense(self, socket: Socket, expected: str) -> bool:
        if self.chat.bites("malformed_kills_socket", socket.user_id, socket.connection_id):
            socket.close(1003, b"bad message")
        else:
            socket.send(self._error(socket, "BAD_MESSAGE", expected))
        return True

    def _dispatch(self, socket: Socket, kind: str, message: dict[str, Any], payload: dict[str, Any]) -> bool:
        handler = self._handlers.get(kind)
        if handler is None:
            if kind != "who_am_i" and self.chat.bites("unknown_type_1011", socket.user_id, socket.connection_id):
                socket.close(1011, b"internal error")
                return True
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

    def _pong(self, socket: Socket, message: dict[str, Any], _payload: dict[str, Any]) -> None:
        socket.pings_heard += 1
        if socket.pings_heard <= PONGS_SURE or not self.chat.bites(
            "pong_missing", socket.user_id, socket.connection_id
        ):
            socket.send(frames.pong(message))

    def _take_feedback(self, socket: Socket, message: dict[str, Any], _payload: dict[str, Any]) -> None:
        refused = self._feedback.said(socket.user_id)
        if refused is None:
            socket.send(frames.ack(RATE_FRAME, socket.user_id, message))
        elif self._feedback.breaks(socket.user_id, RATE_FRAME):
            socket.close(1011, b"internal error")
        else:
            socket.send(self._error(socket, "RATE_LIMITED", "too many requests", message, **refused))

    def _hang_up(self, socket: Socket, _message: dict[str, Any], payload: dict[str, Any]) -> None:
        """The client wants this socket closed with a code; 1006: dropped without a word; 0: reset."""
        code = payload.get("code")
        if code not in HANG_UP_CODES:
            raise Refused("INVALID_CODE", f"code must be one of {', '.join(map(str, HANG_UP_CODES))}")
        if self.chat.bites("close_code_hidden", socket.user_id, socket.connection_id):
            code = 1000
        if code in (0, 1006):
            socket.drop(reset=code == 0)
        else:
            socket.close(code, b"as you wish")

    def _start_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        prompt = next((payload[key] for key in _PROMPT_KEYS if isinstance(payload.get(key), str)), "")
        if not prompt.strip():
            raise Refused("EMPTY_MESSAGE", f"expected text in one of {', '.join(_PROMPT_KEYS)}")
        turn = Turn(
            prompt=prompt,
            thread_id=_id(message, payload, "thread_id") or self._current_thread(socket),
            run_id=_id(message, payload, "run_id"),
            context=_object(payload, "context"),
            profile=_object(payload, "profile"),
            slow=socket.idle_cut_s > 0,
            request_id=_text(message.get("request_id") or message.get("message_id")),
            agent=_text(payload.get("agent_type")) or SUPERVISOR,
        )
        self.chat.start_run(socket.user_id, turn, address=socket.address, voice=self._voice)
        self.chat.store.note_profile(socket.user_id, turn.profile)

    def _current_thread(self, socket: Socket) -> str | None:
        """Where a prompt goes that names no thread: to the one that was switched to, while it is there."""
        if socket.thread_id is not None and self.chat.store.find_thread(socket.thread_id) is None:
            socket.thread_id = None
        return socket.thread_id

    def _stop_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        self.chat.stop_run(socket.user_id, _needed_id(message, payload, "run_id"))

    def _switch_thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread_id = _needed_id(message, payload, "thread_id")
        thread = self.chat.access.open_thread(socket.user_id, thread_id, "token_of_another_accepted_on_thread")
        if socket.thread_id is None or not self.chat.bites_now("switch_ignored", socket.user_id, thread_id):
            socket.thread_id = thread.id
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
        self.chat.access.delete(thread)
        socket.send(frames.reply("thread_deleted", message, thread_id=thread.id, data={}))

    def _thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any], fault: str) -> Thread:
        return self.chat.access.thread(socket.user_id, _needed_id(message, payload, "thread_id"), fault)

    def _list_threads(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        wanted = payload.get("user_id", message.get("user_id"))
        threads = [thread.described() for thread in self.chat.access.threads(socket.user_id, wanted)]
        socket.send(frames.reply("thread_list", message, thread_id=None, data={"threads": threads}))

    def _show_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        run = self.chat.access.run(socket.user_id, _needed_id(message, payload, "run_id"), "idor_socket_run")
        socket.send(
            frames.reply("run_data", message, thread_id=None, data={"run": self.chat.described(socket.user_id, run)})
        )

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
        if socket.expiry is not None:
            socket.expiry.shown(token_in(payload))
        if self.chat.bites_now("refresh_drops_run", user_id, socket.connection_id):
            self.chat.drop_runs_of(user_id)
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
        heartbeat_s = socket.keepalive.heartbeat_s
        due_s = heartbeat_s - silent_s
        # Timers are rounded to milliseconds: one that comes a trifle early is on time.
        if due_s <= 0.002:
            if not self.chat.bites("heartbeat_missing", socket.user_id, socket.connection_id):
                socket.send(frames.heartbeat(socket.connection_id))
            due_s = heartbeat_s
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
