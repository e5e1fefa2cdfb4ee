"""Sign-in and newcomers: each fault is caught as the step that fails, at the accounts that have it and nowhere else.

One load test with all faults, each at accounts of its own, and one without any.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from crosstalk.backend.catalogue_sign_in import SIGN_IN
from tests.backend.client import PASSWORD, backend, mint
from tests.end_to_end.locust_process import Ended, run

#: fault → (account, steps of sign_in that fail there); some share an account, and no step
SIGNER: dict[str, tuple[int, set[str]]] = {
    "login_wrong_password_accepted": (100, {"wrong password"}),
    "oauth_state_ignored": (100, {"oauth state"}),
    "refresh_reusable": (100, {"used refresh token"}),
    "query_ignored": (100, {"valid token by query"}),
    "login_refused": (101, {"login"}),
    "oauth_code_reused": (101, {"oauth code"}),
    "message_ignored": (101, {"valid token by message"}),
    "oauth_slow": (102, set()),
    "refresh_kills_run": (102, {"run during a refresh"}),
    "subprotocol_ignored": (102, {"valid token by subprotocol"}),
    "accepts_revoked": (103, {"HTTP after logout", "socket after logout"}),
    "header_ignored": (104, {"valid token by header", "connection"}),
    "header_unverified": (105, {"bad token by header"}),
    "subprotocol_unverified": (105, {"bad token by subprotocol"}),
    "query_unverified": (105, {"bad token by query"}),
    "message_unverified": (105, {"bad token by message"}),
    "accept_any_token": (106, {"bad token over HTTP"}),
    "oauth_other_user": (107, {"oauth"}),
    "refresh_gives_other_user": (107, {"refresh"}),
    "refresh_gives_dead_token": (110, {"socket after a refresh"}),
}
#: fault → the kind of bad token that its account, and no other, lets in (an odd one: two rounds show every kind)
KINDS = {
    "accepts_alg_none": (109, "unsigned (alg none)"),
    "accepts_wrong_audience": (109, "wrong audience"),
    "accepts_refresh_as_access": (109, "refresh token"),
    "accepts_expired": (109, "expired"),
}
#: whoever takes a token unverified may take one that was revoked, where it comes by that way
MAY_FAIL_TOO = {
    105: "socket after logout",
    106: "(bad token by .+|(HTTP|socket) after logout)",
    109: "bad token (by|over) .+",
}
NEWCOMER: dict[str, tuple[str, set[str]]] = {
    "history_lacks_answer": ("1000-1999", {"history"}),
    "first_thread_lost": ("2000-2999", {"history"}),
    "missing_event": ("3000-3999", {"first answer"}),
    "oauth_other_user": ("4000-4999", {"oauth"}),
    "header_ignored": ("5000-5999", {"first connection"}),
    "leak_listing": ("6000-6999", {"first thread"}),
}
CAST = "Signer@100x11," + ",".join(f"Newcomer@{first}" for first in range(1000, 7000, 1000)) + ",Newcomer@7000x2"
SPARED = {108, *range(7000, 8000)}

#: what is covered of sign-in: one entry for each thing, with the step that fails, and the fault that makes it fail
COVERED: list[dict[str, str]] = [
    {"family": family, "what": what, "step": step, "user": user, "limit": limit, "fault": fault}
    for family, user, what, step, limit, fault in (
        ("sign_in", "Signer", "password login", "login", "steps_ok[sign_in/login]", "login_refused"),
        ("sign_in", "Signer", "a wrong password is refused", "wrong password", "", "login_wrong_password_accepted"),
        ("sign_in", "Signer", "OAuth code flow, tokens of one's own", "oauth", "steps_ok[sign_in/oauth]",
         "oauth_other_user"),
        ("sign_in", "Signer", "the state is checked", "oauth state", "steps_ok[sign_in/oauth state]",
         "oauth_state_ignored"),
        ("sign_in", "Signer", "a code is good once", "oauth code", "", "oauth_code_reused"),
        ("sign_in", "Signer", "OAuth p95 < 2 s", "oauth", "oauth_time_ms", "oauth_slow"),
        ("sign_in", "Signer", "refresh before expiry", "refresh", "steps_ok[sign_in/refresh]",
         "refresh_gives_other_user"),
        ("sign_in", "Signer", "refresh in mid-run", "run during a refresh",
         "steps_ok[sign_in/run during a refresh]", "refresh_kills_run"),
        ("sign_in", "Signer", "the new token opens a socket", "socket after a refresh", "tokens_accepted",
         "refresh_gives_dead_token"),
        ("sign_in", "Signer", "a refresh token is good once", "used refresh token", "", "refresh_reusable"),
        ("sign_in", "Signer", "logout and revocation, over HTTP", "HTTP after logout", "", "accepts_revoked"),
        ("sign_in", "Signer", "logout and revocation, at the socket", "socket after logout", "", "accepts_revoked"),
        *(
            ("sign_in", "Signer", f"valid tokens 100 % accepted by {way}", f"valid token by {way}", "tokens_accepted",
             f"{way}_ignored")
            for way in ("header", "subprotocol", "query", "message")
        ),
        *(
            ("sign_in", "Signer", f"bad tokens 100 % rejected by {way}", f"bad token by {way}", "bad_tokens_rejected",
             f"{way}_unverified")
            for way in ("header", "subprotocol", "query", "message")
        ),
        ("sign_in", "Signer", "bad tokens 100 % rejected over HTTP", "bad token over HTTP", "", "accept_any_token"),
        ("newcomer", "Newcomer", "first OAuth", "oauth", "steps_ok[newcomer/oauth]", "oauth_other_user"),
        ("newcomer", "Newcomer", "first thread", "first thread", "", "leak_listing"),
        ("newcomer", "Newcomer", "first connection", "first connection", "tokens_accepted", "header_ignored"),
        ("newcomer", "Newcomer", "first prompt, answer", "first answer", "", "missing_event"),
        ("newcomer", "Newcomer", "history", "history", "", "history_lacks_answer"),
        ("newcomer", "Newcomer", "the first thread stays", "history", "", "first_thread_lost"),
        ("newcomer", "Newcomer", "timed end to end", "", "journey_time_ms[newcomer]", "missing_event"),
    )
]  # fmt: skip


def probe(folder: Path, cast: str, *, rounds: int, faults: str = "", options: tuple[str, ...] = ()) -> Ended:
    said = ("--headless", "-f", "tests/end_to_end/probing_users.py", "--stop-timeout", "10", "--think-time", "0.5")
    said += ("--limits", "tests/end_to_end/sign_in.toml", *options)
    if faults:
        said += ("--faults", faults)
    return run(folder, *said, scenario=None, PROBING=cast, ROUNDS=str(rounds))


def numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def failed(ended: Ended, family: str, accounts: str) -> list[dict[str, Any]]:
    """Rows of the steps that failed there."""
    return [
        row
        for row in ended.rows("steps")
        if row["family"] == family
        and row["step"]
        and row["outcome"] == "failed"
        and int(row["account"][-5:]) in numbers(accounts)
    ]


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["step"] for row in rows}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    tables = (SIGNER, KINDS, NEWCOMER)
    asked = [f"{name}:1:{entry[0]}" for table in tables for name, entry in table.items()]
    return probe(tmp_path_factory.mktemp("faulty"), CAST, rounds=2, faults=",".join(asked))


@pytest.mark.parametrize("fault", SIGNER)
def test_a_fault_of_sign_in_fails_its_own_step(faulty: Ended, fault: str) -> None:
    account, wanted = SIGNER[fault]
    assert wanted <= names(failed(faulty, "sign_in", str(account)))


@pytest.mark.parametrize("account", range(100, 111))
def test_no_other_step_fails_at_an_account(faulty: Ended, account: int) -> None:
    wanted = {step for at, steps in SIGNER.values() if at == account for step in steps}
    came = names(failed(faulty, "sign_in", str(account)))
    assert not [step for step in came - wanted if not re.fullmatch(MAY_FAIL_TOO.get(account, ""), step)], came


@pytest.mark.parametrize("fault", KINDS)
def test_a_bad_token_that_is_let_in_is_named_by_its_kind(faulty: Ended, fault: str) -> None:
    account, kind = KINDS[fault]
    rows = failed(faulty, "sign_in", str(account))
    said = {row["expected"].partition(" is: ")[2] for row in rows}
    assert kind in said <= {kind for _, kind in KINDS.values()}
    assert all(row["step"].startswith("bad token") for row in rows)


@pytest.mark.parametrize("fault", NEWCOMER)
def test_a_fault_of_newcomers_fails_its_own_step(faulty: Ended, fault: str) -> None:
    accounts, wanted = NEWCOMER[fault]
    assert names(failed(faulty, "newcomer", accounts)) == wanted


def test_nobody_else_fails(faulty: Ended) -> None:
    rows = [row for row in faulty.rows("steps") if row["outcome"] == "failed" and int(row["account"][-5:]) in SPARED]
    assert rows == []
    seen = {int(row["observer"][-5:]) for row in faulty.rows("violations")}
    assert not seen & SPARED


def test_what_came_stands_beside_what_was_expected(faulty: Ended) -> None:
    rows = {row["step"]: row for row in faulty.rows("steps") if row["outcome"] == "failed"}
    assert rows["wrong password"]["expected"] == "a refusal of a wrong password"
    assert rows["wrong password"]["came"] == "tokens, HTTP 200"
    assert rows["login"]["came"] == "HTTP 401"
    assert "CANCELLED" in rows["run during a refresh"]["came"] and rows["run during a refresh"]["run"]
    assert "not there" in rows["history"]["came"] or "HTTP 404" in rows["history"]["came"]


def test_another_users_tokens_are_an_isolation_violation(faulty: Ended) -> None:
    found = [row for row in faulty.rows("violations") if row["name"] == "foreign_token"]
    observers = {int(row["observer"][-5:]) for row in found}
    assert {107} < observers <= {107, *range(4000, 5000)}
    assert all(row["owner"] != row["observer"] and row["channel"] == 12 for row in found)
    assert faulty.exit_code == 3 == faulty.verdict["exit_code"]


def test_limits_fail_for_what_is_slow_and_what_is_let_in(faulty: Ended) -> None:
    verdicts = {limit["name"]: limit["verdict"] for limit in faulty.verdict["limits"]}
    assert verdicts == dict.fromkeys(("OAuth", "valid tokens accepted", "bad tokens rejected"), "fail")
    families = {one["family"]: one["verdict"] for one in faulty.verdict["families"]}
    assert families == {"sign_in": "fail", "newcomer": "fail"}


def test_every_newcomer_is_new(faulty: Ended) -> None:
    journeys = [row for row in faulty.rows("steps") if row["family"] == "newcomer" and not row["step"]]
    assert len({row["account"] for row in journeys}) == len(journeys)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same people on a backend that is right: four of them try every wrong state, and some listen to the end."""
    return probe(tmp_path_factory.mktemp("clean"), "Signer@100x4,Newcomer@600x2", rounds=2)


