"""Every fault of the reference backend is caught under its own name; the clean backend raises no alarm.

Many faults in one load test, each for its own accounts; so a fault that is caught at the wrong account shows too.
"""

from pathlib import Path

import pytest

from bench.detection_matrix import catalogue_of
from bench.detection_matrix_plan import plan
from crosstalk.backend.faults import CATALOGUE
from tests.end_to_end.locust_process import Ended, run
from tests.end_to_end.test_dialects import DELIVERY as SHAPED
from tests.end_to_end.test_dialects import LEAKS, accounts
from tests.end_to_end.test_field_failures import CASES as FIELD

#: fault → (accounts, the name it is caught under)
DELIVERY = {
    "missing_event": ("0-1", "missing"),
    "duplicate_event": ("2-3", "duplicate"),
    "reordered_event": ("4-5", "out_of_order"),
    "late_event": ("6-7", "late"),
    "malformed_event": ("8-9", "malformed"),
    "two_ends": ("10-11", "two_ends"),
    "canned_answer": ("12-13", "not_real"),
    "silent_run": ("14", "silent"),
    "stall_mid_stream": ("15", "no_end"),
    "tool_error_swallowed": ("16-23", "tool_error_swallowed"),
}


def faults(table: dict[str, tuple]) -> str:
    return ",".join(f"{name}:1:{entry[0]}" for name, entry in table.items())


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    options = ("--users", "26", "--run-time", "16s", "--prompts", "tests/end_to_end/tools.toml")
    return run(tmp_path_factory.mktemp("delivery"), *options, "--faults", faults(DELIVERY))


