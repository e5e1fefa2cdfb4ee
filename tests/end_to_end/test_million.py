"""A million frames of a clean backend, in all scenarios and dialects: no alarm, own canaries back, no phantom."""

from pathlib import Path

import pytest

from crosstalk.checks.channels import CONTENT_CHANNELS
from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import Ended, end, start
from tests.end_to_end.web import free_port

FRAMES = 1_000_000
#: hurried agents on hurried backends: what is counted here is frames, not times
LIMITS = ("--limits", "tests/end_to_end/ending.toml")
LOADS = {
    "isolation": ("isolation", ("--run-time", "60s", "--think-time", "0.3")),
    "cancel": ("cancel", ("--users", "40", "--run-time", "30s", "--think-time", "0.1")),
    "agui": ("smoke", ("--dialect", "agui", "--users", "40", "--run-time", "40s", "--think-time", "0.1")),
    "per_run": ("smoke", ("--dialect", "per_run", "--users", "40", "--run-time", "40s", "--think-time", "0.1")),
}
#: what is still lacking comes from here, one load test after the other
MORE = ("smoke", ("--users", "100", "--spawn-rate", "50", "--run-time", "120s", "--think-time", "0.05"))
MORE_MAX = 12


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_million_clean_frames_raise_no_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.end_to_end.locust_process.TIMEOUT_S", 400)
    frames = sum(clean_frames(tmp_path / name, *load) for name, load in LOADS.items())
    for again in range(MORE_MAX):
        if frames >= FRAMES:
            break
        frames += clean_frames(tmp_path / f"more-{again}", *MORE)
    print(f"{frames:,} frames in all")
    assert frames >= FRAMES


def clean_frames(folder: Path, scenario: str, options: tuple[str, ...]) -> int:
    """A load test on a hurried backend of its own, which must be clean; how many frames came in."""
    with backend("--time-scale", "0.1") as target:
        host = ("--host", target.url, "--master-bind-port", str(free_port()))
        process = start(folder, *options, *host, *LIMITS, scenario=scenario, JWT_SECRET_KEY=SECRET)
        ended = end(process, folder)
    counted = frames_of(ended)
    print(f"{folder.name}: {counted:,} frames, {len(ended.rows('runs')):,} runs, exit code {ended.exit_code}")
    assert_clean(ended)
    return counted


def frames_of(ended: Ended) -> int:
    return sum(row["frames_in"] for row in ended.rows("connections"))


def assert_clean(ended: Ended) -> None:
    alarms = [row for row in ended.rows("violations") if row["judgement"] in ("isolation", "harness", "identity")]
    assert alarms == []
    for channel in ended.verdict["isolation"]["channels"]:
        assert channel["violations"] == 0
        if channel["channel"] in CONTENT_CHANNELS:  # what others control hangs on who was quicker, user or backend
            assert channel["positive_control"] is None or channel["positive_control"] >= 0.99, channel
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
