"""What a machine was calibrated to: when it counts, what is said of it, and when it is a warning."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from crosstalk.calibration import (
    Calibration,
    Capacity,
    Expected,
    calibration_file,
    read_calibration,
    this_machine,
)

MACHINE = {"host": "here", "cpu": "one that counts", "processors": 2, "python": "3.11.7", "crosstalk": "1.0"}
HELD = Calibration(1.0, Capacity(9600, 200), Capacity(4800, 100))


def written(path: Path, **changes: object) -> Path:
    found = {"users": 200, "events_per_s": 9600, "levels": []}
    content = {"schema": 1, "machine": MACHINE, "bound_ms": 1.0, "transports": {"ws": found}, **changes}
    path.write_bytes(orjson.dumps(content))
    return path


def test_it_is_read_on_the_machine_that_it_was_made_on(tmp_path: Path) -> None:
    found = read_calibration(written(tmp_path / "file"), MACHINE)
    assert found == Calibration(1.0, Capacity(9600, 200), None)


@pytest.mark.parametrize("key", MACHINE)
def test_another_machine_or_version_is_none(tmp_path: Path, key: str) -> None:
    assert read_calibration(written(tmp_path / "file"), {**MACHINE, key: "another"}) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": 1, "machine": 7}', b"\xff"])
def test_what_is_no_calibration_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_calibration(tmp_path / "file", MACHINE) is None
    assert read_calibration(tmp_path / "nothing", MACHINE) is None


def test_a_transport_on_which_nothing_was_held_has_no_capacity(tmp_path: Path) -> None:
    nothing = {"ws": {"users": 0, "events_per_s": 0, "levels": []}}
    found = read_calibration(written(tmp_path / "file", transports=nothing), MACHINE)
    assert found is not None and found.ws is None


def test_it_lies_in_the_cache_folder_of_the_user() -> None:
    assert calibration_file({"XDG_CACHE_HOME": "/c"}) == Path("/c/crosstalk/calibration.json")
    assert calibration_file({}) == Path.home() / ".cache/crosstalk/calibration.json"
    assert {"host", "cpu", "processors", "python", "crosstalk"} == set(this_machine("1.0"))


def test_a_small_load_is_said_beside_what_the_machine_holds() -> None:
    line = Expected(HELD, 1, False).beforehand(users=20, seconds_per_turn=1.5)
    assert line == (
        "20 users x ~18 events per ~1.5 s = about 240 events/s; this machine was calibrated to 9,600 events/s"
    )


@pytest.mark.parametrize(
    ("users", "processes", "tls", "warns"),
    [(266, 1, False, False), (267, 1, False, True), (267, 2, False, False), (267, 2, True, True), (140, 1, True, True)],
)
def test_above_half_of_it_is_a_warning(users: int, processes: int, tls: bool, warns: bool) -> None:
    """266 users a second x 18 events is 4,788 events/s; half of 9,600 is 4,800."""
    line = Expected(HELD, processes, tls).beforehand(users=users, seconds_per_turn=1.0)
    assert line.startswith("WARNING") is warns
    assert ("above half" in line) is warns
    assert ("a process" in line) is (processes > 1)


def test_without_a_calibration_only_a_large_load_is_told_that_there_could_be_one() -> None:
    nothing = Expected(None, 1, False)
    assert nothing.beforehand(users=20, seconds_per_turn=1.5) == ""
    assert "python -m crosstalk.tools.calibrate" in nothing.beforehand(users=50, seconds_per_turn=1.5)
    assert nothing.meanwhile(1e6) == ""


def test_what_really_comes_is_a_warning_too() -> None:
    assert Expected(HELD, 1, False).meanwhile(4800) == ""
    assert Expected(HELD, 1, False).meanwhile(4801).startswith("WARNING: 4,801 events/s are coming; ")
