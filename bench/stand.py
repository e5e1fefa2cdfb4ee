"""The benchmark's sender as a child process, and the people who will talk to it."""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstalk.accounts import Mint

ROOT = Path(__file__).resolve().parents[1]


class SenderFailed(Exception):
    """The sender ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Regime:
    """What the sender does to each user. In each period, one slot a user: `per_slot` events in one write."""

    name: str
    users: int
    period_ms: float
    per_slot: int
    events_per_run: int
    tls: bool = False

    @property
    def rate(self) -> float:
        """Events per second that are offered, to all users together."""
        return self.users * self.per_slot / self.period_ms * 1000

    @property
    def scheme(self) -> str:
        return "wss" if self.tls else "ws"


class Sender:
    """`python -m bench.sender`. Use as a context; `folder` gets its certificate authority, tokens and log."""

    def __init__(self, regime: Regime, folder: Path) -> None:
        self.regime = regime
        self.folder = folder
        self.secret = secrets.token_hex(32)
        self.ca = folder / "ca.pem"
        self.people = folder / "people.json"
        self.log_file = folder / "sent.npz"
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "bench.sender", "--users", str(regime.users), "--period-ms", str(regime.period_ms),
            "--per-slot", str(regime.per_slot), "--events-per-run", str(regime.events_per_run),
            *(["--tls", str(self.ca)] if regime.tls else []),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT), "JWT_SECRET_KEY": self.secret},
        )  # fmt: skip
        self._unread = b""
        self.url = str(self._answer(20.0)["listening"])
        self._write_people()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/ws"

    def tell(self, order: str, *, timeout_s: float = 10.0) -> dict[str, Any]:
        """One order, and what the sender answers.

        :raises SenderFailed:
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return self._answer(timeout_s)

    def answered(self, timeout_s: float) -> dict[str, Any] | None:
        """What it says next; None when it says nothing for so long."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            if not select.select([self._process.stdout], [], [], timeout_s)[0]:
                return None
            said = os.read(self._process.stdout.fileno(), 65_536)
            if not said:
                raise SenderFailed(f"the sender ended with code {self._process.wait(10)}; its words stand above")
            self._unread += said
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def order(self, order: str) -> None:
        """An order whose answer is awaited elsewhere (`answered`)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        answer = self.answered(timeout_s)
        if answer is None:
            raise SenderFailed(f"the sender said nothing for {timeout_s:g} s")
        return answer

    def _write_people(self) -> None:
        """Names, tokens and words of as many people as there are users, for tools that cannot mint tokens."""
        mint = Mint(self.secret, "local")
        people = [
            {
                "name": (name := f"peer{number:04}"),
                "token": mint.token(name),
                "thread": f"thread-{name}-{secrets.token_hex(8)}",
                "ask": f"What does our plan cost this month? Please repeat this reference: {secrets.token_hex(18)}",
            }
            for number in range(self.regime.users)
        ]
        self.people.write_text(json.dumps(people))
