"""A run that is started over HTTP, and whose events come on the socket: its id is the server's to choose."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
import pytest

from crosstalk.connection import Inbox
from crosstalk.hosts import Route
from crosstalk.http import Answer, HttpClient
from crosstalk.live_run import LiveRun, Prompt
from crosstalk.session import Session
from crosstalk.wire.dialect import Call
from tests.backend.client import Backend, backend, mint
from tests.helpers import DEADLINE_S, user_name
from tests.test_session import Desk

HELLO = Prompt("greeting", "Hello there.", ("chunk",))
#: accounts: of a user whose events bear another's run id, and of those who have no fault
MISLED, OTHER, ME = 70, 71, 72


@pytest.fixture(scope="module")
def reference() -> Iterator[Backend]:
    with backend("--time-scale", "0.1", "--fault", f"leak_run_id:1:{MISLED}") as process:
        yield process


@pytest.fixture
def desk() -> Iterator[Desk]:
    inbox = Inbox()
    yield Desk(inbox)
    inbox._greenlet.kill()


def opened(desk: Desk, reference: Backend, number: int) -> Session:
    url = reference.url.replace("http", "ws", 1) + "/ws"
    session = desk.session(url, number=number, token=mint(user_name(number)))
    session.open()
    return session


def caller(reference: Backend, number: int) -> Callable[[Call, str], Answer]:
    client = HttpClient(reference.url, headers={}, route=Route(), rng=random.Random(number))

    def call(wanted: Call, trace_id: str) -> Answer:
        token = mint(user_name(number))
        return client.call(wanted.method, wanted.path, token=token, json=wanted.json, trace_id=trace_id)

    return call


def ask(desk: Desk, session: Session, number: int, call: Callable[[Call, str], Answer], *, agent: str = "") -> LiveRun:
    thread = desk.person(number).new_thread()
    return session.ask_over_http(HELLO, thread, call, intended_ns=None, warm_up=False, agent=agent)


def test_it_is_a_run_like_any_other(desk: Desk, reference: Backend) -> None:
    session = opened(desk, reference, ME)
    run = ask(desk, session, ME, caller(reference, ME), agent="researcher")
    assert (run.outcome, run.check.agent) == ("ok", "researcher") and run.nonce in run.seen
    status = caller(reference, ME)(Call("GET", f"/api/runs/{run.run_id}"), "").body
    assert (status["status"], status["thread_id"]) == ("completed", run.thread.thread_id)
    session.close()
    [row] = desk.rows("runs")
    assert row["run"] == run.run_id and {event["run"] for event in desk.rows("events")} == {run.run_id}


def test_its_events_may_come_before_the_answer(desk: Desk, reference: Backend) -> None:
    session, call = opened(desk, reference, ME), caller(reference, ME)

    def slow(wanted: Call, trace_id: str) -> Answer:
        answer = call(wanted, trace_id)
        [run] = [one for one in desk.person(ME).runs.values() if not one.outcome]
        assert run.done.wait(DEADLINE_S)
        return answer

    run = ask(desk, session, ME, slow)
    assert run.outcome == "ok" and not run.run_id.startswith("?")
    session.close()
    assert desk.names("delivery") == desk.names("isolation") == []


def test_the_answer_must_name_the_run_whose_events_come(desk: Desk, reference: Backend) -> None:
    session, call = opened(desk, reference, ME), caller(reference, ME)

    def lying(wanted: Call, trace_id: str) -> Answer:
        answer = call(wanted, trace_id)
        [run] = [one for one in desk.person(ME).runs.values() if not one.outcome]
        assert run.moved.wait(DEADLINE_S)
        return replace(answer, body={**answer.body, "run_id": "run-of-nobody"})

    run = ask(desk, session, ME, lying)
    assert run.outcome == "refused" and "run-of-nobody" in run.signature
    session.close()


def test_what_is_refused_is_a_run_that_was_refused(desk: Desk, reference: Backend) -> None:
    session = opened(desk, reference, ME)
    run = ask(desk, session, ME, caller(reference, ME), agent="nobody")
    assert run.outcome == "refused" and "HTTP 404" in run.signature
    session.close()


def test_an_id_that_is_anothers_is_not_taken_for_its_own(desk: Desk, reference: Backend) -> None:
    first, session = opened(desk, reference, OTHER), opened(desk, reference, MISLED)
    theirs = first.ask(HELLO, desk.person(OTHER).new_thread(), intended_ns=None, warm_up=False)
    run = ask(desk, session, MISLED, caller(reference, MISLED))
    assert run.run_id not in ("", theirs.run_id) and not run.run_id.startswith("?")
    session.close()
    first.close()
    assert "foreign_id" in desk.names("isolation")
    gevent.idle()
