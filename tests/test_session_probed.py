"""What sessions of users that probe do beside asking: listening in, dropping, pausing, another's token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest

from crosstalk.connection import Inbox
from crosstalk.live_run import LiveRun, Prompt
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.dialect import Belongings
from crosstalk.wire.event import RUN_KINDS, Kind
from crosstalk.wire.netra import Netra
from tests.backend.client import Backend, backend, mint
from tests.helpers import DEADLINE_S, user_name
from tests.test_session import Desk

LONG = Prompt("long", "I would like a long answer.", ("chunk",))
DIALECT = Netra()


@pytest.fixture(scope="module")
def reference() -> Iterator[Backend]:
    with backend("--time-scale", "0.3", "--fault", "token_swap_keeps_subscription:1:60-69") as process:
        yield process


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def opened(desk: Desk, reference: Backend, number: int, *, view: bool = False) -> Session:
    person = desk.person(number)
    if view:  # a second socket of the same person: what comes on it is not the first one's runs
        person = replace(person, runs={})
    url = reference.url.replace("http", "ws", 1) + "/ws"
    session = desk.session(url, number=number, token=mint(user_name(number)), person=person)
    session.open()
    return session


def begun(desk: Desk, session: Session, number: int) -> tuple[Any, LiveRun]:
    """A long run in a greenlet, and the run once it has shown a sign of life."""
    person: Person = desk.person(number)
    asked = gevent.spawn(session.ask, LONG, person.new_thread(), intended_ns=None, warm_up=False)
    with gevent.Timeout(DEADLINE_S):
        while not person.runs:
            gevent.idle()
    [run] = person.runs.values()
    assert run.moved.wait(DEADLINE_S)
    return asked, run


def test_who_listens_hears_all_until_the_hush_and_an_exchange_hears_its_own_part(desk, reference):
    session = opened(desk, reference, 40)
    heard = session.listen()
    part = session.exchange(DIALECT.probe("somebody"))
    session.ping()
    assert [event.kind for event, _ in part] == [Kind.ACK, Kind.PONG]
    assert [event.kind for event, _ in heard] == [Kind.ACK, Kind.PONG, Kind.PONG]
    session.hush()
    session.ping()
    assert len(heard) == 3
    session.close()


def test_what_comes_of_a_run_after_its_user_dropped_the_connection_is_not_judged(desk, reference):
    first = opened(desk, reference, 41)
    asked, run = begun(desk, first, 41)
    left = first.welcome_id, first.events_in
    first.reset()
    asked.join(DEADLINE_S)
    assert (run.outcome, run.dropped) == ("cut", True)
    second = opened(desk, reference, 41)
    offer = DIALECT.resume(Belongings(connection_id=left[0], cursor=str(left[1])))
    missed = second.exchange(offer)
    again = second.exchange(DIALECT.resume(Belongings(connection_id=left[0], cursor="0")))
    assert any(event.run_id == run.run_id for event, _ in missed + again)
    second.close()
    assert desk.rows("violations") == []
    ends = {row["connection"]: row["closed_by"] for row in desk.rows("connections")}
    assert ends == {first.name: "us", second.name: "us"}


def test_a_pause_is_no_lag_of_the_reader(desk, reference):
    session = opened(desk, reference, 42)
    asked, run = begun(desk, session, 42)
    desk.inbox.take_lags()
    session.pause_reading()
    gevent.sleep(1.0)  # bounded: the run is over before the pause is, which is what is tested
    events = run.events
    assert desk.inbox.take_lags() == []
    session.resume_reading()
    asked.join(DEADLINE_S)
    assert run.outcome == "ok" and run.events > events
    late = [row for row in desk.rows("events") if row["received_ns"] - row["arrived_ns"] > 200_000_000]
    assert late == [] and max(desk.inbox.take_lags(), default=0) < 200_000_000
    session.close()


def test_anothers_token_is_refused_and_ends_the_socket_without_an_accusation(desk, reference):
    session = opened(desk, reference, 43)
    session.may_be(user_name(44))
    session.exchange(DIALECT.authenticate_again(mint(user_name(44))))
    assert not session.is_ready
    session.close()
    assert desk.rows("violations") == []


@pytest.mark.parametrize("told", [True, False])
def test_a_socket_that_bears_anothers_name_is_no_surprise_to_who_was_told(desk, reference, told):
    number = 50 + told
    session = opened(desk, reference, number)
    if told:
        session.may_be(user_name(60))
    session.exchange(DIALECT.authenticate_again(mint(user_name(60))))
    assert session.is_ready is told
    session.close()
    assert ("wrong_identity" in desk.names("identity")) is not told


def test_the_second_socket_of_a_person_leaves_the_runs_to_the_first(desk, reference):
    first = opened(desk, reference, 45)
    second = opened(desk, reference, 45, view=True)
    heard = second.listen()
    asked, run = begun(desk, first, 45)
    asked.join(DEADLINE_S)
    second.ping()
    assert run.outcome == "ok"
    assert len([event for event, _ in heard if event.kind in RUN_KINDS]) == run.events
    second.close()
    first.close()
    assert desk.rows("violations") == []
