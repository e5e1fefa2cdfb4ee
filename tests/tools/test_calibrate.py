"""What `calibrate` writes leaves alone what it has not measured, and forgets what is of another machine."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from crosstalk.tools.calibrate import _written_before

MADE = {"schema": 1, "machine": {"host": "here"}, "made_ns": 2, "bound_ms": 1.0}
HELD = {"ws": {"users": 7}}


def test_the_other_transport_stays(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_bytes(orjson.dumps({**MADE, "made_ns": 1, "transports": HELD}))
    assert _written_before(file, MADE) == HELD


@pytest.mark.parametrize(("key", "value"), [("schema", 0), ("machine", {"host": "there"}), ("bound_ms", 2.0)])
def test_of_another_machine_or_bound_nothing_stays(tmp_path: Path, key: str, value: object) -> None:
    file = tmp_path / "machine.json"
    file.write_bytes(orjson.dumps({**MADE, key: value, "transports": HELD}))
    assert _written_before(file, MADE) == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"no JSON"])
def test_what_is_no_calibration_is_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "machine.json"
    assert _written_before(file, MADE) == {}
    file.write_bytes(content)
    assert _written_before(file, MADE) == {}
