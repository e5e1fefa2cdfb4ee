"""Short histories of load tests, as the tables of a record: rows by name, defaults filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crosstalk.checks.columns import Columns
from crosstalk.checks.judge import judge
from crosstalk.checks.limits import Limits, parse_limits
from crosstalk.checks.tally import Tally
from crosstalk.record.columns import columns_of
from crosstalk.record.rows import COLUMNS, TABLES

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
LIMITS_FOLDER = Path(__file__).parents[2] / "scenarios" / "limits"
_EMPTY = {"int": 0, "float": 0.0, "str": "", "bool": False}

Row = dict[str, Any]
History = dict[str, list[Row]]


def columns(table: str, rows: list[Row]) -> Columns:
    """Rows as columns; a column that a row does not name is null, or empty where it may not be."""
    for row in rows:
        assert set(row) <= set(TABLES[table]), f"no such column of {table}: {set(row) - set(TABLES[table])}"
    defaults = {name: None if kind.endswith("?") else _EMPTY[kind] for name, kind in TABLES[table].items()}
    return columns_of(table, [[{**defaults, **row}[name] for name in COLUMNS[table]] for row in rows])


def tally_of(history: History) -> Tally:
    tally = Tally()
    for table, rows in history.items():
        tally.add(table, columns(table, rows))
    return tally


def connection(n: int = 0, **changes: Any) -> Row:
    begun = START_NS + n * MS
    row: Row = dict(
        worker="w1",
        connection=f"w1-c{n}",
        purpose="user",
        account=f"k3f{n:05}",
        begun_ns=begun,
        connected_ns=begun + 2 * MS,
        upgraded_ns=begun + 5 * MS,
        ready_ns=begun + 9 * MS,
        ended_ns=begun + 40_000 * MS,
        outcome="ready",
        stage="open",
        http_status=101,
        close_code=1000,
        closed_by="us",
        identity="full",
        probe_time_median_ns=1 * MS,
    )
    return row | changes


def bad_token(n: int = 900, **changes: Any) -> Row:
    refused: Row = dict(
        purpose="bad_token", outcome="refused", stage="authenticate", ready_ns=None, close_code=1008, closed_by="peer"
    )
    return connection(n, **(refused | changes))


def run(n: int = 0, *, account: int = 0, service_ms: float = 800.0, **changes: Any) -> Row:
    """A run that ended ok; `sent` a second after the one before."""
    sent = START_NS + 1000 * MS + n * 1000 * MS
    row: Row = dict(
        worker="w1",
        run=f"r{n}",
        connection=f"w1-c{account}",
        account=f"k3f{account:05}",
        intended_ns=sent,
        sent_ns=sent,
        accepted_ns=sent + 5 * MS,
        first_event_ns=sent + 6 * MS,
        first_chunk_ns=sent + 100 * MS,
        end_ns=sent + int(service_ms * MS),
        outcome="ok",
        tools_started=1,
        tools_ok=1,
        stall_max_ns=50 * MS,
        nonce_back=True,
    )
    return row | changes


def lost_run(n: int = 0, *, outcome: str = "timeout", **changes: Any) -> Row:
    """A run that was never answered."""
    gone: Row = dict.fromkeys(["accepted_ns", "first_event_ns", "first_chunk_ns", "end_ns", "stall_max_ns"])
    return run(n, **(dict(outcome=outcome, nonce_back=False, tools_started=0, tools_ok=0, **gone) | changes))


def event(of: Row, n: int = 1, *, kind: str = "chunk", at_ms: float = 10.0, **changes: Any) -> Row:
    arrived = of["sent_ns"] + int(at_ms * MS)
    row: Row = {name: of[name] for name in ("worker", "run", "connection", "account", "intended_ns", "sent_ns")}
    row |= dict(n=n, kind=kind, arrived_ns=arrived, received_ns=arrived + MS // 10, exact=True)
    row |= dict(arrived_after_ns=arrived)
    return row | changes


def events_of(of: Row) -> list[Row]:
    """The five critical events, and two chunks 20 ms apart."""
    kinds = ["started", "thinking", "tool_executing", "tool_completed", "chunk", "chunk", "completed"]
    rows = []
    for n, kind in enumerate(kinds, start=1):
        times: Row = dict(gap_ns=20 * MS if n > 1 else None)
        if n == 6:
            times["chunk_gap_ns"] = 20 * MS
        if kind == "tool_completed":
            times["tool_time_ns"] = 20 * MS
        rows.append(event(of, n, kind=kind, at_ms=n * 20, **times))
    return rows


def step(n: int = 0, *, family: str = "sign_in", name: str = "login", account: int = 0, **changes: Any) -> Row:
    """A step of a journey that did what it should; `name` "": the journey as a whole."""
    row: Row = dict(
        worker="w1",
        journey=f"w1-k3f{account:05}-j{n}",
        family=family,
        step=name,
        account=f"k3f{account:05}",
        user_class="Signer",
        begun_ns=START_NS + 1000 * MS + n * 100 * MS,
        time_ns=20 * MS,
        outcome="ok",
        trace_id=f"{n:032x}",
    )
    return row | changes


def failed_step(n: int = 0, expected: str = "HTTP 200", came: str = "HTTP 500", **changes: Any) -> Row:
    return step(n, **(dict(outcome="failed", expected=expected, came=came) | changes))


def violation(n: int = 0, **changes: Any) -> Row:
    """A leak of one user's prompt reference to another."""
    row: Row = dict(
        worker="w1",
        violation=f"w1-v{n}",
        judgement="isolation",
        name="foreign_content",
        channel=2,
        scope="cross_user",
        observer="k3f00004",
        owner="k3f00011",
        run=f"r{n}",
        site="prompt",
        planted_ns=START_NS + 2000 * MS,
        surfaced_ns=START_NS + 4100 * MS + n * MS,
        count=1,
    )
    return row | changes


