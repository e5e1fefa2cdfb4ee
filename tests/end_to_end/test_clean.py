"""The clean backend raises no alarm: twice, at once, with two workers; and the main job does what it says."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.backend.client import SECRET, Backend, backend
from tests.end_to_end.locust_process import Ended, run

SHORT = ("--users", "8", "--spawn-rate", "8", "--run-time", "7s", "--limits", "tests/end_to_end/ending.toml")


@pytest.fixture(scope="module")
def target():
    with backend("--revision", "abc123") as process:
        yield process


def smoke(target: Backend, results: Path, *options: str) -> Ended:
    return run(results, *SHORT, "--host", target.url, *options, JWT_SECRET_KEY=SECRET)


def assert_no_alarm(ended: Ended) -> None:
    assert ended.exit_code == 0, ended.output
    assert ended.rows("violations") == []
    assert {row["outcome"] for row in ended.rows("runs")} <= {"ok", "cut"}
    assert ended.verdict["measurement"]["unaccounted_events"] == 0
    for channel in ended.verdict["isolation"]["channels"]:
        assert channel["violations"] == 0
        assert channel["positive_control"] is None or channel["positive_control"] >= 0.99


def test_two_smokes_at_once_and_one_more_on_the_same_backend(target: Backend, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda name: smoke(target, tmp_path / name), ["one", "other"]))
    again = smoke(target, tmp_path / "one")
    for ended in (*both, again):
        assert_no_alarm(ended)
    accounts = [{row["account"] for row in ended.rows("runs")} for ended in (*both, again)]
    assert not accounts[0] & accounts[1] and not accounts[0] & accounts[2]
    assert again.verdict["since"]["previous"] == both[0].run["load_test"]["id"]


def test_the_targets_revision_and_peer_are_in_the_record(target: Backend, tmp_path: Path) -> None:
    ended = smoke(target, tmp_path)
    assert_no_alarm(ended)
    assert ended.verdict["provenance"]["target"]["revision"] == "abc123"
    peer = target.url.removeprefix("http://")
    assert {row["peer"] for row in ended.rows("connections")} == {peer}
    assert {row["identity"] for row in ended.rows("connections") if row["purpose"] == "user"} == {"full"}


@pytest.mark.parametrize("transport", [pytest.param("subprotocol", marks=pytest.mark.long), "query", "message"])
def test_every_way_of_the_token(target: Backend, tmp_path: Path, transport: str) -> None:
    ended = smoke(target, tmp_path, "--auth", transport, "--max-runs", "20")
    assert_no_alarm(ended)
    assert {row["transport"] for row in ended.rows("connections")} == {transport}
    text = ended.output + "".join(
        path.read_text(errors="replace") for path in ended.folder.rglob("*") if path.suffix in (".json", ".html", ".md")
    )
    assert "eyJ" not in text


def test_two_workers_give_one_merged_record(tmp_path: Path) -> None:
    ended = run(tmp_path, *SHORT, "--processes", "2")
    assert_no_alarm(ended)
    assert {row["worker"] for row in ended.rows("runs")} == {"w0", "w1"}
    assert len({row["account"] for row in ended.rows("runs")}) == 8
    assert {row["role"] for row in ended.rows("health")} == {"worker", "master"}


def test_leaks_are_seen_across_workers_with_both_frames(tmp_path: Path) -> None:
    ended = run(tmp_path, *SHORT, "--processes", "2", "--faults", "leak_wrong_socket")
    assert ended.exit_code == 3
    where = {row["account"]: row["worker"] for row in ended.rows("runs")}
    leaks = [row for row in ended.rows("violations") if row["name"] == "wrong_socket"]
    across = [row for row in leaks if where.get(row["owner"]) and where[row["owner"]] != row["worker"]]
    assert across
    sent = {(f["worker"], f["run"]) for f in ended.rows("frames") if f["direction"] == "out"}
    assert any((where[row["owner"]], row["owner_run"]) in sent for row in across)


def test_until_judged_stops_when_everything_is_decided(tmp_path: Path) -> None:
    options = ("--users", "8", "--spawn-rate", "8", "--run-time", "60s", "--until-judged", "50")
    ended = run(tmp_path, *options, "--limits", "tests/end_to_end/ending.toml")
    assert ended.exit_code == 0, ended.output
    assert ended.run["load_test"]["ended_by"] == "--until-judged: every limit is decided"


def test_max_connections_bounds_how_many_are_connected(tmp_path: Path) -> None:
    ended = run(tmp_path, *SHORT, "--max-connections", "3")
    assert ended.exit_code == 0, ended.output
    assert 1 <= max(row["connections"] for row in ended.rows("health")) <= 3


def test_text_can_be_kept_out_of_the_record(tmp_path: Path) -> None:
    ended = run(tmp_path, *SHORT, "--keep-text", "no", "--faults", "leak_content")
    assert ended.exit_code == 3
    assert all("text is not kept" in row["body"] for row in ended.rows("frames"))
    assert all("ctlk" not in row["frame"] for row in ended.rows("violations"))
