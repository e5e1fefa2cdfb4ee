"""Threads, messages and what is sent again, as the netra protocol says them; whatever else comes is told apart."""

import json

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import Kind
from crosstalk.wire.netra import Netra
from tests.helpers import event_of, frame

NETRA = Netra()
MESSAGES = {
    "messages": [{"id": "m1", "role": "user", "content": "a"}, {"id": "m2", "role": "assistant", "content": "b"}]
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def answered(name: str, **data: object) -> bytes:
    return json.dumps({"type": name, "timestamp": 1.0, "data": data}).encode()


def test_what_frames_tell_reads_like_what_http_answers() -> None:
    told = NETRA.told(answered("thread_data", thread_id="t", **MESSAGES))
    assert told is not None
    assert list(NETRA.messages(told)) == list(NETRA.messages(MESSAGES)) == [("m1", "a"), ("m2", "b")]
    assert list(NETRA.speakers(told)) == [("user", "a"), ("agent", "b")]
    told = NETRA.told(answered("thread_list", threads=[{"id": "t1", "title": "costs"}]))
    assert told is not None
    assert (list(NETRA.listed(told)), NETRA.titles(told)) == (["t1"], {"t1": "costs"})


def test_other_frames_tell_nothing_of_threads() -> None:
    for other in (frame("agent_started", run="r"), answered("resumed", events=3), b"no json", b"[]", b'{"type": 3}'):
        assert NETRA.told(other) is None


def test_a_replay_says_how_long_it_is() -> None:
    assert NETRA.replayed(answered("resumed", events=3)) == 3
    assert NETRA.replayed(answered("resumed", events=0)) == 0
    assert NETRA.replayed(answered("resumed", events="3")) == -1
    assert NETRA.replayed(answered("thread_data", events=3)) == -1


@given(json_values)
def test_nothing_that_comes_raises(value: object) -> None:
    for body in (value, {"type": "resumed", "data": value}, {"type": "thread_list", "data": value}):
        said = json.dumps(body).encode()
        NETRA.told(said)
        NETRA.replayed(said)
    for answer in ({"messages": value}, {"threads": value}, {"now": value}, {"parts": value}, {"components": value}):
        list(NETRA.speakers(answer))
        NETRA.titles(answer)
        list(NETRA.going_on(answer))
        NETRA.parts(answer)


def test_the_answer_to_a_switch_is_about_no_run() -> None:
    assert event_of(frame("thread_updated", thread="t1", title="x")).kind is Kind.OTHER
    assert event_of(frame("thread_updated", run="r1", thread="t1", title="x")).kind is Kind.NOTICE


def test_a_dialect_that_says_nothing_offers_nothing() -> None:
    none = Dialect()
    assert (none.page_of_history("t", limit=1, offset=0), none.page_of_threads(limit=1, offset=0)) == (None, None)
    assert (none.thread_frame("list"), none.told(b"{}"), none.replayed(b"{}")) == (None, None, -1)
    assert (none.dependent(away=True), none.occasions(), none.add_message("t", "x")) == (None, None, None)
