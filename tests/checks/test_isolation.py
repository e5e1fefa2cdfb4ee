"""What an observer says about frames: each channel under its own name, and nothing about what may be there."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.canary import PHANTOM_FIRST, Site
from crosstalk.checks.channels import CHANNELS
from crosstalk.checks.isolation import Observer, RunPlace, run_id, thread_id
from crosstalk.checks.violation import HARNESS, ISOLATION, Violation
from tests.helpers import LOAD_TEST, House, event_of, frame, keyring, user_name

A, B = 17, 18
ALICE, BOB = user_name(A), user_name(B)


def place(ordinal=1, *, owner=A, first=1, ended=False):
    return RunPlace(run_id(keyring(), owner=owner, ordinal=ordinal), ordinal, first, ended)


HERE, OVER = place(), place(ended=True)
ALICES_RUN, BOBS_RUN = run_id(keyring(), owner=A, ordinal=1), run_id(keyring(), owner=B, ordinal=1)


def canary(owner=B, ordinal=1, site=Site.PROMPT, *, keys=None):
    return (keys or keyring()).make(owner=owner, ordinal=ordinal, site=site)


def alice() -> Observer:
    return House().observer(A)


def seen_by_alice(data: bytes, at: RunPlace | None = HERE) -> list[Violation]:
    return alice().inspect(data, event_of(data), at)


def own(name="agent_response_chunk", *, ordinal=1, **data) -> bytes:
    """A frame of Alice's own run, labelled as hers."""
    return frame(name, run=run_id(keyring(), owner=A, ordinal=ordinal), user=ALICE, **data)


def what(violation: Violation):
    return (violation.name, violation.channel, violation.scope, violation.owner, violation.site, violation.field)


# --- nothing foreign ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        own(chunk="nothing special", chunk_index=0),
        own("agent_started"),
        frame("agent_thinking", run=ALICES_RUN),
        frame("pong"),
        frame("ack", user=ALICE),
        frame("heartbeat", connection_id="main_1"),
        frame("connection_established", user=f"{ALICE[:8]}..."),
    ],
)
def test_what_is_ones_own_or_nobodys_is_no_violation(data):
    assert seen_by_alice(data) == []
    assert seen_by_alice(data, None) == []


@pytest.mark.parametrize("site", [Site.PROMPT, Site.CONTEXT, Site.RUN, Site.THREAD, Site.MESSAGE])
def test_ones_own_canary_may_come_back_in_the_thread_it_was_said_in(site):
    observer = alice()
    mine = observer.plant(ordinal=2, site=site)
    for at in (place(2, first=2), place(3, first=2), place(5, first=1)):
        data = own(ordinal=at.ordinal, chunk=mine)
        assert observer.inspect(data, event_of(data), at) == []


def test_ones_profile_may_come_back_in_every_thread():
    observer = alice()
    data = own(ordinal=9, chunk=observer.plant(ordinal=1, site=Site.PROFILE))
    assert observer.inspect(data, event_of(data), place(9, first=8)) == []


def test_own_canaries_that_come_back_are_noted_whether_planted_lately_or_long_ago():
    observer, seen = alice(), set()
    lately, long_ago = observer.plant(ordinal=3, site=Site.PROMPT), observer.plant(ordinal=1, site=Site.PROMPT)
    observer.forget_before(3)
    data = own(chunk=f"{lately} and {long_ago.upper()}")
    assert observer.inspect(data, event_of(data), place(3), seen=seen) == []
    assert seen == {lately.encode(), long_ago.encode(), ALICES_RUN.removeprefix("run-").encode()}


# --- channel 1: a whole event of someone else -----------------------------------------------------------------------


def test_1_an_event_of_another_users_run_on_ones_socket():
    data = frame("agent_thinking", run=BOBS_RUN, user=BOB, thought=canary())
    [violation] = seen_by_alice(data, None)
    assert what(violation) == ("wrong_socket", 1, "cross_user", BOB, "run_id", "run_id")
    assert (violation.judgement, violation.owner_run, violation.event_kind) == (ISOLATION, BOBS_RUN, "thinking")
    assert ALICE in violation.expected and BOB in violation.came


