"""A run as it happens: what a person says, how it came out, and the row it leaves."""

from __future__ import annotations

import json
import random

import pytest

from crosstalk.checks.run import RunCheck
from crosstalk.live_run import BODY_MAX, FRAMES_MAX, LiveRun, Prompt, Thread
from crosstalk.person import Person
from crosstalk.record.rows import COLUMNS
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.lifecycle import FIVE_EVENTS
from crosstalk.wire.netra import Netra
from tests.helpers import MS, House

WHO = {"worker": "w1", "connection": "c1", "account": "k3f00017", "user_class": "Regular"}
NONCE = b"ctlknonce"
SENT_NS = 1_700_000_000_000_000_000
OK = [Kind.STARTED, Kind.THINKING, Kind.CHUNK, Kind.COMPLETED]


def run_of(*kinds: Kind, expects=(), seen=(NONCE,), every_ms=10, **fields) -> LiveRun:
    """A run that showed these events, 10 ms apart, and what was seen in it."""
    check = RunCheck(FIVE_EVENTS, expects)
    for number, kind in enumerate(kinds, 1):
        check.advance(Event(kind, agent="a", text="x", key=str(number), code="E7"), SENT_NS + number * every_ms * MS)
    values = {
        "run_id": "run-1", "ordinal": 3, "thread": Thread("thread-1", 2), "turn": 2, "prompt": Prompt("greeting", ""),
        "check": check, "trace_id": "t1", "intended_ns": SENT_NS, "warm_up": False, "planted": frozenset({NONCE}),
        "nonce": NONCE,
    }  # fmt: skip
    run = LiveRun(**{name: fields.pop(name, value) for name, value in values.items()})
    for name, value in {"sent_ns": SENT_NS, "bytes_in": 100, "events": len(kinds), "seen": set(seen), **fields}.items():
        setattr(run, name, value)
    return run


def decided(run: LiveRun, ended_by="end", *, peer="127.0.0.1:1", probe_ms=1.0, nonce_required=True) -> tuple[str, str]:
    probe_ns = None if probe_ms is None else int(probe_ms * MS)
    run.decide(ended_by=ended_by, peer=peer, probe_time_min_ns=probe_ns, nonce_required=nonce_required)
    return run.outcome, run.signature


def test_a_run_that_ended_well_is_ok():
    assert decided(run_of(*OK)) == ("ok", "")


@pytest.mark.parametrize(
    ("ended_by", "outcome", "signature"),
    [
        ("timeout", "timeout", "stream: no end in time, last event chunk"),
        ("lost", "disconnected", "stream: connection lost, last event chunk"),
        ("cut", "cut", "stopped by the load test"),
    ],
)
def test_a_run_without_an_end_says_what_ended_it_and_where_it_stood(ended_by, outcome, signature):
    assert decided(run_of(*OK[:3]), ended_by) == (outcome, signature)


@pytest.mark.parametrize(
    ("kinds", "stage"),
    [
        ([], "first event"),
        ([Kind.STARTED], "thinking"),
        ([Kind.STARTED, Kind.THINKING], "thinking"),
        ([Kind.STARTED, Kind.THINKING, Kind.TOOL_EXECUTING], "tool"),
        ([Kind.STARTED, Kind.THINKING, Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED], "tool"),
        ([Kind.STARTED, Kind.THINKING, Kind.CHUNK], "stream"),
        ([Kind.STARTED, Kind.THINKING, Kind.NOTICE], "stream"),
        (OK, "end"),
    ],
)
def test_the_stage_at_which_a_run_was_given_up(kinds, stage):
    last = kinds[-1].value if kinds else "none"
    assert decided(run_of(*kinds), "timeout")[1] == f"{stage}: no end in time, last event {last}"


def test_a_refusal_says_what_it_was_refused_with():
    assert decided(run_of(refusal="RATE_LIMITED slow down"), "refused") == ("refused", "send: RATE_LIMITED slow down")


