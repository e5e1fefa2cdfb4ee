"""What a connection missed: how long it is kept, how much of it, and for whom."""

import pytest

from crosstalk.backend.connections import ENDED_KEPT_MAX, EVENTS_KEPT_MAX, RESUME_S, Connections
from crosstalk.backend.events import Address
from crosstalk.backend.store import Refused

A, B = Address("netra", "a"), Address("netra", "b")


class Link:
    """The socket of a connection, as far as it is asked anything."""

    def __init__(self):
        self.sent, self.closed = [], None

    def send(self, frame):
        self.sent.append(frame)

    def close(self, code, reason=b""):
        self.closed = code


class World:
    def __init__(self, *wanted):
        self.now_s = 1000.0
        self.links = {}
        self.asked = []
        self.all = Connections(
            keeps_all="resume_any_cursor" in wanted,
            bites=lambda name, user, what: self.asked.append(name) or name in wanted,
            clock_s=lambda: self.now_s,
        )

    def open(self, connection_id, address=A):
        self.links[connection_id] = Link()
        self.all.open(connection_id, address.id, address, self.links[connection_id])

    def say(self, *frames, address=A, thread="t"):
        self.all.pass_on(address, thread, [frame.encode() for frame in frames])

    def missed(self, new, old, cursor):
        return [frame.decode() for frame in self.all.missed(new, old, cursor)]


def refused(call, *arguments):
    with pytest.raises(Refused) as refusal:
        call(*arguments)
    return refusal.value.code


def test_an_ended_connection_gathers_what_comes_after_it():
    world = World()
    world.open("old")
    world.say("1", "2")
    world.all.end("old")
    world.say("3")
    world.open("new")
    world.say("4")
    assert world.missed("new", "old", 1) == ["2", "3"]  # it was sent the fourth itself
    assert world.missed("new", "old", 1) == []
    assert world.missed("new", "old", 99) == []


def test_equal_events_are_not_taken_for_one():
    world = World()
    world.open("old")
    world.all.end("old")
    world.say("same")
    world.open("new")
    world.say("same")
    assert world.missed("new", "old", 0) == ["same"]


def test_it_is_forgotten_after_its_time():
    world = World()
    world.open("old")
    world.all.end("old")
    world.open("new")
    world.now_s += RESUME_S
    assert world.missed("new", "old", 0) == []
    world.now_s += 0.001
    assert refused(world.missed, "new", "old", 0) == "NOT_FOUND"
    world.say("1")
    assert refused(world.all.owned, "a", "old", "idor_connection") == "NOT_FOUND"
    assert [one.id for one in world.all.open_ones()] == ["new"]


def test_no_more_is_kept_than_there_is_room_for():
    world = World()
    world.open("old")
    world.say(*map(str, range(EVENTS_KEPT_MAX + 2)))
    world.all.end("old")
    world.open("new")
    assert refused(world.missed, "new", "old", 1) == "CURSOR_TOO_OLD"
    assert len(world.missed("new", "old", 2)) == EVENTS_KEPT_MAX


def test_a_reconnect_storm_leaves_the_newest():
    world = World()
    names = [f"c{number}" for number in range(ENDED_KEPT_MAX + 3)]
    for name in names:
        world.open(name)
        world.all.end(name)
    known = [name for name in names if refused_or_none(world, name) is None]
    assert known == names[-ENDED_KEPT_MAX:]


def refused_or_none(world, name):
    try:
        world.all.owned("a", name, "idor_connection")
    except Refused as refusal:
        return refusal.code
    return None


def test_another_users_is_refused_and_stays_open():
    world = World()
    world.open("theirs", B)
    world.open("mine")
    world.say("secret", address=B)
    assert refused(world.missed, "mine", "theirs", 0) == "FORBIDDEN"
    assert refused(world.missed, "mine", "never", 0) == "NOT_FOUND"
    assert world.links["theirs"].closed is None
    assert world.asked == ["recycled_session"]


def test_an_open_one_of_ones_own_is_closed_for_it():
    world = World()
    world.open("old")
    world.open("new")
    world.say("1")
    assert world.missed("new", "old", 0) == []
    assert world.links["old"].closed == 1001
    assert world.missed("new", "new", 0) == []
    assert world.links["new"].closed is None


def test_a_recycled_session_gives_what_its_owner_missed():
    world = World("recycled_session")
    world.open("theirs", B)
    world.open("mine")
    world.say("secret", address=B)
    assert world.missed("mine", "theirs", 0) == ["secret"]
    assert world.links["theirs"].closed is None


def test_by_the_cursor_alone_everybodys_events_come():
    world = World("resume_any_cursor")
    world.open("mine")
    world.say("1")
    world.say("2", address=B)
    world.say("3", address=B)
    assert world.missed("mine", "never", 1) == ["2", "3"]
    alone = World("resume_any_cursor")
    alone.open("mine")
    alone.say("1")
    assert refused(alone.missed, "mine", "never", 0) == "NOT_FOUND"  # there is nothing of anybody else


def test_whoever_follows_a_thread_hears_it_once_and_no_longer_than_it_lives():
    world = World()
    world.open("mine")
    world.open("theirs", B)
    world.open("of_a_thread", Address("agui", "t"))
    for key in ("t", "t", A):
        world.all.follow("theirs", key)
    for name in ("mine", "of_a_thread"):
        world.all.follow(name, "t")
    world.say("1")
    assert {name: link.sent for name, link in world.links.items()} == {"mine": [], "theirs": [b"1"], "of_a_thread": []}
    world.say("2", thread="another")
    world.all.end("theirs")
    world.say("3")
    assert world.links["theirs"].sent == [b"1", b"2"]


def test_one_that_became_anothers_is_found_under_its_new_user():
    world = World()
    world.open("mine")
    world.all.move("mine", "b", B)
    world.say("1", address=B)
    world.say("2")
    assert [(one.id, one.count) for one in world.all.open_ones("b")] == [("mine", 1)]
    assert world.all.open_ones("a") == []
    world.all.end("mine")
    assert refused(world.all.owned, "a", "mine", "idor_connection") == "FORBIDDEN"
