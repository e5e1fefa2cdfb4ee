"""Sessions and envelopes: a batch that several runs share, a socket of another sort, a run that is cancelled."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from crosstalk.checks.canary import Site
from crosstalk.connection import Inbox
from crosstalk.live_run import Prompt
from crosstalk.session import Session
from crosstalk.wire.netra import Netra
from tests.backend.client import Backend, backend, mint
from tests.helpers import DEADLINE_S, Peer, server, user_name
from tests.test_session import ME, OTHER, Desk, answer, chat, ended, url

DIALECT = Netra()
HELLO = Prompt("greeting", "Hello there.")
LOOK_UP = Prompt("lookup", "Please look up what we spent.", ("tool_executing", "tool_completed", "chunk"))
LONG = Prompt("long", "I would like a long answer.", ("chunk",))


@pytest.fixture(scope="module")
def reference() -> Iterator[Backend]:
    with backend("--time-scale", "0.3") as process:
        yield process


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


class Both:
    """Answers two prompts in one batch after the other: each frame has an event of either run.

    :param leak: words that stand in the second run's thought.
    """

    def __init__(self, leak: str = "") -> None:
        self._leak = leak
        self._said: list[list[Any]] = []

    def __call__(self, peer: Peer, message: dict[str, Any]) -> None:
        self._said.append([json.loads(one) for one in answer(message)])
        if len(self._said) == 2:
            self._said[1][1]["data"]["thought"] += self._leak
            for pair in zip(*self._said, strict=True):
                peer.send_text(json.dumps({"type": "event_batch", "events": pair}))


def ask_twice(desk: Desk, script: Both) -> list[str]:
    """Two runs at once, in two threads: their outcomes."""
    person = desk.person()
    with server(chat(script)) as here:
        session = desk.session(url(here))
        session.open()
        asked = [
            gevent.spawn(session.ask, HELLO, person.new_thread(), intended_ns=None, warm_up=False) for _ in range(2)
        ]
        gevent.joinall(asked, timeout=DEADLINE_S, raise_error=True)
        session.close()
        ended(here)
    return [greenlet.value.outcome for greenlet in asked]


def test_what_is_ones_own_in_another_runs_part_of_a_batch_is_no_leak(desk):
    assert ask_twice(desk, Both()) == ["ok", "ok"]
    assert desk.rows("violations") == []


def test_what_is_anothers_in_one_part_of_a_batch_is_found_there(desk):
    leak = desk.house.keyring.make(owner=OTHER, ordinal=1, site=Site.PROMPT)
    assert ask_twice(desk, Both(" " + leak)) == ["ok", "violated"]
    [row] = [row for row in desk.rows("violations") if row["judgement"] == "isolation"]
    assert (row["name"], row["scope"], row["owner"]) == ("foreign_content", "cross_user", user_name(OTHER))


def opened(desk: Desk, reference: Backend, path: str, number: int = ME) -> Session:
    address = reference.url.replace("http", "ws", 1) + "/ws"
    session = desk.session(address, number=number, token=mint(user_name(number)))
    session.go_to(path, receive_buffer_bytes=4096)
    session.open()
    return session


@pytest.mark.parametrize(("number", "envelope"), list(enumerate(DIALECT.envelopes(), 20)))
def test_a_run_is_right_in_every_envelope(desk, reference, number, envelope):
    session = opened(desk, reference, DIALECT.envelopes()[envelope], number)
    assert DIALECT.envelope_said(session.welcome_frame) == envelope
    run = session.ask(LOOK_UP, desk.person(number).new_thread(), intended_ns=None, warm_up=False)
    session.close()
    assert (run.outcome, run.tools_repeat_it) == ("ok", True)
    assert run.check.counts.retries == (3 if envelope == "flattened" else 0)
    assert desk.rows("runs")[0]["retries"] == run.check.counts.retries
    assert desk.rows("violations") == []


def test_a_path_with_a_query_leaves_the_token_in_its_place(desk, reference):
    session = desk.session("ws://127.0.0.1:1/ws", transport="query", token="secret")
    session.go_to("/ws?envelope=main")
    assert session._connection.endpoint.url == "ws://127.0.0.1:1/ws?envelope=main&token=secret"


def test_the_kernel_holds_little_for_who_wants_it_so(desk, reference):
    session = opened(desk, reference, "")
    raw = session._connection._stream._raw
    assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * 4096  # the kernel doubles it for its own
    session.close()


def test_a_run_that_is_cancelled_by_hand_ends_and_keeps_what_had_come(desk, reference):
    session, person = opened(desk, reference, ""), desk.person()
    asked = gevent.spawn(session.ask, LONG, person.new_thread(), intended_ns=None, warm_up=False)
    with gevent.Timeout(DEADLINE_S):
        while not person.runs:
            gevent.idle()
        [run] = person.runs.values()
        while run.check.counts.chunks < 3:
            run.moved.clear()
            run.moved.wait()
        assert session.cancel(run) == ""
        asked.join()
    session.close()
    assert (run.outcome, run.check.end_code) == ("cut", "CANCELLED")
    [partial] = [e for f in run.frames for e in DIALECT.decode(f.body) if e.name == DIALECT.partial_event]
    assert partial.text == "".join(run.check.text) != ""
