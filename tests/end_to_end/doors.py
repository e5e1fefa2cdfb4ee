"""What stands at the door of a target in tests: the preflight tool as a person runs it, a proxy, and a picky server."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.locust_process import ROOT, environment
from tests.helpers import Peer, frame, frame_bytes

TABLE = "connect_timeout_s = 2\nagent_timeout_s = 2\nreceive_timeout_s = 5\n"


@dataclass(frozen=True)
class Flown:
    """What the preflight tool said. `lines`: (state, name, rest) of every step."""

    exit_code: int
    output: str
    took_s: float

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        return [
            (line[:5].strip(), line[6:23].strip(), line[24:])
            for line in self.output.splitlines()
            if line.startswith(("ok   ", "warn ", "FAIL "))
        ]

    def of(self, name: str) -> list[tuple[str, str]]:
        return [(state, said) for state, step, said in self.lines if step == name]

    @property
    def failed(self) -> list[str]:
        return [name for state, name, _ in self.lines if state == "FAIL"]


def preflight(*options: str, **variables: str) -> Flown:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "crosstalk.tools.preflight", *options],
        cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    return Flown(done.returncode, output, time.monotonic() - begun)


def project(folder: Path, table: str, *, name: str = "local") -> tuple[str, ...]:
    """A project of one's own whose environment has these keys; the options that name it."""
    (folder / "locustfile.py").write_text((ROOT / "locustfile.py").read_text())
    (folder / "environments.toml").write_text(f"[{name}]\n{TABLE}{table}")
    return ("-f", str(folder / "locustfile.py"), "--environment", name)


@dataclass
class Proxy:
    """A proxy that passes on what it is asked to, and remembers the first lines of its requests."""

    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def proxy(credentials: str = "") -> Iterator[Proxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    here = Proxy(listener.getsockname()[1])
    wanted = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := client.recv(4096)):
            head += piece
        if not head:
            return
        here.asked.append(head.split(b"\r\n")[0].decode())
        verb, where, _ = here.asked[-1].split(" ")
        if wanted not in head.decode():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = where.removeprefix("http://").partition("/")[0].rpartition(":")
        target = socket.create_connection((host, int(port)))
        if verb == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            target.sendall(head)
        threading.Thread(target=pump, args=(client, target), daemon=True).start()
        pump(target, client)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield here
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def doorkeeper(let_in: Callable[[str], str | None], heads: list[str] | None = None) -> Callable[[Peer], None]:
    """A handler for `tests.helpers.server`: welcomes whom `let_in(token)` names, refuses others; says it is healthy.

    :param heads: gets the head of every request.
    """

    def handle(peer: Peer) -> None:
        head = peer.read_head()
        if not head:
            return  # somebody looked whether anybody is there
        if heads is not None:
            heads.append(head)
        body = json.dumps({"status": "healthy"})
        if "Upgrade: websocket" not in head:
            size = int(peer.header("Content-Length") or 0)
            if size:
                peer.sock.recv(size)
            peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            return
        user = let_in(peer.header("Authorization").removeprefix("Bearer "))
        if user is None:
            peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        peer.read_head = lambda: head  # type: ignore[method-assign]
        peer.accept(then=frame_bytes(1, frame("connection_established", user_id=user)))
        peer.read_to_end()

    return handle
