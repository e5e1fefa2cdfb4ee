"""The verdict: from what was seen to pass, fail or unknown, an exit code and one sentence.

Last station of the checks in the way of the data. Three judgements are made apart, delivery, isolation and timing; the
worst wins. Each check is guarded: one that crashes is unknown, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crosstalk.checks.goodput import goodput
from crosstalk.checks.judge_delivery import NAMES, judge_delivery
from crosstalk.checks.judge_isolation import NOTE, judge_isolation
from crosstalk.checks.judge_limits import Grounds, judge_limit, not_judged
from crosstalk.checks.judge_measurement import Measurement, measure
from crosstalk.checks.judge_phases import judge_phases
from crosstalk.checks.judge_slopes import judge_slopes
from crosstalk.checks.judge_steps import judge_families
from crosstalk.checks.limits import Limits, LimitsError
from crosstalk.checks.sentence import sentence_of
from crosstalk.checks.since import expectations_of, outcomes_of, since
from crosstalk.checks.tally import Tally
from crosstalk.checks.tally_runs import OUTCOMES
from crosstalk.checks.verdicts import FAIL, PASS, UNKNOWN, worst
from crosstalk.checks.workers import by_worker

SCHEMA_VERSION = 1
EXIT_PASS, EXIT_FAIL, EXIT_LEAK, EXIT_UNKNOWN, EXIT_NOT_READY = 0, 1, 3, 4, 5


def judge(run: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """The verdict of a load test, as `verdict.json` holds it.

    :param run: what `run.json` holds: `load_test`, `limits`, `target`, `workers`, `problems`, `previous`,
        `expectations`, `provenance`. What is missing is taken as empty.
    """
    limits, problem = _limits(run)
    measurement = _guarded(lambda: measure(run, tally, limits.generator), _unmeasured)
    gaps = (*measurement.gaps, *([problem] if problem else []))
    load_test = run.get("load_test") or {}
    played = tuple(load_test.get("families") or ())
    by_tag = bool(load_test.get("tags") or load_test.get("excluded_tags"))
    grounds = Grounds(tally, run.get("workers") or {}, (*gaps, *measurement.clock_causes), played, by_tag)
    families, crashed = _guarded(lambda: (judge_families(tally, played), ""), lambda why: ([], why))
    delivery = (
        _undelivered(crashed)
        if crashed
        else _guarded(lambda: judge_delivery(run, tally, limits, gaps, families), _undelivered)
    )
    isolation = _guarded(lambda: judge_isolation(tally, limits, gaps), _unisolated)
    phases, entries = judge_phases(limits, [judge_limit(limit, grounds) for limit in limits.limits])
    judgements = _judgements(delivery, isolation, entries)
    delivery = {**delivery, "verdict": judgements["delivery"], "own_verdict": delivery["verdict"]}
    identity = _guarded(lambda: _identity(tally), _unidentified)
    verdict = FAIL if identity["mismatched"] else worst(v for v in judgements.values() if v != "not judged")
    if identity.get("problem"):
        verdict = worst([verdict, UNKNOWN])  # nobody has looked at who the sockets belong to
    exit_code = _exit_code(verdict, isolation, identity, run.get("target") or {})
    if exit_code == EXIT_NOT_READY and verdict == PASS:
        verdict = UNKNOWN
    whole: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "word": "SHIP" if verdict == PASS else "HOLD",
        "verdict": verdict,
        "exit_code": exit_code,
        "sentence": "",
        "judgements": judgements,
        "phases": phases,
        "limits": entries,
        "not_judged": not_judged(entries),
        "delivery": delivery,
        "families": families,
        "isolation": isolation,
        "identity": identity,
        "connections": _guarded(lambda: dict(tally.connections.summary()), _unconnected),
        "measurement": measurement.figures,
        "window": _guarded(lambda: _window(tally), lambda why: {"state": "unknown", "reason": why}),
        "goodput": _guarded(lambda: goodput(tally, limits), lambda why: {"per_s": None, "problem": why}),
        "slopes": _guarded(lambda: judge_slopes(tally), lambda why: {"problem": why}),
        "workers": _guarded(lambda: by_worker(tally), lambda why: {"figures": {}, "slower": [], "problem": why}),
        "load_test": dict(run.get("load_test") or {}),
        "provenance": _provenance(run, limits),
    }
    whole["since"] = _guarded(lambda: _since(run, whole), _uncompared)
    whole["sentence"] = _guarded(lambda: sentence_of(whole, run), lambda why: f"{verdict}; no sentence: {why}.")
    return whole


def _limits(run: Mapping[str, Any]) -> tuple[Limits, str]:
    """The limits, and what is wrong with them: a verdict without any can only be unknown."""
    try:
        return Limits.from_dict(run["limits"]), ""
    except KeyError:
        return Limits("run.json"), "the record holds no limits"
    except LimitsError as error:
        return Limits("run.json"), f"the record's limits cannot be read: {error}"


def _judgements(
    delivery: Mapping[str, Any], isolation: Mapping[str, Any], entries: list[dict[str, Any]]
) -> dict[str, str]:
    """Each judgement with the limits that belong to it. One that nothing was asked of is `not judged`."""

    def of_limits(judgement: str) -> list[str]:
        return [e["verdict"] for e in entries if e["counts"] and e["judgement"] == judgement]

    isolated = [isolation["verdict"]] if isolation["judged"] else []
    isolated += of_limits("isolation")
    return {
        "delivery": worst([delivery["verdict"], *of_limits("delivery")]),
        "isolation": worst(isolated) if isolated else "not judged",
        "timing": worst(of_limits("timing")) if of_limits("timing") else "not judged",
    }


def _exit_code(
    verdict: str, isolation: Mapping[str, Any], identity: Mapping[str, Any], target: Mapping[str, Any]
) -> int:
    """The first that applies."""
    if isolation["verdict"] == FAIL:
        return EXIT_LEAK
    if target.get("ready") is False or identity["mismatched"]:
        return EXIT_NOT_READY
    return {FAIL: EXIT_FAIL, UNKNOWN: EXIT_UNKNOWN, PASS: EXIT_PASS}[verdict]


def _since(run: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    now = {"outcomes": outcomes_of(verdict), "expectations": expectations_of(run)}
    return since(run.get("previous"), now | {"arrivals": (run.get("load_test") or {}).get("arrivals")})


def _window(tally: Tally) -> dict[str, Any]:
    """Which runs the times are of, and why; `runs_left_out`: of the ramp and the warm-up, cut ones aside."""
    window, runs = tally.runs.window(), tally.runs
    judged = int(runs.chosen("judged").sum())
    return {
        "state": window.state,
        "reason": window.reason,
        "from_ns": window.from_ns,
        "until_ns": window.until_ns,
        "warm_up_s": round(window.cut_s, 3),
        "blocks": window.blocks,
        "block_s": round(window.block_s, 3),
        "runs": judged,
        "runs_left_out": int(runs.chosen("all").sum()) - judged,
    }


def _identity(tally: Tally) -> dict[str, Any]:
    """Accounts whose sockets named somebody else, and one example in words."""
    evidence = tally.violations.evidence("identity")
    return {
        "mismatched": sorted(tally.mismatched()),
        "example": evidence[0] if evidence else None,
        "proofs": dict(sorted(tally.connections.identities.items())),
    }


def _provenance(run: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    target = run.get("target") or {}
    return {
        "limits": limits.source,
        **(run.get("provenance") or {}),
        "target": {name: target.get(name) for name in ("url", "revision", "source", "changed")},
    }


def _guarded(check: Callable[[], Any], otherwise: Callable[[str], Any]) -> Any:
    try:
        return check()
    except Exception as error:  # one check must not take the others with it
        return otherwise(f"the check itself crashed: {type(error).__name__}: {error}")


def _unmeasured(why: str) -> Measurement:
    nothing = {"p50": None, "p99": None, "max": None}
    figures = {
        "verdict": UNKNOWN,
        "clock": "unknown",
        **{lag: dict(nothing) for lag in ("receive_lag_ms", "schedule_lag_ms", "hub_lag_ms")},
        "receive_lag_ms_by_worker": {},
        "cpu_percent": {},
        "exact_share": None,
        "unaccounted_events": None,
        "events": {"received": None, "recorded": None},
        "arrivals": {},
        "causes": [why],
        "remarks": [],
    }
    return Measurement(figures, (why,), ())


def _undelivered(why: str) -> dict[str, Any]:
    runs = dict.fromkeys(("started", *OUTCOMES), 0)
    return {
        "verdict": UNKNOWN,
        "reasons": [why],
        "runs": runs,
        "violations": dict.fromkeys(NAMES, 0),
        "evidence": [],
    }


def _unidentified(why: str) -> dict[str, Any]:
    return {"mismatched": [], "example": None, "proofs": {}, "problem": why}


def _uncompared(why: str) -> dict[str, Any]:
    return {**since(None, {}), "problem": why}


def _unconnected(why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("attempted", "ready", "refused", "failed", "cut", "lost"))
    bad_tokens = {"attempted": None, "rejected": None}
    return {**nothing, "close_codes": {}, "identity": {}, "bad_tokens": bad_tokens, "problem": why}


def _unisolated(why: str) -> dict[str, Any]:
    return {
        "verdict": UNKNOWN,
        "judged": True,
        "reasons": [why],
        "violations": [],
        "violations_confirmed": 0,
        "violations_shown_only": 0,
        "channels": [],
        "opportunities": 0,
        "bound_95": None,
        "bound_95_weakest": None,
        "bound_95_all": None,
        "note": NOTE,
    }
