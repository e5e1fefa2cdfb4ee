"""A leak is recorded, driven again, made small, and handed out as a script that shows it: nothing is pretended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crosstalk.checks.judge import EXIT_LEAK
from tests.backend.client import SECRET, Backend, backend
from tests.end_to_end.locust_process import ROOT, environment, run

LEAKED, CLEAN, NOT_THERE = 3, 0, 5


def reproduce(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reports", "reproduce", *options], cwd=ROOT, env=environment(**variables),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def start(script: Path, target: Backend) -> int:
    """One start of `repro.py`, as somebody without the project would: isolated, beside nothing."""
    command = [sys.executable, "-I", str(script), "--host", target.url.replace("http", "ws")]
    done = subprocess.run(
        command, env={"JWT_SECRET_KEY": SECRET}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (LEAKED, CLEAN), done.stdout + done.stderr
    if done.returncode == LEAKED:
        assert "LEAK: user" in done.stdout and " sent  " in done.stdout and " received  " in done.stdout
    return done.returncode


def starts(script: Path, count: int, *faults: str) -> list[int]:
    """So many starts against one backend with these faults."""
    with backend(*(word for fault in faults for word in ("--fault", fault))) as target:
        return [start(script, target) for _ in range(count)]


def users_in(script: Path) -> int:
    return script.read_text().count("    ('0")


def shown(tmp_path: Path, fault: str, *options: str, scenario: str = "smoke") -> Path:
    """Record a leak of that fault, reproduce it, and return the script: what `reproduce` counted is in its output."""
    ended = run(tmp_path, "--faults", fault, "--fail-fast", *options, scenario=scenario)
    assert ended.exit_code == EXIT_LEAK, ended.output
    script = tmp_path / "repro.py"
    done = reproduce(ended.folder, "gravest", str(ended.folder), "--out", str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"written  {script}" in done.stdout
    assert SECRET not in script.read_text()
    assert users_in(script) <= 3, done.stdout
    return script


def test_a_recorded_leak_is_driven_again_and_its_script_tells_a_leaking_backend_from_a_clean_one(
    tmp_path: Path,
) -> None:
    ended = run(tmp_path, "--faults", "leak_content", "--fail-fast", "--users", "5")
    script = tmp_path / "repro.py"
    done = reproduce(ended.folder, "gravest", str(ended.folder), "--tries", "2", "--out", str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "leaks 2 of 2, with 2 users, 2 turns" in done.stdout
    assert starts(script, 2, "leak_content") == [LEAKED] * 2
    assert starts(script, 1) == [CLEAN]

    # what does not leak is not said to: the same record on a backend without the fault
    with backend() as clean:
        again = reproduce(
            ended.folder, "gravest", str(ended.folder), "--host", clean.url, "--tries", "1",
            "--budget-s", "1", "--out",
            str(tmp_path / "none.py"), JWT_SECRET_KEY=SECRET,
        )  # fmt: skip
    assert (again.returncode, "did not leak again" in again.stdout) == (4, True), again.stdout + again.stderr
    assert not (tmp_path / "none.py").exists()


def test_a_target_that_is_gone_and_a_violation_that_is_not_there_are_said_to_be_so(leaked: Path) -> None:
    gone = reproduce(leaked, "gravest", str(leaked), "--host", "ws://127.0.0.1:9", JWT_SECRET_KEY=SECRET)
    assert gone.returncode == NOT_THERE
    assert "the target is not there" in gone.stderr
    unknown = reproduce(leaked, "local-v99", str(leaked))
    assert unknown.returncode == 2
    assert "holds no violation 'local-v99'; there are " in unknown.stderr
    for options, why in ((("--tries", "0"), "1 to 1000"), (("--nonsense",), "--nonsense")):
        wrong = reproduce(leaked, "gravest", str(leaked), *options)
        assert wrong.returncode == 2
        assert why in wrong.stderr


@pytest.fixture(scope="module")
def leaked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("leaked"), "--faults", "leak_wrong_socket", "--fail-fast", "--users", "5").folder


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "scenario", "options"),
    [
        ("leak_content", "smoke", ()),
        ("leak_wrong_socket", "smoke", ()),
        ("leak_cache", "smoke", ()),
        ("leak_after_end", "smoke", ()),
        ("leak_content:1:after_cancel", "cancel", ()),
        ("leak_wrong_socket:0.2:overlap", "smoke", ()),
        ("leak_content", "smoke", ("--dialect", "agui")),
        ("leak_run_id", "smoke", ("--dialect", "agui")),
        ("leak_content", "smoke", ("--dialect", "per_run")),
    ],
)
def test_scripts_of_recorded_leaks_show_them_in_most_starts(
    fault: str, scenario: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    script = shown(tmp_path, fault, *options, scenario=scenario)
    assert starts(script, 10, fault).count(LEAKED) >= 5
    assert starts(script, 3) == [CLEAN] * 3