@pytest.mark.long
def test_without_faults_both_families_pass(clean: Ended) -> None:
    assert clean.rows("violations") == []
    families = {one["family"]: one for one in clean.verdict["families"]}
    assert {name: one["verdict"] for name, one in families.items()} == {"sign_in": "pass", "newcomer": "pass"}
    steps = {(name, step["step"]): step for name, one in families.items() for step in one["steps"]}
    assert all(step["failed"] == 0 and step["not_offered"] == 0 for step in steps.values())
    tried = {(entry["family"], entry["step"]) for entry in COVERED if entry["step"]}
    assert tried <= {place for place, step in steps.items() if step["ok"]}
    assert clean.exit_code == 0, clean.output


@pytest.mark.long
def test_the_user_leaves_nothing_behind(clean: Ended) -> None:
    """Every thread that somebody made was deleted, and nobody was lost."""
    assert clean.verdict["connections"]["lost"] == 0
    assert sum(worker.get("threads_left", 0) for worker in clean.run["workers"].values()) == 0


LOCUSTFILE = """
from locust import events
import reports
from crosstalk.harness import connect
from users.newcomer import Newcomer
from users.signer import Signer
connect(events, at_end=reports.publish)
"""
ENVIRONMENT = "[local]\nconnect_timeout_s = 5\nagent_timeout_s = 8\nreceive_timeout_s = 10\n"


