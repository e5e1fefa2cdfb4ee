"""Resumed sessions, swapped tokens and two sockets of one user: events in, a violation (or none) out."""

from __future__ import annotations

import pytest

from crosstalk.checks.probing import Victim
from crosstalk.checks.sockets import fan_out, kept_subscription, resumed
from crosstalk.wire.dialect import Belongings
from crosstalk.wire.event import Event, Kind

OWNER = Victim("her", Belongings(run_id="r-her", connection_id="main_1"), frozenset({b"private"}))


@pytest.mark.parametrize("channel", [8, 9])
def test_a_refused_offer_brings_nothing(channel: int) -> None:
    refused = [(Event(Kind.REFUSED, code="NOT_FOUND"), b'{"type":"error"}')]
    assert resumed(refused, channel=channel, owner=OWNER, own_ids={"mine"}) is None
    assert resumed([], channel=channel, owner=OWNER, own_ids={"mine"}) is None


def test_ones_own_events_are_no_violation() -> None:
    assert resumed([(Event(Kind.CHUNK, run_id="mine"), b"{}")], channel=9, owner=OWNER, own_ids={"mine"}) is None


@pytest.mark.parametrize("channel", [8, 9])
def test_events_of_another_are_one(channel: int) -> None:
    came = [(Event(Kind.CHUNK, run_id="r-her"), b"{}"), (Event(Kind.COMPLETED, run_id="r-her"), b"{}")]
    found = resumed(came, channel=channel, owner=OWNER, own_ids={"mine"})
    assert found is not None
    assert (found.name, found.channel, found.owner, found.owner_run) == (
        "foreign_session_resumed", channel, "her", "r-her",
    )  # fmt: skip


def test_events_of_nobody_known_are_shown_and_hold_nothing_against_the_owner() -> None:
    """They may have come by themselves: of another load test with the same account, for one."""
    came = [(Event(Kind.CHUNK, run_id="r-nobodys"), b'{"run_id":"r-nobodys"}')]
    found = resumed(came, channel=9, owner=OWNER, own_ids={"mine"})
    assert found is not None and (found.scope, found.owner) == ("unverified", "")
    named = resumed(came, channel=9, owner=OWNER, own_ids={"mine"}, their_ids={"r-nobodys"})
    assert named is not None and (named.scope, named.owner) == ("cross_user", "her")


def test_an_event_that_shows_an_id_of_the_owners_anywhere_is_the_owners() -> None:
    came = [(Event(Kind.CHUNK, run_id="r-new"), b'{"connection":"main_1"}')]
    found = resumed(came, channel=8, owner=OWNER, own_ids={"mine"})
    assert found is not None and (found.scope, found.owner) == ("cross_user", "her")


def test_a_refusal_with_anothers_words_is_one() -> None:
    assert resumed([(Event(Kind.REFUSED), b'{"last":"private"}')], channel=8, owner=OWNER, own_ids=())


def test_a_subscription_that_outlives_the_swap() -> None:
    events = [Event(Kind.ACK), Event(Kind.CHUNK, run_id="r-her"), Event(Kind.CHUNK, run_id="r-other")]
    found = kept_subscription(events, of="her", now="him", run_id="r-her")
    assert found is not None and (found.channel, found.owner, found.owner_run) == (12, "her", "r-her")
    assert found.came.startswith("1 events")
    assert kept_subscription(events[:1], of="her", now="him", run_id="r-her") is None


RUN = [
    Event(Kind.STARTED, run_id="r"),
    Event(Kind.CHUNK, run_id="r", text="a", index=0),
    Event(Kind.CHUNK, run_id="r", text="b", index=1),
    Event(Kind.COMPLETED, run_id="r", text="ab"),
]


def broken(second: list[Event], *, policy: bool = True) -> bool:
    return fan_out(RUN, second, policy=policy, run_id="r", subject="me") is not None


def test_fan_out_is_the_same_events_in_the_same_order() -> None:
    assert not broken(RUN)
    assert not broken([Event(Kind.HEARTBEAT), Event(Kind.CHUNK, run_id="other"), *RUN])


@pytest.mark.parametrize(
    "second",
    [
        [],
        RUN[:-1],
        [RUN[0], *RUN[2:]],
        [RUN[0], RUN[2], RUN[1], RUN[3]],
        [RUN[0], Event(Kind.CHUNK, run_id="r", text="x", index=0), *RUN[2:]],
        [*RUN, RUN[3]],
    ],
)
def test_less_more_other_words_and_another_order_break_it(second: list[Event]) -> None:
    assert broken(second)


def test_without_fan_out_the_second_socket_hears_nothing() -> None:
    assert not broken([Event(Kind.HEARTBEAT)], policy=False)
    assert broken(RUN[:1], policy=False)
