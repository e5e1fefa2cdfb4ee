"""A session against servers that follow a script, and against the reference backend: what it writes down.

Rows are read as dicts by table; each test says which rows a history leaves, and that it leaves no others.
"""

from __future__ import annotations

import json
import os
import random
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import pytest

import crosstalk.session as session_module
from crosstalk.checks.canary import Keyring, Site
from crosstalk.clock import clock
from crosstalk.connection import Arrival, Inbox
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.person import Person
from crosstalk.record.event_log import EventLog
from crosstalk.record.rows import COLUMNS
from crosstalk.session import NotReady, Session
from crosstalk.shelf import Shelf
from crosstalk.terms import Counters, Sinks, Terms
from crosstalk.wire.netra import Netra
from crosstalk.wire.rfc6455 import Message, Opcode
from tests.backend.client import backend, mint
from tests.helpers import (
    CLOSE,
    DEADLINE_S,
    PING,
    PONG,
    TEXT,
    House,
    Peer,
    Server,
    close_bytes,
    fail_to_read,
    frame,
    frame_bytes,
    server,
    user_name,
)  # fmt: skip

ME, OTHER = 17, 18
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrM2YwMDAxNyJ9.c2lnbmF0dXJl"
HELLO = Prompt("greeting", "Hello there.")
LOOK_UP = Prompt("lookup", "Please look up what we spent.", ("tool_executing", "tool_completed", "chunk"))


@dataclass
class Desk:
    """Where a test's sessions write: rows by table, milestones, counters."""

    inbox: Inbox
    house: House = field(default_factory=House)
    counters: Counters = field(default_factory=Counters)
    shelf: Shelf = field(default_factory=Shelf)
    written: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    milestones: list[tuple[str, str, str]] = field(default_factory=list)
    _people: dict[int, Person] = field(default_factory=dict)
    _events: EventLog = field(default_factory=lambda: EventLog("w1", lambda: None))

    def rows(self, table: str) -> list[dict[str, Any]]:
        if (logged := self._events.take()) is not None:
            for row in logged.rows():
                self._record("events", row)
        return self.written.get(table, [])

    def names(self, judgement: str) -> list[str]:
        return [row["name"] for row in self.rows("violations") if row["judgement"] == judgement]

    def person(self, number: int = ME) -> Person:
        if number not in self._people:
            observer, rng = self.house.observer(number), random.Random(number)
            self._people[number] = Person(user_name(number), number, "Regular", observer, self.house.keyring, rng)
        return self._people[number]

    def session(
        self, url: str, *, number: int = ME, token: str = TOKEN, person: Person | None = None, **changes: Any
    ) -> Session:
        terms = Terms(
            dialect=Netra(), socket_url=url, transport="header", headers={}, tls=None, connect_timeout_s=DEADLINE_S,
            agent_timeout_s=DEADLINE_S, nonce_required=True, keep_text=True, worker="w1",
        )  # fmt: skip
        return Session(
            terms=replace(terms, **changes), person=person or self.person(number), token=token, inbox=self.inbox,
            sinks=Sinks(
                self._record, lambda kind, name, *rest: self.milestones.append((kind, name, rest[-1])), self._events
            ),
            counters=self.counters, exposures=self.house.exposures, shelf=self.shelf,
        )  # fmt: skip

    def _record(self, table: str, row: tuple) -> None:
        self.written.setdefault(table, []).append(dict(zip(COLUMNS[table], row, strict=True)))


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def url(here: Server) -> str:
    return f"ws://{here.address}/ws"


def ended(here: Server) -> list:
    return gevent.get_hub().threadpool.apply(here.wait)


def wait_until(true: Callable[[], Any]) -> None:
    """Let greenlets run until something is so."""
    with gevent.Timeout(DEADLINE_S):
        while not true():
            gevent.sleep(0.002)  # bounded: by the timeout around it; there is no event to wait for


# --- a server that follows a script ---------------------------------------------------------------------------------


def stay(peer: Peer) -> list[Any]:
    """Read to the end, and answer nothing but a goodbye."""
    got = []
    while (read := peer.read_frame()) is not None:
        got.append(read)
        if read[0] == CLOSE:
            peer.send(frame_bytes(CLOSE, read[1][:2]))
            break
    return got


def chat(
    script: Callable[[Peer, dict[str, Any]], Any] | None = None,
    *,
    user: str = user_name(ME),
    welcome: bytes | None = None,
):
    """A netra server: welcomes `user`, answers probes and pings, and follows the script at a prompt."""

    def handle(peer: Peer) -> list[Any]:
        peer.accept(then=frame_bytes(TEXT, welcome or frame("connection_established", user_id=f"{user[:8]}...")))
        got: list[Any] = []
        while (read := peer.read_frame()) is not None:
            opcode, payload = read
            if opcode == CLOSE:
                peer.send(frame_bytes(CLOSE, payload[:2]))
                return got
            if opcode != TEXT:
                got.append(read)
                continue
            message = json.loads(payload)
            got.append(message)
            if message["type"] == "who_am_i":
                peer.send_text(json.dumps({"type": "ack", "user_id": user, "message_id": message["message_id"]}))
            elif message["type"] == "ping":
                peer.send_text(frame("pong"))
            elif script is not None and script(peer, message) == "stop":
                return got
        return got

    return handle


def reference_of(message: dict[str, Any]) -> str:
    payload = message["payload"]
    return payload.get("context", {}).get("reference") or payload["user_request"].rpartition(" ")[2]


