"""The rows of a synthetic load test that are not a user's: the bad token, the exposure, the generator's health."""

from __future__ import annotations

from crosstalk.record.rows import COLUMNS
from tests.reports.rows import MS, START_NS, Making, account


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


#: what `add_broken` adds → stage and signature of its group
BROKEN = {
    "closed": ("send", "close 1011 before any event"),
    "wrong path": ("upgrade", "HTTP 404 instead of 101"),
    "silent": ("first event", "agent timeout: no event at all"),
}


def add_broken(making: Making) -> None:
    """Three more users: one whose first message is answered by close 1011, twice; one who never gets up; one who is
    never answered."""
    worker, first = making.workers[0], making.users
    at = START_NS + 1_000 * MS
    for n in range(2):
        name = f"{worker}-c{first}-{n}"
        closed = {"closed_by": "peer", "close_code": 1011, "close_reason": "internal error", "ended_ns": at + 12 * MS}
        _connection(making, first, connection=name, begun_ns=at, ready_ns=at + 4 * MS, **closed)
        lost = {"outcome": "disconnected", "signature": "first event: connection lost, last event none"}
        _run_without_events(making, first, n, connection=name, sent_ns=at + 10 * MS, **lost)
        at += 900 * MS
    failed = {"outcome": "failed", "stage": "upgrade", "error": "HTTP 404 instead of 101", "http_status": 404}
    _connection(making, first + 1, begun_ns=at, upgraded_ns=None, ready_ns=None, ended_ns=at + 3 * MS, **failed)
    _connection(making, first + 2, begun_ns=at, ready_ns=at + 5 * MS, ended_ns=at + 9_000 * MS)
    silent = {"outcome": "timeout", "signature": "first event: no end in time, last event none"}
    _run_without_events(making, first + 2, 0, sent_ns=at + 20 * MS, **silent)


def _connection(making: Making, user: int, *, begun_ns: int, **changes: object) -> None:
    worker = making.workers[0]
    row: dict[str, object] = {
        "worker": worker, "connection": f"{worker}-c{user}", "purpose": "user", "account": account(user),
        "user_class": "Regular", "url": "ws://127.0.0.1:41877/ws", "peer": "127.0.0.1:41877", "transport": "header",
        "trace_id": f"{user:032x}", "begun_ns": begun_ns, "connected_ns": begun_ns + MS // 2,
        "upgraded_ns": begun_ns + 2 * MS, "ready_ns": None, "ended_ns": None, "outcome": "ready", "stage": "open",
        "http_status": None, "close_code": None, "close_reason": "", "closed_by": "us", "error": "",
        "identity": "full", "identity_seen": account(user), "probe_time_min_ns": None, "probe_time_median_ns": None,
        "bytes_in": 300, "bytes_out": 500, "frames_in": 1, "frames_out": 1, "events_in": 0,
    }  # fmt: skip
    making.rows.add("connections", **(row | changes))


def _run_without_events(making: Making, user: int, n: int, *, sent_ns: int, **changes: object) -> None:
    worker = making.workers[0]
    row: dict[str, object] = {
        "worker": worker, "run": f"run-broken-{user}-{n}", "connection": f"{worker}-c{user}", "account": account(user),
        "user_class": "Regular", "thread": f"thread-{user}", "turn": n + 1, "prompt": "plain",
        "trace_id": f"{user * 100 + n:032x}", "intended_ns": sent_ns, "sent_ns": sent_ns,
        "nonce_back": False, "waited": False, "warm_up": False, "cancelled_ns": None,
        **dict.fromkeys(("accepted_ns", "first_event_ns", "first_chunk_ns", "end_ns", "stall_max_ns")),
        **dict.fromkeys(("events", "chunks", "tools_started", "tools_ok", "tools_failed", "handoffs", "retries"), 0),
        **dict.fromkeys(("text_bytes", "bytes_in", "canaries_planted", "canaries_back"), 0),
        "handoff_time_max_ns": None,
    }  # fmt: skip
    making.rows.add("runs", **(row | changes))


#: content channels with a positive control; the others control themselves
CHANNELS = {1: True, 2: True, 3: False, 17: False, 20: True}


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
                    skipped_bytes=0,
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
                open_files_limit=10_000,
                users=present,
                connections=present,
                hub_lag_max_ns=int(making.random.uniform(0.4, 3.2) * MS),
                hub_lag_loop_ns=1 * MS,
                hub_lag_threads_ns=0,
                hub_lag_run_delay_ns=MS // 2,
                hub_lag_gc_ns=0,
                run_delay_ns=int(making.random.uniform(1, 9) * MS),
                gc_pauses=2,
                gc_pause_total_ns=3 * MS,
                gc_pause_max_ns=2 * MS,
                receive_lag_p50_ns=200_000,
                receive_lag_p99_ns=600_000,
                receive_lag_max_ns=900_000,
                reads=50,
                schedule_lag_max_ns=0,
                events_received=events,
                events_checked=events,
                events_recorded=events,
                wall_drift_ns=12_000,
                wall_step_max_ns=0,
            )
