"""What grows while a process serves: the faults that show in hours, and the revision that changes under one's feet.

Each is a figure of the process; nothing here is kept unless a fault asks for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: with slow_leak, how much longer each run takes for every second since the start
SLOWER_S_PER_S = 0.03
#: with memory_growth, what is left behind for every second since the start, in pieces of so much, and at most in all
LEFT_BYTES_PER_S, PIECE_BYTES, LEFT_BYTES_MAX = 4 << 20, 1 << 18, 1 << 30
#: with handler_growth, what each handler costs a run before it begins
HANDLER_S = 0.005
#: with deploy_mid_run, when the new release is there; and what the two are called where no revision was given
DEPLOY_S = 8.0
BEFORE, AFTER = "release-1", "release-2"


class Growth:
    """What the process has piled up. `age_s` of it is told by the caller: it has no clock."""

    def __init__(self) -> None:
        self._left: list[bytes] = []

    def leave(self, age_s: float) -> None:
        """Leave behind what is due by now, and nobody ever frees. Written to, or it would not be in memory at all."""
        due_bytes = min(LEFT_BYTES_PER_S * age_s, LEFT_BYTES_MAX)
        while len(self._left) * PIECE_BYTES < due_bytes:
            self._left.append(b"\xff" * PIECE_BYTES)

    @staticmethod
    def slower_s(age_s: float) -> float:
        return SLOWER_S_PER_S * age_s

    @staticmethod
    def past_handlers_s(handlers: int) -> float:
        return HANDLER_S * handlers


def rss_bytes() -> int | None:
    """Memory of this process; None where the system does not say."""
    if sys.platform != "linux":
        return None
    kib = next((line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:")), "")
    return int(kib.split()[1]) * 1024 if kib else None


def revision_of(said: str, *, deployed: bool) -> str:
    """What the process calls its revision, with `deploy_mid_run` before and after the deployment."""
    return AFTER if deployed else said or BEFORE
