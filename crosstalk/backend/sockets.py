"""The WebSocket endpoint: accept, authenticate, welcome, then read messages and hand them to the chat service."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from crosstalk.backend import frames
from crosstalk.backend.chat import Chat, Turn
from crosstalk.backend.store import Refused
from crosstalk.backend.tokens import BadToken, TokenService, bearer_token, subprotocol_token

PATHS = ("/ws", "/api/v1/websocket")
DEMO_USER = "demo-user-001"
FIRST_MESSAGE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
LOST_BEFORE_READY_S = 0.3
ID_CHARS_MAX = 128
# A client that reads nothing is cut off here, not allowed to fill the memory.
UNSENT_BYTES_MAX = 8 << 20
_PROMPT_KEYS = ("user_request", "content", "message", "text", "prompt", "query")
_log = logging.getLogger("crosstalk.backend")

WebSocket = web.WebSocketResponse[bool]


class Socket:
    """A client's connection after authentication."""

    def __init__(self, ws: WebSocket, transport: asyncio.Transport, user_id: str, connection_id: str) -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.received_s = time.monotonic()
        self.heartbeat: asyncio.TimerHandle | None = None
        self._ws = ws
        self._transport = transport

    def send(self, frame: bytes) -> None:
        """Write at once, without a task: with neither compression nor a writer limit the coroutine never waits."""
        if self._ws.closed or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            _log.warning("socket %s reads too slowly, cut off", self.connection_id)
            self._transport.abort()
            return
        try:
            self._ws.send_frame(frame, WSMsgType.TEXT).send(None)
        except StopIteration:
            return
        except ConnectionError:
            return
        raise RuntimeError("the write had to wait")


