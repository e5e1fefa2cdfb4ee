"""A million frames of a clean backend, in all scenarios and dialects: no alarm, own canaries back, no phantom."""

from pathlib import Path

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import Ended, end, start
from tests.end_to_end.web import free_port

FRAMES = 1_000_000
#: hurried agents on hurried backends: what is counted here is frames, not times
LIMITS = ("--limits", "tests/end_to_end/ending.toml")
LOADS = {
    "isolation": ("isolation", ("--run-time", "90s", "--think-time", "0.3")),
    "cancel": ("cancel", ("--users", "40", "--run-time", "60s", "--think-time", "0.1")),
    "agui": ("smoke", ("--dialect", "agui", "--users", "40", "--run-time", "80s", "--think-time", "0.1")),
    "per_run": ("smoke", ("--dialect", "per_run", "--users", "40", "--run-time", "80s", "--think-time", "0.1")),
    "netra": ("smoke", ("--users", "100", "--spawn-rate", "50", "--run-time", "150s", "--think-time", "0.05")),
}


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_million_clean_frames_raise_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.end_to_end.locust_process.TIMEOUT_S", 400)
    frames = 0
    for name, (scenario, options) in LOADS.items():
        with backend("--time-scale", "0.1") as target:
            host = ("--host", target.url, "--master-bind-port", str(free_port()))
            process = start(tmp_path / name, *options, *host, *LIMITS, scenario=scenario, JWT_SECRET_KEY=SECRET)
            ended = end(process, tmp_path / name)
        counted = frames_of(ended)
        frames += counted
        print(f"{name}: {counted:,} frames, {len(ended.rows('runs')):,} runs, exit code {ended.exit_code}")
        assert_clean(ended)
    print(f"{frames:,} frames in all")
    assert frames >= FRAMES


def frames_of(ended: Ended) -> int:
    return sum(row["frames_in"] for row in ended.rows("connections"))


def assert_clean(ended: Ended) -> None:
    alarms = [row for row in ended.rows("violations") if row["judgement"] in ("isolation", "harness", "identity")]
    assert alarms == []
    for channel in ended.verdict["isolation"]["channels"]:
        assert channel["violations"] == 0
        assert channel["positive_control"] is None or channel["positive_control"] >= 0.99, channel
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
