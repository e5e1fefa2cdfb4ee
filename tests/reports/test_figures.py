"""Numbers from columns: a history in, figures out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crosstalk.checks.columns import Columns
from crosstalk.record.columns import columns_of
from crosstalk.record.rows import COLUMNS
from reports import figures, plots
from reports.material import Material
from tests.reports.rows import MS, START_NS


def spreads(made: Material) -> dict[str, figures.Spread]:
    found = figures.spreads(made.tally, made.table("runs"), made.table("events"))
    return {one.name: one for one in found}


def test_a_percentile_needs_its_samples() -> None:
    """29, 59, 299 samples for p90, p95, p99: below that there is no number."""
    for n, known in ((28, []), (29, ["p90"]), (59, ["p90", "p95"]), (299, ["p90", "p95", "p99"])):
        one = figures.spread("x", "of the run", np.arange(n, dtype=float))
        assert one is not None
        assert [name for name in ("p90", "p95", "p99") if getattr(one, name) is not None] == known


def test_a_run_without_an_end_is_longer_than_any_other(material: Callable[..., Material]) -> None:
    one = spreads(material(timeouts=2))["service_time_ms"]
    assert one.censored == 2
    assert one.high == np.inf
    assert spreads(material())["service_time_ms"].censored == 0


def test_nested_agents_have_kinds_of_their_own() -> None:
    """The start of a run is its first start, its end its last end; those between are another agent's."""
    kinds = ["started", "thinking", "handoff", "started", "completed", "chunk", "completed"]
    events = of_events(
        [("a", "run-1", n, kind) for n, kind in enumerate(kinds, start=1)] + [("b", "run-1", 1, "started")]
    )
    assert figures.with_nested(events).tolist() == [
        *("started", "thinking", "handoff", "nested started", "nested completed", "chunk", "completed"),
        "started",
    ]


def test_the_funnel_counts_every_step(material: Callable[..., Material]) -> None:
    made = material(timeouts=3)
    steps = {step.name: step.number for step in figures.funnel(made.table("connections"), made.table("runs"))}
    assert steps["connections attempted"] == steps["ready"] == 20
    assert steps["runs started"] == 80
    assert steps["ended"] == steps["ended well"] == 77


def test_the_bad_token_is_not_in_the_funnel(material: Callable[..., Material]) -> None:
    assert material().table("connections")["connection"].size == 21
    assert figures.funnel(material().table("connections"), material().table("runs"))[0].number == 20


def test_typical_is_the_median_and_slowest_the_longest(material: Callable[..., Material]) -> None:
    runs = material().table("runs")
    chosen = dict(figures.typical_and_slowest(runs))
    took = np.sort(runs["end_ns"] - runs["sent_ns"])
    assert runs["end_ns"][chosen["slowest"]] - runs["sent_ns"][chosen["slowest"]] == took[-1]
    assert runs["end_ns"][chosen["typical"]] - runs["sent_ns"][chosen["typical"]] == took[(took.size - 1) // 2]


def test_users_are_the_sum_of_the_workers() -> None:
    rows = [("w1", 1, 3), ("w2", 2, 4), ("w1", 3, 5)]
    health = columns_of("health", [blank("health", worker=w, at_ns=START_NS + at * MS, users=n) for w, at, n in rows])
    assert figures.users_over_time(health)[1].tolist() == [3, 7, 9]


def test_empty_tables_give_empty_lists(material: Callable[..., Material]) -> None:
    assert figures.typical_and_slowest(material(users=0).table("runs")) == []


def of_events(rows: list[tuple[str, str, int, str]]) -> Columns:
    return columns_of("events", [blank("events", account=a, run=run, n=n, kind=kind) for a, run, n, kind in rows])


def blank(table: str, **values: object) -> list[object]:
    """A row of `table` with zeros and empty texts but for `values`."""
    from crosstalk.record.rows import TABLES

    zeros: dict[str, object] = {"int": 0, "float": 0.0, "str": "", "bool": False}
    return [values.get(name, zeros[TABLES[table][name].rstrip("?")]) for name in COLUMNS[table]]


def test_many_runs_are_thinned_and_the_figure_says_so() -> None:
    """A page with a hundred thousand dots would open slowly and show no more."""
    rows, label = plots._thinned(np.arange(100_000), "ok")
    assert rows.size == plots.DOTS
    assert label == "ok, 100\u202f000 (one in 50 drawn)"
    assert plots._thinned(np.arange(20), "timeout")[1] == "timeout, 20"
