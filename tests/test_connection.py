"""A connection against small servers that say exactly what a test tells them: every way up, and every way down.

The servers run in threads; the connection runs on gevent's hub in this thread, without patching anything.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import gevent
import pytest
from gevent.event import Event as Flag

import crosstalk.stream as stream_module
from crosstalk.clock import clock
from crosstalk.compiled import in_use
from crosstalk.config import tls_context
from crosstalk.connection import Arrival, ConnectFailed, Connection, Endpoint, HarnessError, Inbox, Lost
from crosstalk.wire.rfc6455 import Broken, Close, Message, Opcode
from tests.helpers import (
    CLOSE,
    DEADLINE_S,
    PING,
    PONG,
    TEXT,
    Authority,
    Peer,
    Server,
    close_bytes,
    fail_to_read,
    frame_bytes,
    server,
)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox._greenlet.kill()


class Ear:
    """A listener that remembers what it heard, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[Arrival] = []
        self._grew = Flag()

    def __call__(self, arrival: Arrival) -> None:
        self.heard.append(arrival)
        self._grew.set()

    @property
    def messages(self) -> list:
        return [arrival.message for arrival in self.heard]

    def wait(self, number: int) -> list:
        """The first messages, as many as are asked for."""
        deadline_ns = clock.now_ns() + int(DEADLINE_S * 1e9)
        while len(self.heard) < number:
            self._grew.clear()
            assert self._grew.wait((deadline_ns - clock.now_ns()) / 1e9), (
                f"{number} were to come, these came: {self.heard}"
            )
        return self.messages[:number]


def dial(
    here: Server, inbox: Inbox, listener: Callable[[Arrival], None] | None = None, **endpoint
) -> tuple[Connection, Ear]:
    """A connection that is not open yet, and its ear."""
    ear = Ear()
    endpoint.setdefault("url", f"ws://{here.address}/ws")
    return Connection(Endpoint(**{"timeout_s": DEADLINE_S, **endpoint}), inbox, listener or ear), ear


def ended(here: Server) -> list:
    """What the handlers returned, without stopping the hub meanwhile."""
    return gevent.get_hub().threadpool.apply(here.wait)


def failure(here: Server, inbox: Inbox, **endpoint) -> ConnectFailed:
    connection, ear = dial(here, inbox, **endpoint)
    with pytest.raises(ConnectFailed) as caught:
        connection.open()
    assert not connection.is_open
    assert ear.heard == []
    return caught.value


def text(message: str) -> Message:
    return Message(Opcode.TEXT, message.encode(), True)


def greet(peer: Peer) -> str:
    """Accept and say hello; stay until the client goes."""
    peer.accept()
    peer.send_text("hello")
    peer.read_to_end()
    return peer.head


# --- the way up -----------------------------------------------------------------------------------------------------


def test_an_open_connection_knows_its_times_and_its_peer(inbox):
    with server(greet) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(1) == [text("hello")]
        times = connection.times
        assert times.begun_ns <= times.connected_ns <= times.upgraded_ns <= ear.heard[0].arrived_ns
        assert (connection.peer, connection.is_open) == (here.address, True)
        connection.reset()


def test_the_upgrade_carries_headers_and_subprotocols_and_no_origin(inbox):
    def choose(peer: Peer):
        peer.accept("Sec-WebSocket-Protocol: jwt.tok")
        peer.read_to_end()
        return peer.head

    with server(choose) as here:
        connection, _ = dial(
            here, inbox, url=f"ws://{here.address}/api/v1/websocket?tenant=7",
            headers={"Authorization": "Bearer tok", "traceparent": "00-a-b-01"}, subprotocols=("jwt.tok", "chat"),
        )  # fmt: skip
        connection.open()
        assert connection.subprotocol == "jwt.tok"
        connection.reset()
        [head] = ended(here)
    assert head.startswith("GET /api/v1/websocket?tenant=7 HTTP/1.1\r\n")
    assert f"Host: {here.address}\r\n" in head
    assert "Authorization: Bearer tok\r\n" in head
    assert "traceparent: 00-a-b-01\r\n" in head
    assert head.count("Sec-WebSocket-Protocol:") == 1
    assert "Sec-WebSocket-Protocol: jwt.tok, chat\r\n" in head
    assert "Origin" not in head


