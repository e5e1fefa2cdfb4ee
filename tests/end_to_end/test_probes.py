"""Users that probe: each catches what it is there for, in its channel, at the accounts that have the fault.

Few load tests for many faults: each fault is given to the accounts of one user (and its partner).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backend.client import PASSWORD, SECRET, backend
from tests.end_to_end.locust_process import ROOT, Ended, run

REACHED, CHANGED = "foreign_object_reached", "victim_changed"
#: fault → which intruder finds it, and the attempts that are named (name, channel, how the attempt is called)
INTRUDED = {
    "idor_list_threads": (
        0,
        {(REACHED, 13, "list thread (http, query)"), (REACHED, 13, "list thread (socket, frame)")},
    ),
    "idor_read_thread": (0, {(REACHED, 13, "read thread (http, path)")}),
    "idor_read_messages": (
        0,
        {(REACHED, 13, "list message (http, path)"), (REACHED, 13, "list message (http, query)")},
    ),
    "idor_read_message": (0, {(REACHED, 13, "read message (http, path)")}),
    "idor_read_run": (0, {(REACHED, 13, "read run (http, path)"), (REACHED, 13, "read run (http, query)")}),
    "idor_socket_history": (0, {(REACHED, 13, "list message (socket, frame)")}),
    "idor_socket_run": (0, {(REACHED, 13, "read run (socket, payload)")}),
    "idor_subscribe_thread": (0, {(REACHED, 13, "subscribe thread (socket, payload)")}),
    "idor_profile": (0, {(REACHED, 13, "read user (http, path)")}),
    "idor_connection": (0, {(REACHED, 13, "read connection (http, path)")}),
    "token_of_another_accepted_on_thread": (0, {(REACHED, 12, "open thread (socket, payload)")}),
    "admin_open": (0, {(REACHED, 14, "call function (http, path /api/admin/users)")}),
    "admin_socket_open": (0, {(REACHED, 14, "call function (socket, frame debug_state)")}),
    "idor_rename_thread": (1, {(name, 13, "rename thread (http, path)") for name in (REACHED, CHANGED)}),
    "idor_add_message": (1, {(name, 13, "continue thread (http, path)") for name in (REACHED, CHANGED)}),
    "debug_open": (1, {(REACHED, 14, "call function (http, path /api/debug/state)")}),
    "idor_delete_thread": (2, {(name, 13, "delete thread (http, path)") for name in (REACHED, CHANGED)}),
    "idor_socket_delete": (3, {(name, 13, "delete thread (socket, payload)") for name in (REACHED, CHANGED)}),
    "idor_continue_thread": (4, {(name, 13, "continue thread (http, body)") for name in (REACHED, CHANGED)}),
    "idor_cancel_run": (5, {(REACHED, 13, "cancel run (http, body)")}),
    "idor_socket_cancel": (6, {(CHANGED, 13, "cancel run (socket, payload)")}),
    "idor_close_connection": (7, {(REACHED, 13, "delete connection (http, path)")}),
    "token_swap_keeps_subscription": (8, {("subscription_kept", 12, "")}),
}
#: the last intruder is refused everywhere
INTRUDERS = 10
RESUMED, LISTED, CONTENT = "foreign_session_resumed", "foreign_listing", "foreign_content"
#: fault → who catches it, at which accounts, as what
OTHERS = {
    "recycled_session": ("Forgetful", "200-201", (RESUMED, 8)),
    "resume_any_cursor": ("Forgetful", "202-203", (RESUMED, 9)),
    "leak_listing": ("Archivist", "210", (LISTED, 7)),
    "leak_history_query": ("Archivist", "211", (LISTED, 7)),
    "listing_incomplete": ("Archivist", "212", ("missing_from_listing", 0)),
    "fan_out_missing": ("Twin", "220", ("fan_out_broken", 15)),
    "swapped_runs": ("Twin", "221", (CONTENT, 6)),
    "error_echoes_other": ("Provoker", "230", (CONTENT, 21)),
    "close_reason_leak": ("Provoker", "231", (CONTENT, 21)),
    "header_leak": ("Provoker", "232", (CONTENT, 21)),
    "http_error_body_leak": ("Intruder", "234-235", (CONTENT, 21)),
    "colliding_run_ids": ("Mimic", "240-241", (CONTENT, 19)),
    "leak_memory": ("Mimic", "242-243", (CONTENT, 11)),
    "leak_cache": ("Mimic", "244-245", (CONTENT, 10)),
    "poisoned_pool": ("Mimic", "246-247", (CONTENT, 18)),
}
CAST = "Forgetful@200x3,Archivist@210x4,Twin@220x3,Provoker@230x4,Intruder@234,Mimic@240x10,Regular@260x2"
#: accounts of the cast that have no fault
SPARED = {204, 205, 213, 222, 233, 248, 249, 260, 261}
#: fault → the kind of bad token that names it
TOKENS = {
    "accepts_expired": "expired",
    "accepts_not_yet_valid": "not yet valid",
    "accepts_alg_none": "unsigned (alg none)",
    "accepts_hs_rs_confusion": "signed with the public key",
    "accepts_wrong_audience": "wrong audience",
    "accepts_wrong_issuer": "wrong issuer",
    "accepts_other_environment": "other environment",
    "accepts_refresh_as_access": "refresh token",
    "accepts_revoked": "revoked by logout",
}


def probe(folder: Path, cast: str, *, rounds: int, faults: str) -> Ended:
    options = ("--headless", "-f", "tests/end_to_end/probing_users.py", "--stop-timeout", "10", "--think-time", "0.5")
    return run(folder, *options, "--faults", faults, scenario=None, PROBING=cast, ROUNDS=str(rounds))


def accounts_of(intruder: int) -> str:
    """Its own, and its victim's."""
    return f"{100 + 2 * intruder}-{101 + 2 * intruder}"