def event(message: dict[str, Any], name: str, **data: Any) -> bytes:
    """An event of the run that a prompt started."""
    payload = message["payload"]
    return frame(name, run=payload["run_id"], user=message["user_id"], thread=payload["thread_id"], **data)


def answer(message: dict[str, Any]) -> list[bytes]:
    """A whole and right run with one tool."""
    text = f"Your reference is {reference_of(message)}."
    call = {"call_id": "c1", "tool_name": "cost_lookup"}
    return [
        event(message, "agent_started"),
        event(message, "agent_thinking", thought="hm"),
        event(message, "tool_executing", **call),
        event(message, "tool_completed", **call, status="completed"),
        event(message, "agent_response_chunk", chunk=text[:30], chunk_index=0),
        event(message, "agent_response_chunk", chunk=text[30:], chunk_index=1),
        event(message, "agent_completed", result=text),
    ]


def say_all(peer: Peer, message: dict[str, Any]) -> None:
    for one in answer(message):
        peer.send_text(one)


def ask(desk: Desk, session: Session, prompt: Prompt = HELLO, thread: Thread | None = None) -> LiveRun:
    person = session._person
    return session.ask(prompt, thread or person.new_thread(), intended_ns=None, warm_up=False)


def talk(desk: Desk, script, *, prompt: Prompt = HELLO, **changes: Any) -> LiveRun:
    """One session, one turn, and goodbye."""
    with server(chat(script)) as here:
        session = desk.session(url(here), **changes)
        session.open()
        run = ask(desk, session, prompt)
        session.close()
        ended(here)
    return run


# --- the way up -----------------------------------------------------------------------------------------------------


def test_a_session_that_is_ready_has_proved_whose_it_is(desk):
    with server(chat()) as here:
        session = desk.session(url(here))
        session.open()
        assert session.is_ready
        session.close()
        assert not session.is_ready
        ended(here)
    [row] = desk.rows("connections")
    assert (row["outcome"], row["stage"], row["identity"], row["identity_seen"]) == (
        "ready",
        "open",
        "full",
        user_name(ME),
    )
    assert (row["close_code"], row["closed_by"], row["error"]) == (1000, "us", "")
    assert row["begun_ns"] <= row["connected_ns"] <= row["upgraded_ns"] <= row["ready_ns"] <= row["ended_ns"]
    assert 0 <= row["probe_time_min_ns"] <= row["probe_time_median_ns"]
    assert (row["account"], row["user_class"], row["worker"], row["peer"]) == (
        user_name(ME),
        "Regular",
        "w1",
        here.address,
    )
    assert desk.rows("violations") == []


def test_the_second_connection_of_a_person_has_a_name_of_its_own(desk):
    with server(chat()) as here:
        for _ in range(2):
            session = desk.session(url(here))
            session.open()
            session.close()
        ended(here)
    assert len({row["connection"] for row in desk.rows("connections")}) == 2
    assert len({row["trace_id"] for row in desk.rows("connections")}) == 2


@pytest.mark.parametrize(
    ("transport", "where"),
    [
        ("header", lambda head: f"Authorization: Bearer {TOKEN}\r\n" in head),
        ("subprotocol", lambda head: f"Sec-WebSocket-Protocol: jwt.{TOKEN}\r\n" in head),
        ("query", lambda head: f"GET /ws?token={TOKEN} HTTP" in head),
        ("message", lambda head: TOKEN not in head),
    ],
)
def test_a_token_travels_one_way_and_no_other_and_into_no_row(desk, transport, where):
    heads: list[str] = []

    def look(peer: Peer):
        got = chat()(peer)
        heads.append(peer.head)
        return got

    with server(look) as here:
        session = desk.session(url(here), transport=transport)
        session.open()
        session.close()
        [got] = ended(here)
    assert where(heads[0])
    assert heads[0].count(TOKEN) == (transport != "message")
    assert ([message.get("token") for message in got].count(TOKEN) == 1) is (transport == "message")
    assert TOKEN not in repr(desk.written)
    assert desk.rows("connections")[0]["transport"] == transport


def not_ready(desk: Desk, where: str, **changes: Any) -> tuple[NotReady, dict[str, Any]]:
    session = desk.session(where, **changes)
    with pytest.raises(NotReady) as caught:
        session.open()
    session.close()
    assert not session.is_ready
    [row] = desk.rows("connections")
    return caught.value, row


def test_nobody_listens(desk):
    with server(chat()) as here:
        pass
    problem, row = not_ready(desk, url(here))
    assert (problem.stage, row["stage"], row["outcome"], row["connected_ns"]) == ("connect", "connect", "failed", None)
    assert "nobody answers" in row["error"]


def burn(ms: float) -> None:
    """The loop stands still for so long."""
    until_ns = clock.now_ns() + int(ms * 1e6)
    while clock.now_ns() < until_ns:
        pass


def test_a_welcome_that_came_in_time_is_not_missed_because_we_were_late_to_see_it(desk):
    loop = gevent.get_hub().loop

    def welcome_late(peer: Peer) -> list[Any]:
        accept = peer.accept

        def accept_and_wait(*, then: bytes) -> None:
            accept()
            loop.run_callback_threadsafe(burn, 900)
            threading.Event().wait(0.02)  # bounded: the client stands still by then
            peer.send(then)

        peer.accept = accept_and_wait
        return chat()(peer)

    with server(welcome_late) as here:
        session = desk.session(url(here), connect_timeout_s=0.5)
        session.open()
        assert session.is_ready
        session.close()
        ended(here)


