"""A locustfile for tests of families: users of the class that FAMILY_USER names, until each has made ROUNDS journeys.

So it does not depend on how quick the machine is what is tried. Runs are given up sooner than elsewhere: see the
environments.toml beside this file.
"""

from __future__ import annotations

import os
from collections import Counter

from locust import LoadTestShape, events

import reports
from crosstalk.harness import connect
from users import conductor, dispatcher

CAST = {"Dispatcher": dispatcher.Dispatcher, "Conductor": conductor.Conductor}
USERS, ROUNDS = int(os.environ["FAMILY_USERS"]), int(os.environ["ROUNDS"])
made: Counter[int] = Counter()  # journeys, by user


class Chosen(CAST[os.environ["FAMILY_USER"]]):  # type: ignore[misc]
    """One of the cast, whose journeys are counted."""

    def make_next(self) -> None:
        try:
            super().make_next()
        finally:
            made[id(self)] += 1


class Until(LoadTestShape):
    """Over when everybody has made enough journeys."""

    def tick(self) -> tuple[int, float] | None:
        done = len(made) == USERS and min(made.values()) >= ROUNDS
        return None if done else (USERS, 50.0)


connect(events, at_end=reports.publish, scenario="family")