def test_1_also_where_the_event_names_only_the_user_or_only_the_run():
    [by_user] = seen_by_alice(frame("agent_thinking", user=BOB), None)
    assert what(by_user) == ("wrong_socket", 1, "cross_user", BOB, "user_id", "user_id")
    [by_run] = seen_by_alice(frame("agent_thinking", run=BOBS_RUN), None)
    assert what(by_run) == ("wrong_socket", 1, "cross_user", BOB, "run_id", "run_id")


def test_1_a_user_that_nobody_of_this_load_test_is_cannot_be_verified():
    [violation] = seen_by_alice(frame("agent_thinking", user="demo-user-001"), None)
    assert what(violation)[:4] == ("wrong_socket", 1, "unverified", "demo-user-001")


def test_1_a_name_cut_short_is_ones_own_only_where_it_fits():
    assert seen_by_alice(frame("agent_thinking", user=f"{ALICE[:6]}..."), None) == []
    [violation] = seen_by_alice(frame("agent_thinking", user=f"{BOB[:8]}..."), None)
    assert violation.name == "wrong_socket"


def test_1_a_run_that_nobody_started_is_unknown():
    [violation] = seen_by_alice(frame("agent_thinking", run="run-of-somebody"), None)
    assert what(violation) == ("unknown_run", 1, "unverified", "", "", "run_id")
    assert "run-of-somebody" in violation.came


# --- channel 2: foreign content in one's own event ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "name"), [(Site.PROMPT, "prompt"), (Site.CONTEXT, "context"), (Site.PROFILE, "profile")]
)
def test_2_foreign_content_in_ones_own_event(site, name):
    [violation] = seen_by_alice(own("agent_completed", result={"text": f"see {canary(site=site)}"}))
    assert what(violation) == ("foreign_content", 2, "cross_user", BOB, name, "data.result.text")
    assert violation.owner_run == ("" if site is Site.PROFILE else BOBS_RUN)
    assert (violation.judgement, violation.decode, violation.event_kind) == (ISOLATION, "plain", "completed")


def test_4_every_foreign_canary_of_a_frame_is_named_not_the_first_alone():
    carol = canary(owner=19, site=Site.CONTEXT)
    found = seen_by_alice(own("tool_completed", tool_name="t", result={"a": canary(), "b": [carol]}))
    assert [what(violation) for violation in found] == [
        ("foreign_content", 4, "cross_user", BOB, "prompt", "data.result.a"),
        ("foreign_content", 4, "cross_user", user_name(19), "context", "data.result.b[0]"),
    ]


def test_2_ones_own_canary_beside_it_changes_nothing():
    observer = alice()
    data = own(chunk=f"{observer.plant(ordinal=1, site=Site.PROMPT)}{canary()}")
    assert [v.owner for v in observer.inspect(data, event_of(data), HERE)] == [BOB]


@pytest.mark.parametrize(
    ("change", "decode"),
    [(str.upper, "case"), (lambda c: c[:30], "partial"), (lambda c: c[:30].upper(), "partial+case"), (str, "plain")],
)
def test_2_a_change_of_case_and_a_cut_end_hide_nothing(change, decode):
    [violation] = seen_by_alice(own(chunk=f"see {change(canary())}!"))
    assert (violation.owner, violation.decode, violation.field) == (BOB, decode, "data.chunk")


def test_16_ones_own_canary_of_another_thread_is_cross_thread():
    observer = alice()
    earlier = observer.plant(ordinal=1, site=Site.PROMPT)
    data = own("agent_completed", ordinal=3, result=earlier)
    [violation] = observer.inspect(data, event_of(data), place(3, first=2))
    assert what(violation) == ("foreign_content", 16, "cross_thread", ALICE, "prompt", "data.result")
    assert "from this thread" in violation.expected
    assert violation.owner_run == ALICES_RUN


def test_2_also_one_that_was_forgotten_or_never_noted():
    data = own(ordinal=3, chunk=canary(owner=A, ordinal=1))
    [violation] = alice().inspect(data, event_of(data), place(3, first=2))
    assert violation.scope == "cross_thread"


# --- channel 3: foreign ids without content -------------------------------------------------------------------------


