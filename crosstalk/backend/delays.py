"""How long an agent takes for each kind of step: read from the command line, drawn from a Random passed in."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KINDS = ("accept", "thinking", "tool", "chunk", "complete", "handoff", "slow_tool")
_ARGUMENTS = {"fixed": 1, "uniform": 2, "lognormal": 2}


@dataclass(frozen=True, slots=True)
class Delay:
    """A distribution over milliseconds.

    ``fixed``: always `first`. ``uniform``: from `first` to `second`. ``lognormal``: median `first`, sigma `second`.
    """

    shape: str
    first: float
    second: float = 0.0

    def draw_ms(self, rng: random.Random) -> float:
        if self.shape == "fixed":
            return self.first
        if self.shape == "uniform":
            return self.first + (self.second - self.first) * rng.random()
        return self.first * math.exp(rng.gauss(0.0, self.second))


# A run with one tool takes about 0.7 s, its 95th percentile stays under 1.5 s, chunks come 10 to 40 ms apart.
DEFAULT_DELAYS: Mapping[str, Delay] = {
    "accept": Delay("uniform", 3, 7),
    "thinking": Delay("lognormal", 180, 0.25),
    "tool": Delay("lognormal", 120, 0.3),
    "chunk": Delay("uniform", 10, 40),
    "complete": Delay("uniform", 10, 30),
    "handoff": Delay("uniform", 40, 60),
    "slow_tool": Delay("uniform", 600, 800),
}


def parse_delay(text: str) -> Delay:
    """Read ``fixed:MS``, ``uniform:LO,HI`` or ``lognormal:MEDIAN,SIGMA``; ValueError says what was expected."""
    shape, _, arguments = text.partition(":")
    count = _ARGUMENTS.get(shape)
    if count is None:
        raise ValueError(f"delay {text!r}: expected fixed:MS, uniform:LO,HI or lognormal:MEDIAN,SIGMA")
    try:
        numbers = [float(part) for part in arguments.split(",")]
    except ValueError:
        raise ValueError(f"delay {text!r}: {arguments!r} is not made of numbers") from None
    if len(numbers) != count or any(not math.isfinite(number) or number < 0 for number in numbers):
        raise ValueError(f"delay {text!r}: {shape} takes {count} finite number(s) of at least 0")
    if shape == "uniform" and numbers[0] > numbers[1]:
        raise ValueError(f"delay {text!r}: the lower bound is above the upper one")
    return Delay(shape, *numbers)


def parse_delays(texts: Iterable[str]) -> dict[str, Delay]:
    """Read ``KIND=SPEC`` items over the default delays; a later item wins."""
    delays = dict(DEFAULT_DELAYS)
    for text in texts:
        kind, equals, spec = text.partition("=")
        if not equals or kind not in KINDS:
            raise ValueError(f"delay {text!r}: expected KIND=SPEC with KIND one of {', '.join(KINDS)}")
        delays[kind] = parse_delay(spec)
    return delays
