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
from typing import Any

from gevent import socket
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from crosstalk.clock import clock

#: at most so much is read at once. A read that ends within what the kernel has joined has no stamp: there should be few
READ_BYTES = 512 * 1024
#: what all streams of this process read into: memory of its own for each read would come from the kernel, and go back
_BUFFER = bytearray(READ_BYTES)
_SOL_SOCKET = stdlib_socket.SOL_SOCKET
_SO_TIMESTAMPING = 37
_RX_SOFTWARE_STAMPS = 1 << 3 | 1 << 4
_ANCILLARY_BYTES = 128
_TIMESPEC = struct.Struct("@qq")
#: as `getaddrinfo` has it: family, kind, protocol, name, address
_Address = tuple[Any, Any, int, str, Any]
#: how far a stamp may lie outside of what is possible before the tie of the two clocks is taken anew
_TIE_SLACK_NS = 1_000_000


# not frozen, though nobody changes it: one is made for every read, and a frozen one costs three times as much
@dataclass(slots=True, init=False)
class Read:
    """One read. `arrived_ns` is the kernel's stamp of the newest bytes in it, or `received_ns` where there is none.

    `arrived_after_ns`: the socket was found empty after this instant, so everything in `data` arrived later.
    `exact`: `arrived_ns` is the stamp of the very last byte of `data`. `data` is b"" at the end of the stream.
    """

    data: bytes
    arrived_ns: int
    received_ns: int
    arrived_after_ns: int
    exact: bool
    stamped: bool

    def __init__(
        self, data: bytes, arrived_ns: int, received_ns: int, arrived_after_ns: int, exact: bool, stamped: bool
    ) -> None:
        self.data = data
        self.arrived_ns = arrived_ns
        self.received_ns = received_ns
        self.arrived_after_ns = arrived_after_ns
        self.exact = exact
        self.stamped = stamped


class Stream:
    """A connected socket. Made by `connect`.

    :param begun_ns: an instant before it was connected: nothing arrived earlier.
    """

    def __init__(self, sock: socket.socket, begun_ns: int) -> None:
        self._socket = sock
        self._raw = sock._sock  # gevent's own recvmsg may switch; the plain one never does
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._records = _Records()
        self._into = [memoryview(_BUFFER)[:READ_BYTES]]
        self._empty_after_ns = begun_ns  # just before the latest read that left the socket empty
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
                self._records.end_whole(data)
        self._flush()
        self._tls = tls

    def certificate(self) -> bytes:
        """The peer's certificate (DER), verified or not; b"" without TLS."""
        return (self._tls.getpeercert(binary_form=True) or b"") if self._tls is not None else b""

    def read_now(self) -> Read | None:
        """What is there; None when nothing is. Never waits. Data is b"" at the end of the stream.

        :raises OSError: the transport failed (reset).
        """
        before_ns = clock.now_ns()
        try:
            size, ancillary, _, _ = self._raw.recvmsg_into(self._into, _ANCILLARY_BYTES)
        except BlockingIOError:
            self._empty_after_ns = before_ns
            return None
        except InterruptedError:
            return None
        received_ns, after_ns = clock.now_ns(), self._empty_after_ns
        into = self._into[0]
        data = bytes(into[:size])
        exact = size < len(into)
        if exact:
            # the clock of before the call: what the kernel took in while it copied is still to be read, or in `data`
            self._empty_after_ns = before_ns
        arrived_ns, stamped = _arrival(ancillary, after_ns, received_ns) if ancillary else (received_ns, False)
        self.bytes_in += size
        if self._tls is not None and data:
            exact = self._records.end_whole(data) and exact
            data = self._decrypt(data)
            if not data:
                return None  # a piece of a record
        after_ns = min(after_ns, arrived_ns)
        return Read(data, arrived_ns, received_ns, after_ns, exact and stamped, stamped)

    def read(self, timeout_s: float) -> Read:
        """Wait for bytes.

        :raises TimeoutError, OSError:
        """
        while True:
            read = self.read_now()
            if read is not None:
                return read
            try:
                socket.wait_read(self.fileno(), timeout=timeout_s, timeout_exc=TimeoutError("no answer in time"))
            except TimeoutError:
                read = self.read_now()  # a busy process is woken late: it may have come long ago
                if read is None:
                    raise
                return read

    def write(self, data: bytes) -> None:
        """Write all of it, in the order of the calls.

        :raises OSError: the transport failed.
        """
        with self._writing:
            self.bytes_out += len(data)
            if self._tls is None:
                self._write_plainly(data)
                return
            self._tls.write(data)
            self._flush()

    def _write_plainly(self, data: bytes) -> None:
        """Nearly always the kernel takes all of it at once: the waiting way would ask for its buffer's size first."""
        try:
            sent = self._socket._sock.send(data)  # never waits; of a closed socket's none, and that is an OSError too
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._socket.sendall(data[sent:])

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


