"""The garbage collector while there are many users: what stays is looked at once, and all is as before at the end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from crosstalk.garbage import THRESHOLDS, Garbage


class Circle:
    """Only a collection can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    before = gc.get_threshold(), list(gc.callbacks)
    garbage = Garbage()
    garbage.begin()
    yield garbage
    garbage.end()
    assert (gc.get_threshold(), list(gc.callbacks), gc.get_freeze_count()) == (*before, 0)


def gone(circle: weakref.ref[Circle]) -> bool:
    gc.collect()
    return circle() is None


def test_what_survives_the_ramp_is_set_aside(garbage):
    stays = Circle()
    assert gc.get_threshold() == THRESHOLDS
    gc.collect()
    assert gc.get_freeze_count() > 0
    assert not any(one is stays for one in gc.get_objects())  # that is, no collection looks at it any more
    comes = Circle()
    garbage.ramp_over()
    assert not any(one is comes for one in gc.get_objects())


def test_what_was_dropped_before_it_was_set_aside_is_freed(garbage):
    circle = weakref.ref(Circle())
    garbage.ramp_over()
    assert circle() is None


def test_what_comes_after_the_ramp_is_freed(garbage):
    garbage.ramp_over()
    circle = weakref.ref(Circle())
    assert gone(circle)
    frozen = gc.get_freeze_count()
    stays = Circle()
    gc.collect()
    assert gc.get_freeze_count() <= frozen
    assert stays.itself is stays


def test_a_circle_that_was_set_aside_waits_until_the_end(garbage):
    circle = Circle()
    dropped = weakref.ref(circle)
    garbage.ramp_over()
    del circle
    assert not gone(dropped)
    garbage.end()
    assert gone(dropped)


def test_begin_and_end_may_be_called_twice(garbage):
    garbage.begin()
    assert gc.get_threshold() == THRESHOLDS
    garbage.end()
    garbage.end()
