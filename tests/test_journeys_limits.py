"""Journeys at the limits: an allowance that is used up, replies in and steps out; and further sockets against servers
that say exactly what a test tells them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.connection import Inbox
from crosstalk.gathering import Gathering
from crosstalk.http import Answer
from crosstalk.journeys.allowances import (
    ALLOWANCES_MAX,
    BROKEN,
    REFUSED,
    TAKEN,
    Allowance,
    Reply,
    retry_after_s,
    use_up,
)
from crosstalk.journeys.spares import Spare
from crosstalk.wire.netra import Netra
from crosstalk.wire.netra_limits import NetraLimits
from crosstalk.wire.promises import Promises, number, object_at
from tests import test_journey
from tests.helpers import CLOSE, PING, PONG, TEXT, Peer, close_bytes, frame, frame_bytes, server, user_name
from tests.test_journey import begin
from tests.test_session import HELLO, ME, Desk, chat, ended, say_all, url

WITHIN, LIMITED, IMPOLITE, POLITE = "within the rate limit", "rate limited", "impolite", "polite again"
DIALECT = Netra()


# --- an allowance -----------------------------------------------------------------------------------------------------


@dataclass
class Place(test_journey.Desk):
    """Where users gather as well."""

    gatherings: dict[str, Gathering] = field(default_factory=dict)

    def gathering(self, name: str, _size: int) -> Gathering:
        return self.gatherings.setdefault(name, Gathering(1))


def replies(text: str, wait_s: float | None = 0.01) -> Iterator[Reply]:
    """`T`, `R` and `X`: taken, refused, broken; the last one for ever."""
    for at_ns, letter in enumerate(text + text[-1] * 100):
        how = {"T": TAKEN, "R": REFUSED, "X": BROKEN}[letter]
        yield Reply(how, how, at_ns, wait_s if how == REFUSED else None)


def used_up(text: str, *, wait_s: float | None = 0.01, well: bool = True) -> dict[str, str]:
    """Step → outcome, of an allowance of two."""
    desk, told = Place(), replies(text, wait_s)
    with begin(desk, family="limits") as journey:
        use_up(desk, journey, Allowance("", 2, 1.0, lambda: next(told), lambda: well))  # type: ignore[arg-type]
    return {row["step"]: row["outcome"] for row in desk.rows if row["step"]}


ALL_OK = dict.fromkeys((WITHIN, LIMITED, IMPOLITE, POLITE), "ok")


@pytest.mark.parametrize(
    ("text", "wait_s", "failed"),
    [
        ("TTRRRRRT", 0.01, None),
        ("TTTTRRRRRT", 0.01, None),  # it grew again while it was used up
        ("TTRTTTTT", 0.01, None),  # whole seconds cannot tell that it was too early
        ("TR", 0.01, WITHIN),
        ("TX", 0.01, WITHIN),
        ("T", 0.01, LIMITED),
        ("TTX", 0.01, LIMITED),
        ("TTR", None, LIMITED),
        ("TTR", 0.0, LIMITED),
        ("TTR", 3600.0, LIMITED),
        ("TTRRX", 0.01, IMPOLITE),
        ("TTRRT", 25.0, IMPOLITE),  # the refusal was a lie, or is forgotten
        ("TTR", 0.01, POLITE),
        ("TTRRRRRX", 0.01, POLITE),
    ],
)
def test_replies_of_a_rate_limit_and_what_is_said_of_them(text, wait_s, failed):
    found = used_up(text, wait_s=wait_s)
    names = list(ALL_OK)
    expected = ALL_OK if failed is None else {
        name: "failed" if name == failed else "ok" for name in names[: names.index(failed) + 1]
    }  # fmt: skip
    assert found == expected


def test_a_socket_that_broke_by_impoliteness_is_seen():
    assert used_up("TTRRRRRT", well=False) == {WITHIN: "ok", LIMITED: "ok", IMPOLITE: "failed"}


@given(st.text("TRX", min_size=1, max_size=30))
def test_no_replies_make_it_ask_for_ever_or_end_well_without_every_kind(text):
    found = used_up(text, wait_s=0.001)
    if found == ALL_OK:
        whole = text + text[-1] * 100
        assert whole.startswith("TT") and "R" in whole[: 2 + ALLOWANCES_MAX * 2] and "X" not in whole[:8]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:54 GMT"}, 5.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 -0000", "Date": "Fri, 31 Dec 1999 23:59:54 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, wait_s):
    assert retry_after_s(Answer(429, None, headers, "", 1.0, 0)) == wait_s


# --- what is declared -------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["data", "limits", "rate", "amount", "idle_s"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["data", "limits"]), json_values))
def test_what_a_target_says_of_itself_is_read_whatever_it_is(said):
    promises = NetraLimits().promised(said)
    assert promises.rate_amount >= 0 and promises.idle_s >= 0 and promises.sockets_per_user == 0


def test_the_answer_and_the_welcome_say_it_in_their_own_places_and_the_nearer_one_goes_before():
    limits = {"sockets_per_user": 3, "idle_s": 2, "rate": {"amount": 5, "window_s": 2.5}}
    told = Promises(sockets_per_user=3, idle_s=2.0, rate_amount=5, rate_window_s=2.5)
    assert NetraLimits().promised({"limits": limits}) == told == NetraLimits().promised({"data": {"limits": limits}})
    known = Promises(idle_s=1.0, message_bytes=7)
    assert known.over(told) == replace(told, idle_s=1.0, message_bytes=7)


@pytest.mark.parametrize("value", [None, True, "5", -1, float("nan"), float("inf"), 10**13, [], {}])
def test_what_is_no_number_is_0(value):
    assert number({"n": value}, "n") == 0.0
    assert object_at({"n": value}, "n", "m") == {}


@given(st.integers(0, 3000))
def test_a_sized_frame_has_its_size_in_bytes(size):
    frame_of_size = NetraLimits().sized(size)
    assert (frame_of_size is None) is (size < len('{"type":"who_am_i","padding":""}'))
    assert frame_of_size is None or (len(frame_of_size.encode()) == size and json.loads(frame_of_size))


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        (b'{"error_code": "RATE_LIMITED", "retry_after": 1.5}', 1.5),
        (b'{"error_code": "RATE_LIMITED"}', 0.0),
        (b'{"error_code": "BAD_MESSAGE"}', None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_a_refusal_because_of_the_rate_is_told_from_others(said, wait_s):
    assert DIALECT.retry_after_s(said) == wait_s


# --- further sockets --------------------------------------------------------------------------------------------------


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def spare_of(desk: Desk, here: Any, **changes: Any) -> Spare:
    person = desk.person()
    view = replace(person, runs={})
    return Spare(person, view, desk.session(url(here), person=view, **changes), Flag())


@pytest.mark.parametrize(
    ("last", "code", "by", "reason"),
    [
        *((close_bytes(code, "bye"), code, "peer", "bye") for code in (1000, 1001, 1003, 1008, 1011, 1012, 1013, 4401)),
        (frame_bytes(CLOSE), 1005, "peer", ""),
        (None, 1006, "transport", "without a close frame"),
        ("reset", 1006, "transport", "reset"),
    ],
    ids=["1000", "1001", "1003", "1008", "1011", "1012", "1013", "4401", "no code", "no close frame", "reset"],
)
def test_every_way_to_end_is_told_apart_in_the_record(desk, last, code, by, reason):
    def bye(peer: Peer, message: dict[str, Any]) -> str | None:
        if message["type"] != "hang_up":
            return None
        if last == "reset":
            peer.reset()
        elif last is not None:
            peer.send(last)
            peer.read_to_end()
        return "stop"

    with server(chat(bye)) as here:
        spare = spare_of(desk, here)
        spare.session.open()
        assert spare.session.answers()
        spare.session.connection.send(DIALECT.hang_up(1000) or "")
        assert spare.ended(5.0)
        assert spare.how().startswith(f"close {code}")
        assert not spare.session.answers()
        spare.session.close()
        ended(here)
    [row] = desk.rows("connections")
    assert (row["close_code"], row["closed_by"]) == (code, by)
    assert reason in row["close_reason"].lower()
    assert desk.names("delivery") == (["close_1011"] if code == 1011 else [])


def early(before_welcome: Any) -> Any:
    """A server that is not ready at once: it reads a prompt before its welcome, and acts on it."""

    def handle(peer: Peer) -> Any:
        peer.accept()
        message = peer.read_json()
        if before_welcome(peer, message) == "stop":
            return peer.read_to_end()
        peer.send_text(frame("connection_established", user_id=f"{user_name(ME)[:8]}..."))
        return talk(peer, message)

    def talk(peer: Peer, message: dict[str, Any]) -> Any:
        said = not before_welcome.__name__.startswith("answers")
        while (read := peer.read_frame()) is not None:
            if read[0] == CLOSE:
                peer.send(frame_bytes(CLOSE, read[1][:2]))
                break
            asked = json.loads(read[1])
            if asked["type"] == "who_am_i":
                peer.send_text(json.dumps({"type": "ack", "user_id": user_name(ME), "message_id": asked["message_id"]}))
            elif asked["type"] == "ping":
                peer.send_text(frame("pong"))
            if not said:
                said = True
                say_all(peer, message)

        return None

    return handle


def answers(_peer: Peer, _message: dict[str, Any]) -> None:
    """It keeps what came before, and answers it when it is ready."""


def loses(_peer: Peer, _message: dict[str, Any]) -> None:
    """It forgets it."""


def refuses(peer: Peer, message: dict[str, Any]) -> None:
    run_id = message["payload"]["run_id"]
    peer.send_text(json.dumps({"type": "error_message", "error_code": "NOT_READY", "run_id": run_id}))


def closes(peer: Peer, _message: dict[str, Any]) -> str:
    peer.send(close_bytes(1008, "not yet"))
    return "stop"


@pytest.mark.parametrize(
    ("before_welcome", "outcome", "refusal"),
    [(answers, "ok", ""), (loses, "timeout", ""), (refuses, "cut", "NOT_READY"), (closes, "cut", "1008 not yet")],
)
def test_a_prompt_before_the_welcome_is_answered_refused_or_lost(desk, before_welcome, outcome, refusal):
    with server(early(before_welcome)) as here:
        spare = spare_of(desk, here, agent_timeout_s=0.5)
        before = spare.person.ordinal
        run = spare.ask(HELLO, desk.person().new_thread(), warm_up=False, early=True)
        spare.session.close()
        ended(here)
    assert run.outcome == outcome, run.signature
    assert refusal in run.refusal and bool(run.refusal) == bool(refusal)
    assert [row["outcome"] for row in desk.rows("runs")] == [outcome]
    assert spare.person.ordinal > before + 1, "no ordinal, and so no canary, is used twice"
    assert desk.names("isolation") == desk.names("harness") == []


def test_a_turn_after_an_early_one_is_refused_like_any_other(desk):
    def once(peer: Peer, message: dict[str, Any]) -> None:
        run_id = message["payload"]["run_id"]
        peer.send_text(json.dumps({"type": "error_message", "error_code": "BUSY", "run_id": run_id}))

    with server(chat(once)) as here:
        spare = spare_of(desk, here)
        thread = desk.person().new_thread()
        assert spare.ask(HELLO, thread, warm_up=False, early=True).outcome == "cut"
        assert spare.ask(HELLO, thread, warm_up=False).outcome == "refused"
        spare.session.close()
        ended(here)


def test_pings_of_the_peer_and_its_heartbeats_are_noted_with_their_arrival(desk):
    def speak(peer: Peer, message: dict[str, Any]) -> None:
        if message["type"] == "no_such_type":
            peer.send_text(frame("heartbeat"))
            peer.send(frame_bytes(PING, b"anybody?"))

    with server(chat(speak)) as here:
        spare = spare_of(desk, here)
        spare.session.open()
        incoming = spare.session.incoming
        assert (incoming.beaten_ns, incoming.pinged_ns) == (None, None)
        spare.session.exchange(DIALECT.unknown("m1"))
        assert spare.wait_for(incoming.beaten, 5.0) and spare.wait_for(incoming.pinged, 5.0)
        ready_ns = spare.session.way_up[1].ready_ns
        assert ready_ns <= incoming.beaten_ns <= incoming.pinged_ns
        spare.session.close()
        [got] = ended(here)
    assert (PONG, b"anybody?") in got


@pytest.mark.parametrize(
    ("replies", "pong"),
    [
        ([frame_bytes(PONG, b"12345678")], b"12345678"),
        ([frame_bytes(PONG, b"other")], b"other"),
        ([close_bytes(1000)], None),
    ],
)
def test_the_payload_of_a_pong_is_what_came(desk, replies, pong):
    def handle(peer: Peer) -> Any:
        peer.accept(then=frame_bytes(TEXT, frame("connection_established", user_id=user_name(ME)[:8])))
        while (read := peer.read_frame()) is not None:
            if read[0] == PING:
                for reply in replies:
                    peer.send(reply)
            elif read[0] == CLOSE:
                break
            elif b"ping" in read[1]:
                peer.send_text(frame("pong"))
            elif b"who_am_i" in read[1]:
                peer.send_text(json.dumps({**json.loads(read[1]), "type": "ack", "user_id": user_name(ME)}))
        return None

    with server(handle) as here:
        spare = spare_of(desk, here)
        spare.session.open()
        assert spare.pong(b"12345678") == pong
        spare.session.close()
        ended(here)


def test_a_binary_message_is_sent_as_such(desk):
    with server(chat()) as here:
        spare = spare_of(desk, here)
        spare.session.open()
        spare.session.exchange(b"\x00\xff")
        spare.session.close()
        [got] = ended(here)
    assert (2, b"\x00\xff") in got


def test_waiting_ends_with_the_load_test(desk):
    with server(chat()) as here:
        spare = spare_of(desk, here)
        spare.session.open()
        gevent.spawn_later(0.05, spare.stopping.set)
        with gevent.Timeout(5.0):
            assert not spare.ended(60.0)
        spare.session.close()
        ended(here)
