"""What users leave behind is deleted a few at a time, whoever waits; what cannot be deleted in time is counted."""

from __future__ import annotations

from functools import partial

import gevent
from gevent.event import Event as Flag

from crosstalk.leftovers import CLEANERS_MAX, Leftovers


class Target:
    """Counts deletions, and how many are made at once; they take until it lets them."""

    def __init__(self) -> None:
        self.deleted: list[int] = []
        self.at_once = self.at_once_max = 0
        self.may_answer = Flag()
        self.failing: set[int] = set()

    def delete(self, number: int) -> None:
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        self.may_answer.wait()
        self.at_once -= 1
        if number in self.failing:
            raise ValueError("a mistake of ours must not keep the others from being deleted")
        self.deleted.append(number)


def handed_over(target: Target, count: int) -> Leftovers:
    leftovers = Leftovers()
    for number in range(count):
        leftovers.add(partial(target.delete, number))
    gevent.idle()
    return leftovers


def test_all_are_deleted_and_never_too_many_at_once():
    target = Target()
    leftovers = handed_over(target, 13)
    assert target.deleted == []  # nobody waited
    more = handed_over(target, 0)
    target.may_answer.set()
    assert (leftovers.finish(5), more.finish(5)) == (0, 0)
    assert target.deleted == list(range(13))
    target = Target()
    leftovers = handed_over(target, 10 * CLEANERS_MAX)
    assert target.at_once_max == CLEANERS_MAX
    target.may_answer.set()
    assert leftovers.finish(5) == 0
    assert target.at_once_max == CLEANERS_MAX


def test_an_error_keeps_no_other_from_being_deleted():
    target = Target()
    target.failing = set(range(2 * CLEANERS_MAX))
    leftovers = handed_over(target, 5 * CLEANERS_MAX)
    target.may_answer.set()
    assert leftovers.finish(5) == 2 * CLEANERS_MAX
    assert sorted(target.deleted) == list(range(2 * CLEANERS_MAX, 5 * CLEANERS_MAX))


def test_what_takes_too_long_is_counted():
    target = Target()
    leftovers = handed_over(target, CLEANERS_MAX + 5)
    assert leftovers.finish(0.01) == CLEANERS_MAX + 5
    target.may_answer.set()
    gevent.idle()
    assert target.deleted == []


def test_after_the_end_it_begins_anew():
    target = Target()
    target.may_answer.set()
    leftovers = Leftovers()
    assert leftovers.finish(5) == 0
    leftovers.add(partial(target.delete, 1))
    assert leftovers.finish(5) == 0
    leftovers.add(partial(target.delete, 2))
    assert leftovers.finish(5) == 0
    assert target.deleted == [1, 2]
