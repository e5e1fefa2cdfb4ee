"""What several tests say: canaries and observers of one load test, frames as the netra dialect reads them, and small
servers of our own that say exactly what a test tells them. Imports no gevent: pure tests use it too.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import configargparse
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode

from crosstalk.checks.canary import Keyring, names_in
from crosstalk.checks.deep import Deep
from crosstalk.checks.exposure import Exposures
from crosstalk.checks.isolation import Observer, Roster
from crosstalk.checks.pieces import Pieces
from crosstalk.checks.violation import Violation
from crosstalk.options import add_options
from crosstalk.wire.event import Event
from crosstalk.wire.netra import Netra

MS = 1_000_000
SECRET = b"a long-lived secret for tests"
LOAD_TEST = 12_345
DEADLINE_S = 5.0


def keyring(*, secret: bytes = SECRET, load_test: int = LOAD_TEST) -> Keyring:
    return Keyring(secret, load_test)


def names(violations: Iterable[Violation]) -> list[str]:
    return [violation.name for violation in violations]


# --- frames of the netra dialect ------------------------------------------------------------------------------------


def frame(
    name: str, *, run: str = "", user: str = "", thread: str = "", agent: str = "supervisor", **data: Any
) -> bytes:
    """A frame in the main envelope."""
    ids = {"run_id": run, "user_id": user, "thread_id": thread, "agent_name": agent}
    return json.dumps({"type": name, **{key: value for key, value in ids.items() if value}, "data": data}).encode()


def event_of(data: bytes) -> Event:
    """The one event of a frame."""
    [event] = Netra().decode(data)
    return event


# --- observers ------------------------------------------------------------------------------------------------------


def user_name(number: int) -> str:
    return f"k3f{number:05}"


def _number(name: str) -> int | None:
    return int(name[3:]) if name.startswith("k3f") and name[3:].isdecimal() else None


ROSTER = Roster(user_name, _number, lambda text: [name.decode() for name in names_in(text, b"k3f")])


@dataclass
class House:
    """Observers that share a keyring, as the users of one worker do."""

    keyring: Keyring = field(default_factory=keyring)
    exposures: Exposures = field(default_factory=Exposures)
    pieces: Pieces = field(default_factory=Pieces)

    def observer(self, number: int) -> Observer:
        return Observer(
            keyring=self.keyring,
            roster=ROSTER,
            number=number,
            subject=user_name(number),
            exposures=self.exposures,
            deep=Deep(self.keyring, self.pieces, names_in=ROSTER.names_in),
            pieces=self.pieces,
        )


# --- options --------------------------------------------------------------------------------------------------------


class _Parser(configargparse.ArgumentParser):
    """Locust's parser as far as our options use it. (Importing Locust itself would patch this whole process.)"""

    def add_argument(self, *names: str, include_in_web_ui: bool = True, **more: Any) -> Any:
        return super().add_argument(*names, **more)


def parsed(*arguments: str, locustfile: str = "", env: dict[str, str] | None = None) -> argparse.Namespace:
    """Options as Locust hands them over."""
    parser = _Parser(exit_on_error=False)
    parser.add_argument("--locustfile", default=locustfile)
    add_options(parser)
    return parser.parse_args(list(arguments), env_vars=env or {})


# --- an error of our own --------------------------------------------------------------------------------------------


class _Faulty:
    """A raw socket that fails to read what holds some bytes: where the receive callback is Python, whatever runs."""

    def __init__(self, raw: Any, at: bytes) -> None:
        self._raw, self._at = raw, at

    def recvmsg_into(self, buffers: list[memoryview], ancillary_bytes: int) -> Any:
        read = self._raw.recvmsg_into(buffers, ancillary_bytes)
        if self._at in bytes(buffers[0][: read[0]]):
            raise RuntimeError("planted")
        return read


def fail_to_read(connection: Any, at: bytes) -> None:
    """The receive callback of an open connection raises when it reads these bytes."""
    connection._stream._raw = _Faulty(connection._stream._raw, at)


# --- servers --------------------------------------------------------------------------------------------------------

TEXT, CLOSE, PING, PONG = FrameOpcode.TEXT, FrameOpcode.CLOSE, FrameOpcode.PING, FrameOpcode.PONG


