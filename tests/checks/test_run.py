"""One run at a time: a literal history goes in, the names of its delivery violations come out."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crosstalk.checks.run import TOOL_FAILED, RunCheck
from crosstalk.wire.event import Event, Kind, Tried
from crosstalk.wire.lifecycle import FIVE_EVENTS
from tests.helpers import MS, names

_keys = count()


def event(kind: Kind, **fields) -> Event:
    """An event unlike any other; the same object fed twice is the same event, sent twice."""
    return Event(kind, **{"agent": "supervisor", "key": f"frame {next(_keys)}", **fields})


def started(agent="supervisor"):
    return event(Kind.STARTED, agent=agent)


def thinking(agent="supervisor"):
    return event(Kind.THINKING, agent=agent)


def call(call_id="c1", **more):
    return event(Kind.TOOL_EXECUTING, call_id=call_id, **more)


def result(call_id="c1", *, ok=True, **more):
    return event(Kind.TOOL_COMPLETED, call_id=call_id, ok=ok, **more)


def chunk(index, text="abc", **more):
    return event(Kind.CHUNK, index=index, text=text, **more)


def notice():
    return event(Kind.NOTICE)


def handoff():
    return event(Kind.HANDOFF)


def completed(text="", agent="supervisor"):
    return event(Kind.COMPLETED, text=text, agent=agent)


def error(code="AGENT_FAILED"):
    return event(Kind.ERROR, code=code)


START, THINK, CALL, RESULT = started(), thinking(), call(), result()
CHUNKS = [chunk(0, "Hel"), chunk(1, "lo "), chunk(2, "you")]
END = completed("Hello you")
CLEAN = [START, THINK, CALL, RESULT, *CHUNKS, END]
HANDED_OVER = [
    START, THINK, handoff(), started("billing"), thinking("billing"), chunk(0, "Hi", agent="billing"),
    completed("Hi", "billing"), completed("Hi"),
]  # fmt: skip


def fed(history, *, expects=(), lifecycle=FIVE_EVENTS, every_ms=10):
    """A check that has taken the history, an event every 10 ms, and what it said on the way."""
    check, said = RunCheck(lifecycle, expects), []
    for number, one in enumerate(history):
        said += check.advance(one, number * every_ms * MS).violations
    return check, said


def judged(history, **how):
    check, said = fed(history, **how)
    return names([*said, *check.conclude()])


def without(*gone):
    return [one for one in CLEAN if one not in gone]


def swapped(one, other):
    exchange = {CLEAN.index(one): other, CLEAN.index(other): one}
    return [exchange.get(at, each) for at, each in enumerate(CLEAN)]


# --- what is right --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [
        CLEAN,
        [START, THINK, completed("whole, not streamed")],
        [START, THINK, *CHUNKS, completed()],
        [notice(), START, notice(), THINK, notice(), completed()],
        [START, THINK, call("c1"), call("c2"), result("c2"), result("c1"), completed()],
        [START, THINK, call("c1"), result("c1", ok=False), completed()],
        HANDED_OVER,
        [START, THINK, started("a"), thinking("a"), started("b"), thinking("b"), completed(agent="b"),
         completed(agent="a"), completed()],
        [START, THINK, chunk(0, "a"), chunk(0, "b", agent="billing"), completed("ab")],
        [START, THINK, chunk(-1, "Hel"), chunk(-1, "lo"), completed("Hello")],
        [error()],
        [START, error()],
        [START, THINK, CALL, CHUNKS[0], error()],
    ],
    ids=["clean", "whole", "streamed", "notices", "calls overlap", "a tool fails", "handed over", "two inside",
         "agents number their own chunks", "no numbers", "error first", "error early", "error in mid-run"],
)  # fmt: skip
def test_a_legal_run_has_no_violation(history):
    assert judged(history) == []


def test_what_a_prompt_expects_and_gets_is_no_violation():
    assert judged(CLEAN, expects=("tool_executing", "tool_completed", "chunk")) == []
    assert judged(HANDED_OVER, expects=("handoff",)) == []
    assert judged([START, THINK, call(), result(ok=False), completed()], expects=("tool_completed", TOOL_FAILED)) == []
    assert judged([START, error()], expects=("error",)) == []


def test_a_run_inside_counts_as_the_expected_handoff_where_no_notice_is_sent():
    assert judged([one for one in HANDED_OVER if one.kind is not Kind.HANDOFF], expects=("handoff",)) == []


# --- missing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "what"),
    [
        (without(START), "started"),
        (without(THINK), "thinking"),
        (without(RESULT), "tool_completed for call c1"),
        (without(CALL), "tool_executing for call c1"),
        (without(CHUNKS[0]), "chunk 0"),
        (without(CHUNKS[1]), "chunk 1"),
        (
            [one for one in HANDED_OVER if not (one.kind is Kind.COMPLETED and one.agent == "billing")],
            "completed of agent billing",
        ),
    ],
)
def test_one_lost_event_is_missing_and_nothing_else(history, what):
    check, said = fed(history)
    assert (check.missing(), judged(history)) == ([what], ["missing"])
    assert said == []
    [violation] = check.conclude()
    assert what in violation.expected


@pytest.mark.parametrize("kind", ["tool_executing", "tool_completed", "chunk", "handoff"])
def test_an_expected_kind_that_never_came_is_missing(kind):
    assert judged([START, THINK, completed()], expects=(kind,)) == ["missing"]


@pytest.mark.parametrize("late", [THINK, CHUNKS[1], RESULT])
def test_what_was_missing_is_so_no_more_when_it_has_come(late):
    check, _ = fed(without(late))
    assert len(check.missing()) == len(check.missing()) == 1
    check.advance(late, 99 * MS)
    assert check.missing() == []
    assert names(check.conclude()) == ["out_of_order"]


def test_an_error_that_the_prompt_expects_and_did_not_come_is_missing():
    assert judged([START, THINK, completed()], expects=("error",)) == ["missing"]


def test_all_that_is_missing_is_one_violation_that_names_it():
    check, _ = fed([START, CALL, completed()])
    [violation] = check.conclude()
    assert violation.name == "missing"
    assert violation.expected == "thinking, tool_completed for call c1"


def test_a_run_that_ends_with_an_agent_error_is_complete_as_it_stands():
    assert judged([START, THINK, CALL, error()], expects=("chunk", "tool_completed")) == []


@pytest.mark.parametrize("lost", [THINK, RESULT, CHUNKS[1]])
def test_what_a_malformed_frame_may_have_been_is_not_missing_too(lost):
    check, _ = fed(without(lost))
    check.counts.malformed = 1
    assert check.conclude() == []


def test_a_number_far_ahead_makes_no_list_without_end():
    check, _ = fed([START, THINK, chunk(0), chunk(10**15), completed()])
    assert (len(check.missing()), check.missing()[0]) == (20, "chunk 1")


def test_fewer_malformed_frames_than_missing_events_hide_none():
    check, _ = fed(without(THINK, RESULT))
    check.counts.malformed = 1
    assert names(check.conclude()) == ["missing"]


# --- duplicate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(len(CLEAN)), ids=[str(one.kind) for one in CLEAN])
@pytest.mark.parametrize("later", [0, 1, 8])
def test_an_event_sent_twice_is_a_duplicate_and_counts_once(at, later):
    again = [*CLEAN[: at + 1 + later], CLEAN[at], *CLEAN[at + 1 + later :]]
    assert judged(again) == ["duplicate"]
    assert fed(again)[0].counts == fed(CLEAN)[0].counts


def test_an_event_without_a_key_cannot_be_told_from_its_repetition():
    nameless = replace(THINK, key="")
    assert judged([START, nameless, nameless, completed()]) == []


# --- out of order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [
        swapped(START, THINK),
        swapped(CALL, RESULT),
        swapped(CHUNKS[0], CHUNKS[1]),
        swapped(CHUNKS[1], CHUNKS[2]),
        swapped(THINK, CALL),
        [START, THINK, CALL, completed(), RESULT],
        [START, THINK, chunk(0), chunk(2), completed(), chunk(1)],
        [START, completed(), THINK],
        [CALL, RESULT, START, THINK, completed()],
        [START, THINK, replace(START, key="again"), completed()],
        [*HANDED_OVER[:-2], HANDED_OVER[-1], HANDED_OVER[-2]],
    ],
    ids=["thinking before started", "result before its call", "first chunks", "last chunks", "call before thinking",
         "end before the last result", "end before a chunk", "end before thinking", "start last", "two starts",
         "end before the end inside"],
)  # fmt: skip
def test_an_event_in_a_wrong_place_is_out_of_order_and_nothing_else(history):
    assert judged(history) == ["out_of_order"]


def test_out_of_order_says_what_stood_where():
    [violation] = fed(swapped(START, THINK))[0].conclude()
    assert "thinking in state 'prompted'" in violation.came
    assert "started, thinking, completed" in violation.expected


def test_an_event_that_stands_wrong_because_another_is_missing_is_not_out_of_order_too():
    assert judged([START, call(), result(), completed()]) == ["missing"]


# --- after the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        chunk(3, "more"),
        chunk(9, "more"),
        chunk(0, "other"),
        thinking(),
        notice(),
        call("c2"),
        result("c9"),
        started("billing"),
    ],
    ids=["next chunk", "far chunk", "chunk 0 again", "thinking", "notice", "call", "result", "nested start"],
)
def test_an_event_after_the_end_is_late_and_changes_nothing_else(more):
    check, said = fed([*CLEAN, more])
    assert names([*said, *check.conclude()]) == ["late"]
    assert said[0].event_kind == more.kind
    assert "10 ms after the end" in said[0].came
    assert check.times.end_ns == fed(CLEAN)[0].times.end_ns
    assert check.counts.chunks == fed(CLEAN)[0].counts.chunks


def test_each_late_event_is_said():
    assert judged([*CLEAN, thinking(), thinking()]) == ["late", "late"]


@pytest.mark.parametrize("second", [completed("Hello you"), error()], ids=["completed", "error"])
@pytest.mark.parametrize("first", [END, error()], ids=["completed", "error"])
def test_a_second_end_is_two_ends(first, second):
    assert judged([*CLEAN[:-1], first, replace(second, key="another")]) == ["two_ends"]


def test_after_an_agent_error_everything_is_late():
    assert judged([START, THINK, error(), chunk(0)]) == ["late"]


# --- no end, no event -----------------------------------------------------------------------------------------------


def test_a_run_that_stops_in_the_middle_has_no_end_and_says_where():
    check, _ = fed(without(END))
    [violation] = check.conclude()
    assert (violation.name, "last event 'chunk'" in violation.came) == ("no_end", True)


def test_a_run_without_any_event_is_silent():
    assert judged([]) == ["silent"]


# --- what the answer says -------------------------------------------------------------------------------------------


def test_a_failure_that_was_to_be_passed_on_and_was_not_is_swallowed():
    assert judged(CLEAN, expects=(TOOL_FAILED,)) == ["tool_error_swallowed"]


@pytest.mark.parametrize("text", ["Hello You", "Hello you!", "Hello", "lo Helyou"])
def test_chunks_that_do_not_make_up_the_final_text_differ(text):
    assert judged([*CLEAN[:-1], completed(text)]) == ["text_differs"]


def test_a_lost_last_chunk_shows_in_the_text():
    assert judged(without(CHUNKS[2])) == ["text_differs"]


def test_texts_are_not_compared_where_one_of_them_is_absent_or_the_dialect_does_not_promise_it():
    assert judged([*CLEAN[:-1], completed()]) == []
    assert judged([START, THINK, completed("Hello")]) == []
    assert judged([*CLEAN[:-1], error()]) == []
    assert judged([*CLEAN[:-1], completed("else")], lifecycle=replace(FIVE_EVENTS, chunks_make_final_text=False)) == []


# --- times and counts -----------------------------------------------------------------------------------------------


def steps(history):
    check = RunCheck(FIVE_EVENTS)
    return check, [check.advance(one, at_ms * MS) for one, at_ms in history]


def test_gaps_are_between_events_and_chunk_gaps_between_chunks():
    history = [(START, 100), (THINK, 130), (chunk(0), 140), (notice(), 270), (chunk(1), 285), (completed(), 300)]
    check, made = steps(history)
    assert [step.gap_ns for step in made] == [None, 30 * MS, 10 * MS, 130 * MS, 15 * MS, 15 * MS]
    assert [step.chunk_gap_ns for step in made] == [None, None, None, None, 145 * MS, None]
    assert check.times.stall_max_ns == 130 * MS
    assert (check.times.first_event_ns, check.times.end_ns) == (100 * MS, 300 * MS)


def test_the_first_chunk_is_the_first_with_text():
    check, _ = steps([(START, 0), (THINK, 10), (chunk(0, ""), 20), (chunk(1, "a"), 30), (chunk(2, "b"), 40)])
    assert (check.times.first_chunk_ns, check.times.last_chunk_ns) == (30 * MS, 40 * MS)


def test_a_tools_time_is_from_its_own_call_to_its_own_result():
    history = [(START, 0), (THINK, 1), (call("a"), 10), (call("b"), 20), (result("a"), 50), (result("b"), 90)]
    assert [step.tool_time_ns for step in steps(history)[1]] == [None, None, None, None, 40 * MS, 70 * MS]


def test_a_handoffs_time_is_from_its_notice_to_the_other_agents_first_event():
    check, _ = steps(
        [(START, 0), (THINK, 10), (handoff(), 20), (notice(), 25), (started("billing"), 60), (thinking("billing"), 70)]
    )
    assert (check.times.handoff_time_max_ns, check.counts.handoffs) == (40 * MS, 1)


def test_without_a_notice_it_is_from_the_other_agents_start_to_its_next_event():
    check, _ = steps([(START, 0), (THINK, 10), (started("billing"), 60), (thinking("billing"), 75)])
    assert (check.times.handoff_time_max_ns, check.counts.handoffs) == (15 * MS, 1)


def test_the_longest_of_two_handoffs_counts():
    there = [(handoff(), 10), (started("a"), 15), (thinking("a"), 16), (completed(agent="a"), 20)]
    and_there = [(handoff(), 30), (started("b"), 60), (thinking("b"), 61), (completed(agent="b"), 70)]
    history = [(START, 0), (THINK, 1), *there, *and_there, (completed(), 80)]
    check, _ = steps(history)
    assert (check.times.handoff_time_max_ns, check.counts.handoffs, check.conclude()) == (30 * MS, 2, [])


def test_nothing_of_a_run_without_events_has_a_time():
    times = RunCheck(FIVE_EVENTS).times
    assert {getattr(times, name) for name in times.__slots__} == {None}


def test_counts():
    counts = fed([START, THINK, call("a"), result("a"), call("b"), result("b", ok=False), *CHUNKS, END])[0].counts
    assert (counts.events, counts.chunks, counts.text_bytes) == (10, 3, 9)
    assert (counts.tools_started, counts.tools_ok, counts.tools_failed) == (2, 1, 1)


def test_the_end_keeps_its_kind_and_code():
    check, _ = fed([START, error("OUT_OF_TOKENS")])
    assert (check.ended, check.end_kind, check.end_code) == (True, Kind.ERROR, "OUT_OF_TOKENS")
    assert not fed([START])[0].ended


# --- any legal run, and one mistake ---------------------------------------------------------------------------------

words = st.text("abc ", min_size=1, max_size=4)
blocks = st.lists(st.sampled_from(["tool", "two tools", "chunk", "chunk", "notice", "thinking", "inside"]), max_size=8)


@st.composite
def legal_runs(draw) -> list[Event]:
    run, numbers, text = [started(), thinking()], count(), ""
    for number, block in enumerate(draw(blocks)):
        if block == "tool":
            run += [call(f"c{number}"), result(f"c{number}", ok=draw(st.booleans()))]
        elif block == "two tools":
            calls = [call(f"c{number}"), call(f"d{number}")]
            results = draw(st.permutations([result(f"c{number}"), result(f"d{number}")]))
            run += [*calls, *results]
        elif block == "chunk":
            piece = draw(words)
            text += piece
            run.append(chunk(next(numbers), piece))
        elif block == "inside":
            agent = f"agent {number}"
            notices = [handoff()] if draw(st.booleans()) else []
            run += [*notices, started(agent), thinking(agent), notice(), completed(agent=agent)]
        else:
            run.append(notice() if block == "notice" else thinking())
    return [*run, completed(draw(st.sampled_from(["", text])))]


@given(legal_runs())
def test_no_legal_run_has_a_violation(run):
    assert judged(run) == []


@given(legal_runs())
def test_a_legal_run_is_judged_alike_whatever_the_clock_says(run):
    one, other = fed(run, every_ms=1)[0], fed(run, every_ms=1000)[0]
    assert (one.conclude(), one.counts) == (other.conclude(), other.counts)


def alone_of_its_kind(run, one):
    return sum(other.kind is one.kind for other in run) == 1


@given(legal_runs(), st.data())
def test_one_lost_event_of_any_legal_run_is_missing(run, data):
    supervisors = [one for one in run if one.agent == "supervisor"]
    loseable = [one for one in supervisors if one.kind in (Kind.STARTED, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED)]
    loseable += [one for one in supervisors if one.kind is Kind.THINKING and alone_of_its_kind(run, one)]
    loseable += [one for one in run if one.kind is Kind.COMPLETED and one.agent != "supervisor"]
    lost = data.draw(st.sampled_from(loseable))
    assume(not (lost.kind is Kind.STARTED and any(one.kind is Kind.STARTED and one is not lost for one in run)))
    assert judged([one for one in run if one is not lost]) == ["missing"]


@given(legal_runs())
def test_a_lost_end_of_any_legal_run_is_no_end(run):
    assert judged(run[:-1]) == ["no_end"]


@given(legal_runs(), st.data())
def test_one_event_twice_in_any_legal_run_is_a_duplicate(run, data):
    at = data.draw(st.integers(0, len(run) - 1))
    again = data.draw(st.integers(at + 1, len(run)))
    assert judged([*run[:again], run[at], *run[again:]]) == ["duplicate"]


def illegal_neighbours(run):
    """Places where an event and the next may not change places."""
    for at, (one, other) in enumerate(pairwise(run)):
        pair = (one.kind, other.kind)
        if pair in {
            (Kind.STARTED, Kind.THINKING),
            (Kind.CHUNK, Kind.CHUNK),
            (Kind.TOOL_COMPLETED, Kind.COMPLETED),
        } and (one.agent == other.agent):
            yield at
        if pair == (Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED) and one.call_id == other.call_id:
            yield at


@given(legal_runs(), st.data())
def test_two_neighbours_swapped_in_any_legal_run_are_out_of_order(run, data):
    at = data.draw(st.sampled_from(list(illegal_neighbours(run))))
    assert judged([*run[:at], run[at + 1], run[at], *run[at + 2 :]]) == ["out_of_order"]


@given(legal_runs(), st.sampled_from([thinking, notice, lambda: chunk(99), lambda: call("c99"), handoff]))
def test_anything_after_the_end_of_any_legal_run_is_late(run, more):
    assert judged([*run, more()]) == ["late"]


@given(legal_runs(), st.sampled_from([completed, error]))
def test_another_end_after_any_legal_run_is_two_ends(run, end):
    assert judged([*run, end()]) == ["two_ends"]


@given(legal_runs(), st.integers(1, 3))
def test_a_run_cut_short_never_has_more_than_one_violation(run, cut):
    assert judged(run[: len(run) - cut]) in (["no_end"], ["silent"])


@given(
    st.lists(
        st.sampled_from([START, THINK, CALL, RESULT, *CHUNKS, END, error(), notice(), handoff(), started("b")]),
        max_size=9,
    )
)
def test_no_history_raises(history):
    assert all(isinstance(name, str) for name in judged(history))


# --- the short way --------------------------------------------------------------------------------------------------


def both_ways(history, *, every_ms=10):
    """A history by `advance` alone, and as the session feeds it: by `streams`, where that takes an event."""
    plain, short, took = RunCheck(FIVE_EVENTS), RunCheck(FIVE_EVENTS), 0
    for number, one in enumerate(history):
        at_ns = number * every_ms * MS
        step = plain.advance(one, at_ns)
        if short.streams(one, at_ns):
            took += 1
            assert (step.gap_ns, step.chunk_gap_ns) == (short.gap_ns, short.chunk_gap_ns)
            assert (step.tool_time_ns, step.violations) == (None, ())
        else:
            assert short.advance(one, at_ns) == step
        assert (plain.state, plain.ended, plain.times, plain.counts) == (
            short.state, short.ended, short.times, short.counts,
        )  # fmt: skip
    assert (plain.text, plain.last_kind, plain.missing()) == (short.text, short.last_kind, short.missing())
    assert plain.conclude() == short.conclude()
    return took


def test_all_chunks_but_the_first_of_a_run_that_streams_as_it_should_go_the_short_way():
    run = [started(), thinking(), *(chunk(n, f"piece {n}") for n in range(20)), completed()]
    assert both_ways(run) == 19
    assert both_ways([one for one in run if one.index != 7]) == 18


@pytest.mark.parametrize(
    ("more", "short"),
    [
        ([chunk(1), CHUNKS[0]], 1),
        ([chunk(-1, key="same"), chunk(-1, key="same")], 1),
        ([chunk(1, key="same"), chunk(2, key="same")], 1),
        ([chunk(-1, key=""), chunk(-1, key="")], 2),
        ([chunk(3), chunk(1), chunk(4)], 2),
        ([chunk(1), chunk(1, "other")], 2),
        ([handoff(), chunk(-1, agent="b"), chunk(-1, agent="b")], 1),
        ([chunk(0, agent="b"), chunk(1, agent="b"), chunk(1)], 2),
        ([completed(), chunk(1)], 0),
        ([error(), chunk(1)], 0),
        ([call(), chunk(1), result()], 1),
        ([started("b"), chunk(1, agent="b")], 0),
    ],
)
def test_what_is_unusual_goes_the_long_way(more, short):
    assert both_ways([started(), thinking(), CHUNKS[0], *more]) == short


def test_the_first_text_may_come_the_short_way():
    assert both_ways([started(), thinking(), chunk(0, ""), chunk(1, "abc"), chunk(2, "abc")]) == 2


def test_chunks_after_an_end_go_the_long_way_also_where_a_lifecycle_lists_them():
    """What ended is ended, whatever moves its table has."""
    moves = {**FIVE_EVENTS.moves, "completed": {Kind.CHUNK: "completed"}}
    check, _ = fed([started(), thinking(), chunk(0), completed()], lifecycle=replace(FIVE_EVENTS, moves=moves))
    assert not check.streams(chunk(1), 100 * MS)


@given(legal_runs(), st.integers(1, 1000))
def test_the_short_way_through_a_legal_run_leads_where_the_long_one_does(run, every_ms):
    both_ways(run, every_ms=every_ms)


_any_chunk = st.builds(
    chunk, st.integers(-1, 4), st.sampled_from(["", "abc"]), agent=st.sampled_from(["supervisor", "b"])
)
_any_of_them = st.sampled_from([START, THINK, CALL, RESULT, *CHUNKS, END, error(), notice(), handoff(), started("b")])


@given(st.lists(st.one_of(_any_chunk, _any_chunk, _any_of_them), max_size=14))
def test_the_short_way_through_any_history_leads_where_the_long_one_does(history):
    both_ways([started(), thinking(), *history])


# --- what comes again and says so -----------------------------------------------------------------------------------


def attempt(kind: Kind, number: int, content: str, **fields) -> Event:
    """An event that counts its attempts: all attempts of one content are the same event, each with bytes of its own."""
    return event(kind, tried=Tried(number, content), **fields)


FIRST = [attempt(Kind.STARTED, 1, "s"), attempt(Kind.THINKING, 1, "t"), attempt(Kind.COMPLETED, 1, "c")]


@pytest.mark.parametrize("at", range(2))
def test_a_further_attempt_is_counted_and_no_violation(at):
    again = replace(FIRST[at], key="other bytes", tried=Tried(2, FIRST[at].tried.content))
    check, violations = fed([*FIRST[: at + 1], again, *FIRST[at + 1 :]])
    assert (names(violations), names(check.conclude()), check.counts.retries) == ([], [], 1)
    assert check.counts.events == 3


def test_a_chunk_that_comes_again_is_no_second_piece_of_the_text():
    chunks = [attempt(Kind.CHUNK, 1, f"{n}", index=n, text=f"{n} ", key=f"chunk {n}") for n in range(3)]
    again = replace(chunks[1], tried=Tried(2, "1"))
    end = attempt(Kind.COMPLETED, 1, "c", text="0 1 2 ")
    check, violations = fed([*FIRST[:2], *chunks[:2], again, chunks[2], end])
    assert (names(violations), names(check.conclude()), check.counts.retries) == ([], [], 1)


@pytest.mark.parametrize("number", [1, 2])
def test_the_same_attempt_twice_is_a_duplicate(number):
    sent = replace(FIRST[1], tried=Tried(number, "t"))
    assert judged([FIRST[0], sent, sent, FIRST[2]]) == ["duplicate"]


def test_the_first_attempt_behind_the_second_is_a_duplicate():
    second = replace(FIRST[1], key="other bytes", tried=Tried(2, "t"))
    assert judged([FIRST[0], second, FIRST[1], FIRST[2]]) == ["duplicate"]


def test_a_second_attempt_whose_first_never_came_is_the_event():
    second = replace(FIRST[1], tried=Tried(2, "t"))
    check, violations = fed([FIRST[0], second, FIRST[2]])
    assert (names(violations), names(check.conclude()), check.counts.retries) == ([], [], 0)


def test_two_first_attempts_that_say_the_same_at_other_times_are_two_events():
    assert judged([FIRST[0], FIRST[1], replace(FIRST[1], key="other bytes"), FIRST[2]]) == []


def test_what_says_that_it_comes_again_with_other_words_is_no_repeat():
    """Another start is not made legal by being called a second attempt."""
    other = attempt(Kind.STARTED, 2, "something else")
    assert judged([*FIRST[:2], other, FIRST[2]]) == ["out_of_order"]


def test_after_the_end_only_the_end_may_come_again():
    end = replace(FIRST[2], key="other bytes", tried=Tried(2, "c"))
    assert judged([*FIRST, end]) == []
    thought = replace(FIRST[1], key="other bytes", tried=Tried(2, "t"))
    assert judged([*FIRST, thought]) == ["late"]


def test_calls_and_results_that_miss_each_other_are_named():
    check, _ = fed([START, THINK, call("c1"), result("c2")])
    assert check.unpaired() == ["tool_completed for call c1", "tool_executing for call c2"]
    assert fed([START, THINK, call("c1"), result("c1")])[0].unpaired() == []