def violations_at(ended: Ended, accounts: str) -> list[dict[str, Any]]:
    first, _, last = accounts.partition("-")
    at = range(int(first), int(last or first) + 1)
    return [row for row in ended.rows("violations") if int(row["observer"][-5:]) in at]


def caught(ended: Ended, accounts: str) -> set[tuple[str, int]]:
    return {(row["name"], row["channel"]) for row in violations_at(ended, accounts)}


@pytest.fixture(scope="module")
def intruded(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = ",".join(f"{name}:1:{accounts_of(which)}" for name, (which, _) in INTRUDED.items())
    folder = tmp_path_factory.mktemp("intruded")
    return probe(folder, f"Intruder@100x{INTRUDERS}", rounds=5, faults=faults)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    faults = ",".join(f"{name}:1:{entry[1]}" for name, entry in OTHERS.items())
    return probe(tmp_path_factory.mktemp("others"), CAST, rounds=3, faults=faults)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    options = ("--users", "4", "--run-time", "4s", "--faults", ",".join(TOKENS))
    return run(tmp_path_factory.mktemp("tokens"), *options)


@pytest.mark.parametrize("fault", INTRUDED)
def test_an_intruder_finds_what_is_open_and_names_the_attempt(intruded: Ended, fault: str) -> None:
    which, wanted = INTRUDED[fault]
    rows = violations_at(intruded, accounts_of(which))
    for name, channel, attempt in wanted:
        found = [row for row in rows if (row["name"], row["channel"]) == (name, channel) and attempt in row["came"]]
        assert found, (name, channel, attempt, [(row["name"], row["channel"], row["came"]) for row in rows])


def test_only_what_is_open_is_called_so(intruded: Ended) -> None:
    """No attempt is accused that the intruder's faults do not open."""
    for which in (1, 2, 3, 5, 6, 7):
        open_ones = {attempt for number, wanted in INTRUDED.values() if number == which for _, _, attempt in wanted}
        rows = [row for row in violations_at(intruded, accounts_of(which)) if row["name"] == REACHED]
        said = {row["came"].partition(": ")[0] for row in rows}
        assert {text.rpartition(",")[0] for text in said} <= {text.rpartition(",")[0] for text in open_ones}


def test_an_intruder_that_is_refused_everywhere_accuses_nobody(intruded: Ended) -> None:
    assert caught(intruded, accounts_of(INTRUDERS - 1)) == set()
    assert intruded.exit_code == 3 == intruded.verdict["exit_code"]


def test_what_was_reached_names_its_owner_and_the_attempt(intruded: Ended) -> None:
    rows = [row for row in intruded.rows("violations") if row["name"] == REACHED and row["channel"] == 13]
    assert all(row["owner"] != row["observer"] and row["scope"] == "cross_user" for row in rows)
    read = next(row for row in rows if row["site"] == "thread" and row["came"].startswith("read thread (http, path)"))
    assert "HTTP 200" in read["came"] and read["frame"]


@pytest.mark.parametrize("fault", OTHERS)
def test_each_probe_catches_its_fault_in_its_channel(others: Ended, fault: str) -> None:
    _, accounts, wanted = OTHERS[fault]
    assert wanted in caught(others, accounts)


def test_whoever_has_no_fault_sees_nothing(others: Ended) -> None:
    assert {int(row["observer"][-5:]) for row in others.rows("violations")} & SPARED == set()
    assert others.exit_code == 3


@pytest.mark.parametrize("fault", TOKENS)
def test_a_bad_token_that_is_accepted_is_named_by_its_kind_on_both_surfaces(tokens: Ended, fault: str) -> None:
    rows = [row for row in tokens.rows("violations") if row["name"] == "forged_token_accepted"]
    came = [row["came"] for row in rows if row["expected"].endswith(f": {TOKENS[fault]}")]
    assert any("ready" in text for text in came) and any("/api/threads" in text for text in came)


def test_the_kinds_that_are_refused_are_not_accused(tokens: Ended) -> None:
    rows = [row for row in tokens.rows("violations") if row["name"] == "forged_token_accepted"]
    assert {row["expected"].rpartition(": ")[2] for row in rows} == set(TOKENS.values())
    assert tokens.exit_code == 1 == tokens.verdict["exit_code"]


@pytest.mark.parametrize("fault", ["", "refresh_gives_other_user"])
def test_whose_token_a_refresh_brings(tmp_path: Path, fault: str) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("email,password\n" + "".join(f"person-{n}@crosstalk.test,{PASSWORD}\n" for n in range(4)))
    with backend(*(("--fault", fault) if fault else ())) as target:
        options = ("--users", "2", "--run-time", "3s", "--host", target.url, "--accounts", str(accounts))
        ended = run(tmp_path, *options, JWT_SECRET_KEY=SECRET)
    found = [(row["name"], row["channel"]) for row in ended.rows("violations")]
    assert (("foreign_token", 12) in found) is bool(fault)
    assert (ended.exit_code == 3) is bool(fault)


def test_the_isolation_scenario_asks_for_every_channel_that_the_dialect_can(tmp_path: Path) -> None:
    """A few seconds of it: too short to exercise all, and so it says which it did not."""
    ended = run(tmp_path, "--run-time", "4s", "--users", "12", scenario="isolation")
    assert set(ended.run["limits"]["isolation"]["required_channels"]) == set(range(1, 23))
    assert ended.verdict["isolation"]["verdict"] != "fail", ended.output


def test_there_is_a_make_target() -> None:
    assert "scenarios/isolation.conf" in (ROOT / "Makefile").read_text(encoding="utf-8")
