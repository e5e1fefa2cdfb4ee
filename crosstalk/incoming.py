"""The receiving side of a session: frames become events, events become observations. The inbox calls `take`.

Runs always, also while the session's user thinks: late, stray and foreign frames are seen. It makes no rule of its own;
it knows whom to ask: the dialect, the observer (isolation), the run's check (delivery).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gevent.event import Event as Flag

from crosstalk.checks.canary import LENGTH as CANARY_LENGTH
from crosstalk.checks.exposure import Exposures
from crosstalk.checks.isolation import RunPlace
from crosstalk.checks.run import Step
from crosstalk.checks.violation import HARNESS, IDENTITY, Violation, delivery
from crosstalk.clock import clock
from crosstalk.connection import Arrival, HarnessError, Lost
from crosstalk.live_run import BODY_MAX, FRAMES_MAX, Frame, LiveRun, Withheld
from crosstalk.notes import Closing, Notes, Progress
from crosstalk.person import Person
from crosstalk.terms import Counters, Sinks
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.event import RUN_KINDS, Event, Kind
from crosstalk.wire.redact import redact
from crosstalk.wire.rfc6455 import Broken, Close, Message, Opcode

# looked up for every frame: a name of the module costs a tenth of an attribute of an enumeration
_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY
_CHUNK: Final = Kind.CHUNK
_TOOL_COMPLETED: Final = Kind.TOOL_COMPLETED
#: what an event means that no run of ours has, or wants, any more
_NO_STEP: Final = Step()
_NOTHING: Final[list[Violation]] = []
#: frames besides runs are searched deeply when there is so much of them
BESIDES_BYTES_MAX = 16 * 1024


class Incoming:
    """What has come in on one connection so far. Its flags are what the session's user waits for.

    :param on_lost: called when a connection that was ready ended and it was not us who ended it.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        person: Person,
        notes: Notes,
        sinks: Sinks,
        counters: Counters,
        exposures: Exposures,
        on_lost: Callable[[], None],
    ) -> None:
        self._dialect = dialect
        self._decode = dialect.decode
        self._encodes_text = dialect.encodes_text
        self._person = person
        self._runs = person.runs
        self._inspect = person.observer.inspect
        self._is_own = person.observer.is_own
        self._notes = notes
        self._sinks = sinks
        self._counters = counters
        self._exposures = exposures
        self._on_lost = on_lost
        self.progress = Progress()
        self.closing = Closing()
        self.welcome = Flag()
        self.ended = Flag()
        self.acks: dict[str, Flag] = {}
        self.ping_sent_ns: int | None = None
        self.ponged = Flag()
        self.rejection = ""
        self.welcome_id = ""
        self.welcome_frame = b""
        self.asked_for = 0  # the channel on which something of another's is being asked for just now
        self.listeners: list[list[tuple[Event, bytes]]] = []  # each gets every event, with its frame
        self.pong_data = b""  # of the latest RFC 6455 pong
        self.pinged, self.beaten = Flag(), Flag()  # by an RFC 6455 ping of the peer's, by a heartbeat
        self.pinged_ns: int | None = None  # the latest one arrived
        self.beaten_ns: int | None = None
        self.other_name = ""  # that this socket may bear: somebody else's token was shown on it
        self._message = b""  # of which only the first event has the bytes
        self._besides: list[bytes] = []  # frames of no run in progress, until they are searched
        self._besides_bytes = 0
        self._said: set[tuple[str, bool]] = set()  # what violations besides runs were about
        self.broken = False  # by an error of our own
        self.last_run: LiveRun | None = None  # what nameless frames belong to while no run is in progress

    def set_ready(self, at_ns: int) -> None:
        self.progress.ready_ns = at_ns
        self.welcome.set()

    def take(self, arrival: Arrival) -> None:
        message = arrival.message
        if isinstance(message, Message):
            opcode = message.opcode
            if opcode is _TEXT or opcode is _BINARY:
                data = message.data
                events = self._decode(data)
                if type(events) is not list:
                    events = list(events)
                if len(events) == 1 and not self.listeners and events[0].kind in RUN_KINDS:  # as nearly all are
                    self._run_event(events[0], data, len(data), arrival)
                else:
                    self._events(events, data, arrival)
                return
            if message.data:
                self.look(message.data, where=f"payload of a {message.opcode.name.lower()}", kind="control", at=arrival)
            if message.opcode is Opcode.PONG:
                self.pong_data = message.data
                self._pong(arrival)
            else:
                self.pinged_ns = arrival.arrived_ns
                self.pinged.set()
            return
        if isinstance(message, HarnessError):
            self._break_off(message, arrival)
            return
        self._end(message, arrival)

    def _events(self, events: list[Event], data: bytes, arrival: Arrival) -> None:
        whole = self._message = data
        # what several runs say is looked at apart: what is one's own in the other's part is no leak
        parts = list(self._dialect.entries(data)) if len({event.run_id for event in events}) > 1 else []
        for number, event in enumerate(events or [Event(Kind.OTHER)]):
            if len(parts) == len(events) > 1:
                whole = parts[number]
            if self.listeners:
                for heard in self.listeners:
                    heard.append((event, data))
            if event.kind in RUN_KINDS:
                self._run_event(event, whole, len(data), arrival)
            else:
                self._connection_event(event, whole, arrival)
            whole = b""  # the entries of a batched frame share its bytes: looked at once

    def _run_event(self, event: Event, frame: bytes, size: int, arrival: Arrival) -> None:
        counters = self._counters
        counters.received += 1
        self.progress.events_in += 1
        run = self._runs.get(event.run_id) or self._run_of(event) or self._learn(event)
        seen_in = frame + b"\n" + event.text.encode() if self._encodes_text else frame
        if run is None:
            found = self._inspect(seen_in, event, None, asked_for=self.asked_for)
        elif self._is_own(seen_in, event, run.known, run.seen):
            if event.kind is _CHUNK and self._stream(run, event, frame, size, arrival):
                counters.checked += 1
                return
            found = _NOTHING
        else:
            found = self._inspect(seen_in, event, run.place, seen=run.seen, asked_for=self.asked_for)
        if run is None or run.dropped:
            self._notes.event(event, None, _NO_STEP, size_bytes=size, arrival=arrival)
        else:
            self._advance(run, event, frame, size, arrival)
        if found and _is_told(found):
            pass  # this frame has been told of; what else is in it changes nothing
        elif run is None or run.outcome:
            self._put_aside(seen_in)
        else:
            run.remember(frame, event.text if self._encodes_text else "")
        for violation in found:
            if run is not None and not run.outcome and self._waits(violation, event, run):
                chunk = event.text if event.kind is Kind.CHUNK else ""
                run.withheld.append(Withheld(violation, frame, arrival, chunk))
            else:
                self._notes.violation(violation, run, frame, arrival)
        counters.checked += 1

    def _waits(self, violation: Violation, event: Event, run: LiveRun) -> bool:
        """Can its channel only be told when the run is over?"""
        equal_prompt = run.prompt.reference == "context" and violation.site == "context"
        return violation.channel == 2 and (equal_prompt or event.kind is Kind.CHUNK)

    def look(self, data: bytes, *, where: str, kind: str, at: Arrival | None = None) -> None:
        """Look at something that is no frame of events; deeply when there is more of it, or the connection is over."""
        found = self._person.observer.look(data, where=where, kind=kind, deep=False)
        for violation in found:
            self._notes.violation(violation, None, data, at)
        if not any(violation.is_confirmed_leak for violation in found):
            self._put_aside(data)

    def _put_aside(self, frame: bytes) -> None:
        """Keep a frame of no run in progress until there are enough of them, or the connection is over."""
        self._besides.append(frame)
        self._besides_bytes += len(frame)
        if self._besides_bytes > BESIDES_BYTES_MAX:
            self.search_besides()

    def search_besides(self) -> None:
        """Search what came besides runs deeply."""
        parts, self._besides, self._besides_bytes = self._besides, [], 0
        for violation, frame in self.searched(parts, None):
            if violation.gist not in self._said:
                self._notes.violation(violation, None, frame)

    def searched(
        self, parts: list[bytes], place: RunPlace | None, *, seen: set[bytes] | None = None, joined: bool = False
    ) -> list[tuple[Violation, bytes]]:
        """What the deep search finds. If it fails itself, that is on record, and nothing else is lost by it."""
        if not parts:
            return []
        try:
            return self._person.observer.search(parts, place, seen=seen, joined=joined)
        except Exception as error:
            came = f"{type(error).__name__} while searching what was received: {error}"
            return [(Violation(HARNESS, "harness_error", expected="a working search", came=came), b"")]

    def _stream(self, run: LiveRun, event: Event, frame: bytes, size: int, arrival: Arrival) -> bool:
        """All that is left to do for one more chunk of a text that streams as it should; False: it is something else.

        It does what `_run_event` and `_advance` do with nothing to tell of, as nearly all frames want it.
        """
        check, arrived_ns = run.check, arrival.arrived_ns
        if run.outcome or run.dropped or self._encodes_text or not check.streams(event, arrived_ns):
            return False
        run.events += 1
        run.bytes_in += size
        frames = run.frames
        if len(frames) < FRAMES_MAX:
            frames.append(Frame("in", _CHUNK, arrived_ns, arrival.received_ns, frame[:BODY_MAX]))
        self._notes.event_of(run, event, arrival, check.gap_ns, check.chunk_gap_ns, None, size)
        if not run.moved.is_set():
            run.moved.set()
        run.remember(frame)
        return True

    def _advance(self, run: LiveRun, event: Event, frame: bytes, size: int, arrival: Arrival) -> None:
        check, kind, arrived_ns = run.check, event.kind, arrival.arrived_ns
        before_end = not check.ended
        step = check.advance(event, arrived_ns)
        run.events += 1
        run.bytes_in += size
        if run.accepted_ns is None:
            run.accepted_ns = arrived_ns
        if run.story is not None:
            run.story.append((event, arrived_ns))
        if kind is _TOOL_COMPLETED and not run.tools_repeat_it:
            run.tools_repeat_it = run.nonce in (frame or self._message)
        if len(run.frames) < FRAMES_MAX:
            run.frames.append(Frame("in", kind, arrived_ns, arrival.received_ns, frame[:BODY_MAX]))
        self._notes.event(event, run, step, size_bytes=size, arrival=arrival)
        if before_end and (kind is not _CHUNK or check.counts.chunks == 1):
            name = "first chunk" if kind is _CHUNK else str(kind)
            self._sinks.milestone("EVENT", name, (arrived_ns - run.sent_ns) / 1e6, size, "")
        for violation in step.violations:
            self._notes.violation(violation, run, frame, arrival)
        if not run.moved.is_set():
            run.moved.set()
        if check.ended:
            run.done.set()

    def _run_of(self, event: Event) -> LiveRun | None:
        runs = self._runs
        run = runs.get(event.run_id)
        if run is None and (not self._dialect.frames_name_runs or not event.run_id):
            active = [candidate for candidate in runs.values() if not candidate.outcome]
            run = active[0] if len(active) == 1 else self.last_run if not active else None
        return run

    def _learn(self, event: Event) -> LiveRun | None:
        """The run that an id of the server's belongs to: the one whose request it answers, if there is exactly one."""
        if not event.run_id:
            return None
        waiting = [
            run for run in self._person.runs.values() if run.run_id.startswith("?") and self._answers(event, run)
        ]
        if not waiting or self._person.observer.knows(event.run_id):
            return None
        # a run that ended before its id was told (cut, disconnected) is told it all the same, by what comes of it later
        run = waiting[-1] if event.kind is Kind.STARTED else waiting[0]
        self._person.learn(run, event.run_id)
        return run

    def _answers(self, event: Event, run: LiveRun) -> bool:
        """Can an event of an unknown run be of this one, whose id the server has still to tell?

        Where the client chooses ids, only that of a run which was started over HTTP is the server's: its thread is
        named, and the id is nobody's.
        """
        if self._dialect.ids_from == "server":
            return event.thread_id in ("", run.thread.thread_id)
        return event.thread_id == run.thread.thread_id and not self._person.observer.owner_of(event.run_id)

    def _connection_event(self, event: Event, frame: bytes, arrival: Arrival) -> None:
        found = self._person.observer.inspect(frame, event, None, asked_for=self.asked_for)
        if event.kind in (Kind.WELCOME, Kind.ACK) and not self._is_stray(event, frame):
            found = [v for v in found if v.site != "user_id"]  # who this socket is, is judged as identity
            self._introduced(event, frame, arrival)
        elif event.kind is Kind.PONG:
            self._pong(arrival)
        elif event.kind is Kind.HEARTBEAT:
            self.beaten_ns = arrival.arrived_ns
            self.beaten.set()
        elif event.kind is Kind.REJECTED:
            self.rejection = f"{event.code} {event.text}".strip()
            self.welcome.set()
        elif event.kind is Kind.REFUSED:
            self._refuse(event)
        elif event.kind is Kind.MALFORMED:
            self._malformed(event, frame, arrival)
        if self.progress.identity != "mismatch" and not any(violation.is_confirmed_leak for violation in found):
            self._put_aside(frame)
        for violation in found:
            self._said.add(violation.gist)
            self._notes.violation(violation, None, frame, arrival)

    def _is_stray(self, event: Event, frame: bytes) -> bool:
        """Does an ack answer nothing, on a socket that was proved to be this person's? Then it tells nothing of it.

        While somebody listens, a frame of ours may be what it answers: another's token, for one.
        """
        answers = bool(self.listeners) or any(name.encode() in frame for name in self.acks)
        return event.kind is Kind.ACK and self.progress.identity == "full" and not answers

    def _introduced(self, event: Event, frame: bytes, arrival: Arrival) -> None:
        """The peer says whom it takes us for."""
        if event.kind is Kind.WELCOME:
            self.welcome_id, self.welcome_frame = event.connection_id, frame
            if event.connection_id:
                self._person.observer.own_id(event.connection_id)
            self._name_seen(event.user_id, full=self._dialect.welcome_names_user == "full")
            self.set_ready(arrival.arrived_ns)
            return
        self._name_seen(event.user_id, full=True)
        for name, flag in self.acks.items():
            if name.encode() in frame:
                flag.set()

    def _name_seen(self, user_id: str, *, full: bool) -> None:
        """Compare the name that the peer uses with the token's subject."""
        if not user_id or user_id == self.other_name:
            return
        subject, shown = self._person.name, user_id.removesuffix("...")
        right = subject == shown or (not full and subject.startswith(shown) and bool(shown))
        if not right:
            self.progress.identity, self.progress.identity_seen = "mismatch", user_id
            came = f"a socket that carries {user_id}"
            self._notes.violation(Violation(IDENTITY, "wrong_identity", expected=f"a socket of {subject}", came=came))
        elif self.progress.identity in ("unknown", "prefix"):
            self.progress.identity, self.progress.identity_seen = "full" if subject == user_id else "prefix", user_id

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
        self._notes.violation(
            delivery("malformed", expected="a frame that can be decoded", came=event.text), run, frame, arrival
        )

    def _pong(self, arrival: Arrival) -> None:
        if self.ping_sent_ns is not None:
            self.progress.pongs_ns.append(max(arrival.arrived_ns - self.ping_sent_ns, 0))
            self.ping_sent_ns = None
            self.ponged.set()

    def _end(self, message: Close | Broken | Lost, arrival: Arrival) -> None:
        closed_by = self.closing.by
        if isinstance(message, Lost):
            self.closing = Closing(1006, message.reason, closed_by or "transport", arrival.arrived_ns)
        else:
            self.closing = Closing(message.code, redact(message.reason), closed_by or "peer", arrival.arrived_ns)
        if not isinstance(message, Lost) and message.reason:
            self.look(message.reason.encode(), where="close reason", kind="close", at=arrival)
        if isinstance(message, Close) and message.rest:
            self.look(_uncut(message.rest), where="frames behind the close frame", kind="close", at=arrival)
        if not isinstance(message, Broken) and message.unfinished:
            self.look(_uncut(message.unfinished), where="message that never ended", kind="close", at=arrival)
        if isinstance(message, Broken):
            self.look(_uncut(message.data), where="frame that breaks the protocol", kind="malformed", at=arrival)
            breach = delivery("malformed", expected="frames that follow RFC 6455", came=message.reason)
            self._notes.violation(breach, None, message.data, arrival)
        for event in self._dialect.closed(self.closing.code or 1006) if isinstance(message, Close) else ():
            self._run_event(event, b"", 0, arrival)
        if self._dialect.socket_per == "run" and self.closing.by == "peer" and self._all_ended():
            self.closing.by = "protocol"
        if self.closing.code == 1011:
            came = f"close 1011 {self.closing.reason}".strip()
            self._notes.violation(delivery("close_1011", expected="a connection that stays open", came=came))
        self._unwatch(arrival.arrived_ns)
        self._wake_all()
        if closed_by != "us" and self.progress.ready_ns is not None:
            self._on_lost()

    def _break_off(self, message: HarnessError, arrival: Arrival) -> None:
        """Our receive path failed: runs in progress are cut, so that what was missed is not held against the peer."""
        self.broken = True
        self.closing = Closing(None, "", "us", arrival.arrived_ns)
        self._notes.violation(
            Violation(HARNESS, "harness_error", expected="a working receive path", came=message.reason)
        )
        self._wake_all()
        if self.progress.ready_ns is not None:
            self._on_lost()

    def dropped(self) -> None:
        """We have dropped the transport: nothing more will come."""
        now_ns = clock.now_ns()
        self.closing = Closing(None, "", "us", now_ns)
        self._unwatch(now_ns)
        self._wake_all()

    def _unwatch(self, at_ns: int) -> None:
        """Nobody watches for late events of these runs any more."""
        for run in self._person.runs.values():
            run.unwatched_ns = run.unwatched_ns or at_ns

    def _wake_all(self) -> None:
        """The connection is over: nothing that waits for it shall wait any longer."""
        self.ended.set()
        for run in self._person.runs.values():
            if not run.outcome:
                run.done.set()
        for flag in (self.welcome, self.ponged, self.pinged, self.beaten, *self.acks.values()):
            flag.set()

    def _all_ended(self) -> bool:
        return all(run.check.ended or run.outcome for run in self._person.runs.values())


def _is_told(found: list[Violation]) -> bool:
    return any(violation.is_confirmed_leak for violation in found)


#: the last word of bytes, unless it is as long as a canary
_LAST_WORD = re.compile(rb"(?<![A-Za-z0-9_.@+-])[A-Za-z0-9_.@+-]{1,%d}\Z" % (CANARY_LENGTH - 1))


def _uncut(data: bytes) -> bytes:
    """Bytes that end anywhere, without a word that may be cut short: of one's own name, it may be another's."""
    return _LAST_WORD.sub(b"", data)
