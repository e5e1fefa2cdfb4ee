"""Curves with their bounds, the figures of a time, and what the page says of window, goodput and workers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosstalk.checks.statistics import lower_bound, percentile, upper_bound
from reports import distributions, figures, sections_limits, sections_times
from reports.distributions import curve
from reports.material import Material
from reports.summary import summary
from reports.terminal import closing
from reports.words import goodput_text, window_text
from tests.checks.histories import columns, events_of, run, tally_of
from tests.reports.conftest import split

Sections = Callable[..., dict[str, str]]


def test_a_curve_is_made_of_percentiles_and_their_bounds() -> None:
    ordered = np.sort(np.random.default_rng(3).lognormal(5, 1, 500))
    one = curve("service_time_ms", ordered)
    assert one is not None
    assert list(one.shares) == sorted(one.shares)
    assert one.shares[-1] == pytest.approx(1 - 1 / 500)
    for share, time, low, high in zip(one.shares[1:], one.times_ms[1:], one.low_ms[1:], one.high_ms[1:], strict=True):
        assert (time, low, high) == (
            percentile(ordered, share),
            lower_bound(ordered, share),
            upper_bound(ordered, share),
        )
        assert low is None or low <= time
        assert high is None or high >= time
    # towards the end there are too few samples for an upper bound: the band is open there
    assert (one.high_ms[-1], one.high_ms[10] is None) == (None, False)


def test_a_band_is_open_where_there_is_no_bound() -> None:
    one = curve("x", np.linspace(100, 900, 200))
    assert one is not None
    low, high = distributions.band(one, 50.0, 1000.0)
    assert (low[0], low[-1], high[0], high[-1]) == (50.0, one.low_ms[-1], 100.0, 1000.0)
    assert all(a <= time <= b for a, time, b in zip(low, one.times_ms, high, strict=True))


def test_a_curve_of_few_samples_is_none() -> None:
    assert curve("x", np.arange(4.0)) is None
    assert curve("x", np.arange(5.0)) is not None


def test_waits_without_an_end_are_counted_and_not_drawn() -> None:
    one = curve("x", np.array([1.0] * 80 + [math.inf] * 20))
    assert one is not None
    assert one.never == 20
    assert one.times_ms[-1] == math.inf
    drawn = distributions.drawing.svg(distributions.plot([("x", one)], []))
    assert "20 × no end" in drawn


@pytest.mark.parametrize("samples", [np.full(50, 3.0), np.full(50, math.inf), np.zeros(50), np.full(50, 1e7)])
def test_samples_without_a_width_can_be_drawn(samples: np.ndarray) -> None:
    one = curve("x", samples)
    assert one is not None
    assert "<svg" in distributions.drawing.svg(distributions.plot([("x", one)] * 5, []))


def test_a_limit_stands_where_it_is_promised() -> None:
    one = curve("service_time_ms", np.linspace(100, 900, 200))
    assert one is not None
    limit = {"metric": "service_time_ms", "statistic": "p95", "limit": 2000.0}
    others = [limit | {"statistic": "max"}], [limit | {"metric": "accept_time_ms"}]
    drawn = [distributions.drawing.svg(distributions.plot([("x", one)], given)) for given in ([], [limit], *others)]
    assert drawn[0] == drawn[2] == drawn[3] != drawn[1]


def test_each_percentile_has_its_interval() -> None:
    ordered = np.arange(1.0, 401.0)
    one = figures.spread("x", "of the run", ordered)
    assert one is not None
    assert one.ci95 == (lower_bound(ordered, 0.95), upper_bound(ordered, 0.95)) == (373.0, 388.0)
    few = figures.spread("x", "of the run", ordered[:30])
    assert few is not None
    assert (few.p95, few.ci95[1]) == (None, None)


def test_the_times_are_those_of_the_judged_window(material: Callable[..., Material]) -> None:
    made = material()
    found = {one.name: one for one in figures.spreads(made.tally, made.table("runs"), made.table("events"))}
    window = made.verdict["window"]
    assert found["service_time_ms"].n == window["runs"]
    assert found["completed"].n == window["runs"]
    assert window["runs"] + window["runs_left_out"] == 80


def test_the_warm_up_is_in_no_curve() -> None:
    """One user, a turn a second; the first twenty take longer."""
    runs = [run(n, service_ms=980.0 if n < 20 else 300.0) for n in range(100)]
    events = [row for one in runs for row in events_of(one)]
    tally = tally_of({"runs": runs, "events": events})
    found = {one.name: one for one in figures.spreads(tally, columns("runs", runs), columns("events", events))}
    assert tally.runs.window().cut_s > 10
    assert found["completed"].n == found["service_time_ms"].n <= 82


def test_the_page_says_of_which_runs_the_times_are(sections: Sections) -> None:
    said = sections()["times"]
    assert re.search(r"Times are of \d+ runs in [\d.]+\u202fs, without \d+ of the ramp\. Too short to tell: ", said)
    assert "the ramp alone decides" in said
    assert re.search(
        r"Goodput \d+\.\d\d runs/s: of \d+ runs \d+ ended well, \d+ of them within 3 limits of a run", said
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("steady", "Steady: why."),
        ("no steady state", "No steady state: why; no time of a run can pass."),
        ("too short to tell", "Too short to tell: why; the ramp alone decides."),
    ],
)
def test_each_answer_has_its_words(state: str, said: str) -> None:
    window = {"state": state, "reason": "why", "runs": 1234, "runs_left_out": 0, "warm_up_s": 2.04}
    window |= {"from_ns": 0, "until_ns": 10_000_000_000}
    assert window_text({"window": window}) == f"Times are of 1,234 runs in 10.0 s and a warm-up of 2.0 s. {said}"
    assert window_text({"window": {"state": "unknown", "reason": "crashed"}}) == ""
    assert goodput_text({"goodput": {"per_s": None}}) == goodput_text({}) == ""


def slow_worker(made: Material) -> Material:
    said = "worker w2: p50 of service_time at least 900 ms (n = 40), the others' at most 300 ms (n = 40)"
    own = {"n": 40, "p50": 950.0, "p95": None, "p99": None}
    workers: dict[str, Any] = {
        "figures": {"service_time_ms": {"all": own, "w1": own, "w2": own}},
        "slower": [{"worker": "w2", "metric": "service_time_ms", "said": said}],
    }
    return Material(made.folder, made.record, {**made.verdict, "workers": workers}, made.tally)


def test_a_slower_worker_is_named_wherever_people_look(material: Callable[..., Material]) -> None:
    sick = slow_worker(material())
    shown = split(str(sections_times.times(sick, {})) + "<main>")["times"]
    assert "Slower than the other workers" in shown
    assert "w2: slower" in shown
    assert "<details open><summary>Each worker" in shown
    assert "worker w2: p50 of service" in summary(sick, [])
    assert "\nslower      worker w2: p50 of service_time at least 900 ms" in closing(sick, colour=False, shown_as="x")
    healthy = material()
    assert "Slower than" not in summary(healthy, [])
    assert "slower " not in closing(healthy, colour=False, shown_as="x")


def test_beneath_a_limits_figures_stand_the_whole_run_and_the_users() -> None:
    limit = {
        "metric": "service_time_ms",
        "statistic": "p95",
        "n": 600,
        "ci": [700.0, 812.0],
        "whole_run": {"value": 900.0, "n": 640},
    }
    limit["by_user"] = {"ci": [400.0, None], "worth": 24, "users": 20}
    limit["value"] = 800.0
    assert sections_limits.whole_run(limit) == "with ramp 900\u202fms"
    assert sections_limits.by_user(limit) == "by user 400 – open"
    alike = limit | {
        "by_user": {"ci": [700.0, 812.0], "worth": 600, "users": 20},
        "whole_run": {"value": 800.0, "n": 640},
    }
    assert (sections_limits.whole_run(alike), sections_limits.by_user(alike)) == ("", "")
    assert sections_limits.by_user({"metric": "runs_ok", "statistic": "share", "n": 3}) == ""


def test_each_worker_stands_beside_all(sections: Sections) -> None:
    assert "Each worker" not in sections()["times"]
    two = sections(workers=("w1", "w2"))["times"]
    assert "all workers" in two
    assert re.search(r"(?s)<td>w1</td>.*<td>w2</td>", two)
