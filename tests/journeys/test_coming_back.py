"""Coming back after a loss: what counts as an answer at the door, and how long one waits before knocking again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.connection import OpenTimes
from crosstalk.journeys.coming_back import come_back, is_announced, loss_of
from crosstalk.notes import Closing, Progress
from crosstalk.pacing import BACKOFF_S, pause_s
from crosstalk.session import NotReady
from tests.test_journey import Desk, begin


@given(st.integers(0, 20), st.integers())
def test_pauses_grow_and_are_never_those_of_others(attempt: int, seed: int) -> None:
    rng = random.Random(seed)
    pauses = [pause_s(attempt, rng) for _ in range(20)]
    least = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
    assert all(least <= pause <= 1.5 * least for pause in pauses)
    assert len(set(pauses)) > 1
    assert attempt == 0 or attempt >= len(BACKOFF_S) or min(pauses) > BACKOFF_S[attempt - 1]


@dataclass
class Ended:
    """As much of a session as is asked for its end."""

    closing: Closing
    is_ready: bool = False
    name: str = "w1-k3f00017-c2"
    way_up: Any = field(default_factory=lambda: (OpenTimes(0), Progress(ready_ns=9_000_000)))

    @property
    def heard(self) -> tuple[int, Closing]:
        return 3, self.closing


@pytest.mark.parametrize(
    ("closing", "loss", "announced"),
    [
        (Closing(1012, "restart", "peer", 5), (1012, 5), True),
        (Closing(1013, "later", "peer", 5), (1013, 5), True),
        (Closing(1011, "broken", "peer", 5), (1011, 5), False),
        (Closing(None, "", "transport", 5), (1006, 5), False),
        (Closing(1000, "", "us", 5), (0, 0), False),
        (Closing(), (0, 0), False),
    ],
)
def test_a_loss_is_an_end_that_was_not_ours(closing: Closing, loss: tuple[int, int], announced: bool) -> None:
    session: Any = Ended(closing)
    assert loss_of(session) == loss
    assert is_announced(loss[0]) == announced
    session.is_ready = True
    assert loss_of(session) == (0, 0)


def back(*turned: NotReady, raises: NotReady | None = None) -> Desk:
    """The rows of a way back on which these attempts failed first."""
    desk = Desk()

    def connect(_within_s: float, turned_away: list[NotReady]) -> Any:
        turned_away.extend(turned)
        if raises is not None:
            raise raises
        return Ended(Closing(), is_ready=True)

    with begin(desk, family="recovery") as journey:
        found = come_back(journey, "back after 1013", 4_000_000, connect)
        assert (found is None) == (raises is not None)
    return desk


def test_the_gap_is_from_the_loss_until_ready() -> None:
    [step, _] = back().rows
    assert (step["outcome"], step["time_ns"], step["connection"]) == ("ok", 5_000_000, "w1-k3f00017-c2")


def test_who_is_told_to_come_later_or_meets_a_closed_door_is_answered() -> None:
    told = (NotReady("ready", "close 1013", said=1013), NotReady("upgrade", "HTTP 503", said=503),
            NotReady("connect", "nobody answers"))  # fmt: skip
    assert back(*told).rows[0]["outcome"] == "ok"


def test_who_is_kept_waiting_without_a_word_is_not() -> None:
    [step, _] = back(NotReady("ready", "nothing within 5 s")).rows
    assert (step["outcome"], step["came"]) == ("failed", "nothing within 5 s")


def test_nobody_is_let_in() -> None:
    desk = back(raises=NotReady("connect", "nobody answers"))
    assert desk.told() == [("back after 1013", "failed"), ("", "failed")]
