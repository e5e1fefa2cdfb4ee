"""The calibration backend against an independent client: what it sends, when, and what it says of when."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from crosstalk.backend.calibration_script import SCRIPTS
from tests.backend.client import ROOT, SECRET, Backend, mint

MODULE = [sys.executable, "-m", "crosstalk.backend.calibration"]
REFERENCE = "ctlkreference0123456789"
MS = 1_000_000


@dataclass
class Calibration(Backend):
    truth_file: Path | None = None

    def open(self, user: str = "k3f00001", **options) -> ClientConnection:
        headers = {"Authorization": f"Bearer {options.pop('token', None) or mint(user, env='local')}"}
        socket_url = self.url.replace("http", "ws", 1) + "/ws"
        return connect(socket_url, additional_headers=headers, ssl=self.context, compression=None, **options)

    def end(self) -> dict:
        """Stop it; what it really did."""
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        return json.loads(self.truth_file.read_text())


@contextmanager
def calibration(tmp_path: Path, *options: str, tls: bool = False) -> Iterator[Calibration]:
    truth_file, ca = tmp_path / "truth.json", tmp_path / "ca.pem"
    command = [*MODULE, "--exit-with-stdin", "--truth", str(truth_file), *options]
    process = subprocess.Popen(
        command + (["--ca-out", str(ca)] if tls else []), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "JWT_SECRET_KEY": SECRET},
    )  # fmt: skip
    url = process.stdout.readline().split()[1]
    context = ssl.create_default_context(cafile=str(ca)) if tls else None
    try:
        yield Calibration(process, url, tmp_path / "log", context, truth_file)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def prompt(run: str, *, text: str = f"hello, repeat {REFERENCE}", thread: str = "thread-1") -> str:
    payload = {"user_request": text, "run_id": run, "thread_id": thread}
    return json.dumps({"type": "execute_agent", "payload": payload})


def heard(client: ClientConnection, count: int) -> list[tuple[int, dict]]:
    """So many frames, each with the wall clock at which this client had it."""
    return [(time.time_ns(), json.loads(text)) for text in (client.recv(timeout=10) for _ in range(count))]


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_every_event_of_the_script_comes_and_the_truth_is_before_its_arrival(tmp_path: Path, tls: bool) -> None:
    beats = SCRIPTS["paced"]()
    with calibration(tmp_path, tls=tls) as server:
        with server.open() as client:
            [(_, welcome)] = heard(client, 1)
            sent_ns = time.time_ns()
            client.send(prompt("run-1"))
            frames = heard(client, len(beats))
        truth = server.end()
    assert welcome["type"] == "connection_established" and welcome["data"]["user_id"] == "k3f00001..."
    events = [event for _, event in frames]
    assert [event["type"] for event in events] == [beat.kind for beat in beats] == truth["kinds"]
    assert {(event["run_id"], event["thread_id"], event["user_id"]) for event in events} == {
        ("run-1", "thread-1", "k3f00001")
    }
    streamed = "".join(event["data"]["chunk"] for event in events if event["type"] == "agent_response_chunk")
    assert streamed == events[-1]["data"]["result"] and streamed.endswith(REFERENCE)
    deeds = truth["runs"]["run-1"]
    assert sent_ns - MS < deeds["prompt_arrived_ns"] <= deeds["prompt_read_ns"] < deeds["before_ns"][0]
    for before_ns, after_ns, due_ns, (at_ns, _) in zip(
        deeds["before_ns"], deeds["after_ns"], deeds["due_ns"], frames, strict=True
    ):
        assert due_ns <= before_ns < after_ns and before_ns < at_ns + MS
    assert [due_ns - deeds["prompt_read_ns"] for due_ns in deeds["due_ns"]] == [beat.after_ns for beat in beats]


def test_no_gap_is_like_its_neighbour() -> None:
    due_ns = [beat.after_ns for beat in SCRIPTS["paced"]()]
    gaps = [later - earlier for earlier, later in pairwise(due_ns)]
    assert all(abs(later - earlier) >= 3 * MS for earlier, later in pairwise(gaps))
    assert min(gaps) >= 12 * MS and max(gaps) <= 28 * MS
    assert sum(gaps) / len(gaps) == pytest.approx(20 * MS, rel=0.02)


def test_it_lets_nobody_in_without_a_good_token(tmp_path: Path) -> None:
    with calibration(tmp_path) as server:
        good = mint("k3f00001", env="local")
        for token in ("nonsense", good[:-6] + "AAAAAA", mint("k3f00001", exp=1), mint("k3f00001", env="elsewhere"),
                      mint("k3f00001", aud="others")):  # fmt: skip
            with pytest.raises(InvalidStatus) as refused:
                server.open(token=token)
            assert refused.value.response.status_code == 401
        with server.open(token=good):
            pass


def test_it_answers_what_a_load_test_asks_besides(tmp_path: Path) -> None:
    with calibration(tmp_path) as server:
        assert server.http("GET", "/health")[:2] == (
            200,
            {"status": "healthy", "service": "calibration", "version": "1"},
        )
        assert server.http("DELETE", "/api/threads/x")[0] == 200
        assert server.http("GET", "/api/threads")[0] == 404
        with server.open() as client:
            heard(client, 1)
            assert client.ping().wait(10)
            client.send('{"type": "who_am_i", "message_id": "m1"}')
            client.send('{"type": "ping", "timestamp": 1}')
            client.send("not JSON")
            client.send(prompt("run-1", text=""))
            client.send(prompt("run-1", text='repeat "quoted"'))
            [ack, pong, *errors] = [frame for _, frame in heard(client, 5)]
        assert ack["type"] == "ack" and ack["user_id"] == "k3f00001" and ack["message_id"] == "m1"
        assert pong["type"] == "pong"
        assert [error["error_code"] for error in errors] == ["INVALID_MESSAGE"] * 3
        assert server.end()["runs"] == {}


def test_a_long_prompt_and_two_in_one_segment_are_both_read(tmp_path: Path) -> None:
    with calibration(tmp_path, "--script", "brief") as server:
        with server.open() as client:
            heard(client, 1)
            client.send(prompt("run-1", text=f"{'long ' * 30_000} {REFERENCE}"))  # a 64-bit length
            client.send(prompt("run-2", text=f"{'long ' * 100} {REFERENCE}"))  # a 16-bit one
            runs = [frame["run_id"] for _, frame in heard(client, 8)]
        assert sorted(runs) == ["run-1"] * 4 + ["run-2"] * 4
        assert server.end()["runs"].keys() == {"run-1", "run-2"}


def test_a_fragmented_message_is_refused_in_words(tmp_path: Path) -> None:
    with calibration(tmp_path) as server, server.open() as client:
        heard(client, 1)
        with pytest.raises(ConnectionClosed) as closed:  # while the second piece is sent, or after it
            client.send(iter(["two ", "pieces"]))
            client.recv(timeout=10)
        assert closed.value.rcvd.code == 1003


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_client_that_does_not_read_gets_everything_late_and_the_truth_says_so(tmp_path: Path, tls: bool) -> None:
    """More than the buffers of both sides hold: what is held back went out when the kernel took its last byte."""
    runs, size = 400, len(SCRIPTS["paced"]())
    with calibration(tmp_path, tls=tls) as server:
        port = int(server.url.rpartition(":")[2])
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        with server.open(sock=sock, max_queue=1, server_hostname="127.0.0.1" if tls else None) as client:
            heard(client, 1)
            for number in range(runs):
                client.send(prompt(f"run-{number}"))
            time.sleep(1.5)  # bounded: the whole script is due meanwhile, and cannot be sent
            resumed_ns = time.time_ns()
            seen: dict[str, list[str]] = {}
            for _, event in heard(client, runs * size):
                seen.setdefault(event["run_id"], []).append(event["type"])
        truth = server.end()
    assert len(seen) == runs and all(kinds == truth["kinds"] for kinds in seen.values())
    before_ns = [deeds["before_ns"] for deeds in truth["runs"].values()]
    assert all(len(instants) == size and instants == sorted(instants) for instants in before_ns)
    held_back = sum(instants[-1] > resumed_ns for instants in before_ns)
    assert held_back > runs / 10


def test_it_stands_still_when_it_is_told_to(tmp_path: Path) -> None:
    with calibration(tmp_path, "--script", "brief", "--freeze", "0.2:0.5") as server:
        with server.open() as client:
            heard(client, 1)
            begun_ns, number = time.monotonic_ns(), 0
            while time.monotonic_ns() < begun_ns + 10**9:
                client.send(prompt(f"run-{number}"))
                heard(client, 4)
                number += 1
        truth = server.end()
    [[frozen_ns, awake_ns]] = truth["frozen_ns"]
    assert awake_ns - frozen_ns >= 500 * MS
    instants = sorted(at_ns for deeds in truth["runs"].values() for at_ns in deeds["before_ns"])
    assert not [at_ns for at_ns in instants if frozen_ns < at_ns < awake_ns]
    assert instants[0] < frozen_ns and instants[-1] > awake_ns
    asleep = [deeds for deeds in truth["runs"].values() if frozen_ns < deeds["prompt_arrived_ns"] < awake_ns]
    assert all(deeds["prompt_read_ns"] >= awake_ns for deeds in asleep)


@pytest.mark.parametrize(
    ("options", "secret", "said"),
    [
        (("--freeze", "2"), SECRET, "expected AFTER:FOR in seconds"),
        (("--freeze", "1:0"), SECRET, "expected AFTER:FOR in seconds"),
        (("--script", "unknown"), SECRET, "invalid choice"),
        ((), "short", "JWT_SECRET_KEY: expected"),
    ],
)
def test_a_mistake_is_said_in_words(options: tuple[str, ...], secret: str, said: str) -> None:
    done = subprocess.run([*MODULE, *options], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, "JWT_SECRET_KEY": secret})  # fmt: skip
    assert done.returncode == 2 and said in done.stderr
