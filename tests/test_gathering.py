"""A gathering releases enough users at once, and keeps nobody for ever."""

from __future__ import annotations

import gevent

from crosstalk.clock import clock
from crosstalk.gathering import Gathering


def test_enough_are_released_together() -> None:
    gathering, left_ns = Gathering(3), []

    def come() -> int:
        together = gathering.wait(10)
        left_ns.append(clock.now_ns())
        return together

    users = [gevent.spawn(come) for _ in range(3)]
    gevent.joinall(users, timeout=5, raise_error=True)
    assert [user.value for user in users] == [3, 3, 3]
    assert max(left_ns) - min(left_ns) < 1_000_000


def test_who_has_waited_too_long_takes_all_others_along() -> None:
    gathering = Gathering(3)
    first, second = gevent.spawn(gathering.wait, 0.01), gevent.spawn(gathering.wait, 10)
    gevent.joinall([first, second], timeout=5, raise_error=True)
    assert (first.value, second.value) == (2, 2)


def test_the_next_ones_gather_anew() -> None:
    gathering = Gathering(2)
    rounds = [[gevent.spawn(gathering.wait, 10) for _ in range(2)] for _ in range(3)]
    gevent.joinall([user for users in rounds for user in users], timeout=5, raise_error=True)
    assert all(user.value == 2 for users in rounds for user in users)


def test_who_is_stopped_while_it_waits_is_not_counted() -> None:
    gathering = Gathering(2)
    gone = gevent.spawn(gathering.wait, 10)
    gevent.idle()
    gone.kill()
    left = gevent.spawn(gathering.wait, 0.01)
    gevent.joinall([left], timeout=5, raise_error=True)
    assert left.value == 1
