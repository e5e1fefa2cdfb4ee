"""What README.md and docs/ say is true: tables are complete, links lead somewhere, each command is run by a test."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from crosstalk.checks.channels import CHANNELS
from crosstalk.checks.judge import EXIT_FAIL, EXIT_LEAK, EXIT_NOT_READY, EXIT_PASS, EXIT_UNKNOWN
from crosstalk.checks.limits import Generator, parse_limits
from crosstalk.checks.metrics import METRICS
from crosstalk.checks.violation import CONFIRMED_SCOPES
from crosstalk.options import add_options
from crosstalk.record.rows import TABLES
from tests.end_to_end.locust_process import Ended, environment
from tests.end_to_end.test_faults import DELIVERY, LEAKS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

STAGING = "locust --config scenarios/smoke.conf --host wss://chat.example.org --environment staging"
#: command → who runs it: a line of .ci/run, or FILE::TEST
COMMANDS = {
    "make smoke": ".ci/run",
    "make leak": "tests/test_docs.py::test_make_leak_runs_the_leak_that_is_tested",
    "export JWT_SECRET_KEY=0123456789abcdef0123456789abcdef": "tests/test_docs_commands.py::leaking",
    "python -m crosstalk.backend --port 8000 --fault leak_content": "tests/test_docs_commands.py::leaking",
    "locust -f examples/lying_test/locustfile.py": (
        "tests/test_docs_commands.py::test_the_lying_test_passes_where_the_smoke_fails"
    ),
    "locust --config scenarios/smoke.conf --host http://127.0.0.1:8000 --fail-fast": (
        "tests/test_docs_commands.py::test_the_lying_test_passes_where_the_smoke_fails"
    ),
    "export JWT_SECRET_STAGING=": "tests/test_docs_commands.py::test_a_backend_of_ones_own_with_its_secret",
    STAGING: "tests/test_docs_commands.py::test_a_backend_of_ones_own_with_its_secret",
    f"{STAGING} --accounts accounts.csv": "tests/test_docs_commands.py::test_a_backend_of_ones_own_with_its_accounts",
    "locust --config scenarios/smoke.conf --processes 2": (
        "tests/end_to_end/test_distribution.py::test_a_killed_worker_is_named_with_the_number_of_its_events"
    ),
    "python -m crosstalk.backend --host-address 10.90.0.1 --port 8000": (
        "tests/end_to_end/test_distribution_hosts.py::test_every_way_of_ending_loses_nothing"
    ),
    "locust --config scenarios/smoke.conf --master --expect-workers 2 --host http://10.90.0.1:8000": (
        "tests/end_to_end/test_distribution_hosts.py::test_every_way_of_ending_loses_nothing"
    ),
    "locust --config scenarios/smoke.conf --worker --master-host 10.90.0.1": (
        "tests/end_to_end/test_distribution_hosts.py::test_workers_of_one_host_leave_together_and_hand_everything_over"
    ),
    "python -m reports show results/latest": "tests/test_docs_commands.py::test_reports_of_a_record",
    "python -m reports evidence results/latest": "tests/test_docs_commands.py::test_reports_of_a_record",
    "python -m reports html results/latest": "tests/test_docs_commands.py::test_reports_of_a_record",
    "python -m reports reproduce gravest": (
        "tests/end_to_end/test_reproduce.py::test_a_recorded_leak_is_driven_again_and_its_script_tells_a_leaking_backend_from_a_clean_one"
    ),
    "python -m reports trace": "tests/reports/test_trace_page.py::test_a_trace_for_one_chosen_thing",
    "locust --config scenarios/soak.conf": (
        "tests/end_to_end/test_family_soak.py::test_without_faults_nothing_is_lost"
    ),
    "make isolation": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make golden-path": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make suites": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make incidents": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make detection-matrix": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make calibrate": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make compiled": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make bench": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make accuracy": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make scale": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "make coverage": "tests/test_docs.py::test_long_make_targets_run_what_is_tested",
    "python -m crosstalk.backend --list-faults": "tests/test_docs.py::test_the_backend_lists_the_faults_of_the_tables",
    "locust --config scenarios/smoke.conf --faults": "tests/test_docs_commands.py::test_faults_on_the_command_line",
    "locust --config scenarios/smoke.conf --host ws://127.0.0.1:9000 --dialect plain.py:Plain": (
        "tests/test_docs_dialect.py::test_it_drives_a_server"
    ),
    "python -m crosstalk.tools.new_dialect plain": (
        "tests/test_docs_dialect.py::test_the_tools_write_and_check_a_first_version"
    ),
    "python -m crosstalk.tools.check_dialect --dialect plain.py:Plain": (
        "tests/test_docs_dialect.py::test_the_tools_write_and_check_a_first_version"
    ),
    "python -m crosstalk.tools.check_dialect --dialect netra": (
        "tests/test_docs_dialect.py::test_the_tools_look_at_a_backend_of_ones_own"
    ),
    "python -m crosstalk.tools.preflight --host wss://chat.example.org --environment staging": (
        "tests/test_docs_dialect.py::test_the_tools_look_at_a_backend_of_ones_own"
    ),
    f"{STAGING} --limits my_limits.toml --prompts my_prompts.toml": (
        "tests/test_docs_dialect.py::test_own_limits_and_prompts_judge_a_backend_of_ones_own"
    ),
}


# --- reading --------------------------------------------------------------------------------------------------------


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"))


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.strip() for line in lines if line.strip()]


def documented(start: str) -> list[str]:
    """The words of the command that reads so, else of the one that begins so, ready to be run with this Python."""
    said = set(commands())
    [command] = {start} & said or {line for line in said if line.startswith(start)}
    words = shlex.split(command)
    python = {"locust": [sys.executable, "-m", "locust"], "python": [sys.executable]}
    return [*python[words[0]], *words[1:]]


def table(page: Path, first_header: str) -> list[list[str]]:
    """Rows of the page's tables whose first column has that title; a cell's text as it stands."""
    rows: list[list[str]] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif inside:
            rows.append(cells)
        elif cells[0] == first_header:
            inside = True
    rows = [row for row in rows if not set(row[0]) <= set("-: ")]
    assert rows, f"{page}: no table of {first_header}"
    return rows


def code(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def call(words: list[str], *, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=100, check=False
    )


def load_test(words: list[str], results: Path, **variables: str) -> Ended:
    """Run a load test; its results go to a folder of the test's own."""
    done = call([*words, "--results", str(results)], **variables)
    return Ended(done.returncode, done.stdout + done.stderr, (results / "latest").resolve())


