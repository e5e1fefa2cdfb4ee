"""How the dialects reach, list, resume and provoke: what users that probe send."""

import itertools

import orjson
import pytest

from crosstalk.wire.agui import Agui
from crosstalk.wire.dialect import Belongings
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra
from crosstalk.wire.per_run import PerRun

DIALECTS = [Netra(), Agui(), PerRun()]
OWNED = Belongings(
    user_id="k3f00017", thread_id="thread-9", run_id="run-9", message_id="msg-9", connection_id="main_9", cursor="7"
)
REFERENCE = "ctlk" + "a" * 32
DESTRUCTIVE = ("cancel", "delete")


def written(attempt):
    call = attempt.call
    return attempt.frame if call is None else f"{call.method} {call.path} {orjson.dumps(call.json).decode()}"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_each_attempt_names_what_it_reaches_for_and_what_destroys_comes_last(dialect):
    attempts = list(dialect.reach(OWNED))
    for attempt in attempts:
        assert attempt.surface == ("http" if attempt.call else "socket")
        assert any(one in written(attempt) for one in ("k3f00017", "thread-9", "run-9", "msg-9", "main_9"))
        if attempt.frame is not None:
            assert "type" in orjson.loads(attempt.frame)
    assert len({written(attempt) for attempt in attempts}) == len(attempts)
    verbs = [attempt.verb for attempt in attempts]
    assert {"read", "continue", "cancel", "delete"} <= set(verbs)
    changing = [verb in DESTRUCTIVE for verb in verbs]
    assert changing == sorted(changing)
    assert verbs[-1] == "delete"
    assert attempts[-1].object == "thread"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_what_is_not_known_is_not_reached_for(dialect):
    assert list(dialect.reach(Belongings())) == []
    only_run = list(dialect.reach(Belongings(run_id="run-9")))
    assert only_run
    assert {attempt.object for attempt in only_run} == {"run"}


def test_netra_reaches_every_object_on_both_surfaces_and_in_every_place():
    attempts = list(Netra().reach(OWNED))
    assert {attempt.object for attempt in attempts} == {"thread", "message", "run", "connection", "user"}
    places = {attempt.surface: set() for attempt in attempts}
    for attempt in attempts:
        places[attempt.surface].add(attempt.place)
    assert places == {"http": {"path", "query", "body"}, "socket": {"payload", "frame"}}
    for attempt in attempts:
        if attempt.frame is not None:
            message = orjson.loads(attempt.frame)
            assert (attempt.place == "payload") == ("payload" in message)
    assert len({str(attempt) + written(attempt) for attempt in attempts}) == len(attempts)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_functions_come_with_the_one_that_others_notice_last(dialect):
    attempts = list(dialect.functions())
    assert {attempt.object for attempt in attempts} == {"function"}
    assert len({str(attempt) for attempt in attempts}) == len(attempts)
    assert attempts[-1].call.method == "POST"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_a_provocation_carries_the_reference(dialect):
    frames = list(dialect.provoke(REFERENCE))
    assert all(REFERENCE in frame for frame in frames)
    assert len(set(frames)) == len(frames)
    assert bool(frames) == (dialect.name != "per_run")


def test_listings_and_histories_are_read():
    ids = {"netra": ("threads", "id"), "agui": ("threads", "threadId"), "per_run": ("conversations", "conversation")}
    for dialect in DIALECTS:
        key, name = ids[dialect.name]
        assert list(dialect.listed({key: [{name: "t1"}, {name: "t2"}, 7], "total": 2})) == ["t1", "t2"]
        assert list(dialect.listed({})) == list(dialect.listed({key: 3})) == []
        said = {"messages": [{"id": "m1", "role": "user", "content": "hello"}, None]}
        assert list(dialect.messages(said)) == [("m1", "hello")]
        assert dialect.list_threads().method == dialect.history("t1").method == "GET"
        assert "t1" in dialect.history("t1").path
        assert (dialect.logout().method, dialect.logout().path) == ("POST", "/auth/logout")


def test_a_resume_names_the_connection_and_how_far_it_came():
    assert orjson.loads(Netra().resume(OWNED)) == {
        "type": "resume",
        "payload": {"connection_id": "main_9", "last_event": 7},
    }
    assert Netra().resume(Belongings(user_id="k3f00017")) is None
    assert Agui().resume(OWNED) is PerRun().resume(OWNED) is None
    assert orjson.loads(Netra().authenticate_again("x.y.z")) == {"type": "authenticate", "token": "x.y.z"}


def test_the_welcome_names_the_connection_and_nothing_else_does():
    welcome = {"type": "connection_established", "data": {"user_id": "k3f00017...", "connection_id": "main_1a"}}
    heartbeat = {"type": "heartbeat", "data": {"connection_id": "main_1a"}}
    events = list(itertools.chain.from_iterable(Netra().decode(orjson.dumps(one)) for one in (welcome, heartbeat)))
    assert [(event.kind, event.connection_id) for event in events] == [
        (Kind.WELCOME, "main_1a"),
        (Kind.HEARTBEAT, ""),
    ]


@pytest.mark.parametrize(
    ("dialect", "refusal"),
    [
        (Netra(), {"type": "error_message", "error_code": "{}", "error_message": "no", "received_type": "stop_agent"}),
        (Agui(), {"type": "RUN_ERROR", "code": "{}", "message": "no", "metadata": {"refused": "CANCEL"}}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_cancel_that_crossed_the_end_refuses_no_run(dialect, refusal):
    for code, kind in (("RUN_ENDED", Kind.OTHER), ("NOT_FOUND", Kind.REFUSED)):
        (event,) = dialect.decode(orjson.dumps(refusal).replace(b"{}", code.encode()))
        assert (event.kind, event.code) == (kind, code)