def test_an_origin_that_is_asked_for_is_sent_once(inbox):
    with server(greet) as here:
        connection, ear = dial(here, inbox, headers={"Origin": "https://app.example.com"})
        connection.open()
        ear.wait(1)
        connection.reset()
        [head] = ended(here)
    assert head.count("Origin:") == 1
    assert "Origin: https://app.example.com\r\n" in head


def test_a_cookie_that_the_server_sets_for_one_user_never_travels_with_another(inbox):
    def set_cookie(peer: Peer):
        peer.accept("Set-Cookie: session=ann; Path=/; Domain=127.0.0.1")
        peer.read_to_end()
        return peer.head

    with server(set_cookie) as here:
        for _ in range(2):
            connection, _ = dial(here, inbox)
            connection.open()
            connection.reset()
        heads = ended(here)
    assert len(heads) == 2
    assert not any("Cookie" in head for head in heads)


def test_a_proxy_of_the_environment_is_left_alone(inbox, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(greet) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(1)
        connection.reset()


def test_it_speaks_ipv6_too(inbox):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        port = listener.getsockname()[1]
        connection, _ = dial(Server(port), inbox, url=f"ws://[::1]:{port}/ws")

        def answer():
            sock, _ = listener.accept()
            Peer(sock).accept()
            sock.close()

        answering = gevent.get_hub().threadpool.spawn(answer)
        connection.open()
        assert connection.peer == f"[::1]:{port}"
        answering.get()
        connection.reset()


# --- the welcome and what is near it --------------------------------------------------------------------------------


def test_a_welcome_in_the_same_segment_as_the_101_is_heard_once(inbox):
    def hasty(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, b"welcome") + frame_bytes(TEXT, b"and more"))
        peer.send_text("later")
        peer.read_to_end()

    with server(hasty) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert [message.data for message in ear.wait(3)] == [b"welcome", b"and more", b"later"]
        connection.reset()
    assert len(ear.heard) == 3


def test_half_a_welcome_in_the_segment_of_the_101_is_joined_with_its_other_half(inbox):
    whole = frame_bytes(TEXT, b"welcome")

    def torn(peer: Peer):
        peer.accept(then=whole[:4])
        assert peer.read_frame() == (TEXT, b"go on")
        peer.send(whole[4:])
        peer.read_to_end()

    with server(torn) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.heard == []
        connection.send("go on")
        assert ear.wait(1) == [text("welcome")]
        connection.reset()


def test_a_server_that_accepts_and_closes_in_one_breath(inbox):
    def shut(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, b"no") + close_bytes(1008, "policy"))
        return peer.read_to_end()

    with server(shut) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(2) == [Message(Opcode.TEXT, b"no", False), Close(1008, "policy")]
        assert not connection.is_open
        assert ended(here) == [[(CLOSE, b"\x03\xf0")]]


# --- no way up ------------------------------------------------------------------------------------------------------


def test_nobody_listens(inbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = Server(listener.getsockname()[1])
    failed = failure(gone, inbox)
    assert (failed.stage, failed.http_status) == ("connect", None)
    assert failed.reason.startswith(f"nobody answers at {gone.address}: ")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 80 + ".test"])
def test_a_name_that_does_not_resolve(inbox, host):
    failed = failure(Server(80), inbox, url=f"ws://{host}/ws")
    assert failed.stage == "resolve"
    assert failed.reason.startswith(f"{host} does not resolve: ")


