"""What every report is made from: a record, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosstalk.checks.columns import Columns
from crosstalk.checks.tally import Tally
from crosstalk.record.parts import Record, RecordError


@dataclass(frozen=True, slots=True)
class Material:
    folder: Path  # results/<id>, where the reports go
    record: Record
    verdict: dict[str, Any]
    tally: Tally

    @property
    def run(self) -> dict[str, Any]:
        return self.record.run

    @property
    def load_test(self) -> dict[str, Any]:
        return dict(self.run.get("load_test") or {})

    @property
    def started_ns(self) -> int:
        return int(self.load_test.get("started_ns") or 0)

    @property
    def state(self) -> str:
        """pass, fail or unknown; anything else counts as unknown."""
        word = str(self.verdict.get("verdict", "unknown"))
        return word if word in ("pass", "fail", "unknown") else "unknown"

    def table(self, name: str) -> Columns:
        return self.record.table(name)


def locate(folder: Path) -> Path:
    """The folder of the load test, given that folder, its `record/`, or a link to either.

    :raises RecordError: when there is no record in it.
    """
    resolved = folder.resolve()
    if (resolved / "record" / "run.json").is_file():
        return resolved
    if (resolved / "run.json").is_file():
        return resolved.parent if resolved.name == "record" else resolved
    if not resolved.exists():
        raise RecordError(f"{folder} does not exist; name the folder of a load test, such as results/latest")
    raise RecordError(f"{folder} holds no record: expected {folder}/record/run.json; name a folder under results/")


def open_record(folder: Path) -> Record:
    """The record of a load test's folder. :raises RecordError: when it cannot be read."""
    inside = folder / "record"
    return Record(inside if (inside / "run.json").is_file() else folder)