def at_a_target_of_its_own(tmp_path: Path, accounts: list[str], keys: str = "") -> dict[str, dict[str, dict[str, Any]]]:
    """Family → step → its entry in the verdict, of a short load test with accounts of a file; all families passed."""
    (tmp_path / "accounts.csv").write_text("\n".join(accounts))
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    (tmp_path / "environments.toml").write_text(ENVIRONMENT + keys)
    with backend() as target:
        ended = run(
            tmp_path / "results",
            *("--headless", "-f", str(tmp_path / "locustfile.py"), "--users", "4", "--run-time", "6s"),
            *("--stop-timeout", "10", "--host", target.url, "--accounts", str(tmp_path / "accounts.csv")),
            scenario=None,
        )
    families = {one["family"]: one for one in ended.verdict["families"]}
    assert {name: one["verdict"] for name, one in families.items()} == {"sign_in": "pass", "newcomer": "pass"}
    return {name: {step["step"]: step for step in one["steps"]} for name, one in families.items()}


@pytest.mark.parametrize("oauth", [False, True], ids=["passwords", "passwords and OAuth"])
def test_accounts_of_a_file_sign_in_by_what_is_said_of_their_target(tmp_path: Path, oauth: bool) -> None:
    """OAuth only where the environment says how."""
    accounts = ["email,password", *(f"person-{n}@crosstalk.test,{PASSWORD}" for n in range(8))]
    steps = at_a_target_of_its_own(tmp_path, accounts, 'oauth_path = "/auth/login"\n' * oauth)["sign_in"]
    assert steps["login"]["ok"] and steps["run during a refresh"]["ok"] and not steps["login"]["not_offered"]
    assert bool(steps["oauth"]["ok"]) is oauth and bool(steps["oauth"]["not_offered"]) is not oauth
    assert oauth or "oauth_path" in steps["oauth"]["why_not_offered"]
    assert "valid token by query" not in steps, "netra promises the header and the subprotocol"


def test_accounts_that_bring_a_token_show_it_and_never_log_out_with_it(tmp_path: Path) -> None:
    names = [f"person-{n}" for n in range(8)]
    tables = at_a_target_of_its_own(tmp_path, ["user_id,token", *(f"{name},{mint(name)}" for name in names)])
    steps = tables["sign_in"]
    for step in ("login", "oauth", "refresh", "logout"):
        assert steps[step]["not_offered"] and not steps[step]["ok"] + steps[step]["failed"], step
    assert steps["valid token by header"]["ok"] and steps["bad token over HTTP"]["ok"] and steps["run"]["ok"]
    assert tables["newcomer"]["history"]["ok"] and tables["newcomer"]["oauth"]["not_offered"]


def test_everything_is_covered_by_a_fault_and_every_fault_of_the_catalogue_covers_something() -> None:
    assert [entry for entry in COVERED if not entry["fault"]] == []
    assert {fault.name for fault in SIGN_IN} <= {entry["fault"] for entry in COVERED}