@pytest.mark.parametrize(
    "status", ["200 OK", "401 Unauthorized", "403 Forbidden", "404 Not Found", "426 Upgrade Required", "503 Busy"]
)
def test_an_http_answer_instead_of_an_upgrade(inbox, status):
    with server(lambda peer: peer.answer(status, body="<html>")) as here:
        failed = failure(here, inbox)
    assert (failed.stage, failed.http_status) == ("upgrade", int(status[:3]))
    assert f"HTTP {status[:3]} instead of 101" in failed.reason


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
def test_a_redirect_is_not_followed_and_says_where_it_leads(inbox, status):
    def elsewhere(peer: Peer):
        peer.answer(status, f"Location: ws://127.0.0.1:{peer.sock.getsockname()[1]}/elsewhere?token=tok")

    with server(elsewhere, greet) as here:
        failed = failure(here, inbox)
        assert len(ended(here)) == 1
    assert (failed.stage, failed.http_status) == ("upgrade", int(status[:3]))
    assert f"a redirect to ws://{here.address}/elsewhere, which is not followed" in failed.reason
    assert "tok" not in failed.reason


def not_http(peer: Peer):
    peer.read_head()
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def hang_up(peer: Peer):
    peer.read_head()


def break_off(peer: Peer):
    peer.read_head()
    peer.reset()


def wrong_proof(peer: Peer):
    peer.read_head()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: bm90IHRoaXM=\r\n\r\n")  # fmt: skip


def no_upgrade(peer: Peer):
    peer.read_head()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


@pytest.mark.parametrize("handler", [not_http, hang_up, break_off, wrong_proof, no_upgrade])
def test_what_is_no_websocket_server_fails_at_the_upgrade_with_a_reason(inbox, handler):
    with server(handler) as here:
        failed = failure(here, inbox)
    assert (failed.stage, failed.http_status) == ("upgrade", None)
    assert failed.reason
    assert len(failed.reason) < 300


def test_a_subprotocol_that_was_not_offered_is_no_reason_to_fail(inbox):
    def choose(peer: Peer):
        peer.accept("Sec-WebSocket-Protocol: surprise")
        peer.read_to_end()

    with server(choose) as here:
        connection, _ = dial(here, inbox)
        connection.open()
        assert connection.subprotocol == "surprise"
        connection.reset()


def test_a_server_that_says_nothing_is_given_up_in_time(inbox):
    with server(Peer.drain) as here:
        begun_ns = clock.now_ns()
        failed = failure(here, inbox, timeout_s=0.15)
        took_s = (clock.now_ns() - begun_ns) / 1e9
        ended(here)
    assert (failed.stage, "in time" in failed.reason) == ("upgrade", True)
    assert 0.1 < took_s < 1.0


def test_a_failed_upgrade_leaves_no_socket_open(inbox):
    def refuse(peer: Peer):
        peer.answer("403 Forbidden")
        return peer.read_to_end()

    with server(refuse) as here:
        failure(here, inbox)
        assert ended(here) == [[]], "the server saw the client go"


# --- reading --------------------------------------------------------------------------------------------------------


def test_messages_arrive_whole_and_in_order_however_they_were_cut(inbox):
    said = [f"message {n} " + "x" * (n * 997 % 9001) for n in range(200)]

    def pour(peer: Peer):
        peer.accept()
        data = b"".join(frame_bytes(TEXT, one.encode()) for one in said)
        for at in range(0, len(data), 7919):
            peer.send(data[at : at + 7919])
        peer.read_to_end()

    with server(pour) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert [message.data.decode() for message in ear.wait(len(said))] == said
        assert connection.frames_in == len(said)
        assert connection.bytes_in > sum(map(len, said))
        connection.reset()
    arrived = [arrival.arrived_ns for arrival in ear.heard]
    assert all(one <= other for one, other in pairwise(arrived))
    assert all(arrival.arrived_ns <= arrival.received_ns for arrival in ear.heard)


def talk_until_stamped(connection: Connection, ear: Ear, word: str) -> None:
    """The kernel begins to stamp a little after it was asked to: say a word until its answer is stamped."""
    deadline_ns = clock.now_ns() + int(DEADLINE_S * 1e9)
    while not (ear.heard and ear.heard[-1].exact):
        assert clock.now_ns() < deadline_ns, "the kernel does not stamp"
        connection.send(word)
        ear.wait(len(ear.heard) + 1)


