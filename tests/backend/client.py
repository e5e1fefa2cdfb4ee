"""A backend process to test against, and a plain client of it that shares no code with the project's own."""

from __future__ import annotations

import json
import os
import select
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from websockets.sync.client import ClientConnection, connect

SECRET = "a secret for tests that is long enough"
PASSWORD = "open sesame"
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 10.0

Frame = dict[str, Any]


def mint(user_id: str, **claims: Any) -> str:
    """An access token; a claim of None is left out."""
    now_s = int(time.time())
    all_claims = {
        "sub": user_id,
        "iat": now_s,
        "exp": now_s + 300,
        "iss": "netra-auth-service",
        "aud": "netra-platform",
        "jti": uuid.uuid4().hex,
        "token_type": "access",
        **claims,
    }
    return jwt.encode({key: value for key, value in all_claims.items() if value is not None}, SECRET, "HS256")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "crosstalk.backend", *arguments]


def environment(**changes: str | None) -> dict[str, str]:
    values = {**os.environ, "JWT_SECRET_KEY": SECRET, "LOGIN_PASSWORD": PASSWORD, **changes}
    return {key: value for key, value in values.items() if value is not None}


class OneAtATime(ssl.SSLSocket):
    """A TLS socket that two threads may use: OpenSSL's state is not for a reader and a writer at once, and before
    Python 3.13 nobody kept them apart. The client here reads in a thread of its own while another writes.
    """

    def recv(self, *arguments: Any) -> bytes:
        while True:
            if not self.pending():
                select.select([self], [], [])
            with self._lock:
                self.setblocking(False)
                try:
                    return super().recv(*arguments)
                except ssl.SSLWantReadError:
                    continue
                finally:
                    self.setblocking(True)

    def sendall(self, *arguments: Any) -> None:
        with self._lock:
            super().sendall(*arguments)

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()


@dataclass
class Backend:
    process: subprocess.Popen[str]
    url: str
    log: Path
    context: ssl.SSLContext | None = None

    def http(self, verb: str, path: str, *, user: str | None = None, token: str | None = None, body: Any = None):
        """(status, decoded body, headers) of one request."""
        headers = {"Content-Type": "application/json"}
        if user is not None:
            token = mint(user)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=verb, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S, context=self.context) as response:
                status, raw, answered = response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            status, raw, answered = error.code, error.read(), error.headers
        return status, json.loads(raw) if raw else None, answered

    def open(self, path: str = "/ws", **options: Any) -> ClientConnection:
        # no bound on what is unread: with one, a client that leaves frames unread waits ten seconds for its close
        return connect(self.url.replace("http", "ws", 1) + path, ssl=self.context, **{"max_queue": None, **options})

    @contextmanager
    def user(self, user_id: str, *, token: str | None = None) -> Iterator[Client]:
        """A client that has read its welcome."""
        headers = {"Authorization": f"Bearer {token or mint(user_id)}"}
        with self.open(additional_headers=headers) as socket:
            client = Client(user_id, socket)
            client.welcome = client.read()
            yield client


class Client:
    """One socket of one user."""

    def __init__(self, user_id: str, socket: ClientConnection) -> None:
        self.user_id = user_id
        self.socket = socket
        self.welcome: Frame = {}

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def read_raw(self, timeout_s: float = DEADLINE_S) -> str:
        frame = self.socket.recv(timeout=timeout_s)
        assert isinstance(frame, str)
        return frame

    def read(self, timeout_s: float = DEADLINE_S) -> Frame:
        return json.loads(self.read_raw(timeout_s))

    def start(self, prompt: str, **payload: Any) -> str:
        run_id = payload.setdefault("run_id", f"run-{uuid.uuid4().hex}")
        self.send("execute_agent", payload={"user_request": prompt, **payload})
        return run_id

    def run(self, prompt: str, **payload: Any) -> list[Frame]:
        """Start a run and read to its end: all frames that came, whoever's they are."""
        self.start(prompt, **payload)
        return self.read_to_end()

    def read_to_end(self) -> list[Frame]:
        frames = [self.read()]
        while not is_end(frames[-1]):
            frames.append(self.read())
        return frames

    def drain(self) -> list[Frame]:
        """Every frame that the server has sent so far: what comes before the answer to a probe."""
        probe = uuid.uuid4().hex
        self.send("probe", request_id=probe)
        frames = []
        while True:
            frame = self.read()
            if frame.get("request_id") == probe:
                return frames
            frames.append(frame)


def is_end(frame: Frame) -> bool:
    if frame["type"] in ("agent_error", "error_message"):
        return True
    return frame["type"] == "agent_completed" and not frame["data"].get("nested")


def kinds(frames: list[Frame]) -> list[str]:
    return [frame["type"] for frame in frames]


def streamed(frames: list[Frame]) -> str:
    return "".join(frame["data"]["chunk"] for frame in frames if frame["type"] == "agent_response_chunk")


@contextmanager
def backend(*arguments: str, **environment_changes: str | None) -> Iterator[Backend]:
    """A backend on a free port that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command("--port", "0", "--seed", "7", "--exit-with-stdin", *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env=environment(**environment_changes),
            )
        assert process.stdin and process.stdout
        try:
            line = process.stdout.readline()
            scheme = "https" if "--tls" in arguments else "http"
            assert line.startswith(f"LISTENING {scheme}://127.0.0.1:"), log.read_text()
            yield Backend(process, line.split()[1], log)
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=5)
            finally:
                process.kill()
                process.stdout.close()
