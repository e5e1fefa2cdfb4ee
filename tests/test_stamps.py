"""The kernel's stamps against a sender's own clock, and the bounds where a stamp is not exact.

Truth is known as an interval: a frame arrived between the instants just before and just after its sender's write.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event as Flag
from hypothesis import given
from hypothesis import strategies as st

import crosstalk.stream as stream_module
from crosstalk.clock import clock
from crosstalk.config import tls_context
from crosstalk.connection import Arrival, Connection, Endpoint, Inbox
from crosstalk.stream import Stream, _arrival, _Records
from tests.helpers import DEADLINE_S, MS, TEXT, Authority, Peer, frame_bytes, server

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 1500
#: the sender's clock is ours, but what we keep of it is tied to the wall clock, and that to the kernel's stamps
TIE_NS = 20_000


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox._greenlet.kill()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def certificate_of(authority: Authority) -> Path:
    """Of a server at 127.0.0.1, for another process."""
    authority.server_context("127.0.0.1")
    return authority.file.with_name("server.pem")


class Sent:
    """Everything a sender sent, as it arrived, and its own instants on our clock."""

    def __init__(self, heard: list[Arrival]) -> None:
        *self.arrivals, told = heard
        offset_ns = clock.now_ns() - time.monotonic_ns()
        self.before_ns = [int(arrival.message.data) + offset_ns for arrival in self.arrivals]
        self.after_ns = [at_ns + offset_ns for at_ns in json.loads(told.message.data)]
        assert len(self.before_ns) == len(self.after_ns)

    def early(self) -> list[int]:
        """Frames said to have arrived before they were written."""
        return [n for n, a in enumerate(self.arrivals) if a.arrived_ns < self.before_ns[n] - TIE_NS]

    def late(self) -> list[int]:
        """Frames whose lower bound lies after their write."""
        return [n for n, a in enumerate(self.arrivals) if a.arrived_after_ns > self.after_ns[n] + TIE_NS]

    def wrong(self) -> list[int]:
        """Frames whose stamp is said to be their own, and lies after their write."""
        return [n for n, a in enumerate(self.arrivals) if a.exact and a.arrived_ns > self.after_ns[n] + TIE_NS]

    def exact(self) -> float:
        return sum(arrival.exact for arrival in self.arrivals) / len(self.arrivals)


def take_all(
    inbox: Inbox, *, seed: int, certificate: Path | None = None, busy_ms: float = 0.0, frames: int = FRAMES,
    timeout_s: float = DEADLINE_S,
) -> Sent:  # fmt: skip
    """Read what a sender in its own process sends; `busy_ms`: its reader's loop is held up so long, always."""
    command = [sys.executable, str(ROOT / "tests" / "stamped_sender.py"), str(seed), str(frames)]
    command += [str(certificate)] if certificate else []
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    heard: list[Arrival] = []
    complete = Flag()

    def listen(arrival: Arrival) -> None:
        heard.append(arrival)
        if len(heard) > frames and heard[-1].message.data.startswith(b"["):
            complete.set()

    def burn() -> None:
        while True:
            until_ns = clock.now_ns() + int(busy_ms * MS)
            while clock.now_ns() < until_ns:
                pass
            gevent.sleep(0.0001)  # bounded: lets the loop go round once

    burner = gevent.spawn(burn) if busy_ms else None
    try:
        scheme = "wss" if certificate else "ws"
        tls = tls_context(str(certificate.with_name("ca.pem"))) if certificate else None
        url = f"{scheme}://127.0.0.1:{int(sender.stdout.readline())}/"
        connection = Connection(Endpoint(url, timeout_s=timeout_s, tls=tls), inbox, listen)
        connection.open()
        assert complete.wait(DEADLINE_S), f"{len(heard)} of {frames} came"
        connection.reset()
    finally:
        if burner is not None:
            burner.kill()
        sender.kill()
        sender.wait()
    if not connection.stamps:
        pytest.skip("no kernel stamps here")
    return Sent(heard)


