"""What the health of a target is held against: what goes on, and what it says of its parts."""

from __future__ import annotations

from typing import Any

import pytest

from crosstalk.http import Answer
from crosstalk.journeys.parts import Parts
from crosstalk.live_run import LiveRun
from crosstalk.wire.dialect import Call, Dialect
from crosstalk.wire.netra import Netra
from tests.test_journey import Desk, begin
from tests.test_live_run import OK, run_of

WELL = {"status": "healthy", "parts": {"database": "healthy", "cache": "healthy"}}
WITHOUT_CACHE = {"status": "degraded", "parts": {"database": "healthy", "cache": "degraded"}}


class Silent(Netra):
    """Nobody says what goes on."""

    def occasions(self) -> Call | None:  # type: ignore[override]
        return None


def looked(
    now: list[str] | None, health: dict[str, Any], *, status: int = 200, then: list[str] | None = None,
    dialect: Dialect | None = None,
) -> list[tuple[str, str]]:  # fmt: skip
    """The steps of one look. `then`: what goes on when health has answered, if it is something else."""
    going_on = [now, now if then is None else then]

    def call(wanted: Call) -> Answer:
        if wanted.path == "/health":
            return Answer(status, health, {}, "", 1.0, 0)
        return Answer(200, {"now": going_on.pop(0)}, {}, "", 1.0, 0)

    def ask() -> LiveRun:
        run = run_of(*OK)
        run.outcome = "ok"
        return run

    desk = Desk()
    with begin(desk, family="recovery") as journey:
        Parts(dialect or Netra(), call, ask).look(journey)
    return [told for told in desk.told() if told[0]]


def test_a_target_that_goes_through_nothing_is_healthy() -> None:
    assert looked([], WELL) == [("healthy", "ok")]
    assert looked(["dependency_down"], WELL) == [("healthy", "ok")]
    assert looked([], WITHOUT_CACHE) == [("healthy", "failed")]
    assert looked([], WELL, status=503) == [("healthy", "failed")]


def test_one_without_its_cache_is_degraded_and_there() -> None:
    assert looked(["cache_down"], WITHOUT_CACHE) == [("degraded", "ok"), ("turn while degraded", "ok")]


@pytest.mark.parametrize(
    ("health", "status"),
    [
        (WELL, 200),  # it says nothing of it
        (WITHOUT_CACHE, 503),  # an outage, for a cache
        ({**WITHOUT_CACHE, "status": "healthy"}, 200),
        ({"status": "degraded", "parts": {"database": "degraded", "cache": "healthy"}}, 200),  # another part
    ],
)
def test_anything_else_is_told(health: dict[str, Any], status: int) -> None:
    assert looked(["cache_down"], health, status=status)[0] == ("degraded", "failed")


def test_between_two_states_nothing_is_held_against_it() -> None:
    assert looked([], WITHOUT_CACHE, then=["cache_down"]) == []
    assert looked(["cache_down"], WELL, then=[]) == []
    assert looked(["restart"], {}, status=503) == []
    assert looked([], {}, status=0) == []


def test_where_nobody_says_what_goes_on_the_targets_own_word_counts() -> None:
    assert looked([], WELL, dialect=Silent()) == [("healthy", "ok")]
    assert looked([], WITHOUT_CACHE, dialect=Silent())[0] == ("degraded", "ok")
    assert looked([], WITHOUT_CACHE, status=503, dialect=Silent())[0] == ("degraded", "failed")