def test_a_stamp_is_exact_for_a_frame_that_came_alone_and_for_the_last_of_several(inbox):
    def alone_or_together(peer: Peer):
        peer.accept()
        while (read := peer.read_frame()) is not None:
            if read[1] == b"alone":
                peer.send_text("alone")
            else:
                peer.send(frame_bytes(TEXT, b"first") + frame_bytes(TEXT, b"last"))

    with server(alone_or_together) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        if not connection.stamps:
            pytest.skip("no kernel stamps here")
        talk_until_stamped(connection, ear, "alone")
        connection.send("together")
        ear.wait(len(ear.heard) + 2)
        connection.reset()
    assert [(arrival.message.data, arrival.exact) for arrival in ear.heard[-3:]] == [
        (b"alone", True),
        (b"first", False),
        (b"last", True),
    ]
    lags = inbox.take_lags()
    assert len(lags) >= 2
    assert all(0 <= lag < 1_000_000_000 for lag in lags)
    assert inbox.take_lags() == []


def test_a_frame_is_not_exact_where_more_was_waiting_behind_its_read(inbox, monkeypatch):
    monkeypatch.setattr(stream_module, "READ_BYTES", 32)

    def alone_or_together(peer: Peer):
        peer.accept()
        while (read := peer.read_frame()) is not None:
            both = frame_bytes(TEXT, b"x" * 30) + frame_bytes(TEXT, b"last")
            peer.send(frame_bytes(TEXT, b"alone") if read[1] == b"alone" else both)

    with server(alone_or_together) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        if not connection.stamps:
            pytest.skip("no kernel stamps here")
        talk_until_stamped(connection, ear, "alone")
        connection.send("together")
        ear.wait(len(ear.heard) + 2)
        connection.reset()
    first, last = ear.heard[-2:]
    assert (first.message.last_of_feed, first.exact) == (True, False)
    assert last.exact


def test_where_the_system_does_not_stamp_nothing_is_exact_and_there_is_no_lag_to_tell(inbox, monkeypatch):
    monkeypatch.setattr(stream_module, "_SO_TIMESTAMPING", 9999)  # no such option anywhere
    with server(greet) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        ear.wait(1)
        connection.reset()
    [arrival] = ear.heard
    assert not connection.stamps
    assert (arrival.exact, arrival.arrived_ns) == (False, arrival.received_ns)
    assert inbox.take_lags() == []


def test_a_kernel_stamp_tells_when_bytes_came_however_late_they_are_read(inbox):
    """The hub is held up on purpose: arrived stays where it was, received is late."""

    def echo(peer: Peer):
        peer.accept()
        while (read := peer.read_frame()) is not None:
            peer.send_text(read[1])

    with server(echo) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        if not connection.stamps:
            pytest.skip("no kernel stamps here")
        talk_until_stamped(connection, ear, "first")
        connection.send("late")
        busy_until_ns = clock.now_ns() + 80_000_000
        while clock.now_ns() < busy_until_ns:
            pass
        ear.wait(len(ear.heard) + 1)
        connection.reset()
    assert ear.heard[-1].received_ns - ear.heard[-1].arrived_ns > 30_000_000


def test_silence_is_told_in_time_all_the_same(inbox):
    with server(Peer.drain) as here:
        begun_ns = clock.now_ns()
        assert failure(here, inbox, timeout_s=0.15).reason == "no answer to the upgrade in time"
        assert 0.14 < (clock.now_ns() - begun_ns) / 1e9 < 1


@pytest.mark.skipif(in_use() == "compiled", reason="compiled methods cannot be exchanged")
def test_an_error_of_our_own_on_the_way_up_is_our_fault(inbox, monkeypatch):
    def fail(self):
        raise RuntimeError("planted")

    monkeypatch.setattr(stream_module.Stream, "read_now", fail)
    with server(greet) as here:
        failed = failure(here, inbox)
    assert (failed.ours, failed.reason) == ("harness_error", "RuntimeError on the way up: planted")


