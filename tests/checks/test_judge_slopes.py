"""Slopes in the verdict and under limits: planted growth of times, of memory, and with the number of connections."""

from __future__ import annotations

import random
from typing import Any

import pytest

from crosstalk.checks.judge_limits import Grounds, judge_limit
from crosstalk.checks.judge_slopes import find_slope, judge_slopes, over_connections, over_time
from crosstalk.checks.limits import Limit, LimitsError, parse_limits
from crosstalk.checks.metrics import metric_of
from tests.checks.histories import MS, START_NS, connection, run, tally_of

HALF_HOUR_MS = 1_800_000
MIB = 2**20


def runs(*, grows_ms_per_h: float = 0.0, per_connection_ms: float = 0.0, made: int = 0) -> dict[str, list[Any]]:
    """Half an hour of 600 runs in which `made` connections are made one after the other."""
    rng, rows = random.Random(3), []
    for n in range(600):
        at_ms = n * HALF_HOUR_MS / 600
        before = made * at_ms / HALF_HOUR_MS
        service_ms = 800 + rng.gauss(0, 20) + grows_ms_per_h * at_ms / 3_600_000
        sent = START_NS + int(at_ms * MS)
        accept_ms = 10 + rng.gauss(0, 1) + per_connection_ms * before
        rows.append(run(
            n, account=f"k3f{n % 20:05}", intended_ns=sent, sent_ns=sent, end_ns=sent + int(service_ms * MS),
            accepted_ns=sent + int(accept_ms * MS), first_event_ns=sent + int(accept_ms * MS),
            first_chunk_ns=sent + 400 * MS,
        ))  # fmt: skip
    sockets = [connection(n, begun_ns=START_NS + int((n + 0.5) * HALF_HOUR_MS / made * MS)) for n in range(made)]
    return {"runs": rows, "connections": sockets}


def memory(*, mib_per_h: float, group: str = "own", worker: str = "w1") -> list[dict[str, Any]]:
    rng = random.Random(3)
    return [
        dict(worker=worker, at_ns=START_NS + n * 20_000 * MS, group=group, file=file, blocks=1,
             bytes=int((30 + mib_per_h * n / 180 + rng.gauss(0, 0.02)) * MIB / 2))
        for n in range(90) for file in ("one.py", "others")
    ]  # fmt: skip


def limit(metric: str, at_most: float, **changes: Any) -> Limit:
    return Limit(**{"name": "no growth", "phase": "soak", "metric": metric, "statistic": "slope", "at_most": at_most,
                    **changes})  # fmt: skip


def test_times_that_grow_are_told_with_their_interval() -> None:
    tally = tally_of(runs(grows_ms_per_h=200))
    found = over_time(tally, "service_time_ms")
    assert found.low is not None and 0 < found.low < 200 < found.high
    still = over_time(tally, "accept_time_ms")
    assert still.low is not None and still.low < 0 < still.high
    [percent] = [one for one in judge_slopes(tally)["times"] if one["metric"] == "slope_ms_per_h[service_time_ms]"]
    assert percent["percent_per_h"] == pytest.approx(100 * percent["value"] / percent["level"], rel=1e-3)


def test_growth_with_connections_is_per_hundred() -> None:
    found = over_connections(tally_of(runs(per_connection_ms=0.3, made=200)), "accept_time_ms")
    assert found.low is not None and 0 < found.low < 30 < found.high
    assert found.value == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize("made", [0, 5])
def test_few_connections_tell_nothing(made: int) -> None:
    found = over_connections(tally_of(runs(made=made)), "accept_time_ms")
    assert found.value is None and "too few" in found.reason


