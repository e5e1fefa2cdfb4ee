"""One limit against the tally: pass, fail or unknown, with the figures and the reason.

A percentile passes when the confidence bound of its quantile is inside the limit, fails when the whole interval lies
outside, and is unknown between; without a steady state it cannot pass, for there is no one quantile to be inside.
Beside the interval that is judged stands the one that allows for users who differ (`by_user`). A maximum, a count, and
a share whose limit is 100 % or 0 % are promises about every attempt: the attempts themselves decide. Other shares are
judged by their exact (Clopper-Pearson) bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosstalk.checks import statistics
from crosstalk.checks.by_user import ByUser, bounds_by_user
from crosstalk.checks.judge_slopes import find_slope
from crosstalk.checks.limits import Limit, Limits
from crosstalk.checks.metrics import OF_THE_GENERATOR, QUANTILES, Metric, families_of, metric_of, metric_unit, place_in
from crosstalk.checks.steady import UNSTEADY
from crosstalk.checks.tally import Tally
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN
from crosstalk.checks.words import counted, listed, number, percent, quantity

NO_OPPORTUNITY = "no opportunity"
#: of a limit about journeys that no user of this scenario makes: shown, not judged
NOBODY_PLAYS = "not in this scenario: nobody makes this journey"
#: of a limit about steps that the target has not: shown, not judged
NOT_OFFERED = "not offered by the target"
#: of a limit without a sample where only some users take part (`--tags`): nobody may be left who does what it is about
NOT_CHOSEN = "no opportunity for the users that were chosen by tag"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What limits are judged on. `clock_causes`: why no time can be believed; then every time is unknown."""

    tally: Tally
    workers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the final word of each
    clock_causes: tuple[str, ...] = ()
    played: tuple[str, ...] = ()  # families of journeys that somebody of the scenario plays
    chosen_by_tag: bool = False  # only some of the scenario's users take part


@dataclass(frozen=True, slots=True)
class Finding:
    """`value` None: no number may be given. `needed`: samples from which on the limit can be judged."""

    verdict: str
    value: float | None
    n: int
    reason: str
    ci: tuple[float | None, float | None] | None = None
    needed: int | None = None
    by_user: ByUser | None = None


def judge_limit(limit: Limit, grounds: Grounds) -> dict[str, Any]:
    """A limit's entry in the verdict. Never raises: a check that crashes is unknown, and says so."""
    try:
        metric = metric_of(limit.metric)
        if metric is None:
            raise ValueError(f"unknown metric {limit.metric!r}")
        finding = _find(limit, metric, grounds)
        if not finding.n and (why := _out_of_reach(limit, metric, grounds)):
            limit, finding = replace(limit, required=False), replace(finding, reason=why)
        beside = _beside(limit, metric, grounds.tally)
    except Exception as error:  # one check must not take the others with it
        metric, beside = None, {}
        finding = Finding(UNKNOWN, None, 0, f"the check itself crashed: {type(error).__name__}: {error}")
    counts = limit.required and not (finding.verdict == UNKNOWN and limit.when_unknown == "warn")
    return {
        "name": limit.name,
        "phase": limit.phase,
        "metric": limit.metric,
        "statistic": limit.statistic,
        "limit": limit.bound,
        "value": _finite(finding.value),
        "ci": None if finding.ci is None else [_finite(bound) for bound in finding.ci],
        "n": finding.n,
        "by_user": _by_user(finding.by_user),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "direction": None if limit.bound is None else ("at_most" if limit.at_most is not None else "at_least"),
        "unit": metric.unit if metric else "",
        "samples": metric.samples if metric else "",
        "judgement": metric.judgement if metric else "delivery",
        "required": limit.required,
        "when_unknown": limit.when_unknown,
        "counts": counts,
        "needed": finding.needed,
        **beside,
    }


