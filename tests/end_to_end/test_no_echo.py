"""A target that repeats nothing: what hangs on canaries coming back is not judged, ids are judged all the same."""

from pathlib import Path

from crosstalk.checks.channels import CONTENT_CHANNELS
from tests.end_to_end.locust_process import ROOT, Ended, run

QUESTIONS = """
[question]
expects = ["chunk"]
texts = ["What does our plan cost this month?"]
"""


def without_echo(folder: Path, *, faults: str = "") -> Ended:
    """A smoke against answers that never repeat a reference; the limits do not ask for it."""
    limits, prompts = folder / "limits.toml", folder / "prompts.toml"
    text = (ROOT / "scenarios/limits/local.toml").read_text(encoding="utf-8")
    limits.write_text(text.replace('nonce = "every_run"', 'nonce = "not_required"'), encoding="utf-8")
    prompts.write_text(QUESTIONS, encoding="utf-8")
    files = ("--limits", str(limits), "--prompts", str(prompts), "--dialect", "tests/end_to_end/quiet_dialect.py:Quiet")
    return run(folder, "--users", "8", "--run-time", "6s", *files, *(("--faults", faults) if faults else ()))


def test_content_channels_are_not_exercised_and_the_verdict_is_unknown_not_pass(tmp_path: Path) -> None:
    ended = without_echo(tmp_path)
    isolation = ended.verdict["isolation"]
    states = {c["channel"]: c["verdict"] for c in isolation["channels"]}
    assert {states[channel] for channel in CONTENT_CHANNELS & states.keys() - {20}} == {"not exercised"}
    assert isolation["verdict"] == "unknown" and ended.verdict["delivery"]["own_verdict"] == "pass"
    assert ended.exit_code == 4 == ended.verdict["exit_code"]
    assert "own canaries back" in " ".join(isolation["reasons"])
    assert all(run["outcome"] == "ok" for run in ended.rows("runs") if run["outcome"] != "cut")


def test_id_channels_judge_all_the_same(tmp_path: Path) -> None:
    ended = without_echo(tmp_path, faults="leak_run_id")
    states = {c["channel"]: c["verdict"] for c in ended.verdict["isolation"]["channels"]}
    assert states[3] == "fail" and states[1] == "pass"
    assert ended.exit_code == 3
