"""The commands and examples of README.md and docs/, run as they stand; only hosts and folders are a test's own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosstalk.checks.judge import EXIT_LEAK, EXIT_PASS
from reports.build import build
from tests.backend.client import SECRET, Backend, backend, mint
from tests.end_to_end.locust_process import Ended, run
from tests.reports.records import make
from tests.test_docs import README, ROOT, STAGING, blocks, call, code, documented, load_test, table


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with `results/latest`, as a load test with a leak leaves it."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "results" / "20250915-101010-smoke-abcdef"
    make(folder, leak=True, timeouts=2)
    (home / "results" / "latest").symlink_to(folder.name)
    assert build(folder) == []
    return home


def test_the_record_example_gives_the_verdicts_own_figure(record: Path) -> None:
    [example] = blocks(ROOT / "docs/record.md", "python")
    done = call([sys.executable, "-c", example], cwd=record)
    limits = json.loads((record / "results/latest/verdict.json").read_text())["limits"]
    [limit] = [e for e in limits if (e["metric"], e["statistic"]) == ("service_time_ms", "p95")]
    assert limit["value"] is not None and limit["n"] > 60
    assert done.stdout.strip() == f"p95 of service_time: {limit['value']:.1f} ms, n = {limit['n']}", done.stderr


def test_verdict_keys_are_described(record: Path) -> None:
    folder = record / "results" / "latest"
    verdict = json.loads((folder / "verdict.json").read_text())
    described = {key for row in table(ROOT / "docs/measurement.md", "key") for key in code(row[0])}
    assert described == verdict.keys()
    files = {code(row[0])[0].rstrip("/") for row in table(README, "file")}
    assert files == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("command", ["show", "evidence", "html"])
def test_reports_of_a_record(record: Path, command: str) -> None:
    done = call(documented(f"python -m reports {command} results/latest"), cwd=record)
    assert done.returncode == 0, done.stderr
    wanted = {"show": "HOLD", "evidence": "observer", "html": ""}[command]
    assert wanted in done.stdout


@pytest.fixture(scope="module")
def leaking() -> Iterator[Backend]:
    """The leaking backend of the README; its port is a free one."""
    words = documented("python -m crosstalk.backend --port 8000")
    with backend(*words[words.index("8000") + 1 :]) as process:
        yield process


def test_the_lying_test_passes_where_the_smoke_fails(leaking: Backend, tmp_path: Path) -> None:
    here = {"http://127.0.0.1:8000": leaking.url}
    lying = [here.get(word, word) for word in documented("locust -f examples/lying_test")]
    done = call(lying)
    assert done.returncode == 0
    assert "100 % success" in done.stdout
    total = re.findall(r"Aggregated\s+(\d+)\s+(\d+)\(", done.stderr + done.stdout)[-1]
    assert int(total[0]) > 30 and total[1] == "0", total

    smoke = documented("locust --config scenarios/smoke.conf --host http://127.0.0.1:8000")
    words = [here.get(word, word) for word in smoke]
    ended = load_test(words, tmp_path, JWT_SECRET_KEY=SECRET)
    assert ended.exit_code == EXIT_LEAK, ended.output
    assert ended.verdict["isolation"]["violations_confirmed"] > 0


def test_the_lying_test_is_shown_as_it_is() -> None:
    [shown] = [block for block in blocks(README, "python") if "class Visitor" in block]
    assert (ROOT / "examples/lying_test/locustfile.py").read_text(encoding="utf-8").endswith(shown)


def own_backend(words: list[str], tmp_path: Path, **variables: str) -> Ended:
    with backend() as process:
        here = {"wss://chat.example.org": process.url.replace("http", "ws", 1)}
        words = [here.get(word, word) for word in words]
        return load_test([*words, "--users", "12", "--run-time", "12s"], tmp_path, **variables)


def assert_green(ended: Ended) -> None:
    assert ended.exit_code == EXIT_PASS, ended.output
    assert ended.verdict["load_test"]["environment"] == "staging"
    assert ended.verdict["delivery"]["runs"]["ok"] > 30


def test_a_backend_of_ones_own_with_its_secret(tmp_path: Path) -> None:
    words = documented(STAGING)
    assert_green(own_backend(words, tmp_path, JWT_SECRET_STAGING=SECRET))


def test_a_backend_of_ones_own_with_its_accounts(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    lines = [f"person-{number:02},{mint(f'person-{number:02}')}" for number in range(12)]
    accounts.write_text("\n".join(["user_id,token", *lines]) + "\n")
    words = documented(
        "locust --config scenarios/smoke.conf --host wss://chat.example.org --environment staging --accounts"
    )
    words[words.index("accounts.csv")] = str(accounts)
    assert_green(own_backend(words, tmp_path / "results"))


@pytest.mark.parametrize("faults", ["leak_content", "missing_event:0.2,leak_wrong_socket:1:0-4+overlap"])
def test_faults_on_the_command_line(tmp_path: Path, faults: str) -> None:
    words = documented(f"locust --config scenarios/smoke.conf --faults {faults}")
    ended = run(tmp_path, *words[words.index("--faults") :], "--run-time", "6s")
    assert ended.exit_code == EXIT_LEAK
    assert ended.verdict["load_test"]["faults"] == faults