def _out_of_reach(limit: Limit, metric: Metric, grounds: Grounds) -> str:
    """Why a limit cannot have samples here, whatever the target does; "" where it could. What everybody goes through (a
    sign-in, a run) must be seen in any choice of users."""
    families = families_of(limit.metric)
    if not families:
        return NOT_CHOSEN if grounds.chosen_by_tag and not metric.gate else ""
    if not set(families) & set(grounds.played):
        return NOBODY_PLAYS
    why = grounds.tally.steps.why_nothing(*place_in(metric.name))
    return f"{NOT_OFFERED}: {why}" if why else ""


def undecided(
    limits: Limits, tally: Tally, played: tuple[str, ...] = (), *, chosen_by_tag: bool = False
) -> list[Limit]:
    """Required limits that are neither passed nor failed yet, for a live look at a load test that is going on.

    `events_lost` is left out: events under way look lost until the end. Looking again and again, and stopping at the
    first decision, makes the 95 % of a bound nominal.
    """
    grounds = Grounds(tally, played=played, chosen_by_tag=chosen_by_tag)
    judged = [limit for limit in limits.limits if limit.required and limit.metric != "events_lost"]
    entries = [(limit, judge_limit(limit, grounds)) for limit in judged]
    return [limit for limit, entry in entries if entry["required"] and entry["verdict"] == UNKNOWN]


def samples_for(limit: Limit) -> int:
    """Fewest samples with which the limit can pass."""
    if limit.statistic in QUANTILES:
        quantile = QUANTILES[limit.statistic]
        return statistics.samples_needed(quantile if limit.at_least is None else 1.0 - quantile)
    if limit.statistic == "share" and limit.bound not in (0.0, 1.0, None):
        assert limit.bound is not None
        return statistics.samples_needed(limit.bound if limit.at_most is None else 1.0 - limit.bound)
    return 1


def plan_sentence(limits: Limits, *, users: int, seconds_per_turn: float, run_time_s: float | None) -> str:
    """What a load test will be able to judge, said before it starts.

    Counts one sample a turn for metrics of runs and events, one a user for those of connections; what needs something
    special (a hand-off, a tool call) may get fewer, and chunk gaps are many more. How often a step of a journey comes,
    nobody knows before.
    """
    groups: dict[tuple[str, str, int], list[str]] = {}
    for limit in limits.limits:
        needed, metric = samples_for(limit), metric_of(limit.metric)
        if limit.required and metric is not None and metric.source != "step" and needed > 1:
            source = "connections" if metric.source == "connection" else "runs"
            groups.setdefault((limit.statistic, source, needed), []).append(limit.metric.replace("_ms", ""))
    will: list[str] = []
    will_not: list[str] = []
    for (statistic, source, needed), names in groups.items():
        what = f"{statistic} of {listed(names, most=4)} needs {counted(needed, source)}"
        if source == "connections":
            (will if users >= needed else will_not).append(f"{what}: {counted(users, 'users')}, one connection each")
            continue
        seconds = needed * seconds_per_turn / users if users else math.inf
        pace = f"{counted(users, 'users')} x one run per ~{number(seconds_per_turn)} s"
        late = run_time_s is not None and seconds > run_time_s
        (will_not if late else will).append(f"{what}: {pace} = about {number(_rounded_up(seconds))} s")
    parts = ["will judge: " + "; ".join(will)] if will else []
    if will_not:
        within = f" in {number(run_time_s)} s" if run_time_s is not None else ""
        parts.append(f"will not be reached{within}: " + "; ".join(will_not))
    return "; ".join(parts) or "every limit is judged by each attempt; no number of samples is needed"


def _rounded_up(seconds: float) -> float:
    return math.ceil(seconds) if math.isfinite(seconds) else seconds