def test_a_run_that_ended_in_time_is_no_timeout_because_we_were_late_to_see_it(desk):
    with server(chat(say_all)) as here:
        session = desk.session(url(here), agent_timeout_s=0.3)
        session.open()
        gevent.spawn(burn, 900)
        assert ask(desk, session).outcome == "ok"
        session.close()
        ended(here)
    assert desk.names("delivery") == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid"])
def test_without_a_descriptor_left_it_is_our_fault_and_no_attempt(desk, host):
    """However it fails: the target was never asked."""
    session = desk.session(f"ws://{host}:9/ws")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd"))) + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    files = []
    try:
        with suppress(OSError):
            while True:
                files.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(NotReady):
            session.open()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    [row] = desk.rows("connections")
    assert (row["outcome"], row["closed_by"], row["error"]) == ("cut", "us", "")
    [violation] = desk.rows("violations")
    assert (violation["judgement"], violation["name"]) == ("harness", "no_socket")
    assert violation["came"].startswith("this machine has no socket left: ")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("401 Unauthorized", "refused"),
        ("403 Forbidden", "refused"),
        ("200 OK", "failed"),
        ("302 Found", "failed"),
        ("503 Busy", "failed"),
    ],
)
def test_an_answer_that_is_no_upgrade(desk, status, outcome):
    with server(lambda peer: peer.answer(status)) as here:
        problem, row = not_ready(desk, url(here))
    assert (problem.stage, row["stage"], row["outcome"]) == ("upgrade", "upgrade", outcome)
    assert row["http_status"] == int(status[:3])
    assert row["upgraded_ns"] is None


def test_no_welcome_within_the_time(desk):
    def silent(peer: Peer):
        peer.accept()
        return stay(peer)

    with server(silent) as here:
        problem, row = not_ready(desk, url(here), connect_timeout_s=0.1)
        ended(here)
    assert (problem.stage, problem.reason) == ("ready", "expected a welcome, got nothing within 0.1 s")
    assert (row["outcome"], row["stage"], row["closed_by"]) == ("failed", "ready", "us")


@pytest.mark.parametrize(
    ("said", "stage", "word"),
    [
        (close_bytes(1008, "no entry"), "ready", "close 1008 no entry"),
        (frame_bytes(TEXT, frame("error_message", error_code="AUTH_FAILED", error_message="no")) + close_bytes(1008),
         "authenticate", "AUTH_FAILED no"),
        (frame_bytes(TEXT, frame("error_message", error_code="TOKEN_EXPIRED")), "authenticate", "TOKEN_EXPIRED"),
    ],
    ids=["close alone", "message and close", "message alone"],
)  # fmt: skip
def test_a_connection_that_is_refused_after_its_upgrade(desk, said, stage, word):
    def refuse(peer: Peer):
        peer.accept(then=said)
        return stay(peer)

    with server(refuse) as here:
        problem, row = not_ready(desk, url(here))
        ended(here)
    assert (problem.stage, row["outcome"]) == (stage, "refused")
    assert word in row["error"]
    assert desk.rows("violations") == []


def test_a_close_1011_before_the_welcome_is_the_servers_fault(desk):
    def crash(peer: Peer):
        peer.accept(then=close_bytes(1011, "boom"))
        return peer.read_to_end()

    with server(crash) as here:
        _, row = not_ready(desk, url(here))
        ended(here)
    assert (row["outcome"], row["close_code"], row["closed_by"]) == ("failed", 1011, "peer")
    assert desk.names("delivery") == ["close_1011"]


@pytest.mark.parametrize(
    "handler",
    [
        chat(welcome=frame("connection_established", user_id="demo-use...")),
        chat(user="demo-user-001", welcome=frame("connection_established", user_id=f"{user_name(ME)[:8]}...")),
        chat(user=user_name(OTHER)),
        chat(user=user_name(ME)[:7], welcome=frame("connection_established")),
    ],
    ids=["welcome", "probe", "both", "a name cut short in the full answer"],
)
def test_a_socket_that_carries_somebody_else_voids_everything(desk, handler):
    with server(handler) as here:
        problem, row = not_ready(desk, url(here))
        ended(here)
    assert problem.wrong_identity
    assert row["identity"] == "mismatch"
    assert row["identity_seen"] not in ("", user_name(ME))
    assert set(desk.names("identity")) == {"wrong_identity"}
    assert desk.names("isolation") == [], "who the socket is, is judged as identity"


def test_anothers_ack_on_a_socket_that_is_proved_is_a_leak_and_no_doubt_of_whose_it_is(desk):
    def stray(peer: Peer, message: dict[str, Any]) -> None:
        peer.send_text(frame("ack", user_id=user_name(OTHER)))
        say_all(peer, message)

    run = talk(desk, stray)
    [row] = desk.rows("violations")
    assert (row["judgement"], row["name"], row["scope"], row["owner"]) == (
        "isolation", "wrong_socket", "cross_user", user_name(OTHER),
    )  # fmt: skip
    assert run.outcome == "ok"
    [connection] = desk.rows("connections")
    assert (connection["identity"], connection["identity_seen"]) == ("full", user_name(ME))


