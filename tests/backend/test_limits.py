"""What the backend bears of one user and what it says of that, with a plain client; and each fault of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from crosstalk.backend.catalogue_connection import CONNECTION, LIMITS
from crosstalk.backend.limits import IDLE_MOST_S, LEAST_S, Keepalive, RateLimit
from tests.backend.client import Backend, Client, backend, kinds, mint
from tests.backend.shapes import Tapped

FAULTS = [fault.name for fault in (*CONNECTION, *LIMITS)]
ACCOUNT = {name: number for number, name in enumerate(FAULTS, start=1)}
#: quick ones: a heartbeat after 0.2 s, a ping after 0.3 s, the end after 0.8 s of silence
SILENT = "/ws?heartbeat_s=0.2&ping_s=0.3&idle_s=0.8"
SIZE = 1 << 12


@pytest.fixture(scope="module")
def wrong() -> Iterator[Backend]:
    """All faults, each for an account of its own; three sockets a user, and small messages."""
    arguments = [part for name in FAULTS for part in ("--fault", f"{name}:1:{ACCOUNT[name]}")]
    options = ("--time-scale", "0.05", "--socket-limit", "3", "--message-limit", str(SIZE))
    with backend(*options, *arguments) as process:
        yield process


def of(fault: str) -> str:
    """The user who has a fault; one of every test's own who has none for a name that is none."""
    return f"user-{ACCOUNT.get(fault, 800 + sum(fault.encode()) % 100):04}"


def opened(process: Backend, user: str, path: str = "/ws", **options: Any) -> ClientConnection:
    return process.open(path, additional_headers={"Authorization": f"Bearer {mint(user)}"}, **options)


def welcomed(stack: ExitStack, process: Backend, user: str, path: str = "/ws", **options: Any) -> Client:
    """A client that has read its first frame."""
    client = Client(user, stack.enter_context(opened(process, user, path, **options)))
    client.welcome = client.read()
    return client


def end_of(client: Client) -> tuple[int, list[dict[str, Any]]]:
    """The close code (1006 without one), and the frames before it."""
    frames: list[dict[str, Any]] = []
    try:
        while True:
            frames.append(client.read())
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006, frames


# --- what is declared -------------------------------------------------------------------------------------------------


def test_the_limits_are_told_over_http_and_in_the_welcome(wrong):
    status, told, _ = wrong.http("GET", "/api/config/limits")
    limits = told["limits"]
    assert status == 200
    assert (limits["sockets_per_user"], limits["message_bytes_max"], limits["idle_s"]) == (3, SIZE, 0.0)
    assert limits["rate"] == {"path": "/api/feedback", "frame": "feedback", "amount": 5, "window_s": 2.0}
    assert wrong.http("GET", "/api/config/limits", token="none")[0] == 401
    with ExitStack() as stack:
        assert welcomed(stack, wrong, of("told")).welcome["data"]["limits"] == limits
        own = welcomed(stack, wrong, of("told"), SILENT).welcome["data"]["limits"]
        assert own == limits | {"heartbeat_s": 0.2, "ping_s": 0.3, "idle_s": 0.8}


@given(st.dictionaries(st.sampled_from(["heartbeat_s", "ping_s", "idle_s"]), st.text() | st.floats().map(str)))
def test_what_is_asked_for_holds_where_it_is_shorter_and_nothing_else_does(query):
    usual = Keepalive(10.0, 30.0)
    holds = usual.asked(query)
    assert LEAST_S <= holds.heartbeat_s <= 10.0 and LEAST_S <= holds.ping_s <= 30.0
    assert holds.idle_s == 0.0 or LEAST_S <= holds.idle_s <= IDLE_MOST_S
    assert usual.asked({"heartbeat_s": "1", "ping_s": "31", "idle_s": "2e3"}) == Keepalive(1.0, 30.0, 2e3)


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_one_socket_too_many_is_refused_and_there_is_room_again(wrong):
    with ExitStack() as stack:
        three = [welcomed(stack, wrong, of("cap")) for _ in range(3)]
        extra = welcomed(stack, wrong, of("cap"))
        assert (extra.welcome["type"], extra.welcome["error_code"]) == ("error_message", "TOO_MANY_CONNECTIONS")
        assert end_of(extra) == (1008, [])
        assert [client.drain() for client in three] == [[], [], []]
        three[0].socket.close()
        assert welcomed(stack, wrong, of("cap")).welcome["type"] == "connection_established"


