"""The system under test: the reference backend as a child of ours, or somebody else's; and whether it is ready."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent

from crosstalk.config import Settings
from crosstalk.generator import Generator
from crosstalk.http import HttpClient
from crosstalk.session import NotReady

START_TIMEOUT_S = 20.0


class BackendFailed(Exception):
    """The reference backend did not start; the text says why. `exit_code`: its own, 2 for a bad option."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ReferenceBackend:
    """`python -m crosstalk.backend` as a child process.

    It runs in a session of its own, so that Ctrl+C does not reach it before the harness, and ends when its standard
    input closes, so that it cannot outlive the harness either.
    """

    def __init__(self, *, seed: int, faults: str, log: str) -> None:
        self.token_secret = secrets.token_hex(32)
        command = [sys.executable, "-m", "crosstalk.backend", "--port", "0", "--seed", str(seed), "--exit-with-stdin"]
        for fault in filter(None, faults.split(",")):
            command += ["--fault", fault]
        with open(log, "wb") as log_file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env={**os.environ, "JWT_SECRET_KEY": self.token_secret, "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,
            )
        self._log = log
        self.stopping = False
        self.url = self._await_listening()

    def _await_listening(self) -> str:
        assert self._process.stdout is not None
        line = b""
        with gevent.Timeout(START_TIMEOUT_S, False):
            line = self._process.stdout.readline()
        if line.startswith(b"LISTENING "):
            return line.split()[1].decode()
        self.stop()
        said = [text for text in _read(self._log).splitlines() if text.strip()]
        last = said[-1] if said else f"no LISTENING line within {START_TIMEOUT_S:g} s"
        raise BackendFailed(f"the reference backend did not start: {last}", self._process.returncode or 1)

    def watch(self, on_death: Callable[[str], None]) -> None:
        """Call `on_death` once, should the backend end while nobody asked it to."""
        gevent.spawn(self._watch, on_death)

    def _watch(self, on_death: Callable[[str], None]) -> None:
        code = self._process.wait()
        if not self.stopping:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            on_death(f"the reference backend ended in mid-run ({how}); its log: {self._log}")

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        self.stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(slots=True)
class Readiness:
    """What the short check before a load test saw. `lines`: one a step, for the terminal and the record."""

    ready: bool = True
    reason: str = ""
    revision: str = ""
    source: str = ""
    lines: list[str] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        if self.ready:
            self.ready, self.reason = False, reason


def check_ready(generator: Generator, http: HttpClient, settings: Settings, number: int) -> Readiness:
    """Health, then a connection up to ready and identity, then one with a forged token, which must be refused.

    :param number: of the account that the check uses.
    """
    readiness = Readiness()
    _health(http, settings, readiness)
    person = generator.person("preflight", number)
    session = None
    socket_path = ""
    try:
        session = generator.session(person, purpose="preflight")
        socket_path = generator.make_place(person)
        session.go_to(socket_path)
        session.open()
        readiness.lines.append(f"ready: {generator.settings.dialect.name} connection for {person.name}")
    except NotReady as problem:
        readiness.lines.append(f"not ready: {problem}")
        readiness.fail(_advice(problem, settings))
    finally:
        if session is not None:
            session.close()
        generator.leave_for_good(person)
    if readiness.ready:
        _forged_token(generator, number, readiness)
    return readiness


def _health(http: HttpClient, settings: Settings, readiness: Readiness) -> None:
    path = settings.dialect.health_path
    if not path:
        return
    answer = http.call("GET", path, timeout_s=settings.environment.connect_timeout_s)
    if answer.status == 0:
        readiness.lines.append(f"health: {answer.error}")
        return
    body = answer.body if isinstance(answer.body, dict) else {}
    parts = body.get("parts") or body.get("components") or {}
    degraded = [name for name, state in parts.items() if state != "healthy"] if isinstance(parts, dict) else []
    said = f"health: HTTP {answer.status}, {body.get('status', 'no status')}"
    readiness.lines.append(said + (f"; degraded: {', '.join(degraded)}" if degraded else ""))
    header = answer.headers.get("X-Revision", "")
    for revision, source in (
        (settings.revision, "--revision"),
        (str(body.get("revision") or ""), f"{path} revision"),
        (header, "header X-Revision"),
        (str(body.get("version") or ""), f"{path} version"),
    ):
        if revision:
            readiness.revision, readiness.source = revision, source
            return


def _forged_token(generator: Generator, number: int, readiness: Readiness) -> None:
    """A backend that takes any token makes every other check worthless. Recorded, and judged by its own limit."""
    person = generator.person("preflight", number)
    session = generator.session(person, purpose="bad_token")
    try:
        session.go_to(generator.make_place(person))
        session.open()
        readiness.lines.append("forged token: ACCEPTED; the target takes a token that it did not sign")
    except NotReady as problem:
        readiness.lines.append(f"forged token: refused ({problem})")
    finally:
        session.close()
        generator.leave_for_good(person)


def _advice(problem: NotReady, settings: Settings) -> str:
    """The one line that tells the person at the keyboard what to do."""
    said = f"target not ready: {problem}"
    if problem.wrong_identity:
        return f"{said}; every later check would be void: is the target in a demo or test mode?"
    return said + {
        "resolve": "; check the host's name",
        "connect": "; is it running, and is the port right?",
        "upgrade": f"; is {settings.dialect.socket_path} its socket path, and --auth {settings.transport} its way?",
        "authenticate": "; does the secret here equal the target's, and is the account known there?",
        "ready": f"; does the target speak {settings.dialect_name}?",
    }.get(problem.stage, "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