def _find(limit: Limit, metric: Metric, grounds: Grounds) -> Finding:
    find = {"share": _find_share, "count": _find_count, "time": _find_time, "slope": _find_slope}[metric.kind]
    finding = find(limit, metric, grounds)
    if limit.bound is None and finding.verdict != UNKNOWN:
        return replace(finding, verdict=UNKNOWN, reason="shown; no limit is set")
    if metric.judgement == "timing" and metric.source != "memory" and grounds.clock_causes:
        why = f"timing cannot be believed: {listed(list(grounds.clock_causes), most=2)}"
        return replace(finding, verdict=UNKNOWN, reason=why)
    of_runs = (
        metric.kind == "time" and metric.source not in ("connection", "step") and metric.name not in OF_THE_GENERATOR
    )
    if finding.verdict == PASS and of_runs:
        window = grounds.tally.runs.window()
        if window.state == UNSTEADY:
            return replace(finding, verdict=UNKNOWN, reason=f"{UNSTEADY}: {window.reason}")
    return finding


def _find_share(limit: Limit, metric: Metric, grounds: Grounds) -> Finding:
    share = grounds.tally.share(limit.metric)
    if share.n == 0:
        return Finding(UNKNOWN, None, 0, f"{NO_OPPORTUNITY}: no {metric.samples}")
    value, said = share.hits / share.n, f"{share.hits:,} of {counted(share.n, metric.samples)}"
    bounds = statistics.share_bounds(share.hits, share.n)
    if limit.bound in (0.0, 1.0, None):
        return Finding(_compare(value, value, limit), value, share.n, said, bounds, 1)
    verdict, needed = _compare(*bounds, limit), samples_for(limit)
    if verdict == UNKNOWN:
        said += f": between {percent(bounds[0])} and {percent(bounds[1])} at 95 %"
        said += f"; at least {counted(needed, metric.samples)} are needed" if share.n < needed else ""
    return Finding(verdict, value, share.n, said, bounds, needed)


def _find_count(limit: Limit, metric: Metric, grounds: Grounds) -> Finding:
    count = grounds.tally.count(limit.metric, workers=grounds.workers)
    verdict = _compare(count.count, count.count, limit)
    if count.n == 0 and verdict != FAIL:
        return Finding(UNKNOWN, None, 0, f"{NO_OPPORTUNITY}: no {metric.samples}")
    said = f"{count.count:,} of {counted(count.n, metric.samples)}"
    if verdict == FAIL and limit.metric == "events_lost":
        # ours, not the target's: an incomplete measurement accuses nobody
        return Finding(UNKNOWN, float(count.count), count.n, f"{said} unaccounted for: the measurement is incomplete")
    return Finding(verdict, float(count.count), count.n, said, None, 1)


def _find_time(limit: Limit, metric: Metric, grounds: Grounds) -> Finding:
    samples, users = grounds.tally.samples_by_user(limit.metric)
    n, needed = len(samples), samples_for(limit)
    if n == 0:
        return Finding(UNKNOWN, None, 0, _no_samples(metric, grounds.tally, limit), None, needed)
    never = int(np.sum(np.isinf(samples)))
    lost = f"; {never:,} never got there" if never else ""
    if limit.statistic == "max":
        value = float(samples[-1])
        return Finding(_compare(value, value, limit), value, n, f"worst of {counted(n, metric.samples)}{lost}", None, 1)
    quantile = QUANTILES[limit.statistic]
    low, high = statistics.lower_bound(samples, quantile), statistics.upper_bound(samples, quantile)
    by_user = bounds_by_user(samples, users, quantile)
    verdict = _compare(*_ends(low, high), limit)
    point = statistics.percentile(samples, quantile) if n >= needed else None
    why = _why(verdict, low, high, n, needed, metric) + lost
    if verdict != UNKNOWN and by_user is not None and verdict != _compare(*_ends(by_user.low, by_user.high), limit):
        why += f"; as its users differ, these are worth {by_user.worth:,}, too few to be sure"
    return Finding(verdict, point, n, why, (low, high), needed, by_user)