class SocketEndpoint:
    """Serves the socket paths and keeps all open ones, to close them when the server goes."""

    def __init__(
        self,
        chat: Chat,
        tokens: TokenService,
        *,
        receive_timeout_s: float,
        ping_interval_s: float,
        message_bytes_max: int,
    ) -> None:
        self._chat = chat
        self._tokens = tokens
        self._receive_timeout_s = receive_timeout_s
        self._ping_interval_s = ping_interval_s
        self._message_bytes_max = message_bytes_max
        self._open: set[WebSocket] = set()
        self._count = 0
        self._handlers: Mapping[str, Callable[[Socket, dict[str, Any], dict[str, Any]], None]] = {
            **dict.fromkeys(("execute_agent", "start_agent", "agent"), self._start_run),
            **dict.fromkeys(("user_message", "chat_message", "chat"), self._start_run),
            **dict.fromkeys(("stop_agent", "cancel_agent"), self._stop_run),
            "switch_thread": self._switch_thread,
            "get_thread_history": self._show_history,
            **dict.fromkeys(("list_threads", "get_threads"), self._list_threads),
            "authenticate": self._authenticate_again,
            "ping": lambda socket, message, _payload: socket.send(frames.pong(message)),
        }

    async def serve(self, request: web.Request) -> WebSocket:
        offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        offered = [item for item in offered if item]
        item, carried = subprotocol_token(offered)
        ws = WebSocket(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=self._ping_interval_s or None,
            protocols=[item] if item else offered[:1],
            compress=False,
            max_msg_size=self._message_bytes_max,
            writer_limit=1 << 62,
            decode_text=False,
        )
        await ws.prepare(request)
        self._open.add(ws)
        try:
            await self._converse(request, ws, carried)
        except Exception:
            _log.exception("internal error on a socket")
            await ws.close(code=1011, message=b"internal error")
        finally:
            self._open.discard(ws)
        return ws

    async def close_all(self) -> None:
        """1001 to everybody."""
        await asyncio.gather(*(ws.close(code=1001, message=b"going away") for ws in list(self._open)))

    async def _converse(self, request: web.Request, ws: WebSocket, carried: str | None) -> None:
        token = bearer_token(request.headers.get("Authorization"))
        token = carried if token is None else token
        token = request.query.get("token") if token is None else token
        if token is None:
            token = await self._token_of_first_message(ws)
        try:
            identity = self._tokens.verify(token)
        except BadToken as error:
            if not ws.closed:
                _log.info("socket refused: %s", error)
                await ws.send_str(frames.error("AUTH_FAILED", "authentication failed").decode())
                await ws.close(code=1008, message=b"authentication failed")
            return
        transport = request.transport
        if transport is None:
            return
        self._count += 1
        # Counted, then spread over 32 bits by an odd factor: no two sockets of one process share an id.
        connection_id = f"main_{self._count * 0x9E3779B1 % (1 << 32):08x}"
        demo = self._chat.bites("demo_user", identity.user_id, connection_id)
        socket = Socket(ws, transport, DEMO_USER if demo else identity.user_id, connection_id)
        socket.send(frames.welcome(socket.user_id, connection_id))
        self._chat.join(socket)
        socket.heartbeat = asyncio.get_running_loop().call_later(self._receive_timeout_s, self._beat, socket)
        try:
            await self._listen(ws, socket)
        finally:
            socket.heartbeat.cancel()
            self._chat.leave(socket)

    async def _token_of_first_message(self, ws: WebSocket) -> str:
        """The token of a first message ``{"type": "authenticate", "token": …}``, "" where anything else comes."""
        try:
            received = await ws.receive(timeout=FIRST_MESSAGE_TIMEOUT_S)
            message = orjson.loads(received.data) if received.type is WSMsgType.TEXT else None
        except (TimeoutError, orjson.JSONDecodeError):
            return ""
        if not isinstance(message, dict) or message.get("type") != "authenticate":
            return ""
        return _token_in(message)

    async def _listen(self, ws: WebSocket, socket: Socket) -> None:
        ready_s = 0.0
        if self._chat.bites("lost_before_ready", socket.user_id, socket.connection_id):
            ready_s = time.monotonic() + LOST_BEFORE_READY_S
        first = True
        while True:
            received = await ws.receive()
            socket.received_s = time.monotonic()
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if first and self._chat.bites("close_1011", socket.user_id, socket.connection_id):
                await ws.close(code=1011, message=b"internal error")
                return
            first = False
            if socket.received_s < ready_s:
                continue
            if received.type is WSMsgType.BINARY:
                socket.send(frames.error("BAD_MESSAGE", "expected a text frame"))
            elif not self._dispatch(socket, received.data):
                await ws.close(code=1008, message=b"authentication failed")
                return

    def _dispatch(self, socket: Socket, raw: bytes | str) -> bool:
        """Act on one message. False where the socket must be closed for it."""
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            socket.send(frames.error("BAD_MESSAGE", "expected JSON"))
            return True
        kind = message.get("type") if isinstance(message, dict) else None
        payload = message.get("payload", message) if isinstance(message, dict) else None
        if not isinstance(kind, str) or not isinstance(payload, dict):
            socket.send(
                frames.error("BAD_MESSAGE", "expected an object with a type and, where given, an object payload")
            )
            return True
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
            socket.send(frames.error(refusal.code, str(refusal), message, **more))
        except BadToken:
            socket.send(frames.error("AUTH_FAILED", "authentication failed", message))
            return False
        return True

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
        )
        self._chat.start_run(socket.user_id, turn)

    def _stop_run(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        self._chat.stop_run(socket.user_id, _needed_id(message, payload, "run_id"))

    def _switch_thread(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread = self._chat.store.open_thread(socket.user_id, _needed_id(message, payload, "thread_id"))
        socket.send(frames.reply("thread_updated", message, thread_id=thread.id, data={"thread": thread.described()}))

    def _show_history(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        thread = self._chat.store.thread(socket.user_id, _needed_id(message, payload, "thread_id"))
        data = {"thread": thread.described(), "messages": list(thread.messages)}
        socket.send(frames.reply("thread_data", message, thread_id=thread.id, data=data))

    def _list_threads(self, socket: Socket, message: dict[str, Any], _payload: dict[str, Any]) -> None:
        threads = [thread.described() for thread in self._chat.store.threads_of(socket.user_id)]
        socket.send(frames.reply("thread_list", message, thread_id=None, data={"threads": threads}))

    def _authenticate_again(self, socket: Socket, message: dict[str, Any], payload: dict[str, Any]) -> None:
        """A fresh token of the same user is acknowledged; any other ends the socket, so that no subscription stays."""
        if self._tokens.verify(_token_in(payload)).user_id != socket.user_id:
            raise BadToken("the token is of another user")
        socket.send(frames.ack("authenticate", socket.user_id, message))

    def _beat(self, socket: Socket) -> None:
        silent_s = time.monotonic() - socket.received_s
        due_s = self._receive_timeout_s - silent_s
        # Timers are rounded to milliseconds: one that comes a trifle early is on time.
        if due_s <= 0.002:
            socket.send(frames.heartbeat(socket.connection_id))
            due_s = self._receive_timeout_s
        socket.heartbeat = asyncio.get_running_loop().call_later(due_s, self._beat, socket)


def _token_in(fields: dict[str, Any]) -> str:
    token = fields.get("token")
    return token if isinstance(token, str) else ""


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


def _object(payload: dict[str, Any], key: str) -> dict[str, Any]:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}
