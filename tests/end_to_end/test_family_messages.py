"""The family "messages": right without faults, and each fault fails its own step at its own accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosstalk.backend.catalogue import BY_NAME
from tests.end_to_end.families import failed_steps
from tests.end_to_end.locust_process import ROOT, Ended, run

FAMILY, USER = "messages", "Correspondent"

#: what the family promises → its steps, and the fault that breaks each
COVERED = [
    dict(family=FAMILY, what=what, step=step, user=USER, limit=f"steps_ok[{FAMILY}/{step}]", fault=fault)
    for what, step, fault in (
        ("create", "create", "title_lost"),
        ("switch", "switch", "switch_ignored"),
        ("list", "gone from the list", "deleted_thread_listed"),
        ("history", "history", "history_reversed"),
        ("paging", "pages", "paging_repeats"),
        ("paging while messages are added", "pages while messages are added", "paging_skips"),
        ("ordering", "history", "history_reversed"),
        ("persistence after reconnect", "history after a reconnect", "message_lost_after_reconnect"),
        ("deletion", "history refused", "deleted_thread_readable"),
    )
]
#: fault → its account, and the steps that may fail there: the first one must
CASES = {
    "title_lost": (0, ("create",)),
    "paging_repeats": (1, ("pages", "pages while messages are added", "pages of threads")),
    "paging_skips": (2, ("pages while messages are added", "pages", "pages of threads")),
    "history_reversed": (3, ("history", "pages while messages are added", "history by frame", "switch",
                             "history after a reconnect", "others untouched")),
    "message_lost_after_reconnect": (4, ("history after a reconnect", "others untouched")),
    "deleted_thread_listed": (5, ("gone from the list", "delete by frame")),
    "deleted_thread_readable": (6, ("history refused", "id refused")),
    "switch_ignored": (7, ("switch", "memory after a reconnect", "history after a reconnect")),
}  # fmt: skip
CLEAN = {8, 9, 10}


def load_test(results: Path, *options: str) -> Ended:
    cast = ("-f", "tests/end_to_end/family_messages.py", "--prompts", "scenarios/prompts.toml")
    return run(results, *cast, "--limits", "tests/end_to_end/family.toml", *options)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = ",".join(f"{fault}:1:{account}" for fault, (account, _) in CASES.items())
    users = str(len(CASES) + len(CLEAN))
    return load_test(tmp_path_factory.mktemp("wrong"), "--users", users, "--run-time", "18s", "--faults", faults)


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_fails_its_step_at_its_account(wrong: Ended, fault: str) -> None:
    account, steps = CASES[fault]
    failed = failed_steps(wrong, FAMILY)[account]
    assert steps[0] in failed and failed <= set(steps)
    assert BY_NAME[fault].judged_as.startswith(f"step {FAMILY}/")


def test_nobody_else_fails(wrong: Ended) -> None:
    assert set(failed_steps(wrong, FAMILY)) == {account for account, _ in CASES.values()}
    assert wrong.verdict["delivery"]["verdict"] == "fail"
    [family] = [one for one in wrong.verdict["families"] if one["family"] == FAMILY]
    assert family["verdict"] == "fail"


@pytest.mark.long
def test_without_faults_the_family_passes(tmp_path: Path) -> None:
    ended = load_test(tmp_path, "--users", "4", "--run-time", "10s")
    assert (ended.exit_code, failed_steps(ended, FAMILY)) == (0, {}), ended.output
    [family] = [one for one in ended.verdict["families"] if one["family"] == FAMILY]
    steps = {one["step"]: one["ok"] for one in family["steps"]}
    assert family["verdict"] == "pass" and family["journeys"]["ok"] >= 4
    assert all(steps.values()) and {row["step"] for row in COVERED} <= steps.keys()


def test_everything_that_is_promised_is_tried() -> None:
    source = (ROOT / "users" / "correspondent.py").read_text(encoding="utf-8")
    assert [row for row in COVERED if f'"{row["step"]}"' not in source] == []
    assert {row["fault"] for row in COVERED} == CASES.keys()
