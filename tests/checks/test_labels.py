"""Labels in, problems in words out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.labels import envelope_problems, in_words, label_problems
from crosstalk.wire.dialect import Label

RIGHT = [
    Label("main", name, run_id="r1", user_id="u1", thread_id="t1", at_s=float(at))
    for at, name in enumerate(["agent_started", "agent_thinking", "agent_response_chunk", "agent_completed"])
]


def said(labels):
    return label_problems(labels, run_id="r1", user_id="u1", thread_id="t1")


def batched(*times_s):
    return [Label("batched", f"e{n}", at_s=at_s) for n, at_s in enumerate(times_s)]


def packed(*frames, wanted="batched"):
    return envelope_problems(frames, wanted=wanted, events_max=10, span_ms_max=50)


def test_right_labels_have_no_problem():
    assert said(RIGHT) == []
    assert envelope_problems([[label] for label in RIGHT], wanted="main") == []
    assert packed(batched(1.0, 1.02, 1.05), batched(1.2)) == []


@pytest.mark.parametrize(
    ("changes", "came"),
    [
        ({"lacks": ("agent_name",)}, "agent_thinking without agent_name"),
        ({"run_id": "r2"}, "agent_thinking with run_id r2"),
        ({"user_id": "u2"}, "agent_thinking with user_id u2"),
        ({"thread_id": "t2"}, "agent_thinking with thread_id t2"),
        ({"at_s": -3.0}, "agent_thinking said 3000 ms before the event before it"),
    ],
)
def test_a_wrong_label_is_named(changes, came):
    assert said([RIGHT[0], replace(RIGHT[1], **changes), *RIGHT[2:]]) == [came]


def test_an_id_that_is_not_said_is_lacking_only_where_its_envelope_has_a_place_for_it():
    assert said([replace(label, thread_id="") for label in RIGHT]) == []


def test_time_may_stand_still_and_a_repeat_may_bear_the_time_of_its_first_attempt():
    assert said([replace(label, at_s=5.0) for label in RIGHT]) == []
    assert said([*RIGHT, replace(RIGHT[1], attempt=2)]) == []
    assert len(said([*RIGHT, RIGHT[1]])) == 1


@given(st.permutations(range(4)))
def test_time_runs_backwards_unless_the_order_is_kept(order):
    assert bool(said([RIGHT[n] for n in order])) == (list(order) != sorted(order))


@pytest.mark.parametrize(
    ("frame", "came"),
    [
        (batched(*(1.0 for _ in range(11))), "11 events in a batch"),
        (batched(1.0, 1.0502), "a batch over 50 ms"),
        (batched(1.02, 1.0), "a batch out of order: e0, e1"),
        ([replace(RIGHT[0])], "agent_started in the main envelope"),
        ([Label("batched", "", at_s=1.0)], "a wrapper without the name of its event"),
    ],
)
def test_a_wrong_frame_is_named(frame, came):
    assert packed(batched(0.5), frame) == [came]


def test_what_nobody_has_said_is_no_limit():
    assert envelope_problems([batched(*map(float, range(30)))], wanted="batched") == []


def test_many_problems_are_said_shortly():
    assert in_words([]) == ""
    assert in_words(["a", "b", "a", "c", "d"]) == "a; b; c (and 2 more)"
