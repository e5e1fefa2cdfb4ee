"""A journey leaves a row a step and one for the whole; what does not hold is data, what we cut short nobody's fault."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from gevent.event import Event as Flag

from crosstalk.checks.families import FAMILIES
from crosstalk.http import Answer
from crosstalk.journey import WORDS_MAX, families_played, journey
from crosstalk.person import Person
from crosstalk.record.rows import COLUMNS
from crosstalk.session import NotReady
from tests.helpers import House, user_name
from tests.test_live_run import OK, run_of

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrM2YwMDAxNyJ9.c2lnbmF0dXJl"


@dataclass
class Desk:
    """Where journeys write, and what tells them that the load test ends."""

    worker: str = "w1"
    stopping: Flag = field(default_factory=Flag)
    rows: list[dict[str, Any]] = field(default_factory=list)
    milestones: list[tuple[str, str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def record(self, table: str, row: tuple[Any, ...]) -> None:
        assert table == "steps"
        self.rows.append(dict(zip(COLUMNS[table], row, strict=True)))

    def milestone(self, kind: str, name: str, time_ms: float | None, size_bytes: int, error: str) -> None:
        self.milestones.append((kind, name, error))

    def keep(self, run_id: str) -> None:
        self.kept.append(run_id)

    def told(self) -> list[tuple[str, str]]:
        """(step, outcome) of each row."""
        return [(row["step"], row["outcome"]) for row in self.rows]


def someone(number: int = 17) -> Person:
    house = House()
    return Person(user_name(number), number, "Signer", house.observer(number), house.keyring, random.Random(number))


def answer(status: int) -> Answer:
    return Answer(status, None, {}, "", 1.0, 0)


def begin(desk: Desk, *, family: str = "sign_in", person: Person | None = None) -> Any:
    return journey(desk, person or someone(), family)  # type: ignore[arg-type]


def test_a_journey_that_holds_has_a_row_a_step_and_one_for_the_whole() -> None:
    desk = Desk()
    with begin(desk) as under_way:
        with under_way.step("login") as step:
            assert step.answered(answer(200), 200).status == 200
        with under_way.step("logout"):
            pass
    assert desk.told() == [("login", "ok"), ("logout", "ok"), ("", "ok")]
    whole = desk.rows[-1]
    assert {row["journey"] for row in desk.rows} == {f"w1-{user_name(17)}-j1"}
    assert (whole["family"], whole["account"], whole["user_class"]) == ("sign_in", user_name(17), "Signer")
    assert whole["begun_ns"] <= desk.rows[0]["begun_ns"] and whole["time_ns"] >= desk.rows[1]["time_ns"] >= 0
    assert desk.milestones == [("STEP", "sign_in/login", ""), ("STEP", "sign_in/logout", "")]


def test_each_journey_of_a_person_has_a_name_of_its_own() -> None:
    desk, person = Desk(), someone()
    for _ in range(2):
        with begin(desk, person=person) as under_way, under_way.step("login"):
            pass
    assert [row["journey"] for row in desk.rows if not row["step"]] == [f"w1-{user_name(17)}-j{n}" for n in (1, 2)]


def test_what_does_not_hold_ends_the_journey_and_is_written_down_with_both_sides() -> None:
    desk = Desk()
    with begin(desk) as under_way:
        with under_way.step("login") as step:
            step.answered(answer(503), 200, 201)
        raise AssertionError("the journey went on")
    assert desk.told() == [("login", "failed"), ("", "failed")]
    assert (desk.rows[0]["expected"], desk.rows[0]["came"]) == ("HTTP 200 or 201", "HTTP 503")
    assert desk.milestones == [("STEP", "sign_in/login", "expected HTTP 200 or 201, came HTTP 503")]


@pytest.mark.parametrize("stops", [False, True])
def test_go_on_goes_on_unless_the_load_test_ends(stops: bool) -> None:
    desk, reached = Desk(), []
    if stops:
        desk.stopping.set()
    with begin(desk) as under_way:
        with under_way.step("one", go_on=True) as step:
            step.expect(False, "x", "y")
        reached.append("two")
        with under_way.step("two"):
            pass
    assert reached == ([] if stops else ["two"])
    assert desk.told() == (
        [("one", "cut"), ("", "cut")] if stops else [("one", "failed"), ("two", "ok"), ("", "failed")]
    )


def test_what_was_cut_short_by_us_is_no_failure_and_no_milestone() -> None:
    desk = Desk()
    desk.stopping.set()
    with begin(desk) as under_way, under_way.step("login") as step:
        step.answered(answer(503), 200)
    assert desk.told() == [("login", "cut"), ("", "cut")]
    assert desk.milestones == []


def test_what_was_over_before_it_could_be_tried_is_no_attempt() -> None:
    desk = Desk()
    with begin(desk) as under_way:
        with under_way.step("stop") as step:
            step.miss("a run that had ended by itself")
        with under_way.step("status"):
            pass
    assert desk.told() == [("stop", "cut"), ("status", "ok"), ("", "cut")]
    assert desk.rows[0]["came"] == "a run that had ended by itself"
    assert [name for _, name, _ in desk.milestones] == ["sign_in/status"]


def test_a_mistake_of_ours_is_cut_and_comes_out() -> None:
    desk = Desk()
    with pytest.raises(ZeroDivisionError), begin(desk) as under_way, under_way.step("login"):
        1 / 0  # noqa: B018
    assert desk.told() == [("login", "cut"), ("", "cut")]


def test_a_connection_that_does_not_become_ready_fails_its_step() -> None:
    desk = Desk()
    with begin(desk) as under_way, under_way.step("connect"):
        raise NotReady("upgrade", "HTTP 503 instead of 101")
    [step, _] = desk.rows
    assert (step["outcome"], step["expected"]) == ("failed", "a connection that is ready")
    assert "HTTP 503" in step["came"]


def test_what_is_not_offered_is_no_attempt() -> None:
    desk = Desk()
    with begin(desk) as under_way:
        under_way.not_offered("oauth", "this protocol has no OAuth")
    assert desk.told() == [("oauth", "not_offered")]
    assert desk.rows[0]["expected"] == "this protocol has no OAuth"
    with begin(desk) as under_way:
        under_way.not_offered("oauth", "none")
        with under_way.step("login"):
            pass
    assert desk.told()[-1] == ("", "ok")
    with begin(desk):
        pass
    assert len(desk.rows) == 4  # nothing was tried: no row


def test_a_run_must_end_well_and_its_frames_are_kept_where_it_does_not() -> None:
    desk, run = Desk(), run_of(*OK)
    run.outcome = "agent_error"
    run.signature = "end: agent error BOOM"
    with begin(desk) as under_way, under_way.step("ask") as step:
        step.well(run)
    [row, _] = desk.rows
    assert (row["run"], row["trace_id"]) == (run.run_id, run.trace_id)
    assert row["came"] == "agent_error: end: agent error BOOM"
    assert desk.kept == [run.run_id]
    with begin(desk) as under_way, under_way.step("ask") as step:
        step.well(None)
    assert desk.rows[-2]["came"].startswith("none")


def test_a_good_run_is_named_and_nothing_is_kept_for_it() -> None:
    desk, run = Desk(), run_of(*OK)
    run.outcome = "ok"
    with begin(desk) as under_way, under_way.step("ask") as step:
        assert step.well(run) is run
    assert desk.told() == [("ask", "ok"), ("", "ok")]
    assert desk.rows[0]["run"] == run.run_id and desk.kept == []


def test_a_step_may_say_how_long_it_took() -> None:
    desk = Desk()
    with begin(desk) as under_way, under_way.step("gap") as step:
        step.time_ns = 12_345
    assert desk.rows[0]["time_ns"] == 12_345


def test_words_hold_no_secret_and_are_bounded() -> None:
    desk = Desk()
    with begin(desk) as under_way, under_way.step("login") as step:
        step.expect(False, "no " + TOKEN, "x" * 10 * WORDS_MAX)
    assert TOKEN not in desk.rows[0]["expected"]
    assert len(desk.rows[0]["came"]) == WORDS_MAX


def test_a_family_that_nobody_knows_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="signin"), begin(Desk(), family="signin"):
        pass


def test_families_played_are_told_once_in_their_order() -> None:
    class Nobody:
        family = ""

    class Reader:
        family = "streaming"

    class Signer:
        family = "sign_in"

    class Again(Signer):
        pass

    assert families_played([Reader, Again, Nobody, Signer, object]) == ("sign_in", "streaming")
    assert list(FAMILIES).index("sign_in") < list(FAMILIES).index("streaming")
