"""The rows of a synthetic load test: users with their connections and runs, and what the generator says of itself."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import orjson

from crosstalk.checks.canary import Keyring, Site
from crosstalk.checks.isolation import run_id
from crosstalk.record.rows import COLUMNS, Row

START_NS = 1_757_895_985_000_000_000
MS = 1_000_000
#: an invented token: right shape, signed by nobody
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJrM2YwMDAwNCIsImV4cCI6MX0.c2lnbmF0dXJlLW9mLW5vYm9keQ"
HOSTILE = "</pre><script>alert('crosstalk')</script>"


@dataclass(slots=True)
class Rows:
    """Rows gathered by table, before they are written."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in COLUMNS})

    def add(self, table: str, **columns: object) -> None:
        self.tables[table].append(tuple(columns[name] for name in COLUMNS[table]))


@dataclass(slots=True)
class Making:
    """What a record is made from."""

    random: random.Random
    rows: Rows
    workers: tuple[str, ...]
    users: int
    slow: float
    leak: bool
    missing: bool
    timeouts: int
    hostile: bool

    def worker_of(self, user: int) -> str:
        return self.workers[user % len(self.workers)]


def account(user: int) -> str:
    return f"k3f{user:05}"


KEYRING = Keyring(b"a secret of these tests", load_test=4711)


def canary(user: int, turn: int) -> str:
    return KEYRING.make(owner=user, ordinal=turn, site=Site.PROMPT)


def add_user(making: Making, user: int, runs: int) -> int:
    draw = making.random
    worker, connection = making.worker_of(user), f"{making.worker_of(user)}-c{user}"
    begun = START_NS + user * 90 * MS
    ready = begun + int(draw.uniform(4, 12) * MS)
    at, frames_in, events_in = ready, 1, 0
    for turn in range(1, runs + 1):
        at += int(draw.uniform(0.3, 1.4) * 1000 * MS)
        at, events = _one_run(making, user, turn, at, worker, connection)
        events_in += events
        frames_in += events
    making.rows.add(
        "connections",
        worker=worker,
        connection=connection,
        purpose="user",
        account=account(user),
        user_class="Regular",
        url="ws://127.0.0.1:41877/ws",
        peer="127.0.0.1:41877",
        transport=("header", "subprotocol")[user % 2],
        trace_id=f"{user:032x}",
        begun_ns=begun,
        connected_ns=begun + int(draw.uniform(0.2, 0.9) * MS),
        upgraded_ns=begun + int(draw.uniform(1, 2.5) * MS),
        ready_ns=ready,
        ended_ns=at + 300 * MS,
        outcome="ready",
        stage="open",
        http_status=101,
        close_code=1000,
        close_reason="",
        closed_by="us",
        error="",
        identity="full",
        identity_seen=account(user),
        probe_time_min_ns=int(draw.uniform(0.18, 0.3) * MS),
        probe_time_median_ns=int(draw.uniform(0.4, 0.9) * MS),
        bytes_in=events_in * 310 + 280,
        bytes_out=runs * 420,
        frames_in=frames_in,
        frames_out=runs + 2,
        events_in=events_in,
    )
    return at


def _script(making: Making, user: int, turn: int) -> list[tuple[str, str, str, float]]:
    """(kind, agent, tool, milliseconds since the event before it) of one run."""
    draw, slow = making.random, making.slow
    script = [("started", "supervisor", "", draw.uniform(4, 9))]
    script.append(("thinking", "supervisor", "", draw.uniform(40, 120) * slow))
    for tool in ("cost_lookup", "plan_compare")[: (user + turn) % 3]:
        script.append(("tool_executing", "supervisor", tool, draw.uniform(20, 60) * slow))
        script.append(("tool_completed", "supervisor", tool, draw.lognormvariate(4.6, 0.4) * slow))
    if (user + turn) % 5 == 0:
        script.append(("handoff", "supervisor", "", draw.uniform(10, 30)))
        script.append(("started", "billing", "", draw.uniform(40, 90) * slow))
        script.append(("thinking", "billing", "", draw.uniform(20, 60) * slow))
        script.append(("completed", "billing", "", draw.uniform(20, 60) * slow))
    chunk = [("chunk", "supervisor", "", draw.uniform(10, 40) * slow) for _ in range(draw.randint(6, 14))]
    return [*script, *chunk, ("completed", "supervisor", "", draw.uniform(5, 20))]


