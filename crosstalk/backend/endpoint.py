"""What the sockets of all shapes have in common: upgrade, authentication, listening, closing.

A shape is a subclass: it says who may come in, what happens when a socket is ready, and what a message means.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
from aiohttp import WSMsgType, web

from crosstalk.backend.chat import IDLE_CUT_S, Chat
from crosstalk.backend.events import Address, Binary, Ping
from crosstalk.backend.expiry import Expiry
from crosstalk.backend.gate import NOT_OFFERED, Carried, Gate
from crosstalk.backend.limits import Keepalive, Limits
from crosstalk.backend.outgoing import Outgoing
from crosstalk.backend.send_queue import ROOM_BYTES, UNSENT_BYTES_MAX, Jam, SendQueue
from crosstalk.backend.slowness import keep_waiting
from crosstalk.backend.store import Refused
from crosstalk.backend.tokens import BadToken, claimed_user

FIRST_MESSAGE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
LOST_BEFORE_READY_S = 0.3
# With early_frame_lost the welcome comes so late, and what comes before it is dropped.
EARLY_S = 0.2
# What the validator of id_refused does not know: the shape of minted accounts.
_REFUSED_ID = re.compile(r"[a-z][a-z0-9]{2}\d{5}")
_OPCODES = {Binary: WSMsgType.BINARY, Ping: WSMsgType.PING}
_log = logging.getLogger("crosstalk.backend")

WebSocket = web.WebSocketResponse[bool]


class Socket:
    """A client's connection after authentication. Its faults are decided once, before its first message.

    `asked` is the query of its path: what this socket shall be like. `outgoing` packs what it is sent, where it is not
    sent as it is.
    """

    def __init__(
        self,
        ws: WebSocket,
        transport: asyncio.Transport,
        user_id: str,
        connection_id: str,
        address: Address,
        *,
        asked: Mapping[str, str],
        jam: Jam,
        bites: Callable[[str], bool],
    ) -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.address = address
        self.received_s = time.monotonic()
        self.heartbeat: asyncio.TimerHandle | None = None
        self.expiry: Expiry | None = None
        self.patience: asyncio.Timeout | None = None
        self.farewell: tuple[int, bytes] | None = None
        self.late_s = 0.0
        self.thread_id: str | None = None  # where prompts without a thread go, once a client has switched to one
        self.idle_cut_s = 0.0
        self.asked = asked
        self.outgoing: Outgoing | None = None
        self.queue = SendQueue(
            unsent_bytes=transport.get_write_buffer_size, write=self._write, give_up=self._cut_off, jam=jam, bites=bites
        )
        self.silence_s = 0.0  # how long it may be silent; 0: for ever
        self.keepalive = Keepalive(0.0, 0.0)
        self.pings_heard = 0
        self._ws = ws
        self._transport = transport

    @property
    def alive(self) -> bool:
        return not self._ws.closed and not self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Write it, as soon as there is room for it."""
        if not self.alive:
            return
        if self.outgoing is None:
            self.queue.put(frame)
        else:
            self.outgoing.put(frame)

    def flush(self) -> None:
        """What waits here goes out before what comes next."""
        if self.outgoing is not None:
            self.outgoing.flush()
        self.queue.flush()

    def make_room(self, size_bytes: int) -> None:
        """Let the kernel, and the transport, hold about so much and no more (up to ROOM_BYTES)."""
        kernel = self._transport.get_extra_info("socket")
        if kernel is not None:
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)
        self.queue.room_bytes = min(size_bytes, ROOM_BYTES)

    def _write(self, frame: bytes) -> None:
        """Write at once, without a task: with neither compression nor a writer limit the coroutine never waits."""
        if not self.alive:
            return
        try:
            self._ws.send_frame(bytes(frame), _OPCODES.get(type(frame), WSMsgType.TEXT)).send(None)
        except StopIteration:
            return
        except ConnectionError:
            return
        raise RuntimeError("the write had to wait")

    def _cut_off(self) -> None:
        _log.warning("socket %s reads too slowly, cut off", self.connection_id)
        self._transport.abort()

    def close(self, code: int, reason: bytes = b"") -> None:
        """Make its listener close it, so that what was sent before still arrives."""
        if self.farewell is None:
            self.farewell = (code, reason)
            self._wait(0.0)

    def drop(self, *, reset: bool = False) -> None:
        """End the transport without a close frame; `reset`: as a process that died does, by RST."""
        if not reset:
            self._transport.close()
            return
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def heard(self) -> None:
        """A message came: silence begins anew."""
        self.received_s = time.monotonic()
        if self.silence_s and self.farewell is None:
            self._wait(self.silence_s)

    def _wait(self, seconds: float) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(asyncio.get_running_loop().time() + seconds)


