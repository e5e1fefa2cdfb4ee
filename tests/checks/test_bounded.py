"""What a process remembers of runs that are over is bounded, in number or in age: hours change nothing."""

from __future__ import annotations

from crosstalk.checks.exposure import RUNS_KEPT_S, RUNS_MAX, Exposures
from crosstalk.checks.isolation import IDS_KNOWN, RUNS_KNOWN
from tests.helpers import House

SECOND_NS = 1_000_000_000


def test_runs_of_long_ago_are_forgotten() -> None:
    exposures = Exposures()
    for second in range(2000):
        exposures.plant(7, second, f"run-{second}", second * SECOND_NS)
    assert len(exposures.planted) == int(RUNS_KEPT_S) + 1
    assert (7, 1999) in exposures.planted and (7, 1999 - int(RUNS_KEPT_S) - 1) not in exposures.planted


def test_many_runs_at_once_are_bounded_too() -> None:
    exposures = Exposures()
    for ordinal in range(RUNS_MAX + 100):
        exposures.plant(7, ordinal, "", 0)
    assert len(exposures.planted) == RUNS_MAX


def test_an_observer_keeps_what_it_needs_of_its_own_runs() -> None:
    """Of runs that it has forgotten, the order of ordinals still tells the thread at hand."""
    observer = House().observer(17)
    observer.thread_begun(1)
    for ordinal in range(2, RUNS_KNOWN * 3):
        observer.run_started(ordinal, 1)
        observer.run_over(ordinal)
    assert len(observer._threads) == RUNS_KNOWN
    from crosstalk.checks.isolation import RunPlace

    place = RunPlace("run", RUNS_KNOWN * 3 - 1, 1, False)
    assert observer._thread_of(5, place) == 1
    assert observer._thread_of(RUNS_KNOWN * 3 - 2, place) == 1


def test_ids_that_were_sent_are_bounded_and_the_newest_are_known() -> None:
    observer = House().observer(17)
    for number in range(IDS_KNOWN * 2):
        observer.sends(f"thread-{number:08}")
        observer.sends("thread-that-is-sent-again-and-again")
    assert len(observer._sent) == IDS_KNOWN
    assert f"thread-{IDS_KNOWN * 2 - 1:08}" in observer._sent