def test_3_anothers_run_id_on_ones_own_event():
    data = frame("agent_thinking", run=BOBS_RUN, user=ALICE, thought="hm")
    [violation] = seen_by_alice(data, None)
    assert what(violation) == ("foreign_id", 3, "cross_user", BOB, "run_id", "run_id")
    assert BOBS_RUN in violation.came


def test_3_anothers_user_id_on_ones_own_run():
    [violation] = seen_by_alice(frame("agent_thinking", run=ALICES_RUN, user=BOB))
    assert what(violation) == ("foreign_id", 3, "cross_user", BOB, "user_id", "user_id")


def test_3_a_user_id_of_nobody_known_on_ones_own_run_is_unverified():
    [violation] = seen_by_alice(frame("agent_thinking", run=ALICES_RUN, user="demo-user-001"))
    assert what(violation)[:4] == ("foreign_id", 3, "unverified", "demo-user-001")


@pytest.mark.parametrize(
    ("wire_id", "site", "owner_run"),
    [
        (thread_id(keyring(), owner=B, ordinal=1), "thread_id", ""),
        ("msg-" + canary(site=Site.MESSAGE), "message_id", BOBS_RUN),
        (BOBS_RUN, "run_id", BOBS_RUN),
    ],
)
def test_3_another_id_anywhere_in_ones_own_event(wire_id, site, owner_run):
    [violation] = seen_by_alice(own("agent_thinking", about={"id": wire_id}))
    assert what(violation) == ("foreign_id", 3, "cross_user", BOB, site, "data.about.id")
    assert violation.owner_run == owner_run


def test_3_ids_beside_foreign_content_are_part_of_it():
    found = seen_by_alice(own("agent_thinking", thought=canary(), about=BOBS_RUN))
    assert [v.name for v in found] == ["foreign_content"]


def test_3_content_under_anothers_run_id_is_content():
    data = frame("agent_thinking", run=BOBS_RUN, user=ALICE, thought=canary())
    [violation] = seen_by_alice(data, None)
    assert what(violation)[:4] == ("foreign_content", 2, "cross_user", BOB)


# --- channel 17: under a run that has ended -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (own(chunk=canary()), "foreign_content"),
        (own("agent_thinking", about=BOBS_RUN), "foreign_id"),
        (frame("agent_thinking", run=ALICES_RUN, user=BOB), "foreign_id"),
        (own("progress_update", note=canary()), "foreign_content"),
    ],
)
def test_17_after_the_end_it_is_channel_17_whatever_it_is(data, name):
    [violation] = seen_by_alice(data, OVER)
    assert (violation.name, violation.channel, violation.owner) == (name, 17, BOB)


def test_17_a_late_event_with_nothing_foreign_is_no_leak():
    assert seen_by_alice(own(chunk="more"), OVER) == []


# --- channel 20: hand-offs, progress, notifications -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["agent_handoff", "progress_update", "partial_result", "thread_updated", "weather_report"]
)
def test_20_foreign_content_beside_the_answer(name):
    [violation] = seen_by_alice(own(name, context={"words": canary()}))
    assert what(violation) == ("foreign_content", 20, "cross_user", BOB, "prompt", "data.context.words")


def test_20_anothers_handoff_on_ones_socket():
    [violation] = seen_by_alice(frame("agent_handoff", run=BOBS_RUN, user=BOB), None)
    assert what(violation)[:4] == ("wrong_socket", 20, "cross_user", BOB)


@pytest.mark.parametrize("name", ["ack", "pong", "heartbeat"])
def test_20_answers_about_the_connection_are_looked_at_too(name):
    [violation] = seen_by_alice(frame(name, echo=canary()), None)
    assert (violation.name, violation.channel, violation.owner) == ("foreign_content", 20, BOB)


# --- whose fault it is ----------------------------------------------------------------------------------------------


def test_a_phantom_that_comes_back_is_a_fault_of_the_harness():
    observer = alice()
    data = own(chunk=observer.phantom(1))
    [violation] = observer.inspect(data, event_of(data), HERE)
    assert (violation.judgement, violation.scope) == (HARNESS, "phantom")