@dataclass(frozen=True, slots=True)
class Turn:
    """One run and what goes wrong in it."""

    user: int
    turn: int
    run: str
    sent: int
    worker: str
    connection: str
    timeout: bool
    lossy: bool
    leaking: bool

    @property
    def outcome(self) -> str:
        return "timeout" if self.timeout else "violated" if self.lossy or self.leaking else "ok"

    def signature(self, last: str) -> str:
        """:param last: kind of the run's last event."""
        stage = {"thinking": "thinking", "tool_executing": "tool", "tool_completed": "tool"}.get(last, "stream")
        violated = "end: missing" if self.lossy else "end: foreign_content"
        return {"ok": "", "timeout": f"{stage}: no end in time, last event {last}"}.get(self.outcome, violated)


def _one_run(making: Making, user: int, turn: int, sent: int, worker: str, connection: str) -> tuple[int, int]:
    """Add a run and all that belongs to it; returns when it was over and how many events it had."""
    serial = user + making.users * (turn - 2)
    this = Turn(
        user=user,
        turn=turn,
        run=run_id(KEYRING, owner=user, ordinal=turn),
        sent=sent,
        worker=worker,
        connection=connection,
        timeout=0 <= serial < making.timeouts,
        lossy=making.missing and user == 3 and turn == 2,
        leaking=making.leak and user == 4 and turn <= 3,
    )
    times = _events(making, this)
    end = times[-1][1]
    _frames(making, this, end)
    if this.lossy:
        _missing(making, this, end)
    if this.leaking:
        _leak(making, this, end)
    _run_row(making, this, times)
    return (sent + 8_000 * MS if this.timeout else end), len(times)


def _events(making: Making, this: Turn) -> list[tuple[str, int]]:
    """Add the events of a run; returns (kind, instant) of each."""
    draw = making.random
    script = _script(making, this.user, this.turn)
    if this.timeout:
        script = script[:4]
    if this.lossy:
        script = [line for line in script if line[0] != "thinking"]
    at, last_chunk, executing, times = this.sent, None, {}, []
    for n, (kind, agent, tool, wait_ms) in enumerate(script, start=1):
        before, at = at, at + int(wait_ms * MS)
        tool_time = at - executing.pop(tool) if kind == "tool_completed" else None
        if kind == "tool_executing":
            executing[tool] = at
        is_chunk = kind == "chunk"
        making.rows.add(
            "events",
            worker=this.worker,
            run=this.run,
            connection=this.connection,
            account=account(this.user),
            n=n,
            kind=kind,
            agent=agent,
            tool=tool,
            intended_ns=this.sent,
            sent_ns=this.sent,
            arrived_ns=at,
            arrived_after_ns=at,
            received_ns=at + int(draw.uniform(0.05, 0.6) * MS),
            exact=draw.random() < 0.97,
            gap_ns=at - before if n > 1 else None,
            chunk_gap_ns=at - last_chunk if is_chunk and last_chunk else None,
            tool_time_ns=tool_time,
            bytes=300,
        )
        last_chunk = at if is_chunk else last_chunk
        times.append((kind, at))
    return times


