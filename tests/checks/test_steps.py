"""Steps of journeys: rows in; counts, times, limits, the verdict's families and what changed since last time out."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.families import CUT, FAILED, FAMILIES, NOT_OFFERED, OK
from crosstalk.checks.judge_limits import NOBODY_PLAYS, NOT_CHOSEN, Grounds, judge_limit, undecided
from crosstalk.checks.judge_steps import failures_of, judge_families
from crosstalk.checks.limits import Limit, Limits, Phase
from crosstalk.checks.metrics import families_of, metric_of, place_in
from crosstalk.checks.tally import Share, Tally
from crosstalk.checks.tally_steps import EXAMPLES
from tests.checks.histories import MS, History, Row, clean, columns, failed_step, run_json, step, tally_of, verdict_of


def tally(*rows: Row) -> Tally:
    return tally_of({"steps": list(rows)})


def families(*rows: Row, played: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    return {one["family"]: one for one in judge_families(tally(*rows), played)}


def journey(n: int, *outcomes: str, family: str = "sign_in") -> list[Row]:
    """Steps a, b, … with these outcomes, and the row of the whole."""
    rows = [step(n, family=family, name="abcdef"[i], outcome=outcome) for i, outcome in enumerate(outcomes)]
    whole = FAILED if FAILED in outcomes else CUT if CUT in outcomes else OK
    return [*rows, step(n, family=family, name="", outcome=whole)]


# --- the tally ------------------------------------------------------------------------------------------------------


def test_only_attempts_count() -> None:
    """What we cut, and what the target has not, is neither a hit nor a miss."""
    found = tally(*(step(n, outcome=outcome) for n, outcome in enumerate((OK, OK, FAILED, CUT, NOT_OFFERED))))
    assert found.steps.outcomes("sign_in", "login") == {OK: 2, FAILED: 1, CUT: 1, NOT_OFFERED: 1}
    assert found.share("steps_ok") == found.share("steps_ok[sign_in]") == Share(2, 3)
    assert found.share("steps_ok[sign_in/login]") == Share(2, 3)
    assert found.share("steps_ok[sign_in/logout]") == found.share("steps_ok[recovery]") == Share(0, 0)
    assert len(found.samples("step_time_ms[sign_in/login]")) == 3


def test_steps_and_whole_journeys_are_never_mixed() -> None:
    rows = [*journey(0, OK, OK), *journey(1, OK, FAILED), *journey(2, OK, family="newcomer")]
    found = tally(*rows)
    assert found.share("steps_ok") == Share(4, 5)
    assert found.share("journeys_ok") == Share(2, 3)
    assert found.share("journeys_ok[sign_in]") == Share(1, 2)
    assert found.share("journeys_ok[newcomer]") == Share(1, 1)


def test_a_failed_step_has_an_infinite_time_and_its_account_beside_it() -> None:
    rows = [step(0, time_ns=30 * MS, account=3), failed_step(1, account=4), step(2, time_ns=10 * MS, account=3)]
    found, users = tally(*rows).samples_by_user("step_time_ms[sign_in/login]")
    assert found.tolist() == [10.0, 30.0, float("inf")]
    assert users[0] == users[1] != users[2]


def test_sign_ins_by_oauth_are_taken_from_every_family() -> None:
    rows = [
        step(0, name="oauth", time_ns=5 * MS),
        step(1, name="oauth", family="newcomer", time_ns=7 * MS),
        step(2, name="login"),
        step(3, name="", time_ns=9 * MS),
    ]
    assert tally(*rows).samples("oauth_time_ms").tolist() == [5.0, 7.0]
    assert families_of("oauth_time_ms") == ("sign_in", "newcomer")


def test_each_worker_has_its_own() -> None:
    found = tally(step(0, worker="w1", time_ns=5 * MS), step(1, worker="w2", time_ns=7 * MS))
    assert found.samples("step_time_ms[sign_in/login]", worker="w2").tolist() == [7.0]
    assert found.samples("step_time_ms[sign_in/login]", worker="w3").tolist() == []


def test_the_first_failures_are_kept_in_words() -> None:
    rows = [failed_step(n, came=f"HTTP 50{n}") for n in range(EXAMPLES + 2)]
    kept = tally(*rows).steps.examples("sign_in", "login")
    assert [one["came"] for one in kept] == [f"HTTP 50{n}" for n in range(EXAMPLES)]
    assert kept[0]["account"] == "k3f00000" and kept[0]["begun_ns"] == rows[0]["begun_ns"]


def figures(of: Tally) -> dict[str, Any]:
    """Everything that a tally can be asked about steps."""
    steps = of.steps
    return {
        "outcomes": {place: steps.outcomes(*place) for place in sorted(steps.places())},
        "examples": {place: steps.examples(*place) for place in steps.places()},
        "why": {place: (steps.why_not_offered(*place), steps.why_nothing(*place)) for place in steps.places()},
        **{m: of.share(m) for m in ("steps_ok", "journeys_ok", "steps_ok[limits]", "journeys_ok[sign_in]")},
        **{m: of.samples(m).tolist() for m in ("oauth_time_ms", "step_time_ms[limits/a]", "journey_time_ms[sign_in]")},
        "of w2": of.samples("journey_time_ms[limits]", worker="w2").tolist(),
    }


ROWS = st.lists(
    st.builds(
        lambda n, family, name, outcome, worker, ms: step(
            n, family=family, name=name, outcome=outcome, worker=worker, time_ns=ms * MS, came=outcome, expected="x",
            account=n % 5,
        ),
        st.integers(0, 50), st.sampled_from(("sign_in", "limits")), st.sampled_from(("", "a", "oauth")),
        st.sampled_from((OK, FAILED, CUT, NOT_OFFERED)), st.sampled_from(("w1", "w2")), st.integers(0, 90),
    ),
    max_size=30,
)  # fmt: skip


@given(ROWS, st.randoms(use_true_random=False))
def test_the_same_figures_however_the_rows_are_split(rows: list[Row], cuts: random.Random) -> None:
    bounds = [0, *sorted(cuts.sample(range(len(rows) + 1), k=min(4, len(rows)))), len(rows)]
    pieces = Tally()
    for first, last in itertools.pairwise(bounds):
        pieces.add("steps", columns("steps", rows[first:last]))
        if cuts.random() < 0.3:
            figures(pieces)
    assert figures(pieces) == figures(tally(*rows))


@given(ROWS)
def test_shares_and_times_are_those_that_one_counts_by_hand(rows: list[Row]) -> None:
    found = tally(*rows)
    for family, name in itertools.product(("sign_in", "limits"), ("a", "oauth")):
        own = Counter(row["outcome"] for row in rows if (row["family"], row["step"]) == (family, name))
        assert found.share(f"steps_ok[{family}/{name}]") == Share(own[OK], own[OK] + own[FAILED])
        times = found.samples(f"step_time_ms[{family}/{name}]")
        assert (int(np.isinf(times).sum()), len(times)) == (own[FAILED], own[OK] + own[FAILED])


# --- metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [
        ("steps_ok", "share", ("", None)),
        ("steps_ok[sign_in]", "share", ("sign_in", None)),
        ("steps_ok[sign_in/refresh in mid-run]", "share", ("sign_in", "refresh in mid-run")),
        ("journeys_ok", "share", ("", "")),
        ("journeys_ok[newcomer]", "share", ("newcomer", "")),
        ("journey_time_ms[newcomer]", "time", ("newcomer", "")),
        ("step_time_ms[five_events/envelope main/flat]", "time", ("five_events", "envelope main/flat")),
        ("oauth_time_ms", "time", ("", "oauth")),
    ],
)
def test_a_metric_of_steps_names_its_place(name: str, kind: str, place: tuple[str, str | None]) -> None:
    metric = metric_of(name)
    assert metric is not None
    assert (metric.kind, metric.source, place_in(name)) == (kind, "step", place)
    assert metric.judgement == ("timing" if kind == "time" else "delivery")


@pytest.mark.parametrize(
    "name",
    ["steps_ok[nobody]", "journeys_ok[sign_in/login]", "step_time_ms[sign_in]", "step_time_ms", "steps_ok[]", "steps"],
)
def test_what_is_no_metric_of_steps(name: str) -> None:
    assert metric_of(name) is None


# --- limits ---------------------------------------------------------------------------------------------------------


def limit(metric: str = "steps_ok[sign_in]", **changes: Any) -> Limit:
    bound: dict[str, Any] = {"statistic": "max", "at_most": 2000.0} if metric.endswith("]") and "_ms" in metric else {}
    bound = bound or ({"statistic": "p95", "at_most": 2000.0} if metric.endswith("_ms") else {})
    bound = bound or {"statistic": "share", "at_least": 1.0}
    return Limit(**({"name": "signing in", "phase": "auth", "metric": metric} | bound | changes))


def judged(one: Limit, *rows: Row, played: tuple[str, ...] = ("sign_in",)) -> dict[str, Any]:
    return judge_limit(one, Grounds(tally(*rows), played=played))


def test_one_failed_step_fails_a_promise_about_all() -> None:
    rows = [step(n) for n in range(400)]
    assert judged(limit(), *rows)["verdict"] == "pass"
    entry = judged(limit(), *rows, failed_step(400))
    assert (entry["verdict"], entry["n"], entry["counts"]) == ("fail", 401, True)


@pytest.mark.parametrize("metric", ["steps_ok[sign_in]", "steps_ok[sign_in/oauth]", "oauth_time_ms", "journeys_ok"])
def test_a_journey_that_nobody_makes_is_shown_as_that(metric: str) -> None:
    entry = judged(limit(metric), played=())
    assert (entry["verdict"], entry["required"], entry["counts"], entry["reason"]) == (
        "unknown", False, False, NOBODY_PLAYS,
    )  # fmt: skip


def test_a_journey_that_is_played_and_never_done_is_not_judged_and_counts() -> None:
    entry = judged(limit())
    assert (entry["verdict"], entry["required"], entry["counts"]) == ("unknown", True, True)
    assert "no opportunity" in entry["reason"]
    assert judged(limit(), step(0, outcome=CUT))["counts"] is True


@pytest.mark.parametrize("metric", ["steps_ok[sign_in]", "steps_ok[sign_in/oauth]", "oauth_time_ms"])
def test_what_the_target_has_not_is_shown_with_its_reason(metric: str) -> None:
    gone = step(0, name="oauth", outcome=NOT_OFFERED, expected="this protocol has no OAuth")
    entry = judged(limit(metric), gone)
    assert (entry["counts"], entry["required"]) == (False, False)
    assert entry["reason"] == "not offered by the target: this protocol has no OAuth"


def test_what_is_offered_beside_it_must_have_been_tried() -> None:
    gone = step(0, name="oauth", outcome=NOT_OFFERED, expected="none")
    assert judged(limit(), gone, step(1, outcome=CUT))["counts"] is True
    assert judged(limit(), gone, step(1))["verdict"] == "pass"
    assert judged(limit("steps_ok[sign_in/logout]"), gone)["counts"] is True  # nobody came so far


def test_a_live_look_waits_for_journeys_that_are_made_only() -> None:
    limits = Limits("x", phases=(Phase("auth", 1, limits=(limit(), limit("oauth_time_ms", name="oauth"))),))
    assert undecided(limits, tally(), ()) == []
    assert [one.name for one in undecided(limits, tally(), ("sign_in",))] == ["signing in", "oauth"]
    assert [one.name for one in undecided(limits, tally(step(0)), ("sign_in",))] == ["oauth"]


def test_oauth_is_judged_by_its_95th_percentile() -> None:
    rows = [step(n, name="oauth", time_ns=900 * MS) for n in range(59)]
    entry = judged(limit("oauth_time_ms"), *rows)
    assert (entry["verdict"], entry["value"]) == ("pass", 900.0)
    slow = [row | {"time_ns": 2500 * MS} for row in rows]
    assert judged(limit("oauth_time_ms"), *slow)["verdict"] == "fail"


# --- families in the verdict ----------------------------------------------------------------------------------------


def test_a_family_fails_by_one_step_and_is_unknown_without_any() -> None:
    found = families(
        *journey(0, OK, OK),
        *journey(1, OK, FAILED, family="limits"),
        *journey(2, CUT, family="recovery"),
        step(3, family="soak", outcome=NOT_OFFERED, expected="no such thing"),
        played=("sign_in", "newcomer"),
    )
    assert {name: one["verdict"] for name, one in found.items()} == {
        "sign_in": "pass", "limits": "fail", "recovery": "unknown", "soak": "unknown", "newcomer": "unknown",
    }  # fmt: skip
    assert found["newcomer"]["reason"] == "no step was completed" == found["recovery"]["reason"]
    assert found["soak"]["reason"] == "the target offers nothing of it"
    assert list(found) == sorted(found, key=list(FAMILIES).index)


def test_a_family_tells_its_journeys_and_steps() -> None:
    rows = [*journey(0, OK, OK), *journey(1, OK, FAILED), *journey(2, CUT)]
    rows = [row | {"time_ns": (10 + 10 * row["outcome"].count("ok")) * MS} for row in rows]
    own = families(*rows)["sign_in"]
    assert own["journeys"] == {"ok": 1, "failed": 1, "cut": 1, "p50_ms": 20.0, "max_ms": None}  # one never ended
    assert [(one["step"], one["ok"], one["failed"], one["cut"]) for one in own["steps"]] == [
        ("a", 2, 0, 1), ("b", 1, 1, 0),
    ]  # fmt: skip
    assert own["steps"][0]["max_ms"] == 20.0


def test_the_step_that_failed_first_is_named_first() -> None:
    early, late = failed_step(1, family="soak", name="refresh"), failed_step(9, name="login")
    said = failures_of(judge_families(tally(late, early, step(0)), ()))
    assert said == [
        "soak: refresh failed 1 of 1 time: expected HTTP 200, came HTTP 500",
        "sign-in: login failed 1 of 2 times: expected HTTP 200, came HTTP 500",
    ]


def with_steps(*rows: Row) -> History:
    return clean() | {"steps": list(rows)}


def played(*names: str) -> dict[str, Any]:
    return run_json()["load_test"] | {"families": list(names)}


def test_a_failed_step_fails_delivery_and_the_sentence_names_it() -> None:
    good = verdict_of(with_steps(*journey(0, OK)), load_test=played("sign_in"))
    assert (good["verdict"], good["exit_code"]) == ("pass", 0)
    bad = verdict_of(with_steps(*journey(0, OK), failed_step(1, name="oauth")), load_test=played("sign_in"))
    assert (bad["verdict"], bad["exit_code"], bad["judgements"]["delivery"]) == ("fail", 1, "fail")
    assert "sign-in: oauth failed 1 of 1 time: expected HTTP 200, came HTTP 500" in bad["sentence"]
    assert bad["families"][0]["verdict"] == "fail"


def test_the_sentence_names_the_step_before_what_else_went_wrong() -> None:
    from tests.checks.histories import delivery_violation, run

    names = ("missing", "duplicate", "out_of_order", "late", "malformed")
    history = with_steps(failed_step(1, name="oauth")) | {
        "violations": [delivery_violation(n, of=run(n), name=name) for n, name in enumerate(names)]
    }
    assert "sign-in: oauth failed" in verdict_of(history)["sentence"]


# --- since last time ------------------------------------------------------------------------------------------------


def previous(*rows: Row, families: tuple[str, ...] = ("sign_in",)) -> dict[str, Any]:
    from crosstalk.checks.since import expectations_of, outcomes_of

    run = run_json(load_test=played(*families))
    verdict = verdict_of(with_steps(*rows), load_test=run["load_test"])
    return {"id": "last", "arrivals": "think", "outcomes": outcomes_of(verdict), "expectations": expectations_of(run)}


@pytest.mark.parametrize(
    ("before", "now", "where", "said"),
    [
        (failed_step(0), step(0), "fixed", "step: sign-in, login"),
        (step(0), failed_step(0), "new", "step: sign-in, login"),
        (failed_step(0), failed_step(0), "still", "step: sign-in, login"),
        (failed_step(0), step(0, name="other"), "still", "step: sign-in, login (failed then, not tried now)"),
        (failed_step(0), step(0, outcome=CUT), "still", "step: sign-in, login (failed then, not tried now)"),
        (step(0), step(0, outcome=NOT_OFFERED), "new", "step: sign-in, login (passed then, not offered now)"),
    ],
)
def test_since_last_time_a_step(before: Row, now: Row, where: str, said: str) -> None:
    done = verdict_of(with_steps(now), load_test=played("sign_in"), previous=previous(before))["since"]
    assert said in done[where]
    assert sum(one.startswith(said.partition(" (")[0]) for key in ("fixed", "still", "new") for one in done[key]) == 1


def test_journeys_that_nobody_makes_any_more_were_loosened() -> None:
    before = previous(step(0), families=("sign_in", "limits"))
    fewer = verdict_of(with_steps(step(0)), load_test=played("sign_in"), previous=before)["since"]["loosened"]
    assert fewer == ["LOOSENED journeys of limits: nobody makes them any more"]
    same = verdict_of(with_steps(step(0)), load_test=played("sign_in", "limits", "soak"), previous=before)
    assert same["since"]["loosened"] == []


def test_times_of_steps_are_of_no_run_and_no_part_of_the_plan() -> None:
    from crosstalk.checks.goodput import goodput
    from crosstalk.checks.judge_limits import plan_sentence

    limits = Limits("x", phases=(Phase("auth", 1, limits=(limit("oauth_time_ms"),)),))
    assert goodput(tally_of(clean()), limits)["limits"] == []
    assert "no number of samples is needed" in plan_sentence(limits, users=20, seconds_per_turn=1.0, run_time_s=40.0)


# --- some users, chosen by tag --------------------------------------------------------------------------------------


def test_what_the_chosen_users_never_do_is_shown_and_what_everybody_does_is_required() -> None:
    tools = limit("tools_complete", name="tools")
    for metric, one in {"tools": tools, "hand-offs": limit("handoff_time_ms", name="hand-offs")}.items():
        assert judge_limit(one, Grounds(tally()))["counts"] is True, metric
        entry = judge_limit(one, Grounds(tally(), chosen_by_tag=True))
        assert (entry["counts"], entry["required"], entry["reason"]) == (False, False, NOT_CHOSEN)
    for gate in ("runs_ok", "tokens_accepted"):
        assert judge_limit(limit(gate), Grounds(tally(), chosen_by_tag=True))["counts"] is True
    assert judge_limit(limit(), Grounds(tally(), played=("sign_in",), chosen_by_tag=True))["counts"] is True


def test_what_the_chosen_users_did_is_judged() -> None:
    from tests.checks.histories import run

    bad = tally_of({"runs": [run(0, tools_started=2, tools_ok=1)]})
    assert judge_limit(limit("tools_complete"), Grounds(bad, chosen_by_tag=True))["verdict"] == "fail"


def test_the_verdict_knows_who_was_chosen() -> None:
    history = with_steps(*journey(0, OK))
    history = history | {"runs": [row | dict(tools_started=0, tools_ok=0) for row in history["runs"]]}
    assert verdict_of(history, load_test=played("sign_in"))["verdict"] == "unknown"
    for key in ("tags", "excluded_tags"):
        assert verdict_of(history, load_test=played("sign_in") | {key: ["sign_in"]})["verdict"] == "pass"