# --- the pages themselves -------------------------------------------------------------------------------------------


def test_every_command_is_run_by_someone() -> None:
    said = commands()
    for command in said:
        runners = [runner for start, runner in COMMANDS.items() if command.startswith(start)]
        assert runners, f"nobody runs {command!r}: add a test, and name it in COMMANDS"
    for start, runner in COMMANDS.items():
        assert any(command.startswith(start) for command in said), f"no page says {start!r} any more"
        path, _, name = runner.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"(?m)^def {name}\(" if name else rf"(?m)^{start}$", text), (start, runner)


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name) if name else page
            assert file.exists(), f"{page.name} links to {target}"
            if anchor:
                titles = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
                assert anchor in {re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles}, target


def first_words(name: str) -> str:
    """The first line of a module's docstring."""
    file = ROOT / name
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.suffix == ".py" else ""
    return (said or "…").splitlines()[0]


def test_the_map_names_every_file_and_nothing_else() -> None:
    text = README.read_text(encoding="utf-8")
    text = text[text.index("## Map of files") : text.index("## Licence")]
    named, room = {}, ""
    for line in text.splitlines():
        if heading := re.match(r"\*\*(?:`(.+)/`|Top level)", line):
            room = f"{heading[1]}/" if heading[1] else ""
        elif entry := re.match(r"- `([^`]+)` (\S.*)", line):
            named[room + entry[1]] = entry[2]
    rooms = ("crosstalk", "reports", "users", "scenarios", "tests", "bench", "examples", "docs")
    kinds = {".py", ".c", ".toml", ".conf", ".css", ".js", ".html", ".md", ".png"}
    there = {file.relative_to(ROOT).as_posix() for room in rooms for file in (ROOT / room).rglob("*.*")
             if file.suffix in kinds and "results" not in file.parts
             and not (file.name == "__init__.py" and not file.read_text().strip())}  # fmt: skip
    missing = sorted(there - named.keys())
    gone = sorted(name for name in named if not (ROOT / name).exists())
    lines = "\n".join(f"{name.rpartition('/')[0]}/  - `{Path(name).name}` {first_words(name)}" for name in missing)
    assert not missing, f"README.md, map of files: add a line for each of these, shorter if it can be\n{lines}"
    assert not gone, "README.md, map of files: remove " + ", ".join(gone)


