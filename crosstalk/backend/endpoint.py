"""What the sockets of all shapes have in common: upgrade, authentication, listening, closing.

A shape is a subclass: it says who may come in, what happens when a socket is ready, and what a message means.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import orjson
from aiohttp import WSMsgType, web

from crosstalk.backend.chat import IDLE_CUT_S, Chat
from crosstalk.backend.events import Address, Binary, Ping
from crosstalk.backend.gate import Carried, Gate
from crosstalk.backend.store import Refused
from crosstalk.backend.tokens import BadToken

FIRST_MESSAGE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
LOST_BEFORE_READY_S = 0.3
# A client that reads nothing is cut off here, not allowed to fill the memory.
UNSENT_BYTES_MAX = 8 << 20
# What the validator of id_refused does not know: the shape of minted accounts.
_REFUSED_ID = re.compile(r"[a-z][a-z0-9]{2}\d{5}")
_OPCODES = {Binary: WSMsgType.BINARY, Ping: WSMsgType.PING}
_log = logging.getLogger("crosstalk.backend")

WebSocket = web.WebSocketResponse[bool]


class Socket:
    """A client's connection after authentication. Its faults are decided once, before its first message."""

    def __init__(
        self, ws: WebSocket, transport: asyncio.Transport, user_id: str, connection_id: str, address: Address
    ) -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.address = address
        self.received_s = time.monotonic()
        self.heartbeat: asyncio.TimerHandle | None = None
        self.patience: asyncio.Timeout | None = None
        self.farewell: tuple[int, bytes] | None = None
        self.late_s = 0.0
        self.idle_cut_s = 0.0
        self._ws = ws
        self._transport = transport

    @property
    def alive(self) -> bool:
        return not self._ws.closed and not self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Write at once, without a task: with neither compression nor a writer limit the coroutine never waits."""
        if not self.alive:
            return
        if self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            _log.warning("socket %s reads too slowly, cut off", self.connection_id)
            self._transport.abort()
            return
        try:
            self._ws.send_frame(bytes(frame), _OPCODES.get(type(frame), WSMsgType.TEXT)).send(None)
        except StopIteration:
            return
        except ConnectionError:
            return
        raise RuntimeError("the write had to wait")

    def close(self, code: int, reason: bytes = b"") -> None:
        """Make its listener close it, so that what was sent before still arrives."""
        if self.farewell is None:
            self.farewell = (code, reason)
            self._wait(0.0)

    def heard(self) -> None:
        """A message came: silence begins anew."""
        self.received_s = time.monotonic()
        if self.idle_cut_s and self.farewell is None:
            self._wait(self.idle_cut_s)

    def _wait(self, seconds: float) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(asyncio.get_running_loop().time() + seconds)


class Endpoint(ABC):
    """Serves the sockets of one shape and keeps all open ones, to close them when the server goes."""

    shape: ClassVar[str]
    #: the upgrade itself says ready, so what is refused is refused before it, by an HTTP status
    ready_by_upgrade: ClassVar[bool] = True

    def __init__(self, chat: Chat, gate: Gate, *, ping_interval_s: float, message_bytes_max: int) -> None:
        self.chat = chat
        self.gate = gate
        self._ping_interval_s = ping_interval_s
        self._message_bytes_max = message_bytes_max
        self._open: set[WebSocket] = set()

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """The socket paths, served by `serve`, and the HTTP beside them."""

    @abstractmethod
    def address(self, request: web.Request, user_id: str) -> Address:
        """Where a socket of this user is to hear from; Refused where it may not."""

    @abstractmethod
    def refusal(self, code: str, text: str) -> bytes:
        """The frame that says why a socket is about to be closed."""

    @abstractmethod
    def ready(self, socket: Socket) -> None:
        """The socket is authenticated: it joins the outlets here."""

    @abstractmethod
    def receive(self, socket: Socket, raw: bytes | None) -> bool:
        """Act on one message, None for a binary one. False where the socket must be closed for it."""

    def left(self, socket: Socket) -> None:
        """The socket is gone."""
        self.chat.outlets.leave(socket)

    async def serve(self, request: web.Request) -> WebSocket:
        carried = self.gate.carried(request)
        if self.chat.bites("wrong_path", carried.claimed, request.path):
            raise web.HTTPNotFound
        broken = self.chat.bites("env_missing", carried.claimed, request.path)
        entered: tuple[str, Address] | None = None
        if self.ready_by_upgrade and carried.token is not None and not broken:
            entered = self._enter_by_upgrade(request, carried.token)
        ws = self._accept(carried)
        await ws.prepare(request)
        self._open.add(ws)
        try:
            if broken:
                await ws.close(code=1011, message=b"internal error")
            else:
                await self._converse(request, ws, carried, entered)
        except Exception:
            _log.exception("internal error on a socket")
            await ws.close(code=1011, message=b"internal error")
        finally:
            self._open.discard(ws)
        return ws

    async def close_all(self) -> None:
        """1001 to everybody."""
        await asyncio.gather(*(ws.close(code=1001, message=b"going away") for ws in list(self._open)))

    def _accept(self, carried: Carried) -> WebSocket:
        return WebSocket(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=self._ping_interval_s or None,
            protocols=carried.protocols,
            compress=False,
            max_msg_size=self._message_bytes_max,
            writer_limit=1 << 62,
            decode_text=False,
        )

    def _enter_by_upgrade(self, request: web.Request, token: str) -> tuple[str, Address]:
        try:
            return self._enter(request, token)
        except BadToken as error:
            _log.info("upgrade refused: %s", error)
            raise web.HTTPUnauthorized(text="authentication failed") from None

    def _enter(self, request: web.Request, token: str) -> tuple[str, Address]:
        user_id = self.gate.identify(token, request.path)
        return user_id, self.address(request, user_id)

    async def _converse(
        self, request: web.Request, ws: WebSocket, carried: Carried, entered: tuple[str, Address] | None
    ) -> None:
        if entered is None:
            token = carried.token if carried.token is not None else await _token_of_first_message(ws)
            try:
                entered = self._enter(request, token)
            except (BadToken, Refused) as error:
                _log.info("socket refused: %s", error)
                await self._refuse(ws, error, carried.claimed)
                return
        user_id, address = entered
        transport = request.transport
        if transport is None:
            return
        connection_id = f"main_{secrets.token_hex(8)}"  # nobody guesses it, and a stranger who has it is told apart
        if _REFUSED_ID.fullmatch(user_id) and self.chat.bites("id_refused", user_id, connection_id):
            await ws.close(code=1011, message=b"internal error")
            return
        socket = Socket(ws, transport, user_id, connection_id, address)
        self._decide_faults(socket)
        self.ready(socket)
        try:
            await self._listen(ws, socket)
        finally:
            self.left(socket)

    def error_text(self, user_id: str, text: str) -> str:
        """The text of an error, as a client is to see it."""
        if "error_echoes_other" in self.chat.faults_wanted:
            words = self.chat.words_of_another(user_id)
            if words and self.chat.bites_now("error_echoes_other", user_id, "an error"):
                return f"{text} (last input: {words})"
        return text

    def _reason(self, user_id: str, reason: bytes) -> bytes:
        """The reason of a close, as a client is to see it: at most 123 bytes."""
        if "close_reason_leak" in self.chat.faults_wanted:
            words = self.chat.words_of_another(user_id)
            if words and self.chat.bites_now("close_reason_leak", user_id, "a close"):
                return reason[:20] + b" " + words.encode()[:100].decode(errors="ignore").encode()
        return reason

    async def _refuse(self, ws: WebSocket, error: BadToken | Refused, claimed: str) -> None:
        if ws.closed:
            return
        code, text = "AUTH_FAILED", "authentication failed"
        if isinstance(error, Refused):
            code, text = error.code, str(error)
        await ws.send_str(self.refusal(code, self.error_text(claimed, text)).decode())
        await ws.close(code=1008, message=self._reason(claimed, text.encode()))

    def _decide_faults(self, socket: Socket) -> None:
        def bites(name: str) -> bool:
            return self.chat.bites(name, socket.user_id, socket.connection_id)

        socket.late_s = LOST_BEFORE_READY_S if bites("lost_before_ready") else 0.0
        socket.idle_cut_s = IDLE_CUT_S * self.chat.pace.time_scale if bites("idle_cut") else 0.0

    async def _listen(self, ws: WebSocket, socket: Socket) -> None:
        """Until the client goes, or `Socket.close` or its silence ends the patience with it."""
        patience_s = 0.0 if socket.farewell else socket.idle_cut_s or None
        try:
            async with asyncio.timeout(patience_s) as socket.patience:
                await self._hear(ws, socket, ready_s=time.monotonic() + socket.late_s)
        except TimeoutError:
            code, reason = socket.farewell or (1001, b"receive timeout")
            await ws.close(code=code, message=self._reason(socket.user_id, reason))
        finally:
            socket.patience = None

    async def _hear(self, ws: WebSocket, socket: Socket, *, ready_s: float) -> None:
        first = True
        while True:
            received = await ws.receive()
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            socket.heard()
            if first and self.chat.bites("close_1011", socket.user_id, socket.connection_id):
                await ws.close(code=1011, message=b"internal error")
                return
            first = False
            if socket.received_s < ready_s:
                continue
            if not self.receive(socket, received.data if received.type is WSMsgType.TEXT else None):
                await ws.close(code=1008, message=self._reason(socket.user_id, b"authentication failed"))
                return


async def _token_of_first_message(ws: WebSocket) -> str:
    """The token of a first message ``{"type": "authenticate", "token": …}``, "" where anything else comes."""
    try:
        received = await ws.receive(timeout=FIRST_MESSAGE_TIMEOUT_S)
        message = orjson.loads(received.data) if received.type is WSMsgType.TEXT else None
    except (TimeoutError, orjson.JSONDecodeError):
        return ""
    if not isinstance(message, dict) or message.get("type") != "authenticate":
        return ""
    return token_in(message)


def token_in(fields: dict[str, Any]) -> str:
    token = fields.get("token")
    return token if isinstance(token, str) else ""
