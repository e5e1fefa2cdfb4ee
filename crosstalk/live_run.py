"""One run as it happens: its check, its stamps, what was seen of it, and how it came out.

Between the session, which feeds it, and the record, which it becomes a row of. No socket, no clock: instants are
arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gevent.event import Event as Flag

from crosstalk.checks.isolation import RunPlace
from crosstalk.checks.run import RunCheck
from crosstalk.checks.violation import Violation
from crosstalk.connection import Arrival
from crosstalk.record.batch import row
from crosstalk.record.rows import Row
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.redact import redact

#: frames of a run that are kept as evidence, should it be needed
FRAMES_MAX = 120
BODY_MAX = 4096
#: a connection's few pings may all fall into a busy moment, of a target to which everybody connects: they are taken to
#: be up to so many times slower than the shortest round trip that is possible
BUSY_PINGS = 4
#: of a run, what is kept to be searched deeply at its end
TRANSCRIPT_BYTES_MAX = 2 * 1024 * 1024
#: stands between a prompt's text and its reference, where the prompt carries one
ASKS_TO_REPEAT = "Please repeat this reference:"
#: how a run ended → its outcome, and what its signature says of it
_OUTCOMES = {
    "timeout": ("timeout", "no end in time"),
    "lost": ("disconnected", "connection lost"),
    "refused": ("refused", ""),
    "cut": ("cut", "stopped by the load test"),
    "end": ("ok", ""),
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of `prompts.toml`: its family, its text, and what an answer to it must show."""

    family: str
    text: str
    expects: tuple[str, ...] = ()
    reference: str = "prompt"  # where the canary goes: "prompt" or "context"
    profile: bool = False  # the person's display name, a canary, goes with it
    probe: int = 0  # the channel that a run of it is a probe of; 0: an ordinary run


@dataclass(slots=True)
class Thread:
    """A conversation: its id and the ordinals of its runs (contiguous, one thread at a time)."""

    thread_id: str
    first_ordinal: int  # of its own: no run has it
    turns: int = 0
    said: set[bytes] = field(default_factory=set)  # canaries of its turns, and its own: they may come back in it
    socket_path: str = ""  # of a thread that has a socket of its own


# not frozen, though nobody changes it: one is made for every frame, and a frozen one costs three times as much
@dataclass(slots=True, init=False)
class Frame:
    """A frame kept as possible evidence."""

    direction: str
    kind: str
    arrived_ns: int
    received_ns: int
    body: bytes

    def __init__(self, direction: str, kind: str, arrived_ns: int, received_ns: int, body: bytes) -> None:
        self.direction = direction
        self.kind = kind
        self.arrived_ns = arrived_ns
        self.received_ns = received_ns
        self.body = body


@dataclass(frozen=True, slots=True)
class Withheld:
    """A sighting that will be named when its run is over. `chunk`: the text of the chunk that showed it, if one did."""

    violation: Violation
    frame: bytes
    arrival: Arrival
    chunk: str