# --- sending --------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_masked_whole_and_stamped_before_it_goes(inbox):
    def listen(peer: Peer):
        peer.accept()
        head = peer.sock.recv(2, socket.MSG_PEEK)
        return head[1] & 0x80, peer.read_frame()

    with server(listen) as here:
        connection, _ = dial(here, inbox)
        connection.open()
        before_ns = clock.now_ns()
        sent_ns = connection.send("héllo")
        assert before_ns <= sent_ns <= clock.now_ns()
        assert ended(here) == [(0x80, (TEXT, "héllo".encode()))]
        assert connection.frames_out == 1
        connection.reset()


def test_two_that_write_at_once_do_not_mix_their_frames(inbox):
    everything_is_on_its_way = threading.Event()

    def listen(peer: Peer):
        peer.accept()
        assert everything_is_on_its_way.wait(DEADLINE_S)
        return [peer.read_frame()[1] for _ in range(3)]

    with server(listen) as here:
        connection, _ = dial(here, inbox)
        connection.open()
        texts = [letter * 8_000_000 for letter in "abc"]  # more than the kernel's buffers hold
        writers = [gevent.spawn(connection.send, one) for one in texts]
        gevent.idle()
        assert not all(writer.ready() for writer in writers)
        everything_is_on_its_way.set()
        gevent.joinall(writers, raise_error=True)
        [heard] = ended(here)
        connection.reset()
    assert [len(one) for one in heard] == [8_000_000] * 3
    assert sorted(one[:1] * 8_000_000 for one in heard) == sorted(heard)


def test_sending_on_a_closed_connection_is_an_os_error(inbox):
    with server(greet) as here:
        connection, _ = dial(here, inbox)
        with pytest.raises(OSError, match="closed"):
            connection.send("too early")
        connection.open()
        connection.reset()
        with pytest.raises(OSError, match="closed"):
            connection.send("too late")


# --- pings ----------------------------------------------------------------------------------------------------------


def test_a_ping_is_answered_with_its_own_payload(inbox):
    def ping(peer: Peer):
        peer.accept()
        peer.send(frame_bytes(PING, b"are you there"))
        return peer.read_frame()

    with server(ping) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(1) == [Message(Opcode.PING, b"are you there", True)]
        assert ended(here) == [(PONG, b"are you there")]
        connection.reset()


def test_our_ping_is_answered_and_the_pong_is_heard(inbox):
    def pong(peer: Peer):
        peer.accept()
        opcode, payload = peer.read_frame()
        assert opcode == PING
        peer.send(frame_bytes(PONG, payload))
        peer.read_to_end()

    with server(pong) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        connection.ping(b"probe")
        assert ear.wait(1) == [Message(Opcode.PONG, b"probe", True)]
        connection.reset()


# --- the way down ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "heard", "answered"),
    [
        (close_bytes(1000, "bye"), Close(1000, "bye"), 1000),
        (close_bytes(1011, "boom"), Close(1011, "boom"), 1011),
        (close_bytes(4001), Close(4001, ""), 4001),
        (frame_bytes(CLOSE), Close(1005, ""), 1000),
    ],
)
def test_the_servers_close_is_heard_and_answered_once(inbox, said, heard, answered):
    def close(peer: Peer):
        peer.accept()
        peer.send(said)
        return peer.read_to_end()

    with server(close) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(1) == [heard]
        assert ended(here) == [[(CLOSE, struct.pack("!H", answered))]]
    assert ear.messages == [heard], "the end is said once"
    assert not connection.is_open


def test_our_close_waits_for_the_servers_and_is_the_only_one(inbox):
    def part(peer: Peer):
        peer.accept()
        goodbye = peer.read_frame()
        peer.send(frame_bytes(CLOSE, goodbye[1]))
        return [goodbye, *peer.read_to_end()]

    with server(part) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        connection.close(1000, "done")
        connection.close()
        assert ended(here) == [[(CLOSE, b"\x03\xe8done")]]
    assert ear.messages == [Close(1000, "done")]
    assert not connection.is_open


def test_a_server_that_does_not_answer_our_close_is_left_in_time(inbox):
    with server(greet) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        ear.wait(1)
        begun_ns = clock.now_ns()
        connection.close(timeout_s=0.1)
        assert (clock.now_ns() - begun_ns) / 1e9 < 1
        assert not connection.is_open
        ended(here)


