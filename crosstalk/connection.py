"""The only client WebSocket, and the only stamps.

websocket-client does the handshake. Reading and the frames that are sent are ours: a hub watcher reads, stamps, splits
and queues, nothing else; one greenlet of the process (`Inbox`) hands the messages to their listeners. An exception in
the watcher would end it for good, so a catch-all there turns it into a `HarnessError` in the queue: a fault of ours,
never blamed on the target.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import gevent
import websocket
import websocket._handshake
from gevent.event import Event as Flag

from crosstalk.clock import clock
from crosstalk.proxy import Proxy, ProxyRefused, tunnel
from crosstalk.stream import Read, Stream, connect
from crosstalk.vitals import no_descriptor_left
from crosstalk.wire.rfc6455 import Broken, Close, FrameReader, Message, Opcode, Received, framed

#: what is missing is missing here: descriptors, memory for sockets, local ports
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
NO_DESCRIPTOR = "this machine has no socket left: too many open files"
_PING: Final = Opcode.PING
#: OpenSSL's codes for a certificate that is good, but names another host or address
_OTHER_HOST = (62, 64)


class _NoCookies:
    """websocket-client keeps one cookie jar for the whole process: a cookie set for one user would travel with all."""

    def add(self, _header: str | None) -> None: ...

    def get(self, _host: str) -> str:
        return ""


websocket._handshake.CookieJar = _NoCookies()


@dataclass(frozen=True, slots=True)
class Lost:
    """The transport ended without a close frame. `unfinished`: what had come of a last message; at most 64 KiB."""

    reason: str
    unfinished: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class HarnessError:
    """Our own receive path failed. Timing and delivery cannot be judged any more."""

    reason: str


# not frozen, though nobody changes it: one is made for every frame, and a frozen one costs three times as much
@dataclass(slots=True, init=False)
class Arrival:
    """A message and its stamps. `exact`: `arrived_ns` belongs to this very message; else it is an upper bound.

    It arrived after `arrived_after_ns`, which equals `arrived_ns` where that is exact.
    """

    message: Received | Lost | HarnessError
    arrived_ns: int
    received_ns: int
    exact: bool
    arrived_after_ns: int

    def __init__(
        self, message: Received | Lost | HarnessError, arrived_ns: int, received_ns: int, exact: bool,
        arrived_after_ns: int,
    ) -> None:  # fmt: skip
        self.message = message
        self.arrived_ns = arrived_ns
        self.received_ns = received_ns
        self.exact = exact
        self.arrived_after_ns = arrived_after_ns


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a socket goes and what travels with it. Secrets in here never leave the process but to the target."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    timeout_s: float = 10.0
    proxy: Proxy | None = None
    receive_buffer_bytes: int = 0  # what the kernel may hold unread; 0: what it thinks right


@dataclass(slots=True)
class OpenTimes:
    """Instants of the way up; None: not reached."""

    begun_ns: int
    connected_ns: int | None = None
    upgraded_ns: int | None = None


class ConnectFailed(Exception):
    """The connection did not come up. `stage`: resolve, connect, tls or upgrade.

    `ours`: it is our fault, and nothing can be said of the peer: "no_socket", this machine had nothing left to make
    one of; "harness_error", our own code failed. "" otherwise.
    """

    def __init__(self, stage: str, reason: str, http_status: int | None = None, *, ours: str = "") -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.http_status = http_status
        self.ours = ours


class Inbox:
    """Messages of all connections of this process, on their way from the watchers to their listeners."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Connection, list[Arrival]]] = deque()
        self._waiting = False  # does the greenlet wait to be switched to?
        self._hub = gevent.get_hub()
        self._greenlet = gevent.spawn(self._pump)
        self.lags_ns: list[int] = []  # received - arrived of every stamped read since `take_lags`

    def put(self, connection: Connection, arrivals: list[Arrival]) -> None:
        self._queue.append((connection, arrivals))
        if self._waiting:
            self._waiting = False
            self._hub.loop.run_callback(self._greenlet.switch)

    def take_lags(self) -> list[int]:
        lags, self.lags_ns = self.lags_ns, []
        return lags

    def _pump(self) -> None:
        queue, handled = self._queue, 0
        while True:
            while queue:
                connection, arrivals = queue.popleft()
                connection.deliver(arrivals)
                handled += len(arrivals)
                if handled > 500:  # let users run between bursts
                    handled = 0
                    gevent.sleep(0)
            # a bare switch costs a third of a flag's `wait` and `set`; only `put` switches back, and only once
            handled, self._waiting = 0, True
            self._hub.switch()


