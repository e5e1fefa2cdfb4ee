"""The verdict does not hang on its pages: without reports, or when they fail, the exit code is the same."""

from pathlib import Path

import pytest

from tests.end_to_end.locust_process import run

LOCUSTFILE = """
from locust import events
from crosstalk.harness import connect
from users.regular import Regular


def broken(folder):
    raise RuntimeError("the printer is on fire")


connect(events, at_end={})
"""


@pytest.mark.parametrize("at_end", ["None", "broken"])
@pytest.mark.parametrize(("faults", "exit_code"), [("", 0), ("leak_content", 3)])
def test_the_exit_code_is_the_verdicts(tmp_path: Path, at_end: str, faults: str, exit_code: int) -> None:
    (tmp_path / "plain.py").write_text(LOCUSTFILE.format(at_end))
    options = ("--headless", "--users", "6", "--spawn-rate", "6", "--run-time", "5s", "--think-time", "0.2")
    limits = ("--limits", "tests/end_to_end/ending.toml")
    ended = run(tmp_path, "-f", str(tmp_path / "plain.py"), *options, *limits, "--faults", faults, scenario=None)
    assert ended.exit_code == exit_code == ended.verdict["exit_code"], ended.output
    assert ended.verdict["sentence"] in ended.output
    assert ("the printer is on fire" in ended.output) == (at_end == "broken")
