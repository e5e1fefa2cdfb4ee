"""What a process holds of ended runs: the newest, within a number of bytes; what is watched is never forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.live_run import LiveRun
from crosstalk.shelf import FRAME_BYTES, RUN_BYTES, Shelf
from crosstalk.wire.event import Kind
from tests.test_live_run import OK, run_of

BODY = b"x" * 1000
SIZE = RUN_BYTES + len(BODY) + FRAME_BYTES


def ended_run() -> LiveRun:
    run = run_of(*OK)
    run.keep_frame("in", Kind.COMPLETED, arrived_ns=1, received_ns=2, body=BODY)
    return run


class People:
    """Who let go of which runs, and whether they may."""

    def __init__(self) -> None:
        self.gone: list[LiveRun] = []
        self.watched: list[LiveRun] = []

    def let_go(self, run: LiveRun) -> bool:
        if any(one is run for one in self.watched):
            return False
        self.gone.append(run)
        return True


def test_what_fits_stays_as_it_is():
    shelf, people, runs = Shelf(bytes_max=2 * SIZE), People(), [ended_run(), ended_run()]
    for run in runs:
        shelf.put(run, people.let_go)
    assert [len(run.frames) for run in runs] == [1, 1]
    assert people.gone == []
    assert shelf.size_bytes == 2 * SIZE


def test_the_oldest_goes_when_there_is_too_much():
    shelf, people, runs = Shelf(bytes_max=2 * SIZE), People(), [ended_run() for _ in range(3)]
    for run in runs:
        shelf.put(run, people.let_go)
    assert [len(run.frames) for run in runs] == [0, 1, 1]
    assert [run is runs[0] for run in people.gone] == [True]


def test_a_watched_run_loses_its_frames_at_once_and_goes_later():
    shelf, people, runs = Shelf(bytes_max=SIZE), People(), [ended_run() for _ in range(4)]
    people.watched = runs[:2]
    for run in runs[:3]:
        shelf.put(run, people.let_go)
    assert [len(run.frames) for run in runs[:3]] == [0, 0, 1]
    assert people.gone == []
    people.watched = []
    shelf.put(runs[3], people.let_go)
    assert len(people.gone) == 3


def test_what_was_forgotten_elsewhere_makes_room():
    shelf, people, runs = Shelf(bytes_max=SIZE), People(), [ended_run(), ended_run()]
    shelf.put(runs[0], people.let_go)
    shelf.remove(runs[0])
    shelf.remove(runs[0])
    assert shelf.size_bytes == 0
    shelf.put(runs[1], people.let_go)
    assert len(runs[1].frames) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=60))
def test_what_is_held_never_exceeds_its_bound(steps: list[tuple[bool, int]]):
    shelf, people, held = Shelf(bytes_max=5 * SIZE), People(), []
    for put, which in steps:
        if put:
            held.append(ended_run())
            shelf.put(held[-1], people.let_go)
        elif held:
            shelf.remove(held.pop(which % len(held)))
        assert 0 <= shelf.size_bytes <= 5 * SIZE
    with_frames = [run for run in held if run.frames]
    assert shelf.size_bytes == len(with_frames) * SIZE
    assert with_frames == held[len(held) - len(with_frames) :]  # the newest
