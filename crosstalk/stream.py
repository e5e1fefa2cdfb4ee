"""Bytes in and out of one TCP connection, plain or TLS, with the kernel's arrival stamp of every read.

TLS runs through `ssl.MemoryBIO` over the same raw socket, so plain and encrypted connections are read and stamped by
the same `recvmsg`. `read_now` never waits and may be called from a hub callback; everything else may wait, and only
greenlets call it.
"""

from __future__ import annotations

import socket as stdlib_socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass

from gevent import socket
from gevent.lock import BoundedSemaphore

from crosstalk.clock import clock

READ_BYTES = 262_144
_SO_TIMESTAMPING = 37
_RX_SOFTWARE_STAMPS = 1 << 3 | 1 << 4
_ANCILLARY_BYTES = 128
_TIMESPEC = struct.Struct("@qq")


@dataclass(frozen=True, slots=True)
class Read:
    """One read. `arrived_ns` is the kernel's stamp of the newest bytes in it, or `received_ns` where there is none.

    `emptied`: the socket held nothing more. `data` is b"" at the end of the stream.
    """

    data: bytes
    arrived_ns: int
    received_ns: int
    emptied: bool
    stamped: bool


class Stream:
    """A connected socket. Made by `connect`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._raw = sock._sock  # gevent's own recvmsg may switch; the plain one never does
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._writing = BoundedSemaphore(1)
        self.bytes_in = 0
        self.bytes_out = 0
        host, port = sock.getpeername()[:2]
        self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            sock.setsockopt(stdlib_socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE_STAMPS)
            self.stamps = True
        except OSError:
            self.stamps = False  # not Linux: `arrived` equals `received`, and the record says so

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def start_tls(self, context: ssl.SSLContext, server_name: str, timeout_s: float) -> None:
        """:raises ssl.SSLError, TimeoutError, ConnectionError:"""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._socket.settimeout(timeout_s)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the peer closed during the TLS handshake") from None
                self._incoming.write(data)
        self._flush()
        self._tls = tls

    def certificate(self) -> bytes:
        """The peer's certificate (DER), verified or not; b"" without TLS."""
        return (self._tls.getpeercert(binary_form=True) or b"") if self._tls is not None else b""

    def read_now(self) -> Read | None:
        """What is there; None when nothing is. Never waits. Data is b"" at the end of the stream.

        :raises OSError: the transport failed (reset).
        """
        try:
            data, ancillary, _, _ = self._raw.recvmsg(READ_BYTES, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        received_ns = clock.now_ns()
        arrived_ns, stamped = _arrival(ancillary, received_ns)
        emptied = len(data) < READ_BYTES
        self.bytes_in += len(data)
        if self._tls is not None and data:
            data = self._decrypt(data)
            if not data:
                return None  # a piece of a record
        return Read(data, arrived_ns, received_ns, emptied, stamped)

    def read(self, timeout_s: float) -> Read:
        """Wait for bytes.

        :raises TimeoutError, OSError:
        """
        while True:
            read = self.read_now()
            if read is not None:
                return read
            socket.wait_read(self.fileno(), timeout=timeout_s, timeout_exc=TimeoutError("no answer in time"))

    def write(self, data: bytes) -> None:
        """Write all of it, in the order of the calls.

        :raises OSError: the transport failed.
        """
        with self._writing:
            self.bytes_out += len(data)
            if self._tls is None:
                self._socket.sendall(data)
                return
            self._tls.write(data)
            self._flush()

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Drop the connection as a crashed client would: RST instead of FIN."""
        with suppress(OSError):  # it was closed before
            self._socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None
        self._incoming.write(data)
        plain = []
        try:
            while piece := self._tls.read(READ_BYTES):
                plain.append(piece)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass  # the end of the stream follows as an empty read
        return b"".join(plain)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._socket.sendall(data)


def connect(host: str, port: int, timeout_s: float) -> Stream:
    """Resolve and connect, trying every address.

    :raises socket.gaierror: the name does not resolve.
    :raises OSError: nobody answers there.
    """
    addresses = socket.getaddrinfo(host, port, type=stdlib_socket.SOCK_STREAM)
    error: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
            sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
            return Stream(sock)
        except OSError as problem:
            sock.close()
            error = problem
    raise error or OSError(f"{host} has no address")


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, without repeats.

    :raises socket.gaierror, UnicodeError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=stdlib_socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _arrival(ancillary: list[tuple[int, int, bytes]], received_ns: int) -> tuple[int, bool]:
    """The kernel's receive stamp on our clock. Never after `received_ns`: the two clocks are tied to some µs."""
    for level, kind, data in ancillary:
        if level == stdlib_socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(data) >= 16:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            if seconds:
                return min(clock.from_wall(seconds * 1_000_000_000 + nanoseconds), received_ns), True
    return received_ns, False
