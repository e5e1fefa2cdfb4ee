"""What this machine was calibrated to: how many events a second one process takes and still knows when each came.

`python -m crosstalk.tools.calibrate` measures it and writes it down, once a machine; a load test says beforehand how
near it will come. The file lies in the user's cache folder, for all projects of one's own.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crosstalk.checks.words import counted, number
from crosstalk.vitals import processor

SCHEMA = 1
#: of the largest load at which times were right, what may be used without a warning
SHARE_MAX = 0.5
#: what one turn of the reference backend's usual prompts brings, on average; nobody knows it of another target
EVENTS_PER_TURN = 18.0
#: from here on, whoever has not calibrated is told that one can
HINT_FROM_EVENTS_PER_S = 500.0

COMMAND = "python -m crosstalk.tools.calibrate"


@dataclass(frozen=True, slots=True)
class Capacity:
    """The largest load that was held, of one process: events per second, and how many users they were of."""

    events_per_s: float
    users: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found. `bound_ms`: p99 of the error of arrivals was not above it."""

    bound_ms: float
    ws: Capacity | None
    wss: Capacity | None


def calibration_file(environ: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/crosstalk/calibration.json`, in `~/.cache` where the variable is not set."""
    cache = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "crosstalk" / "calibration.json"


def this_machine(version: str) -> dict[str, Any]:
    """What must be the same for a calibration to count: host, processor, versions (`version`: of Crosstalk)."""
    return {
        "host": socket.gethostname(),
        "cpu": processor(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "crosstalk": version,
    }


def read_calibration(path: Path, machine: Mapping[str, Any]) -> Calibration | None:
    """What was written on this very machine, with these versions; None otherwise."""
    try:
        said = orjson.loads(path.read_bytes())
        if said["schema"] != SCHEMA or {key: said["machine"].get(key) for key in machine} != dict(machine):
            return None
        held = {name: _capacity(said["transports"].get(name)) for name in ("ws", "wss")}
        return Calibration(float(said["bound_ms"]), held["ws"], held["wss"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Expected:
    """The load of one load test against what the machine holds.

    :param processes: that generate load; each holds what one was calibrated to, while there are processors for all.
    """

    calibration: Calibration | None
    processes: int
    tls: bool

    def beforehand(self, *, users: int, seconds_per_turn: float) -> str:
        """What it will ask of this machine, said before it starts; a WARNING above half of what the machine holds.

        Events a turn are an estimate. "" for a small load on a machine that was not calibrated.
        """
        events_per_s = users * EVENTS_PER_TURN / seconds_per_turn
        load = f"{counted(users, 'users')} x ~{number(EVENTS_PER_TURN)} events per ~{number(seconds_per_turn)} s"
        load += f" = about {number(round(events_per_s))} events/s"
        if self._capacity is None:
            hint = f"{load}; this machine is not calibrated: {COMMAND} tells how many it can time"
            return hint if events_per_s >= HINT_FROM_EVENTS_PER_S else ""
        return self._against(load, events_per_s)

    def meanwhile(self, events_per_s: float) -> str:
        """A WARNING where what really comes is above half of what the machine holds; else ""."""
        if self._capacity is None or not self._is_much(events_per_s):
            return ""
        return self._against(f"{number(round(events_per_s))} events/s are coming", events_per_s)

    @property
    def _capacity(self) -> Capacity | None:
        return None if self.calibration is None else self.calibration.wss if self.tls else self.calibration.ws

    def _is_much(self, events_per_s: float) -> bool:
        held = self._capacity
        return held is not None and events_per_s > SHARE_MAX * held.events_per_s * self.processes

    def _against(self, load: str, events_per_s: float) -> str:
        assert self._capacity is not None
        held = number(round(self._capacity.events_per_s))
        line = f"{load}; this machine was calibrated to {held} events/s{' a process' if self.processes > 1 else ''}"
        if not self._is_much(events_per_s):
            return line
        return f"WARNING: {line}: above half of it, times may be the load generator's own"


def _capacity(said: Mapping[str, Any] | None) -> Capacity | None:
    return Capacity(float(said["events_per_s"]), int(said["users"])) if said and said["users"] else None