def test_nothing_is_said_of_where_this_was_built() -> None:
    for page in PAGES:
        found = re.findall(r"/tmp\b|/home/|/root\b|\bissue #?\d+", page.read_text(encoding="utf-8"))
        assert not found, (page, found)


def test_pictures_are_there_and_small() -> None:
    for name in ("pass.png", "leak.png"):
        picture = (ROOT / "docs/pictures" / name).read_bytes()
        assert picture.startswith(b"\x89PNG") and 5_000 < len(picture) < 300_000


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_leak_runs_the_leak_that_is_tested() -> None:
    recipe = call(["make", "-n", "leak"]).stdout
    wanted = " ".join(documented("locust --config scenarios/smoke.conf --faults leak_content --fail-fast")[3:])
    assert wanted in recipe
    assert "python -m reports evidence results/latest" in recipe


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_long_make_targets_run_what_is_tested() -> None:
    """Their short forms are tests: test_probes, test_golden_path, test_incidents, test_detection_matrix,
    test_family_recovery, test_soak, test_calibrate, test_compiled, test_bench, test_scale, test_coverage.
    """
    for target, command in {
        "isolation": "locust --config scenarios/isolation.conf",
        "golden-path": "locust --config scenarios/golden_path.conf",
        "suites": "locust --config scenarios/suites.conf",
        "recovery": "locust --config scenarios/recovery.conf",
        "soak": "python -m bench.soak",
        "incidents": "python -m examples.incidents",
        "detection-matrix": "python -m bench.detection_matrix",
        "calibrate": "python -m crosstalk.tools.calibrate",
        "compiled": "python -m crosstalk.tools.compile",
        "bench": "python -m bench.side_by_side",
        "accuracy": "python -m bench.accuracy",
        "scale": "python -m bench.scale",
        "coverage": "python -m bench.coverage",
    }.items():
        assert command in call(["make", "-n", target]).stdout, target


# --- tables ---------------------------------------------------------------------------------------------------------


def test_options_are_described_with_their_defaults() -> None:
    class Parser:
        def __init__(self) -> None:
            self.rows: list[list[str]] = []

        def add_argument(self, name: str, **said: object) -> None:
            choices = said.get("choices")
            meta = said.get("metavar") or ("|".join(choices) if isinstance(choices, tuple) else "")
            default = said.get("default", False)
            shown = "off" if default is False else f"`{default}`" if default not in ("", []) else "none"
            self.rows.append([f"`{name} {meta}".rstrip() + "`", shown, f"`{said['env_var']}`"])

    parser = Parser()
    add_options(parser)
    rows = table(ROOT / "docs/options.md", "option")
    assert [row[:3] for row in rows] == parser.rows
    assert all(row[3] for row in rows)


def test_environment_variables_are_described() -> None:
    named = {name for row in table(ROOT / "docs/options.md", "variable") for name in code(row[0])}
    assert {"JWT_SECRET_KEY", "JWT_SECRET", "CROSSTALK_CANARY_SECRET", "GITHUB_STEP_SUMMARY", "NO_COLOR"} < named
    sources = [*(ROOT / "crosstalk").glob("*.py"), *(ROOT / "reports").glob("*.py")]
    read = {name for file in sources for name in re.findall(r'environ\.get\("([A-Z_]+)"', file.read_text())}
    assert read - {"PYTHONPATH", "DISPLAY"} <= named  # the last two are the system's


def test_every_column_of_the_record_is_described() -> None:
    text = (ROOT / "docs/record.md").read_text(encoding="utf-8")
    for name, columns in TABLES.items():
        section = re.search(rf"(?ms)^### {name}\n(.*?)(?=^### |\Z)", text)
        assert section, f"docs/record.md has no section {name}"
        rows = re.findall(r"(?m)^\| `(\w+)` \| (\S+) \| (.+) \|$", section[1])
        assert {column: kind for column, kind, _ in rows} == columns, name
        assert all(meaning.strip() for _, _, meaning in rows)
    assert set(re.findall(r"(?m)^### (\w+)$", text)) == TABLES.keys()


def test_metrics_are_described() -> None:
    rows = table(ROOT / "docs/measurement.md", "metric")
    assert [(code(row[0])[0], row[1], row[3]) for row in rows] == [
        (metric.name, metric.kind, metric.judgement) for metric in METRICS.values()
    ]