def _find_slope(limit: Limit, metric: Metric, grounds: Grounds) -> Finding:
    """The whole interval must lie inside: what may grow is not known not to."""
    found = find_slope(grounds.tally, limit.metric)
    if found.low is None or found.high is None:
        return Finding(UNKNOWN, None, found.n, f"{NO_OPPORTUNITY}: {found.reason}" if not found.n else found.reason)
    verdict = _compare(found.low, found.high, limit)
    why = f"between {number(round(found.low, 2))} and {number(round(found.high, 2))} {metric.unit} at 95 %"
    why += f", by {counted(found.n, metric.samples)}"
    if verdict == FAIL and metric.source == "memory" and "harness" in limit.metric:
        # ours, not the target's: it accuses nobody
        return Finding(UNKNOWN, found.value, found.n, f"{why}: the harness itself grows", (found.low, found.high))
    return Finding(verdict, found.value, found.n, why, (found.low, found.high))


def _ends(low: float | None, high: float | None) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


def _why(verdict: str, low: float | None, high: float | None, n: int, needed: int, metric: Metric) -> str:
    if n < needed:
        short = f"insufficient n: {n:,} of {counted(needed, metric.samples)}"
        return f"{short}, yet at least {quantity(low, 'ms')} at 95 %" if verdict == FAIL else short
    if verdict == UNKNOWN:
        between = f"between {quantity(low, 'ms')} and {quantity(high, 'ms')} at 95 %"
        return f"{between}, on both sides of the limit: more {metric.samples} are needed"
    return counted(n, metric.samples)


def _no_samples(metric: Metric, tally: Tally, limit: Limit) -> str:
    everywhere = len(tally.samples(limit.metric, window="all"))
    if everywhere:
        return f"{NO_OPPORTUNITY} after the ramp: {counted(everywhere, metric.samples)} during it"
    return f"{NO_OPPORTUNITY}: no {metric.samples}"


def _compare(low: float, high: float, limit: Limit) -> str:
    """Where an interval lies against a limit; `low` equal to `high` is a certain figure."""
    if limit.bound is None:
        return PASS
    if limit.at_most is not None:
        return PASS if high <= limit.at_most else FAIL if low > limit.at_most else UNKNOWN
    return PASS if low >= limit.bound else FAIL if high < limit.bound else UNKNOWN


def _beside(limit: Limit, metric: Metric, tally: Tally) -> dict[str, Any]:
    """Of times: the whole run's figure, the ramp included, and each worker's own. Shown, never judged."""
    if metric.kind != "time":
        return {}

    def figure(samples: np.ndarray) -> dict[str, Any]:
        enough = len(samples) >= samples_for(limit)
        quantile = QUANTILES.get(limit.statistic, 1.0)
        return {"value": _finite(statistics.percentile(samples, quantile)) if enough else None, "n": len(samples)}

    workers = {worker: figure(tally.samples(limit.metric, worker=worker)) for worker in tally.runs.workers.names()}
    return {"whole_run": figure(tally.samples(limit.metric, window="all")), "workers": dict(sorted(workers.items()))}


def _by_user(found: ByUser | None) -> dict[str, Any] | None:
    """The bounds that allow for users who differ, and how many independent samples these are worth."""
    if found is None:
        return None
    return {"ci": [_finite(found.low), _finite(found.high)], "worth": found.worth, "users": found.users}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def limit_sentence(entry: Mapping[str, Any]) -> str:
    """An entry of the verdict in words: "p95 of service_time 812 ms, limit 2,000 ms"."""
    label = limit_label(entry)
    bound = quantity(entry["limit"], entry["unit"])
    if entry["value"] is None or (entry["verdict"] == UNKNOWN and entry["required"]):
        return f"{label}: {entry['reason']} (limit {bound})"
    sentence = f"{label} {quantity(entry['value'], entry['unit'])}, limit {bound}"
    return f"{sentence} ({entry['reason']})" if entry["unit"] != "ms" else sentence


def limit_label(entry: Mapping[str, Any]) -> str:
    """What is promised, short: "p95 of service_time" for a time, the limit's own name for the others."""
    if metric_unit(str(entry["metric"])) == "ms":
        return f"{entry['statistic']} of {str(entry['metric']).replace('_ms', '')}"
    return str(entry["name"])


def not_judged(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Required limits that are unknown, each with what it would take."""
    return [limit_sentence(e) for e in entries if e["required"] and e["verdict"] == UNKNOWN]
