"""What the benchmark's sender says must be right by our own rules, or its figures would be of a broken backend."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
import websocket
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sender_frames import STAMP_BYTES, TAIL, UNMEASURED, frame, heads_of_run, stamp, welcome
from bench.sender_peer import Peer
from crosstalk.accounts import Mint
from crosstalk.checks.run import RunCheck
from crosstalk.wire.dialect import Turn
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra
from crosstalk.wire.rfc6455 import FrameReader, Message

SECRET = "a secret of the tests, long enough to sign with it"
DIALECT = Netra()


def asked(text: str = "How much? Please repeat this reference: 0123456789abcdef") -> dict[str, object]:
    turn = Turn(text, "peer0001", "thread-1", "run-1", "message-1")
    said: dict[str, object] = orjson.loads(DIALECT.prompt(turn) or "")
    return said


def payloads(stream: bytes) -> list[bytes]:
    messages = FrameReader().feed(stream)
    assert all(isinstance(message, Message) for message in messages)
    return [message.data for message in messages]


@pytest.mark.parametrize("events", [6, 25, 100, 400])
def test_a_run_is_right_by_our_own_checks(events: int) -> None:
    mark = stamp(1_795_175_854_061_123_456)
    assert mark == b"1795175854.061123" and len(mark) == len(UNMEASURED) == STAMP_BYTES
    heads = heads_of_run(asked(), "peer0001", events)
    check = RunCheck(DIALECT.lifecycle, ("tool_executing", "tool_completed", "chunk"))
    found = payloads(b"".join(head + mark + TAIL for head in heads))
    assert len(found) == events
    for at_ns, payload in enumerate(found):
        assert orjson.loads(payload)["timestamp"] == float(payload[-18:-1]) == 1795175854.061123
        for event in DIALECT.decode(payload):
            assert (event.run_id, event.thread_id, event.user_id) == ("run-1", "thread-1", "peer0001")
            assert check.advance(event, at_ns).violations == ()
    assert check.conclude() == []
    chunks = [event.index for payload in found for event in DIALECT.decode(payload) if event.kind is Kind.CHUNK]
    assert chunks == list(range(events - 5))
    assert check.ended and check.end_kind is Kind.COMPLETED


def test_the_reference_comes_back_and_events_are_of_the_size_that_is_said() -> None:
    found = payloads(b"".join(head + UNMEASURED + TAIL for head in heads_of_run(asked(), "peer0001", 100)))
    assert sum(b"0123456789abcdef" in payload for payload in found) == 4
    chunks = [payload for payload in found if b"agent_response_chunk" in payload]
    assert 200 < sum(map(len, chunks)) / len(chunks) < 350


@contextmanager
def peer(events: int = 25) -> Iterator[tuple[websocket.WebSocket, Peer]]:
    """A client of websocket-client's, and the sender's side of its socket, read by a thread."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    runs: list[str] = []

    def seat(one: Peer) -> None:
        one.slot = 0

    one = Peer(ours, SECRET, events, lambda run: runs.append(run) or len(runs) - 1, seat)

    def serve() -> None:
        while one.read():  # blocks until there is something
            pass
        ours.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = websocket.WebSocket()
    token = Mint(SECRET, "local").token("peer0001")
    client.connect("ws://sender/ws", socket=theirs, header=[f"Authorization: Bearer {token}"])
    try:
        yield client, one
    finally:
        theirs.close()
        thread.join(10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 70_000))
def test_what_a_client_masks_is_read_whatever_its_length(size: int) -> None:
    with peer() as (client, _):
        assert orjson.loads(client.recv())["type"] == "connection_established"
        client.send(orjson.dumps({"type": "who_am_i", "message_id": "m" * size}).decode())
        answer = orjson.loads(client.recv())
        assert answer == {"type": "ack", "received_type": "who_am_i", "user_id": "peer0001", "message_id": "m" * size}


def test_pings_of_both_kinds_are_answered_and_a_prompt_makes_a_run_ready() -> None:
    with peer(events=30) as (client, one):
        client.recv()
        client.ping(b"are you there")
        assert client.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG
        client.send(DIALECT.ping(1.0))
        assert orjson.loads(client.recv())["type"] == "pong"
        client.send(orjson.dumps(asked()).decode())
        client.send(DIALECT.ping(2.0))
        client.recv()
        assert len(one.heads) == 30 and one.slot == 0


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "others"}, {"iss": "others"}, {"token_type": "refresh"}, None])
def test_bad_tokens_are_refused(claims: dict[str, object] | None) -> None:
    ours, theirs = socket.socketpair()
    one = Peer(ours, SECRET, 25, lambda _: 0, lambda _: None)
    key = SECRET if claims is not None else "another secret, long enough to sign with it"
    token = Mint(key, "local").token("peer0001", claims=claims or {})
    theirs.sendall(
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
    )
    assert one.read()
    answer = theirs.recv(65_536)
    assert b"AUTH_FAILED" in answer and b"\x03\xf0" in answer  # 1008
    assert b"connection_established" not in answer
    for end in (ours, theirs):
        end.close()


def test_a_frame_has_the_header_of_its_length() -> None:
    for size in (0, 125, 126, 65_535, 65_536):
        assert payloads(frame(b"x" * size)) == [b"x" * size]
    assert b"peer0001" in welcome("peer0001", "main_1")