def test_an_agents_error_is_told_by_its_code_unless_it_was_expected():
    assert decided(run_of(Kind.STARTED, Kind.ERROR)) == ("agent_error", "end: agent error E7")
    assert decided(run_of(Kind.STARTED, Kind.ERROR, expects=("error",))) == ("ok", "")


# --- was it real? ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "how", "why"),
    [
        ({"seen": ()}, {}, "its reference did not come back"),
        ({"bytes_in": 0}, {}, "no byte crossed a socket"),
        ({}, {"peer": ""}, "no byte crossed a socket"),
        ({}, {"probe_ms": 170.0}, "it took 40.000 ms, and the shortest round trip 170.000 ms"),
    ],
)
def test_a_run_without_proof_that_it_happened_is_not_real(change, how, why):
    run = run_of(*OK, **change)
    assert decided(run, **how) == ("violated", f"end: not real: {why}")
    assert run.violated == {"not_real": 1}


def test_pings_of_a_busy_moment_are_no_proof_against_a_run():
    assert decided(run_of(*OK), probe_ms=150.0) == ("ok", "")


def test_without_a_required_reference_or_a_round_trip_other_proof_is_enough():
    assert decided(run_of(*OK, seen=()), nonce_required=False) == ("ok", "")
    assert decided(run_of(*OK), probe_ms=None) == ("ok", "")


def test_only_a_run_that_would_be_ok_must_be_proved():
    for ended_by in ("timeout", "lost", "cut"):
        assert decided(run_of(*OK[:2], seen=()), ended_by)[0] != "violated"


# --- violations and outcomes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "ended_by", "outcome"),
    [
        (OK, "end", "violated"),
        ([Kind.STARTED, Kind.ERROR], "end", "violated"),
        (OK[:3], "timeout", "timeout"),
        (OK[:3], "lost", "disconnected"),
        (OK[:3], "cut", "cut"),
    ],
)
def test_a_violation_decides_where_nothing_weightier_did(kinds, ended_by, outcome):
    assert decided(run_of(*kinds, violated={"duplicate": 2}), ended_by)[0] == outcome


def test_the_signature_names_violations_once_and_in_one_order():
    run = run_of(*OK, violated={"late": 1, "duplicate": 5})
    assert decided(run) == ("violated", "end: duplicate, late")


# --- its row and its frames -----------------------------------------------------------------------------------------


def test_the_row_has_every_column_and_the_instants_of_its_check():
    run = run_of(*OK)
    decided(run)
    row = dict(zip(COLUMNS["runs"], run.as_row(WHO), strict=True))
    assert row.keys() == set(COLUMNS["runs"])
    assert (row["sent_ns"], row["first_event_ns"], row["end_ns"]) == (SENT_NS, SENT_NS + 10 * MS, SENT_NS + 40 * MS)
    assert (row["run"], row["thread"], row["turn"], row["prompt"], row["worker"]) == (
        "run-1",
        "thread-1",
        2,
        "greeting",
        "w1",
    )
    assert (row["canaries_planted"], row["canaries_back"], row["nonce_back"]) == (1, 1, True)


def test_a_run_that_showed_nothing_has_no_instants():
    run = run_of(seen=(b"somebody else's",))
    decided(run, "timeout")
    row = dict(zip(COLUMNS["runs"], run.as_row(WHO), strict=True))
    assert {row[name] for name in ("first_event_ns", "first_chunk_ns", "end_ns", "accepted_ns", "stall_max_ns")} == {
        None
    }
    assert (row["canaries_back"], row["nonce_back"]) == (0, False)


def test_its_place_says_which_runs_of_its_thread_came_before_and_whether_it_is_over():
    assert run_of(*OK[:2]).place.ended is False
    place = run_of(*OK).place
    assert (place.run_id, place.ordinal, place.thread_first, place.ended) == ("run-1", 3, 2, True)


