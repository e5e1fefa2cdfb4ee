"""The families "connection" and "limits" on the reference backend: each fault makes its step fail, at its account and
nowhere else; without faults every step is well.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crosstalk.backend.catalogue import BY_NAME
from crosstalk.backend.catalogue_connection import CONNECTION, LIMITS
from tests.end_to_end.locust_process import Ended, run

USERS = {"connection": "Connector", "limits": "Pusher"}
#: accounts of each load test that have no fault
CLEAN = 3
#: fault → what else it breaks at the same account
BESIDE = {
    "rate_limit_without_retry_after": {"rate limited on the socket"},
    "rate_limit_ignored": {"rate limited on the socket"},
    "rate_limit_never_lifts": {"polite again on the socket", "within the rate limit",
                               "within the rate limit on the socket"},
    "rate_limit_1011": {"impolite on the socket"},
    "rate_limit_hits_others": {"within the rate limit on the socket"},
    "subprotocol_not_offered_echoed": {"unknown subprotocols"},
    "subprotocol_first_echoed": {"unknown subprotocols"},
}  # fmt: skip


def covered(family: str, what: str, step: str, *faults: str, limit: str = "") -> list[dict[str, str]]:
    user = USERS[family]
    return [{"family": family, "what": what, "step": step, "user": user, "limit": limit, "fault": fault}
            for fault in faults]  # fmt: skip


#: what the families cover, for docs/coverage.md
COVERED = [
    *covered("connection", "connect ramp", "connect", "comeback_refused", limit="connect_time_ms"),
    *covered("connection", "fan-in of many at once", "fan in", "fan_in_refuses"),
    *covered("connection", "several sockets of a user up to the cap", "over the cap", "cap_ignored",
             "cap_kills_oldest", "cap_1011"),
    *covered("connection", "speaks before ready", "speaks before ready", "early_frame_lost"),
    *covered("connection", "heartbeats", "heartbeat", "heartbeat_missing"),
    *covered("connection", "pings", "application ping", "pong_missing"),
    *covered("connection", "pings", "ping", "ping_ignored"),
    *covered("connection", "pings", "server ping", "server_ping_missing", "pong_unheard"),
    *covered("connection", "idle timeout", "idle timeout", "idle_cut_early", "idle_never_cut"),
    *covered("connection", "subprotocol negotiation", "known subprotocol", "subprotocol_not_offered_echoed",
             "subprotocol_first_echoed"),
    *covered("connection", "all close codes told apart", "close codes", "close_code_hidden"),
    *covered("connection", "zero 1011", "over the cap", "cap_1011", limit="close_1011"),
    *covered("limits", "rate limit met politely", "rate limited", "rate_limit_ignored",
             "rate_limit_without_retry_after"),
    *covered("limits", "rate limit met politely", "polite again", "rate_limit_never_lifts"),
    *covered("limits", "rate limit met politely", "within the rate limit", "rate_limit_hits_others"),
    *covered("limits", "rate limit met impolitely", "impolite", "rate_limit_1011"),
    *covered("limits", "oversized message", "oversized message", "oversized_1011", "oversized_accepted"),
    *covered("limits", "oversized message", "largest message", "largest_refused"),
    *covered("limits", "malformed message", "malformed message", "malformed_kills_socket"),
    *covered("limits", "unknown type", "unknown type", "unknown_type_1011"),
]  # fmt: skip
FAULTS = {"connection": [fault.name for fault in CONNECTION], "limits": [fault.name for fault in LIMITS]}
#: several users share the allowance of rate_limit_hits_others
ACCOUNTS_OF = {"rate_limit_hits_others": 4}


def accounts(family: str) -> dict[str, range]:
    """Fault → the accounts that have it."""
    given, first = {}, 0
    for fault in FAULTS[family]:
        given[fault] = range(first, first + ACCOUNTS_OF.get(fault, 1))
        first = given[fault].stop
    return given


def failures(ended: Ended) -> dict[int, set[str]]:
    """Account → the steps that failed there."""
    found: dict[int, set[str]] = {}
    for row in ended.rows("steps"):
        if row["outcome"] == "failed" and row["step"]:
            found.setdefault(int(row["account"][-5:]), set()).add(row["step"])
    return found


def verdicts(ended: Ended) -> dict[str, str]:
    """Family → its verdict."""
    return {one["family"]: one["verdict"] for one in ended.verdict["families"]}


def load(folder: Path, *users: str, count: int, faults: str = "") -> Ended:
    options = (
        "--headless",
        "-f",
        "tests/end_to_end/connection_users.py",
        "--stop-timeout",
        "12",
        "--think-time",
        "0.3",
    )
    options += ("--faults", faults) if faults else ()
    return run(folder, *options, scenario=None, CAST=",".join(users), USERS=str(count))


@pytest.fixture(scope="module", params=USERS)
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Ended]:
    family: str = request.param
    given = accounts(family)
    asked = ",".join(f"{fault}:1:{where.start}-{where.stop - 1}" for fault, where in given.items())
    count = max(where.stop for where in given.values()) + CLEAN
    return family, load(tmp_path_factory.mktemp(family), USERS[family], count=count, faults=asked)


def test_every_fault_makes_its_step_fail_at_its_account(faulty: tuple[str, Ended]) -> None:
    family, ended = faulty
    found, given = failures(ended), accounts(family)
    missed = {}
    for fault, where in given.items():
        step = BY_NAME[fault].judged_as.removeprefix(f"step {family}/")
        if not any(step in found.get(account, ()) for account in where):
            missed[fault] = [found.get(account) for account in where]
    assert missed == {}


def test_nothing_else_fails_and_nobody_else(faulty: tuple[str, Ended]) -> None:
    family, ended = faulty
    found, given = failures(ended), accounts(family)
    for fault, where in given.items():
        own = {BY_NAME[fault].judged_as.removeprefix(f"step {family}/"), *BESIDE.get(fault, ())}
        for account in where:
            assert found.pop(account, set()) <= own, (fault, account)
    assert found == {}


def test_a_failed_step_fails_delivery_and_says_what_was_expected(faulty: tuple[str, Ended]) -> None:
    family, ended = faulty
    assert ended.exit_code == 1, ended.output
    assert verdicts(ended)[family] == "fail"
    failed = [row for row in ended.rows("steps") if row["outcome"] == "failed" and row["step"]]
    assert all(row["expected"] and row["came"] for row in failed)
    if family == "connection":
        [observed] = {row["came"].partition(":")[0] for row in failed if row["account"].endswith("00011")}
        assert re.fullmatch(r"observed (1\.9|2\.\d) s", observed), observed


def test_1011_is_found_in_the_record_too(faulty: tuple[str, Ended]) -> None:
    family, ended = faulty
    given = accounts(family)
    wanted = [fault for fault in given if fault.endswith("_1011")]
    at = {number for fault in wanted for number in given[fault]}
    assert set(ended.violations()["close_1011"]) == at


@pytest.mark.long
def test_without_faults_both_families_are_well(tmp_path: Path) -> None:
    ended = load(tmp_path, *USERS.values(), count=6)
    assert failures(ended) == {}
    assert verdicts(ended) == dict.fromkeys(USERS, "pass")
    steps = {(row["family"], row["step"]): row for row in ended.rows("steps") if row["outcome"] == "ok"}
    assert {(one["family"], one["step"]) for one in COVERED} <= steps.keys()
    assert not [row for row in ended.rows("steps") if row["outcome"] == "not_offered"]
    assert ended.verdict["delivery"]["verdict"] == "pass", ended.output
    assert ended.verdict["connections"]["lost"] == 0
    closes = {row["close_code"] for row in ended.rows("connections") if row["purpose"] == "probe"}
    assert closes >= {1000, 1001, 1003, 1006, 1008, 1009, 1012, 1013} and 1011 not in closes


def test_every_fault_of_these_families_is_covered() -> None:
    assert {one["fault"] for one in COVERED} == {*FAULTS["connection"], *FAULTS["limits"]}
    for one in COVERED:
        assert BY_NAME[one["fault"]].judged_as == f"step {one['family']}/{one['step']}"