def test_phantoms_are_owned_by_nobody_and_counted():
    house = House()
    made = [house.observer(number).phantom(ordinal) for number in (A, B) for ordinal in (1, 2)]
    assert len(set(made)) == 4
    assert all(keyring().read(phantom).owner >= PHANTOM_FIRST for phantom in made)
    assert house.exposures.phantoms == 4


def test_what_another_load_test_left_is_shown_as_such():
    [violation] = seen_by_alice(own(chunk=canary(keys=keyring(load_test=LOAD_TEST + 1))))
    assert (violation.name, violation.scope, violation.owner_run) == ("foreign_content", "other_load_test", "")
    assert "another load test" in violation.owner


def test_an_account_of_another_load_test_with_ones_own_number_is_not_oneself():
    theirs = canary(owner=A, keys=keyring(load_test=LOAD_TEST + 1))
    [violation] = seen_by_alice(own(chunk=theirs))
    assert violation.scope == "other_load_test"


def test_a_canary_that_cannot_be_verified_is_a_class_of_its_own():
    forged = canary(keys=keyring(secret=b"somebody else's secret"))
    [violation] = seen_by_alice(own(chunk=forged))
    assert (violation.judgement, violation.name, violation.scope) == (ISOLATION, "foreign_content", "unverified")


def test_ones_own_number_in_a_forged_canary_is_not_verified_either():
    forged = canary(owner=A, keys=keyring(secret=b"somebody else's secret"))
    [violation] = seen_by_alice(own(chunk=forged))
    assert violation.scope == "unverified"


# --- ids that the server chooses ------------------------------------------------------------------------------------


def told(
    run_to_alice="srv-3f2b8c1e9d7a4f61", run_to_bob="srv-3f2b8c1e9d7a4f62", thread_to_bob="thr-9d7a4f603f2b8c12"
) -> tuple[House, Observer]:
    """Alice and Bob were each told a run of theirs, and Bob a thread."""
    house = House()
    observers = house.observer(A), house.observer(B)
    assert observers[0].own_id(run_to_alice)
    assert observers[1].own_id(run_to_bob)
    assert observers[1].own_id(thread_to_bob)
    return house, observers[0]


def judged(observer: Observer, data: bytes, at: RunPlace | None = None) -> list[Violation]:
    return observer.inspect(data, event_of(data), at)


def test_an_id_belongs_to_the_first_that_it_was_told_to():
    _, observer = told()
    assert observer.own_id("srv-3f2b8c1e9d7a4f61")
    assert not observer.own_id("srv-3f2b8c1e9d7a4f62")


def test_an_id_that_was_told_to_oneself_is_ones_own():
    _, observer = told()
    assert judged(observer, frame("agent_thinking", run="srv-3f2b8c1e9d7a4f61")) == []


def test_1_an_event_under_an_id_that_was_told_to_somebody_else():
    _, observer = told()
    [violation] = judged(observer, frame("agent_thinking", run="srv-3f2b8c1e9d7a4f62"))
    assert what(violation) == ("wrong_socket", 1, "cross_user", BOB, "run_id", "run_id")
    assert violation.owner_run == "srv-3f2b8c1e9d7a4f62"


def test_3_ones_own_event_under_a_run_that_was_told_to_somebody_else():
    _, observer = told()
    [violation] = judged(observer, frame("agent_thinking", run="srv-3f2b8c1e9d7a4f62", user=ALICE))
    assert what(violation) == ("foreign_id", 3, "cross_user", BOB, "run_id", "run_id")
    assert "srv-3f2b8c1e9d7a4f62" in violation.came


def test_3_ones_own_run_in_a_thread_that_was_told_to_somebody_else():
    _, observer = told()
    data = frame("agent_thinking", run="srv-3f2b8c1e9d7a4f61", user=ALICE, thread="thr-9d7a4f603f2b8c12")
    [violation] = judged(observer, data, replace(HERE, run_id="srv-3f2b8c1e9d7a4f61"))
    assert what(violation) == ("foreign_id", 3, "cross_user", BOB, "thread_id", "thread_id")
    assert "thr-9d7a4f603f2b8c12" in violation.came


def test_an_id_that_nobody_was_told_is_unknown():
    _, observer = told()
    assert names_of(judged(observer, frame("agent_thinking", run="srv-3f2b8c1e9d7a4f69"))) == ["unknown_run"]


