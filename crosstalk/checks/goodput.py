"""Goodput: runs per second that ended well and met every limit. A run that was too slow for its user is not counted.

A limit of a percentile or a maximum says what one run may take; of metrics with several samples a run (chunk gaps, tool
calls) the run's own figure of that statistic is compared. Limits of connections, of journeys and of medians, and those
that are only shown, say nothing of a single run. Zhong et al., "DistServe" (OSDI 2024), for requests that attain every
objective.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crosstalk.checks.columns import MISSING
from crosstalk.checks.limits import Limit, Limits
from crosstalk.checks.metrics import OF_THE_GENERATOR, QUANTILES, kind_in, metric_of
from crosstalk.checks.tally import Tally

#: statistics that promise nothing to a single run
_OF_NO_RUN = ("p50",)


def goodput(tally: Tally, limits: Limits) -> dict[str, Any]:
    """The verdict's `goodput`: of the runs that are judged. `per_s` is None without a window to divide by."""
    used = [limit for limit in limits.limits if _is_of_a_run(limit)]
    runs = tally.runs
    judged = runs.chosen("judged")
    good = judged & runs.ended_well(tally.violations.broken_runs)
    ended_well = int(np.sum(good))
    for limit in used:
        good &= _met(limit, tally)
    seconds, number = runs.window().seconds, int(np.sum(good))
    return {
        "per_s": round(number / seconds, 4) if seconds > 0 else None,
        "runs_good": number,
        "runs_ended_well": ended_well,
        "runs": int(np.sum(judged)),
        "seconds": round(seconds, 3),
        "limits": [limit.name for limit in used],
    }


def _is_of_a_run(limit: Limit) -> bool:
    metric = metric_of(limit.metric)
    if metric is None or not limit.required or limit.bound is None:
        return False
    of_a_run = metric.kind == "time" and metric.source in ("run", "event") and metric.name not in OF_THE_GENERATOR
    return of_a_run and limit.statistic not in _OF_NO_RUN


def _met(limit: Limit, tally: Tally) -> np.ndarray:
    """Of every run: is it inside the limit? One that has no such sample (no hand-off, no tool) is."""
    metric = metric_of(limit.metric)
    assert metric is not None and limit.bound is not None
    if metric.source == "run":
        values, known = tally.runs.run_values(limit.metric)
    else:
        values, known = _own_figure(limit, tally)
    inside = values <= limit.bound if limit.at_most is not None else values >= limit.bound
    met: np.ndarray = inside | ~known
    return met


def _own_figure(limit: Limit, tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Of every run the nearest-rank percentile, or the maximum, of its own events' samples, and whether it has any."""
    events, keys = tally.runs.events, tally.runs.runs["key"]
    name, kind = kind_in(limit.metric) or (limit.metric, "")
    column = {"event_time_ms": "time_ns", "event_gap_ms": "gap_ns"}.get(name, name.removesuffix("_ms") + "_ns")
    chosen = events[column] != MISSING
    if kind:
        chosen &= events["kind"] == tally.runs.kind_number(kind)
    of, samples = events["key"][chosen], events[column][chosen] / 1e6
    order = np.lexsort((samples, of))
    numbers = np.bincount(of, minlength=len(tally.runs.keys))
    first = np.cumsum(numbers) - numbers
    quantile = QUANTILES.get(limit.statistic, 1.0)
    place = np.maximum(np.ceil(quantile * numbers - 1e-9), 1).astype(np.int64) - 1
    there = numbers > 0
    figures = np.full(len(numbers), math.nan)
    figures[there] = samples[order][(first + place)[there]]
    return figures[keys], there[keys]
