"""One limit at a time: where the interval lies against it, and what is said when it cannot be judged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from crosstalk.checks.judge_limits import Grounds, judge_limit, limit_sentence, plan_sentence, samples_for, undecided
from crosstalk.checks.limits import Limit, Limits, Phase
from crosstalk.checks.tally import Tally
from tests.checks.histories import clean, columns, health, limits, lost_run, run, tally_of


def p95(at_most: float = 2000.0, **changes: Any) -> Limit:
    return Limit(**({"name": "critical flow", "phase": "journeys", "metric": "service_time_ms", "statistic": "p95",
                     "at_most": at_most, "when_unknown": "warn"} | changes))  # fmt: skip


def share(at_least: float) -> Limit:
    return Limit("runs", "agents", "runs_ok", "share", at_least=at_least)


def judged(limit: Limit, runs: list[dict[str, Any]], **grounds: Any) -> dict[str, Any]:
    return judge_limit(limit, Grounds(tally_of({"runs": runs}), **grounds))


def runs(n: int, *, service_ms: float = 800.0, first: int = 0) -> list[dict[str, Any]]:
    return [run(first + i, service_ms=service_ms) for i in range(n)]


def test_a_percentile_whose_bound_is_inside_passes() -> None:
    entry = judged(p95(), runs(59))
    assert (entry["verdict"], entry["value"], entry["ci"], entry["n"]) == ("pass", 800, [800, 800], 59)
    assert entry["counts"] is True
    assert limit_sentence(entry) == "p95 of service_time 800 ms, limit 2,000 ms"


def test_one_sample_too_few_gives_no_number() -> None:
    entry = judged(p95(), runs(58))
    assert (entry["verdict"], entry["value"], entry["ci"]) == ("unknown", None, [800, None])
    assert entry["reason"] == "insufficient n: 58 of 59 runs"
    assert entry["counts"] is False
    assert judged(p95(when_unknown="fail"), runs(58))["counts"] is True


def test_a_percentile_fails_only_when_its_whole_interval_is_outside() -> None:
    """60 samples: the lower bound of the p95 is the 54th, the upper one the 60th."""
    assert judged(p95(), runs(53) + runs(7, service_ms=3000, first=53))["verdict"] == "fail"
    between = judged(p95(), runs(54) + runs(6, service_ms=3000, first=54))
    assert between["verdict"] == "unknown"
    assert between["ci"] == [800, 3000]
    assert "between 800 ms and 3,000 ms at 95 %, on both sides of the limit" in between["reason"]


def test_a_few_runs_that_are_all_far_too_slow_fail() -> None:
    entry = judged(p95(), runs(20, service_ms=9000))
    assert (entry["verdict"], entry["value"]) == ("fail", None)
    assert entry["reason"] == "insufficient n: 20 of 59 runs, yet at least 9,000 ms at 95 %"


def test_runs_that_never_ended_cannot_pass() -> None:
    entry = judged(p95(), runs(59) + [lost_run(n) for n in range(59, 90)])
    assert (entry["verdict"], entry["value"], entry["ci"]) == ("fail", None, [None, None])
    assert entry["reason"].endswith("31 never got there")


def test_a_maximum_is_judged_by_every_sample() -> None:
    longest = p95(400, metric="handoff_time_ms", statistic="max")
    quick = [run(n, handoffs=1, handoff_time_max_ns=300_000_000) for n in range(2)]
    assert judged(longest, quick)["verdict"] == "pass"
    slow = judged(longest, [*quick, run(3, handoffs=1, handoff_time_max_ns=401_000_000)])
    assert (slow["verdict"], slow["value"], slow["n"]) == ("fail", 401, 3)
    never = judged(longest, [*quick, run(3, handoffs=1)])
    assert (never["verdict"], never["value"]) == ("fail", None)
    assert "1 never got there" in never["reason"]


def test_no_opportunity_is_unknown() -> None:
    for limit in (p95(3000, metric="handoff_time_ms", statistic="max"), share(1.0), p95(100, metric="chunk_gap_ms")):
        entry = judged(limit, [])
        assert (entry["verdict"], entry["value"], entry["n"]) == ("unknown", None, 0)
        assert entry["reason"].startswith("no opportunity: no ")


def test_a_ramp_without_an_after_is_named() -> None:
    entry = judged(p95(), [run(n, warm_up=True) for n in range(70)])
    assert entry["verdict"] == "unknown"
    assert entry["reason"] == "no opportunity after the ramp: 70 runs during it"
    assert entry["whole_run"] == {"value": 800, "n": 70}


def test_a_promise_about_every_run_is_kept_or_broken_by_each() -> None:
    assert judged(share(1.0), runs(3))["verdict"] == "pass"
    broken = judged(share(1.0), [*runs(299), lost_run(299)])
    assert (broken["verdict"], broken["reason"]) == ("fail", "299 of 300 runs")
    assert limit_sentence(broken) == "runs 99.66 %, limit 100 % (299 of 300 runs)"


@pytest.mark.parametrize(
    ("good", "bad", "verdict"),
    [(20, 0, "unknown"), (59, 0, "pass"), (55, 4, "unknown"), (50, 9, "fail")],
)
def test_other_shares_are_judged_by_their_bound(good: int, bad: int, verdict: str) -> None:
    entry = judged(share(0.95), runs(good) + [lost_run(good + n) for n in range(bad)])
    assert entry["verdict"] == verdict
    assert entry["needed"] == 59


def test_a_busy_generator_is_not_a_slow_backend() -> None:
    entry = judged(p95(), runs(100, service_ms=9000), clock_causes=("receive lag of w1: p99 80 ms",))
    assert entry["verdict"] == "unknown"
    assert entry["reason"] == "timing cannot be believed: receive lag of w1: p99 80 ms"
    assert judged(share(1.0), runs(3), clock_causes=("busy",))["verdict"] == "pass"


def test_what_is_only_shown_is_not_judged() -> None:
    entry = judged(p95(at_most=None, required=False), runs(100))
    assert (entry["verdict"], entry["value"], entry["counts"], entry["limit"]) == ("unknown", 800, False, None)
    assert judged(p95(1.0, required=False), runs(100))["counts"] is False


def test_a_check_that_crashes_is_unknown_and_says_so() -> None:
    class Broken(Tally):
        def samples(self, *_: object, **__: object) -> Any:
            raise ZeroDivisionError("division by zero")

    entry = judge_limit(p95(), Grounds(Broken()))
    assert entry["verdict"] == "unknown"
    assert entry["reason"] == "the check itself crashed: ZeroDivisionError: division by zero"
    assert judged(Limit("x", "y", "no_such_metric", "p95", at_most=1.0), [])["verdict"] == "unknown"


def test_each_workers_own_figure_stands_beside_the_pooled_one() -> None:
    """60 quick runs and 4 slow ones: neither the pooled p95 nor any shown figure is a mean of two."""
    slow = [run(n, worker="w2", service_ms=5000) for n in range(60, 64)]
    entry = judged(p95(), runs(60) + slow)
    assert (entry["n"], entry["value"]) == (64, 5000)
    assert entry["workers"] == {"w1": {"value": 800, "n": 60}, "w2": {"value": None, "n": 4}}


def test_what_is_still_undecided() -> None:
    names = [limit.name for limit in undecided(limits(), tally_of(clean(runs=40)))]
    assert names == ["streaming", "message processing", "critical flow", "first words"]
    assert undecided(limits(), tally_of(clean(runs=60))) == []
    # decided either way is decided
    slow = tally_of(clean(runs=60) | {"runs": runs(60, service_ms=9000)})
    assert "critical flow" not in [limit.name for limit in undecided(limits(), slow)]


def test_events_under_way_do_not_keep_a_load_test_waiting() -> None:
    history = clean() | {"health": [health(1, events_received=0)]}
    assert undecided(limits(), tally_of(history)) == []


def test_samples_that_a_limit_needs() -> None:
    assert samples_for(p95()) == 59
    assert samples_for(p95(statistic="p99")) == 299
    assert samples_for(p95(statistic="max")) == 1
    assert samples_for(share(0.99)) == 299
    assert samples_for(share(1.0)) == 1
    assert samples_for(Limit("x", "y", "service_time_ms", "p95", at_least=1.0)) == 1


def test_the_plan_says_what_will_be_judged_and_what_will_not() -> None:
    wanted = (p95(), p95(metric="accept_time_ms", name="b"), p95(statistic="p99", name="c"), share(1.0))
    sentence = plan_sentence(
        Limits("x", phases=(Phase("journeys", 1, limits=wanted),)), users=20, seconds_per_turn=2.0, run_time_s=20.0
    )
    assert sentence == (
        "will judge: p95 of service_time, accept_time needs 59 runs: 20 users x one run per ~2 s = about 6 s; "
        "will not be reached in 20 s: p99 of service_time needs 299 runs: 20 users x one run per ~2 s = about 30 s"
    )


def test_the_plan_for_connections_counts_users() -> None:
    wanted = (p95(metric="connect_time_ms"),)
    plan = Limits("x", phases=(Phase("auth", 1, limits=wanted),))
    few = plan_sentence(plan, users=20, seconds_per_turn=2.0, run_time_s=None)
    assert few == "will not be reached: p95 of connect_time needs 59 connections: 20 users, one connection each"
    assert plan_sentence(plan, users=60, seconds_per_turn=2.0, run_time_s=None).startswith("will judge: p95")
    assert plan_sentence(Limits("x"), users=1, seconds_per_turn=1.0, run_time_s=None).startswith("every limit")


def tally_of_times(service_ms: np.ndarray, *, users: int | None = None) -> Tally:
    """Runs a second apart, each of its own user if not said otherwise; quicker to make than rows."""
    n = len(service_ms)
    whole = {name: np.repeat(column, n) for name, column in columns("runs", [run(0)]).items()}
    whole["sent_ns"] = whole["sent_ns"] + np.arange(n) * 1_000_000_000
    whole["end_ns"] = whole["sent_ns"] + (service_ms * 1e6).astype(np.int64)
    whole["run"] = np.array([f"r{i}" for i in range(n)], dtype=object)
    whole["account"] = np.array([f"k{i % (users or n)}" for i in range(n)], dtype=object)
    tally = Tally()
    tally.add("runs", whole)
    return tally


@pytest.mark.parametrize(("n", "statistic", "quantile"), [(60, "p95", 1.6448536), (400, "p95", 1.6448536),
                                                          (400, "p50", 0.0), (300, "p99", 2.3263479)])  # fmt: skip
def test_at_the_boundary_a_verdict_is_wrong_in_one_load_test_in_twenty(n: int, statistic: str, quantile: float) -> None:
    """The true quantile is the limit itself: to fail is wrong, and to pass is as lucky; 1,000 load tests of each."""
    random, trials = np.random.default_rng(n), 1000
    limit = p95(at_most=float(np.exp(6.0 + quantile)), statistic=statistic)
    found = Counter(
        judge_limit(limit, Grounds(tally_of_times(random.lognormal(6.0, 1.0, n))))["verdict"] for _ in range(trials)
    )
    most = 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    assert found["fail"] <= most * trials, found
    assert found["pass"] <= most * trials, found
    assert found["fail"] + found["pass"] > 0.02 * trials, found


def test_away_from_the_boundary_it_is_decided() -> None:
    random = np.random.default_rng(2)
    for factor, verdict in ((0.5, "fail"), (2.0, "pass")):
        limit = p95(at_most=float(np.exp(6.0 + 1.6448536)) * factor)
        found = Counter(
            judge_limit(limit, Grounds(tally_of_times(random.lognormal(6.0, 1.0, 400))))["verdict"] for _ in range(200)
        )
        assert found[verdict] >= 190


def test_users_who_differ_are_said_beside_the_interval() -> None:
    """20 users, one of them always slow: 600 runs, but only twenty people."""
    service_ms = np.where(np.arange(600) % 20 == 0, 9000.0, 100.0)
    entry = judge_limit(p95(at_most=8000.0, statistic="p90"), Grounds(tally_of_times(service_ms, users=20)))
    assert (entry["verdict"], entry["ci"]) == ("pass", [100, 100])
    assert entry["by_user"]["users"] == 20
    assert entry["by_user"]["worth"] < 60
    assert entry["by_user"]["ci"][1] in (None, 9000)
    assert entry["reason"].startswith("600 runs; as its users differ, these are worth ")
    alike = judge_limit(p95(), Grounds(tally_of_times(np.full(600, 100.0), users=20)))
    assert alike["reason"] == "600 runs"


def test_without_a_steady_state_nothing_passes_and_what_failed_has_failed() -> None:
    """One user, a turn a second; from the middle on each takes three times as long."""
    slower = [run(n, service_ms=300.0 if n < 50 else 900.0) for n in range(100)]
    entry = judged(p95(), slower)
    assert entry["verdict"] == "unknown"
    assert entry["reason"].startswith("no steady state: ")
    assert (entry["value"], entry["ci"]) == (900, [900, 900])
    assert judged(p95(at_most=200.0), slower)["verdict"] == "fail"
    assert judged(p95(metric="schedule_lag_ms"), slower)["verdict"] == "pass"  # ours, not the target's
    assert judged(share(1.0), slower)["verdict"] == "pass"
    assert judged(p95(), [run(n, service_ms=900.0) for n in range(100)])["verdict"] == "pass"


def test_events_lost_are_ours_and_accuse_nobody() -> None:
    """Received and not in the record: the measurement is incomplete, and what is promised is not known to hold."""
    lost = Limit("delivery confirmed", "events", "events_lost", "count", at_most=0)
    for received, verdict in ((420, "pass"), (421, "unknown")):
        rows = clean() | {"health": [health(1, events_received=received)]}
        entry = judge_limit(lost, Grounds(tally_of(rows)))
        assert (entry["verdict"], entry["counts"]) == (verdict, True), entry["reason"]
