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

from crosstalk.generator import Generator
from crosstalk.ready import Check, connection, forged_token, health, token
from crosstalk.wire.redact import redact

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

    :param token_life_s: of the tokens that it makes; then it also closes sockets whose token has expired. 0: its own.
    """

    def __init__(
        self, *, seed: int, faults: str, log: str, environment: str, occasions: str = "", token_life_s: int = 0
    ) -> None:
        self.token_secret = secrets.token_hex(32)
        command = [sys.executable, "-m", "crosstalk.backend", "--port", "0", "--seed", str(seed), "--exit-with-stdin"]
        command += ["--environment", environment]  # so that a token of another one is refused
        if token_life_s:
            command += ["--token-life", str(token_life_s), "--close-at-expiry"]
        for fault in filter(None, faults.split(",")):
            command += ["--fault", fault]
        for occasion in filter(None, occasions.split(",")):
            command += ["--occasion", occasion]
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
    told: str = ""  # what the target itself calls its revision, whatever `--revision` says
    lines: list[str] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        if self.ready:
            self.ready, self.reason = False, reason


def check_ready(generator: Generator, number: int) -> Readiness:
    """Health, a token, a connection up to ready and identity, then one with a forged token, which must be refused.

    A forged token that is taken does not keep a load test from its start: it is recorded, and judged by its own limit.

    :param number: of the account that the check uses.
    """
    readiness, check = Readiness(), Check(generator, number)
    try:
        for step in (health, token, connection, forged_token):
            for line in step(check):
                readiness.lines.append(redact(f"{line.name}: {line.seen}"))
                if line.fatal:
                    readiness.fail(f"target not ready: {line}")
            if not readiness.ready:
                break
    finally:
        check.close()
    readiness.revision, readiness.source, readiness.told = check.revision, check.source, check.told
    return readiness


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