def _run_row(making: Making, this: Turn, times: list[tuple[str, int]]) -> None:
    chunks = [instant for kind, instant in times if kind == "chunk"]
    gaps = [b - a for (_, a), (_, b) in pairwise(times)]
    handoffs = sum(kind == "handoff" for kind, _ in times)
    making.rows.add(
        "runs",
        worker=this.worker,
        run=this.run,
        connection=this.connection,
        account=account(this.user),
        user_class="Regular",
        thread=f"thread-{this.user}",
        turn=this.turn,
        prompt=("look_up", "compare", "plain", "hand_over")[(this.user + this.turn) % 4],
        trace_id=f"{this.user * 100 + this.turn:032x}",
        intended_ns=this.sent,
        sent_ns=this.sent,
        accepted_ns=times[0][1],
        first_event_ns=times[0][1],
        first_chunk_ns=chunks[0] if chunks else None,
        end_ns=None if this.timeout else times[-1][1],
        outcome=this.outcome,
        signature=this.signature(times[-1][0]),
        events=len(times),
        chunks=len(chunks),
        tools_started=sum(kind == "tool_executing" for kind, _ in times),
        tools_ok=sum(kind == "tool_completed" for kind, _ in times),
        tools_failed=0,
        handoffs=handoffs,
        retries=0,
        handoff_time_max_ns=60 * MS if handoffs else None,
        stall_max_ns=max(gaps, default=None),
        text_bytes=len(chunks) * 28,
        bytes_in=len(times) * 300,
        canaries_planted=2,
        canaries_back=0 if this.timeout else 2,
        nonce_back=not this.timeout,
        waited=False,
        warm_up=this.sent < START_NS + making.users * 90 * MS,
        cancelled_ns=None,
    )


def _frames(making: Making, this: Turn, end: int) -> None:
    """Both frames of runs that are kept: what went wrong, and a sample."""
    if this.outcome == "ok" and this.user % 7:
        return
    token, hostile = canary(this.user, this.turn), HOSTILE if making.hostile else ""
    request = f"Look up my plan. {hostile} Please repeat this reference: {token}"
    prompt = {
        "type": "execute_agent",
        "user_id": account(this.user),
        "token": JWT if making.hostile else None,
        "payload": {"user_request": request, "run_id": this.run},
    }
    answer = {"type": "agent_completed", "run_id": this.run, "data": {"result": {"text": f"Reference {token}"}}}
    for direction, at, body in (("out", this.sent, prompt), ("in", end, answer)):
        making.rows.add(
            "frames",
            worker=this.worker,
            connection=this.connection,
            account=account(this.user),
            run=this.run,
            direction=direction,
            kind=str(body["type"]),
            arrived_ns=at,
            received_ns=at,
            evidence={"ok": "sample", "timeout": "failure"}.get(this.outcome, "violation"),
            body=orjson.dumps(body).decode(),
        )


def _missing(making: Making, this: Turn, at: int) -> None:
    _violation(
        making,
        this,
        at,
        judgement="delivery",
        name="missing",
        channel=0,
        event_kind="",
        expected="thinking",
        came="a run that ended without",
        frame="",
    )


def _leak(making: Making, this: Turn, at: int) -> None:
    """What user 0 said in this turn surfaces in an answer for someone else."""
    owner, token = account(0), canary(0, this.turn)
    hostile = HOSTILE + JWT if making.hostile else ""
    result = {"text": f"plan of {owner}: {token} {hostile}"}
    frame = {
        "type": "tool_completed",
        "run_id": this.run,
        "user_id": account(this.user),
        "agent_name": "supervisor",
        "data": {"tool_name": "cost_lookup", "result": result, "status": "completed"},
    }
    _violation(
        making,
        this,
        at,
        judgement="isolation",
        name="foreign_content",
        channel=2,
        scope="cross_user",
        owner=owner,
        owner_run=run_id(KEYRING, owner=0, ordinal=this.turn),
        event_kind="tool_completed",
        site="prompt",
        field="data.result.text",
        decode="plain",
        expected=f"only what belongs to {account(this.user)}",
        came=f"a prompt reference of {owner}",
        frame=orjson.dumps(frame).decode(),
        planted_ns=at - 214 * MS,
    )


def _violation(making: Making, this: Turn, at: int, **said: object) -> None:
    blank = {"scope": "", "owner": "", "owner_run": "", "site": "", "field": "", "decode": "", "planted_ns": None}
    number = len(making.rows.tables["violations"]) + 1
    seen: dict[str, object] = {
        "worker": this.worker,
        "violation": f"{this.worker}-v{number}",
        "observer": account(this.user),
        "observer_connection": this.connection,
        "run": this.run,
        "surfaced_ns": at,
        "trace_id": f"{this.user * 100:032x}",
        "count": 1,
    }
    making.rows.add("violations", **{**blank, **seen, **said})
