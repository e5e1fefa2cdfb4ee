"""Synthetic records, written the way a load test writes them: same arguments, same rows.

`make(folder)` leaves `folder/record/` and returns `folder`. Every option makes one thing wrong, so that a test can
compare a page with and without it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from crosstalk.checks.limits import parse_limits
from crosstalk.record.parts import RecordWriter
from crosstalk.record.rows import COLUMNS
from tests.reports.rows import MS, START_NS, Making, Rows, add_user
from tests.reports.rows_beside import add_bad_token, add_broken, add_exposure, add_health
from tests.reports.rows_journeys import add_journeys, with_limits

LIMITS = parse_limits(
    """
[isolation]
required_channels = [1, 2, 3, 17, 20]

[[phase]]
name = "auth"
priority = 1
value = "nobody can sign in"
limit = [
    { name = "valid tokens accepted", metric = "tokens_accepted", statistic = "share", at_least = 1.0 },
    { name = "bad tokens rejected", metric = "bad_tokens_rejected", statistic = "share", at_least = 1.0 },
]

[[phase]]
name = "agents"
priority = 2
value = "$200K MRR"
needs = ["auth"]
limit = [
    { name = "runs completed", metric = "runs_ok", statistic = "share", at_least = 1.0 },
    { name = "hand-offs", metric = "handoff_time_ms", statistic = "max", at_most = 3000, when_unknown = "warn" },
]

[[phase]]
name = "journeys"
priority = 3
needs = ["agents"]
limit = [
    { name = "critical flow", metric = "service_time_ms", statistic = "p95", at_most = 2000, when_unknown = "warn" },
    { name = "rare waits", metric = "service_time_ms", statistic = "p99", at_most = 3000, when_unknown = "warn" },
    { name = "first sign of life", metric = "time_to_first_event_ms", statistic = "p95", required = false },
]
""",
    source="limits/local.toml",
).as_dict()


def make(
    folder: Path,
    *,
    seed: int = 7,
    users: int = 20,
    runs_per_user: int = 4,
    workers: tuple[str, ...] = ("local",),
    slow: float = 1.0,
    leak: bool = False,
    missing: bool = False,
    timeouts: int = 0,
    hostile: bool = False,
    broken: bool = False,
    journeys: str = "",
    log_query: str = "",
    limits: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    problems: list[str] | None = None,
    expectations: dict[str, Any] | None = None,
) -> Path:
    """A record of `users` users with `runs_per_user` runs each; `users=0` leaves every table empty.

    :param journeys: "well": three families of journeys, all well; "badly": some of their steps failed.
    """
    making = Making(
        random=random.Random(seed),
        rows=Rows(),
        workers=workers,
        users=users,
        slow=slow,
        leak=leak,
        missing=missing,
        timeouts=timeouts,
        hostile=hostile,
    )
    ended_ns = START_NS + 2_000 * MS
    for user in range(users):
        ended_ns = max(ended_ns, add_user(making, user, runs_per_user))
    if broken:
        add_broken(making)
    if journeys:
        add_journeys(making, badly=journeys == "badly")
    if users:
        add_bad_token(making)
        add_exposure(making)
        add_health(making, ended_ns)
    writer = RecordWriter(folder / "record")
    for table, rows in making.rows.tables.items():
        writer.append(table, rows)
    writer.flush()
    writer.write_run(_run_json(making, seed, ended_ns, log_query, limits, previous, problems, expectations))
    return folder


def _run_json(
    making: Making,
    seed: int,
    ended_ns: int,
    log_query: str,
    limits: dict[str, Any] | None,
    previous: dict[str, Any] | None,
    problems: list[str] | None,
    expectations: dict[str, Any] | None,
) -> dict[str, Any]:
    column = COLUMNS["events"].index("worker")
    of_worker = {w: sum(row[column] == w for row in making.rows.tables["events"]) for w in making.workers}
    return {
        "load_test": {
            "id": "20250915-002625-smoke",
            "scenario": "smoke",
            "environment": "local",
            "arrivals": "think",
            "started_ns": START_NS,
            "ended_ns": ended_ns,
            "ended_by": "run time",
            "users": making.users,
            "seed": seed,
            "families": sorted({row[COLUMNS["steps"].index("family")] for row in making.rows.tables["steps"]}),
            **({"log_query": log_query} if log_query else {}),
        },
        "limits": (with_limits(LIMITS) if making.rows.tables["steps"] else LIMITS) if limits is None else limits,
        "target": {
            "url": "ws://127.0.0.1:41877",
            "revision": "reference-0.1.0",
            "source": "health",
            "changed": False,
            "ready": True,
            "reason": "",
        },
        "workers": {
            worker: {
                "events_received": count,
                "events_checked": count,
                "events_recorded": count,
                "last_batch": 9,
                "batches_received": 9,
                "lost": False,
            }
            for worker, count in of_worker.items()
        },
        "problems": problems or [],
        "previous": previous,
        "expectations": expectations or {},
        "provenance": {
            "versions": {"crosstalk": "0.1.0", "locust": "2.47.0", "python": "3.11.9"},
            "host": {"name": "builder", "cpus": 2, "kernel": "6.1.0"},
            "command": "locust --config scenarios/smoke.conf",
            "hashes": {"limits": "sha256:4b1f", "prompts": "sha256:99c0"},
        },
    }
