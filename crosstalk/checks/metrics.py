"""The metrics that a limit may name: what each counts, in which unit, and which judgement it belongs to.

A metric is of one kind: a *share* (hits of n), a *count* (of n opportunities), or a *time* (samples in ms, name ends
in `_ms`). `event_time_ms[KIND]` and `event_gap_ms[KIND]` exist for every kind of event. Metrics of steps may name a
family, or a step of it: `steps_ok[FAMILY]`, `steps_ok[FAMILY/STEP]`, `journeys_ok[FAMILY]`,
`step_time_ms[FAMILY/STEP]`, `journey_time_ms[FAMILY]`. A *slope* is the change of a time or of a memory in the course
of the load test: `slope_ms_per_h[METRIC]`, `slope_percent_per_h[METRIC]`, `slope_ms_per_100_connections[METRIC]`,
`slope_mib_per_h[MEMORY]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crosstalk.checks.families import FAMILIES
from crosstalk.wire.event import RUN_KINDS

#: kind of metric → statistics that may be taken of it, the strictest upper one first
STATISTICS: dict[str, tuple[str, ...]] = {
    "share": ("share",),
    "count": ("count",),
    "time": ("max", "p99", "p95", "p90", "p50"),
    "slope": ("slope",),
}
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Metric:
    """`gate`: a share that is 0 means that nothing got through, so what comes after it was never reached."""

    name: str
    kind: str  # share | count | time | slope
    samples: str  # what one sample is, in the plural
    judgement: str  # delivery | isolation | timing
    text: str
    source: str  # what a sample is taken from: connection | run | event | step | memory
    gate: bool = False

    @property
    def unit(self) -> str:
        if self.kind == "slope":
            unit, per, _ = slope_in(self.name) or ("", "", "")
            return f"{SLOPE_UNITS[unit]}/{per.replace('_', ' ')}"
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
        Metric(
            "connections_lost_unannounced",
            "count",
            "connections",
            "delivery",
            "connections lost without a goodbye that asks to come again (1001, 1012, 1013)",
            "connection",
        ),
        Metric(
            "connections_recovered",
            "share",
            "lost connections",
            "delivery",
            "lost connections whose account was ready again",
            "connection",
        ),
        Metric("close_1011", "count", "connections", "delivery", "connections closed with 1011", "connection"),
        Metric("events_lost", "count", "events", "delivery", "events received and not recorded", "event"),
        Metric("retries", "count", "events", "delivery", "events that came again, and said so", "event"),
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
        Metric("steps_ok", "share", "steps", "delivery", "steps of journeys that did what they should", "step"),
        Metric("journeys_ok", "share", "journeys", "delivery", "journeys of which every step did", "step"),
        *_times("step", "sign-ins by OAuth", oauth_time="tokens in hand - begin of the authorization"),
        *_times("event", "chunk gaps", chunk_gap="gap between consecutive chunks of a run"),
        *_times("event", "tool calls", tool_time="tool_completed - tool_executing"),
        *_times("event", "events", receive_lag="received - arrived: the harness's own"),
    ]
}

#: times of the load generator, which say nothing of the target
OF_THE_GENERATOR = ("schedule_lag_ms", "receive_lag_ms")

#: times whose slope may be told, and memories with their names on paper
SLOPES_OF_TIMES = ("accept_time_ms", "time_to_first_event_ms", "time_to_first_chunk_ms", "service_time_ms")
SLOPES_OF_MEMORY = {
    "harness_heap": "the harness's own heap",
    "harness_rss": "the harness's resident memory",
    "target_memory": "the target's memory",
}
SLOPE_UNITS = {"ms": "ms", "percent": "%", "mib": "MiB"}

_STEPS = re.compile(r"(steps_ok|journeys_ok|step_time_ms|journey_time_ms)\[([a-z_]+)(?:/([^\]]+))?\]")
_SLOPES = re.compile(r"slope_(ms|percent|mib)_per_(h|100_connections)\[([a-z_]+)\]")
_OF_A_KIND = re.compile(r"(event_time_ms|event_gap_ms)\[([a-z][a-z0-9_]*)\]")


def metric_of(name: str) -> Metric | None:
    """The metric of that name, or None."""
    if name in METRICS:
        return METRICS[name]
    if (of_steps := _STEPS.fullmatch(name)) is not None:
        return _metric_of_steps(name, of_steps[1], of_steps[2], of_steps[3])
    if slope_in(name) is not None:
        return _metric_of_slope(name)
    of_a_kind = kind_in(name)
    if of_a_kind is None or of_a_kind[1] not in RUN_KINDS:
        return None
    return Metric(name, "time", f"{of_a_kind[1]} events", "timing", _EVENT_METRICS[of_a_kind[0]], "event")


def place_in(name: str) -> tuple[str, str | None]:
    """(family, step) that a metric of steps is about; family "": all; step None: all steps, "": whole journeys."""
    if name == "oauth_time_ms":
        return "", "oauth"
    base, _, rest = name.rstrip("]").partition("[")
    family, _, step = rest.partition("/")
    return family, "" if base.startswith("journey") else step or None


def families_of(name: str) -> tuple[str, ...]:
    """Families of which one must be played, or the metric can have no samples; empty where nothing is needed."""
    metric = metric_of(name)
    if metric is None or metric.source != "step":
        return ()
    family = place_in(name)[0]
    return (family,) if family else ("sign_in", "newcomer") if name == "oauth_time_ms" else tuple(FAMILIES)


def _metric_of_steps(name: str, base: str, family: str, step: str | None) -> Metric | None:
    journeys = base.startswith("journey")
    if family not in FAMILIES or (journeys and step) or (base == "step_time_ms" and not step):
        return None
    samples = f"journeys of {family}" if journeys else f"steps {step!r} of {family}" if step else f"steps of {family}"
    if base.endswith("_ms"):
        return Metric(name, "time", samples, "timing", f"from begin to end, of {samples}", "step")
    return Metric(name, "share", samples, "delivery", f"{samples} that did what they should", "step")


def slope_in(name: str) -> tuple[str, str, str] | None:
    """ "slope_ms_per_h[service_time_ms]" → ("ms", "h", "service_time_ms"); None for other metrics."""
    match = _SLOPES.fullmatch(name)
    if match is None:
        return None
    unit, per, of = match.groups()
    fits = of in SLOPES_OF_MEMORY if unit == "mib" else of in SLOPES_OF_TIMES
    return (unit, per, of) if fits and (per == "h" or unit == "ms") else None


def _metric_of_slope(name: str) -> Metric:
    unit, per, of = slope_in(name) or ("", "", "")
    what, samples = (SLOPES_OF_MEMORY[of], "readings") if unit == "mib" else (of, "runs")
    text = f"change of {what} per " + ("hour" if per == "h" else "100 connections made")
    return Metric(name, "slope", samples, "timing", text, "memory" if unit == "mib" else "run")


def metric_unit(name: str) -> str:
    """ "ms", "share", or "" for a count and for a metric that does not exist."""
    metric = metric_of(name)
    return metric.unit if metric else ""


def kind_in(name: str) -> tuple[str, str] | None:
    """ "event_gap_ms[thinking]" → ("event_gap_ms", "thinking"); None for other metrics."""
    match = _OF_A_KIND.fullmatch(name)
    return (match[1], match[2]) if match else None
