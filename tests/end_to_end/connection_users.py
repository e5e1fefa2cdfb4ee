"""A locustfile for tests of the families "connection" and "limits".

The environment variable CAST says who comes (`Connector`, or several with commas), USERS how many. The load test ends
when everybody has ended one journey: so what is tried does not depend on how quick the machine is.
"""

from __future__ import annotations

import os
from typing import Any

from locust import LoadTestShape, events

import reports
from crosstalk.harness import connect
from users import connector, pusher

KINDS = {"Connector": connector.Connector, "Pusher": pusher.Pusher}
USERS = int(os.environ["USERS"])
#: whatever happens, it is over by then
RUN_TIME_MAX_S = 75

#: everybody who has ended a journey
done: set[int] = set()


def counted(kind: type) -> type:
    def wait_time(self: Any) -> float:
        done.add(self.person.number)
        return kind.wait_time(self)  # type: ignore[attr-defined]

    return type(kind.__name__, (kind,), {"wait_time": wait_time, "weight": 1})


class Until(LoadTestShape):
    def tick(self) -> tuple[int, float] | None:
        over = len(done) >= USERS or self.get_run_time() > RUN_TIME_MAX_S
        return None if over else (USERS, 20.0)


globals().update({name: counted(KINDS[name]) for name in os.environ["CAST"].split(",")})

connect(events, at_end=reports.publish, scenario="connection")