def names_of(violations: list[Violation]) -> list[str]:
    return [violation.name for violation in violations]


def test_a_handoff_that_names_nobody_is_controlled_by_ones_own_canary_in_it():
    house = House()
    observer = house.observer(A)
    mine = observer.plant(ordinal=1, site=Site.PROMPT)
    for context in (mine, "nothing"):
        judged(observer, frame("agent_handoff", context=context), replace(HERE, known=frozenset({mine.encode()})))
    channel = house.exposures.channels[20]
    assert (channel.controls_expected, channel.controls_seen) == (2, 1)


# --- three observers ------------------------------------------------------------------------------------------------


def test_one_frame_is_right_for_its_owner_and_a_leak_for_everybody_else():
    house = House()
    observers = {number: house.observer(number) for number in (A, B, 19)}
    planted = observers[B].plant(ordinal=1, site=Site.PROMPT)
    data = frame("agent_thinking", run=BOBS_RUN, user=BOB, thought=planted)
    places = {A: None, B: place(owner=B), 19: None}
    said = {number: observers[number].inspect(data, event_of(data), places[number]) for number in observers}
    assert {number: [(v.name, v.owner) for v in found] for number, found in said.items()} == {
        A: [("wrong_socket", BOB)],
        B: [],
        19: [("wrong_socket", BOB)],
    }


# --- the short way --------------------------------------------------------------------------------------------------

TOLD_TO_ALICE, TOLD_TO_BOB = "thr-9d7a4f603f2b8c11", "thr-9d7a4f603f2b8c12"


@pytest.mark.parametrize("telling", [False, True])
@pytest.mark.parametrize("text", ["plain", canary(), canary().upper(), canary()[:-3], canary(A), canary(A) + canary()])
@pytest.mark.parametrize("name", ["agent_response_chunk", "agent_handoff"])
@pytest.mark.parametrize("thread", ["", TOLD_TO_ALICE, TOLD_TO_BOB, thread_id(keyring(), owner=B, ordinal=1)])
@pytest.mark.parametrize("user", ["", ALICE, BOB, f"{ALICE[:8]}..."])
@pytest.mark.parametrize("run", ["", ALICES_RUN])
def test_a_frame_that_is_told_to_be_ones_own_at_once_has_nothing_foreign_and_counts_the_same(
    run, user, thread, name, text, telling
):
    """`is_own` says yes only where `inspect` finds nothing, and leaves behind what `inspect` does."""
    data = frame(name, run=run, user=user, thread_id=thread, chunk=text, chunk_index=1, thought=text)
    outcomes = []
    for short in (True, False):
        house = House()
        observer = house.observer(A)
        if telling:
            assert observer.own_id(TOLD_TO_ALICE) and house.observer(B).own_id(TOLD_TO_BOB)
        observer.plant(ordinal=1, site=Site.PROMPT)
        house.observer(B).run_started(1, 1)
        known, seen = frozenset({canary(A).encode(), ALICES_RUN.removeprefix("run-").encode()}), set()
        at, event = replace(HERE, known=known), event_of(data)
        if short and observer.is_own(data, event, known, seen):
            found = []
        else:
            found = observer.inspect(data, event, at, seen=seen)
        outcomes.append((found, seen, house.exposures.channels))
    assert outcomes[0] == outcomes[1]


def test_most_frames_of_ones_own_run_are_told_at_once():
    known = frozenset({canary(A).encode(), ALICES_RUN.removeprefix("run-").encode()})
    seen: set[bytes] = set()
    data = own(chunk=f"You said {canary(A)}", chunk_index=1)
    assert alice().is_own(data, event_of(data), known, seen)
    assert seen == known
    foreign = own(chunk=f"You said {canary()}", chunk_index=1)
    assert not alice().is_own(foreign, event_of(foreign), known, seen)


# --- exposure -------------------------------------------------------------------------------------------------------


