"""Arrival processes: same seed, same schedule; the right rate however it is split; and no start is ever lost."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.arrivals import Attendance, Callers, Pace, constant, phase_of, poisson, schedule
from crosstalk.checks.statistics import percentile
from tests.checks.histories import START_NS, run, tally_of

S, MS = 1_000_000_000, 1_000_000
instants = st.integers(START_NS, START_NS + 10**12)
intervals = st.integers(1_000_000, 60 * S)
numbers = st.integers(0, 99_999)


def due(starts: Iterator[int], until_ns: int) -> list[int]:
    found = []
    for at_ns in starts:
        if at_ns > until_ns:
            return found
        found.append(at_ns)
    raise AssertionError("a schedule ended")


# --- schedules ------------------------------------------------------------------------------------------------------


@given(instants, intervals, st.data())
def test_constant_starts_lie_one_interval_apart_on_their_phase(after_ns, interval_ns, data):
    phase_ns = data.draw(st.integers(0, interval_ns - 1))
    starts = list(islice(constant(after_ns=after_ns, interval_ns=interval_ns, phase_ns=phase_ns), 5))
    assert after_ns < starts[0] <= after_ns + interval_ns
    assert {later - earlier for earlier, later in pairwise(starts)} == {interval_ns}
    assert {start % interval_ns for start in starts} == {phase_ns}


@given(instants, intervals, st.integers(0, 100), numbers)
def test_poisson_starts_only_go_forward_and_a_seed_gives_the_same(after_ns, interval_ns, seed, number):
    def make(process):
        return list(islice(schedule(process, number=number, seed=seed, after_ns=after_ns, interval_ns=interval_ns), 20))

    assert make("poisson") == make("poisson") and make("constant") == make("constant")
    starts = make("poisson")
    assert all(isinstance(start, int) for start in starts)
    assert all(earlier < later for earlier, later in pairwise([after_ns, *starts]))


@given(intervals, st.integers(0, 100), st.integers(0, 90_000), st.integers(2, 60))
def test_phases_of_neighbouring_accounts_are_spread_over_the_interval(interval_ns, seed, first, users):
    """No gap is wider than twice and a bit the even one: the three-distance theorem for the golden ratio."""
    phases = sorted(
        phase_of(number, interval_ns=interval_ns, rng=random.Random(f"{seed} phases"))
        for number in range(first, first + users)
    )
    assert all(0 <= phase < interval_ns for phase in phases)
    gaps = [b - a for a, b in pairwise([*phases, phases[0] + interval_ns])]
    assert max(gaps) <= 2.7 * interval_ns / users


def test_another_account_and_another_seed_have_another_schedule():
    for process in ("constant", "poisson"):
        made = {
            (number, seed): next(schedule(process, number=number, seed=seed, after_ns=START_NS, interval_ns=S))
            for number in range(5)
            for seed in range(5)
        }
        assert len(set(made.values())) == 25


def test_poisson_gaps_are_exponential():
    """Mean, and share beyond the mean (e^-1) and beyond three means (e^-3), of 20,000 gaps: five standard errors."""
    starts = list(islice(poisson(after_ns=START_NS, interval_ns=S, rng=random.Random(7)), 20_000))
    gaps = [later - earlier for earlier, later in pairwise([START_NS, *starts])]
    assert sum(gaps) / len(gaps) == pytest.approx(S, rel=5 / math.sqrt(20_000))
    for means in (1, 3):
        share = math.exp(-means)
        error = 5 * math.sqrt(share * (1 - share) / 20_000)
        assert sum(gap > means * S for gap in gaps) / 20_000 == pytest.approx(share, abs=error)


def test_other_processes_have_no_schedule():
    with pytest.raises(ValueError, match="expected one of"):
        schedule("sessions", number=1, seed=1, after_ns=START_NS, interval_ns=S)


@pytest.mark.parametrize("process", ["constant", "poisson"])
def test_the_offered_rate_is_the_same_however_accounts_are_split_over_workers(process):
    """Forty accounts at 2 s for 100 s are 2,000 starts; two workers with any halves of them offer the same ones."""
    until_ns = START_NS + 100 * S

    def of(accounts):
        made = [schedule(process, number=n, seed=7, after_ns=START_NS, interval_ns=2 * S) for n in accounts]
        return sorted(at_ns for starts in made for at_ns in due(starts, until_ns))

    whole = of(range(40))
    assert sorted(of(range(0, 40, 2)) + of(range(1, 40, 2))) == whole
    assert sorted(of(range(13)) + of(range(13, 40))) == whole
    assert len(whole) == (2000 if process == "constant" else pytest.approx(2000, abs=5 * math.sqrt(2000)))


# --- a user's way through its schedule ------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5 * S), max_size=40), st.sampled_from(["constant", "poisson"]), numbers)
def test_no_start_is_skipped_whatever_turns_take(took_ns, process, number):
    """Every start due before the end was made or is owed; each carries its own instant; late ones say so."""

    def starts():
        return schedule(process, number=number, seed=3, after_ns=START_NS, interval_ns=S)

    attendance = Attendance(steady_ns=START_NS)
    pace, now_ns, taken = Pace(starts(), attendance), START_NS, []
    for duration_ns in took_ns:
        came_late = now_ns > pace.due_ns
        waits_ns = pace.wait_ns(now_ns)
        now_ns += waits_ns
        intended_ns, waited = pace.take()
        assert pace.take() is None  # beside the turn that was due, nothing is
        assert waited == came_late and intended_ns <= now_ns and (waited or intended_ns == now_ns)
        taken.append(intended_ns)
        now_ns += duration_ns
    pace.close(now_ns)
    assert taken == list(islice(starts(), len(taken)))
    assert attendance.offered == len(due(starts(), now_ns))
    assert (attendance.made, attendance.until_ns) == (len(taken), now_ns)


def test_a_start_may_be_used_for_something_that_is_no_turn():
    attendance = Attendance(steady_ns=START_NS)
    pace = Pace(constant(after_ns=START_NS, interval_ns=S, phase_ns=0), attendance)
    first_ns = pace.due_ns
    assert pace.wait_ns(START_NS) == first_ns - START_NS
    assert pace.wait_ns(first_ns + S + 5) == 0  # what it did instead took longer than the interval
    assert (attendance.offered, attendance.made) == (1, 1)
    assert pace.take() == (first_ns + S, True)


def test_what_fell_due_before_the_ramp_was_over_is_not_counted():
    attendance = Attendance()
    pace = Pace(constant(after_ns=START_NS, interval_ns=S, phase_ns=0), attendance)
    first_ns = pace.due_ns
    for n in range(4):
        if n == 1:  # taken after the end of the ramp, and due before it
            attendance.begin(first_ns + S + 1)
            attendance.begin(first_ns + 99 * S)  # only the first end of a ramp counts
        pace.wait_ns(pace.due_ns)
        pace.take()
    pace.close(first_ns + 4 * S - 1)
    assert attendance.figures() == {"offered": 2, "made": 2, "window_s": 3 - 2e-9}
    assert Attendance(offered=0).figures()["window_s"] == 0


# --- people ---------------------------------------------------------------------------------------------------------


def people(seats: list[str], *, mean_ns: int = 10 * S, until_ns: int = START_NS + 1000 * S) -> list[int]:
    callers = Callers(mean_ns)
    for seat in seats:
        callers.add(seat, now_ns=START_NS, rng=random.Random(seat))
    return callers.take(until_ns)


def test_people_come_at_the_rate_of_all_seats_in_whatever_process_these_are():
    seats = [f"w{n % 2} {n}" for n in range(20)]
    whole = people(seats)
    assert whole == sorted(whole)
    assert sorted(people(seats[::2]) + people(seats[1::2])) == whole
    assert len(whole) == pytest.approx(2000, abs=5 * math.sqrt(2000))  # 20 seats, one in 10 s each, 1000 s


def test_nobody_comes_for_a_seat_that_is_gone():
    callers = Callers(S)
    assert callers.due_ns is None and callers.take(START_NS + 99 * S) == []
    for seat in ("1", "2"):
        callers.add(seat, now_ns=START_NS, rng=random.Random(seat))
    first_ns = callers.due_ns
    assert callers.take(first_ns - 1) == [] and callers.take(first_ns) == [first_ns]
    callers.remove("1")
    callers.remove("1")
    only_second = list(islice(poisson(after_ns=START_NS, interval_ns=S, rng=random.Random("2")), 3))
    assert [at for at in callers.take(only_second[-1]) if at != first_ns] == [
        at for at in only_second if at != first_ns
    ]


# --- a server that freezes, on a simulated clock --------------------------------------------------------------------

INTERVAL_NS, SERVICE_NS, FREEZE_NS, SPAN_NS = 100 * MS, 1 * MS, 2 * S, 20 * S


FROZEN_NS = START_NS + 10 * S + 50 * MS


def served(sent_ns: int) -> int:
    """The end of a run at a server that takes 1 ms, but for two seconds in which nothing moves."""
    end_ns, thaw_ns = sent_ns + SERVICE_NS, FROZEN_NS + FREEZE_NS
    if end_ns <= FROZEN_NS or sent_ns >= thaw_ns:
        return end_ns
    return thaw_ns + SERVICE_NS


def by_schedule() -> list[dict[str, int]]:
    """Rows of one user's turns: a start every 100 ms for 20 s, whatever the server does."""
    pace = Pace(constant(after_ns=START_NS - 1, interval_ns=INTERVAL_NS, phase_ns=0), Attendance())
    rows, now_ns = [], START_NS
    while pace.due_ns < START_NS + SPAN_NS:
        now_ns += pace.wait_ns(now_ns)
        intended_ns, waited = pace.take()
        end_ns = served(now_ns)
        rows.append(run(len(rows), intended_ns=intended_ns, sent_ns=now_ns, end_ns=end_ns, waited=waited))
        now_ns = end_ns
    return rows