def test_a_welcome_alone_proves_a_name_in_part(desk, monkeypatch):
    monkeypatch.setattr(session_module, "PROBE_TIMEOUT_S", 0.03)

    def no_acks(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, frame("connection_established", user_id=f"{user_name(ME)[:6]}...")))
        stay(peer)

    with server(no_acks) as here:
        session = desk.session(url(here))
        session.open()
        session.close()
        ended(here)
    [row] = desk.rows("connections")
    assert (row["identity"], row["outcome"], row["probe_time_min_ns"]) == ("prefix", "ready", None)
    assert desk.rows("violations") == []


def test_a_frame_that_is_lost_right_after_the_welcome_is_told(desk, monkeypatch):
    monkeypatch.setattr(session_module, "PROBE_TIMEOUT_S", 0.05)

    def hard_of_hearing(peer: Peer):
        peer.accept(then=frame_bytes(TEXT, frame("connection_established", user_id=user_name(ME))))
        peer.read_frame()
        message = peer.read_json()
        peer.send_text(json.dumps({"type": "ack", "user_id": user_name(ME), "message_id": message["message_id"]}))
        stay(peer)

    with server(hard_of_hearing) as here:
        session = desk.session(url(here))
        session.open()
        session.close()
        ended(here)
    assert desk.names("delivery") == ["lost_before_ready"]


# --- a turn ---------------------------------------------------------------------------------------------------------


def test_a_run_that_is_right_is_ok_and_everything_of_it_is_counted_once(desk):
    run = talk(desk, say_all, prompt=LOOK_UP)
    assert (run.outcome, run.signature) == ("ok", "")
    assert desk.rows("violations") == []
    [row] = desk.rows("runs")
    assert (row["outcome"], row["events"], row["chunks"], row["tools_started"], row["tools_ok"]) == ("ok", 7, 2, 1, 1)
    assert (row["canaries_planted"], row["canaries_back"], row["nonce_back"]) == (1, 1, True)
    assert row["intended_ns"] == row["sent_ns"] <= row["first_event_ns"] <= row["first_chunk_ns"] <= row["end_ns"]
    assert row["accepted_ns"] == row["first_event_ns"]
    assert (desk.counters.received, desk.counters.checked, desk.counters.recorded) == (7, 7, 7)
    assert [one["n"] for one in desk.rows("events")] == [1, 2, 3, 4, 5, 6, 7]
    assert desk.rows("connections")[0]["events_in"] == 7
    assert [kind for kind, name, error in desk.milestones if kind == "RUN" and name == "lookup" and not error] == [
        "RUN"
    ]
    assert [name for kind, name, _ in desk.milestones if kind == "EVENT"] == [
        "started", "thinking", "tool_executing", "tool_completed", "first chunk", "completed",
    ]  # fmt: skip


def test_what_the_server_was_asked(desk):
    asked: list[dict[str, Any]] = []

    def note(peer: Peer, message: dict[str, Any]) -> None:
        asked.append(message)
        say_all(peer, message)

    run = talk(desk, note, prompt=Prompt("shared", "Summarise my account.", reference="context"))
    [message] = asked
    assert message["payload"]["user_request"] == "Summarise my account."
    assert message["payload"]["context"]["reference"].encode() == run.nonce
    assert (message["payload"]["run_id"], message["user_id"]) == (run.run_id, user_name(ME))
    assert message["traceparent"].split("-")[1] == run.trace_id == desk.rows("runs")[0]["trace_id"]


def test_a_turn_that_was_due_earlier_keeps_its_intended_instant_and_the_lag_is_noted(desk):
    with server(chat(say_all)) as here:
        session = desk.session(url(here))
        session.open()
        due_ns = session._connection.times.begun_ns - 1_000_000_000
        session.ask(HELLO, desk.person().new_thread(), intended_ns=due_ns, warm_up=True)
        session.close()
    [row] = desk.rows("runs")
    assert (row["intended_ns"], row["warm_up"]) == (due_ns, True)
    assert desk.counters.schedule_lag_max_ns >= 1_000_000_000
    assert desk.rows("events")[0]["intended_ns"] == due_ns


def test_events_in_a_batch_are_events_like_others_and_their_bytes_are_looked_at_once(desk):
    leak = desk.house.keyring.make(owner=OTHER, ordinal=1, site=Site.PROMPT)

    def batched(peer: Peer, message: dict[str, Any]) -> None:
        events = [json.loads(one) for one in answer(message)]
        events[1]["data"]["thought"] = leak
        peer.send_text(json.dumps({"type": "event_batch", "events": events}))

    run = talk(desk, batched)
    assert (run.outcome, desk.rows("runs")[0]["events"]) == ("violated", 7)
    assert desk.names("isolation") == ["foreign_content"]


def without(name: str):
    def script(peer: Peer, message: dict[str, Any]) -> None:
        for one in answer(message):
            if json.loads(one)["type"] != name:
                peer.send_text(one)

    return script


def doubled(peer: Peer, message: dict[str, Any]) -> None:
    for one in answer(message):
        peer.send_text(one)
        if b"agent_thinking" in one:
            peer.send_text(one)