@pytest.mark.parametrize("busy_ms", [0, 8], ids=["idle", "busy"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_truth_lies_between_the_bounds_of_every_frame(inbox, authority, secure, busy_ms):
    certificate = certificate_of(authority) if secure else None
    sent = take_all(inbox, seed=busy_ms + secure, certificate=certificate, busy_ms=busy_ms)
    assert sent.early() == []
    # a packet may wait between its stamp and its socket, unseen by a read that comes between: a thousandth is allowed
    assert len(sent.late()) <= FRAMES / 1000
    assert len(sent.wrong()) <= FRAMES / 1000
    assert all(a.arrived_after_ns <= a.arrived_ns <= a.received_ns for a in sent.arrivals)
    assert all(a.arrived_after_ns == a.arrived_ns for a in sent.arrivals if a.exact)
    assert (0 if busy_ms else 0.2) < sent.exact() < 1.0
    if busy_ms:
        lags = sorted(arrival.received_ns - arrival.arrived_ns for arrival in sent.arrivals)
        assert lags[-1] > 2 * MS, "the reader was not busy, so nothing was shown"


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_loop_that_was_held_up_does_not_take_its_own_lateness_for_silence(inbox, authority, secure):
    """Each wait of the way up is held up for longer than it may take."""
    certificate = certificate_of(authority) if secure else None
    sent = take_all(inbox, seed=1, certificate=certificate, busy_ms=250, frames=3, timeout_s=0.2)
    assert len(sent.arrivals) >= 3


class Between:
    """A raw socket whose reads are cut in two: after the bytes are copied, and before the caller knows, more arrive."""

    def __init__(self, raw: socket.socket, arrive: list[bytes], peer: socket.socket) -> None:
        self._raw, self._arrive, self._peer = raw, arrive, peer
        self.arrived_ns: list[int] = []

    def recvmsg_into(self, buffers: list, ancillary: int) -> tuple:
        read = self._raw.recvmsg_into(buffers, ancillary)
        if self._arrive:
            self.arrived_ns.append(clock.now_ns())
            self._peer.sendall(self._arrive.pop(0))
        return read


def pair() -> tuple[Stream, socket.socket]:
    """A stream and its peer."""
    listener = socket.create_server(("127.0.0.1", 0))
    stream = stream_module.connect("127.0.0.1", listener.getsockname()[1], DEADLINE_S)
    peer, _ = listener.accept()
    listener.close()
    return stream, peer


def test_what_arrives_while_a_read_is_under_way_is_not_said_to_have_come_after_it():
    stream, peer = pair()
    between = stream._raw = Between(stream._raw, [b"during"], peer)
    peer.sendall(b"first")
    first, during = stream.read(DEADLINE_S), stream.read(DEADLINE_S)
    assert (first.data, during.data) == (b"first", b"during")
    assert during.arrived_after_ns <= between.arrived_ns[0]
    assert first.received_ns >= between.arrived_ns[0], "else the test shows nothing"
    stream.close()
    peer.close()


def test_a_socket_found_empty_is_a_lower_bound_and_a_read_that_left_something_is_none(monkeypatch):
    monkeypatch.setattr(stream_module, "READ_BYTES", 4)
    stream, peer = pair()
    assert stream.read_now() is None
    empty_ns = clock.now_ns()
    peer.sendall(b"12345678")
    first, second = stream.read(DEADLINE_S), stream.read(DEADLINE_S)
    assert (first.data, second.data) == (b"1234", b"5678")
    assert first.arrived_after_ns == second.arrived_after_ns < empty_ns
    assert stream.read_now() is None
    peer.sendall(b"9")
    assert stream.read(DEADLINE_S).arrived_after_ns > empty_ns
    stream.close()
    peer.close()


# --- the wall clock is set ------------------------------------------------------------------------------------------


def stamp_of(wall_ns: int) -> list[tuple[int, int, bytes]]:
    seconds, nanoseconds = divmod(wall_ns, 1_000_000_000)
    data = stream_module._TIMESPEC.pack(seconds, nanoseconds)
    return [(socket.SOL_SOCKET, stream_module._SO_TIMESTAMPING, data)]


@pytest.fixture
def set_wall_clock(monkeypatch) -> Iterator:
    """Sets the wall clock, for this process, by so much; the tie is as it was afterwards."""
    wall = time.time_ns

    def set_by(step_ns: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: wall() + step_ns)

    yield set_by
    monkeypatch.setattr(time, "time_ns", wall)
    clock.sample()
    clock.take_step_max()


@pytest.mark.parametrize("step_ms", [-3_600_000, -3000, -40, 40, 3000, 3_600_000])
def test_a_clock_that_was_set_moves_no_arrival(set_wall_clock, step_ms):
    set_wall_clock(step_ms * MS)
    now_ns = clock.now_ns()
    for ago_ms in (1, 2, 3):
        stamped = stamp_of(time.time_ns() - ago_ms * MS)
        arrived_ns, believed = _arrival(stamped, now_ns - 5 * MS, clock.now_ns())
        assert believed
        assert abs(arrived_ns - (now_ns - ago_ms * MS)) < 2 * MS
    assert abs(clock.wall_drift_ns - step_ms * MS) < MS


@pytest.mark.parametrize("step_ms", [-3000, 3000])
def test_a_stamp_of_before_the_clock_was_set_is_no_stamp(set_wall_clock, step_ms):
    before_ns, stamped = clock.now_ns(), stamp_of(time.time_ns())
    set_wall_clock(step_ms * MS)
    arrived_ns, believed = _arrival(stamped, before_ns, clock.now_ns())
    assert believed and abs(arrived_ns - before_ns) < MS, "the tie is still that of its time"
    clock.sample()
    received_ns = clock.now_ns()
    assert _arrival(stamped, before_ns, received_ns) == (received_ns, False)


# --- TLS records ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 700), max_size=12), st.lists(st.integers(0, 900), max_size=30))
def test_the_ends_of_records_are_known_however_they_are_cut(sizes, cuts):
    records = [b"\x17\x03\x03" + size.to_bytes(2, "big") + b"r" * size for size in sizes]
    stream, ends, at = b"".join(records), {0}, 0
    for record in records:
        at += len(record)
        ends.add(at)
    walk, at = _Records(), 0
    for cut in [*cuts, len(stream)]:
        piece = stream[at : at + cut]
        at += len(piece)
        assert walk.end_whole(piece) == (at in ends)


def test_a_frame_is_not_exact_where_a_piece_of_another_record_came_behind_its_own(inbox, authority):
    """The stamp is that of the piece, which came later."""
    context = authority.server_context("127.0.0.1")
    hurry = threading.Event()

    def talk(peer: Peer):
        tls = ByHand(peer.sock, context)
        tls.accept()
        for word in (b"alone", b"alone", b"alone"):
            tls.send(frame_bytes(TEXT, word))
        one, other = tls.record(frame_bytes(TEXT, b"whole")), tls.record(frame_bytes(TEXT, b"cut"))
        peer.send(one + other[:9])
        assert hurry.wait(DEADLINE_S)
        peer.send(other[9:])
        peer.drain()

    heard: list[Arrival] = []
    grew = Flag()

    def listen(arrival: Arrival) -> None:
        heard.append(arrival)
        grew.set()

    def wait_for(word: bytes) -> Arrival:
        while not (heard and heard[-1].message.data == word):
            grew.clear()
            assert grew.wait(DEADLINE_S)
        return heard[-1]

    with server(talk) as here:
        endpoint = Endpoint(f"wss://{here.address}/", timeout_s=DEADLINE_S, tls=tls_context(str(authority.file)))
        connection = Connection(endpoint, inbox, listen)
        connection.open()
        whole = wait_for(b"whole")
        assert whole.message.last_of_feed
        assert (whole.exact, whole.arrived_after_ns < whole.arrived_ns) == (False, True)
        hurry.set()
        assert wait_for(b"cut").exact == connection.stamps
        connection.reset()


class ByHand:
    """A TLS server whose records are handed over as bytes, to be sent as one likes."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def accept(self) -> None:
        self._until(self._tls.do_handshake)
        peer = Peer(self)  # type: ignore[arg-type]
        peer.accept()

    def recv(self, size: int) -> bytes:
        return self._until(lambda: self._tls.read(size))

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(self.record(data))

    send = sendall

    def record(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def _until(self, step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._out.read())
                self._in.write(self._sock.recv(65536))
            else:
                self._sock.sendall(self._out.read())
                return done