def test_both_say_goodbye_at_once(inbox):
    def close(peer: Peer):
        peer.accept()
        peer.read_frame()
        peer.send(close_bytes(1001, "going away"))
        return peer.read_to_end()

    with server(close) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        connection.send("last words")
        connection.close(1000)
        assert ended(here) == [[(CLOSE, b"\x03\xe8")]]
    assert ear.messages == [Close(1001, "going away")]


def test_a_reset_in_the_middle_of_a_frame_is_lost(inbox):
    def tear(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, b"whole") + frame_bytes(TEXT, b"never whole")[:5])
        peer.read_frame()
        peer.reset()

    with server(tear) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        connection.send("go on")
        whole, lost = ear.wait(2)
        assert whole.data == b"whole"
        assert isinstance(lost, Lost)
        assert "reset" in lost.reason.lower()
        assert lost.unfinished == frame_bytes(TEXT, b"never whole")[:5]
    assert len(ear.heard) == 2
    assert not connection.is_open


def test_an_end_without_a_close_frame_is_lost(inbox):
    with server(lambda peer: peer.accept()) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        assert ear.wait(1) == [Lost("the peer closed the transport without a close frame")]


@pytest.mark.parametrize(
    ("bytes_sent", "code", "word"),
    [
        (frame_bytes(TEXT, b"masked", mask=True), 1002, "masked"),
        (b"\xc1\x01x", 1002, "reserved"),
        (b"\x83\x01x", 1002, "opcode"),
        (frame_bytes(TEXT, b"\xff\xfe"), 1007, "UTF-8"),
        (b"\x82\x7f" + struct.pack("!Q", 2**40), 1009, "bytes"),
    ],
    ids=["masked", "reserved bits", "unknown opcode", "no UTF-8", "too large"],
)
def test_frames_that_break_the_protocol_end_it_and_are_answered_with_their_code(inbox, bytes_sent, code, word):
    def break_rules(peer: Peer):
        peer.accept()
        peer.send(frame_bytes(TEXT, b"fine") + bytes_sent + frame_bytes(TEXT, b"not read any more"))
        return peer.read_to_end()

    with server(break_rules) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        fine, broken = ear.wait(2)
        assert fine.data == b"fine"
        assert isinstance(broken, Broken)
        assert (broken.code, word in broken.reason) == (code, True)
        [frames] = ended(here)
    assert frames[:1] == [(CLOSE, struct.pack("!H", code))]
    assert len(ear.heard) == 2


def test_our_reset_is_a_reset(inbox):
    def watch(peer: Peer):
        peer.accept()
        try:
            peer.sock.recv(1)
        except ConnectionResetError:
            return "reset"
        return "closed"

    with server(watch) as here:
        connection, _ = dial(here, inbox)
        connection.open()
        connection.reset()
        connection.reset()
        assert ended(here) == ["reset"]


# --- mistakes of ours -----------------------------------------------------------------------------------------------


def test_an_exception_in_the_receive_callback_is_our_own_error_and_ends_the_connection(inbox):
    def talk(peer: Peer):
        peer.accept()
        peer.send_text("first")
        peer.read_frame()
        peer.send_text("second")
        return peer.read_to_end()

    with server(talk, greet) as here:
        connection, ear = dial(here, inbox)
        connection.open()
        ear.wait(1)
        fail_to_read(connection, b"second")
        connection.send("go on")
        first, problem = ear.wait(2)
        assert first.data == b"first"
        assert problem == HarnessError("RuntimeError in the receive callback: planted")
        assert not connection.is_open

        other, other_ear = dial(here, inbox)
        other.open()
        assert other_ear.wait(1) == [text("hello")], "the hub and the inbox go on"
        other.reset()
        assert len(ended(here)) == 2, "the deaf socket was not left open"
    assert len(ear.heard) == 2


