"""Each report compares itself with the one before: fixed, still failing, new, and above all loosened."""

from pathlib import Path

from tests.end_to_end.locust_process import Ended, run

LIMITS = Path("tests/end_to_end/ending.toml").read_text()
PROMISE = """
[[phase]]
name = "journeys"
priority = 2
value = "people wait, and leave"

[[phase.limit]]
name = "critical flow"
metric = "service_time_ms"
statistic = "p50"
at_most = {}
when_unknown = "fail"
"""


def smoke(results: Path, limit_ms: float, *options: str) -> Ended:
    limits = results / "limits.toml"
    limits.write_text(LIMITS + PROMISE.format(limit_ms))
    return run(results, "--users", "8", "--spawn-rate", "8", "--run-time", "6s", "--limits", str(limits), *options)


def test_a_widened_limit_is_loosened_and_failures_are_fixed_still_and_new(tmp_path: Path) -> None:
    first = smoke(tmp_path, 1)
    assert first.exit_code == 1
    assert first.verdict["since"]["previous"] is None
    second = smoke(tmp_path, 1)
    assert "limit: critical flow" in second.verdict["since"]["still"]
    third = smoke(tmp_path, 60_000)
    assert third.exit_code == 0
    assert third.verdict["since"]["previous"] == second.run["load_test"]["id"]
    assert "limit: critical flow" in third.verdict["since"]["fixed"]
    [loosened] = third.verdict["since"]["loosened"]
    assert "critical flow" in loosened or "service_time" in loosened
    page = (third.folder / "report.html").read_text()
    assert page.index("LOOSENED") < page.index(third.verdict["sentence"][:20])
    assert "LOOSENED" in third.output
    fourth = smoke(tmp_path, 60_000, "--faults", "duplicate_event")
    assert "delivery: duplicate" in fourth.verdict["since"]["new"]
    assert fourth.verdict["since"]["loosened"] == []


def test_a_baseline_can_be_named_and_old_results_are_pruned(tmp_path: Path) -> None:
    first = smoke(tmp_path, 60_000)
    smoke(tmp_path, 60_000)
    third = smoke(tmp_path, 60_000, "--baseline", str(first.folder), "--keep-results", "2")
    assert third.verdict["since"]["previous"] == first.folder.name
    kept = {path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()}
    assert third.folder.name in kept and len(kept) == 2
