"""A model that answers in 25 s is judged honestly within three minutes: delivery and isolation pass, exit code 0."""

from pathlib import Path

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import end, start


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_model_that_answers_in_25_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.end_to_end.locust_process.TIMEOUT_S", 230)
    delays = ("--delay", "complete=fixed:24300", "--agent-timeout", "60", "--receive-timeout", "65")
    with backend(*delays) as target:
        options = ("--host", target.url, "--environment", "staging", "--run-time", "75s", "--stop-timeout", "35")
        process = start(tmp_path, *options, JWT_SECRET_STAGING=SECRET)
        ended = end(process, tmp_path)
    verdict = ended.verdict
    assert ended.exit_code == 0, (verdict["sentence"], ended.output)
    assert verdict["delivery"]["verdict"] == "pass" and verdict["isolation"]["verdict"] == "pass"
    assert verdict["connections"]["ready"] == 20
    seconds = [(row["end_ns"] - row["sent_ns"]) / 1e9 for row in ended.rows("runs") if row["outcome"] == "ok"]
    assert min(seconds) > 24
    test = ended.run["load_test"]
    assert (test["ended_ns"] - test["started_ns"]) / 1e9 < 180
    # too few runs for a p95: said so, and not passed
    limits = {limit["metric"]: limit for limit in verdict["limits"] if limit["statistic"] == "p95"}
    few = [metric for metric, limit in limits.items() if limit["n"] < limit["needed"] and limit["required"]]
    assert "service_time_ms" in few
    for metric in few:
        assert limits[metric]["verdict"] == "unknown" and limits[metric]["value"] is None
    assert "NOT JUDGED" in ended.output
