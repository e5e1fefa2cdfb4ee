"""Occasions: what happens to a backend that is right all the same. Restarts, waves of goodbyes, a part that is away.

``--occasion NAME[:after=SECONDS[+for=SECONDS]]``: it begins so long after the backend listens, and lasts so long. What
is done about it is told here and nowhere else: who asks `on` sees it begin and end by the clock.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

_log = logging.getLogger("crosstalk.backend")

#: name → what happens, and for how many seconds where nothing is said
OCCASIONS: Mapping[str, tuple[str, float]] = {
    "restart": ("runs in progress end, every socket is closed with 1012, nobody listens for a while", 0.5),
    "close_all": ("every socket is closed with 1012; new ones are taken at once", 0.0),
    "try_later": ("every socket is closed with 1013, and so are new ones for a while", 3.0),
    "cache_down": ("the cache is away: health says degraded, agents take 2.5 times as long", 5.0),
    "dependency_down": ("what insights are made of is away: 502, then 503 while the breaker is open", 4.0),
}


@dataclass(frozen=True, slots=True)
class Occasion:
    """One of them, planned. Seconds count from the moment at which the backend listens."""

    name: str
    after_s: float = 0.0
    for_s: float = 0.0

    def __str__(self) -> str:
        """The command-line form; `parse_occasion` reads it back to an equal one."""
        return f"{self.name}:after={self.after_s!r}+for={self.for_s!r}"


def parse_occasion(text: str) -> Occasion:
    """Read ``NAME[:after=SECONDS[+for=SECONDS]]``; ValueError says in one line what was expected."""
    name, _, when = text.partition(":")
    if name not in OCCASIONS:
        near = difflib.get_close_matches(name, OCCASIONS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"unknown occasion {name!r}{hint}; valid names: {', '.join(OCCASIONS)}")
    given = {"after": 0.0, "for": OCCASIONS[name][1]}
    for part in filter(None, when.split("+")):
        key, _, number = part.partition("=")
        if key not in given:
            raise ValueError(f"occasion {text!r}: {part!r} is neither after=SECONDS nor for=SECONDS")
        given[key] = _seconds(number, text)
    return Occasion(name, given["after"], given["for"])


class Schedule:
    """What is planned, and what of it is on just now. Nothing is on before `begin`."""

    def __init__(self, planned: Iterable[Occasion] = (), clock_s: Callable[[], float] = time.monotonic) -> None:
        self.planned = tuple(sorted(planned, key=lambda one: one.after_s))
        self._clock_s = clock_s
        self._begun_s: float | None = None
        self._under_way: list[str] = []  # that are being acted out, however long that takes

    def begin(self) -> None:
        """The backend listens: from here on, time counts."""
        self._begun_s = self._clock_s()

    def on(self, name: str) -> bool:
        """Is an occasion of that name on?"""
        if not self.planned or self._begun_s is None:
            return False
        now_s = self._clock_s() - self._begun_s
        return any(one.name == name and one.after_s <= now_s < one.after_s + one.for_s for one in self.planned)

    def now(self) -> list[str]:
        """Names of all that are on, or are being acted out; each once."""
        return list(dict.fromkeys([*self._under_way, *(name for name in OCCASIONS if self.on(name))]))

    async def keep(self, acts: Mapping[str, Callable[[Occasion], Awaitable[None]]]) -> None:
        """Act out what is planned, each at its time; those without an act need none. Ends when all are over."""
        self.begin()
        begun_s = self._clock_s()
        for occasion in self.planned:
            await asyncio.sleep(max(0.0, begun_s + occasion.after_s - self._clock_s()))
            _log.info("occasion %s begins", occasion)
            act = acts.get(occasion.name)
            if act is not None:
                self._under_way.append(occasion.name)
                try:
                    await act(occasion)
                finally:
                    self._under_way.remove(occasion.name)
                _log.info("occasion %s: done", occasion)


def list_occasions() -> str:
    """For people: one occasion a line, its name first."""
    width = max(map(len, OCCASIONS))
    return "\n".join(f"{name:{width}}  {what}" for name, (what, _) in OCCASIONS.items())


def _seconds(number: str, text: str) -> float:
    try:
        seconds = float(number)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e6:
        raise ValueError(f"occasion {text!r}: {number!r} is not a number of seconds")
    return seconds