def test_faults_of_the_cap(wrong):
    with ExitStack() as stack:
        four = [welcomed(stack, wrong, of("cap_ignored")) for _ in range(4)]
        assert [client.drain() for client in four] == [[]] * 4
        oldest, *others = [welcomed(stack, wrong, of("cap_kills_oldest")) for _ in range(4)]
        assert end_of(oldest)[0] == 1008
        assert [client.drain() for client in others] == [[]] * 3
        for _ in range(3):
            welcomed(stack, wrong, of("cap_1011"))
        with pytest.raises(ConnectionClosed) as closed:
            welcomed(stack, wrong, of("cap_1011"))
        assert closed.value.rcvd.code == 1011


def test_who_comes_back_at_once_is_refused_once_by_comeback_refused(wrong):
    user = of("comeback_refused")
    with ExitStack() as stack:
        welcomed(stack, wrong, user)
    with pytest.raises(InvalidStatus, match="503"):
        opened(wrong, user)
    with ExitStack() as stack:
        assert welcomed(stack, wrong, user).drain() == []


def test_the_fifth_at_once_is_refused_by_fan_in_refuses():
    """A socket that has said nothing yet is still on its way."""
    with backend("--fault", "fan_in_refuses") as process, ExitStack() as stack:
        four = [welcomed(stack, process, "k3f00001") for _ in range(4)]
        with pytest.raises(InvalidStatus, match="503"):
            opened(process, "k3f00001")
        four[0].drain()
        assert welcomed(stack, process, "k3f00001").drain() == []


def test_what_is_said_before_the_welcome_is_heard_but_for_early_frame_lost(wrong):
    probe = json.dumps({"type": "who_am_i", "request_id": "early"})
    for fault, heard in (("early", True), ("early_frame_lost", False)):
        with opened(wrong, of(fault)) as socket:
            socket.send(probe)
            client = Client(of(fault), socket)
            assert client.read()["type"] == "connection_established"
            assert (kinds(client.drain()) == ["ack"]) is heard


# --- silence ----------------------------------------------------------------------------------------------------------


def silent(process: Backend, user: str) -> tuple[float, int, list[str], int]:
    """How long a silent socket lived, its close code, what it was sent, and how many pings."""
    with ExitStack() as stack:
        client = welcomed(stack, process, user, SILENT, create_connection=Tapped)
        began_s = time.monotonic()
        code, frames = end_of(client)
        pings = len(getattr(client.socket, "pings", []))
        return time.monotonic() - began_s, code, kinds(frames), pings


def test_a_silent_socket_gets_heartbeats_and_pings_and_ends_when_it_was_said(wrong):
    lived_s, code, frames, pings = silent(wrong, of("silent"))
    assert (code, set(frames)) == (1001, {"heartbeat"})
    assert pings >= 1 and lived_s > 0.7


def test_faults_of_silence(wrong):
    assert silent(wrong, of("heartbeat_missing"))[2] == []
    assert silent(wrong, of("server_ping_missing"))[3] == 0
    lived_s, code, _, _ = silent(wrong, of("pong_unheard"))
    assert (code, lived_s < 0.8) == (1006, True)
    assert silent(wrong, of("idle_cut_early"))[0] < 0.75
    with ExitStack() as stack:
        client = welcomed(stack, wrong, of("idle_never_cut"), SILENT)
        frames = [client.read()["type"] for _ in range(6)]  # one each 0.2 s: longer than it may be silent
        assert frames == ["heartbeat"] * 6


def test_faults_of_pings(wrong):
    with ExitStack() as stack:
        client = welcomed(stack, wrong, of("pong_missing"))
        for _ in range(5):
            client.send("ping")
        assert kinds(client.drain()) == ["pong"] * 3
        client = welcomed(stack, wrong, of("ping_ignored"))
        ponged = client.socket.ping()
        assert client.drain() == [] and not ponged.is_set()


# --- upgrades and ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "offered", "agreed"),
    [
        ("none", ["no-such.v9", "agent-chat.v1"], "agent-chat.v1"),
        ("none", ["no-such.v9"], None),
        ("subprotocol_first_echoed", ["no-such.v9", "agent-chat.v1"], "no-such.v9"),
    ],
)
def test_a_known_subprotocol_is_agreed_on_and_no_other(wrong, fault, offered, agreed):
    with opened(wrong, of(fault), subprotocols=offered) as socket:
        assert socket.subprotocol == agreed


def test_subprotocol_not_offered_echoed(wrong):
    with pytest.raises(Exception, match=r"agent-chat\.v0"):
        opened(wrong, of("subprotocol_not_offered_echoed"), subprotocols=["agent-chat.v1"])


def test_a_socket_ends_as_it_is_asked_to_but_for_close_code_hidden(wrong):
    with ExitStack() as stack:
        for fault, codes in (
            ("ends", (1000, 1001, 1003, 1008, 1011, 1012, 1013, 1006, 0)),
            ("close_code_hidden", (1012,)),
        ):
            for code in codes:
                client = welcomed(stack, wrong, of(fault))
                client.send("hang_up", payload={"code": code})
                expected = 1000 if fault == "close_code_hidden" else code or 1006
                assert end_of(client) == (expected, [])
        client = welcomed(stack, wrong, of("ends"))
        client.send("hang_up", payload={"code": 4999})
        assert client.read()["error_code"] == "INVALID_CODE"


