"""A target that becomes another in mid-run: its times are of nobody in particular, and the verdict says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import Ended, run

FIRST, NEXT = b"abc123", b"abc124"


@contextmanager
def front(port: int, *, turns: bool) -> Iterator[str]:
    """What stands before a backend; where it `turns`, the revision reads otherwise once it has been told."""
    listener = socket.create_server(("127.0.0.1", 0))
    told = threading.Event()

    def pass_on(one: socket.socket, other: socket.socket, *, answers: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if answers and FIRST in data:
                    data = data.replace(FIRST, NEXT) if turns and told.is_set() else data
                    told.set()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for one, other, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=pass_on, args=(one, other), kwargs={"answers": answers}, daemon=True
                    ).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def load_test(tmp_path: Path, *, turns: bool, more: tuple[str, ...] = ()) -> Ended:
    options = ("--users", "3", "--spawn-rate", "3", "--run-time", "60s", "--max-runs", "6", "--limits",
               "tests/end_to_end/trouble.toml", *more)  # fmt: skip
    with (
        backend("--revision", FIRST.decode()) as process,
        front(int(process.url.rpartition(":")[2]), turns=turns) as host,
    ):
        return run(tmp_path, *options, "--host", host, JWT_SECRET_KEY=SECRET)


@pytest.mark.parametrize("named", [(), ("--revision", "release 7")], ids=["by itself", "--revision"])
def test_a_target_that_became_another_makes_times_unknown(tmp_path: Path, named: tuple[str, ...]) -> None:
    """Also where the command line names the revision: the target's own word changed."""
    ended = load_test(tmp_path, turns=True, more=named)
    target = ended.run["target"]
    assert target["changed"] is True
    assert [one["revision"] for one in target["revisions"]] == [FIRST.decode(), NEXT.decode()]
    assert target["revision"] == (named[1] if named else FIRST.decode())
    [cause] = [cause for cause in ended.verdict["measurement"]["causes"] if "revision" in cause]
    assert cause.startswith("the target's revision changed during the load test: abc123, then abc124 (seen at ")
    assert ended.verdict["judgements"]["timing"] == "unknown"
    assert ended.verdict["judgements"]["delivery"] == "pass"
    assert ended.verdict["provenance"]["target"]["changed"] is True


def test_a_target_that_stays_the_same_is_said_to(tmp_path: Path) -> None:
    ended = load_test(tmp_path, turns=False)
    assert ended.run["target"]["changed"] is False
    assert [one["revision"] for one in ended.run["target"]["revisions"]] == [FIRST.decode()]
    assert [cause for cause in ended.verdict["measurement"]["causes"] if "revision" in cause] == []