class Connection:
    """One WebSocket. `listener(arrival)` is called in the inbox's greenlet, in order of arrival; it must not wait."""

    def __init__(self, endpoint: Endpoint, inbox: Inbox, listener: Callable[[Arrival], None]) -> None:
        self.endpoint = endpoint
        self.times = OpenTimes(clock.now_ns())
        self.frames_in = 0
        self.frames_out = 0
        self.subprotocol = ""
        self._paused = False  # was reading ever stopped? Then its lags tell nothing of this process
        self.handshake = b""  # what the peer answered to the upgrade, up to 64 KiB: headers, and the body of a refusal
        self._inbox = inbox
        self._listener = listener
        self._stream: Stream | None = None
        self._reader = FrameReader()
        self._watcher: Any = None
        self._over = Flag()
        self._closing = False

    @property
    def peer(self) -> str:
        return self._stream.peer if self._stream else ""

    @property
    def stamps(self) -> bool:
        return self._stream.stamps if self._stream else False

    @property
    def bytes_in(self) -> int:
        return self._stream.bytes_in if self._stream else 0

    @property
    def bytes_out(self) -> int:
        return self._stream.bytes_out if self._stream else 0

    @property
    def is_open(self) -> bool:
        return self._watcher is not None

    def open(self) -> None:
        """Resolve, connect, TLS, upgrade; then start reading.

        :raises ConnectFailed: with the stage that failed; the times of the stages before it are kept.
        """
        try:
            self._open()
        except ConnectFailed:
            raise
        except Exception as error:
            self._shut()
            reason = f"{type(error).__name__} on the way up: {error}"
            raise ConnectFailed("upgrade", reason, ours="harness_error") from error

    def _open(self) -> None:
        self.times = OpenTimes(clock.now_ns())
        parts = urlsplit(self.endpoint.url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        self._stream = stream = self._connect(host, port)
        if parts.scheme == "wss":
            self._start_tls(stream, host)
        self.times.connected_ns = clock.now_ns()
        handshake = _HandshakeSocket(stream, self.times.connected_ns + int(self.endpoint.timeout_s * 1e9))
        try:
            self._upgrade(handshake)
        finally:
            self.handshake = handshake.seen()
        self.times.upgraded_ns = handshake.last_arrived_ns
        self._watcher = gevent.get_hub().loop.io(stream.fileno(), 1)
        if rest := handshake.rest():
            self._take(rest)
        if self._watcher is not None:
            self._watcher.start(self._readable)

    def send(self, text: str) -> int:
        """Send a text message; returns the instant just before it is written.

        :raises OSError: the transport failed; a `Lost` will be delivered too.
        """
        return self._send(Opcode.TEXT, text.encode())

    def send_binary(self, data: bytes) -> int:
        """As `send`, a binary message."""
        return self._send(Opcode.BINARY, data)

    def ping(self, payload: bytes) -> int:
        """Send an RFC 6455 ping; its pong is delivered to the listener."""
        return self._send(_PING, payload)

    def close(self, code: int = 1000, reason: str = "", *, timeout_s: float = 2.0) -> None:
        """Say goodbye, wait for the peer's close frame, and close. Safe to call twice."""
        if self._watcher is None or self._stream is None:
            return
        self._closing = True
        try:
            payload = struct.pack("!H", code) + reason.encode()[:120]
            self._send(Opcode.CLOSE, payload)
            self._over.wait(timeout_s)
        except OSError:
            pass  # the peer was faster
        self._shut()

    def reset(self) -> None:
        """Drop the transport without a word."""
        if self._stream is not None:
            self._stop_watching()
            self._stream.reset()
            self._over.set()

    def catch_up(self) -> None:
        """Read and deliver what has come: a loop that was held up hears of its deadlines first."""
        if self._watcher is not None and not self._paused:
            self._readable()
        gevent.sleep(0)  # the inbox delivers

    def pause(self) -> None:
        """Read nothing until `resume`: a slow reader. What is read afterwards is late on purpose."""
        self._paused = True
        if self._watcher is not None:
            self._watcher.stop()

    def resume(self) -> None:
        if self._watcher is not None:
            self._watcher.start(self._readable)

    def deliver(self, arrivals: list[Arrival]) -> None:
        """Called by the inbox: answer pings, hand everything to the listener, close after the end."""
        listener = self._listener
        for arrival in arrivals:
            message = arrival.message
            try:
                if type(message) is Message and message.opcode is _PING:
                    gevent.spawn(self._answer, Opcode.PONG, message.data)
                listener(arrival)
            except Exception as error:
                message = HarnessError(f"{type(error).__name__} while handling a message: {error}")
                # a listener that cannot even take this must not end the inbox of all others
                with suppress(Exception):
                    at_ns = arrival.arrived_ns
                    listener(Arrival(message, at_ns, arrival.received_ns, False, arrival.arrived_after_ns))
            if type(message) is not Message:
                self._over.set()
                gevent.spawn(self._end_of_stream, message)

    # --- reading: a hub callback; it must never raise and never wait ------------------------------------------------

    def _readable(self) -> None:
        try:
            assert self._stream is not None
            read = self._stream.read_now()
            if read is not None:
                self._take(read)
        except OSError as error:
            self._end(Lost(_words(error), self._reader.unfinished()))
        except Exception as error:  # ours: see the module's docstring
            self._end(HarnessError(f"{type(error).__name__} in the receive callback: {error}"))

    def _take(self, read: Read) -> None:
        if not read.data:
            reason = "the peer closed the transport without a close frame"
            self._end(Lost(reason, self._reader.unfinished()))
            return
        if read.stamped and not self._paused:
            self._inbox.lags_ns.append(read.received_ns - read.arrived_ns)
        messages = self._reader.feed(read.data)
        if not messages:
            return
        self.frames_in += len(messages)
        arrived_ns, after_ns = read.arrived_ns, read.arrived_after_ns
        # what was left unread on purpose counts as received when it arrived: the delay is not this process's
        received_ns = arrived_ns if self._paused else read.received_ns
        arrivals = []
        for message in messages:
            arrivals.append(Arrival(message, arrived_ns, received_ns, False, after_ns))
        last = messages[-1]
        if type(last) is not Message:
            self._stop_watching()
        elif read.exact and last.last_of_feed:  # only the last message of a feed can end with it
            arrivals[-1].exact, arrivals[-1].arrived_after_ns = True, arrived_ns
        self._inbox.put(self, arrivals)

    def _end(self, message: Lost | HarnessError) -> None:
        now_ns = clock.now_ns()
        self._stop_watching()
        self._inbox.put(self, [Arrival(message, now_ns, now_ns, False, now_ns)])

    # --- the rest ---------------------------------------------------------------------------------------------------

    def _connect(self, host: str, port: int) -> Stream:
        """A TCP connection to the target, or through a tunnel of the proxy."""
        if no_descriptor_left():  # asked first: a name cannot be resolved then, and nobody would ever say so
            raise ConnectFailed("connect", NO_DESCRIPTOR, ours="no_socket")
        proxy, timeout_s = self.endpoint.proxy, self.endpoint.timeout_s
        first, its_port, what = (proxy.host, proxy.port, "the proxy ") if proxy else (host, port, "")
        try:
            stream = connect(first, its_port, timeout_s, self.endpoint.receive_buffer_bytes)
        except (stdlib_socket.gaierror, UnicodeError) as error:  # UnicodeError: it cannot even be asked for
            raise ConnectFailed("resolve", f"{what}{first} does not resolve: {_words(error)}") from None
        except OSError as error:
            if error.errno in _OURS:
                reason = f"this machine has no socket left: {_words(error)}"
                raise ConnectFailed("connect", reason, ours="no_socket") from None
            raise ConnectFailed("connect", f"nobody answers at {what}{first}:{its_port}: {_words(error)}") from None
        if proxy is not None:
            try:
                tunnel(stream, proxy, host, port, timeout_s)
            except OSError as error:
                stream.close()
                where = "" if isinstance(error, ProxyRefused) else f"the proxy {proxy.address}: "
                raise ConnectFailed("connect", f"{where}{_words(error)}") from None
        return stream

    def _start_tls(self, stream: Stream, host: str) -> None:
        context = self.endpoint.tls or ssl.create_default_context()
        try:
            stream.start_tls(context, host, self.endpoint.timeout_s)
        except ssl.SSLCertVerificationError as error:
            stream.close()
            advice = "is it the right host?" if error.verify_code in _OTHER_HOST else "name its authority with --ca"
            raise ConnectFailed(
                "tls", f"the certificate of {host} is not trusted: {error.verify_message}; {advice}"
            ) from None
        except (ssl.SSLError, OSError) as error:
            stream.close()
            raise ConnectFailed("tls", f"no TLS with {host}: {_words(error)}") from None

    def _upgrade(self, handshake: _HandshakeSocket) -> None:
        headers = dict(self.endpoint.headers)
        if self.endpoint.subprotocols:
            headers["Sec-WebSocket-Protocol"] = ", ".join(self.endpoint.subprotocols)
        client = websocket.WebSocket()
        try:
            client.connect(
                self.endpoint.url,
                socket=handshake,
                header=headers,
                suppress_origin="Origin" not in headers,
                origin=headers.pop("Origin", None),
                timeout=self.endpoint.timeout_s,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as error:
            raise ConnectFailed("upgrade", f"HTTP {error.status_code} instead of 101", error.status_code) from None
        except websocket.WebSocketTimeoutException:
            raise ConnectFailed("upgrade", "no answer to the upgrade in time") from None
        except (websocket.WebSocketException, OSError, ValueError) as error:
            answer = client.handshake_response
            if answer is not None and answer.status in range(300, 400):
                where = (answer.headers.get("location") or "nowhere").partition("?")[0]
                reason = f"HTTP {answer.status} instead of 101: a redirect to {where}, which is not followed"
                raise ConnectFailed("upgrade", reason, int(answer.status)) from None
            raise ConnectFailed("upgrade", _words(error) or type(error).__name__) from None
        self.subprotocol = client.handshake_response.headers.get("sec-websocket-protocol") or ""

    def _send(self, opcode: Opcode, payload: bytes) -> int:
        if self._stream is None or self._watcher is None:
            raise ConnectionResetError("the connection is closed")
        data = framed(opcode, payload, os.urandom(4))
        self.frames_out += 1
        sent_ns = clock.now_ns()
        self._stream.write(data)
        return sent_ns

    def _answer(self, opcode: Opcode, payload: bytes) -> None:
        """Answer a control frame. In a greenlet of its own: a peer that does not read must not hold up the inbox."""
        if self._stream is None:
            return
        try:
            self._stream.write(framed(opcode, payload, os.urandom(4)))
            self.frames_out += 1
        except OSError:
            pass  # the transport's end is delivered on its own

    def _end_of_stream(self, message: Received | Lost | HarnessError) -> None:
        """After the peer's last word: answer its close frame once (RFC 6455, 5.5.1), then close.

        An error of our own ends the connection too: what was missed would look like the peer's fault.
        """
        if isinstance(message, Close | Broken | HarnessError) and not self._closing:
            code = 1000 if isinstance(message, HarnessError) or message.code == 1005 else message.code
            self._answer(Opcode.CLOSE, struct.pack("!H", code))
        self._shut()

    def _stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def _shut(self) -> None:
        self._stop_watching()
        if self._stream is not None:
            self._stream.close()


#: of the answer to an upgrade, so much is kept to be looked at
HANDSHAKE_BYTES_MAX = 64 * 1024


class _HandshakeSocket:
    """What websocket-client reads its handshake from: it asks for one byte at a time, the kernel for all there is."""

    def __init__(self, stream: Stream, deadline_ns: int) -> None:
        self._stream = stream
        self._deadline_ns = deadline_ns
        self._read: Read | None = None
        self._buffer = b""
        self._seen = b""
        self.last_arrived_ns = 0

    def recv(self, size: int) -> bytes:
        if not self._buffer:
            # past its time, what has come is taken all the same: it may be us who are late
            left_s = max(self._deadline_ns - clock.now_ns(), 0) / 1e9
            self._read = self._stream.read(left_s)
            self.last_arrived_ns = self._read.arrived_ns
            self._buffer = self._read.data
            self._seen = (self._seen + self._buffer)[:HANDSHAKE_BYTES_MAX]
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        return piece

    def send(self, data: bytes) -> int:
        self._stream.write(data)
        return len(data)

    def seen(self) -> bytes:
        """What was read up to now, but for the frames that followed the answer."""
        head, end, _ = self._seen.partition(b"\r\n\r\n")
        return head + end if head.startswith(b"HTTP/1.1 101") else self._seen

    def rest(self) -> Read | None:
        """What was read beyond the handshake: the first frames."""
        if not self._buffer or self._read is None:
            return None
        return replace(self._read, data=self._buffer)

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, _timeout: float) -> None: ...

    def close(self) -> None:
        self._stream.close()

    def fileno(self) -> int:
        return self._stream.fileno()

    _closed = False


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