def test_frames_are_kept_up_to_a_bound_and_cut():
    run = run_of()
    for n in range(FRAMES_MAX + 5):
        run.keep_frame("in", "chunk", arrived_ns=n, received_ns=n, body=b"x" * (BODY_MAX + 5))
    assert len(run.frames) == FRAMES_MAX
    assert {len(frame.body) for frame in run.frames} == {BODY_MAX}
    assert run.frames[0].arrived_ns == 0, "the first are kept: a run's beginning explains its end"


# --- what a person says ---------------------------------------------------------------------------------------------


def person() -> Person:
    house = House()
    return Person("k3f00017", 17, "Regular", house.observer(17), house.keyring, random.Random(7))


def said(someone: Person, prompt: Prompt, thread: Thread) -> tuple[LiveRun, dict]:
    run, turn = someone.prepare(prompt, thread, Netra(), intended_ns=None, warm_up=False)
    return run, json.loads(Netra().prompt(turn))


def test_runs_are_numbered_through_all_threads_and_turns_within_their_own():
    someone = person()
    runs = []
    for turns in (2, 3):
        thread = someone.new_thread()
        runs += [said(someone, Prompt("a", "Hello."), thread)[0] for _ in range(turns)]
    assert [(run.ordinal, run.turn, run.thread.first_ordinal) for run in runs] == [
        (2, 1, 1), (3, 2, 1), (5, 1, 4), (6, 2, 4), (7, 3, 4),
    ]  # fmt: skip
    assert (
        len({run.run_id for run in runs})
        == len({run.nonce for run in runs})
        == len({run.trace_id for run in runs})
        == 5
    )
    assert len({run.thread.thread_id for run in runs}) == 2


def test_the_display_name_goes_along_where_the_family_says_so_and_may_come_back_from_then_on():
    someone = person()
    plain, frame = said(someone, Prompt("a", "Hello."), someone.new_thread())
    assert "profile" not in frame["payload"]
    greeted, frame = said(someone, Prompt("b", "Hello.", profile=True), someone.new_thread())
    name = frame["payload"]["profile"]["name"]
    label = someone.keyring.read(name)
    assert label is not None and label.verified and label.site_name == "profile"
    later, frame = said(someone, Prompt("a", "Hello."), someone.new_thread())
    assert "profile" not in frame["payload"]
    assert [name.encode() in run.known for run in (plain, greeted, later)] == [False, True, True]


def test_the_reference_stands_at_the_end_of_the_text_and_nowhere_else():
    run, frame = said(someone := person(), Prompt("a", "Hello there. "), someone.new_thread())
    words = frame["payload"]["user_request"]
    assert words.startswith("Hello there. Please repeat this reference: ")
    assert words.endswith(run.nonce.decode())
    assert "context" not in frame["payload"]


def test_of_equal_prompts_only_the_private_context_differs():
    frames = []
    for number in (17, 18):
        house = House()
        someone = Person(
            f"k3f{number:05}", number, "Regular", house.observer(number), house.keyring, random.Random(number)
        )
        frames.append(said(someone, Prompt("a", "Summarise.", reference="context"), someone.new_thread())[1]["payload"])
    assert frames[0]["user_request"] == frames[1]["user_request"] == "Summarise."
    assert frames[0]["context"] != frames[1]["context"]


def test_whatever_a_person_sent_is_its_own_when_it_comes_back():
    someone = person()
    run, frame = said(someone, Prompt("a", "Hello."), someone.new_thread())
    seen: set[bytes] = set()
    event = Event(Kind.THINKING, run_id=run.run_id, user_id=someone.name)
    assert someone.observer.inspect(json.dumps(frame).encode(), event, run.place, seen=seen) == []
    assert run.planted <= seen
    assert len(seen) == 4, "prompt, run, thread and message"


def test_every_run_has_a_phantom_that_is_never_sent():
    someone = person()
    _, frame = said(someone, Prompt("a", "Hello."), someone.new_thread())
    labels = [hit.label.owner for hit in someone.keyring.find(json.dumps(frame).encode())]
    assert set(labels) == {17}
    assert someone.observer._exposures.phantoms == 1
