"""What a session writes down: rows of its events, violations, frames and, at its end, of the connection itself.

Every text that could hold a secret is redacted here, on its way into a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import median

from crosstalk.checks.run import Step
from crosstalk.checks.violation import DELIVERY, Violation
from crosstalk.clock import clock
from crosstalk.connection import Arrival, Connection
from crosstalk.live_run import BODY_MAX, LiveRun
from crosstalk.record.batch import row
from crosstalk.record.rows import Row
from crosstalk.terms import Counters, Sinks, Terms
from crosstalk.wire.event import Event
from crosstalk.wire.redact import redact

#: alike violations of a session that are written with their frames; the others are counted
ALIKE_MAX = 100


@dataclass(slots=True)
class Closing:
    """How a connection ended."""

    code: int | None = None
    reason: str = ""
    by: str = ""  # us | peer | transport
    at_ns: int | None = None


@dataclass(slots=True)
class Progress:
    """How far a connection came, as its row tells it."""

    stage: str = "connect"
    error: str = ""
    http_status: int | None = None
    ready_ns: int | None = None
    identity: str = "unknown"
    identity_seen: str = ""
    events_in: int = 0
    pongs_ns: list[int] = field(default_factory=list)


class Notes:
    """The pen of one session."""

    def __init__(
        self, *, terms: Terms, sinks: Sinks, counters: Counters, account: str, user_class: str, connection: str,
        trace_id: str, purpose: str,
    ) -> None:  # fmt: skip
        self._terms = terms
        self._record = sinks.record
        self._log = sinks.events
        #: of the run that was written last: run, its id, batch, number of the place
        self._place: tuple[LiveRun | None, str, int, int] = (None, "", 0, 0)
        self._counters = counters
        self._account = account
        self._connection = connection
        self.trace_id = trace_id
        self._purpose = purpose
        self._alike: dict[Violation, int] = {}
        self._violations = 0
        self._written = False
        self.who = {
            "worker": terms.worker,
            "connection": connection,
            "account": account,
            "user_class": user_class,
        }

    def event(self, event: Event, run: LiveRun | None, step: Step, *, size_bytes: int, arrival: Arrival) -> None:
        """Write an event's row: the one row that is written for every frame."""
        if run is None:
            at_ns = arrival.received_ns
            place = self._log.place(event.run_id, self._connection, self._account, at_ns, at_ns)
            self._log.add(
                place, event.kind, event.agent, event.tool, 0, arrival.arrived_ns, arrival.arrived_after_ns, at_ns,
                arrival.exact, step.gap_ns, step.chunk_gap_ns, step.tool_time_ns, size_bytes,
            )  # fmt: skip
            self._counters.recorded += 1
        else:
            self.event_of(run, event, arrival, step.gap_ns, step.chunk_gap_ns, step.tool_time_ns, size_bytes)

    def event_of(
        self, run: LiveRun, event: Event, arrival: Arrival, gap_ns: int | None, chunk_gap_ns: int | None,
        tool_time_ns: int | None, size_bytes: int,
    ) -> None:  # fmt: skip
        """Write the row of an event of a run of ours; its number is the run's `events`."""
        log = self._log
        last, run_id, batch, place = self._place
        if last is not run or batch != log.batch or run_id != run.run_id:
            place = log.place(run.run_id, self._connection, self._account, run.intended_ns, run.sent_ns)
            self._place = (run, run.run_id, log.batch, place)
        log.add(
            place, event.kind, event.agent, event.tool, run.events, arrival.arrived_ns, arrival.arrived_after_ns,
            arrival.received_ns, arrival.exact, gap_ns, chunk_gap_ns, tool_time_ns, size_bytes,
        )  # fmt: skip
        self._counters.recorded += 1

    def violation(
        self, violation: Violation, run: LiveRun | None = None, frame: bytes = b"", arrival: Arrival | None = None
    ) -> None:
        """Write a violation down; the first hundred alike with their frame, the others as a count at the end."""
        if run is not None:
            run.violated[violation.name] = run.violated.get(violation.name, 0) + 1
            run.said.add(violation.gist)
        # everything that tells kinds of violations apart, without what is of one occurrence only
        like = replace(violation, expected="", came="", owner_run="", planted_ns=None)
        self._alike[like] = count = self._alike.get(like, 0) + 1
        if count > ALIKE_MAX:
            return
        at_ns = arrival.arrived_ns if arrival else clock.now_ns()
        self._record("violations", self._violation_row(violation, run, frame, at_ns, 1))
        if run is not None and violation.judgement != DELIVERY:
            self.frames(run, "violation")

    def frames(self, run: LiveRun, why: str) -> None:
        """Put what is held of a run's frames into the record, once."""
        frames, run.frames = run.frames, []
        for frame in frames:
            self._record(
                "frames",
                row(
                    "frames",
                    worker=self._terms.worker,
                    connection=self._connection,
                    account=self._account,
                    run=run.run_id,
                    direction=frame.direction,
                    kind=frame.kind,
                    arrived_ns=frame.arrived_ns,
                    received_ns=frame.received_ns,
                    evidence=why,
                    body=self._body(frame.body),
                ),
            )

    def connection(self, outcome: str, connection: Connection, progress: Progress, closing: Closing) -> None:
        """The connection's row; written once, whoever asks first."""
        if self._written:
            return
        self._written = True
        self.counted()
        times, pongs = connection.times, progress.pongs_ns
        self._record(
            "connections",
            row(
                "connections",
                **self.who,
                purpose=self._purpose,
                url=self._terms.socket_url.partition("?")[0],
                peer=connection.peer,
                transport=self._terms.transport,
                trace_id=self.trace_id,
                begun_ns=times.begun_ns,
                connected_ns=times.connected_ns,
                upgraded_ns=times.upgraded_ns,
                ready_ns=progress.ready_ns,
                ended_ns=closing.at_ns or clock.now_ns(),
                outcome=outcome,
                stage=progress.stage,
                http_status=progress.http_status,
                close_code=closing.code,
                close_reason=closing.reason,
                closed_by=closing.by,
                error=redact(progress.error),
                identity=progress.identity,
                identity_seen=redact(progress.identity_seen),
                probe_time_min_ns=min(pongs, default=None),
                probe_time_median_ns=int(median(pongs)) if pongs else None,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                frames_in=connection.frames_in,
                frames_out=connection.frames_out,
                events_in=progress.events_in,
            ),
        )

    def counted(self) -> None:
        """Violations beyond the first hundred alike: one row with their number."""
        for like, count in self._alike.items():
            if count <= ALIKE_MAX:
                continue
            rest = replace(like, came=f"{count - ALIKE_MAX} more like it")
            self._record("violations", self._violation_row(rest, None, b"", clock.now_ns(), count - ALIKE_MAX))

    def _violation_row(self, v: Violation, run: LiveRun | None, frame: bytes, at_ns: int, count: int) -> Row:
        self._violations += 1
        return row(
            "violations",
            worker=self._terms.worker,
            violation=f"{self._connection}-v{self._violations}",
            judgement=v.judgement,
            name=v.name,
            channel=v.channel,
            scope=v.scope,
            observer=self._account,
            observer_connection=self._connection,
            owner=v.owner,
            run=run.run_id if run else "",
            owner_run=v.owner_run,
            event_kind=v.event_kind,
            site=v.site,
            field=v.field,
            decode=v.decode,
            expected=redact(v.expected),
            came=redact(v.came),
            frame=self._body(frame),
            planted_ns=v.planted_ns,
            surfaced_ns=at_ns,
            trace_id=run.trace_id if run else self.trace_id,
            count=count,
        )

    def _body(self, frame: bytes) -> str:
        if not self._terms.keep_text:
            return f"({len(frame)} bytes; text is not kept)" if frame else ""
        return redact(frame.decode(errors="replace"))[:BODY_MAX]
