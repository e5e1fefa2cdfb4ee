"""What stands while a load test runs: programs on loopback ports, started in order and ended in the opposite one."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.incidents.venvs import HERE, ROOT, redis_server

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
LOAD_TEST_TIMEOUT_S = 180.0
#: one way between a server and its Redis
DELAY_MS = 10


@dataclass(frozen=True, slots=True)
class Incident:
    """A server in a folder of this name, and how it is driven."""

    folder: str
    scenario: str  # of scenarios/
    options: tuple[str, ...] = ()  # of the harness
    redis: bool = False  # the server keeps its state in Redis
    front: bool = False  # HTTP comes by a reverse proxy

    @property
    def releases(self) -> list[str]:
        """What stands in the names of its requirements, `fixed` last."""
        found = [file.stem.removeprefix("requirements_") for file in (HERE / self.folder).glob("requirements_*.txt")]
        return sorted(found, key=lambda release: (release == "fixed", release != "vulnerable", release))

    def requirements(self, release: str) -> Path:
        return HERE / self.folder / f"requirements_{release}.txt"

    def pin(self, release: str) -> str:
        """The release that this is about, as "redis 4.5.1": the first line of its requirements."""
        return self.requirements(release).read_text(encoding="utf-8").splitlines()[0].replace("==", " ")


class StandFailed(Exception):
    """A program ended, or said nothing, before it was ready, or a load test did not end; the text says which."""


@dataclass(slots=True)
class _Heard:
    lines: list[str] = field(default_factory=list)
    address: str = ""
    settled: threading.Event = field(default_factory=threading.Event)


@contextmanager
def program(
    command: Sequence[str], log: Path, *, env: Mapping[str, str], address_in: Callable[[str], str]
) -> Iterator[str]:
    """Run a program until the block is left; yields its address once it says that it is ready.

    :param log: everything that it says.
    :param address_in: the address in a line that says so, "" in any other.
    :raises StandFailed:
    """
    heard = _Heard()

    def listen() -> None:
        assert process.stdout is not None
        with log.open("w", encoding="utf-8") as file:
            for line in process.stdout:
                file.write(line)
                if not heard.settled.is_set():
                    heard.lines.append(line)
                    heard.address = address_in(line)
                    if heard.address:
                        heard.settled.set()
        heard.settled.set()

    with subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            heard.settled.wait(START_TIMEOUT_S)
            if not heard.address:
                raise StandFailed(
                    f"{command[0]} did not start: {''.join(heard.lines[-3:]).strip() or 'it said nothing'}"
                )
            yield heard.address
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            listener.join()


def listening(line: str) -> str:
    return line.removeprefix("LISTENING ").strip() if line.startswith("LISTENING ") else ""


def load_test(incident: Incident, python: Path, results: Path, *, run_time_s: int) -> int:
    """One load test of the server under this Python, with all that stands around it; its exit code.

    :raises StandFailed:
    """
    results.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "JWT_", "CROSSTALK_"))}
    env |= {"JWT_SECRET_KEY": secrets.token_hex(32), "PYTHONUNBUFFERED": "1"}
    with ExitStack() as standing:

        def run(name: str, *command: str, address_in: Callable[[str], str] = listening) -> str:
            return standing.enter_context(program(command, results / f"{name}.log", env=env, address_in=address_in))

        more: list[str] = []
        if incident.redis:
            more = ["--redis", run("delay", *_delay(_redis(run, standing)))]
        url = run("server", str(python), str(HERE / incident.folder / "server.py"), "--port", "0", *more)
        options = [*incident.options, "--host", url, "--run-time", f"{run_time_s}s"]
        if incident.front:
            options += ["--rest-url", run("front", sys.executable, str(HERE / "front.py"), "--to", url)]
        return _harness(incident, options, results, env)


def _redis(run: Callable[..., str], standing: ExitStack) -> str:
    """A Redis that keeps nothing on disk; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = standing.enter_context(tempfile.TemporaryDirectory())
    where = ("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no")
    return run(
        "redis", redis_server(), *where,
        address_in=lambda line: f"127.0.0.1:{port}" if "Ready to accept connections" in line else "",
    )  # fmt: skip


def _delay(to: str) -> list[str]:
    return [sys.executable, str(HERE / "delay.py"), "--to", to, "--ms", str(DELAY_MS)]


def _harness(incident: Incident, options: Sequence[str], results: Path, env: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "locust", "--config", f"scenarios/{incident.scenario}.conf", "--fail-fast"]
    if incident.scenario == "smoke":
        command += ["-f", "locustfile.py"]  # people who chat, and nobody else
    files = ("--limits", str(HERE / "limits.toml"), "--prompts", str(HERE / "prompts.toml"), "--results", str(results))
    with (results / "harness.log").open("w", encoding="utf-8") as log:
        try:
            return subprocess.run(
                [*command, *files, *options], cwd=ROOT, env={**env, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, timeout=LOAD_TEST_TIMEOUT_S, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StandFailed(f"the load test did not end within {LOAD_TEST_TIMEOUT_S:g} s: {results}") from None
