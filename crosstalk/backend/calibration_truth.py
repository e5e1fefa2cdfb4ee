"""What the calibration backend really did: the instants of every event, taken around the system call that sent it.

Instants are nanoseconds of the monotonic clock, tied once to the wall clock: a client on the same host that ties its
clock the same way reads the same instants. Nothing here is planned; what was planned stands beside it (`due_ns`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(slots=True)
class Deeds:
    """One run as it was really served. Lists have an entry for each event, in the order of the script.

    `before_ns` and `after_ns` are taken just before and just after the call that handed the event's last byte to the
    kernel: the truth lies between them.
    """

    user_id: str
    prompt_arrived_ns: int  # when the kernel had the prompt
    prompt_read_ns: int  # when this process took it: delays count from here
    due_ns: list[int] = field(default_factory=list)
    before_ns: list[int] = field(default_factory=list)
    after_ns: list[int] = field(default_factory=list)


class Truth:
    """All runs of this process, by run id, and the times at which it stood still on purpose."""

    def __init__(self, script: str, kinds: tuple[str, ...]) -> None:
        self.runs: dict[str, Deeds] = {}
        self.frozen_ns: list[tuple[int, int]] = []
        self._script = script
        self._kinds = kinds
        self._tie_ns = _tie_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._tie_ns

    def as_dict(self) -> dict[str, Any]:
        runs = {name: {key: getattr(deeds, key) for key in Deeds.__slots__} for name, deeds in self.runs.items()}
        return {"script": self._script, "kinds": self._kinds, "frozen_ns": self.frozen_ns, "runs": runs}

    def write(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(self.as_dict()))


def _tie_ns() -> int:
    """Wall minus monotonic, from the tightest of nine bracketed readings."""
    found = []
    for _ in range(9):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        found.append((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
    return min(found)[1]
