"""A locustfile for tests of probes: each user at accounts of its own, so that each fault can be given to one of them.

The environment variable PROBING says who comes: `Intruder@100x22,Twin@200` is 22 intruders at the accounts from 100 on
(each takes a second one for its victim), and a twin at 200. ROUNDS says how many tasks each of them must have ended
before the load test ends: so it does not depend on how quick the machine is what is tried.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from locust import LoadTestShape, events

import reports
from crosstalk.harness import connect
from users import (
    archivist,
    forgetful,
    intruder,
    lapsing,
    listener,
    mimic,
    newcomer,
    provoker,
    reader,
    regular,
    signer,
    sluggish,
    twin,
)  # fmt: skip

CAST = {
    kind.__name__: kind
    for kind in (
        archivist.Archivist, forgetful.Forgetful, intruder.Intruder, lapsing.Lapsing, listener.Listener, mimic.Mimic,
        newcomer.Newcomer, provoker.Provoker, reader.Reader, regular.Regular, signer.Signer, sluggish.Sluggish,
        twin.Twin,
    )
}  # fmt: skip


#: everybody of the cast → how many tasks it has ended
rounds: dict[int, int] = {}


def at(kind: type, first: int, count: int) -> type:
    """A user class whose accounts are numbered from `first` on."""
    numbers = itertools.count(first)

    def enrol(self: Any) -> None:
        if self._person is None:
            self._person = self.generator.person(kind.__name__, next(numbers))
            for one in self.beside:
                one._person = self.generator.person("Partner", next(numbers))

    def wait_time(self: Any) -> float:
        rounds[id(self)] = rounds.get(id(self), 0) + 1
        return kind.wait_time(self)  # type: ignore[attr-defined]

    return type(f"{kind.__name__}{first}", (kind,), {"enrol": enrol, "wait_time": wait_time, "fixed_count": count})


def cast(said: str) -> dict[str, type]:
    found = {}
    for entry in said.split(","):
        name, _, place = entry.partition("@")
        first, _, count = place.partition("x")
        found[f"{name}{first}"] = at(CAST[name], int(first), int(count or 1))
    return found


class Until(LoadTestShape):
    """Over when the slowest has done its rounds."""

    def tick(self) -> tuple[int, float] | None:
        done = len(rounds) == USERS and min(rounds.values()) >= int(os.environ["ROUNDS"])
        return None if done else (USERS, 10.0)


CLASSES = cast(os.environ["PROBING"])
USERS = sum(one.fixed_count for one in CLASSES.values())  # type: ignore[attr-defined]
globals().update(CLASSES)

connect(events, at_end=reports.publish, scenario="probing")
