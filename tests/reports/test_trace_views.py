"""Traces from rows: who is in which lane, what counts in it, and what is said where something is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.record.columns import columns_of
from reports import trace_lanes
from reports.trace_choice import FAILED, FAILED_MAX, SAMPLE, SLOW, VIOLATIONS_MAX, choose, run_anchor, violation_anchor
from reports.trace_lanes import PLANTED, STALLED, SURFACED, Lane, Moment
from reports.trace_read import shown_field
from reports.trace_views import in_order, views
from tests.reports.rows import MS, account, canary
from tests.reports.test_figures import blank
from tests.reports.trace_rows import (
    OBSERVER,
    OWNER,
    PLANTED_NS,
    SURFACED_NS,
    choice_of,
    event,
    first_view,
    frame,
    leak_frame,
    odd_tables,
    prompt,
    run,
    run_of,
    tables,
    violation,
)


def test_two_lanes_on_one_clock() -> None:
    view = first_view()
    assert [(lane.side, lane.account, lane.run) for lane in view.lanes] == [
        ("owner", account(OWNER), run_of(OWNER)),
        ("observer", account(OBSERVER), run_of(OBSERVER)),
    ]
    told = [(lane, m.direction, m.kind, (m.at_ns - view.zero_ns) / MS, m.role) for lane, m in in_order(view)]
    assert told == [
        (1, "out", "prompt", -2.0, ""),
        (0, "out", "prompt", 0.0, PLANTED),
        (0, "in", "started", 4.0, ""),
        (1, "in", "chunk", 127.0, SURFACED),
        (1, "in", "completed", 427.0, ""),
    ]
    assert [m.exact for _, m in in_order(view)] == [True, True, True, False, True]
    assert all(m.body for _, m in in_order(view))


def test_a_frame_of_the_same_instant_is_told_by_its_text() -> None:
    """Two frames that the kernel gave together: the one that the violation keeps is the one that surfaced."""
    other = '{"type":"chunk","data":{"chunk":"mine"}}'
    frames = [frame(OBSERVER, SURFACED_NS, other), frame(OBSERVER, SURFACED_NS, leak_frame())]
    observer = first_view(frames=frames, events=[]).lanes[1]
    assert [(m.body, m.role) for m in observer.moments[1:]] == [(other, ""), (leak_frame(), SURFACED)]


def test_a_frame_carries_what_its_event_says() -> None:
    owner = first_view().lanes[0]
    assert [(m.kind, m.who, m.size_bytes) for m in owner.moments] == [("prompt", "", None), ("started", "helper", 300)]


def test_the_prompt_that_carried_it_is_told_by_what_it_carried() -> None:
    """Of several frames that the owner sent in its run, and by the recorded instant where there is one."""
    sent = [
        frame(OWNER, PLANTED_NS, '{"type":"hello"}', direction="out", kind="prompt"),
        frame(OWNER, PLANTED_NS + MS, prompt(OWNER), direction="out", kind="prompt"),
    ]
    for planted_ns, at_ns in ((None, PLANTED_NS + MS), (PLANTED_NS, PLANTED_NS)):
        place = first_view(frames=sent, violations=[violation(planted_ns=planted_ns)]).place(PLANTED)
        assert place is not None
        assert place[1].at_ns == at_ns


def test_what_was_found_when_the_run_was_over_stands_where_it_came() -> None:
    """The frame that reads so when it is decoded; not the last one, which the violation keeps."""
    import base64

    hidden = leak_frame(base64.b64encode(f"so {canary(OWNER, 1)}".encode()).decode())
    end = leak_frame("the end")
    frames = [
        frame(OWNER, PLANTED_NS, prompt(OWNER), direction="out", kind="prompt"),
        frame(OBSERVER, SURFACED_NS, leak_frame("first")),
        frame(OBSERVER, SURFACED_NS + MS, hidden),
        frame(OBSERVER, SURFACED_NS + 2 * MS, end, kind="completed"),
    ]
    late = violation(surfaced_ns=SURFACED_NS + 9 * MS, frame=end, event_kind="other", decode="base64", field="(frame)")
    view = first_view(frames=frames, events=[], violations=[late])
    place = view.place(SURFACED)
    assert place is not None
    assert (place[1].body, "searched once more" in place[1].note) == (hidden, True)
    assert shown_field(view) == "data.chunk"


def test_what_was_spread_over_frames_is_said_to_be() -> None:
    pieces = [leak_frame(canary(OWNER, 1)[at : at + 6]) for at in range(0, 36, 6)]
    frames = [frame(OBSERVER, SURFACED_NS + n, body) for n, body in enumerate(pieces)]
    frames.append(frame(OWNER, PLANTED_NS, prompt(OWNER), direction="out", kind="prompt"))
    seen = violation(frame=pieces[-1], surfaced_ns=SURFACED_NS + 99, decode="split", field="(frame)")
    place = first_view(frames=frames, events=[], violations=[seen]).place(SURFACED)
    assert place is not None
    assert (place[1].at_ns, "spread over" in place[1].note) == (SURFACED_NS + 5, True)


def test_a_run_id_that_two_accounts_share_is_one_run_each() -> None:
    shared = frame(OWNER, SURFACED_NS, '{"of": "somebody else"}', run=run_of(OBSERVER))
    owners = [frame(OBSERVER, SURFACED_NS, leak_frame()), shared]
    assert "somebody else" not in "".join(m.body or "" for m in first_view(frames=owners).lanes[1].moments)


def test_of_a_connection_what_stands_beside_it_is_shown() -> None:
    frames = [frame(OBSERVER, SURFACED_NS + (n - 100) * MS, "{}", kind=f"k{n}") for n in range(200)]
    seen = violation(run="", frame="ping", event_kind="ping")
    kinds = [m.kind for m in first_view(violations=[seen], frames=frames, events=[]).lanes[1].moments]
    assert kinds == [*(f"k{n}" for n in range(71, 101)), "ping", *(f"k{n}" for n in range(101, 111))]


def test_a_violation_that_no_kept_frame_shows_stands_in_its_lane_all_the_same() -> None:
    view = first_view(frames=[], events=[event(OBSERVER, SURFACED_NS - MS)])
    place = view.place(SURFACED)
    assert place is not None
    lane, moment = place
    assert (lane, moment.at_ns, moment.body) == (1, SURFACED_NS, leak_frame())
    assert [m.kind for m in view.lanes[1].moments] == ["prompt", "chunk", "chunk"]


def test_without_the_owners_frames_its_lane_says_so_and_shows_when() -> None:
    """The runs and events of every run are recorded: when is known, the text is not."""
    owner = first_view(frames=[frame(OBSERVER, SURFACED_NS, leak_frame())]).lanes[0]
    assert "were not kept" in owner.lacking
    assert [(m.kind, m.body) for m in owner.moments] == [("prompt", None), ("started", None)]
    assert owner.moments[0].role == PLANTED


def test_without_anything_of_the_owner_there_is_no_line() -> None:
    observed = {"runs": [], "frames": [frame(OBSERVER, SURFACED_NS, leak_frame())], "events": []}
    view = first_view(**observed)
    assert view.place(PLANTED) is None
    assert view.lanes[0].moments == ()
    assert "not in the record" in view.lanes[0].lacking
    assert view.zero_ns == SURFACED_NS


def test_the_recorded_instant_of_planting_is_used_where_frames_are_missing() -> None:
    view = first_view(runs=[], frames=[], events=[], violations=[violation(planted_ns=PLANTED_NS)])
    place = view.place(PLANTED)
    assert place is not None
    assert (place[0], place[1].at_ns) == (0, PLANTED_NS)


def test_what_came_on_a_connection_without_a_run_is_shown_among_its_neighbours() -> None:
    """A close reason, a ping, an event of someone else's run: nothing of the observer's own claims it."""
    seen = violation(run="", event_kind="close", frame="bye k3f00006", field="close reason")
    frames = [
        frame(OWNER, PLANTED_NS, prompt(OWNER), direction="out", kind="prompt"),
        frame(OBSERVER, SURFACED_NS - 5 * MS, "{}", kind="thinking"),
        frame(OBSERVER, SURFACED_NS + 5 * MS, "{}", kind="chunk"),
    ]
    view = first_view(violations=[seen], frames=frames, events=[])
    observer = view.lanes[1]
    assert (observer.run, observer.connection) == ("", f"c{OBSERVER}")
    assert [(m.kind, m.role) for m in observer.moments] == [("thinking", ""), ("close", SURFACED), ("chunk", "")]
    assert observer.moments[1].body == "bye k3f00006"


def test_an_owner_without_a_run_is_found_by_its_reference() -> None:
    """A profile's or a thread's canary names no run: the frame that carried it does."""
    view = first_view(violations=[violation(owner_run="", site="profile")])
    assert view.lanes[0].run == run_of(OWNER)
    assert view.place(PLANTED) is not None


def test_ones_own_other_run_is_a_lane_of_its_own() -> None:
    own = violation(owner=account(OBSERVER), owner_run=run_of(OWNER), scope="cross_thread")
    assert [lane.side for lane in first_view(violations=[own]).lanes] == ["owner", "observer"]
    same = violation(owner=account(OBSERVER), owner_run=run_of(OBSERVER), scope="cross_run")
    assert [lane.side for lane in first_view(violations=[same]).lanes] == ["run"]


def test_a_delivery_violation_has_one_lane_and_its_judgement() -> None:
    seen = violation(judgement="delivery", name="missing", channel=0, scope="", owner="", owner_run="", frame="")
    view = first_view(violations=[seen])
    assert [lane.side for lane in view.lanes] == ["run"]
    place = view.place(SURFACED)
    assert place is not None
    assert (place[1].direction, place[1].body) == ("", None)


def test_that_there_was_no_end_is_said_once() -> None:
    """By the judgement, at the instant at which it was known."""
    runs = [run(OBSERVER, PLANTED_NS, None, outcome="timeout", signature="silent")]
    seen = violation(judgement="delivery", name="no_end", event_kind="", scope="", owner="", owner_run="", frame="")
    [lane] = first_view(violations=[seen], runs=runs).lanes
    assert [m.role for m in lane.moments if m.direction == ""] == [SURFACED]


def test_two_workers_clocks_may_be_apart() -> None:
    rows = tables()
    rows["runs"]["worker"][1] = "w2"
    health = [("local", 3 * MS), ("local", -5 * MS), ("w2", 1 * MS), ("w9", 900 * MS)]
    rows["health"] = columns_of(
        "health", [tuple(blank("health", worker=name, wall_drift_ns=drift)) for name, drift in health]
    )
    assert views(rows, choice_of(rows))[0].clocks_apart_ns == 6 * MS
    assert first_view().clocks_apart_ns is None


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_without_an_end_stalled_after_its_last_event() -> None:
    timeout = run(OBSERVER, PLANTED_NS, None, outcome="timeout", signature="stream: no end in 8 s")
    view = first_view(violations=[], runs=[timeout])
    assert view.why == FAILED
    place = view.place(STALLED)
    assert place is not None
    assert place[1].kind == trace_lanes.NO_END
    assert "no end in 8 s" in place[1].note


def test_a_run_that_ended_stalled_at_its_longest_silence() -> None:
    view = first_view(violations=[], runs=[run(OBSERVER, PLANTED_NS - 2 * MS, SURFACED_NS + 300 * MS)])
    place = view.place(STALLED)
    assert place is not None
    assert (place[1].kind, place[1].gap_ns) == ("completed", 300 * MS)


def test_which_runs_are_shown() -> None:
    """Two of each way to fail, the three slowest of a family, one whose frames were kept; none that was cut."""
    runs = [run(n, 0, n * MS, prompt=("plain", "tools")[n % 2], run=f"r{n}") for n in range(1, 11)]
    runs += [run(n, 0, None, outcome="timeout", signature="silent", run=f"r{n}") for n in range(20, 25)]
    runs += [run(30, 0, None, outcome="cut", run="r30"), run(31, 0, 5, outcome="refused", run="r31")]
    frames = [frame(3, 0, "{}", run="r3")]
    made = tables(violations=[], runs=runs, frames=frames, events=[])
    told = [(one.why, made["runs"]["run"][one.row]) for one in choice_of(made).runs]
    assert told == [
        *((FAILED, name) for name in ("r20", "r21", "r31")),
        *((SLOW, name) for name in ("r10", "r8", "r6", "r9", "r7", "r5")),
        (SAMPLE, "r3"),
    ]


def test_what_is_shown_is_bounded() -> None:
    violations = [violation(violation=f"v{n}", name=f"name{n % 60}") for n in range(400)]
    runs = [run(n, 0, None, outcome="timeout", signature=f"s{n}", run=f"r{n}") for n in range(400)]
    runs += [run(n, 0, 1, prompt=f"p{n}", run=f"r{n}") for n in range(400, 800)]
    choice = choice_of(tables(violations=violations, runs=runs, frames=[], events=[]))
    assert len(choice.violations) == VIOLATIONS_MAX
    assert sum(one.why == FAILED for one in choice.runs) == FAILED_MAX
    assert len(choice.runs) <= FAILED_MAX + 40


def test_a_lane_is_bounded_and_says_what_it_leaves_out() -> None:
    moments = [Moment(n, "in", "chunk", role=SURFACED if n == 5000 else "") for n in range(10_000)]
    lane = trace_lanes.bounded(Lane("run", "a", "r", "c", "w", tuple(moments)))
    assert len(lane.moments) <= trace_lanes.LANE_MAX + 3
    assert any(m.role == SURFACED for m in lane.moments)
    left_out = sum(int(m.kind.split()[0]) for m in lane.moments if m.kind.endswith(" more"))
    assert left_out + sum(m.kind == "chunk" for m in lane.moments) == 10_000


# --- odd rows -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(odd_tables())
def test_odd_rows_make_views_and_never_an_error(rows: dict[str, list[tuple[object, ...]]]) -> None:
    made = {name: columns_of(name, listed) for name, listed in rows.items()}
    choice = choose(made["violations"], made["runs"], made["frames"])
    found = views(made, choice)
    assert len(found) == len(choice.violations) + len(choice.runs)
    for view in found:
        assert sum(m.role == SURFACED for lane in view.lanes for m in lane.moments) == (view.why == "violation")
        for lane in view.lanes:
            assert [m.at_ns for m in lane.moments] == sorted(m.at_ns for m in lane.moments)


@given(st.text(max_size=12), st.text(max_size=12))
def test_different_names_have_different_places(one: str, other: str) -> None:
    assert (violation_anchor(one) == violation_anchor(other)) == (one == other)
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in violation_anchor(one))


@pytest.mark.parametrize("names", [(("a-of-b", "c"), ("a", "c-of-b"))])
def test_different_runs_have_different_places(names: tuple[tuple[str, str], ...]) -> None:
    assert len({run_anchor(*pair) for pair in names}) == 2