@pytest.fixture(scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return run(
        tmp_path_factory.mktemp("leaks"),
        *("--users", "24", "--run-time", "14s", "--prompts", "tests/end_to_end/leaks.toml"),
        *("--faults", "leak_wrong_socket:1:0-2," + faults(LEAKS)),
    )


@pytest.mark.parametrize("fault", DELIVERY)
def test_a_delivery_fault_is_caught_under_its_name_at_its_accounts(delivery: Ended, fault: str) -> None:
    numbers, name = DELIVERY[fault]
    assert set(delivery.violations().get(name, {})) & accounts(numbers), delivery.violations()


def test_delivery_faults_give_exit_code_1_and_leave_the_others_alone(delivery: Ended) -> None:
    assert delivery.exit_code == 1 == delivery.verdict["exit_code"]
    assert delivery.verdict["delivery"]["verdict"] == "fail"
    assert delivery.verdict["isolation"]["verdict"] != "fail"
    assert not [row for row in delivery.rows("violations") if int(row["observer"][-5:]) in (24, 25)]
    assert delivery.verdict["measurement"]["unaccounted_events"] == 0


def test_each_delivery_name_is_seen_by_its_accounts_only(delivery: Ended) -> None:
    """A canned answer hands nothing over and knows no failing tool, so it shows as those too; nothing else mixes."""
    owners = {name: accounts(numbers) for numbers, name in DELIVERY.values()}
    for name in ("missing", "tool_error_swallowed"):
        owners[name] = owners[name] | accounts(DELIVERY["canned_answer"][0])
    for name, seen in delivery.violations().items():
        if name in owners:
            assert set(seen) <= owners[name], (name, seen)


@pytest.mark.parametrize("fault", LEAKS)
def test_a_leak_is_caught_in_its_channel_at_its_accounts(leaks: Ended, fault: str) -> None:
    numbers, name, channel, scope = LEAKS[fault]
    found = {
        int(row["observer"][-5:])
        for row in leaks.rows("violations")
        if (row["name"], row["channel"], row["scope"]) == (name, channel, scope)
    }
    assert found & accounts(numbers), leaks.violations()


def test_events_on_the_wrong_socket_name_their_owner(leaks: Ended) -> None:
    rows = [row for row in leaks.rows("violations") if row["name"] == "wrong_socket"]
    assert {int(row["owner"][-5:]) for row in rows} == {0, 1, 2}
    assert {row["channel"] for row in rows} <= {1, 20}
    assert all(row["owner"] != row["observer"] for row in rows)


def test_a_leak_gives_exit_code_3_and_both_frames(leaks: Ended) -> None:
    assert leaks.exit_code == 3 == leaks.verdict["exit_code"]
    assert leaks.verdict["isolation"]["verdict"] == "fail"
    row = next(r for r in leaks.rows("violations") if r["name"] == "foreign_content" and r["scope"] == "cross_user")
    assert row["owner"] and row["owner"] != row["observer"] and row["frame"] and row["field"]
    sent = [f for f in leaks.rows("frames") if f["run"] == row["owner_run"] and f["direction"] == "out"]
    assert sent and sent[0]["account"] == row["owner"]


def test_every_fault_of_the_catalogue_is_tried_somewhere() -> None:
    """Here, by probing users, as a failure of the field, in the detection matrix (test_detection_matrix.py), by the
    family of journeys in which it shows as a step (test_family_*.py), or by the limit it breaks (test_promises.py).
    """
    of_families = [fault for fault in CATALOGUE if fault.judged_as.startswith(("step ", "limit "))]
    tests = [*Path(__file__).parent.glob("test_family_*.py"), Path(__file__).with_name("test_promises.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    assert [fault.name for fault in of_families if fault.name not in source] == []
    elsewhere = {"leak_wrong_socket", "close_1011", "lost_before_ready", "demo_user"}
    elsewhere |= {case.name for case in FIELD} | set(SHAPED) | {"cache_down"}
    planned = plan(catalogue_of("netra"), shape="netra", intensities=["always"])
    matrix = {one.fault for test in planned for one in test.planted}
    families = {fault.name for fault in of_families}
    assert {fault.name for fault in CATALOGUE if fault.applies("netra")} <= matrix | families
    assert {fault.name for fault in CATALOGUE} == {*DELIVERY, *LEAKS, *elsewhere, *matrix, *families}


def test_faults_of_the_connection(tmp_path: Path) -> None:
    ended = run(tmp_path, "--users", "8", "--run-time", "8s", "--faults", "close_1011:1:0-1,lost_before_ready:1:2-3")
    found = ended.violations()
    assert set(found["close_1011"]) == {0, 1}
    assert set(found["lost_before_ready"]) == {2, 3}
    assert set(found) == {"close_1011", "lost_before_ready"}
    assert ended.exit_code == 1
    assert ended.verdict["connections"]["close_codes"]["1011"] >= 2


def test_one_demo_user_for_all_is_exit_code_5_before_any_user_starts(tmp_path: Path) -> None:
    ended = run(tmp_path, "--faults", "demo_user")
    assert ended.exit_code == 5 == ended.verdict["exit_code"]
    assert set(ended.violations()) == {"wrong_identity"}
    assert ended.rows("runs") == []
    assert "demo" in ended.output


def test_a_demo_user_in_mid_run_is_exit_code_5(tmp_path: Path) -> None:
    ended = run(tmp_path, "--users", "6", "--run-time", "6s", "--faults", "demo_user:1:2-3")
    assert ended.exit_code == 5 == ended.verdict["exit_code"]
    assert set(ended.violations()["wrong_identity"]) == {2, 3}


def test_fail_fast_stops_at_the_first_leak_with_a_complete_report(tmp_path: Path) -> None:
    ended = run(tmp_path, "--fail-fast", "--faults", "leak_content")
    test = ended.run["load_test"]
    assert ended.exit_code == 3
    assert "fail-fast" in test["ended_by"]
    assert test["ended_ns"] - test["started_ns"] < 0.5 * test["run_time_s"] * 1e9
    assert {path.name for path in ended.folder.iterdir()} >= {"verdict.json", "junit.xml", "summary.md", "report.html"}
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