def test_an_exception_of_a_listener_is_our_own_error_and_the_inbox_goes_on(inbox):
    heard = []

    def clumsy(arrival: Arrival) -> None:
        heard.append(arrival.message)
        if arrival.message == text("hello"):
            raise RuntimeError("planted")

    with server(greet, greet) as here:
        connection, _ = dial(here, inbox, clumsy)
        connection.open()
        other, ear = dial(here, inbox)
        other.open()
        ear.wait(1)
        assert heard[:2] == [text("hello"), HarnessError("RuntimeError while handling a message: planted")]
        connection.reset()
        other.reset()


def test_a_listener_that_fails_at_everything_does_not_end_the_inbox(inbox):
    def hopeless(arrival: Arrival) -> None:
        raise RuntimeError("planted")

    with server(greet, greet) as here:
        connection, _ = dial(here, inbox, hopeless)
        connection.open()
        gevent.idle()
        other, ear = dial(here, inbox)
        other.open()
        assert ear.wait(1) == [text("hello")]
        connection.reset()
        other.reset()


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def secure(here: Server, authority: Authority | None, **more):
    context = tls_context(str(authority.file) if authority else "")
    return {"url": f"wss://{here.address}/ws", "tls": context, **more}


def test_under_tls_everything_is_as_without(inbox, authority):
    long = "x" * 300_000

    def talk(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, b"welcome"))
        _, payload = peer.read_frame()
        peer.send_text(payload)
        peer.send_text("alone")
        return peer.read_frame()

    with server(talk, tls=authority.server_context("127.0.0.1")) as here:
        connection, ear = dial(here, inbox, **secure(here, authority))
        connection.open()
        connection.send(long)
        assert [message.data for message in ear.wait(3)] == [b"welcome", long.encode(), b"alone"]
        if connection.stamps:
            assert ear.heard[-1].arrived_ns <= ear.heard[-1].received_ns
            assert inbox.take_lags()
        connection.close(timeout_s=0.5)
        assert ended(here) == [(CLOSE, b"\x03\xe8")]


def test_a_certificate_of_an_authority_that_was_not_named_is_refused_and_says_how_to_name_it(inbox, authority):
    with server(greet, tls=authority.server_context("127.0.0.1")) as here:
        failed = failure(here, inbox, **secure(here, None))
    assert failed.stage == "tls"
    assert failed.reason.startswith("the certificate of 127.0.0.1 is not trusted: ")
    assert failed.reason.endswith("name its authority with --ca")


def test_a_certificate_of_another_host_is_refused(inbox, authority):
    with server(greet, tls=authority.server_context("elsewhere.test")) as here:
        failed = failure(here, inbox, **secure(here, authority))
    assert failed.stage == "tls"
    assert "mismatch" in failed.reason
    assert "--ca" not in failed.reason, "another authority would not help"


def test_a_server_that_speaks_no_tls_fails_at_tls(inbox, authority):
    def plain(peer: Peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with server(plain) as here:
        failed = failure(here, inbox, **secure(here, authority))
    assert failed.stage == "tls"
    assert failed.reason.startswith("no TLS with 127.0.0.1: ")


@pytest.mark.parametrize(
    "handler", [lambda peer: peer.sock.recv(100_000), lambda peer: (peer.sock.recv(1), peer.reset())]
)
def test_a_server_that_hangs_up_during_tls_fails_at_tls(inbox, authority, handler):
    with server(handler) as here:
        assert failure(here, inbox, **secure(here, authority)).stage == "tls"


def test_a_server_that_says_nothing_during_tls_is_given_up_in_time(inbox, authority):
    with server(Peer.drain) as here:
        begun_ns = clock.now_ns()
        failed = failure(here, inbox, **secure(here, authority, timeout_s=0.15))
        assert (clock.now_ns() - begun_ns) / 1e9 < 1
        ended(here)
    assert failed.stage == "tls"


def test_the_end_of_a_tls_stream_is_lost(inbox, authority):
    with server(lambda peer: peer.accept(), tls=authority.server_context("127.0.0.1")) as here:
        connection, ear = dial(here, inbox, **secure(here, authority))
        connection.open()
        [lost] = ear.wait(1)
        assert isinstance(lost, Lost)