# as `Frame`, one is made for every run
@dataclass(slots=True, init=False)
class LiveRun:
    """A run from its prompt until nobody watches it any more."""

    run_id: str
    ordinal: int
    thread: Thread
    turn: int
    prompt: Prompt
    check: RunCheck
    trace_id: str
    intended_ns: int
    warm_up: bool
    planted: frozenset[bytes]
    nonce: bytes  # the canary whose return proves that this very run was run
    waited: bool  # its time had passed before its user was free and connected
    known: frozenset[bytes]  # own canaries that may be in its frames
    sent_ns: int
    accepted_ns: int | None
    bytes_in: int
    events: int
    seen: set[bytes]
    violated: dict[str, int]  # name → how often
    frames: list[Frame]
    said: set[tuple[str, bool]]  # what violations of it were about (`gist`)
    cancelled_ns: int | None  # its user asked for its end then
    transcript: list[bytes]  # what was received, until it is searched
    transcript_bytes: int
    not_searched_bytes: int  # of its transcript, because there was too much
    texts: list[str]  # what its frames said, where they say it encoded
    unwatched_ns: int | None  # its connection had ended by then: nothing late could be seen any more
    tools_repeat_it: bool  # its nonce came back in a tool's result
    withheld: list[Withheld]
    dropped: bool  # its user cut the connection, or asked for what was missed: what comes later is not judged
    story: list[tuple[Event, int]] | None  # its events but for most chunks, each with its arrival; None: not kept
    refusal: str
    kept: bool  # its frames are in the record
    outcome: str
    signature: str
    _place: RunPlace | None
    done: Flag  # ended, refused, or its connection lost
    moved: Flag  # set by each event

    def __init__(
        self, *, run_id: str, ordinal: int, thread: Thread, turn: int, prompt: Prompt, check: RunCheck, trace_id: str,
        intended_ns: int, warm_up: bool, planted: frozenset[bytes], nonce: bytes, waited: bool = False,
        known: frozenset[bytes] = frozenset(), story: list[tuple[Event, int]] | None = None,
    ) -> None:  # fmt: skip
        self.run_id = run_id
        self.ordinal = ordinal
        self.thread = thread
        self.turn = turn
        self.prompt = prompt
        self.check = check
        self.trace_id = trace_id
        self.intended_ns = intended_ns
        self.warm_up = warm_up
        self.planted = planted
        self.nonce = nonce
        self.waited = waited
        self.known = known
        self.story = story
        self.sent_ns = self.bytes_in = self.events = self.transcript_bytes = self.not_searched_bytes = 0
        self.accepted_ns = self.cancelled_ns = self.unwatched_ns = self._place = None
        self.seen = set()
        self.violated = {}
        self.frames = []
        self.said = set()
        self.transcript = []
        self.texts = []
        self.withheld = []
        self.tools_repeat_it = self.dropped = self.kept = False
        self.refusal = self.outcome = self.signature = ""
        self.done = Flag()
        self.moved = Flag()

    @property
    def place(self) -> RunPlace:
        place = self._place
        if place is None or place.ended is not self.check.ended or place.run_id != self.run_id:
            place = self._place = self._place_as(ended=self.check.ended)
        return place

    @property
    def place_before_end(self) -> RunPlace:
        """What its transcript belongs to: what came after the end is not in there."""
        return self._place_as(ended=False)

    def _place_as(self, *, ended: bool) -> RunPlace:
        thread_first, probe = self.thread.first_ordinal, self.prompt.probe
        return RunPlace(self.run_id, self.ordinal, thread_first, ended, probe, self.known)

    def remember(self, frame: bytes, text: str = "") -> None:
        """Keep what was received until the run is over and it is searched deeply.

        :param text: what the frame says, where it says it encoded.
        """
        if text:
            self.texts.append(text)
        if self.transcript_bytes + len(frame) > TRANSCRIPT_BYTES_MAX:
            self.not_searched_bytes += len(frame)
        elif frame:
            self.transcript.append(frame)
            self.transcript_bytes += len(frame)

    def take_transcript(self) -> tuple[list[bytes], list[bytes]]:
        """All frames, and what was decoded of them, joined; forgotten here."""
        frames, texts = self.transcript, self.texts
        self.transcript, self.texts, self.transcript_bytes = [], [], 0
        return frames, ["".join(texts).encode(errors="surrogatepass")] if texts else []

    def keep_frame(self, direction: str, kind: str, *, arrived_ns: int, received_ns: int, body: bytes) -> None:
        if len(self.frames) < FRAMES_MAX:
            self.frames.append(Frame(direction, kind, arrived_ns, received_ns, body[:BODY_MAX]))

    def decide(self, *, ended_by: str, peer: str, probe_time_min_ns: int | None, nonce_required: bool) -> None:
        """Settle the outcome.

        :param ended_by: "end" (its own end), "timeout", "lost" (its connection), "refused" or "cut" (stopped by us).
        """
        check = self.check
        self.outcome, what = _OUTCOMES[ended_by]
        if ended_by in ("timeout", "lost"):
            what = f"{self._stage()}: {what}, last event {check.last_kind or 'none'}"
        elif ended_by == "refused":
            what = f"send: {self.refusal}"
        self.signature = what
        if ended_by == "end" and self.cancelled_ns is not None and check.end_kind is Kind.ERROR:
            self.outcome, self.signature = "cut", "cancelled by its user"
        elif ended_by == "end" and check.end_kind is Kind.ERROR and Kind.ERROR not in check.expects:
            self.outcome, self.signature = "agent_error", f"end: agent error {check.end_code or 'without a code'}"
        if self.outcome == "ok" and (unreal := self._unreal(peer, probe_time_min_ns, nonce_required)):
            self.violated["not_real"] = 1
            self.signature = f"end: not real: {unreal}"
        if self.violated and self.outcome in ("ok", "agent_error", "timeout"):
            if self.outcome == "ok":
                self.signature = self.signature or f"{self._stage()}: {', '.join(sorted(self.violated))}"
            if self.outcome != "timeout":
                self.outcome = "violated"

    def _stage(self) -> str:
        if not self.check.counts.events:
            return "first event"
        if self.check.ended:
            return "end"
        return {
            Kind.STARTED: "thinking",
            Kind.THINKING: "thinking",
            Kind.TOOL_EXECUTING: "tool",
            Kind.TOOL_COMPLETED: "tool",
        }.get(Kind(self.check.last_kind), "stream")

    def _unreal(self, peer: str, probe_time_min_ns: int | None, nonce_required: bool) -> str:
        """Why this run cannot have happened; "" when there is proof that it did."""
        if nonce_required and self.nonce not in self.seen:
            return "its reference did not come back"
        if not self.bytes_in or not peer:
            return "no byte crossed a socket"
        took_ns = (self.check.times.end_ns or 0) - self.sent_ns
        if probe_time_min_ns is not None and took_ns < probe_time_min_ns / BUSY_PINGS:
            return f"it took {took_ns / 1e6:.3f} ms, and the shortest round trip {probe_time_min_ns / 1e6:.3f} ms"
        return ""

    def as_row(self, who: Mapping[str, str]) -> Row:
        """The run's row; `who` has worker, connection, account and user_class."""
        times, counts = self.check.times, self.check.counts
        return row(
            "runs",
            **who,
            run=self.run_id,
            thread=self.thread.thread_id,
            turn=self.turn,
            prompt=self.prompt.family,
            trace_id=self.trace_id,
            intended_ns=self.intended_ns,
            sent_ns=self.sent_ns,
            accepted_ns=self.accepted_ns,
            first_event_ns=times.first_event_ns,
            first_chunk_ns=times.first_chunk_ns,
            end_ns=times.end_ns,
            outcome=self.outcome,
            signature=redact(self.signature),
            events=self.events,
            chunks=counts.chunks,
            tools_started=counts.tools_started,
            tools_ok=counts.tools_ok,
            tools_failed=counts.tools_failed,
            handoffs=counts.handoffs,
            retries=counts.retries,
            handoff_time_max_ns=times.handoff_time_max_ns,
            stall_max_ns=times.stall_max_ns,
            text_bytes=counts.text_bytes,
            bytes_in=self.bytes_in,
            canaries_planted=len(self.planted),
            canaries_back=len(self.planted & self.seen),
            nonce_back=self.nonce in self.seen,
            waited=self.waited,
            warm_up=self.warm_up,
            cancelled_ns=self.cancelled_ns,
        )