def test_an_observation_is_an_opportunity_only_while_somebody_else_has_a_run():
    house = House()
    a, b = house.observer(A), house.observer(B)
    data, seen = own(chunk="x"), []
    a.run_started(1, 1)
    for change in (lambda: None, lambda: b.run_started(1, 1), lambda: None, lambda: b.run_over(1)):
        change()
        a.inspect(data, event_of(data), HERE)
        seen.append(house.exposures.channels[2].opportunities)
    assert seen == [0, 1, 2, 2]
    assert house.exposures.channels[2].observations == 4


def test_each_frame_counts_for_the_channels_that_look_at_it():
    house = House()
    observer = house.observer(A)
    house.observer(B).run_started(1, 1)
    for data in (own(chunk="x"), own("agent_handoff")):
        observer.inspect(data, event_of(data), HERE)
    seen = {n: channel.opportunities for n, channel in house.exposures.channels.items() if channel.opportunities}
    assert seen == {1: 1, 2: 1, 3: 1, 20: 1}
    assert house.exposures.channels.keys() == CHANNELS.keys()


def test_ids_control_themselves():
    house = House()
    observer = house.observer(A)
    for data, at in (
        (own(chunk="x"), HERE),
        (frame("agent_thinking", run=BOBS_RUN, user=BOB), None),
        (frame("pong"), None),
    ):
        observer.inspect(data, event_of(data), at)
    controls = {
        n: (channel.controls_expected, channel.controls_seen) for n, channel in house.exposures.channels.items()
    }
    assert (controls[1], controls[3]) == ((2, 1), (2, 1))
    assert controls[2] == (0, 0), "content is controlled by the canaries of a run, not frame by frame"
    assert controls[20] == (0, 0), "a pong names nobody and proves nothing"


# --- any place of any frame -----------------------------------------------------------------------------------------

plain_keys = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
leaves = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=12)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_keys, inner, max_size=3), max_leaves=8
)


@st.composite
def documents_with(draw, needle):
    """A JSON document with the needle somewhere in it: a value, a part of one, or a key."""
    around = st.text(' .,:/"\\\n\té€', max_size=4)
    node = draw(around) + needle + draw(around)
    if draw(st.booleans()):
        node = {needle: draw(documents)}
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            before, after = draw(st.lists(documents, max_size=2)), draw(st.lists(documents, max_size=2))
            node = [*before, node, *after]
        else:
            node = {**draw(st.dictionaries(plain_keys, documents, max_size=2)), draw(plain_keys): node}
    return node


def follow(path: str, document):
    """What a field path leads to; a key where it says so."""
    last = ""
    for step in re.findall(r"\{key\}|\[\d+\]|[^.\[\]{}]+", path):
        if step == "{key}":
            return last
        document = document[int(step[1:-1])] if step.startswith("[") else document[step]
        last = step
    return document


THEIRS = canary(owner=19, ordinal=7, site=Site.CONTEXT)


@given(
    documents_with(THEIRS), st.sampled_from(["agent_thinking", "agent_completed", "tool_completed", "agent_handoff"])
)
def test_a_foreign_canary_is_found_at_any_place_and_its_path_leads_there(document, name):
    data = own(name, extra=document)
    [violation] = seen_by_alice(data)
    assert (violation.name, violation.owner, violation.site) == ("foreign_content", user_name(19), "context")
    assert violation.channel == {"agent_handoff": 20, "tool_completed": 4}.get(name, 2)
    assert THEIRS in follow(violation.field, json.loads(data))


@given(documents_with(THEIRS.upper()))
def test_also_in_capitals_and_in_a_frame_that_is_written_with_real_letters(document):
    data = json.dumps(
        {"type": "agent_thinking", "run_id": ALICES_RUN, "data": {"extra": document}}, ensure_ascii=False
    ).encode()
    [violation] = seen_by_alice(data)
    assert (violation.owner, violation.decode) == (user_name(19), "case")
    assert THEIRS.upper() in follow(violation.field, json.loads(data))


@given(documents)
def test_a_frame_without_canaries_never_alarms(document):
    assert seen_by_alice(own("agent_thinking", extra=document)) == []


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_name_and_no_run_id_makes_an_observer_raise(user, run):
    data = frame("agent_thinking", user=user, run=run)
    for at in (HERE, None):
        assert all(isinstance(violation, Violation) for violation in seen_by_alice(data, at))
