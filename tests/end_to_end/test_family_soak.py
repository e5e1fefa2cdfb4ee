"""The family soak: renewals in mid-run, expiries that nobody may notice, and what grows. Tokens live for seconds.

In the first load test, faults of the socket by account range; in the second, what concerns the process.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.locust_process import Ended, run

#: what the family promises: the step (or limit) that tells it, and the fault that makes it fail
COVERED: list[dict[str, str]] = [
    dict(
        family="soak", what="token refreshes, in mid-run", step="run over refresh", user="Resident",
        limit="steps_ok[soak]", fault="refresh_drops_run",
    ),
    dict(
        family="soak", what="no run lost when the token before expires", step="turn across the expiry", user="Resident",
        limit="steps_ok[soak]", fault="expiry_cuts_run",
    ),
    dict(
        family="soak", what="latency slope with confidence", step="turn", user="Resident",
        limit="slope_ms_per_h[time_to_first_chunk_ms]", fault="slow_leak",
    ),
    dict(
        family="soak", what="memory slope with confidence", step="turn", user="Resident",
        limit="slope_mib_per_h[target_memory]", fault="memory_growth",
    ),
    dict(
        family="soak", what="handler growth seen as latency slope per connection", step="refresh by a new socket",
        user="Resident", limit="slope_ms_per_100_connections[accept_time_ms]", fault="handler_growth",
    ),
    dict(
        family="soak", what="deploy in mid-run noticed by revision", step="turn", user="Resident",
        limit="", fault="deploy_mid_run",
    ),
]  # fmt: skip

COMMON = ("--run-time", "22s", "--think-time", "0.5", "--limits", "tests/end_to_end/soak.toml", "--memory-trace", "1")
#: fault → its accounts, and the steps at which it may show
OF_SOCKETS = {
    "refresh_drops_run": ((0, 2), {"run over refresh"}),
    "expiry_cuts_run": ((3, 6), {"turn across the expiry", "turn", "run over refresh", "turn after refresh"}),
}
CLEAN = range(7, 10)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = ",".join(f"{name}:1:{first}-{last}" for name, ((first, last), _) in OF_SOCKETS.items())
    options = ("--users", "10", "--token-life", "10", *COMMON, "--faults", faults + ",deploy_mid_run")
    return run(tmp_path_factory.mktemp("sockets"), *options, scenario="soak")


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = "slow_leak,memory_growth,handler_growth"
    prompts = ("--prompts", "tests/end_to_end/soak_prompts.toml")  # alike, so that their times are
    users = ("-f", "tests/end_to_end/soaking_users.py", "--users", "14", "--token-life", "6", "--run-time", "40s")
    options = (*COMMON, "--memory-trace", "0.5", *users, *prompts, "--faults", faults)
    return run(tmp_path_factory.mktemp("growing"), *options, scenario="soak")


def steps(ended: Ended, *outcomes: str) -> list[tuple[int, str, str]]:
    """(account, step, what came) of the steps that came out so."""
    return [(int(row["account"][-5:]), row["step"], row["came"]) for row in ended.rows("steps")
            if row["outcome"] in outcomes and row["step"]]  # fmt: skip


def limits(ended: Ended) -> dict[str, dict[str, Any]]:
    return {entry["metric"]: entry for entry in ended.verdict["limits"]}


@pytest.mark.parametrize("fault", OF_SOCKETS)
def test_a_renewal_that_costs_a_run_is_caught_at_its_step_and_accounts(sockets: Ended, fault: str) -> None:
    (first, last), wanted = OF_SOCKETS[fault]
    failed = [(account, step) for account, step, _ in steps(sockets, "failed") if first <= account <= last]
    assert failed, sockets.verdict["families"]
    assert {step for _, step in failed} <= wanted, failed
    covered = next(one["step"] for one in COVERED if one["fault"] == fault)
    assert covered in {step for _, step in failed}, failed


def test_a_cut_at_the_expiry_is_named_as_one(sockets: Ended) -> None:
    came = [came for account, step, came in steps(sockets, "failed") if step == "turn across the expiry"]
    assert came and all("1008" in one or "disconnected" in one for one in came), came


def test_everybody_else_renews_and_loses_nothing(sockets: Ended) -> None:
    assert {account for account, _, _ in steps(sockets, "failed")}.isdisjoint(CLEAN)
    done = [(account, step) for account, step, _ in steps(sockets, "ok") if account in CLEAN]
    for account in CLEAN:
        mine = {step for who, step in done if who == account}
        assert "turn" in mine and mine & {"refresh", "refresh by a new socket"}, (account, mine)
    assert "turn across the expiry" in {step for _, step in done}
    assert sockets.exit_code == 1 == sockets.verdict["exit_code"]
    assert sockets.verdict["isolation"]["verdict"] != "fail"
    lost = sockets.verdict["slopes"]["refreshes"]["runs_lost"]
    assert lost == sum(step in ("run over refresh", "turn after refresh", "turn across the expiry")
                       for _, step, _ in steps(sockets, "failed"))  # fmt: skip
    [family] = [one for one in sockets.verdict["families"] if one["family"] == "soak"]
    assert family["verdict"] == "fail"


def test_growth_is_found_and_told_with_its_interval(growing: Ended) -> None:
    """30 ms a second are 108,000 ms an hour; 5 ms a handler is 500 ms per 100 connections."""
    found = limits(growing)
    for metric, planted in (
        ("slope_ms_per_h[time_to_first_chunk_ms]", 108_000),
        ("slope_ms_per_100_connections[accept_time_ms]", 500),
    ):
        entry = found[metric]
        assert entry["verdict"] == "fail", entry
        assert entry["value"] == pytest.approx(planted, rel=0.6), entry
    assert found["slope_mib_per_h[target_memory]"]["verdict"] == "fail", found
    said = (growing.folder / "summary.md").read_text()
    assert "Growing: " in said and "the target's memory" in said
    assert 'id="slopes"' in (growing.folder / "report.html").read_text()


def test_growth_costs_no_renewal(growing: Ended) -> None:
    assert steps(growing, "failed") == []
    refreshes = growing.verdict["slopes"]["refreshes"]
    assert refreshes["runs_lost"] == refreshes["refused"] == 0 < refreshes["made"]
    assert {"refresh", "refresh by a new socket"} <= {step for _, step, _ in steps(growing, "ok")}


def test_a_deployment_in_mid_run_is_noticed_by_the_revision(sockets: Ended) -> None:
    target = sockets.run["target"]
    assert target["changed"] is True
    assert [one["revision"] for one in target["revisions"]] == ["release-1", "release-2"]
    assert [cause for cause in sockets.verdict["measurement"]["causes"] if "revision" in cause]


def test_the_harness_looks_at_its_own_heap(growing: Ended) -> None:
    rows = [row for row in growing.rows("memory") if row["group"] != "target"]
    assert {row["group"] for row in rows} == {"own", "locust", "tally"}
    assert len({row["at_ns"] for row in rows}) >= 10
    assert {row["file"] for row in rows} >= {"crosstalk/checks/pieces.py", "others"}


@pytest.mark.long
def test_without_faults_nothing_is_lost(tmp_path: Any) -> None:
    ended = run(tmp_path, "--users", "8", "--token-life", "6", *COMMON, scenario="soak")
    assert steps(ended, "failed") == []
    assert ended.verdict["delivery"]["verdict"] == "pass", ended.verdict["sentence"]
    assert limits(ended)["steps_ok[soak]"]["verdict"] == "pass"
    assert ended.run["target"]["changed"] is False or ended.run["target"]["changed"] is None
    assert limits(ended)["slope_ms_per_100_connections[accept_time_ms]"]["verdict"] != "fail"
    assert limits(ended)["slope_ms_per_h[time_to_first_chunk_ms]"]["verdict"] != "fail"
