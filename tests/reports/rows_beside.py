"""The rows of a synthetic load test that are not a user's: the bad token, the exposure, the generator's health."""

from __future__ import annotations

from crosstalk.record.rows import COLUMNS
from tests.reports.rows import MS, START_NS, Making


def add_bad_token(making: Making) -> None:
    """One connection with a token that nobody signed; refused as it must be."""
    worker = making.workers[0]
    begun = START_NS + 15 * MS
    making.rows.add(
        "connections",
        worker=worker,
        connection=f"{worker}-c9999",
        purpose="bad_token",
        account="k3f09999",
        user_class="BadToken",
        url="ws://127.0.0.1:41877/ws",
        peer="127.0.0.1:41877",
        transport="header",
        trace_id=f"{9999:032x}",
        begun_ns=begun,
        connected_ns=begun + 300_000,
        upgraded_ns=begun + 2 * MS,
        ready_ns=None,
        ended_ns=begun + 4 * MS,
        outcome="refused",
        stage="authenticate",
        http_status=101,
        close_code=1008,
        close_reason="Authentication failed",
        closed_by="peer",
        error="",
        identity="unknown",
        identity_seen="",
        probe_time_min_ns=None,
        probe_time_median_ns=None,
        bytes_in=212,
        bytes_out=480,
        frames_in=1,
        frames_out=0,
        events_in=0,
    )


#: content channels with a positive control; the others control themselves
CHANNELS = {1: False, 2: True, 3: False, 17: False, 20: True}


def add_exposure(making: Making) -> None:
    events = len(making.rows.tables["events"])
    runs = len(making.rows.tables["runs"])
    for worker in making.workers:
        share = len(making.workers)
        for channel, has_control in CHANNELS.items():
            seen = {1: events, 2: events, 3: events, 17: runs, 20: events * 3 // 10}[channel] // share
            for part in (2, 1):
                making.rows.add(
                    "exposure",
                    worker=worker,
                    channel=channel,
                    opportunities=seen * 9 // 10 // part,
                    observations=seen // part,
                    controls_expected=runs // share if has_control else 0,
                    controls_seen=runs // share if has_control else 0,
                    phantoms_live=4,
                )


def add_health(making: Making, ended_ns: int) -> None:
    rows = making.rows
    arrivals = sorted((row[COLUMNS["events"].index("arrived_ns")], row[0]) for row in rows.tables["events"])
    for worker in making.workers:
        own = [at for at, name in arrivals if name == worker]
        for at in range(START_NS + 1_000 * MS, ended_ns + 1_000 * MS, 1_000 * MS):
            events = sum(instant <= at for instant in own)  # type: ignore[operator]
            mine = sum(making.worker_of(user) == worker for user in range(making.users))
            present = min(mine, int((at - START_NS) / (90 * MS) / len(making.workers)) + 1)
            rows.add(
                "health",
                worker=worker,
                role="local" if len(making.workers) == 1 else "worker",
                at_ns=at,
                cpu_percent=8.0 + making.random.uniform(0, 6),
                rss_bytes=96 << 20,
                open_files=40 + present,
                users=present,
                connections=present,
                hub_lag_max_ns=int(making.random.uniform(0.4, 3.2) * MS),
                receive_lag_p50_ns=200_000,
                receive_lag_p99_ns=600_000,
                receive_lag_max_ns=900_000,
                reads=50,
                schedule_lag_max_ns=0,
                events_received=events,
                events_checked=events,
                events_recorded=events,
                wall_drift_ns=12_000,
            )
