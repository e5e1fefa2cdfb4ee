"""All causes that are known, in the order of a connection's life."""

from __future__ import annotations

from crosstalk.checks.causes_group import Cause
from crosstalk.checks.causes_isolation import ISOLATION
from crosstalk.checks.causes_lost import LOST
from crosstalk.checks.causes_runs import RUNS_BROKEN
from crosstalk.checks.causes_steps import STEPS_FAILED
from crosstalk.checks.causes_way_up import WAY_UP

KNOWN: tuple[Cause, ...] = (*WAY_UP, *LOST, *RUNS_BROKEN, *ISOLATION, *STEPS_FAILED)
