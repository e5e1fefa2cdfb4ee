"""A sick worker is seen and named; workers that are alike are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosstalk.checks.columns import Columns
from crosstalk.checks.tally import Tally
from crosstalk.checks.workers import by_worker
from tests.checks.histories import MS, START_NS, columns, run


def runs_of(worker: str, service_ms: np.ndarray, users: int, first: int = 0) -> Columns:
    """Runs of a worker, handed round its users, as columns."""
    n = len(service_ms)
    whole = {name: np.repeat(column, n) for name, column in columns("runs", [run(0, worker=worker)]).items()}
    sent = START_NS + np.arange(n, dtype=np.int64) * 10 * MS
    whole |= {name: sent for name in ("sent_ns", "intended_ns")}
    whole |= {name: sent + 5 * MS for name in ("accepted_ns", "first_event_ns", "first_chunk_ns")}
    whole["end_ns"] = sent + (service_ms * MS).astype(np.int64)
    whole["run"] = np.array([f"{worker}-{number}" for number in range(n)], dtype=object)
    whole["account"] = np.array([f"k3f{first + number % users:05}" for number in range(n)], dtype=object)
    return whole


def compared(**workers: np.ndarray) -> dict[str, Any]:
    tally = Tally()
    for number, (worker, service_ms) in enumerate(workers.items()):
        tally.add("runs", runs_of(worker, service_ms, 20, first=100 * number))
    return by_worker(tally)


def drawn(seed: int, n: int = 300, median: float = 800.0) -> np.ndarray:
    return median * np.random.default_rng(seed).lognormal(0, 0.4, n)


def test_a_sick_worker_is_named_with_what_was_seen() -> None:
    found = compared(w1=drawn(1), w2=drawn(2), w3=drawn(3, median=1600.0))
    assert {(one["worker"], one["metric"], one["statistic"]) for one in found["slower"]} == {
        ("w3", "service_time_ms", "p50"),
        ("w3", "service_time_ms", "p95"),
    }
    median = found["slower"][0]
    assert median["said"].startswith("worker w3: p50 of service_time at least 1,")
    assert median["said"].endswith("ms (n = 600)")
    assert 1300 < median["at_least"] < 1600
    assert 700 < median["others_at_most"] < 1000


ALARMS_MOST = 100 * 0.05 + 3 * (100 * 0.05 * 0.95) ** 0.5


def test_workers_that_are_alike_are_rarely_named() -> None:
    """Four workers with few samples that vary much, 100 load tests: named in at most one in twenty."""

    def few(seed: int) -> np.ndarray:
        return 800.0 * np.random.default_rng(seed).lognormal(0, 1.0, 100)

    found = [compared(**{f"w{w}": few(10 * seed + w) for w in range(4)}) for seed in range(100)]
    assert sum(bool(one["slower"]) for one in found) <= ALARMS_MOST
    # four workers, six times, two quantiles, and two intervals in each comparison
    assert found[0]["confidence"] == pytest.approx(1 - 0.05 / (4 * 6 * 2 * 2), abs=1e-6)


def test_workers_whose_users_differ_are_rarely_named() -> None:
    """The same with users of whom some are always slow: which worker has them is chance."""

    def of_users(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        return 800.0 * np.tile(random.lognormal(0, 1.0, 20), 30) * random.lognormal(0, 0.2, 600)

    named = sum(bool(compared(**{f"w{w}": of_users(10 * seed + w) for w in range(4)})["slower"]) for seed in range(100))
    assert named <= ALARMS_MOST


def test_less_than_a_tenth_names_nobody() -> None:
    """With many samples any difference is certain; one of 5 % is no reason to look."""
    assert compared(w1=drawn(1, 20_000), w2=drawn(2, 20_000, median=840.0))["slower"] == []
    assert compared(w1=drawn(1, 20_000), w2=drawn(2, 20_000, median=960.0))["slower"] != []


def test_own_figures_stand_beside_the_pooled_ones() -> None:
    one, two = drawn(1, 300), drawn(2, 40)
    figures = compared(w1=one, w2=two)["figures"]["service_time_ms"]
    pooled = np.sort(np.floor(np.concatenate([one, two]) * MS) / MS)
    assert figures["all"] == {"n": 340, "p50": round(pooled[169], 4), "p95": round(pooled[322], 4),
                              "p99": round(pooled[336], 4)}  # fmt: skip
    assert (figures["w1"]["n"], figures["w2"]["n"]) == (300, 40)
    assert (figures["w2"]["p50"] is None, figures["w2"]["p95"]) == (False, None)  # 40 samples have no p95


def test_a_worker_whose_runs_never_end_is_named() -> None:
    tally = Tally()
    tally.add("runs", runs_of("w1", drawn(1), 20))
    lost = runs_of("w2", drawn(2), 20, first=100)
    lost["outcome"] = np.array(["timeout"] * 300, dtype=object)
    tally.add("runs", lost)
    said = [one["said"] for one in by_worker(tally)["slower"]]
    assert any(one.startswith("worker w2: p50 of service_time never (n = 300), the others' at most ") for one in said)


def test_one_worker_has_nobody_beside_it() -> None:
    assert compared(w1=drawn(1))["figures"] == {}
    assert by_worker(Tally())["slower"] == []
