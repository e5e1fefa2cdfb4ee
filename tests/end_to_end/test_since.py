"""Each report compares itself with the one before: fixed, still failing, new, and above all loosened."""

from pathlib import Path

import pytest

from tests.end_to_end.locust_process import Ended, run

#: about what was counted: a measured time is believed or not, as the machine is
LIMITS = """
[delivery]
nonce = "every_run"

[isolation]
required_channels = [1, 2, 3]
control_min = 0.9

[[phase]]
name = "agents"
priority = 1
value = "agents do not finish their work"

[[phase.limit]]
name = "critical flow"
metric = "runs_ok"
statistic = "share"
at_least = {}
when_unknown = "fail"
"""
PROMISED, WIDENED = 1.0, 0.01


def smoke(results: Path, at_least: float, *options: str) -> Ended:
    """Some of its turns fail, as they are to."""
    limits = results / "limits.toml"
    limits.write_text(LIMITS.format(at_least))
    counted = ("--users", "8", "--spawn-rate", "8", "--run-time", "60s", "--max-runs", "20", "--think-time", "0.2")
    prompts = ("--prompts", "tests/end_to_end/some_fail.toml")
    return run(results, *counted, *prompts, "--limits", str(limits), *options)


@pytest.mark.long
def test_a_widened_limit_is_loosened_and_failures_are_fixed_still_and_new(tmp_path: Path) -> None:
    first = smoke(tmp_path, PROMISED)
    assert first.exit_code == 1
    assert first.verdict["since"]["previous"] is None
    second = smoke(tmp_path, PROMISED)
    assert "limit: critical flow" in second.verdict["since"]["still"]
    third = smoke(tmp_path, WIDENED)
    assert third.exit_code == 0
    assert third.verdict["since"]["previous"] == second.run["load_test"]["id"]
    assert "limit: critical flow" in third.verdict["since"]["fixed"]
    [loosened] = third.verdict["since"]["loosened"]
    assert "critical flow" in loosened or "runs_ok" in loosened
    page = (third.folder / "report.html").read_text()
    assert page.index("LOOSENED") < page.index(third.verdict["sentence"][:20])
    assert "LOOSENED" in third.output
    fourth = smoke(tmp_path, WIDENED, "--faults", "duplicate_event")
    assert "delivery: duplicate" in fourth.verdict["since"]["new"]
    assert fourth.verdict["since"]["loosened"] == []


@pytest.mark.long
def test_a_baseline_can_be_named_and_old_results_are_pruned(tmp_path: Path) -> None:
    first = smoke(tmp_path, WIDENED)
    smoke(tmp_path, WIDENED)
    third = smoke(tmp_path, WIDENED, "--baseline", str(first.folder), "--keep-results", "2")
    assert third.verdict["since"]["previous"] == first.folder.name
    kept = {path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()}
    assert third.folder.name in kept and len(kept) == 2
