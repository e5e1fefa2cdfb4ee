"""The attempts of the dialects against the reference backend: a stranger is refused each one, the owner none."""

import json
from collections.abc import Iterator

import pytest

from crosstalk.wire.agui import Agui
from crosstalk.wire.dialect import Belongings
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra
from crosstalk.wire.per_run import PerRun
from tests.backend.client import Backend, backend, mint
from tests.backend.reaching import messages_of, victim_in
from tests.backend.shapes import talk

DIALECTS = {"netra": Netra(), "agui": Agui(), "per_run": PerRun()}
OWNER, STRANGER = "own00017", "out00018"
REFUSALS = {400, 401, 403, 404, 405, 409, 410, 422, 429}
REFERENCE = "ctlk" + "a" * 32


@pytest.fixture(scope="module")
def process() -> Iterator[Backend]:
    with backend("--time-scale", "0.05") as one:
        yield one


def answers(process, shape, user, frames):
    """The kinds of the events that come on a user's socket after each frame, before anything else is said."""
    dialect, told = DIALECTS[shape], []
    with talk(process, shape, user) as one:
        for frame in frames:
            assert one.socket
            one.socket.send(frame)
            events = list(dialect.decode(one.socket.recv(timeout=5).encode()))
            told.append([event.kind for event in events])
    return told


def reached(process, shape, user, attempt):
    """Whether an attempt came through, and what was answered."""
    if attempt.call is not None:
        call = attempt.call
        status, said, _ = process.http(call.method, call.path, user=user, body=call.json)
        assert status in REFUSALS | {200, 201, 202, 204}, attempt
        return status not in REFUSALS, said
    (kinds,) = answers(process, shape, user, [attempt.frame])
    return Kind.REFUSED not in kinds, kinds


def belongings(victim):
    return Belongings(victim.user, victim.thread, victim.run, victim.message, victim.connection, "0")


@pytest.mark.parametrize("shape", DIALECTS)
def test_a_stranger_is_refused_every_attempt(process, shape):
    with victim_in(process, shape, OWNER) as victim:
        before = messages_of(process, OWNER, victim.thread)
        for attempt in DIALECTS[shape].reach(belongings(victim)):
            came_through, said = reached(process, shape, STRANGER, attempt)
            assert not came_through, (attempt, said)
            assert not victim.seen_in(said), (attempt, said)
        assert messages_of(process, OWNER, victim.thread) == before != []


@pytest.mark.parametrize("shape", DIALECTS)
def test_the_owner_is_refused_none_that_still_has_its_object(process, shape):
    """So that a refusal means something. What has ended cannot be cancelled, and what is deleted not be deleted."""
    with victim_in(process, shape, OWNER) as victim:
        refused = []
        for attempt in DIALECTS[shape].reach(belongings(victim)):
            came_through, _ = reached(process, shape, OWNER, attempt)
            if not came_through:
                refused.append((attempt.verb, attempt.surface))
        allowed = {("cancel", "http"), ("cancel", "socket"), ("delete", "socket")}
        allowed |= {("continue", "socket")} if shape == "agui" else set()  # a thread's own socket takes it alone
        assert set(refused) <= allowed


@pytest.mark.parametrize("shape", DIALECTS)
def test_an_ordinary_user_is_refused_every_function_and_an_administrator_is_not(process, shape):
    for attempt in DIALECTS[shape].functions():
        assert not reached(process, shape, STRANGER, attempt)[0], attempt
        if attempt.call is not None:
            token, call = mint("root0001", permissions=["admin"]), attempt.call
            assert process.http(call.method, call.path, token=token, body=call.json)[0] == 200


@pytest.mark.parametrize("shape", ["netra", "agui"])
def test_each_provocation_is_answered_by_an_error(process, shape):
    frames = list(DIALECTS[shape].provoke(REFERENCE))
    assert answers(process, shape, STRANGER, frames) == [[Kind.REFUSED]] * len(frames)


@pytest.mark.parametrize("shape", DIALECTS)
def test_lists_and_histories_say_what_is_there(process, shape):
    dialect = DIALECTS[shape]
    with victim_in(process, shape, "own00019") as victim:
        listed = process.http("GET", dialect.list_threads().path, user=victim.user)[1]
        assert list(dialect.listed(listed)) == [victim.thread]
        history = process.http("GET", dialect.history(victim.thread).path, user=victim.user)[1]
        messages = list(dialect.messages(history))
        assert [victim.reference in text for _, text in messages] == [True, True]
        assert len({message_id for message_id, _ in messages}) == 2
        delete = dialect.delete_thread(victim.thread)
        assert process.http(delete.method, delete.path, user=victim.user)[0] == 204
        assert list(dialect.listed(process.http("GET", dialect.list_threads().path, user=victim.user)[1])) == []


def test_a_resume_by_the_dialect(process):
    with victim_in(process, "netra", OWNER) as victim:
        frame = Netra().resume(belongings(victim))
        with process.user(STRANGER) as stranger:
            stranger.socket.send(frame)
            (event,) = Netra().decode(json.dumps(stranger.read()).encode())
            assert (event.kind, event.code) == (Kind.REFUSED, "FORBIDDEN")
        with process.user(OWNER) as owner:
            (welcome,) = Netra().decode(json.dumps(owner.welcome).encode())
            assert welcome.connection_id == owner.welcome["data"]["connection_id"]
            owner.socket.send(frame)
            frames = owner.drain()
            assert frames[0]["type"] == "resumed"
            assert victim.run in {one.get("run_id") for one in frames[1:]}