def torn_json(peer: Peer, message: dict[str, Any]) -> None:
    for one in answer(message):
        peer.send_text(one[: len(one) // 2] if b"tool_completed" in one else one)


def unproved(peer: Peer, message: dict[str, Any]) -> None:
    for one in answer({**message, "payload": {**message["payload"], "user_request": "nothing", "context": {}}}):
        peer.send_text(one)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (without("tool_completed"), "missing"),
        (without("agent_thinking"), "missing"),
        (doubled, "duplicate"),
        (torn_json, "malformed"),
        (unproved, "not_real"),
    ],
    ids=["tool result missing", "thinking missing", "duplicate", "malformed", "reference not back"],
)
def test_one_mistake_of_delivery_is_one_violation_under_its_name(desk, monkeypatch, script, name):
    monkeypatch.setattr(session_module, "STRAGGLERS_S", 0.1)
    run = talk(desk, script)
    assert desk.names("delivery") == [name]
    assert (run.outcome, list(run.violated)) == ("violated", [name])
    assert desk.names("isolation") == desk.names("harness") == []
    assert {row["evidence"] for row in desk.rows("frames")} == {"failure"}
    assert desk.counters.received == desk.counters.checked == desk.counters.recorded


def test_an_agents_error_is_an_outcome_and_no_violation(desk):
    run = talk(desk, lambda peer, message: peer.send_text(event(message, "agent_error", error_code="AGENT_FAILED")))
    assert (run.outcome, run.signature) == ("agent_error", "end: agent error AGENT_FAILED")
    assert desk.rows("violations") == []


def test_a_request_that_is_refused_is_refused(desk):
    run = talk(desk, lambda peer, message: peer.send_text(event(message, "error_message", error_code="RATE_LIMITED")))
    assert (run.outcome, run.signature) == ("refused", "send: RATE_LIMITED")
    assert desk.rows("violations") == []


def test_silence_is_a_timeout_and_the_socket_is_proved_healthy(desk):
    run = talk(desk, lambda peer, message: None, agent_timeout_s=0.1)
    assert (run.outcome, desk.names("delivery")) == ("timeout", ["silent"])
    assert "first event: no end in time" in run.signature


def busy(for_s: float) -> Callable[[], None]:
    """Something that keeps this process from everything else for so long."""

    def spin() -> None:
        until_ns = clock.now_ns() + int(for_s * 1e9)
        while clock.now_ns() < until_ns:
            pass

    return spin


@pytest.mark.parametrize(("answered_after_s", "outcome"), [(0.0, "ok"), (0.3, "timeout")])
def test_whether_an_end_came_in_time_is_told_by_its_arrival_and_not_by_how_busy_we_are(desk, answered_after_s, outcome):
    """The process is busy until long after the run's time is over."""
    loop = gevent.get_hub().loop

    def script(peer: Peer, message: dict[str, Any]) -> None:
        loop.run_callback_threadsafe(busy(0.6))
        threading.Event().wait(answered_after_s)
        for one in answer(message):
            peer.send_text(one)

    run = talk(desk, script, agent_timeout_s=0.15)
    assert run.outcome == outcome
    assert desk.rows("violations") == []


