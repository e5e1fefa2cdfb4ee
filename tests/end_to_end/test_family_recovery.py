"""The family "recovery": through a restart and all the rest, and each fault fails its step at its own accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosstalk.backend.catalogue import BY_NAME
from tests.end_to_end.families import failed_steps
from tests.end_to_end.locust_process import ROOT, Ended, run

FAMILY, USER = "recovery", "Traveller"
OCCASIONS = "restart:after=7+for=0.5,try_later:after=10+for=2,cache_down:after=13+for=20,dependency_down:after=16+for=2"

#: what the family promises → its steps, and the fault that breaks each
COVERED = [
    dict(family=FAMILY, what=what, step=step, user=USER, limit=f"{metric}[{FAMILY}/{step}]", fault=fault)
    for what, step, fault, metric in (
        ("reconnect with backoff and jitter after reset", "reconnect", "lost_user_kept_waiting", "steps_ok"),
        ("reconnect after restart (1012)", "threads after 1012", "restart_loses_threads", "steps_ok"),
        ("reconnect after 1013", "back after 1013", "reconnect_storm_refused", "steps_ok"),
        ("resume: once", "resume", "resume_duplicates", "steps_ok"),
        ("resume: everything", "resume", "resume_skips", "steps_ok"),
        ("resume of one's own is never refused", "resume", "resume_refused_own", "steps_ok"),
        ("gap measured", "reconnect", "lost_user_kept_waiting", "step_time_ms"),
        ("retry of a failed run", "answered once", "retry_answers_twice", "steps_ok"),
        ("circuit breaker opening", "breaker opens", "breaker_never_opens", "steps_ok"),
        ("circuit breaker closing", "breaker closes", "breaker_never_closes", "steps_ok"),
        ("degraded parts are said", "degraded", "part_down_says_healthy", "steps_ok"),
        ("degraded parts are no outage", "degraded", "part_down_is_outage", "steps_ok"),
    )
]
#: fault → its account, steps of which one must fail there, and others that may
CASES: dict[str, tuple[int, set[str], set[str]]] = {
    "resume_duplicates": (0, {"resume"}, set()),
    "resume_skips": (1, {"resume"}, set()),
    "resume_refused_own": (2, {"resume"}, set()),
    # whoever is in a tunnel meanwhile, or not back from the restart yet, meets it there
    "reconnect_storm_refused": (3, {"back after 1013", "reconnect", "back after 1012"}, set()),
    "restart_loses_threads": (4, {"threads after 1012"}, {"answered once", "threads after 1013"}),
    "retry_answers_twice": (5, {"answered once"}, set()),
    "breaker_never_closes": (6, {"breaker closes"}, set()),
    "breaker_never_opens": (7, {"breaker opens"}, set()),
    "part_down_says_healthy": (8, {"degraded"}, set()),
    "part_down_is_outage": (9, {"degraded"}, set()),
    "lost_user_kept_waiting": (10, {"reconnect"}, set()),
}
CLEAN = {11, 12, 13}


def done(ended: Ended) -> dict[str, int]:
    [family] = [one for one in ended.verdict["families"] if one["family"] == FAMILY]
    return {one["step"]: one["ok"] for one in family["steps"]}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = ",".join(f"{fault}:1:{account}" for fault, (account, _, _) in CASES.items())
    users = str(len(CASES) + len(CLEAN))
    options = ("--users", users, "--run-time", "30s", "--occasions", OCCASIONS, "--faults", faults)
    return run(tmp_path_factory.mktemp("wrong"), *options, scenario="recovery")


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_fails_its_step_at_its_account(wrong: Ended, fault: str) -> None:
    account, wanted, others = CASES[fault]
    failed = failed_steps(wrong, FAMILY)[account]
    assert failed & wanted and failed <= wanted | others
    assert BY_NAME[fault].judged_as.removeprefix(f"step {FAMILY}/") in wanted


def test_nobody_else_fails(wrong: Ended) -> None:
    assert set(failed_steps(wrong, FAMILY)) == {account for account, _, _ in CASES.values()}
    assert wrong.exit_code == 1 and wrong.verdict["delivery"]["verdict"] == "fail"


def test_everybody_is_back_after_all_that_a_right_target_goes_through(tmp_path: Path) -> None:
    """Goodbyes that are announced fail nothing here, and every loss of the target's was one."""
    ended = run(tmp_path, "--users", "8", "--run-time", "25s", "--occasions", OCCASIONS, scenario="recovery")
    assert (ended.exit_code, failed_steps(ended, FAMILY)) == (0, {}), ended.output
    assert {row["step"] for row in COVERED} <= {step for step, ok in done(ended).items() if ok}
    codes = ended.verdict["connections"]["close_codes"]
    assert codes["1012"] >= 6 and codes["1013"] >= 6 and set(codes) <= {"1000", "1012", "1013"}
    limits = {limit["metric"]: limit for limit in ended.verdict["limits"]}
    assert limits["connections_recovered"]["value"] == 1.0 and limits["connections_recovered"]["n"] >= 8
    assert limits["connections_lost_unannounced"]["value"] == 0
    assert limits["reconnect_time_ms"]["value"] > 0


def test_the_same_losses_fail_where_none_are_expected(tmp_path: Path) -> None:
    """In any other scenario a goodbye is a loss: nothing is loosened there."""
    cast = ("-f", "tests/end_to_end/family_recovery.py", "--prompts", "scenarios/prompts.toml")
    options = ("--limits", "scenarios/limits/local.toml", "--occasions", "close_all:after=5")
    ended = run(tmp_path, *cast, *options, "--users", "4", "--run-time", "14s")
    [lost] = [limit for limit in ended.verdict["limits"] if limit["metric"] == "connections_lost"]
    assert (lost["verdict"], ended.exit_code) == ("fail", 1) and lost["value"] >= 1
    assert failed_steps(ended, FAMILY) == {}


def test_everything_that_is_promised_is_tried() -> None:
    files = [ROOT / "users/traveller.py", *(ROOT / "crosstalk/journeys").glob("*.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    for row in COVERED:
        step = row["step"].replace("1012", "{code}").replace("1013", "{code}")
        assert f'"{step}"' in source, row
    assert {row["fault"] for row in COVERED} == CASES.keys()
