"""Since last time: two load tests in, what was fixed, still fails, is new, and was loosened out."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from crosstalk.checks.judge import judge
from crosstalk.checks.since import expectations_of, loosened, outcomes_of, since
from tests.checks.histories import (
    MS,
    clean,
    delivery_violation,
    history_of_slow_runs,
    lost_run,
    run_json,
    tally_of,
    violation,
    with_rows,
)

PROMPTS = {"lookup": {"expects": ["tool_executing", "tool_completed"]}, "plain": {"expects": []}}
EXPECTED: dict[str, Any] = {"prompts": PROMPTS, "timeouts": {"receive": 10.0, "agent": 8.0}}


def expectations() -> dict[str, Any]:
    return expectations_of(run_json(expectations=EXPECTED))


def limit_in(expected: dict[str, Any], name: str) -> dict[str, Any]:
    return next(limit for phase in expected["limits"]["phase"] for limit in phase["limit"] if limit["name"] == name)


def compared(before: dict[str, str], now: dict[str, str]) -> dict[str, Any]:
    return since({"id": "last", "outcomes": before, "expectations": {}}, {"outcomes": now, "expectations": {}})


def test_nothing_to_compare_with() -> None:
    assert since(None, {"outcomes": {"delivery": "fail"}, "expectations": {}}) == {
        "previous": None,
        "fixed": [],
        "still": [],
        "new": [],
        "loosened": [],
    }


@pytest.mark.parametrize(
    ("was", "now", "where", "said"),
    [
        ("fail", "pass", "fixed", "x"),
        ("fail", "fail", "still", "x"),
        ("fail", "unknown", "still", "x (failed then, could not be judged now)"),
        ("fail", "not judged", "still", "x (failed then, not judged now)"),
        ("fail", "not reached", "still", "x (failed then, not reached now)"),
        ("pass", "fail", "new", "x"),
        ("unknown", "fail", "new", "x"),
        ("pass", "unknown", "new", "x (passed then, could not be judged now)"),
        ("pass", "not reached", "new", "x (passed then, not reached now)"),
        ("pass", "pass", "", ""),
        ("unknown", "pass", "", ""),
        ("unknown", "unknown", "", ""),
        ("pass", "not judged", "", ""),
    ],
)
def test_what_became_of_a_check(was: str, now: str, where: str, said: str) -> None:
    result = compared({"x": was}, {"x": now})
    assert {name: result[name] for name in ("fixed", "still", "new")} == {
        name: [said] if name == where else [] for name in ("fixed", "still", "new")
    }
    assert result["previous"] == "last"


def test_a_check_that_was_not_there_before_is_new_when_it_fails() -> None:
    assert compared({}, {"x": "fail", "y": "pass"})["new"] == ["x"]


def test_what_fails_stands_before_what_could_not_be_judged() -> None:
    new = compared({"a": "pass", "b": "pass"}, {"a": "unknown", "b": "fail"})["new"]
    assert new == ["b", "a (passed then, could not be judged now)"]


def test_a_check_that_is_gone_is_not_fixed() -> None:
    result = compared({"limit: x": "fail"}, {})
    assert (result["fixed"], result["still"]) == ([], [])


def test_a_kind_of_violation_that_is_gone_is_fixed_only_where_delivery_holds() -> None:
    assert compared({"delivery: two_ends": "fail"}, {"delivery": "pass"})["fixed"] == ["delivery: two_ends"]
    assert compared({"delivery: two_ends": "fail"}, {"delivery": "unknown"})["fixed"] == []


def test_one_load_test_after_another() -> None:
    """A slow one that loses an event; then one that is quick again, and leaks."""
    history = history_of_slow_runs(3000)
    bad = with_rows(history, "violations", delivery_violation(of=history["runs"][0]))
    first = judge(run_json(), tally_of(bad))
    previous = {"id": "first", "outcomes": outcomes_of(first), "expectations": expectations_of(run_json())}
    previous = orjson.loads(orjson.dumps(previous))
    second = judge(run_json(previous=previous), tally_of(with_rows(clean(), "violations", violation(0))))
    assert second["since"] == {
        "previous": "first",
        "fixed": ["delivery", "delivery: missing", "limit: critical events complete", "limit: critical flow"],
        "still": [],
        "new": [
            "isolation",
            "isolation: channel 2, foreign content in one's own event",
            "limit: no context bleeding",
        ],
        "loosened": [],
    }


def test_a_percentile_that_had_too_few_samples_is_no_news() -> None:
    """`when_unknown = "warn"`: a smoke of 58 runs after one of 60 broke nothing."""
    before = outcomes_of(judge(run_json(), tally_of(clean(runs=60))))
    now = outcomes_of(judge(run_json(), tally_of(clean(runs=58))))
    assert now["limit: critical flow"] == "not judged"
    assert compared(before, now)["new"] == []


def test_what_was_never_reached_is_told_apart() -> None:
    outcomes = outcomes_of(judge(run_json(), tally_of({"runs": [lost_run(0)], "connections": []})))
    assert outcomes["limit: valid tokens accepted"] == "unknown"
    refused = {"connections": [row | dict(outcome="refused", error="no") for row in clean()["connections"]]}
    assert outcomes_of(judge(run_json(), tally_of(refused)))["limit: critical flow"] == "not reached"


# -- loosened


def change(path: str, value: Any) -> Any:
    """A change of one key of a limit: "critical flow.at_most"."""

    def apply(expected: dict[str, Any]) -> None:
        name, key = path.split(".")
        limit_in(expected, name)[key] = value

    return apply


def remove_limit(expected: dict[str, Any]) -> None:
    for phase in expected["limits"]["phase"]:
        phase["limit"] = [limit for limit in phase["limit"] if limit["name"] != "critical flow"]


def remove_phase(expected: dict[str, Any]) -> None:
    expected["limits"]["phase"] = [p for p in expected["limits"]["phase"] if p["name"] != "agents"]


def set_key(*path: str, to: Any) -> Any:
    def apply(expected: dict[str, Any]) -> None:
        *parents, last = path
        for key in parents:
            expected = expected[key]
        expected[last] = to

    return apply


def other_bound(expected: dict[str, Any]) -> None:
    del limit_in(expected, "critical flow")["at_most"]
    limit_in(expected, "critical flow")["at_least"] = 1.0


@pytest.mark.parametrize(
    ("apply", "lines"),
    [
        (remove_limit, ["p95 of service_time: limit removed (critical flow)"]),
        (
            remove_phase,
            [
                "agent runs completed: limit removed (agent runs completed)",
                "tools reliable: limit removed (tools reliable)",
                "max of handoff_time: limit removed (hand-offs)",
                "discovery: limit removed (discovery)",
                "agents run and stop: limit removed (agents run and stop)",
                "agents work together: limit removed (agents work together)",
            ],
        ),
        (change("critical flow.at_most", 3000.0), ["p95 of service_time: 2,000 → 3,000 ms"]),
        (change("agent runs completed.at_least", 0.98), ["agent runs completed: 100 % → 98.0 %"]),
        (change("no close 1011.at_most", 2.0), ["no close 1011: 0 → 2"]),
        (change("agent runs completed.when_unknown", "warn"), ["agent runs completed: when unknown: fail → warn"]),
        (change("agent runs completed.required", False), ["agent runs completed: required → not required"]),
        (change("connect.statistic", "p95"), ["max of connect_time: statistic max → p95"]),
        (change("critical flow.statistic", "p50"), ["p95 of service_time: statistic p95 → p50"]),
        (change("critical flow.metric", "accept_time_ms"), ["p95 of service_time: now of accept_time_ms"]),
        (other_bound, ["p95 of service_time: at most 2,000 ms → no such limit"]),
        (set_key("channels", to=[1, 2, 3, 17, 22]), ["channel 20: no longer required"]),
        (set_key("control_min", to=0.5), ["positive control: own canaries back at least 90.0 % → 50.0 %"]),
        (set_key("nonce", to="not_required"), ["nonce: every_run → not_required"]),
        (set_key("prompts", to={"lookup": PROMPTS["lookup"]}), ["prompt family plain: removed"]),
        (
            set_key("prompts", "lookup", to={"expects": ["tool_executing"]}),
            ["prompt family lookup: no longer expects tool_completed"],
        ),
        (
            set_key("prompts", to={"lookup": ["tool_executing"], "plain": []}),
            ["prompt family lookup: no longer expects tool_completed"],
        ),
        (set_key("timeouts", "agent", to=20.0), ["timeout agent: 8 → 20 s"]),
        (set_key("timeouts", to={"agent": 8.0}), ["timeout receive: 10 s → none"]),
        (
            set_key("limits", "generator", "cpu_percent_max", to=99.0),
            ["generator cpu_percent_max: 90 → 99"],
        ),
    ],
)
def test_each_way_to_ask_for_less_is_named(apply: Any, lines: list[str]) -> None:
    before, after = expectations(), copy.deepcopy(expectations())
    apply(after)
    assert loosened(before, after) == [f"LOOSENED {line}" for line in lines]
    # and the other way round it is no loosening, but where a metric or a bound was exchanged for another
    if apply is not other_bound and "now of" not in lines[0]:
        assert loosened(after, before) == []


def test_nothing_changed_nothing_loosened() -> None:
    assert loosened(expectations(), expectations()) == []
    assert loosened({}, expectations()) == []


def test_a_limit_that_was_only_shown_may_go() -> None:
    after = expectations()
    after["limits"]["phase"][3]["limit"] = after["limits"]["phase"][3]["limit"][:-1]
    assert loosened(expectations(), after) == []


def test_a_lower_limit_weakens_towards_the_maximum() -> None:
    """At least 1 ms at p50 is more than at least 1 ms at the maximum."""
    before, after = expectations(), expectations()
    for expected, statistic in ((before, "p50"), (after, "max")):
        limit = limit_in(expected, "critical flow")
        del limit["at_most"]
        limit |= {"at_least": 1.0, "statistic": statistic}
    assert loosened(before, after) == ["LOOSENED p50 of service_time: statistic p50 → max"]
    assert loosened(after, before) == []


def test_expectations_are_taken_from_the_limits_where_not_given() -> None:
    expected = expectations_of(run_json())
    assert (expected["nonce"], expected["control_min"], expected["channels"]) == (
        "every_run",
        0.9,
        [1, 2, 3, 17, 20, 22],
    )
    assert expectations_of({})["channels"] == []


def test_the_verdict_names_what_was_loosened() -> None:
    before = expectations()
    limit_in(before, "critical flow")["at_most"] = 1500.0
    previous = {"id": "first", "outcomes": {}, "expectations": before}
    verdict = judge(run_json(previous=previous, expectations=EXPECTED), tally_of(clean()))
    assert verdict["since"]["loosened"] == ["LOOSENED p95 of service_time: 1,500 → 2,000 ms"]


def test_slow_runs_are_slow() -> None:
    """The history that others here build on."""
    ends = {row["end_ns"] - row["sent_ns"] for row in history_of_slow_runs(3000)["runs"]}
    assert ends == {3000 * MS}
