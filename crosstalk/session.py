"""One account's connection with its runs under check: what users and tools call, `open`, `ask` and `close`.

In the way of the data: connection → incoming (dialect → checks) → notes (record rows) and milestones. A session makes
no rule of its own; it knows in which order to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import orjson
from gevent.event import Event as Flag

from crosstalk.accounts import expires_at_s, renew_at_s
from crosstalk.checks.accusation import settled
from crosstalk.checks.exposure import Exposures
from crosstalk.checks.violation import delivery, ours
from crosstalk.clock import clock
from crosstalk.connection import ConnectFailed, Connection, Endpoint, Inbox, OpenTimes
from crosstalk.http import Answer
from crosstalk.incoming import Incoming
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.notes import Closing, Notes, Progress
from crosstalk.person import Person
from crosstalk.shelf import Shelf
from crosstalk.terms import Counters, Sinks, Terms
from crosstalk.wire.dialect import Call, Turn
from crosstalk.wire.event import Event, Kind

#: makes an HTTP call of the dialect's; the second argument is the trace that it belongs to
Caller = Callable[[Call, str], Answer]

#: close codes that refuse a token (1008: policy; 4401, 4403: in the range for applications, after HTTP's)
REFUSALS = frozenset({1008, 4401, 4403})
#: close codes that ask to come again: the service restarts, or is too busy just now
COME_AGAIN = frozenset({1012, 1013})
#: how long a welcome, an ack or a pong may take before the next step is taken without it
PROBE_TIMEOUT_S = 1.5
#: a wait that ends so much later than it should was not fair to the peer; at most so many of them in a row
LATE_NS = 250_000_000
WAITS_MAX = 10
#: how long a run whose end came before some of its events waits for them
STRAGGLERS_S = 0.5
#: a run that has ended is watched for late events at least this long
LATE_WATCH_S = 5.0
#: ended runs whose frames are still at hand, should another user see what belongs to them
RUNS_HELD = 16


class NotReady(Exception):
    """A connection did not become ready. `stage` as in the record; `wrong_identity`: it carries somebody else.

    `said`: what the target said when it turned the connection away, a close code or an HTTP status; 0: nothing.
    """

    def __init__(self, stage: str, reason: str, *, wrong_identity: bool = False, said: int = 0) -> None:
        super().__init__(f"{stage}: {reason}")
        self.said = said
        self.stage = stage
        self.reason = reason
        self.wrong_identity = wrong_identity


class Session:
    """A connection of one person, from its opening to its row in the record."""

    def __init__(
        self, *, terms: Terms, person: Person, token: str, inbox: Inbox, sinks: Sinks, counters: Counters,
        exposures: Exposures, shelf: Shelf, purpose: str = "user", wrong: str = "forged",
    ) -> None:  # fmt: skip
        self._terms = terms
        self._dialect = terms.dialect
        self._person = person
        self._token = token
        self._sinks = sinks
        self._counters = counters
        self._exposures = exposures
        self._shelf = shelf
        self._purpose = purpose
        self._wrong = wrong  # what is wrong with a bad token
        person.connections += 1
        self.name = f"{terms.worker}-{person.name}-c{person.connections}"
        self._trace_id = f"{person.rng.getrandbits(128):032x}"
        self._notes = Notes(
            terms=terms, sinks=sinks, counters=counters, account=person.name, user_class=person.user_class,
            connection=self.name, trace_id=self._trace_id, purpose=purpose,
        )  # fmt: skip
        self._incoming = Incoming(
            dialect=terms.dialect, person=person, notes=self._notes, sinks=sinks, counters=counters,
            exposures=exposures, on_lost=self._lost,
        )  # fmt: skip
        self._connection = Connection(self._endpoint(), inbox, self._incoming.take)
        self._is_open = False  # `open` has come to its end
        self._slowest_ns = 0
        self._early: tuple[LiveRun, str] | None = None  # what is said before the peer is ready

    # --- what users call --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        progress = self._incoming.progress
        return progress.ready_ns is not None and not self._incoming.ended.is_set() and progress.identity != "mismatch"

    @property
    def way_up(self) -> tuple[OpenTimes, Progress]:
        """The instants of the way up, and how far it came."""
        return self._connection.times, self._incoming.progress

    @property
    def heard(self) -> tuple[int, Closing]:
        """How many messages have come in, and how the connection ended, if it has (`at_ns`)."""
        return self._connection.frames_in, self._incoming.closing

    @property
    def watch_s(self) -> float:
        """How long a run is watched for late events after its end, before that counts."""
        return max(LATE_WATCH_S, 2 * self._slowest_ns / 1e9)

    @property
    def connection(self) -> Connection:
        """The socket itself, for those who try what a chat never does; what comes in is `incoming`'s."""
        return self._connection

    @property
    def incoming(self) -> Incoming:
        return self._incoming

    def go_to(self, path: str, *, receive_buffer_bytes: int = 0) -> None:
        """This session's socket is at another path than the dialect's usual one; the path may have a query.

        :param receive_buffer_bytes: what the kernel may hold unread for us; 0: what it thinks right.
        """
        endpoint = self._connection.endpoint
        if path:
            parts, wanted = urlsplit(endpoint.url), urlsplit(path)
            query = "&".join(filter(None, (wanted.query, parts.query)))
            endpoint = replace(endpoint, url=urlunsplit(parts._replace(path=wanted.path, query=query)))
        self._connection.endpoint = replace(endpoint, receive_buffer_bytes=receive_buffer_bytes)

    @property
    def welcome_id(self) -> str:
        """What the server calls this connection; "" when its welcome did not say."""
        return self._incoming.welcome_id

    @property
    def welcome_frame(self) -> bytes:
        """The frame by which the server said that this connection is ready; b"" where the upgrade says it."""
        return self._incoming.welcome_frame

    @property
    def events_in(self) -> int:
        """How many events of runs have come in on this connection."""
        return self._incoming.progress.events_in

    def open(self) -> None:
        """Connect, authenticate, wait until ready, and make sure that the peer means this person.

        :raises NotReady: with the stage that failed; the connection's row has been written.
        """
        try:
            try:
                self._connection.open()
            finally:
                if self._connection.handshake:
                    self._incoming.look(self._connection.handshake, where="answer to the upgrade", kind="header")
        except ConnectFailed as failed:
            self._incoming.progress.stage, self._incoming.progress.error, self._incoming.progress.http_status = (
                failed.stage,
                failed.reason,
                failed.http_status,
            )
            if failed.ours:
                self._fail_here(failed)
            self._fail(failed.stage, failed.reason)
        self._incoming.progress.stage = "authenticate"
        if self._dialect.ready_by == "upgrade":
            self._incoming.set_ready(self._connection.times.upgraded_ns or clock.now_ns())
            self._send_opening()
        else:
            self._send_opening()
            self._wait_for_welcome()
        self._incoming.progress.stage = "open"
        self._prove_identity()
        for _ in range(1 if self._dialect.socket_per == "run" else 3):
            self.ping()
        if not self._connection.is_open:
            self._incoming.ended.wait(PROBE_TIMEOUT_S)  # its end came with the upgrade, and is being delivered
        if self._purpose == "bad_token" and self.is_ready:
            came = "a connection that is ready"
            expected = f"a token is refused that is: {self._wrong}"
            self._notes.violation(delivery("forged_token_accepted", expected=expected, came=came))
        if self._dialect.ready_by == "upgrade" and (why := self._was_never_ready()):
            # the upgrade came before the authentication, or before the server looked whether it can serve anybody
            self._incoming.progress.ready_ns = None
            refused = self._incoming.closing.code in REFUSALS
            self._fail("authenticate" if refused else "ready", why, refused=refused)
        self._is_open = True
        if self._incoming.ended.is_set():
            self._write("ready")

    def _lost(self) -> None:
        """The peer has ended a connection that was ready. One that the upgrade made ready may never have been: that is
        told when `open` has looked."""
        if self._is_open or self._dialect.ready_by != "upgrade":
            self._write("ready")

    def _was_never_ready(self) -> str:
        """Why a socket that the upgrade made ready was not; "" for one that is, or whose run is over already."""
        closing = self._incoming.closing
        at_once = self._incoming.ended.is_set() and closing.by != "us" and self._dialect.socket_per != "run"
        if closing.code in REFUSALS or at_once:
            return f"close {closing.code} {closing.reason}".strip()
        return ""

    def ask(
        self,
        prompt: Prompt,
        thread: Thread,
        *,
        intended_ns: int | None,
        warm_up: bool,
        waited: bool = False,
        cancel_after_s: float | None = None,
        colliding: str = "",
        agent: str = "",
    ) -> LiveRun:
        """Say a prompt and see its run through. The run's row is written before this returns.

        :param intended_ns: when the arrival process wanted this turn; None: now.
        :param waited: its time had passed before its user was free and connected.
        :param cancel_after_s: lose patience then, and cancel the run if it has not ended.
        :param colliding: an id for the run that others use too, on purpose.
        :param agent: who is to answer; "": whoever does by default.
        """
        run, turn = self._person.prepare(
            prompt, thread, self._dialect, intended_ns=intended_ns, warm_up=warm_up, waited=waited, colliding=colliding,
            agent=agent,
        )  # fmt: skip
        return self._see_through(
            run,
            lambda: (
                self._say(run, self._dialect.prompt(turn) or "", begins=True)
                or self._lose_patience(run, cancel_after_s)
            ),
        )

    def ask_over_http(
        self, prompt: Prompt, thread: Thread, call: Caller, *, intended_ns: int | None, warm_up: bool,
        waited: bool = False, agent: str = "",
    ) -> LiveRun:  # fmt: skip
        """A run that is started over HTTP and whose events come on this socket; it has an id once the server tells one.

        :param call: makes an HTTP call of the dialect's with this person's token.
        """
        run, turn = self._person.prepare(
            prompt, thread, self._dialect, intended_ns=intended_ns, warm_up=warm_up, waited=waited, agent=agent,
            named_later=True,
        )  # fmt: skip
        return self._see_through(run, lambda: self._start_over_http(run, turn, call))

    def ask_alone(
        self,
        prompt: Prompt,
        thread: Thread,
        call: Caller,
        *,
        intended_ns: int | None,
        warm_up: bool,
        waited: bool = False,
    ) -> LiveRun:
        """A run with a socket of its own: make it over HTTP, open its socket, see it through, close.

        :param call: makes an HTTP call of the dialect's with this person's token.
        """
        run, turn = self._person.prepare(
            prompt, thread, self._dialect, intended_ns=intended_ns, warm_up=warm_up, waited=waited
        )
        try:
            self._see_through(run, lambda: self._start_alone(run, turn, call))
            if run.check.ended:
                self._incoming.ended.wait(
                    LATE_WATCH_S
                )  # it is for the server to close, and what comes before that is late
            return run
        finally:
            self.close()

    def ask_early(self, prompt: Prompt, thread: Thread, *, warm_up: bool) -> LiveRun:
        """Open, and say a prompt right behind the upgrade, before the peer is ready. See its run through.

        A peer may refuse to hear it then: its run is cut, with its `refusal`.
        """
        run, turn = self._person.prepare(prompt, thread, self._dialect, intended_ns=None, warm_up=warm_up)
        self._early = (run, self._dialect.prompt(turn) or "")
        try:
            return self._see_through(run, lambda: self._open_with(run))
        finally:
            self._early = None

    def _open_with(self, run: LiveRun) -> str:
        return "" if self._turned_away(run) is None else "cut"

    def _turned_away(self, run: LiveRun) -> NotReady | None:
        """Open for a run; why that was not possible, which is the run's refusal too.

        :raises NotReady: the socket is another user's.
        """
        try:
            self.open()
        except NotReady as problem:
            if problem.wrong_identity:
                raise
            run.refusal = str(problem)
            return problem
        return None

    def _see_through(self, run: LiveRun, start: Callable[[], str]) -> LiveRun:
        """Start a run and wait for its end. `start` returns "", or how the run ended before it began."""
        self._counters.runs_started += 1
        ended_by = "cut"
        try:
            run.sent_ns = clock.now_ns()
            known = "" if run.run_id.startswith("?") else run.run_id
            self._person.observer.run_started(run.ordinal, run.thread.first_ordinal, run_id=known, at_ns=run.sent_ns)
            run.intended_ns = run.intended_ns or run.sent_ns
            lag_ns = 0 if run.waited else run.sent_ns - run.intended_ns
            self._counters.schedule_lag_max_ns = max(lag_ns, self._counters.schedule_lag_max_ns)
            ended_by = start() or self._await_end(run)
            if ended_by == "lost" and self._was_put_off(run):
                ended_by = "refused"
        finally:
            # a user that is stopped in mid-run is killed in the wait above: the run is cut, and still recorded
            self._conclude(run, ended_by)
            self._person.observer.run_over(run.ordinal)
        return run

    def _say(self, run: LiveRun, frame: str, *, begins: bool = False) -> str:
        """Send a frame of a run; `begins`: it is what the run's times count from."""
        if not frame:
            return ""
        try:
            run.keep_frame("out", "prompt", arrived_ns=run.sent_ns, received_ns=run.sent_ns, body=frame.encode())
            written_ns = self._connection.send(frame)
        except OSError:
            return "cut" if self._incoming.broken else "lost"
        if begins:  # what was done up to here is none of the target's time
            run.intended_ns = written_ns if run.intended_ns == run.sent_ns else run.intended_ns
            run.sent_ns = written_ns
        return ""

    def _lose_patience(self, run: LiveRun, after_s: float | None) -> str:
        """Cancel a run that is still going on after so long; its end is awaited like any other."""
        return "" if after_s is None or run.done.wait(after_s) else self.cancel(run)

    def cancel(self, run: LiveRun) -> str:
        """Ask for the end of a run in progress; "", or how the run ended by that.

        Nothing is asked where the protocol has no word for it, or the run's id is not known yet.
        """
        frame = None if run.run_id.startswith("?") else self._dialect.cancel(run.run_id)
        if frame is None:
            return ""
        run.cancelled_ns = clock.now_ns()
        self._person.observer.abandoned(run.ordinal, at_ns=clock.now_ns())
        return self._say(run, frame)

    def _start_over_http(self, run: LiveRun, turn: Turn, call: Caller) -> str:
        wanted = self._dialect.start_over_http(turn)
        if wanted is None:
            raise ValueError(f"dialect {self._dialect.name} starts no runs over HTTP")
        answer = self._ask_for(run, wanted, call)
        if run.refusal:
            return "refused" if answer.status else "lost"
        told = self._dialect.started(answer.body).run_id
        if told and run.run_id.startswith("?"):  # else its first event has told it
            self._person.learn(run, told)
        elif told and told != run.run_id:
            run.refusal = f"{wanted.method} {wanted.path}: run {told}, and its events are of run {run.run_id}"
            return "refused"
        return ""

    def _ask_for(self, run: LiveRun, wanted: Call, call: Caller) -> Answer:
        """Make the call that makes a run. Where nothing of use came back, the run's refusal says why."""
        body = orjson.dumps(wanted.json or {})
        run.keep_frame("out", "prompt", arrived_ns=run.sent_ns, received_ns=run.sent_ns, body=body)
        answer = call(wanted, run.trace_id)
        if answer.error or not isinstance(answer.body, dict):
            run.refusal = f"{wanted.method} {wanted.path}: {answer.error or 'no JSON object came back'}"
        return answer

    def _start_alone(self, run: LiveRun, turn: Turn, call: Caller) -> str:
        wanted = self._dialect.create(turn)
        if wanted is not None:
            answer = self._ask_for(run, wanted, call)
            if run.refusal:
                return "refused" if answer.status else "lost"
            place = self._dialect.created(answer.body)
            run.thread.thread_id = run.thread.thread_id or place.thread_id
            self.go_to(place.socket_path)
            if place.run_id:
                self._person.learn(run, place.run_id)
        if (problem := self._turned_away(run)) is not None:
            return "refused" if problem.stage in ("upgrade", "authenticate") else "lost"
        return self._say(run, self._dialect.prompt(turn) or "")

    def ping(self) -> bool:
        """One round trip on this socket; False when no answer came in time."""
        frame = self._dialect.ping(clock.now_ns() / 1e9)
        self._incoming.ponged.clear()
        try:
            if frame is None:
                self._incoming.ping_sent_ns = self._connection.ping(b"crosstalk")
            else:
                self._incoming.ping_sent_ns = clock.now_ns()
                self._connection.send(frame)
        except OSError:
            return False
        return self._wait_for(self._incoming.ponged, PROBE_TIMEOUT_S) and not self._incoming.ended.is_set()

    def answers(self) -> bool:
        """Does the peer still answer here? By a probe, or where the protocol has none by a ping."""
        name = f"here-{self._person.rng.getrandbits(40):010x}"
        frame = self._dialect.probe(name)
        if frame is None or not self.is_ready:
            return self.is_ready and self.ping()
        self._incoming.acks[name] = flag = Flag()
        try:
            self._connection.send(frame)
            return self._wait_for(flag, PROBE_TIMEOUT_S) and self.is_ready
        except OSError:
            return False
        finally:
            del self._incoming.acks[name]

    def exchange(self, frame: str | bytes, *, asked_for: int = 0) -> list[tuple[Event, bytes]]:
        """Send a frame and collect every event that comes before the answer to a ping sent right behind it.

        A server that answers in order has then said all that it says at once. Empty when the socket has ended.

        :param asked_for: the channel on which this asks for what is another's; what comes of that is named after it.
        """
        if not self.is_ready:
            return []
        heard: list[tuple[Event, bytes]] = []
        self._incoming.listeners.append(heard)
        self._incoming.asked_for = asked_for
        try:
            if isinstance(frame, bytes):
                self._connection.send_binary(frame)
            else:
                self._connection.send(frame)
            self.ping()
        except OSError:
            pass  # its end is being delivered
        finally:
            self._incoming.asked_for = 0
            self._incoming.listeners[:] = [one for one in self._incoming.listeners if one is not heard]
        return heard

    @property
    def expires_s(self) -> float:
        """When the newest token shown here expires, in unix seconds; infinity where it does not say."""
        return expires_at_s(self._token)

    @property
    def renew_at_s(self) -> float:
        """From when on a fresh token should be shown, in unix seconds."""
        return renew_at_s(self._token)

    def renew(self, token: str) -> bool:
        """Show a fresh token of the same person on this socket, also in mid-run; was it taken?

        What the token before it was good for, this one is from then on: its expiry excuses nothing any more.
        """
        frame = self._dialect.authenticate_again(token)
        if frame is None or not self.is_ready:
            return False
        heard = [event for event, _ in self.exchange(frame)]
        taken = any(event.kind is Kind.ACK and event.user_id in ("", self._person.name) for event in heard)
        taken = taken and self.is_ready and not any(event.kind is Kind.REJECTED for event in heard)
        if taken:
            self._token = token
        return taken

    def listen(self, into: list[tuple[Event, bytes]] | None = None) -> list[tuple[Event, bytes]]:
        """Every event that comes from here on, until `hush`: the list grows. `into`: a list to put them in."""
        heard: list[tuple[Event, bytes]] = [] if into is None else into
        self._incoming.listeners.append(heard)
        return heard

    def hush(self) -> None:
        """Nobody listens any more."""
        self._incoming.listeners.clear()

    def may_be(self, name: str) -> None:
        """Another's token is about to be shown here: the socket may bear that name from now on."""
        self._incoming.other_name = name
        self._person.observer.sends(name)

    def pause_reading(self) -> None:
        """Leave what comes in the kernel's buffers. How long it lies there says nothing of the generator."""
        self._connection.pause()

    def resume_reading(self) -> None:
        self._connection.resume()

    def reset(self) -> None:
        """Drop the transport without a word, as a phone in a tunnel does. Runs in progress are abandoned."""
        self._incoming.closing.by = "us"
        for run in self._person.runs.values():
            if not run.outcome:
                run.dropped = True
                self._person.observer.abandoned(run.ordinal, at_ns=clock.now_ns())
        self._connection.reset()
        self._incoming.dropped()
        self._incoming.search_besides()
        self._write("ready" if self._incoming.progress.ready_ns else "cut")

    def keep(self, wanted_run: str, why: str) -> bool:
        """Put the frames of a run into the record, if they are still at hand."""
        run = self._person.runs.get(wanted_run)
        if run is None:
            return False
        self._notes.frames(run, why)
        return True

    def close(self) -> None:
        """Say goodbye and write the connection's row."""
        if not self._incoming.ended.is_set():
            self._incoming.closing.by = self._incoming.closing.by or "us"
        self._connection.close()
        self._incoming.search_besides()
        self._watch_over(final=True)
        self._write("ready" if self._incoming.progress.ready_ns else "cut")

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
        return Endpoint(url, headers, subprotocols, terms.tls, terms.connect_timeout_s, terms.proxy)

    def _send_opening(self) -> None:
        try:
            for frame in self._dialect.opening(self._token if self._terms.transport == "message" else ""):
                self._connection.send(frame)
        except OSError:
            pass  # its end is being delivered
        if self._early is not None:
            self._say(*self._early, begins=True)

    def _wait_for_welcome(self) -> None:
        self._wait_for(self._incoming.welcome, self._terms.connect_timeout_s)
        if self._incoming.rejection:
            self._fail("authenticate", self._incoming.rejection, refused=True)
        if self._incoming.progress.ready_ns is None:
            code, reason = self._incoming.closing.code, self._incoming.closing.reason
            came = f"close {code} {reason}".strip() if code else f"nothing within {self._terms.connect_timeout_s:g} s"
            came = "an error of our own" if self._incoming.broken else came
            self._fail("ready", f"expected a welcome, got {came}", refused=code == 1008)

    def _wait_for(self, flag: Flag, timeout_s: float) -> bool:
        """Wait for something that the peer says; whether it did.

        A busy process is woken late, and has not read then what came meanwhile: that was no wait, and it begins anew.
        """
        for _ in range(WAITS_MAX):
            due_ns = clock.now_ns() + int(timeout_s * 1e9)
            if not flag.wait(timeout_s):
                self._connection.catch_up()
            if flag.is_set() or clock.now_ns() - due_ns < LATE_NS:
                break
        return bool(flag.is_set())

    def _prove_identity(self) -> None:
        """Does the peer mean this person? The welcome may say so in part; the answer to a probe says it in full.

        The first probe goes out at once: a server that is not ready when it says so loses it, and answers the second.
        """
        frames = [self._dialect.probe(f"probe-{n}-{self._trace_id[:8]}") for n in (1, 2)]
        answered = []
        for n, frame in enumerate(frames, 1):
            if frame is None or self._incoming.ended.is_set():
                break
            self._incoming.acks[f"probe-{n}-{self._trace_id[:8]}"] = flag = Flag()
            try:
                self._connection.send(frame)
            except OSError:
                break
            if self._wait_for(flag, PROBE_TIMEOUT_S) and not self._incoming.ended.is_set():
                answered.append(n)
                break
        if self._incoming.progress.identity == "mismatch":
            self._fail(
                "ready",
                f"the socket carries {self._incoming.progress.identity_seen!r}, not {self._person.name!r}",
                wrong_identity=True,
            )
        if answered == [2] and not self._incoming.acks[f"probe-1-{self._trace_id[:8]}"].is_set():
            came = (
                f"the first frame after the welcome was lost; the same frame {PROBE_TIMEOUT_S:g} s later was answered"
            )
            self._notes.violation(
                delivery("lost_before_ready", expected="an answer to every frame after the welcome", came=came)
            )

    def _fail(self, stage: str, reason: str, *, refused: bool = False, wrong_identity: bool = False) -> None:
        self._incoming.search_besides()
        self._incoming.progress.stage, self._incoming.progress.error = stage, reason
        if self._connection.is_open:
            self._incoming.closing.by = self._incoming.closing.by or "us"
            self._connection.close(timeout_s=0.5)
        refused = refused or self._incoming.progress.http_status in (401, 403)
        outcome = "ready" if wrong_identity else "refused" if refused else "cut" if self._incoming.broken else "failed"
        self._write(outcome)
        said = (
            self._incoming.closing.code if self._incoming.closing.by == "peer" else self._incoming.progress.http_status
        )
        raise NotReady(stage, reason, wrong_identity=wrong_identity, said=said or 0)

    def _fail_here(self, failed: ConnectFailed) -> NoReturn:
        """It is our fault: its row tells of no error, so that this attempt is nobody's but ours."""
        self._notes.violation(ours(failed.ours, failed.reason))
        self._incoming.closing.by, self._incoming.progress.error = "us", ""
        self._write("cut")
        raise NotReady(failed.stage, failed.reason)

    # --- a turn -----------------------------------------------------------------------------------------------------

    def _await_end(self, run: LiveRun) -> str:
        """Wait for the run's end, and say what ended the wait."""
        run.done.wait(self._terms.agent_timeout_s)
        if not self._is_done_in_time(run):
            # a busy process looks late: with the pong, all that came before it has been taken
            answered = self.ping()
            if not self._is_done_in_time(run):
                return "timeout" if answered else "lost"
        if self._incoming.broken or (self._incoming.closing.by == "us" and not run.check.ended):
            return "cut"
        if self._lapsed() and not run.check.ended:
            return "cut"
        if run.refusal:
            return "refused" if self._early is None else "cut"
        if not run.check.ended:
            return "lost"
        deadline_ns = clock.now_ns() + int(STRAGGLERS_S * 1e9)
        while run.check.missing() and (left_ns := deadline_ns - clock.now_ns()) > 0:
            run.moved.clear()
            run.moved.wait(left_ns / 1e9)
        return "end"

    def _was_put_off(self, run: LiveRun) -> bool:
        """Did the prompt meet a goodbye that asks to come again (1012, 1013), before anything had come of it?

        Then it was not taken, and the target has said so: its run is refused, not lost.
        """
        if not self._connection.is_open:  # its end was read; it may still be on its way to us
            self._incoming.ended.wait(PROBE_TIMEOUT_S)
        closing = self._incoming.closing
        if run.events or closing.by != "peer" or closing.code not in COME_AGAIN:
            return False
        run.refusal = f"close {closing.code} {closing.reason}".strip()
        return True

    def _is_done_in_time(self, run: LiveRun) -> bool:
        """Is there nothing to wait for any more? What counts is when the end arrived, not when this user was woken."""
        end_ns = run.check.times.end_ns
        return run.done.is_set() and (end_ns is None or end_ns - run.sent_ns <= self._terms.agent_timeout_s * 1e9)

    def _lapsed(self) -> bool:
        """Has the peer ended a socket whose token had expired? It may: no run can be held against it then."""
        if not self._incoming.ended.is_set() or self._incoming.closing.by != "peer":
            return False
        return expires_at_s(self._token) * 1e9 < clock.now_ns()

    def _conclude(self, run: LiveRun, ended_by: str) -> None:
        self._search(run)
        if ended_by in ("end", "timeout"):
            for violation in run.check.conclude():
                self._notes.violation(violation, run)
        run.decide(
            ended_by=ended_by,
            peer=self._connection.peer,
            probe_time_min_ns=min(self._incoming.progress.pongs_ns, default=None),
            nonce_required=self._terms.nonce_required,
        )
        if "not_real" in run.violated:
            self._notes.violation(delivery("not_real", expected="proof that the run happened", came=run.signature), run)
        times = run.check.times
        self._account_for(run)
        if run.check.end_kind is Kind.COMPLETED:
            self._slowest_ns = max(self._slowest_ns, (times.end_ns or 0) - run.sent_ns)
        if run.outcome not in ("ok", "cut"):
            self._notes.frames(run, "failure")
        if (run.ordinal + self._person.number) % 25 == 2:  # not the same turn of everybody
            self._notes.frames(run, "sample")
        self._sinks.record("runs", run.as_row(self._notes.who))
        end_ns = times.end_ns or clock.now_ns()
        error = "" if run.outcome in ("ok", "cut") else f"{run.outcome}: {run.signature}"
        if run.outcome != "cut":
            time_ms = (end_ns - run.intended_ns) / 1e6
            self._sinks.milestone("RUN", run.prompt.family, time_ms, run.bytes_in, error)
        self._incoming.last_run = run
        self._shelf.put(run, self._let_go)
        self._watch_over()

    def _search(self, run: LiveRun) -> None:
        """Name what was withheld, then search what was received once more: decoded, and joined."""
        if run.withheld:
            self._name_withheld(run)
        frames, texts = run.take_transcript()
        self._exposures.observe(22, own_live=self._person.observer.runs_live)
        self._exposures.skip(22, run.not_searched_bytes)
        for parts, joined in ((frames, False), (texts, True)):
            if not parts:
                continue
            for violation, frame in self._incoming.searched(parts, run.place_before_end, seen=run.seen, joined=joined):
                if violation.gist not in run.said:
                    self._notes.violation(violation, run, frame)

    def _name_withheld(self, run: LiveRun) -> None:
        """Sightings whose channel can be told now that the run is over."""
        answer = "".join(run.check.text) + run.check.final_text
        nonce_back = run.nonce.decode() in answer.lower()
        for kept in run.withheld:
            violation = settled(
                kept.violation, equal_prompt=run.prompt.reference == "context", nonce_back=nonce_back,
                chunk=kept.chunk, streamed=run.check.text, final_text=run.check.final_text,
            )  # fmt: skip
            self._notes.violation(violation, run, kept.frame, kept.arrival)
        run.withheld.clear()

    def _account_for(self, run: LiveRun) -> None:
        """What this run was a chance to see, and whether what is its own came back."""
        observer, exposures, counts = self._person.observer, self._exposures, run.check.counts
        own_live = observer.runs_live
        completed = run.check.end_kind is Kind.COMPLETED
        back = int(run.nonce in run.seen)
        channels = [2, 22]
        if counts.chunks:
            exposures.observe(5, own_live=own_live)
            channels.append(5)
        if counts.tools_ok:
            channels.append(4)
        if run.prompt.reference == "context":
            exposures.observe(10, own_live=own_live)
            channels.append(10)
        if run.prompt.probe:
            exposures.observe(run.prompt.probe, own_live=own_live)
            channels.append(run.prompt.probe)
        end_ns = run.check.times.end_ns or clock.now_ns()
        if exposures.abandoned_by_others(observer.number, before_ns=run.sent_ns, after_ns=end_ns):
            exposures.observe(18, own_live=own_live)
            channels.append(18)
        for channel in observer.beside(run.ordinal, run.thread.first_ordinal):
            exposures.chance(channel)
            channels.append(channel)
        if completed:
            for channel in channels:
                seen = run.tools_repeat_it if channel == 4 else back
                if channel == 22:
                    seen = seen and observer.finds_in_disguise(run.ordinal)
                exposures.control(channel, expected=1, seen=int(seen))

    def _watch_over(self, *, final: bool = False) -> None:
        """Let go of runs that were watched long enough after their end.

        Runs are held in the order of their beginning: one behind another that is still watched has ended later, or not
        much sooner. To ask each of them at the end of each run would cost more than the runs.
        """
        runs = self._person.runs
        surplus = len(runs) - (0 if final else RUNS_HELD)
        for run in list(runs.values()) if surplus > 0 else ():
            if self._let_go(run):
                surplus -= 1
            elif run.outcome and not final:
                break
            if surplus <= 0:
                break

    def _let_go(self, run: LiveRun) -> bool:
        """Forget a run of this person's, unless it is to be watched for late events (channel 17); is it forgotten?"""
        runs = self._person.runs
        if runs.get(run.run_id) is not run:
            return True
        end_ns, now_ns, window_ns = run.check.times.end_ns, clock.now_ns(), int(self.watch_s * 1e9)
        watched = end_ns is not None and run.unwatched_ns is None
        if not run.outcome or (end_ns and watched and now_ns - end_ns < window_ns):
            return False
        if end_ns and (run.unwatched_ns or now_ns) - end_ns >= window_ns:
            self._exposures.observe(17, own_live=self._person.observer.runs_live)
            self._exposures.control(17, expected=1, seen=1)
        del runs[run.run_id]
        self._shelf.remove(run)
        return True

    def _write(self, outcome: str) -> None:
        self._notes.connection(outcome, self._connection, self._incoming.progress, self._incoming.closing)
