"""Each worker's own figures beside the pooled ones, so that a sick worker is seen and named.

Percentiles of workers are never averaged: samples are pooled, and a worker's own stand beside. A worker is named when
its interval lies above that of all others together, by more than a tenth. Both intervals are so wide that in one load
test in twenty at most a worker is named though all are alike, over all workers, times and quantiles (Bonferroni).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosstalk.checks.by_user import bounds_by_user
from crosstalk.checks.statistics import lower_bound, percentile, samples_needed, upper_bound
from crosstalk.checks.tally import Tally
from crosstalk.checks.words import number

#: times that are compared, and their quantiles
COMPARED = (
    "connect_time_ms",
    "accept_time_ms",
    "time_to_first_event_ms",
    "time_to_first_chunk_ms",
    "chunk_gap_ms",
    "service_time_ms",
)
COMPARED_QUANTILES = {"p50": 0.50, "p95": 0.95}
SHOWN_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
FALSE_ALARMS = 0.05
TOLERANCE = 0.10

Samples = tuple[np.ndarray, np.ndarray]  # ascending, and the user of each


def by_worker(tally: Tally) -> dict[str, Any]:
    """The verdict's `workers`: `figures` by metric and worker, and `slower`, those that are to be looked at."""
    names = tally.runs.workers.names()
    figures: dict[str, Any] = {}
    slower: list[dict[str, Any]] = []
    # a worker is compared with the others in one direction, and both of its intervals may be at fault
    confidence = 1.0 - FALSE_ALARMS / (2 * max(len(names) * len(COMPARED) * len(COMPARED_QUANTILES), 1))
    for metric in COMPARED:
        own = {name: tally.samples_by_user(metric, worker=name) for name in sorted(names)}
        own = {name: samples for name, samples in own.items() if len(samples[0])}
        if len(own) < 2:
            continue
        each = {name: _figures(samples) for name, (samples, _) in own.items()}
        figures[metric] = {"all": _figures(tally.samples(metric)), **each}
        for name in own:
            others = _together([samples for other, samples in own.items() if other != name])
            slower += [found for quantile in COMPARED_QUANTILES
                       if (found := _slower(name, metric, quantile, own[name], others, confidence))]  # fmt: skip
    return {"figures": figures, "slower": slower, "confidence": round(confidence, 6)}


def _figures(ordered: np.ndarray) -> dict[str, float | int | None]:
    """n and percentiles in ms; None where there are too few samples for one, or it never came."""
    found: dict[str, float | int | None] = {"n": len(ordered)}
    for name, quantile in SHOWN_QUANTILES.items():
        enough = len(ordered) >= samples_needed(quantile)
        value = percentile(ordered, quantile) if enough else np.inf
        found[name] = round(value, 4) if np.isfinite(value) else None
    return found


def _together(samples: list[Samples]) -> Samples:
    values, users = (np.concatenate(columns) for columns in zip(*samples, strict=True))
    order = np.argsort(values, kind="stable")
    return values[order], users[order]


def _slower(
    worker: str, metric: str, quantile: str, own: Samples, others: Samples, confidence: float
) -> dict[str, Any] | None:
    """None unless the worker's interval lies above the others' by more than a tenth."""
    share = COMPARED_QUANTILES[quantile]
    low, high = _low(own, share, confidence), _high(others, share, confidence)
    if low is None or high is None or not low > high * (1.0 + TOLERANCE):
        return None
    what = f"{quantile} of {metric.removesuffix('_ms')}"
    at_least = "never" if np.isinf(low) else f"at least {number(low)} ms"
    said = f"worker {worker}: {what} {at_least} (n = {len(own[0]):,}), the others' at most {number(high)} ms"
    return {
        "worker": worker,
        "metric": metric,
        "statistic": quantile,
        "at_least": None if np.isinf(low) else round(low, 4),
        "others_at_most": round(high, 4),
        "n": len(own[0]),
        "said": f"{said} (n = {len(others[0]):,})",
    }


def _low(samples: Samples, quantile: float, confidence: float) -> float | None:
    """The lower one of the bounds of independent samples and of users that differ."""
    plain, users = lower_bound(samples[0], quantile, confidence), bounds_by_user(*samples, quantile, confidence)
    if users is None or plain is None:
        return plain
    return None if users.low is None else min(plain, users.low)


def _high(samples: Samples, quantile: float, confidence: float) -> float | None:
    plain, users = upper_bound(samples[0], quantile, confidence), bounds_by_user(*samples, quantile, confidence)
    if users is None or plain is None:
        return plain
    return None if users.high is None else max(plain, users.high)