def connect(host: str, port: int, timeout_s: float, receive_buffer_bytes: int = 0) -> Stream:
    """Resolve and connect, trying every address.

    :param receive_buffer_bytes: what the kernel may hold unread; 0: what it thinks right.
    :raises socket.gaierror: the name does not resolve.
    :raises OSError: nobody answers there.
    """
    addresses = _look_up(host, port)
    error: OSError | None = None
    begun_ns = clock.now_ns()
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            if receive_buffer_bytes:  # before the connect, which tells the peer of it
                sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, receive_buffer_bytes)
            sock.connect(address)
            sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
            return Stream(sock, begun_ns)
        except OSError as problem:
            sock.close()
            error = problem
    raise error or OSError(f"{host} has no address")


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, without repeats.

    :raises socket.gaierror, UnicodeError: it has none.
    """
    found = _look_up(host, port)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


#: lookups under way: whoever asks for the same meanwhile waits for its answer
_lookups: dict[tuple[str, int], AsyncResult] = {}


def _look_up(host: str, port: int) -> list[_Address]:
    """What the resolver says of a name, asked anew each time, but once for all who ask at the same time.

    A lookup is a thread's work, of which there are few and each must wait for its turn of the interpreter: with ten
    thousand users on their way up, the lookups alone would take minutes. An address needs none.

    :raises socket.gaierror, UnicodeError:
    """
    try:
        numeric = stdlib_socket.AI_NUMERICHOST
        return stdlib_socket.getaddrinfo(host, port, type=stdlib_socket.SOCK_STREAM, flags=numeric)
    except (stdlib_socket.gaierror, UnicodeError):
        pass  # a name
    while (under_way := _lookups.get((host, port))) is not None:
        found: list[_Address] | None = under_way.get()
        if found is not None:
            return found
    mine = _lookups[host, port] = AsyncResult()
    try:
        found = socket.getaddrinfo(host, port, type=stdlib_socket.SOCK_STREAM)
        mine.set(found)
    except (OSError, UnicodeError) as error:
        mine.set_exception(error)
        raise
    finally:
        del _lookups[host, port]
        if not mine.ready():
            mine.set(None)  # a user that was stopped in its lookup: another must ask again
    return found


def _arrival(ancillary: list[tuple[int, int, bytes]], after_ns: int, received_ns: int) -> tuple[int, bool]:
    """The kernel's receive stamp on our clock, and whether there is one to be believed; else `received_ns`.

    Bytes cannot have come before the socket was last found empty, nor after they were read. A stamp that says so comes
    of a wall clock that was set: the tie is taken anew, and what lies outside even then is no stamp.
    """
    for level, kind, data in ancillary:
        if kind == _SO_TIMESTAMPING and level == _SOL_SOCKET and len(data) >= 16:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            if seconds:
                wall_ns = seconds * 1_000_000_000 + nanoseconds
                arrived_ns = clock.from_wall(wall_ns)
                if not after_ns - _TIE_SLACK_NS <= arrived_ns <= received_ns + _TIE_SLACK_NS:
                    clock.sample()
                    arrived_ns = clock.from_wall(wall_ns)
                    if not after_ns - _TIE_SLACK_NS <= arrived_ns <= received_ns + _TIE_SLACK_NS:
                        break
                # the two clocks are tied to some µs
                return (arrived_ns if arrived_ns < received_ns else received_ns), True
    return received_ns, False


class _Records:
    """Where TLS records end in the raw stream. OpenSSL does not tell whether it holds a piece of one back."""

    def __init__(self) -> None:
        self._left = 0  # bytes still to come of the record that has begun
        self._header = b""  # of one whose five bytes of header are not whole yet

    def end_whole(self, data: bytes) -> bool:
        """Take what was read; is its last byte the last one of a record?"""
        if self._header:
            data, self._header = self._header + data, b""
        at, size = self._left, len(data)
        while at < size:
            if size - at < 5:
                self._left, self._header = 0, data[at:]
                return False
            at += 5 + (data[at + 3] << 8 | data[at + 4])
        self._left = at - size
        return at == size
