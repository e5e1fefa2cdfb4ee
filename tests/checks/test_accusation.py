"""What a sighting is called: every channel under its own number, and the exceptions that are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crosstalk.checks.accusation import settled
from crosstalk.checks.canary import Site
from crosstalk.checks.channels import CHANNELS, CONTENT_CHANNEL_OF, OBSERVED_BY
from crosstalk.checks.isolation import Observer, RunPlace, run_id, thread_id
from crosstalk.checks.violation import ISOLATION, Violation
from crosstalk.wire.event import Event, Kind
from tests.helpers import House, event_of, frame, keyring, user_name

A, B = 17, 18
ALICE, BOB = user_name(A), user_name(B)
ALICES_RUN, BOBS_RUN = run_id(keyring(), owner=A, ordinal=2), run_id(keyring(), owner=B, ordinal=2)
HERE = RunPlace(ALICES_RUN, 2, 1, False)


def theirs(site: Site = Site.PROMPT, ordinal: int = 2) -> str:
    return keyring().make(owner=B, ordinal=ordinal, site=site)


def alice(house: House | None = None) -> Observer:
    observer = (house or House()).observer(A)
    observer.thread_begun(1)
    return observer


def seen(name: str, *, at: RunPlace | None = HERE, observer: Observer | None = None, **data) -> list[Violation]:
    body = frame(name, run=at.run_id if at else "", user=ALICE, **data)
    return (observer or alice()).inspect(body, event_of(body), at)


# --- by the kind of event -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("agent_thinking", 2),
        ("agent_response_chunk", 2),
        ("agent_completed", 2),
        ("tool_executing", 4),
        ("tool_completed", 4),
        ("progress_update", 20),
        ("agent_handoff", 20),
        ("thread_updated", 20),
        ("something_new", 20),
        ("heartbeat", 20),
        ("agent_error", 21),
        ("error_message", 21),
    ],
)
def test_foreign_content_is_named_after_the_kind_of_event_that_shows_it(name, channel):
    [violation] = seen(name, note=theirs())
    assert (violation.name, violation.channel, violation.owner) == ("foreign_content", channel, BOB)


def test_21_a_frame_that_cannot_be_read_is_looked_at_all_the_same():
    body = b'{"type": "agent_thinking", "data": "' + theirs().encode()
    [violation] = alice().inspect(body, event_of(body), None)
    assert (violation.channel, violation.scope, violation.field) == (21, "cross_user", "(frame)")


@pytest.mark.parametrize("where", ["close reason", "answer to the upgrade", "payload of a ping", "body of GET /api/…"])
def test_21_what_is_no_event_says_where_it_stood(where):
    house = House()
    house.observer(B).run_started(2, 1)
    [violation] = alice(house).look(f"x: {theirs()}".encode(), where=where, kind="header")
    assert (violation.channel, violation.field, violation.event_kind) == (21, where, "header")
    assert house.exposures.channels[21].opportunities == 1


def test_17_after_the_end_whatever_the_kind():
    for name in ("agent_thinking", "tool_completed", "agent_handoff"):
        [violation] = seen(name, at=replace(HERE, ended=True), note=theirs())
        assert violation.channel == 17


# --- by what is known of the run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", [11, 19])
def test_a_run_that_probes_names_its_channel(probe):
    for name in ("agent_thinking", "agent_completed", "tool_completed"):
        [violation] = seen(name, at=replace(HERE, probe=probe), note=theirs())
        assert violation.channel == probe


def test_18_what_belongs_to_a_run_that_its_user_gave_up_on():
    house = House()
    house.observer(B).abandoned(2, at_ns=1)
    [violation] = seen("agent_response_chunk", observer=alice(house), chunk=theirs(ordinal=2))
    assert violation.channel == 18
    [violation] = seen("agent_response_chunk", observer=alice(house), chunk=theirs(ordinal=3))
    assert violation.channel == 2, "another run of the same user"


def test_18_not_ones_own_abandoned_run():
    observer = alice(house := House())
    observer.run_started(2, 1)
    observer.abandoned(2, at_ns=1)
    mine = keyring().make(owner=A, ordinal=2, site=Site.PROMPT)
    body = frame("agent_thinking", run=run_id(keyring(), owner=A, ordinal=5), user=ALICE, thought=mine)
    [violation] = observer.inspect(body, event_of(body), RunPlace("r", 5, 4, False))
    assert (violation.channel, violation.scope) == (6, "cross_thread"), "its run is in progress"
    observer.run_over(2)
    [violation] = observer.inspect(body, event_of(body), RunPlace("r", 5, 4, False))
    assert (violation.channel, violation.scope) == (16, "cross_thread")
    assert house.exposures.abandoned


def test_6_the_reference_of_a_later_turn_in_an_earlier_run_of_the_thread():
    observer = alice()
    observer.run_started(2, 1)
    observer.run_started(3, 1)
    later = observer.plant(ordinal=3, site=Site.PROMPT)
    [violation] = seen("agent_thinking", observer=observer, thought=later)
    assert (violation.channel, violation.scope, violation.owner) == (6, "cross_run", ALICE)


def test_16_threads_whose_turns_alternate_are_told_apart():
    observer = alice()
    observer.thread_begun(2)
    observer.run_started(3, 1)
    observer.run_over(3)
    observer.run_started(4, 2)
    first = observer.plant(ordinal=3, site=Site.PROMPT)
    body = frame("agent_thinking", run="x", user=ALICE, thought=first)
    [violation] = observer.inspect(body, event_of(body), RunPlace("x", 4, 2, False))
    assert (violation.channel, violation.scope) == (16, "cross_thread")
    assert observer.inspect(body, event_of(body), RunPlace("x", 5, 1, False)) == []


def test_6_and_16_have_their_opportunities_where_there_is_another_run_or_thread():
    observer = alice()
    observer.run_started(2, 1)
    assert observer.beside(2, 1) == []
    observer.run_started(3, 1)
    assert observer.beside(2, 1) == [6]
    observer.thread_begun(4)
    assert observer.beside(2, 1) == [6, 16]


@pytest.mark.parametrize("channel", [8, 9])
def test_8_and_9_what_comes_while_it_is_asked_for_is_named_after_that(channel):
    whole = frame("agent_thinking", run=BOBS_RUN, user=BOB, thought=theirs())
    [violation] = alice().inspect(whole, event_of(whole), None, asked_for=channel)
    assert (violation.name, violation.channel, violation.owner) == ("wrong_socket", channel, BOB)
    [violation] = alice().inspect(whole, event_of(whole), None)
    assert violation.channel == 1


# --- in disguise ----------------------------------------------------------------------------------------------------


def test_22_a_change_of_case_is_a_disguise_a_cut_end_is_not():
    [upper] = seen("agent_thinking", thought=theirs().upper())
    assert (upper.channel, upper.decode) == (22, "case")
    [cut] = seen("agent_thinking", thought=theirs()[:30])
    assert (cut.channel, cut.decode) == (2, "partial")


def test_22_what_the_search_decodes_names_its_steps():
    import base64

    body = frame("agent_thinking", run=ALICES_RUN, user=ALICE, thought=base64.b64encode(theirs().encode()).decode())
    observer = alice()
    assert observer.inspect(body, event_of(body), HERE) == []
    [(violation, shown)] = observer.search([body], HERE)
    assert (violation.name, violation.channel, violation.owner, violation.scope) == (
        "foreign_content", 22, BOB, "cross_user",
    )  # fmt: skip
    assert "base64" in violation.decode
    assert (shown, violation.field) == (body, "data.thought")
    later = frame("agent_completed", run=ALICES_RUN, user=ALICE, result="That is all.")
    [(violation, shown)] = alice().search([later, body, later], HERE)
    assert (shown, violation.field) == (body, "data.thought"), "the frame that shows it, not the last one"


def test_22_a_reference_that_came_in_pieces_is_found_where_they_are_joined():
    whole = theirs()
    parts = [frame("agent_response_chunk", run=ALICES_RUN, chunk=piece) for piece in (whole[:15], whole[15:])]
    assert [v for part in parts for v in alice().inspect(part, event_of(part), HERE)] == []
    found = alice().search([*parts, whole.encode()], HERE)
    assert {violation.owner for violation, _ in found} == {BOB}


def test_22_what_stands_plainly_in_joined_pieces_was_split():
    [(violation, _)] = alice().search([theirs().encode()], HERE, joined=True)
    assert (violation.channel, violation.decode) == (22, "split")
    [(violation, _)] = alice().search([theirs().encode()], HERE)
    assert (violation.channel, violation.decode) == (2, "plain")


def test_ones_own_reference_in_disguise_is_seen_and_no_violation():
    observer, back = alice(), set()
    observer.run_started(2, 1)
    mine = observer.plant(ordinal=2, site=Site.PROMPT)
    assert observer.search([mine.encode().hex().encode()], HERE, seen=back) == []
    assert back == {mine.encode()}


def test_22_the_search_proves_itself_with_a_disguise_of_its_own():
    observer = alice()
    assert all(observer.finds_in_disguise(ordinal) for ordinal in range(12))


def test_22_a_search_that_decodes_nothing_does_not_pass_its_control(monkeypatch):
    monkeypatch.setattr("crosstalk.checks.transforms.DECODERS", ())
    observer = alice()
    assert not all(observer.finds_in_disguise(ordinal) for ordinal in range(12))


# --- ids and names that stand anywhere ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [BOB, f"owner={BOB};", f"{BOB}@crosstalk.test", f"user_{BOB}", f"x.{BOB}"])
def test_3_anothers_name_anywhere(text):
    body = frame("agent_thinking", run=ALICES_RUN, user=ALICE, note=text)
    [(violation, _)] = alice().search([body], HERE)
    assert (violation.name, violation.channel, violation.owner, violation.site) == ("foreign_id", 3, BOB, "user_id")


@pytest.mark.parametrize("text", [ALICE, f"x{BOB}", f"{BOB}9", "k3f0001", "k3fabcde"])
def test_3_not_ones_own_name_nor_what_only_looks_like_one(text):
    body = frame("agent_thinking", run=ALICES_RUN, user=ALICE, note=text)
    assert alice().search([body], HERE) == []


def test_3_an_id_that_the_server_chose_for_somebody_else_anywhere():
    house = House()
    theirs_told = "3f2b8c1e9d7a4f60"
    house.observer(B).own_id(theirs_told)
    body = frame("agent_thinking", run=ALICES_RUN, user=ALICE, refers=f"run_{theirs_told}")
    [(violation, _)] = alice(house).search([body], HERE)
    assert (violation.channel, violation.owner, violation.field) == (3, BOB, "data.refers")


@pytest.mark.parametrize("short", ["100042", "7", "thread_9", "a1b2c3d4e5"])
def test_3_an_id_that_is_too_short_to_be_anybodys_accuses_nobody(short):
    house = House()
    bob, observer = house.observer(B), alice(house)
    assert bob.own_id(short) and observer.own_id(short), "two users may have a thread 7 each"
    body = frame("agent_thinking", run=ALICES_RUN, user=ALICE, took=f"{short} ms")
    assert observer.search([body], HERE) == []


def test_ids_that_the_observer_sent_itself_prove_nothing_and_are_counted():
    house = House()
    observer = alice(house)
    victims = thread_id(keyring(), owner=B, ordinal=1)
    for wire_id in (victims, BOB):
        observer.sends(wire_id)
    body = frame("error_message", error_message=f"thread {victims} of {BOB} not found")
    assert observer.inspect(body, event_of(body), None) == []
    assert observer.search([body], None) == []
    assert house.exposures.exempted
    leak = frame("error_message", error_message=f"thread {victims}: {theirs()}")
    [violation] = observer.inspect(leak, event_of(leak), None)
    assert violation.name == "foreign_content"


# --- what can only be told when the run is over ---------------------------------------------------------------------

FOREIGN = Violation(ISOLATION, "foreign_content", "", "", channel=2, scope="cross_user", site="context")
NOTHING = dict(equal_prompt=False, nonce_back=True, chunk="", streamed=(), final_text="")


def test_10_the_answer_to_equal_prompts_never_showed_ones_own_reference():
    assert settled(FOREIGN, **{**NOTHING, "equal_prompt": True, "nonce_back": False}).channel == 10


@pytest.mark.parametrize(
    "change",
    [
        {"equal_prompt": True},  # one's own came back too: something was mixed in
        {"nonce_back": False},  # prompts that differ are no cache's key
    ],
)
def test_10_otherwise_it_is_foreign_content(change):
    assert settled(FOREIGN, **{**NOTHING, **change}).channel == 2


def test_5_a_chunk_too_many_is_an_interleaved_stream():
    streamed = ["Hello ", "their words ", "world"]
    about = {**NOTHING, "chunk": "their words ", "streamed": streamed}
    assert settled(FOREIGN, **{**about, "final_text": "Hello world"}).channel == 5
    assert settled(FOREIGN, **{**about, "final_text": "Hello their words world"}).channel == 2
    assert settled(FOREIGN, **{**about, "chunk": ""}).channel == 2


def test_what_is_already_named_stays():
    cross_thread = replace(FOREIGN, channel=16, scope="cross_thread")
    assert settled(cross_thread, **{**NOTHING, "equal_prompt": True, "nonce_back": False}) == cross_thread


def test_18_has_its_opportunity_shortly_after_somebody_else_gave_up():
    exposures = House().exposures
    exposures.abandon(B, 2, 10_000_000_000)
    ask = dict(before_ns=12_000_000_000, after_ns=13_000_000_000)
    assert exposures.abandoned_by_others(A, **ask)
    assert not exposures.abandoned_by_others(B, **ask), "one's own"
    assert not exposures.abandoned_by_others(A, before_ns=60_000_000_000, after_ns=61_000_000_000), "long ago"
    assert exposures.abandoned_by_others(A, before_ns=9_000_000_000, after_ns=11_000_000_000), "while it went on"


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_kind_is_observed_by_channels_that_exist():
    assert set(CONTENT_CHANNEL_OF) == set(OBSERVED_BY) == set(Kind)
    assert {channel for channels in OBSERVED_BY.values() for channel in channels} <= CHANNELS.keys()
    assert list(CHANNELS) == list(range(1, 23))
    assert isinstance(Event(Kind.OTHER).kind, Kind)
