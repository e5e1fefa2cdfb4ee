"""A prompt that meets a goodbye which asks to come again: it was not taken, and no run was lost with it."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import pytest

from crosstalk.connection import Inbox
from crosstalk.session import NotReady
from tests.helpers import DEADLINE_S, Peer, close_bytes, server
from tests.test_session import Desk, answer, ask, chat, ended, url


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def goodbye(code: int, *, after: int) -> Any:
    """A server that says so many events of a run and then goodbye."""

    def script(peer: Peer, message: dict[str, Any]) -> str:
        for one in answer(message)[:after]:
            peer.send_text(one)
        peer.send(close_bytes(code, "bye"))
        return "stop"

    return chat(script)


@pytest.mark.parametrize(
    ("code", "after", "outcome"),
    [
        (1012, 0, "refused"),
        (1013, 0, "refused"),
        (1012, 1, "disconnected"),  # it was taken, and is lost
        (1001, 0, "disconnected"),  # nobody asks to come again
        (1011, 0, "disconnected"),
    ],
)
def test_a_run_is_refused_by_such_a_goodbye_before_its_first_event_only(
    desk: Desk, code: int, after: int, outcome: str
) -> None:
    with server(goodbye(code, after=after)) as here:
        session = desk.session(url(here))
        session.open()
        run = ask(desk, session)
        session.close()
        ended(here)
    assert run.outcome == outcome
    assert (f"close {code} bye" in run.signature) == (outcome == "refused")


def test_a_goodbye_that_was_read_and_not_yet_heard_of_counts_too(desk: Desk) -> None:
    """The prompt is said between the moment in which the socket's end is read and the one in which we are told."""

    def bye(peer: Peer, _message: dict[str, Any]) -> str:
        peer.send(close_bytes(1012, "bye"))
        return "stop"

    with server(chat(bye)) as here:
        session = desk.session(url(here))
        session.open()
        session._connection.send('{"type": "anything"}')
        readable, _, _ = select.select([session._connection._stream.fileno()], [], [], DEADLINE_S)
        assert readable  # and no greenlet has run meanwhile
        session._connection._readable()
        assert session.is_ready and not session._connection.is_open
        run = ask(desk, session)
        session.close()
        ended(here)
    assert (run.outcome, run.signature) == ("refused", "send: close 1012 bye")


def test_who_is_turned_away_knows_what_was_said(desk: Desk) -> None:
    with server(lambda peer: peer.accept(then=close_bytes(1013, "later"))) as here:
        with pytest.raises(NotReady) as put_off:
            desk.session(url(here)).open()
        ended(here)
    assert put_off.value.said == 1013
    with server(lambda peer: peer.answer("503 Service Unavailable")) as here:
        with pytest.raises(NotReady) as unavailable:
            desk.session(url(here)).open()
        ended(here)
    assert unavailable.value.said == 503
