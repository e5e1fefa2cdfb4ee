"""Is the measurement itself to be believed? The generator's own figures, and whether everything was accounted for.

Two sorts of causes come out. *Gaps* (a worker lost, events unaccounted for, an error of the harness) leave nothing
that could be called complete: delivery, isolation and timing are unknown. *Clock causes* (a busy generator, a target
that was exchanged in mid-run) spoil times only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosstalk.checks.judge_arrivals import arrivals_cause, arrivals_of
from crosstalk.checks.limits import Generator
from crosstalk.checks.statistics import percentile
from crosstalk.checks.tally import Tally
from crosstalk.checks.verdicts import PASS, UNKNOWN
from crosstalk.checks.words import counted, number


@dataclass(frozen=True, slots=True)
class Measurement:
    figures: dict[str, Any]  # the verdict's `measurement`
    gaps: tuple[str, ...]
    clock_causes: tuple[str, ...]


def measure(run: Mapping[str, Any], tally: Tally, generator: Generator) -> Measurement:
    finals = run.get("workers") or {}
    gaps = tuple(_gaps(run, tally, finals))
    arrivals = arrivals_of(run.get("load_test") or {}, finals, tally.runs.waited_share())
    clock_causes = tuple(filter(None, [*_clock_causes(run, tally, generator), arrivals_cause(arrivals)]))
    figures = {
        "verdict": UNKNOWN if gaps or clock_causes else PASS,
        "clock": run.get("clock") or _clock(tally),
        "receive_lag_ms": _spread(tally.samples("receive_lag_ms")),
        "schedule_lag_ms": _spread(tally.samples("schedule_lag_ms", window="all")),
        "hub_lag_ms": _spread(tally.health.hub_lag_ms()),
        "cpu_percent": {worker: round(value, 1) for worker, value in tally.health.cpu_percent_max().items()},
        "exact_share": tally.runs.exact_share(),
        "unaccounted_events": sum(abs(missing) for missing in tally.unaccounted(finals).values()),
        "events": {
            "received": sum(tally.events_received(finals).values()),
            "recorded": sum(tally.runs.events_recorded().values()),
        },
        "arrivals": arrivals,
        "causes": [*gaps, *clock_causes],
    }
    return Measurement(figures, gaps, clock_causes)


def _gaps(run: Mapping[str, Any], tally: Tally, finals: Mapping[str, Mapping[str, Any]]) -> list[str]:
    gaps = [str(problem) for problem in run.get("problems") or []]
    for name, count in tally.violations.by_name("harness").items():
        gaps.append(f"fault of the harness: {name}, {counted(count, 'times')}")
    hits = tally.violations.counts.items()
    phantoms = sum(count for kind, count in hits if kind.scope == "phantom" and kind.judgement == "isolation")
    if phantoms:
        gaps.append(f"fault of the harness: {counted(phantoms, 'canaries')} seen that were never sent")
    missing = tally.unaccounted(finals)
    for worker, final in sorted(finals.items()):
        if final.get("lost"):
            gaps.append(f"worker {worker} was lost; its last figures are all there is")
        elif final.get("batches_received", 0) < final.get("last_batch", 0):
            gaps.append(f"worker {worker} sent {final['last_batch']} batches, {final['batches_received']} came")
        for what in ("events_checked", "events_recorded"):
            if not final.get("lost") and final.get(what, final.get("events_received")) != final.get("events_received"):
                verb = what.removeprefix("events_")
                gaps.append(f"worker {worker} received {final['events_received']:,} events and {verb} {final[what]:,}")
    for worker, n in missing.items():
        if n:
            how = "received and missing from the record" if n > 0 else "recorded and never counted as received"
            gaps.append(f"worker {worker}: {counted(abs(n), 'events')} {how}")
    return gaps


def _clock_causes(run: Mapping[str, Any], tally: Tally, generator: Generator) -> list[str]:
    causes = []
    if (run.get("target") or {}).get("changed"):
        causes.append("the target's revision changed during the load test")
    roles = tally.health.roles()
    for worker in tally.runs.workers.names():
        if worker not in roles:
            causes.append(f"worker {worker} left no figures of its own health")
    lags = {
        "receive lag": ("receive_lag_ms", generator.receive_lag_p99_ms_max),
        "schedule lag": ("schedule_lag_ms", generator.schedule_lag_p99_ms_max),
    }
    for what, (metric, highest) in lags.items():
        # each worker by itself, so that healthy ones do not hide a sick one
        for worker in sorted(tally.runs.workers.names()):
            lag = _p99(tally.samples(metric, window="all", worker=worker))
            if lag is not None and lag > highest:
                causes.append(f"{what} of {worker}: p99 {number(lag)} ms, at most {number(highest)} ms allowed")
    for worker, role in roles.items():
        lag = _p99(tally.health.hub_lag_ms(worker))
        if lag is not None and lag > generator.hub_lag_p99_ms_max:
            causes.append(
                f"hub lag of {worker}: p99 {number(lag)} ms, at most {number(generator.hub_lag_p99_ms_max)} ms allowed"
            )
        cpu = tally.health.cpu_percent_sustained()[worker]
        if role != "master" and cpu > generator.cpu_percent_max:
            causes.append(
                f"CPU of {worker}: {number(cpu)} % for seconds on end, "
                f"at most {number(generator.cpu_percent_max)} % allowed"
            )
    return causes


def _clock(tally: Tally) -> str:
    """Where `arrived` comes from, told by the lags: without a kernel's stamp every one of them is 0."""
    lags = tally.samples("receive_lag_ms")
    if len(lags) == 0:
        return "unknown"
    return "kernel" if np.any(lags != 0) else "received"


def _spread(ordered: np.ndarray) -> dict[str, float | None]:
    if len(ordered) == 0:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = (round(percentile(ordered, quantile), 4) for quantile in (0.50, 0.99))
    return {"p50": p50, "p99": p99, "max": round(float(ordered[-1]), 4)}


def _p99(ordered: np.ndarray) -> float | None:
    return percentile(ordered, 0.99) if len(ordered) else None