def delivery_violation(n: int = 0, *, of: Row, name: str = "missing", **changes: Any) -> Row:
    broken: Row = dict(judgement="delivery", name=name, channel=0, scope="", owner="", site="")
    return violation(n, **(broken | dict(observer=of["account"], run=of["run"]) | changes))


def exposure(channel: int, **changes: Any) -> Row:
    row: Row = dict(
        worker="w1",
        channel=channel,
        opportunities=1000,
        observations=1200,
        controls_expected=100,
        controls_seen=100,
        phantoms_live=3,
        skipped_bytes=0,
    )
    return row | changes


def health(second: int = 1, **changes: Any) -> Row:
    row: Row = dict(
        worker="w1",
        role="worker",
        at_ns=START_NS + second * 1000 * MS,
        cpu_percent=30.0,
        hub_lag_max_ns=2 * MS,
    )
    return row | changes


def clean(*, users: int = 20, runs: int = 60, worker: str = "w1") -> History:
    """A smoke in which everything is right; events are accounted for by the last row of `health`."""
    run_rows = [run(n, account=n % users, worker=worker, service_ms=600 + n) for n in range(runs)]
    run_rows = [row | dict(handoffs=1, handoff_time_max_ns=60 * MS) if n % 5 == 0 else row for n, row in
                enumerate(run_rows)]  # fmt: skip
    event_rows = [row for each in run_rows for row in events_of(each)]
    return {
        "connections": [connection(n, worker=worker) for n in range(users)] + [bad_token(worker=worker)],
        "runs": run_rows,
        "events": event_rows,
        "exposure": [exposure(channel, worker=worker) for channel in (1, 2, 3, 17, 20, 22)],
        "health": [health(n, worker=worker, events_received=len(event_rows)) for n in range(1, 5)],
    }


def with_rows(history: History, table: str, *rows: Row) -> History:
    """The history with rows added; received events keep up with recorded ones."""
    changed = {**history, table: [*history.get(table, []), *rows]}
    if table == "events":
        last = changed["health"][-1]
        changed["health"] = [*changed["health"][:-1], last | dict(events_received=len(changed["events"]))]
    return changed


def limits(name: str = "local") -> Limits:
    return parse_limits((LIMITS_FOLDER / f"{name}.toml").read_text("utf-8"), source=f"{name}.toml")


def run_json(*, use: Limits | None = None, **changes: Any) -> dict[str, Any]:
    """What `run.json` holds of a load test on a target that was ready."""
    whole: dict[str, Any] = {
        "load_test": {
            "id": "20260101-120000-k3f",
            "scenario": "smoke",
            "environment": "local",
            "arrivals": "think",
            "started_ns": START_NS,
            "ended_ns": START_NS + 40_000 * MS,
            "ended_by": "run time",
            "users": 20,
            "seed": 7,
        },
        "limits": (use or limits()).as_dict(),
        "target": {
            "url": "ws://127.0.0.1:8080",
            "revision": "abc",
            "source": "health",
            "changed": False,
            "ready": True,
            "reason": "",
        },
        "workers": {},
        "problems": [],
        "previous": None,
        "expectations": {},
        "provenance": {"versions": {"crosstalk": "0.1.0"}},
    }
    return whole | changes


def history_of_slow_runs(service_ms: int) -> History:
    """The clean smoke, each run of it taking so long."""
    history = clean()
    return {**history, "runs": [row | dict(end_ns=row["sent_ns"] + service_ms * MS) for row in history["runs"]]}


def verdict_of(history: History, **changes: Any) -> dict[str, Any]:
    return judge(run_json(**changes), tally_of(history))


def changed(history: History, table: str, **columns: Any) -> History:
    """The history with columns of every row of a table changed."""
    return {**history, table: [row | columns for row in history[table]]}


def limit(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in verdict["limits"] if entry["name"] == name)


def phase(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in verdict["phases"] if entry["name"] == name)


def use(**sections: Any) -> Limits:
    """The local limits with keys of a section replaced: `isolation={"control_min": 0.5}`."""
    data = limits().as_dict()
    for section, keys in sections.items():
        data[section] |= keys
    return Limits.from_dict(data)
