"""What answers to attempts mean: an answer in, a violation (or none) out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.probing import (
    Meaning,
    Reply,
    Victim,
    body_of,
    changed,
    difference,
    guesses,
    meaning,
    reached,
    says_nothing,
    settled,
)
from crosstalk.wire.dialect import Attempt, Belongings, Call
from crosstalk.wire.event import Event, Kind

READ = Attempt("thread", "read", "path", call=Call("GET", "/api/threads/t-1"))
SOCKET = Attempt("thread", "read", "payload", frame='{"type":"get_thread_history","payload":{"thread_id":"t-1"}}')
FUNCTION = Attempt("function", "call", "path", call=Call("GET", "/api/admin/users"))
FUNCTION_BY_FRAME = Attempt("function", "call", "frame debug_state", frame='{"type":"debug_state"}')
VICTIM = Victim("someone", Belongings(thread_id="t-1", run_id="r-1"), frozenset({b"private words", b"t-1"}))


def events(*given: Event) -> tuple[tuple[Event, bytes], ...]:
    return tuple((event, b'{"thread_id":"t-1"}') for event in given)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 422, 429, 451])
def test_a_refusal_over_http_is_right(status: int) -> None:
    reply = Reply(status=status, body=b'{"detail":"thread t-1 not found"}')
    assert meaning(READ, reply) is Meaning.REFUSED
    assert reached(READ, reply, VICTIM) is None


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_anything_granted_over_http_is_a_violation(status: int) -> None:
    found = reached(READ, Reply(status=status), VICTIM)
    assert found is not None
    assert (found.name, found.channel, found.scope, found.owner) == (
        "foreign_object_reached", 13, "cross_user", "someone",
    )  # fmt: skip
    assert "read thread (http, path)" in found.came and f"HTTP {status}" in found.came


@pytest.mark.parametrize("status", [0, 302, 500, 503])
def test_no_answer_and_a_failure_of_the_server_prove_nothing(status: int) -> None:
    assert meaning(READ, Reply(status=status)) is Meaning.UNCLEAR
    assert reached(READ, Reply(status=status), VICTIM) is None


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusal_that_tells_a_secret_is_a_violation(status: int) -> None:
    found = reached(READ, Reply(status=status, body=b'{"detail":{"last":"private words"}}'), VICTIM)
    assert found is not None and found.field == "detail.last" and "private words" in found.came


def test_what_the_attempt_said_itself_is_no_secret() -> None:
    assert reached(SOCKET, Reply(events=((Event(Kind.REFUSED), b'{"detail":"no thread t-1"}'),)), VICTIM) is None


def test_functions_are_channel_14() -> None:
    found = reached(FUNCTION, Reply(status=200), Victim(""))
    assert found is not None and found.channel == 14 and found.scope == "cross_user"


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.REJECTED, Kind.ERROR, Kind.ACK, Kind.HEARTBEAT])
def test_a_refusal_on_the_socket_is_right(kind: Kind) -> None:
    assert reached(SOCKET, Reply(events=events(Event(kind))), VICTIM) is None
    assert meaning(SOCKET, Reply(events=events(Event(kind)))) is Meaning.REFUSED


def test_silence_before_the_barrier_is_a_refusal_and_a_dead_socket_is_none() -> None:
    assert meaning(SOCKET, Reply()) is Meaning.REFUSED
    assert meaning(SOCKET, Reply(alive=False)) is Meaning.UNCLEAR
    assert meaning(SOCKET, Reply(alive=False, refused_by_end=True)) is Meaning.REFUSED


@pytest.mark.parametrize("kind", [Kind.OTHER, Kind.NOTICE, Kind.STARTED, Kind.CHUNK, Kind.COMPLETED])
def test_anything_else_on_the_socket_is_a_violation(kind: Kind) -> None:
    reply = Reply(events=((Event(Kind.ACK), b"{}"), (Event(kind, name="thread_data"), b'{"thread_id":"t-1"}')))
    found = reached(SOCKET, reply, VICTIM)
    assert found is not None and found.event_kind == str(kind) and "thread_data" in found.came
    assert body_of(reply) == b'{"thread_id":"t-1"}'


def test_what_names_nothing_of_the_victims_came_by_itself() -> None:
    reply = Reply(events=((Event(Kind.OTHER, name="broadcast"), b'{"text":"a word to all"}'),))
    assert reached(SOCKET, reply, VICTIM) is None
    assert meaning(SOCKET, reply, about=VICTIM.ids) is Meaning.REFUSED
    assert reached(FUNCTION_BY_FRAME, reply, Victim("")) is not None  # a function has no victim: any answer is one


def test_a_token_on_anothers_thread_is_channel_12() -> None:
    attempt = Attempt("thread", "open", "payload", frame='{"type":"switch_thread"}')
    found = reached(attempt, Reply(events=events(Event(Kind.NOTICE))), VICTIM)
    assert found is not None and found.channel == 12


def test_events_of_own_runs_are_no_answer() -> None:
    reply = Reply(events=events(Event(Kind.CHUNK, run_id="mine"), Event(Kind.NOTICE, thread_id="my thread")))
    assert reached(SOCKET, reply, VICTIM, own_ids={"mine", "my thread"}) is None
    assert reached(SOCKET, reply, VICTIM, own_ids={"mine"}) is not None


def test_a_guess_that_hits_is_somebodys_and_nobody_knows_whose_unless_it_tells() -> None:
    silent = reached(READ, Reply(status=200, body=b"{}"), VICTIM, guessed=True)
    telling = reached(READ, Reply(status=200, body=b'{"text":"private words"}'), VICTIM, guessed=True)
    assert silent is not None and (silent.scope, silent.owner) == ("unverified", "")
    assert telling is not None and (telling.scope, telling.owner) == ("cross_user", "someone")


def test_a_change_names_the_attempt() -> None:
    rename = Attempt("thread", "rename", "path", call=Call("PUT", "/api/threads/t-1"))
    found = changed(rename, VICTIM, expected="title 'a'", came="title 'b'")
    assert (found.name, found.channel, found.scope, found.owner) == ("victim_changed", 13, "cross_user", "someone")
    assert "rename thread (http, path)" in found.came


# --- the state of a victim --------------------------------------------------------------------------------------------


def test_what_changes_by_itself_is_no_change() -> None:
    before = {"title": "a", "updated_at": 1, "last_seen": 2, "messages": [{"text": "x", "timestamp": 3}]}
    after = {"title": "a", "updated_at": 9, "last_seen": 8, "messages": [{"text": "x", "timestamp": 7}]}
    assert difference(settled(before), settled(after)) == ""


@pytest.mark.parametrize(
    "after",
    [
        {"title": "b", "messages": [{"text": "x"}]},
        {"title": "a", "messages": []},
        {"title": "a", "messages": [{"text": "x"}, {"text": "y"}]},
        {"title": "a", "messages": [{"text": "X"}]},
        None,
    ],
)
def test_any_other_change_is_one(after: object) -> None:
    assert difference(settled({"title": "a", "messages": [{"text": "x"}]}), settled(after))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=20,
    )
)
def test_a_document_is_no_other_than_itself(document: object) -> None:
    assert difference(settled(document), settled(document)) == ""


# --- guesses ----------------------------------------------------------------------------------------------------------


def test_neighbours_of_numbers_and_of_letters() -> None:
    near = list(guesses(Belongings(thread_id="thread-0041", run_id="run-abc")))
    assert {near[0].thread_id, near[1].thread_id} == {"thread-0040", "thread-0042"}
    assert {near[0].run_id, near[1].run_id} == {"run-abb", "run-abd"}
    assert near[0].connection_id == ""


def test_there_is_nothing_before_nought() -> None:
    assert [guess.connection_id for guess in guesses(Belongings(connection_id="main_e8d2e0"))][:2] == [
        "",
        "main_e8d2e1",
    ]


@given(st.text(min_size=1, max_size=40, alphabet="abcdef0123456789-"))
def test_a_guess_is_never_ones_own(wire_id: str) -> None:
    for guess in list(guesses(Belongings(thread_id=wire_id)))[:2]:
        assert guess.thread_id != wire_id


# --- answers that anybody's id gets -----------------------------------------------------------------------------------

IDS = {"theirs-1", "nobodys-1"}


@pytest.mark.parametrize(
    ("for_them", "for_nobody"),
    [
        (b"[]", b"[]"),
        (b"", b""),
        (b"<html>the same page</html>", b"<html>the same page</html>"),
        (b'{"threads": ["mine"], "asked_at": 5}', b'{"threads": ["mine"], "asked_at": 9}'),
        (b'{"deleted": "theirs-1"}', b'{"deleted": "nobodys-1"}'),
        (b'{"error": "forbidden"}', b'{"error": "forbidden"}'),
    ],
)
def test_an_answer_that_an_id_of_nobody_gets_as_well_says_nothing(for_them: bytes, for_nobody: bytes) -> None:
    assert says_nothing(Reply(200, for_them), Reply(200, for_nobody), IDS)


@pytest.mark.parametrize(
    ("for_them", "for_nobody"),
    [
        (Reply(200, b'{"id": "theirs-1", "title": "Plans"}'), Reply(404, b"")),
        (Reply(200, b'{"id": "theirs-1", "title": "Plans"}'), Reply(200, b'{"id": "nobodys-1", "title": ""}')),
        (Reply(200, b'["theirs-1"]'), Reply(200, b"[]")),
    ],
)
def test_an_answer_that_only_their_id_gets_says_something(for_them: Reply, for_nobody: Reply) -> None:
    assert not says_nothing(for_them, for_nobody, IDS)