def after_a_pause() -> list[dict[str, int]]:
    """The same 20 s under closed arrivals: each turn 99 ms after the end of the last."""
    rows, now_ns = [], START_NS
    while now_ns < START_NS + SPAN_NS:
        end_ns = served(now_ns)
        rows.append(run(len(rows), intended_ns=now_ns, sent_ns=now_ns, end_ns=end_ns))
        now_ns = end_ns + INTERVAL_NS - SERVICE_NS
    return rows


@pytest.mark.parametrize("quantile", [0.90, 0.92, 0.95, 0.99, 1.0])
def test_a_frozen_server_shows_in_response_time_as_the_formula_says(quantile: float):
    """Of starts spread evenly over 20 s, a tenth falls into the two frozen seconds: those wait from 2 s down to 0.

    The share of turns that wait longer than x is (2 - x) / 20, so the q-quantile is 2 - (1 - q) * 20 seconds, to
    within one interval and the 21 ms that a queue of twenty takes to be served.
    """
    rows = by_schedule()
    assert len(rows) == 200
    response_ms = tally_of({"runs": rows}).samples("response_time_ms")
    analytic_ms = max(0.0, 2000 - (1 - quantile) * 20_000)
    assert percentile(response_ms, quantile) == pytest.approx(analytic_ms, abs=125)


def test_the_omission_shows_in_service_time_and_under_closed_arrivals():
    """The same two seconds, taken from `sent`: one slow run of 200, and the 99th percentile says 1 ms."""
    tally = tally_of({"runs": by_schedule()})
    service_ms = tally.samples("service_time_ms")
    assert percentile(service_ms, 0.99) == 1 and service_ms[-1] > 1900
    closed = tally_of({"runs": after_a_pause()})
    assert percentile(closed.samples("response_time_ms"), 0.99) == 1
    assert tally.runs.waited_share() == pytest.approx(0.1, abs=0.01) and closed.runs.waited_share() == 0


def test_waiting_for_a_frozen_server_is_not_held_against_the_generator():
    assert tally_of({"runs": by_schedule()}).samples("schedule_lag_ms").max() == 0