def frame_bytes(opcode: FrameOpcode, payload: bytes = b"", *, mask: bool = False) -> bytes:
    """A WebSocket frame; a server's is not masked."""
    return Frame(opcode, payload).serialize(mask=mask)


def close_bytes(code: int, reason: str = "") -> bytes:
    return frame_bytes(CLOSE, code.to_bytes(2, "big") + reason.encode())


class Peer:
    """One accepted connection, spoken to in plain blocking calls."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = ""

    def read_head(self) -> str:
        """The request's line and headers."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            piece = self.sock.recv(1)
            if not piece:
                break
            data += piece
        self.head = data.decode()
        return self.head

    def header(self, name: str) -> str:
        wanted = name.lower() + ":"
        return next(
            (line.partition(":")[2].strip() for line in self.head.splitlines() if line.lower().startswith(wanted)), ""
        )

    def accept(self, *more: str, then: bytes = b"") -> None:
        """Answer 101; `more`: further header lines, `then`: bytes in the same segment."""
        self.read_head()
        key = self.header("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        proof = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {proof}", *more]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + then)

    def answer(self, status: str, *more: str, body: str = "") -> None:
        """Answer a request with anything but 101."""
        self.read_head()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more]
        self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_text(self, data: bytes | str) -> None:
        self.send(frame_bytes(TEXT, data if isinstance(data, bytes) else data.encode()))

    def read_frame(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the client's next frame; None at the end of the stream."""
        head = self._exactly(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8) or b"", "big")
        mask, payload = self._exactly(4), self._exactly(length)
        if mask is None or payload is None:
            return None
        masks = (mask * (length // 4 + 1))[:length]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(masks, "big")
        return head[0] & 0x0F, plain.to_bytes(length, "big")

    def read_json(self) -> dict[str, Any]:
        read = self.read_frame()
        assert read is not None and read[0] == TEXT, read
        return json.loads(read[1])

    def drain(self) -> None:
        """Read whatever comes, frames or not, until the client goes."""
        while self._exactly(1) is not None:
            pass

    def read_to_end(self) -> list[tuple[int, bytes]]:
        frames = []
        while (read := self.read_frame()) is not None:
            frames.append(read)
        return frames

    def reset(self) -> None:
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                piece = self.sock.recv(size - len(data))
            except ConnectionError:
                return None
            if not piece:
                return None
            data += piece
        return bytes(data)


@dataclass
class Server:
    """Where a test's server listens, and what its handlers returned, in order of the connections' ends."""

    port: int
    returned: list[Any] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait(self) -> list[Any]:
        """Wait until every handler has returned; what they returned."""
        for thread in self._threads:
            thread.join(DEADLINE_S)
        assert not self.failed, self.failed
        return self.returned


@contextmanager
def server(*handlers: Callable[[Peer], Any], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that handles its first connection with the first handler, and so on; the last one stays."""
    listener = socket.create_server(("127.0.0.1", 0))
    here = Server(listener.getsockname()[1])

    def handle(sock: socket.socket, handler: Callable[[Peer], Any]) -> None:
        sock.settimeout(DEADLINE_S)
        try:
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True)
            here.returned.append(handler(Peer(sock)))
        except ssl.SSLError:
            pass  # the client did not like the certificate: that is what it is asked about
        except BaseException as error:
            here.failed.append(error)
        finally:
            sock.close()

    def accept() -> None:
        number = 0
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=handle, args=(sock, handlers[min(number, len(handlers) - 1)]), daemon=True)
            here._threads.append(thread)
            thread.start()
            number += 1

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield here
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


class Authority:
    """A certificate authority of a test's own: `file` goes to --ca."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of tests")])
        self.file = folder / "ca.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        ours = self._certificate(self._name, self._key, [(x509.BasicConstraints(True, None), True), (usage, True)])
        self.file.write_bytes(ours.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str) -> ssl.SSLContext:
        """What a server needs that is `host`, by name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        named: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            named = x509.IPAddress(ip_address(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._certificate(subject, key, [(x509.SubjectAlternativeName([named]), False)])
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())
