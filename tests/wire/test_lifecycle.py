"""The lifecycle is a table without holes: every state can be reached and left, and an illegal move is no move."""

import pytest

from crosstalk.wire.event import RUN_KINDS, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS, NESTED_COMPLETED, NESTED_STARTED

STATES = {FIVE_EVENTS.initial, *FIVE_EVENTS.moves} | {to for row in FIVE_EVENTS.moves.values() for to in row.values()}
SYMBOLS = {*map(str, RUN_KINDS), NESTED_STARTED, NESTED_COMPLETED}


def walk(*symbols):
    state = FIVE_EVENTS.initial
    for symbol in symbols:
        state = FIVE_EVENTS.move(state, symbol)
        if state is None:
            return None
    return state


def test_the_five_critical_events_in_their_order_lead_to_the_end():
    way = (Kind.STARTED, Kind.THINKING, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED, Kind.COMPLETED)
    assert walk(*way) == "completed"


@pytest.mark.parametrize(
    "way",
    [
        (Kind.STARTED, Kind.THINKING, Kind.COMPLETED),
        (Kind.STARTED, Kind.THINKING, Kind.THINKING, Kind.CHUNK, Kind.CHUNK, Kind.COMPLETED),
        (Kind.NOTICE, Kind.STARTED, Kind.NOTICE, Kind.THINKING, Kind.NOTICE, Kind.COMPLETED),
        (Kind.STARTED, Kind.THINKING, Kind.HANDOFF, NESTED_STARTED, Kind.THINKING, NESTED_COMPLETED, Kind.COMPLETED),
    ],
)
def test_legal_ways_to_a_completed_run(way):
    assert walk(*way) == "completed"


@pytest.mark.parametrize("before", [(), (Kind.STARTED,), (Kind.STARTED, Kind.THINKING, Kind.CHUNK)])
def test_an_error_may_end_a_run_anywhere_after_the_prompt(before):
    assert walk(*before, Kind.ERROR) == "failed"


@pytest.mark.parametrize(
    "way",
    [
        (Kind.THINKING,),
        (Kind.CHUNK,),
        (Kind.COMPLETED,),
        (Kind.STARTED, Kind.STARTED),
        (Kind.STARTED, Kind.TOOL_EXECUTING),
        (Kind.STARTED, Kind.CHUNK),
        (Kind.STARTED, Kind.COMPLETED),
        (Kind.STARTED, NESTED_COMPLETED),
        (Kind.STARTED, Kind.THINKING, Kind.STARTED),
        (Kind.STARTED, Kind.THINKING, Kind.COMPLETED, Kind.CHUNK),
        (Kind.STARTED, Kind.ERROR, Kind.COMPLETED),
    ],
)
def test_illegal_moves_are_no_moves(way):
    assert walk(*way[:-1]) is not None
    assert walk(*way) is None


def test_every_state_is_an_end_or_leads_on_and_no_end_does():
    assert STATES - FIVE_EVENTS.moves.keys() == FIVE_EVENTS.ended
    assert all(FIVE_EVENTS.moves.values())


def test_every_state_can_be_reached():
    reached, waiting = set(), [FIVE_EVENTS.initial]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += FIVE_EVENTS.moves.get(state, {}).values()
    assert reached == STATES


def test_symbols_are_kinds_of_a_run_and_what_is_required_can_happen():
    symbols = {str(symbol) for row in FIVE_EVENTS.moves.values() for symbol in row}
    assert symbols <= SYMBOLS
    assert set(map(str, FIVE_EVENTS.required)) <= symbols


def test_the_diagram_shows_every_move():
    lines = FIVE_EVENTS.diagram().splitlines()
    assert len(lines) == sum(len(row) for row in FIVE_EVENTS.moves.values())
    assert "prompted --started--> started" in lines
