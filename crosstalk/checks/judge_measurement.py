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
from crosstalk.checks.judge_generator import OwnTrouble
from crosstalk.checks.limits import Generator
from crosstalk.checks.statistics import percentile
from crosstalk.checks.tally import Tally
from crosstalk.checks.verdicts import PASS, UNKNOWN
from crosstalk.checks.words import counted, listed


@dataclass(frozen=True, slots=True)
class Measurement:
    figures: dict[str, Any]  # the verdict's `measurement`
    gaps: tuple[str, ...]
    clock_causes: tuple[str, ...]


def measure(run: Mapping[str, Any], tally: Tally, generator: Generator) -> Measurement:
    finals = run.get("workers") or {}
    load_test = run.get("load_test") or {}
    started_ns = load_test.get("started_ns") or tally.health.first_ns()
    trouble = OwnTrouble(tally, generator, started_ns)
    gaps = (*_gaps(run, tally, finals), *trouble.gaps())
    arrivals = arrivals_of(load_test, finals, tally.runs.waited_share())
    causes = [*_target_causes(run, started_ns), *trouble.causes(), arrivals_cause(arrivals)]
    clock_causes = tuple(filter(None, causes))
    figures = {
        "verdict": UNKNOWN if gaps or clock_causes else PASS,
        "clock": run.get("clock") or _clock(tally),
        "receive_lag_ms": _spread(tally.samples("receive_lag_ms")),
        "receive_lag_ms_by_worker": {
            worker: _spread(tally.samples("receive_lag_ms", worker=worker))
            for worker in sorted(tally.runs.workers.names())
        },
        "schedule_lag_ms": _spread(tally.samples("schedule_lag_ms", window="all")),
        "hub_lag_ms": _spread(tally.health.hub_lag_ms()),
        "cpu_percent": {worker: round(value, 1) for worker, value in tally.health.cpu_percent_max().items()},
        **trouble.figures(),
        "exact_share": tally.runs.exact_share(),
        "unaccounted_events": sum(abs(missing) for missing in tally.unaccounted(finals).values()),
        "events": {
            "received": sum(tally.events_received(finals).values()),
            "recorded": sum(tally.runs.events_recorded().values()),
        },
        "arrivals": arrivals,
        "causes": [*gaps, *clock_causes],
        "remarks": trouble.remarks(),
    }
    return Measurement(figures, gaps, clock_causes)


def _gaps(run: Mapping[str, Any], tally: Tally, finals: Mapping[str, Mapping[str, Any]]) -> list[str]:
    gaps = [str(problem) for problem in run.get("problems") or []]
    examples = {row["name"]: row["came"] for row in reversed(tally.violations.evidence("harness"))}
    for name, count in tally.violations.by_name("harness").items():
        example = f" ({examples[name]})" if examples.get(name) else ""
        gaps.append(f"fault of the harness: {name}, {counted(count, 'times')}{example}")
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


def _target_causes(run: Mapping[str, Any], started_ns: int) -> list[str]:
    target = run.get("target") or {}
    if not target.get("changed"):
        return []
    seen = target.get("revisions") or []
    names = [f"{one['revision']} (seen at {max(one['seen_ns'] - started_ns, 0) / 1e9:.0f} s)" for one in seen[1:]]
    which = f": {seen[0]['revision']}, then {listed(names)}" if names else ""
    return [f"the target's revision changed during the load test{which}"]


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
