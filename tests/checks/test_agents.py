"""What must hold of agents: histories in, what is wrong out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.agents import ill_nested, is_kept, out_of_hierarchy, went_on_together
from crosstalk.wire.event import Event, Kind


def history(text: str) -> list[Event]:
    """ "a( b( )b )a": begins and ends of agents; whatever else is said is a thought."""
    found = []
    for word in text.split():
        kind = Kind.STARTED if word.endswith("(") else Kind.COMPLETED if word.startswith(")") else Kind.THINKING
        found.append(Event(kind, run_id="r", agent=word.strip("()")))
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a( x b( x )b x )a", ""),
        ("a( b( c( )c )b d( )d )a", ""),
        ("a( x )a", "no agent inside the run"),
        ("", "no agent inside the run"),
        ("a( b( )a )b", "a ended while b was at work inside"),
        ("a( b( c( )b )c )a", "b ended while c was at work inside"),
        ("a( b( )b", "no end of a"),
        ("a( b( x", "no end of b, a"),
        ("a( b( )b )a )a", "a ended, and nobody was at work"),
    ],
)
def test_agents_end_in_the_reverse_order_of_their_begin(text: str, said: str) -> None:
    assert ill_nested(history(text)) == said


trees = st.recursive(st.just([]), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=12)


def walked(tree: list, name: str = "a") -> str:
    """A well-nested history of this tree; every agent has a name of its own."""
    inside = " ".join(walked(branch, f"{name}{number}") for number, branch in enumerate(tree))
    return f"{name}( {inside} ){name}"


@given(trees)
def test_whatever_is_well_nested_is_right(tree: list) -> None:
    assert ill_nested(history(walked(tree))) == ("" if tree else "no agent inside the run")


@given(trees.filter(bool), st.data())
def test_no_end_can_be_left_out(tree: list, data: st.DataObject) -> None:
    events = history(walked(tree))
    lost = data.draw(st.sampled_from([n for n, event in enumerate(events) if event.kind is Kind.COMPLETED]))
    assert ill_nested(events[:lost] + events[lost + 1 :])


@pytest.mark.parametrize(
    ("declared_s", "observed_s", "kept"),
    [(35.0, 19.0, False), (2.5, 2.5, True), (2.5, 2.6, True), (1.0, 1.9, True), (4.75, 2.5, False), (1.0, 4.0, False)],
)
def test_a_timeout_is_observed_as_it_is_declared(declared_s: float, observed_s: float, kept: bool) -> None:
    assert is_kept(declared_s, observed_s) is kept


def test_receive_outlasts_agents_and_agents_outlast_tools() -> None:
    assert out_of_hierarchy(10, {"a": 8, "b": 2.5}, {"t": 1}) == ""
    assert out_of_hierarchy(8, {"a": 8}, {}) == "receive 8 s, agent a 8 s"
    assert out_of_hierarchy(10, {"a": 8, "b": 2.5}, {"t": 3}) == "agent b 2.5 s, tool t 3 s"
    assert out_of_hierarchy(10, {}, {"t": 3}) == ""


@pytest.mark.parametrize(
    ("spans", "together"),
    [
        ([(0, 10), (5, 15), (9, 20)], True),
        ([(0, 10), (5, 15), (10, 20)], False),
        ([(0, 10), (None, None)], False),
        ([(0, 10), (5, None)], False),
        ([(0, 10)], False),
        ([], False),
    ],
)
def test_runs_that_were_in_progress_at_one_instant(spans: list[tuple[int | None, int | None]], together: bool) -> None:
    assert went_on_together(spans) is together
