"""The metrics that a limit may name: what each counts, in which unit, and which judgement it belongs to.

A metric is of one kind: a *share* (hits of n), a *count* (of n opportunities), or a *time* (samples in ms, name ends
in `_ms`). `event_time_ms[KIND]` and `event_gap_ms[KIND]` exist for every kind of event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crosstalk.wire.event import RUN_KINDS

#: kind of metric → statistics that may be taken of it, the strictest upper one first
STATISTICS: dict[str, tuple[str, ...]] = {
    "share": ("share",),
    "count": ("count",),
    "time": ("max", "p99", "p95", "p90", "p50"),
}
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Metric:
    """`gate`: a share that is 0 means that nothing got through, so what comes after it was never reached."""

    name: str
    kind: str  # share | count | time
    samples: str  # what one sample is, in the plural
    judgement: str  # delivery | isolation | timing
    text: str
    source: str  # what a sample is taken from: connection | run | event
    gate: bool = False

    @property
    def unit(self) -> str:
        return {"time": "ms", "share": "share", "count": ""}[self.kind]


def _times(source: str, samples: str, **texts: str) -> list[Metric]:
    return [Metric(f"{name}_ms", "time", samples, "timing", text, source) for name, text in texts.items()]


_EVENT_METRICS = {
    "event_time_ms": "the event of that kind - sent",
    "event_gap_ms": "the event of that kind - the event before it in the run",
}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in [
        Metric(
            "tokens_accepted", "share", "connections", "delivery", "valid tokens that led to ready", "connection", True
        ),
        Metric("bad_tokens_rejected", "share", "bad tokens", "delivery", "bad tokens properly refused", "connection"),
        Metric("runs_ok", "share", "runs", "delivery", "runs that ended ok", "run", True),
        Metric("tools_complete", "share", "tool calls", "delivery", "tool calls with a completion", "run"),
        Metric("events_complete", "share", "runs", "delivery", "runs whose events came complete and in order", "run"),
        Metric(
            "connections_lost", "count", "connections", "delivery", "ready connections ended, not by us", "connection"
        ),
        Metric("close_1011", "count", "connections", "delivery", "connections closed with 1011", "connection"),
        Metric("events_lost", "count", "events", "delivery", "events received and not recorded", "event"),
        Metric("isolation_violations", "count", "checked events", "isolation", "what reached another user", "event"),
        *_times(
            "connection",
            "connections",
            connect_time="TCP (and TLS) done - start of the connect",
            upgrade_time="101 in hand - start of the connect",
            ready_time="welcome in hand - start of the connect",
            authentication_time="welcome in hand - 101 in hand",
            probe_time="round trip of a ping frame: each connection's median",
        ),
        *_times("connection", "lost connections", reconnect_time="ready again - transport lost"),
        *_times(
            "run",
            "runs",
            accept_time="first frame that acknowledges the turn - sent",
            time_to_first_event="first event of the run - sent",
            time_to_first_chunk="first streamed text - sent",
            service_time="end of the run - sent",
            response_time="end of the run - intended",
            stall_max="largest gap between any two events of a run",
            schedule_lag="sent - intended, of turns whose user was free and connected in time",
        ),
        *_times("run", "runs with a hand-off", handoff_time="hand-off to first event of the agent that took over"),
        *_times("event", "chunk gaps", chunk_gap="gap between consecutive chunks of a run"),
        *_times("event", "tool calls", tool_time="tool_completed - tool_executing"),
        *_times("event", "events", receive_lag="received - arrived: the harness's own"),
    ]
}

#: times of the load generator, which say nothing of the target
OF_THE_GENERATOR = ("schedule_lag_ms", "receive_lag_ms")

_OF_A_KIND = re.compile(r"(event_time_ms|event_gap_ms)\[([a-z][a-z0-9_]*)\]")


def metric_of(name: str) -> Metric | None:
    """The metric of that name, or None."""
    if name in METRICS:
        return METRICS[name]
    of_a_kind = kind_in(name)
    if of_a_kind is None or of_a_kind[1] not in RUN_KINDS:
        return None
    return Metric(name, "time", f"{of_a_kind[1]} events", "timing", _EVENT_METRICS[of_a_kind[0]], "event")


def metric_unit(name: str) -> str:
    """ "ms", "share", or "" for a count and for a metric that does not exist."""
    metric = metric_of(name)
    return metric.unit if metric else ""


def kind_in(name: str) -> tuple[str, str] | None:
    """ "event_gap_ms[thinking]" → ("event_gap_ms", "thinking"); None for other metrics."""
    match = _OF_A_KIND.fullmatch(name)
    return (match[1], match[2]) if match else None