def test_memory_is_summed_over_files_and_the_fastest_process_counts() -> None:
    rows = [*memory(mib_per_h=1), *memory(mib_per_h=12, worker="w2"), *memory(mib_per_h=40, group="locust")]
    tally = tally_of({**runs(), "memory": rows})
    found = find_slope(tally, "slope_mib_per_h[harness_heap]")
    assert found.low is not None and 11 < found.low < 12 < found.high
    told = {(one["worker"], one["what"]): one["value"] for one in judge_slopes(tally)["memory"]}
    assert told["w1", "the harness's own heap"] == pytest.approx(1, abs=0.5)
    assert told["w1", "Locust's own statistics and history"] == pytest.approx(40, abs=0.5)


@pytest.mark.parametrize(
    ("mib_per_h", "verdict", "said"),
    [(0.5, "pass", "between"), (30, "unknown", "the harness itself grows")],
)
def test_the_harness_accuses_nobody_of_its_own_growth(mib_per_h: float, verdict: str, said: str) -> None:
    tally = tally_of({**runs(), "memory": memory(mib_per_h=mib_per_h)})
    entry = judge_limit(limit("slope_mib_per_h[harness_heap]", 5), Grounds(tally))
    assert (entry["verdict"], entry["unit"]) == (verdict, "MiB/h")
    assert said in entry["reason"]


def test_a_slope_passes_only_with_its_whole_interval() -> None:
    tally = tally_of(runs(grows_ms_per_h=200))
    found = over_time(tally, "service_time_ms")
    assert found.low is not None and found.high is not None

    def verdict(at_most: float) -> str:
        return str(judge_limit(limit("slope_ms_per_h[service_time_ms]", at_most), Grounds(tally))["verdict"])

    assert [verdict(at) for at in (found.high + 1, (found.low + found.high) / 2, found.low - 1)] == [
        "pass", "unknown", "fail"
    ]  # fmt: skip


def test_a_busy_generator_makes_slopes_of_times_unknown_and_not_those_of_memory() -> None:
    grounds = Grounds(tally_of({**runs(), "memory": memory(mib_per_h=0)}), clock_causes=("busy",))
    assert judge_limit(limit("slope_ms_per_h[service_time_ms]", 9_999), grounds)["verdict"] == "unknown"
    assert judge_limit(limit("slope_mib_per_h[harness_heap]", 5), grounds)["verdict"] == "pass"


def test_nothing_told_is_no_opportunity() -> None:
    entry = judge_limit(limit("slope_mib_per_h[target_memory]", 5), Grounds(tally_of(runs())))
    assert (entry["verdict"], entry["n"]) == ("unknown", 0)
    assert entry["reason"] == "no opportunity: nothing was told of the target's memory"


def test_renewals_and_what_they_cost_are_counted() -> None:
    def step(name: str, outcome: str, n: int) -> dict[str, Any]:
        return dict(worker="w1", journey=f"j{n}", family="soak", step=name, account="k3f00001", outcome=outcome,
                    begun_ns=START_NS, time_ns=MS)  # fmt: skip

    names = ["refresh", "refresh by a new socket", "run over refresh", "turn after refresh", "turn across the expiry"]
    rows = [step(name, "ok", n) for n, name in enumerate([*names, "refresh", "turn"])]
    rows += [step("refresh", "failed", 8), step("run over refresh", "failed", 9), step("turn after refresh", "cut", 10)]
    assert judge_slopes(tally_of({"steps": rows}))["refreshes"] == {
        "made": 3, "refused": 1, "runs_at_stake": 4, "runs_lost": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "metric",
    [
        "slope_ms_per_h[harness_heap]",
        "slope_mib_per_h[service_time_ms]",
        "slope_percent_per_100_connections[service_time_ms]",
        "slope_ms_per_h[chunk_gap_ms]",
        "slope_h[service_time_ms]",
    ],
)
def test_slopes_that_do_not_exist_are_no_metrics(metric: str) -> None:
    assert metric_of(metric) is None
    with pytest.raises(LimitsError):
        text = (
            f'[[phase]]\nname = "p"\n[[phase.limit]]\nname = "l"\nmetric = "{metric}"\nstatistic = "slope"\nat_most = 1'
        )
        parse_limits(text, source="limits")
