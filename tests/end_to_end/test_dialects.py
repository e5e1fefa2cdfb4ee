"""The other shapes of backends: clean passes, each fault that applies is caught under its own name; also over TLS."""

from pathlib import Path

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.locust_process import Ended, run

#: fault → (accounts, name it is caught under); where a shape shows it otherwise, BY_SHAPE says how
DELIVERY = {
    "missing_event": ("0-1", "missing"),
    "duplicate_event": ("2-3", "duplicate"),
    "reordered_event": ("4-5", "out_of_order"),
    "late_event": ("6-8", "late"),
    "malformed_event": ("9-10", "malformed"),
    "two_ends": ("11-12", "two_ends"),
    "canned_answer": ("13-14", "not_real"),
    "silent_run": ("15", "silent"),
    "stall_mid_stream": ("16", "no_end"),
    "tool_error_swallowed": ("17-21", "tool_error_swallowed"),
    "partial_result_lost": ("22-23", "text_differs"),
    "split_sessions": ("24", "missing"),
    "id_refused": ("25", "close_1011"),
}
#: fault → (accounts that see it, name, channel, scope), in every shape
LEAKS = {
    "leak_content": ("3-5", "foreign_content", 2, "cross_user"),
    "leak_run_id": ("6-8", "foreign_id", 3, "cross_user"),
    "leak_cache": ("9-11", "foreign_content", 10, "cross_user"),
    "leak_after_end": ("12-14", "foreign_content", 17, "cross_user"),
    "leak_handoff": ("15-18", "foreign_content", 20, "cross_user"),
    "leak_cross_thread": ("19-21", "foreign_content", 16, "cross_thread"),
}
#: what does not apply: frames of per_run name no run
NOT_IN = {"per_run": {"leak_run_id"}}
SHAPES = ["agui", "per_run"]


def accounts(text: str) -> set[int]:
    first, _, last = text.partition("-")
    return set(range(int(first), int(last or first) + 1))


def faults(table: dict[str, tuple], shape: str) -> str:
    applied = {name: entry for name, entry in table.items() if name not in NOT_IN.get(shape, ())}
    return ",".join(f"{name}:1:{entry[0]}" for name, entry in applied.items())


@pytest.fixture(scope="module", params=SHAPES)
def delivery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    options = ("--users", "28", "--run-time", "17s", "--prompts", "tests/end_to_end/tools.toml")
    folder = tmp_path_factory.mktemp("delivery")
    return run(folder, *options, "--dialect", request.param, "--faults", faults(DELIVERY, request.param))


@pytest.fixture(scope="module", params=[SHAPES[0], *(pytest.param(one, marks=pytest.mark.long) for one in SHAPES[1:])])
def leaks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Ended]:
    options = ("--users", "24", "--run-time", "16s", "--prompts", "tests/end_to_end/leaks.toml")
    folder = tmp_path_factory.mktemp("leaks")
    asked = "leak_wrong_socket:1:0-2," + faults(LEAKS, request.param)
    return request.param, run(folder, *options, "--dialect", request.param, "--faults", asked)


def test_delivery_faults(delivery: Ended) -> None:
    found = delivery.violations()
    for fault, (numbers, name) in DELIVERY.items():
        assert set(found.get(name, {})) & accounts(numbers), (fault, found)
    assert delivery.exit_code == 1
    assert not [row for row in delivery.rows("violations") if int(row["observer"][-5:]) in (26, 27)]
    assert delivery.verdict["measurement"]["unaccounted_events"] == 0


def test_leaks(leaks: tuple[str, Ended]) -> None:
    shape, ended = leaks
    rows = ended.rows("violations")
    for fault, (numbers, name, channel, scope) in LEAKS.items():
        if fault in NOT_IN.get(shape, ()):
            continue
        seen = {
            int(row["observer"][-5:])
            for row in rows
            if (row["name"], row["channel"], row["scope"]) == (name, channel, scope)
        }
        assert seen & accounts(numbers), (fault, ended.violations())
    by_owner = {row["owner"][-5:] for row in rows if row["scope"] == "cross_user"}
    assert {"00000", "00001", "00002"} & by_owner
    assert ended.exit_code == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_clean(shape: str, tmp_path: Path) -> None:
    ended = run(tmp_path, "--users", "10", "--run-time", "9s", "--dialect", shape, "--seed", "5")
    assert ended.rows("violations") == []
    assert {row["outcome"] for row in ended.rows("runs")} <= {"ok", "cut"}
    assert ended.verdict["connections"]["lost"] == 0
    assert ended.verdict["delivery"]["verdict"] == "pass"
    for channel in ended.verdict["isolation"]["channels"]:
        assert channel["violations"] == 0
    sockets = {row["connection"] for row in ended.rows("runs")}
    threads = {row["thread"] for row in ended.rows("runs")}
    runs = ended.rows("runs")
    assert len(sockets) == (len(threads) if shape == "agui" else len(runs))


@pytest.mark.parametrize("shape", ["netra", *(pytest.param(one, marks=pytest.mark.long) for one in SHAPES)])
def test_over_tls_the_same_faults_are_caught(shape: str, tmp_path: Path) -> None:
    """`wss` with the backend's own authority: clean accounts pass, faults and leaks show, arrivals are stamped."""
    ca = tmp_path / "ca.pem"
    wanted = ["leak_content:1:0-1", "duplicate_event:1:2-3", "missing_event:1:4-5", "malformed_event:1:6-7"]
    options = [option for fault in wanted for option in ("--fault", fault)]
    with backend("--tls", "--ca-out", str(ca), *options) as target:
        assert target.url.startswith("https://")
        ended = run(
            tmp_path / "results",
            *("--users", "10", "--run-time", "9s", "--dialect", shape, "--host", target.url, "--ca", str(ca)),
            JWT_SECRET_KEY=SECRET,
        )
    found = ended.violations()
    assert ended.exit_code == 3, ended.output
    assert set(found["foreign_content"]) & {0, 1}
    assert set(found["duplicate"]) & {2, 3} and set(found["missing"]) & {4, 5} and set(found["malformed"]) & {6, 7}
    assert not [row for row in ended.rows("violations") if int(row["observer"][-5:]) in (8, 9)]
    assert ended.verdict["measurement"]["clock"] == "kernel"
    assert {row["url"].split(":")[0] for row in ended.rows("connections")} == {"wss"}