# --- messages ---------------------------------------------------------------------------------------------------------


def sized(size: int) -> str:
    empty = json.dumps({"type": "who_am_i", "padding": ""})
    return json.dumps({"type": "who_am_i", "padding": "x" * (size - len(empty))})


@pytest.mark.parametrize(
    ("fault", "size", "code"),
    [
        ("none", SIZE, None),
        ("none", SIZE + 1, 1009),
        ("oversized_accepted", 4 * SIZE, None),
        ("oversized_1011", SIZE, None),
        ("oversized_1011", SIZE + 1, 1011),
        ("largest_refused", SIZE, 1009),
    ],
)
def test_a_message_is_taken_up_to_the_declared_size(wrong, fault, size, code):
    with ExitStack() as stack:
        client = welcomed(stack, wrong, of(fault))
        client.socket.send(sized(size))
        if code is None:
            assert client.read()["type"] == "ack"
        else:
            assert end_of(client) == (code, [])


def test_malformed_kills_socket_and_unknown_type_1011(wrong):
    with ExitStack() as stack:
        client = welcomed(stack, wrong, of("malformed_kills_socket"))
        client.socket.send("[]")
        assert end_of(client) == (1003, [])
        client = welcomed(stack, wrong, of("unknown_type_1011"))
        client.send("who_am_i")
        assert client.read()["type"] == "ack"
        client.send("no_such_type")
        assert end_of(client) == (1011, [])


# --- the rate ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4_096), min_size=1, max_size=60), st.integers(1, 5))
def test_a_rate_is_kept_in_every_window_and_a_wait_is_long_enough(gaps, amount):
    now = 0  # in 1/1024 s, which floats tell exactly
    rate = RateLimit(amount, 2.0, clock_s=lambda: now / 1024)
    taken: list[int] = []
    for gap in gaps:
        now += gap
        wait_s = rate.ask("a")
        assert (wait_s == 0) is (len([at for at in taken if now - at < 2048]) < amount)
        if wait_s:
            assert wait_s <= 2.0
            now += int(wait_s * 1024)
            assert rate.ask("a") == 0
        taken.append(now)


def test_users_have_rates_of_their_own():
    rate = RateLimit(1, 2.0, clock_s=lambda: 0.0)
    assert [rate.ask(user) > 0 for user in ("a", "a", "b", "b")] == [False, True, False, True]


def feedback(process: Backend, user: str) -> tuple[int, str | None]:
    status, _, headers = process.http("POST", "/api/feedback", user=user, body={"rating": 5})
    return status, headers.get("Retry-After")


def test_the_rate_over_http(wrong):
    answers = [feedback(wrong, of("rate")) for _ in range(7)]
    assert [status for status, _ in answers] == [202] * 5 + [429] * 2
    assert answers[-1][1] in ("1", "2")
    assert feedback(wrong, of("another rate")) == (202, None)


def test_the_rate_on_a_socket(wrong):
    with ExitStack() as stack:
        client = welcomed(stack, wrong, of("socket rate"))
        for _ in range(6):
            client.send("feedback", payload={"rating": 5})
        frames = [client.read() for _ in range(6)]
        assert kinds(frames) == ["ack"] * 5 + ["error_message"]
        assert frames[5]["error_code"] == "RATE_LIMITED" and 0 < frames[5]["retry_after"] <= 2


def test_faults_of_the_rate(wrong):
    assert {feedback(wrong, of("rate_limit_ignored"))[0] for _ in range(12)} == {202}
    answers = [feedback(wrong, of("rate_limit_without_retry_after")) for _ in range(6)]
    assert answers[5] == (429, None)
    assert [feedback(wrong, of("rate_limit_1011"))[0] for _ in range(8)][5:] == [429, 429, 500]


def test_rate_limit_hits_others_and_rate_limit_never_lifts():
    faults = ("--fault", "rate_limit_hits_others:1:1-2", "--fault", "rate_limit_never_lifts:1:3")
    with backend(*faults) as process:
        for _ in range(5):
            assert feedback(process, "k3f00001")[0] == 202
        assert feedback(process, "k3f00002")[0] == 429
        assert [feedback(process, "k3f00003")[0] for _ in range(6)][-1] == 429
        deadline_s = time.monotonic() + 2.2
        while time.monotonic() < deadline_s:  # bounded: by the deadline; a right limit lifts within 2 s
            assert feedback(process, "k3f00003")[0] == 429