def test_a_pong_is_awaited_anew_when_we_were_too_busy_to_read_it(desk, monkeypatch):
    monkeypatch.setattr(session_module, "PROBE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(session_module, "LATE_NS", 50_000_000)
    loop = gevent.get_hub().loop
    with server(chat()) as here:
        session = desk.session(url(here))
        session.open()
        for backlog in (0.2, 0.3):  # what is in hand before the pong is read takes as long
            loop.run_callback(busy(backlog))
            assert session.ping()
        session.close()
        ended(here)
    assert desk.rows("violations") == []


def test_a_stream_that_stops_is_a_timeout_without_an_end(desk):
    def half(peer: Peer, message: dict[str, Any]) -> None:
        for one in answer(message)[:5]:
            peer.send_text(one)

    run = talk(desk, half, agent_timeout_s=0.1)
    assert (run.outcome, desk.names("delivery")) == ("timeout", ["no_end"])
    assert run.signature == "stream: no end in time, last event chunk"


def test_silence_on_a_socket_that_answers_nothing_is_a_lost_connection(desk, monkeypatch):
    monkeypatch.setattr(session_module, "PROBE_TIMEOUT_S", 0.05)

    def die(peer: Peer, message: dict[str, Any]) -> str:
        stay(peer)
        return "stop"

    run = talk(desk, die, agent_timeout_s=0.1)
    assert (run.outcome, desk.names("delivery")) == ("disconnected", [])


def test_an_event_after_the_end_is_late_and_told_though_the_run_is_concluded(desk):
    def late(peer: Peer, message: dict[str, Any]) -> None:
        if message["payload"]["thread_id"] not in seen:
            seen.append(message["payload"]["thread_id"])
            say_all(peer, message)
            earlier.append(message)
        else:
            peer.send_text(event(earlier[0], "agent_thinking", thought="one more"))
            say_all(peer, message)

    seen, earlier = [], []
    with server(chat(late)) as here:
        session = desk.session(url(here))
        session.open()
        thread = desk.person().new_thread()
        runs = [ask(desk, session, thread=thread) for _ in range(2)]
        session.close()
    assert [run.outcome for run in runs] == ["ok", "ok"]
    [row] = desk.rows("violations")
    assert (row["name"], row["run"]) == ("late", runs[0].run_id)


def test_a_reply_that_comes_a_little_after_the_end_is_out_of_order_and_not_missing(desk):
    def late_tool(peer: Peer, message: dict[str, Any]) -> None:
        events = answer(message)
        for one in [*events[:3], *events[4:], events[3]]:
            peer.send_text(one)

    run = talk(desk, late_tool, prompt=LOOK_UP)
    assert (desk.names("delivery"), run.outcome) == (["out_of_order"], "violated")


def test_a_user_that_is_stopped_in_mid_run_leaves_a_run_that_is_cut_and_blames_nobody(desk):
    with server(chat(lambda peer, message: peer.send_text(event(message, "agent_started")))) as here:
        session = desk.session(url(here))
        session.open()
        asking = gevent.spawn(ask, desk, session)
        wait_until(lambda: desk.rows("events"))
        asking.kill()
        session.close()
    [row] = desk.rows("runs")
    assert (row["outcome"], row["events"], row["signature"]) == ("cut", 1, "stopped by the load test")
    assert desk.rows("violations") == []
    assert desk.house.exposures.live == 0


# --- the way down ---------------------------------------------------------------------------------------------------


def cut_short(last: Callable[[Peer], Any]):
    """Half a run, then something that ends the connection."""

    def script(peer: Peer, message: dict[str, Any]) -> str:
        for one in answer(message)[:4]:
            peer.send_text(one)
        last(peer)
        return "stop"

    return script


@pytest.mark.parametrize(
    ("last", "code", "by", "violations"),
    [
        (lambda peer: peer.send(close_bytes(1008, "policy")), 1008, "peer", []),
        (lambda peer: peer.send(close_bytes(1001, "going away")), 1001, "peer", []),
        (lambda peer: peer.send(close_bytes(1011, "boom")), 1011, "peer", ["close_1011"]),
        (lambda peer: None, 1006, "transport", []),
        (lambda peer: (peer.send(frame_bytes(TEXT, b"x" * 200)[:50]), peer.reset()), 1006, "transport", []),
        (lambda peer: peer.send(frame_bytes(TEXT, b"{}", mask=True)), 1002, "peer", ["malformed"]),
        (lambda peer: peer.send(b"\xc1\x01x"), 1002, "peer", ["malformed"]),
    ],
    ids=["1008", "1001", "1011", "end of stream", "reset in mid-frame", "masked frame", "reserved bits"],
)
def test_a_connection_that_ends_in_mid_run(desk, last, code, by, violations):
    with server(chat(cut_short(last))) as here:
        session = desk.session(url(here))
        session.open()
        run = ask(desk, session)
        assert not session.is_ready
        session.close()
        ended(here)
    assert run.outcome == "disconnected"
    assert ": connection lost, last event " in run.signature  # a reset discards what was not read yet
    [row] = desk.rows("connections")
    assert (row["outcome"], row["close_code"], row["closed_by"]) == ("ready", code, by)
    assert desk.names("delivery") == violations
    assert desk.names("isolation") == desk.names("harness") == []


def test_a_close_between_turns_is_noted_and_the_next_turn_is_disconnected(desk):
    def bye(peer: Peer, message: dict[str, Any]) -> str:
        say_all(peer, message)
        peer.send(close_bytes(1001, "restart"))
        peer.read_to_end()
        return "stop"

    with server(chat(bye)) as here:
        session = desk.session(url(here))
        session.open()
        assert ask(desk, session).outcome == "ok"
        wait_until(lambda: not session.is_ready)
        assert ask(desk, session).outcome == "disconnected"
        session.close()
    assert [row["close_code"] for row in desk.rows("connections")] == [1001]


def test_a_close_reason_keeps_no_token(desk):
    def tell(peer: Peer):
        peer.accept(then=close_bytes(1008, f"bad token {TOKEN}"[:120]))
        return peer.read_to_end()

    with server(tell) as here:
        not_ready(desk, url(here))
        ended(here)
    assert TOKEN not in repr(desk.written)


def test_a_ping_of_the_server_is_answered_also_while_nobody_asks_anything(desk):
    answered: list[Any] = []

    def ping(peer: Peer):
        peer.accept(
            then=frame_bytes(TEXT, frame("connection_established", user_id=user_name(ME))) + frame_bytes(PING, b"?")
        )
        while (read := peer.read_frame()) is not None:
            if read[0] == PONG:
                answered.append(read[1])
            elif read[0] == TEXT:
                message = json.loads(read[1])
                kind = {"who_am_i": "ack", "ping": "pong"}[message["type"]]
                peer.send_text(
                    json.dumps({"type": kind, "user_id": user_name(ME), "message_id": message.get("message_id")})
                )
            else:
                peer.send(frame_bytes(CLOSE, read[1]))
                return

    with server(ping) as here:
        session = desk.session(url(here))
        session.open()
        session.close()
        ended(here)
    assert answered == [b"?"]


# --- mistakes of ours -----------------------------------------------------------------------------------------------


def fail_once(monkeypatch, target, name: str, when: Callable[[bytes], bool]) -> None:
    """Plant one exception in a function of ours."""
    original, planted = getattr(target, name), []

    def failing(self, data, *more, **named):
        if not planted and when(data):
            planted.append(1)
            raise RuntimeError("planted")
        return original(self, data, *more, **named)

    monkeypatch.setattr(target, name, failing)


@pytest.mark.parametrize("where", ["in the receive callback", "while handling a message"])
def test_an_error_of_our_own_is_ours_and_never_a_violation_of_the_target(desk, monkeypatch, where):
    if where == "while handling a message":
        fail_once(monkeypatch, Netra, "decode", lambda data: b"tool_completed" in data)

    with server(chat(say_all), chat(say_all)) as here:
        session = desk.session(url(here))
        session.open()
        if where == "in the receive callback":
            fail_to_read(session._connection, b"tool_completed")
        run = ask(desk, session, LOOK_UP)
        assert not session.is_ready, "a deaf session is not used again"
        session.close()
        again = desk.session(url(here))
        again.open()
        assert ask(desk, again, LOOK_UP).outcome == "ok"
        again.close()
        ended(here)
    assert (run.outcome, run.violated) == ("cut", {})
    assert desk.names("delivery") == desk.names("isolation") == []
    [row] = [row for row in desk.rows("violations")]
    assert (row["judgement"], row["name"]) == ("harness", "harness_error")
    assert row["came"] == f"RuntimeError {where}: planted"
    assert [row["closed_by"] for row in desk.rows("connections")] == ["us", "us"]


def test_an_error_of_our_own_on_the_way_up_is_not_the_targets_either(desk, monkeypatch):
    fail_once(monkeypatch, Netra, "decode", lambda data: b"connection_established" in data)
    with server(chat()) as here:
        problem, row = not_ready(desk, url(here))
        ended(here)
    assert (row["outcome"], desk.names("harness")) == ("cut", ["harness_error"])
    assert "an error of our own" in problem.reason


# --- isolation ------------------------------------------------------------------------------------------------------


def leaking(text: Callable[[], str], name: str = "agent_thinking"):
    def script(peer: Peer, message: dict[str, Any]) -> None:
        for one in answer(message):
            if json.loads(one)["type"] == name:
                envelope = json.loads(one)
                envelope["data"]["previous"] = text()
                peer.send_text(json.dumps(envelope))
            else:
                peer.send_text(one)

    return script


def theirs(desk: Desk) -> str:
    return desk.house.keyring.make(owner=OTHER, ordinal=3, site=Site.PROMPT)


def test_a_foreign_canary_is_one_row_with_its_frame_and_the_runs_frames_as_evidence(desk):
    run = talk(desk, leaking(lambda: f"token={TOKEN} {theirs(desk)}"))
    [row] = desk.rows("violations")
    assert (row["judgement"], row["name"], row["channel"], row["scope"]) == (
        "isolation",
        "foreign_content",
        2,
        "cross_user",
    )
    assert (row["observer"], row["owner"], row["field"], row["site"]) == (
        user_name(ME),
        user_name(OTHER),
        "data.previous",
        "prompt",
    )
    assert (row["run"], row["count"]) == (run.run_id, 1)
    assert theirs(desk) in row["frame"]
    assert TOKEN not in repr(desk.written)
    assert (run.outcome, run.signature) == ("violated", "end: foreign_content")
    assert {frame["evidence"] for frame in desk.rows("frames")} >= {"violation"}
    assert {frame["direction"] for frame in desk.rows("frames")} == {"in", "out"}


def test_a_doubt_that_was_told_at_once_does_not_silence_its_proof(desk):
    def garbled() -> str:
        canary = theirs(desk)
        return canary[:23] + ("a" if canary[23] != "a" else "b") + canary[24:]

    run = talk(desk, leaking(garbled))
    found = [(row["scope"], row["owner"], row["decode"]) for row in desk.rows("violations")]
    assert ("cross_user", user_name(OTHER), "garbled+partial") in found
    assert len(found) == len(set(found)) == 2
    assert run.outcome == "violated"


def test_a_doubt_is_told_once(desk):
    foreign = Keyring(b"another secret of 16 letters", 77).make(owner=OTHER, ordinal=3, site=Site.PROMPT)
    talk(desk, leaking(lambda: foreign))
    assert [row["scope"] for row in desk.rows("violations")] == ["unverified"]


def test_a_canary_that_straddles_two_chunks_is_found_in_the_whole_text(desk):
    def split(peer: Peer, message: dict[str, Any]) -> None:
        text = f"Your reference is {reference_of(message)} {theirs(desk)}."
        pieces = [text[:-20], text[-20:]]
        for one in answer(message)[:4]:
            peer.send_text(one)
        for at, piece in enumerate(pieces):
            peer.send_text(event(message, "agent_response_chunk", chunk=piece, chunk_index=at))
        peer.send_text(event(message, "agent_completed"))

    run = talk(desk, split)
    assert desk.names("isolation") == ["foreign_content"]
    assert run.outcome == "violated"


def test_an_event_of_another_user_is_seen_also_while_nobody_asks_anything(desk):
    def stray(peer: Peer, message: dict[str, Any]) -> None:
        say_all(peer, message)
        peer.send_text(frame("agent_thinking", run="run-" + theirs(desk), user=user_name(OTHER)))

    with server(chat(stray)) as here:
        session = desk.session(url(here))
        session.open()
        assert ask(desk, session).outcome == "ok"
        wait_until(lambda: desk.rows("violations"))
        session.close()
    [row] = desk.rows("violations")
    assert (row["name"], row["channel"], row["owner"], row["run"]) == ("wrong_socket", 1, user_name(OTHER), "")
    assert desk.counters.received == desk.counters.recorded == 8


@pytest.mark.parametrize(
    "last",
    [
        lambda peer, body: peer.send(bytes([TEXT, len(body)]) + body + close_bytes(1001, "")),
        lambda peer, body: peer.send(bytes([TEXT, len(body)]) + body),
        lambda peer, body: peer.send(bytes([0x80 | TEXT, len(body) + 9]) + body),
    ],
    ids=["a fragment, then a close frame", "a fragment, then the end", "half a frame, then the end"],
)
def test_what_is_never_whole_is_looked_at_too(desk, last):
    def cut(peer: Peer, message: dict[str, Any]) -> str:
        say_all(peer, message)
        last(peer, theirs(desk).encode())
        return "stop"

    with server(chat(cut)) as here:
        session = desk.session(url(here))
        session.open()
        ask(desk, session)
        ended(here)
        wait_until(lambda: desk.rows("connections"))
        session.close()
    assert {(row["scope"], row["owner"], row["channel"]) for row in desk.rows("violations")} == {
        ("cross_user", user_name(OTHER), 21)
    }


def test_text_that_shall_not_be_kept_is_in_no_row(desk):
    talk(desk, leaking(lambda: "a very private sentence " + theirs(desk)), keep_text=False)
    assert desk.names("isolation") == ["foreign_content"]
    assert "very private" not in repr(desk.written)
    assert HELLO.text not in repr(desk.written)


def test_frames_of_a_run_are_kept_when_another_process_asks_for_them(desk):
    with server(chat(say_all)) as here:
        session = desk.session(url(here))
        session.open()
        ask(desk, session)
        run = ask(desk, session)
        before = len(desk.rows("frames"))
        assert session.keep(run.run_id, "violation")
        assert not session.keep("run-of-nobody", "violation")
        session.close()
    kept = desk.rows("frames")[before:]
    assert {(frame["run"], frame["evidence"]) for frame in kept} == {(run.run_id, "violation")}
    assert len(kept) == 8


# --- the reference backend ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    with backend("--time-scale", "0.05") as process:
        yield process


PROMPTS = [
    Prompt("greeting", "Hello.", ("chunk",)),
    LOOK_UP,
    Prompt("comparison", "Please compare the two plans.", ("tool_executing", "tool_completed", "chunk")),
    Prompt(
        "failing_tool", "Please use the failing tool.", ("tool_executing", "tool_completed", "tool_failed", "chunk")
    ),
    Prompt("handoff", "Please hand over to billing.", ("handoff", "chunk")),
    Prompt("long", "I would like a long answer.", ("chunk",)),
    Prompt("shared", "Summarise my account.", ("chunk",), "context"),
    Prompt("impossible", "Do the impossible.", ("error",)),
]


@pytest.mark.parametrize(("transport", "numbers"), [("header", (31, 32)), ("subprotocol", (33, 34))])
def test_two_users_of_a_clean_backend_have_every_kind_of_run_and_no_violation(desk, reference, transport, numbers):
    where = reference.url.replace("http", "ws", 1) + "/ws"

    def use(number: int) -> list[str]:
        session = desk.session(
            where, number=number, token=mint(user_name(number)), transport=transport, nonce_required=False
        )
        session.open()
        thread = desk.person(number).new_thread()
        outcomes = [session.ask(prompt, thread, intended_ns=None, warm_up=False).outcome for prompt in PROMPTS]
        session.close()
        return outcomes

    users = [gevent.spawn(use, number) for number in numbers]
    gevent.joinall(users, timeout=20, raise_error=True)
    assert [user.value for user in users] == [["ok"] * len(PROMPTS)] * 2
    assert desk.rows("violations") == []
    assert [row["identity"] for row in desk.rows("connections")] == ["full", "full"]
    backs = {row["prompt"]: row["canaries_back"] for row in desk.rows("runs")}
    assert {name for name, back in backs.items() if not back} <= {"impossible"}
    assert desk.counters.received == desk.counters.checked == desk.counters.recorded == len(desk.rows("events"))
    assert desk.house.exposures.channels[2].opportunities > 0
    assert desk.house.exposures.live == 0


def test_a_token_with_a_wrong_signature_is_refused_by_it(desk, reference):
    token = mint(user_name(ME))
    forged = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
    problem, row = not_ready(desk, reference.url.replace("http", "ws", 1) + "/ws", token=forged)
    assert row["outcome"] == "refused"
    assert problem.stage in ("upgrade", "authenticate")


# --- the short way of chunks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_", ["in progress", "over", "dropped", "encoded"])
def test_only_chunks_of_a_run_in_progress_take_the_short_way(desk, is_):
    """A run that is over or was dropped streams on: what comes is no more of it. An encoded text is looked at too."""
    session, person = desk.session("ws://127.0.0.1:1/ws"), desk.person()
    thread = person.new_thread()
    run, _ = person.prepare(LOOK_UP, thread, Netra(), intended_ns=None, warm_up=False)
    incoming, own = session._incoming, {"run": run.run_id, "user": user_name(ME), "thread": thread.thread_id}
    incoming._encodes_text = is_ == "encoded"
    frames = [frame("agent_started", **own), frame("agent_thinking", **own)]
    frames += [frame("agent_response_chunk", chunk=f"piece {n}", chunk_index=n, **own) for n in range(4)]

    def take(some):
        for at_ns, data in enumerate(some, 1):
            incoming.take(Arrival(Message(Opcode.TEXT, data), at_ns, at_ns, False, at_ns))

    take(frames[:-1])
    run.outcome, run.dropped = "timeout" if is_ == "over" else "", is_ == "dropped"
    take(frames[-1:])
    assert run.events == len(desk.rows("events")) - run.dropped
    assert run.transcript == (frames[:-1] if is_ == "over" else frames)
    assert incoming._besides == (frames[-1:] if is_ == "over" else [])
    assert run.texts == ([f"piece {n}" for n in range(4)] if is_ == "encoded" else [])
    assert desk.counters.received == desk.counters.checked == desk.counters.recorded == len(frames)
