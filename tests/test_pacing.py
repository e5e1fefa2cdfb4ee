"""The door at which people come: whoever finds a free seat is admitted, whoever does not is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from crosstalk.arrivals import Pace
from crosstalk.clock import clock
from crosstalk.pacing import Lobby, Pacing

FAST = 200.0  # people per second and seat


@pytest.fixture
def pacing() -> Iterator[Pacing]:
    made = Pacing("sessions", turn_interval_s=0, session_rate=FAST, users=1, seed=7, worker="w0")
    made.ramp_over()
    yield made
    made.close()


def door(pacing: Pacing) -> Lobby:
    assert pacing.lobby is not None
    return pacing.lobby


def wait_until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(10):
        while not true():
            gevent.sleep(0.002)  # bounded: by the timeout around it; there is no event to wait for


def test_whoever_finds_a_free_seat_is_admitted(pacing: Pacing):
    seat = door(pacing).add_seat()
    began_ns = clock.now_ns()
    with gevent.Timeout(10):
        came_ns = door(pacing).wait()
    assert began_ns < came_ns <= clock.now_ns()
    assert pacing.attendance.made == 1
    door(pacing).remove_seat(seat)


def test_whoever_finds_none_is_counted_and_gone(pacing: Pacing):
    door(pacing).add_seat()
    wait_until(lambda: pacing.attendance.offered >= 5)
    assert pacing.attendance.made == 0
    before = pacing.attendance.offered
    with gevent.Timeout(10):
        came_ns = door(pacing).wait()  # those from before are not queued: somebody new comes
    assert pacing.attendance.made == 1 and pacing.attendance.offered > before
    assert clock.now_ns() - came_ns < 1e9


def test_a_user_that_is_stopped_while_it_waits_admits_nobody(pacing: Pacing):
    lobby = door(pacing)
    waiting = gevent.spawn(lobby.wait)
    gevent.idle()
    waiting.kill()
    lobby.add_seat()
    wait_until(lambda: pacing.attendance.offered >= 3)
    assert pacing.attendance.made == 0


def test_nobody_comes_for_a_seat_that_is_gone_and_the_window_ends_there(pacing: Pacing):
    lobby = door(pacing)
    seat = lobby.add_seat()
    wait_until(lambda: pacing.attendance.offered >= 1)
    lobby.remove_seat(seat)
    offered, at_ns = pacing.attendance.offered, clock.now_ns()
    gevent.sleep(0.1)  # bounded: twenty people would have come
    assert pacing.attendance.offered == offered
    assert pacing.attendance.until_ns <= at_ns
    assert pacing.close()["offered"] == offered


def test_two_seats_and_two_workers_have_people_of_their_own():
    def instants(worker: str, seats: int) -> list[int]:
        made = Pacing("sessions", turn_interval_s=0, session_rate=1.0, users=4, seed=7, worker=worker)
        for _ in range(seats):
            door(made).add_seat()
        callers, began_ns = door(made)._callers, clock.now_ns()
        made.close()
        return [at_ns - began_ns for at_ns in callers.take(began_ns + 100 * 10**9)]

    one, other, both = instants("w0", 1), instants("w1", 1), instants("w0", 2)
    assert len({round(at / 1e8) for at in one} & {round(at / 1e8) for at in other}) < len(one) / 2
    assert len(both) > 1.3 * len(one) and 10 <= len(one) <= 50  # 25 expected of each seat


@pytest.mark.parametrize("process", ["think", "sessions"])
def test_only_constant_and_poisson_give_a_pace(process: str):
    made = Pacing(process, turn_interval_s=0, session_rate=1.0, users=1, seed=7, worker="w0")
    assert made.pace(1) is None
    assert (made.lobby is not None) == (process == "sessions")
    made.close()


@pytest.mark.parametrize("process", ["constant", "poisson"])
def test_a_pace_begins_now(process: str):
    made = Pacing(process, turn_interval_s=2.0, session_rate=0, users=1, seed=7, worker="w0")
    before_ns = clock.now_ns()
    pace = made.pace(1)
    assert isinstance(pace, Pace) and pace.due_ns > before_ns
    assert process == "poisson" or pace.due_ns <= clock.now_ns() + 2 * 10**9
    assert made.lobby is None and made.close()["offered"] == 0