def test_every_time_is_in_the_table_of_statistics() -> None:
    text = (ROOT / "docs/statistics.md").read_text(encoding="utf-8").split("## Metrics")[1].split("\n## ")[0]
    named = {name.removesuffix("_ms").removesuffix("[kind]") for row in re.findall(r"(?m)^\| (`.+?) \|", text)
             for name in code(row)}  # fmt: skip
    times = {metric.name.removesuffix("_ms") for metric in METRICS.values() if metric.kind == "time"}
    assert named == times | {"event_time", "event_gap", "goodput"}


@pytest.mark.parametrize("page", [README, ROOT / "docs/measurement.md"], ids=lambda page: page.name)
def test_exit_codes_are_those_of_the_verdict(page: Path) -> None:
    rows = {int(row[0]): row[1] for row in table(page, "exit code")}
    words = {EXIT_PASS: "pass", EXIT_FAIL: "failed", EXIT_LEAK: "isolation", EXIT_UNKNOWN: "judged",
             EXIT_NOT_READY: "not ready"}  # fmt: skip
    assert rows.keys() - {2} == words.keys()
    assert all(word in rows[exit_code] for exit_code, word in words.items())


def test_the_limits_example_is_a_limits_file() -> None:
    [example] = blocks(ROOT / "docs/measurement.md", "toml")
    limits = parse_limits(example, source="docs/measurement.md")
    assert [phase.name for phase in limits.phases] == ["auth", "journeys"]
    assert limits.limits[-1].required is False
    assert set(re.findall(r"(?m)^(\w+_max) = ", example)) <= {field.name for field in fields(Generator)}


#: names of user classes in `users/`
CAST = {name for file in (ROOT / "users").glob("*.py") for name in re.findall(r"(?m)^class (\w+)", file.read_text())}


def test_channels_are_listed_and_none_is_claimed_that_is_not_checked() -> None:
    rows = {int(row[0]): row[1:] for row in table(ROOT / "docs/isolation.md", "#")}
    assert {number: name for number, (name, _, _) in rows.items()} == CHANNELS
    assert all(now.startswith("checked") for _, now, _ in rows.values())
    assert all(name in CAST for _, _, by in rows.values() for name in code(by) if name[:1].isupper())
    checks = README.read_text(encoding="utf-8").split("## What it checks")[1].split("## Test your own")[0]
    assert set(map(int, re.findall(r"(?m)^- channel (\d+)", checks))) <= CHANNELS.keys()


def test_scopes_that_violate_are_those_of_the_verdict() -> None:
    rows = table(ROOT / "docs/isolation.md", "scope")
    assert {code(row[0])[0] for row in rows if row[2] == "violated"} == set(CONFIRMED_SCOPES)


def test_delivery_violations_are_named() -> None:
    sources = [*(ROOT / "crosstalk").glob("*.py"), *(ROOT / "crosstalk/checks").glob("*.py")]
    known = {n for file in sources for n in re.findall(r'(?:delivery|_say)\(\s*"([a-z_0-9]+)"', file.read_text())}
    checks = README.read_text(encoding="utf-8").split("**Delivery**")[1].split("**Identity**")[0]
    assert set(code(checks)) == known


def test_faults_are_listed_with_what_they_are_caught_as() -> None:
    rows = {code(row[0])[0]: row[1:] for row in table(ROOT / "docs/faults.md", "fault")}
    tried = {*DELIVERY, *LEAKS, "leak_wrong_socket", "close_1011", "lost_before_ready", "demo_user"}
    assert tried <= rows.keys(), "a fault that is tried in tests/end_to_end belongs into the first table"
    for name, (_, caught_as) in DELIVERY.items():
        assert code(rows[name][1])[0] == caught_as and rows[name][2] == "1", name
    for name, (_, caught_as, channel, scope) in LEAKS.items():
        assert code(rows[name][1])[0] == caught_as and f"channel {channel}" in rows[name][1], name
        assert (scope in rows[name][1]) == (scope != "cross_user") and rows[name][2] == "3", name


def test_the_backend_lists_the_faults_of_the_tables() -> None:
    listed = [
        line.split()[0] for line in call(documented("python -m crosstalk.backend --list-faults")).stdout.splitlines()
    ]
    rows = [
        *table(ROOT / "docs/faults.md", "fault"),
        *table(ROOT / "docs/faults.md", "fault, tried in the detection matrix"),
    ]
    described = [code(row[0])[0] for row in rows]
    assert listed and sorted(described) == sorted(listed), set(described) ^ set(listed)
