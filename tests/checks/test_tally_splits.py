"""The tally gives the same figures however its rows are split into pieces."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.checks.metrics import METRICS
from crosstalk.checks.tally import Share, Tally
from crosstalk.wire.event import RUN_KINDS
from tests.checks.histories import (
    History,
    columns,
    connection,
    delivery_violation,
    events_of,
    exposure,
    health,
    lost_run,
    run,
    tally_of,
    violation,
)


def figures(tally: Tally) -> dict[str, Any]:
    """Everything that a tally can be asked."""
    times = [name for name, metric in METRICS.items() if metric.kind == "time"]
    times += [f"event_{what}_ms[{kind}]" for what in ("time", "gap") for kind in RUN_KINDS]
    return {
        **{f"{m} {w}": tally.samples(m, window=w).tolist() for m in times for w in ("judged", "all")},
        **{f"{m} of w2": tally.samples(m, worker="w2").tolist() for m in times},
        **{m: tally.share(m) for m, metric in METRICS.items() if metric.kind == "share"},
        **{m: tally.count(m) for m, metric in METRICS.items() if metric.kind == "count"},
        "outcomes": sorted(tally.runs.outcomes().items()),
        "violations": [(tally.violations.by_name(j), tally.violations.evidence(j)) for j in ("delivery", "isolation")],
        "channels": tally.exposure.channels(),
        "connections": tally.connections.summary(),
        "health": (tally.health.cpu_percent_max(), tally.health.hub_lag_ms().tolist(), tally.health.roles()),
        "accounts": (tally.unaccounted(), tally.workers(), tally.mismatched()),
    }


def a_history(seed: int) -> History:
    """Runs of two workers with every outcome, the ramp, and violations; seeded."""
    rnd = random.Random(seed)
    history: History = {table: [] for table in ("connections", "runs", "events", "violations", "exposure", "health")}
    for n in range(12):
        worker, account = rnd.choice(["w1", "w2"]), rnd.randrange(4)
        make = run if rnd.random() < 0.6 else lost_run
        outcome = rnd.choice(["ok", "agent_error", "violated"] if make is run else ["timeout", "refused", "cut"])
        row = make(n, account=account, worker=worker, outcome=outcome, warm_up=rnd.random() < 0.3)
        row |= dict(handoffs=rnd.randrange(2), nonce_back=rnd.random() < 0.9)
        history["runs"].append(row)
        history["events"] += events_of(row)
        history["connections"].append(connection(n, worker=worker, identity=rnd.choice(["full", "prefix"])))
        history["health"].append(health(n, worker=worker, cpu_percent=rnd.random() * 100, events_received=n))
        history["exposure"].append(exposure(rnd.choice([1, 2]), worker=worker, opportunities=n))
        if rnd.random() < 0.5:
            history["violations"].append(delivery_violation(n, of=row, name=rnd.choice(["missing", "late"])))
            history["violations"].append(violation(n + 100, scope=rnd.choice(["cross_user", "unverified"])))
    return history


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.randoms(use_true_random=False))
def test_the_same_figures_however_the_rows_are_split(seed: int, cuts: random.Random) -> None:
    """Tables in any order among themselves, each in pieces, asked in between (a live view) or only at the end."""
    history = a_history(seed)
    whole = figures(tally_of(history))
    pieces = []
    for table, rows in history.items():
        at = sorted(cuts.sample(range(len(rows) + 1), k=min(3, len(rows))))
        bounds = [0, *at, len(rows)]
        pieces.append([(table, rows[a:b]) for a, b in itertools.pairwise(bounds)])
    tally = Tally()
    while any(pieces):
        queue = cuts.choice([queue for queue in pieces if queue])
        table, rows = queue.pop(0)
        tally.add(table, columns(table, rows))
        if cuts.random() < 0.2:
            figures(tally)
    assert figures(tally) == whole


def test_an_empty_tally_answers_everything() -> None:
    asked = figures(Tally())
    assert asked["runs_ok"] == Share(0, 0)
    assert asked["service_time_ms judged"] == []
    assert np.array(asked["health"][1]).size == 0