class Endpoint(ABC):
    """Serves the sockets of one shape and keeps all open ones, to close them when the server goes."""

    shape: ClassVar[str]
    #: the upgrade itself says ready, so what is refused is refused before it, by an HTTP status
    ready_by_upgrade: ClassVar[bool] = True

    #: a user may have so many sockets of this shape and no more
    is_capped: ClassVar[bool] = False

    def __init__(self, chat: Chat, gate: Gate, *, limits: Limits) -> None:
        self.chat = chat
        self.gate = gate
        self.limits = limits
        self._open: set[WebSocket] = set()
        self._ready: dict[Socket, asyncio.Task[Any]] = {}  # and who listens to it
        self._shunned: set[str] = set()  # users to be kept waiting (a fault's)
        self._jam = Jam()

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
            entered = self._enter_by_upgrade(request, carried)
        self.limits.door.knock(carried.claimed, id(request))
        try:
            return await self._upgrade(request, carried, entered, broken=broken)
        finally:
            self.limits.door.spoken(carried.claimed, id(request))

    async def _upgrade(
        self, request: web.Request, carried: Carried, entered: tuple[str, Address] | None, *, broken: bool
    ) -> WebSocket:
        await keep_waiting("upgrade_slow", lambda name: self.chat.bites(name, carried.claimed, request.path))
        ws = self._accept(request, carried)
        await ws.prepare(request)
        self._open.add(ws)
        try:
            if broken:
                await ws.close(code=1011, message=b"internal error")
            elif self.chat.occasions.on("try_later"):
                await self._put_off(ws, carried.claimed)
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

    async def say_goodbye(self, code: int, reason: bytes) -> None:
        """Close every socket that is ready, each after what was sent on it before; wait until they are closed."""
        for one in list(self._ready):
            one.close(code, reason)
        if self._ready:
            await asyncio.wait(list(self._ready.values()), timeout=2 * CLOSE_TIMEOUT_S)

    def _shun(self, user_id: str, connection_id: str) -> None:
        """By a fault, who went without a goodbye is kept waiting at the next connection."""
        if self.chat.bites_now("lost_user_kept_waiting", user_id, connection_id):
            self._shunned.add(user_id)

    async def _put_off(self, ws: WebSocket, claimed: str) -> None:
        if self.chat.bites_now("reconnect_storm_refused", claimed, "a socket"):
            await ws.receive()  # until the client has had enough
            return
        await ws.close(code=1013, message=b"try again later")

    def _accept(self, request: web.Request, carried: Carried) -> WebSocket:
        def bites(fault: str) -> bool:
            return self.chat.bites(fault, carried.claimed, request.path)

        pings = self._keepalive(request).ping_s
        unasked = "Sec-WebSocket-Protocol" in request.headers and bites("subprotocol_not_offered_echoed")
        bytes_max = self.limits.message_bytes_max
        if bites("largest_refused"):
            bytes_max //= 2
        elif bites("oversized_accepted") or bites("oversized_1011"):
            bytes_max = UNSENT_BYTES_MAX
        ws = WebSocket(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=None if not pings or bites("server_ping_missing") else pings,
            autoping=not bites("ping_ignored"),
            protocols=() if unasked else carried.protocols,
            compress=False,
            max_msg_size=bytes_max + 1,  # it is the least that is too long
            writer_limit=1 << 62,
            decode_text=False,
        )
        if unasked:
            ws.headers["Sec-WebSocket-Protocol"] = NOT_OFFERED
        return ws

    def _keepalive(self, request: web.Request) -> Keepalive:
        """What holds for the socket of this upgrade."""
        return self.limits.keepalive.asked(request.query)

    def _enter_by_upgrade(self, request: web.Request, carried: Carried) -> tuple[str, Address]:
        try:
            return self._enter(request, carried.token or "", carried.way)
        except BadToken as error:
            _log.info("upgrade refused: %s", error)
            raise web.HTTPUnauthorized(text="authentication failed") from None

    def _enter(self, request: web.Request, token: str, way: str) -> tuple[str, Address]:
        user_id = self.gate.identify(token, request.path, way=way)
        return user_id, self.address(request, user_id)

    async def _dawdle(self, ws: WebSocket, user_id: str, connection_id: str) -> None:
        """Faults between the upgrade and the welcome."""
        await keep_waiting("welcome_slow", lambda name: self.chat.bites(name, user_id, connection_id))
        if not self.ready_by_upgrade and self.chat.bites("early_frame_lost", user_id, connection_id):
            await _lose_what_comes(ws, EARLY_S)

    async def _converse(
        self, request: web.Request, ws: WebSocket, carried: Carried, entered: tuple[str, Address] | None
    ) -> None:
        token = (
            await self._token_said(request, ws) if carried.token is None and entered is None else carried.token or ""
        )
        entered = entered or await self._enter_by_token(request, ws, carried, token)
        transport = request.transport
        if entered is None or transport is None:
            return
        user_id, address = entered
        connection_id = f"main_{secrets.token_hex(8)}"  # nobody guesses it, and a stranger who has it is told apart
        if await self._is_kept_out(ws, user_id, connection_id):
            return
        socket = Socket(
            ws,
            transport,
            user_id,
            connection_id,
            address,
            asked=request.query,
            jam=self._jam,
            bites=lambda name: self.chat.bites(name, user_id, connection_id),
        )
        socket.keepalive = self._keepalive(request)
        self._decide_faults(socket)
        self._watch_expiry(socket, token)
        await self._dawdle(ws, user_id, connection_id)
        if self.is_capped and (farewell := self.limits.door.enter(socket)) is not None:
            await self._turn_away(ws, *farewell)
            return
        await self._serve(request, ws, socket, carried)

    async def _is_kept_out(self, ws: WebSocket, user_id: str, connection_id: str) -> bool:
        """With some faults a user with a good token is not let in."""
        if user_id in self._shunned:
            self._shunned.discard(user_id)
            await ws.receive()  # until the client has had enough
            return True
        if _REFUSED_ID.fullmatch(user_id) and self.chat.bites("id_refused", user_id, connection_id):
            await ws.close(code=1011, message=b"internal error")
            return True
        return False

    async def _serve(self, request: web.Request, ws: WebSocket, socket: Socket, carried: Carried) -> None:
        if (listener := asyncio.current_task()) is not None:
            self._ready[socket] = listener
        try:
            self.ready(socket)
            await self._listen(ws, socket, carried.claimed, id(request))
        finally:
            if socket.expiry is not None:
                socket.expiry.cancel()
            self._ready.pop(socket, None)
            if ws.close_code == 1006 and not self.ready_by_upgrade:
                self._shun(socket.user_id, socket.connection_id)
            socket.queue.end()
            self.left(socket)
            self.limits.door.leave(socket)

    @staticmethod
    def _watch_expiry(socket: Socket, token: str) -> None:
        if socket.expiry is not None:
            socket.expiry.shown(token)

    async def _token_said(self, request: web.Request, ws: WebSocket) -> str:
        """The token of the first message."""
        token = await _token_of_first_message(ws)
        claimed = claimed_user(token)
        return "" if claimed and self.chat.bites("message_ignored", claimed, request.path) else token

    async def _enter_by_token(
        self, request: web.Request, ws: WebSocket, carried: Carried, token: str
    ) -> tuple[str, Address] | None:
        """By the token of the upgrade, or of the first message; None: it was refused, and the socket is closed."""
        try:
            return self._enter(request, token, carried.way)
        except (BadToken, Refused) as error:
            _log.info("socket refused: %s", error)
            await self._refuse(ws, error, carried.claimed)
            return None

    async def _turn_away(self, ws: WebSocket, code: int, reason: bytes) -> None:
        if code != 1011:
            await ws.send_str(self.refusal("TOO_MANY_CONNECTIONS", reason.decode()).decode())
        await ws.close(code=code, message=reason)

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

        cuts = bites("expiry_cuts_run")
        socket.expiry = Expiry(socket.close, moves=not cuts) if cuts or self.gate.closes_at_expiry else None
        socket.late_s = LOST_BEFORE_READY_S if bites("lost_before_ready") else 0.0
        socket.idle_cut_s = IDLE_CUT_S * self.chat.pace.time_scale if bites("idle_cut") else 0.0
        socket.silence_s = socket.idle_cut_s or self._silence_s(socket, bites)

    def _silence_s(self, socket: Socket, bites: Callable[[str], bool]) -> float:
        """What is declared, unless a fault has it otherwise."""
        keepalive = socket.keepalive
        if not keepalive.idle_s or bites("idle_never_cut"):
            return 0.0
        if keepalive.ping_s and bites("pong_unheard"):
            asyncio.get_running_loop().call_later(1.25 * keepalive.ping_s, socket.drop)
        return keepalive.idle_s / 2 if bites("idle_cut_early") else keepalive.idle_s

    async def _listen(self, ws: WebSocket, socket: Socket, claimed: str, upgrade: int) -> None:
        """Until the client goes, or `Socket.close` or its silence ends the patience with it."""
        patience_s = 0.0 if socket.farewell else socket.silence_s or None
        try:
            async with asyncio.timeout(patience_s) as socket.patience:
                await self._hear(ws, socket, claimed, upgrade, ready_s=time.monotonic() + socket.late_s)
        except TimeoutError:
            socket.flush()
            code, reason = socket.farewell or (1001, b"receive timeout" if socket.idle_cut_s else b"idle timeout")
            await ws.close(code=code, message=self._reason(socket.user_id, reason))
        finally:
            socket.patience = None

    async def _hear(self, ws: WebSocket, socket: Socket, claimed: str, upgrade: int, *, ready_s: float) -> None:
        first = True
        while True:
            received = await ws.receive()
            if received.type in (WSMsgType.PING, WSMsgType.PONG):  # handed over where nobody answers pings
                continue
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            socket.heard()
            self.limits.door.spoken(claimed, upgrade)
            if len(received.data) > self.limits.message_bytes_max and self.chat.bites(
                "oversized_1011", socket.user_id, socket.connection_id
            ):
                await ws.close(code=1011, message=b"internal error")
                return
            if first and self.chat.bites("close_1011", socket.user_id, socket.connection_id):
                await ws.close(code=1011, message=b"internal error")
                return
            first = False
            if socket.received_s < ready_s:
                continue
            if not self.receive(socket, received.data if received.type is WSMsgType.TEXT else None):
                socket.flush()
                await ws.close(code=1008, message=self._reason(socket.user_id, b"authentication failed"))
                return


async def _lose_what_comes(ws: WebSocket, seconds: float) -> None:
    """Hear nothing for so long (a fault's)."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        try:
            received = await ws.receive(timeout=left_s)
        except TimeoutError:
            return
        if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
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
