"""One account's connection with its runs under check: where frames become events, and events become observations.

In the way of the data: connection → dialect → checks → (record rows, milestones). A session makes no rule of its own;
it knows in which order to ask. Users (and tools) call `open`, `ask`, `close`; the inbox calls `_take`.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from gevent.event import Event as Flag

from crosstalk.checks.canary import Keyring, Site
from crosstalk.checks.isolation import Exposures, Observer, run_id, thread_id
from crosstalk.checks.run import RunCheck
from crosstalk.checks.violation import DELIVERY, HARNESS, IDENTITY, Violation, delivery
from crosstalk.clock import clock
from crosstalk.connection import Arrival, ConnectFailed, Connection, Endpoint, HarnessError, Inbox, Lost
from crosstalk.live_run import BODY_MAX, LiveRun, Prompt, Thread
from crosstalk.record.batch import row
from crosstalk.record.rows import Row
from crosstalk.wire.dialect import Dialect, Turn
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.redact import redact
from crosstalk.wire.rfc6455 import Broken, Close, Message, Opcode

#: how long a welcome, an ack or a pong may take before the next step is taken without it
PROBE_TIMEOUT_S = 1.5
#: how long a run whose end came before some of its events waits for them
STRAGGLERS_S = 0.5
#: a run that has ended is watched for late events at least this long
LATE_WATCH_S = 5.0
#: ended runs whose frames are still at hand, should another user see what belongs to them
RUNS_HELD = 16


@dataclass(slots=True)
class Counters:
    """Events of this process, counted at three places that must agree (conservation)."""

    received: int = 0
    checked: int = 0
    recorded: int = 0
    schedule_lag_max_ns: int = 0


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where observations go.

    `record(table, row)`: into the record. `milestone(kind, name, time_ms, size_bytes, error)`: Locust's request event.
    """

    record: Callable[[str, Row], None]
    milestone: Callable[[str, str, float | None, int, str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every session of a load test."""

    dialect: Dialect
    socket_url: str
    transport: str  # header | subprotocol | query | message
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    connect_timeout_s: float
    agent_timeout_s: float
    nonce_required: bool
    keep_text: bool
    worker: str


@dataclass(slots=True)
class Person:
    """What outlives a connection: an account's eyes, its runs and threads."""

    name: str
    number: int
    user_class: str
    observer: Observer
    keyring: Keyring
    rng: random.Random
    ordinal: int = 0
    connections: int = 0
    runs: dict[str, LiveRun] = field(default_factory=dict)

    def new_thread(self) -> Thread:
        ordinal = self.ordinal + 1
        self.observer.plant(ordinal=ordinal, site=Site.THREAD)
        self.observer.forget_before(ordinal)
        return Thread(thread_id(self.keyring, owner=self.number, ordinal=ordinal), ordinal)


class NotReady(Exception):
    """A connection did not become ready. `stage` as in the record; `wrong_identity`: it carries somebody else."""

    def __init__(self, stage: str, reason: str, *, wrong_identity: bool = False) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.wrong_identity = wrong_identity


class Session:
    """A connection of one person, from its opening to its row in the record."""

    def __init__(
        self, *, terms: Terms, person: Person, token: str, inbox: Inbox, sinks: Sinks, counters: Counters,
        exposures: Exposures, purpose: str = "user",
    ) -> None:  # fmt: skip
        self._terms = terms
        self._dialect = terms.dialect
        self._person = person
        self._token = token
        self._sinks = sinks
        self._counters = counters
        self._exposures = exposures
        self._purpose = purpose
        person.connections += 1
        self.name = f"{terms.worker}-{person.name}-c{person.connections}"
        self._trace_id = f"{person.rng.getrandbits(128):032x}"
        self._connection = Connection(self._endpoint(), inbox, self._take)
        self._welcome = Flag()
        self._ended = Flag()
        self._acks: dict[str, Flag] = {}
        self._pongs: list[int] = []
        self._ping_sent_ns: int | None = None
        self._ponged = Flag()
        self._ready_ns: int | None = None
        self._ended_ns: int | None = None
        self._stage = "connect"
        self._identity = "unknown"
        self._identity_seen = ""
        self._rejection = ""
        self._close: tuple[int | None, str, str] = (None, "", "")  # code, reason, closed by
        self._events_in = 0
        self._http_status: int | None = None
        self._error = ""
        self._violations: dict[tuple[str, ...], int] = {}
        self._slowest_ns = 0
        self._written = False

    # --- what users call --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._ready_ns is not None and not self._ended.is_set() and self._identity != "mismatch"

    def open(self) -> None:
        """Connect, authenticate, wait until ready, and make sure that the peer means this person.

        :raises NotReady: with the stage that failed; the connection's row has been written.
        """
        try:
            self._connection.open()
        except ConnectFailed as failed:
            self._stage, self._error, self._http_status = failed.stage, failed.reason, failed.http_status
            self._fail(failed.stage, failed.reason)
        self._stage = "authenticate"
        if self._dialect.ready_by == "upgrade":
            self._set_ready(self._connection.times.upgraded_ns or clock.now_ns())
        else:
            self._wait_for_welcome()
        self._stage = "open"
        self._prove_identity()
        for _ in range(3):
            self.ping()

    def ask(self, prompt: Prompt, thread: Thread, *, intended_ns: int | None, warm_up: bool) -> LiveRun:
        """Say a prompt and see its run through. The run's row is written before this returns.

        :param intended_ns: when the arrival process wanted this turn; None: now.
        """
        run, frame = self._prepare(prompt, thread, intended_ns, warm_up)
        self._person.runs[run.run_id] = run
        self._person.observer.run_started()
        ended_by = "cut"
        try:
            run.sent_ns = clock.now_ns()
            if intended_ns is None:
                run.intended_ns = run.sent_ns
            lag_ns = run.sent_ns - run.intended_ns
            self._counters.schedule_lag_max_ns = max(lag_ns, self._counters.schedule_lag_max_ns)
            try:
                self._connection.send(frame)
            except OSError:
                ended_by = "lost"
                return run
            run.keep_frame("out", "prompt", arrived_ns=run.sent_ns, received_ns=run.sent_ns, body=frame.encode())
            ended_by = self._await_end(run)
        finally:
            # a user that is stopped in mid-run is killed in the wait above: the run is cut, and still recorded
            self._conclude(run, ended_by)
            self._person.observer.run_over()
        return run

    def ping(self) -> bool:
        """One round trip on this socket; False when no answer came in time."""
        frame = self._dialect.ping(clock.now_ns() / 1e9)
        self._ponged.clear()
        try:
            if frame is None:
                self._ping_sent_ns = self._connection.ping(b"crosstalk")
            else:
                self._ping_sent_ns = clock.now_ns()
                self._connection.send(frame)
        except OSError:
            return False
        return bool(self._ponged.wait(PROBE_TIMEOUT_S)) and not self._ended.is_set()

    def keep(self, wanted_run: str, why: str) -> bool:
        """Put the frames of a run into the record, if they are still at hand."""
        run = self._person.runs.get(wanted_run)
        if run is None:
            return False
        self._keep_frames(run, why)
        return True

    def close(self) -> None:
        """Say goodbye and write the connection's row."""
        if self._connection.is_open:
            self._close = (self._close[0], self._close[1], self._close[2] or "us")
            self._connection.close()
        self._watch_over(final=True)
        self._write_row("ready" if self._ready_ns else "cut")

    # --- the way up -------------------------------------------------------------------------------------------------

    def _endpoint(self) -> Endpoint:
        terms, token = self._terms, self._token
        headers = {**terms.headers, "traceparent": f"00-{self._trace_id}-{self._person.rng.getrandbits(64):016x}-01"}
        url, subprotocols = terms.socket_url, self._dialect.subprotocols
        if terms.transport == "header":
            headers["Authorization"] = f"Bearer {token}"
        elif terms.transport == "subprotocol":
            subprotocols = (*subprotocols, self._dialect.subprotocol_prefix + token)
        elif terms.transport == "query":
            url += ("&" if "?" in url else "?") + "token=" + token
        return Endpoint(url, headers, subprotocols, terms.tls, terms.connect_timeout_s)

    def _wait_for_welcome(self) -> None:
        try:
            for frame in self._dialect.opening(self._token if self._terms.transport == "message" else ""):
                self._connection.send(frame)
        except OSError:
            pass  # its end is being delivered
        self._welcome.wait(self._terms.connect_timeout_s)
        if self._rejection:
            self._fail("authenticate", self._rejection, refused=True)
        if self._ready_ns is None:
            code, reason, _ = self._close
            came = f"close {code} {reason}".strip() if code else f"nothing within {self._terms.connect_timeout_s:g} s"
            self._fail("ready", f"expected a welcome, got {came}", refused=code == 1008)

    def _set_ready(self, at_ns: int) -> None:
        self._ready_ns = at_ns
        self._welcome.set()

    def _prove_identity(self) -> None:
        """Does the peer mean this person? The welcome may say so in part; the answer to a probe says it in full.

        The first probe goes out at once: a server that is not ready when it says so loses it, and answers the second.
        """
        frames = [self._dialect.probe(f"probe-{n}-{self._trace_id[:8]}") for n in (1, 2)]
        answered = []
        for n, frame in enumerate(frames, 1):
            if frame is None or self._ended.is_set():
                break
            self._acks[f"probe-{n}-{self._trace_id[:8]}"] = flag = Flag()
            try:
                self._connection.send(frame)
            except OSError:
                break
            if flag.wait(PROBE_TIMEOUT_S) and not self._ended.is_set():
                answered.append(n)
                break
        if self._identity == "mismatch":
            self._fail(
                "ready", f"the socket carries {self._identity_seen!r}, not {self._person.name!r}", wrong_identity=True
            )
        if answered == [2] and not self._acks[f"probe-1-{self._trace_id[:8]}"].is_set():
            came = (
                f"the first frame after the welcome was lost; the same frame {PROBE_TIMEOUT_S:g} s later was answered"
            )
            self._violate(
                delivery("lost_before_ready", expected="an answer to every frame after the welcome", came=came)
            )

    def _fail(self, stage: str, reason: str, *, refused: bool = False, wrong_identity: bool = False) -> None:
        self._stage, self._error = stage, reason
        if self._connection.is_open:
            self._close = (self._close[0], self._close[1], self._close[2] or "us")
            self._connection.close(timeout_s=0.5)
        refused = refused or self._http_status in (401, 403)
        outcome = "ready" if wrong_identity else "refused" if refused else "failed"
        self._write_row(outcome)
        raise NotReady(stage, reason, wrong_identity=wrong_identity)

    # --- a turn -----------------------------------------------------------------------------------------------------

    def _prepare(self, prompt: Prompt, thread: Thread, intended_ns: int | None, warm_up: bool) -> tuple[LiveRun, str]:
        person, observer = self._person, self._person.observer
        person.ordinal += 1
        thread.turns += 1
        ordinal = person.ordinal
        site = Site.CONTEXT if prompt.reference == "context" else Site.PROMPT
        nonce = observer.plant(ordinal=ordinal, site=site)
        planted = {nonce.encode()}
        observer.plant(ordinal=ordinal, site=Site.RUN)
        message_id = "msg-" + observer.plant(ordinal=ordinal, site=Site.MESSAGE)
        observer.phantom(ordinal)
        context: dict[str, str] = {}
        text = prompt.text
        if site is Site.CONTEXT:
            context["reference"] = nonce
        else:
            text = f"{text.rstrip()} Please repeat this reference: {nonce}"
        trace_id = f"{person.rng.getrandbits(128):032x}"
        run = LiveRun(
            run_id=run_id(person.keyring, owner=person.number, ordinal=ordinal),
            ordinal=ordinal,
            thread=thread,
            turn=thread.turns,
            prompt=prompt,
            check=RunCheck(self._dialect.lifecycle, prompt.expects),
            trace_id=trace_id,
            intended_ns=intended_ns or 0,
            warm_up=warm_up,
            planted=frozenset(planted),
            nonce=nonce.encode(),
        )
        frame = self._dialect.prompt(
            Turn(
                text=text,
                user_id=person.name,
                thread_id=thread.thread_id,
                run_id=run.run_id,
                message_id=message_id,
                context=context,
                traceparent=f"00-{trace_id}-{person.rng.getrandbits(64):016x}-01",
            )
        )
        return run, frame

    def _await_end(self, run: LiveRun) -> str:
        """Wait for the run's end, and say what ended the wait."""
        if not run.done.wait(self._terms.agent_timeout_s):
            return "timeout" if self.ping() else "lost"
        if run.refusal:
            return "refused"
        if not run.check.ended:
            return "lost"
        deadline_ns = clock.now_ns() + int(STRAGGLERS_S * 1e9)
        while run.check.missing() and (left_ns := deadline_ns - clock.now_ns()) > 0:
            run.moved.clear()
            run.moved.wait(left_ns / 1e9)
        return "end"

    def _conclude(self, run: LiveRun, ended_by: str) -> None:
        if ended_by in ("end", "timeout"):
            self._read_whole_text(run)
            for violation in run.check.conclude():
                self._violate(violation, run)
        run.decide(
            ended_by=ended_by,
            peer=self._connection.peer,
            probe_time_min_ns=min(self._pongs, default=None),
            nonce_required=self._terms.nonce_required,
        )
        if "not_real" in run.violated:
            self._violate(delivery("not_real", expected="proof that the run happened", came=run.signature), run)
        times = run.check.times
        if run.check.end_kind is Kind.COMPLETED:
            self._exposures.control(2, expected=len(run.planted), seen=len(run.planted & run.seen))
            self._slowest_ns = max(self._slowest_ns, (times.end_ns or 0) - run.sent_ns)
        if run.outcome not in ("ok", "cut"):
            self._keep_frames(run, "failure")
        if run.ordinal % 25 == 1:
            self._keep_frames(run, "sample")
        self._sinks.record("runs", run.as_row(self._who()))
        end_ns = times.end_ns or clock.now_ns()
        error = "" if run.outcome in ("ok", "cut") else f"{run.outcome}: {run.signature}"
        if run.outcome != "cut":
            time_ms = (end_ns - run.intended_ns) / 1e6
            self._sinks.milestone("RUN", run.prompt.family, time_ms, run.bytes_in, error)
        self._watch_over()

    def _read_whole_text(self, run: LiveRun) -> None:
        """A canary may straddle chunks: the streamed text is looked at once more as a whole."""
        text = "".join(run.check.text).encode()
        if text:
            event = Event(Kind.CHUNK, run_id=run.run_id, user_id=self._person.name)
            for violation in self._person.observer.inspect(text, event, run.place, seen=run.seen, whole_text=True):
                if violation.came not in run.said:
                    self._violate(violation, run, text)

    def _watch_over(self, *, final: bool = False) -> None:
        """Let go of runs that were watched long enough after their end (channel 17)."""
        window_ns = int(max(LATE_WATCH_S * 1e9, 2 * self._slowest_ns))
        now_ns = clock.now_ns()
        runs = self._person.runs
        held = len(runs)
        for name, run in list(runs.items()):
            end_ns = run.check.times.end_ns
            if not run.outcome or (end_ns and now_ns - end_ns < window_ns):
                continue
            if held <= RUNS_HELD and not final:
                break
            held -= 1
            if end_ns:
                self._exposures.observe(17, own_live=self._person.observer.runs_live)
                self._exposures.control(17, expected=1, seen=1)
            del runs[name]

    # --- what the inbox calls ---------------------------------------------------------------------------------------

    def _take(self, arrival: Arrival) -> None:
        message = arrival.message
        if isinstance(message, Message):
            if message.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._frame(message.data, arrival)
            elif message.opcode is Opcode.PONG:
                self._pong(arrival)
            return
        if isinstance(message, HarnessError):
            self._violate(Violation(HARNESS, "harness_error", expected="a working receive path", came=message.reason))
            return
        self._end(message, arrival)

    def _frame(self, data: bytes, arrival: Arrival) -> None:
        whole: bytes = data
        for event in self._dialect.decode(data):
            if event.kind in RUN_KINDS:
                self._run_event(event, whole, len(data), arrival)
            else:
                self._connection_event(event, whole, arrival)
            whole = b""  # the entries of a batched frame share its bytes: looked at once

    def _run_event(self, event: Event, frame: bytes, size: int, arrival: Arrival) -> None:
        self._counters.received += 1
        self._events_in += 1
        run = self._run_of(event)
        place = run.place if run else None
        found = self._person.observer.inspect(frame, event, place, seen=run.seen if run else None)
        if run is None:
            self._record_event(event, None, size, arrival, None, None, None)
        else:
            before_end = not run.check.ended
            step = run.check.advance(event, arrival.arrived_ns)
            run.events += 1
            run.bytes_in += size
            run.accepted_ns = run.accepted_ns or arrival.arrived_ns
            run.keep_frame("in", event.kind, arrived_ns=arrival.arrived_ns, received_ns=arrival.received_ns, body=frame)
            self._record_event(event, run, size, arrival, step.gap_ns, step.chunk_gap_ns, step.tool_time_ns)
            if before_end:
                self._milestone(event, run, arrival, size)
            for violation in step.violations:
                self._violate(violation, run, frame, arrival)
            run.moved.set()
            if run.check.ended:
                run.done.set()
        for violation in found:
            self._violate(violation, run, frame, arrival)
        self._counters.checked += 1

    def _run_of(self, event: Event) -> LiveRun | None:
        runs = self._person.runs
        run = runs.get(event.run_id)
        if run is None and (not self._dialect.frames_name_runs or not event.run_id):
            active = [candidate for candidate in runs.values() if not candidate.outcome]
            run = active[0] if len(active) == 1 else None
        return run

    def _connection_event(self, event: Event, frame: bytes, arrival: Arrival) -> None:
        found = self._person.observer.inspect(frame, event, None) if event.kind is not Kind.WELCOME else []
        if event.kind is Kind.WELCOME:
            self._name_seen(event.user_id, full=self._dialect.welcome_names_user == "full")
            self._set_ready(arrival.arrived_ns)
        elif event.kind is Kind.ACK:
            self._name_seen(event.user_id, full=True)
            found = [v for v in found if v.site != "user_id"]  # who this socket is, is judged as identity
            for name, flag in self._acks.items():
                if name.encode() in frame:
                    flag.set()
        elif event.kind is Kind.PONG:
            self._pong(arrival)
        elif event.kind is Kind.REJECTED:
            self._rejection = f"{event.code} {event.text}".strip()
            self._welcome.set()
        elif event.kind is Kind.REFUSED:
            self._refuse(event)
        elif event.kind is Kind.MALFORMED:
            self._malformed(event, frame, arrival)
        for violation in found:
            self._violate(violation, None, frame, arrival)

    def _name_seen(self, user_id: str, *, full: bool) -> None:
        """Compare the name that the peer uses with the token's subject."""
        if not user_id:
            return
        subject, shown = self._person.name, user_id.removesuffix("...")
        right = subject == shown or (not full and subject.startswith(shown) and bool(shown))
        if not right:
            self._identity, self._identity_seen = "mismatch", user_id
            came = f"a socket that carries {user_id}"
            self._violate(Violation(IDENTITY, "wrong_identity", expected=f"a socket of {subject}", came=came))
        elif self._identity in ("unknown", "prefix"):
            self._identity, self._identity_seen = "full" if subject == user_id else "prefix", user_id

    def _refuse(self, event: Event) -> None:
        run = self._run_of(event)
        if run is not None and not run.outcome:
            run.refusal = f"{event.code} {event.text}".strip() or "refused"
            run.done.set()

    def _malformed(self, event: Event, frame: bytes, arrival: Arrival) -> None:
        active = [run for run in self._person.runs.values() if not run.outcome]
        run = active[0] if len(active) == 1 else None
        if run is not None:
            run.check.counts.malformed += 1
            run.bytes_in += len(frame)
        self._violate(
            delivery("malformed", expected="a frame that can be decoded", came=event.text), run, frame, arrival
        )

    def _pong(self, arrival: Arrival) -> None:
        if self._ping_sent_ns is not None:
            self._pongs.append(max(arrival.arrived_ns - self._ping_sent_ns, 0))
            self._ping_sent_ns = None
            self._ponged.set()

    def _end(self, message: Close | Broken | Lost, arrival: Arrival) -> None:
        self._ended_ns = arrival.arrived_ns
        closed_by = self._close[2]
        if isinstance(message, Lost):
            self._close = (1006, message.reason, closed_by or "transport")
        else:
            self._close = (message.code, redact(message.reason), closed_by or "peer")
        self._ended.set()
        if isinstance(message, Broken):
            self._violate(delivery("malformed", expected="frames that follow RFC 6455", came=message.reason))
        if self._close[0] == 1011:
            came = f"close 1011 {self._close[1]}".strip()
            self._violate(delivery("close_1011", expected="a connection that stays open", came=came))
        for run in self._person.runs.values():
            if not run.outcome:
                run.done.set()
        for flag in (self._welcome, self._ponged, *self._acks.values()):
            flag.set()
        if closed_by != "us" and self._ready_ns is not None:
            self._write_row("ready")

    # --- what is written --------------------------------------------------------------------------------------------

    def _who(self) -> dict[str, str]:
        person = self._person
        return {
            "worker": self._terms.worker,
            "connection": self.name,
            "account": person.name,
            "user_class": person.user_class,
        }

    def _record_event(
        self,
        event: Event,
        run: LiveRun | None,
        size: int,
        arrival: Arrival,
        gap_ns: int | None,
        chunk_gap_ns: int | None,
        tool_time_ns: int | None,
    ) -> None:
        # in the order of the table's columns: this is the one row that is written for every event
        self._sinks.record(
            "events",
            (
                self._terms.worker,
                run.run_id if run else event.run_id,
                self.name,
                self._person.name,
                run.events if run else 0,
                str(event.kind),
                event.agent,
                event.tool,
                run.intended_ns if run else arrival.received_ns,
                run.sent_ns if run else arrival.received_ns,
                arrival.arrived_ns,
                arrival.received_ns,
                arrival.exact,
                gap_ns,
                chunk_gap_ns,
                tool_time_ns,
                size,
            ),
        )
        self._counters.recorded += 1

    def _milestone(self, event: Event, run: LiveRun, arrival: Arrival, size: int) -> None:
        if event.kind is not Kind.CHUNK or run.check.counts.chunks == 1:
            name = "first chunk" if event.kind is Kind.CHUNK else str(event.kind)
            self._sinks.milestone("EVENT", name, (arrival.arrived_ns - run.sent_ns) / 1e6, size, "")

    def _violate(
        self, violation: Violation, run: LiveRun | None = None, frame: bytes = b"", arrival: Arrival | None = None
    ) -> None:
        """Write a violation down; the first hundred alike each with their frame, the others as a count at the end."""
        if run is not None:
            run.violated[violation.name] = run.violated.get(violation.name, 0) + 1
            run.said.add(violation.came)
        like = (violation.judgement, violation.name, violation.owner, violation.event_kind, violation.field)
        self._violations[like] = count = self._violations.get(like, 0) + 1
        if count > 100:
            return
        at_ns = arrival.arrived_ns if arrival else clock.now_ns()
        self._sinks.record("violations", self._violation_row(violation, run, frame, at_ns, 1))
        if run is not None and violation.judgement != DELIVERY:
            self._keep_frames(run, "violation")

    def _violation_row(self, v: Violation, run: LiveRun | None, frame: bytes, at_ns: int, count: int) -> Row:
        return row(
            "violations",
            worker=self._terms.worker,
            violation=f"{self.name}-v{sum(self._violations.values())}",
            judgement=v.judgement,
            name=v.name,
            channel=v.channel,
            scope=v.scope,
            observer=self._person.name,
            observer_connection=self.name,
            owner=v.owner,
            run=run.run_id if run else "",
            owner_run=v.owner_run,
            event_kind=v.event_kind,
            site=v.site,
            field=v.field,
            decode=v.decode,
            expected=v.expected,
            came=redact(v.came),
            frame=self._body(frame),
            planted_ns=None,
            surfaced_ns=at_ns,
            trace_id=run.trace_id if run else self._trace_id,
            count=count,
        )

    def _keep_frames(self, run: LiveRun, why: str) -> None:
        frames, run.frames = run.frames, []
        for frame in frames:
            self._sinks.record(
                "frames",
                row(
                    "frames",
                    worker=self._terms.worker,
                    connection=self.name,
                    account=self._person.name,
                    run=run.run_id,
                    direction=frame.direction,
                    kind=frame.kind,
                    arrived_ns=frame.arrived_ns,
                    received_ns=frame.received_ns,
                    evidence=why,
                    body=self._body(frame.body),
                ),
            )

    def _body(self, frame: bytes) -> str:
        if not self._terms.keep_text:
            return f"({len(frame)} bytes; text is not kept)" if frame else ""
        return redact(frame.decode(errors="replace"))[:BODY_MAX]

    def _write_row(self, outcome: str) -> None:
        if self._written:
            return
        self._written = True
        for like, count in self._violations.items():
            if count > 100:
                judgement, name, owner, event_kind, at_field = like
                rest = Violation(
                    judgement, name, expected="", came=f"{count - 100} more like it", owner=owner,
                    event_kind=event_kind, field=at_field,
                )  # fmt: skip
                self._sinks.record("violations", self._violation_row(rest, None, b"", clock.now_ns(), count - 100))
        connection, times = self._connection, self._connection.times
        code, reason, closed_by = self._close
        self._sinks.record(
            "connections",
            row(
                "connections",
                **self._who(),
                purpose=self._purpose,
                url=self._terms.socket_url,
                peer=connection.peer,
                transport=self._terms.transport,
                trace_id=self._trace_id,
                begun_ns=times.begun_ns,
                connected_ns=times.connected_ns,
                upgraded_ns=times.upgraded_ns,
                ready_ns=self._ready_ns,
                ended_ns=self._ended_ns or clock.now_ns(),
                outcome=outcome,
                stage=self._stage,
                http_status=self._http_status,
                close_code=code,
                close_reason=reason,
                closed_by=closed_by,
                error=redact(self._error),
                identity=self._identity,
                identity_seen=self._identity_seen,
                probe_time_min_ns=min(self._pongs, default=None),
                probe_time_median_ns=int(median(self._pongs)) if self._pongs else None,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                frames_in=connection.frames_in,
                frames_out=connection.frames_out,
                events_in=self._events_in,
            ),
        )
