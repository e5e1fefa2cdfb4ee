"""Whatever is wrong with what was asked for: one clear line, the right exit code, no traceback."""

from pathlib import Path

import pytest

from tests.backend.client import SECRET, Backend, backend
from tests.end_to_end.locust_process import ROOT, Ended, run
from tests.end_to_end.web import free_port

USERS = ("--users", "4", "--spawn-rate", "4")
QUICK = (*USERS, "--run-time", "5s")
#: of what is refused before a user is started: it ends by itself, and its run time must not come first
REFUSED = (*USERS, "--run-time", "60s")


@pytest.fixture(scope="module")
def target():
    with backend() as process:
        yield process


def said(ended: Ended) -> str:
    """The line that Crosstalk said."""
    assert "Traceback" not in ended.output, ended.output
    lines = [line for line in ended.output.splitlines() if line.startswith("crosstalk: ")]
    assert lines, ended.output
    return lines[-1]


def test_unknown_scenario(tmp_path: Path) -> None:
    ended = run(tmp_path, scenario="smoek")
    assert ended.exit_code == 2
    assert "scenarios/smoek.conf" in ended.output and "Traceback" not in ended.output


def test_unreachable_host(tmp_path: Path) -> None:
    ended = run(tmp_path, *REFUSED, "--host", f"http://127.0.0.1:{free_port()}", JWT_SECRET_KEY=SECRET)
    assert ended.exit_code == 5 == ended.verdict["exit_code"]
    assert "nobody answers" in said(ended)
    assert ended.verdict["verdict"] != "pass" and ended.run["target"]["ready"] is False


def test_wrong_secret(target: Backend, tmp_path: Path) -> None:
    ended = run(
        tmp_path, *REFUSED, "--host", target.url, JWT_SECRET_KEY="another secret, which the target does not know"
    )
    assert ended.exit_code == 5 == ended.verdict["exit_code"]
    assert "authenticate" in said(ended) and "secret" in said(ended)


def test_no_secret(target: Backend, tmp_path: Path) -> None:
    ended = run(tmp_path, *QUICK, "--host", target.url)
    assert ended.exit_code == 2
    assert "JWT_SECRET_LOCAL" in said(ended)


def test_refused_token_of_an_account(target: Backend, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("user_id,token\n" + "".join(f"someone-{n},not.a.token\n" for n in range(4)))
    ended = run(tmp_path, *REFUSED, "--host", target.url, "--accounts", str(accounts))
    assert ended.exit_code == 5
    assert "authenticate" in said(ended)
    assert "not.a.token" not in ended.output


def test_more_users_than_accounts(target: Backend, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("email,password\none@crosstalk.test,open sesame\n")
    ended = run(tmp_path, *QUICK, "--host", target.url, "--accounts", str(accounts))
    assert ended.exit_code == 2
    assert "4 users, but only 1 accounts" in said(ended)


def test_accounts_that_sign_in_with_a_password(target: Backend, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.json"
    entries = ",".join(f'{{"email":"person-{n}@crosstalk.test","password":"open sesame"}}' for n in range(4))
    accounts.write_text(f"[{entries}]")
    options = (*QUICK, "--host", target.url, "--accounts", str(accounts), "--limits", "tests/end_to_end/ending.toml")
    ended = run(tmp_path, *options)
    assert ended.exit_code == 0, ended.output
    assert {row["account"] for row in ended.rows("runs")} == {f"person-{n}" for n in range(4)}
    assert "open sesame" not in ended.output


def test_receive_timeout_below_agent_timeout(tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text((ROOT / "locustfile.py").read_text())
    table = "connect_timeout_s = 5\nagent_timeout_s = 10\nreceive_timeout_s = 10\n"
    (tmp_path / "environments.toml").write_text(f"[local]\n{table}")
    ended = run(tmp_path, *QUICK, "--headless", "-f", str(tmp_path / "locustfile.py"), scenario=None)
    assert ended.exit_code == 2
    assert "receive_timeout_s 10 must exceed agent_timeout_s 10" in said(ended)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("[[phase]\n", "TOML"), ('[[phase]]\nname = "a"\npriority = 1\nvalue = ""\nneedz = []\n', "needs")],
)
def test_broken_limits_file(tmp_path: Path, text: str, wanted: str) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(text)
    ended = run(tmp_path, *QUICK, "--limits", str(limits))
    assert ended.exit_code == 2
    assert "limits.toml" in said(ended) and wanted in said(ended)


def test_unwritable_results_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path / "file" / "results", *QUICK)
    assert ended.exit_code == 2
    assert "--results" in said(ended)


def test_bad_fault_name(tmp_path: Path) -> None:
    ended = run(tmp_path, *QUICK, "--faults", "leak_contents")
    assert ended.exit_code == 2
    assert "leak_content" in said(ended)


def test_bad_fault_name_with_two_workers_leaves_no_process(tmp_path: Path) -> None:
    ended = run(tmp_path, *QUICK, "--faults", "leak_contents", "--processes", "2")
    assert ended.exit_code == 2
    assert "leak_content" in said(ended)


def test_production_needs_a_yes(target: Backend, tmp_path: Path) -> None:
    options = (*QUICK, "--host", target.url, "--environment", "production")
    ended = run(tmp_path, *options, JWT_SECRET_PRODUCTION=SECRET)
    assert ended.exit_code == 2
    assert "--yes 127.0.0.1" in said(ended)
    agreed = run(tmp_path, *options, "--yes", "127.0.0.1", JWT_SECRET_PRODUCTION=SECRET)
    assert agreed.exit_code in (0, 4)  # five seconds do not exercise every channel


def test_header_from_a_variable_that_is_not_set(tmp_path: Path) -> None:
    ended = run(tmp_path, *QUICK, "--header", "X-Gate=GATE_KEY")
    assert ended.exit_code == 2
    assert "GATE_KEY is not set" in said(ended)


def test_a_misspelt_option_and_environment(tmp_path: Path) -> None:
    ended = run(tmp_path, "--limts", "x")
    assert ended.exit_code == 2
    assert "--limits" in ended.output
    ended = run(tmp_path, *QUICK, "--environment", "stagin")
    assert ended.exit_code == 2
    assert "did you mean staging" in said(ended)
