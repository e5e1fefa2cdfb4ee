"""pass, fail, unknown; and the worst of several."""

from __future__ import annotations

from collections.abc import Iterable

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
#: of a phase whose needed phase is dead: neither failed nor judged
NOT_REACHED = "not reached"

_BADNESS = {PASS: 0, UNKNOWN: 1, FAIL: 2}


def worst(verdicts: Iterable[str]) -> str:
    """fail before unknown before pass; pass when there is none."""
    return max(verdicts, key=_BADNESS.__getitem__, default=PASS)
