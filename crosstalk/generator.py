"""What one worker process of a load test holds: its people, their sessions, its counters, and the way to the record.

A local runner is a worker and its own master at once. Users reach it as `environment.crosstalk`.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gevent
from gevent.event import Event as Flag
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool

from crosstalk.accounts import Mint, Purse, forged, renew_at_s, roster
from crosstalk.checks.canary import Keyring
from crosstalk.checks.deep import Deep
from crosstalk.checks.exposure import Exposures
from crosstalk.checks.isolation import Observer
from crosstalk.checks.pieces import Pieces
from crosstalk.checks.violation import ours
from crosstalk.clock import clock
from crosstalk.config import Account, ConfigError, Settings, addresses, signing_key, tls_context
from crosstalk.connection import NO_DESCRIPTOR, Inbox
from crosstalk.environments import CLAIMS
from crosstalk.garbage import Garbage
from crosstalk.gathering import Gathering
from crosstalk.health import Health
from crosstalk.http import Answer, HttpClient, text_at
from crosstalk.leftovers import Leftovers
from crosstalk.live_run import Thread
from crosstalk.memory import MemoryTrace
from crosstalk.notes import Notes
from crosstalk.options import TRANSPORTS
from crosstalk.pacing import Pacing
from crosstalk.person import Person
from crosstalk.record.batch import Outbox, row, spill_name
from crosstalk.record.rows import Row
from crosstalk.session import NotReady, Session
from crosstalk.shelf import Shelf
from crosstalk.terms import Counters, Sinks, Terms
from crosstalk.vitals import no_descriptor_left
from crosstalk.wire.dialect import Call, Turn
from crosstalk.wire.event import Event
from crosstalk.wire.redact import redact

logger = logging.getLogger("crosstalk")

#: texts, and what is decoded of them, that one deep search looks at
DEEP_BYTES_MAX = 8 * 1024 * 1024
#: connections that are closed at a time when all users stop: each is searched once more, and stops others meanwhile
CLOSES_AT_ONCE = 32
#: rows wait at most this long before they are handed over
FLUSH_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Begin:
    """What a worker must know of a load test that its options do not say. Travels as a message, never as an option."""

    load_test: int
    canary_secret: bytes
    target: str
    token_secret: str  # of the reference backend that was started for this load test; "" otherwise
    nonce_required: bool
    seed: int
    users: int = 0  # of all processes; 0: nobody has said

    def as_message(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Generator:
    """One process's part of a load test.

    :param worker: its name in the record.
    :param fire_request: Locust's `request` event.
    :param send: hands a numbered batch to the master.
    :param ask: asks the master for a lease of account numbers.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        begin: Begin,
        worker: str,
        role: str,
        fire_request: Callable[..., None],
        send: Callable[[int, bytes], None],
        ask: Callable[[int], None],
    ) -> None:
        self.settings = settings
        self.begin = begin
        self.worker = worker
        self.warm_up = True
        self.stopping = Flag()
        self._garbage = Garbage()
        self._garbage.begin()
        self.purse = Purse(ask)
        self.outbox = Outbox(worker, send, settings.results / spill_name(begin.load_test, worker))
        self._sinks = Sinks(self.record, self.milestone, self.outbox.events)
        self.counters = Counters()
        self.exposures = Exposures()
        self.pacing = Pacing(
            settings.arrivals, turn_interval_s=settings.turn_interval_s, session_rate=settings.session_rate,
            users=begin.users, seed=begin.seed, worker=worker,
        )  # fmt: skip
        self.addresses = addresses(settings.environment.places, begin.target, settings.dialect)
        rng = random.Random(f"{begin.seed} http {worker}")
        self.http = HttpClient(self.addresses.rest, headers=settings.headers, route=settings.route, rng=rng)
        self.auth = HttpClient(self.addresses.auth, headers=settings.headers, route=settings.route, rng=rng)
        self._fire_request = fire_request
        self._inbox = Inbox()
        self._shelf = Shelf()
        self._leftovers = Leftovers()
        self._exits = BoundedSemaphore(CLOSES_AT_ONCE)
        self._keyring = Keyring(begin.canary_secret, begin.load_test)
        self._pieces = Pieces()
        self._roster = roster(begin.load_test, settings.accounts)
        self._deep = Deep(self._keyring, self._pieces, names_in=self._roster.names_in, budget_bytes=DEEP_BYTES_MAX)
        self._mint = self._make_mint()
        self._tokens: dict[int, str] = {}
        self._refreshes: dict[int, str] = {}
        self._sessions: dict[str, Session] = {}
        self._pens: dict[int, Notes] = {}
        self._gatherings: dict[str, Gathering] = {}
        self._persons: dict[int, Person] = {}
        self._here: set[int] = set()
        self._connections_before: dict[int, int] = {}  # of accounts that were used by the checks: names go on
        self._placed: set[int] = set()  # numbers of those who hold one of the `max_connections` places
        self._places = BoundedSemaphore(settings.max_connections) if settings.max_connections else None
        self._terms = Terms(
            dialect=settings.dialect,
            socket_url=self.addresses.socket,
            transport=settings.transport,
            headers=settings.headers,
            tls=self._tls_context() if self.addresses.socket.startswith("wss") else None,
            connect_timeout_s=settings.environment.connect_timeout_s,
            agent_timeout_s=settings.environment.run_timeout_s,
            nonce_required=begin.nonce_required,
            keep_text=settings.keep_text,
            worker=worker,
            proxy=settings.route.proxy,
        )
        self._health = Health(
            worker=worker,
            role=role,
            inbox=self._inbox,
            counters=self.counters,
            people=lambda: (len(self._here), sum(session.is_ready for session in self._sessions.values())),
            record=self.record,
        )
        self._memory = None
        if settings.memory_trace_s and role != "master":  # a master's heap is the record's
            self._memory = MemoryTrace(worker=worker, every_s=settings.memory_trace_s, record=self.record)
        self._flusher = gevent.spawn(self._flush_for_ever)

    # --- for users --------------------------------------------------------------------------------------------------

    def person(self, user_class: str, number: int | None = None, *, fresh: bool = False) -> Person:
        """Somebody nobody else is. An account that was used before comes back as the same person.

        :param fresh: only an account that nobody of this load test has used.
        :raises ConfigError: there are fewer accounts than users.
        """
        if number is None:
            highest = self.settings.environment.max_users
            if highest and len(self._here) >= highest:
                raise ConfigError(
                    f"no more than {highest} users: max_users of environment {self.settings.environment.name}"
                )
            number = self.purse.take(fresh=fresh)
        known = self._persons.get(number)
        if known is None:
            known = self._new_person(user_class, number)
        known.user_class = user_class
        self._persons[number] = known
        self._here.add(number)
        return known

    def ramp_over(self) -> None:
        """All users are there: times of runs that start from now on are judged."""
        self._garbage.ramp_over()
        self.warm_up = False
        self.pacing.ramp_over()

    def session(
        self, person: Person, *, purpose: str = "user", transport: str = "", token: str = "", wrong: str = "forged"
    ) -> Session:
        """A connection for this person, not yet open.

        :param purpose: "user"; "preflight"; "probe": to be thrown away, its end is nobody's fault; "bad_token": must be
            refused.
        :param transport: how its token travels, if not as the settings say.
        :param token: another token than the person's own; for a bad one, `wrong` says what is wrong with it.
        :raises ConfigError: there is no token for it.
        """
        if not token:
            token = forged(self.token(person)) if purpose == "bad_token" else self.token(person)
        session = Session(
            terms=replace(self._terms, transport=transport) if transport else self._terms,
            person=person,
            token=token,
            inbox=self._inbox,
            sinks=self._sinks,
            counters=self.counters,
            exposures=self.exposures,
            shelf=self._shelf,
            purpose=purpose,
            wrong=wrong,
        )
        if purpose not in ("bad_token", "probe"):
            self._sessions[person.name] = session
        return session

    def connect(
        self, person: Person, socket_path: str = "", *, transport: str = "", token: str = "",
        heard: list[tuple[Event, bytes]] | None = None, receive_buffer_bytes: int = 0,
    ) -> Session:  # fmt: skip
        """A session that is ready.

        :param socket_path: where its socket is, if not at the dialect's usual path.
        :param transport: how its token travels, if not as the settings say.
        :param token: another token than the one at hand.
        :param heard: gets every event of it from the first one on, as of `Session.listen`.
        :param receive_buffer_bytes: what the kernel may hold unread for us; 0: what it thinks right.
        :raises NotReady: it did not become ready.
        """
        self._take_place(person)
        begun_ns = clock.now_ns()
        session = None
        try:
            session = self.session(person, transport=transport, token=token)
            session.go_to(socket_path, receive_buffer_bytes=receive_buffer_bytes)
            if heard is not None:
                session.listen(heard)
            session.open()
        except NotReady as problem:
            self.disconnected(person)
            if session is None:  # refused before there was a socket: at the sign-in
                self.unreached(person, problem, begun_ns)
            self.milestone("CONNECT", problem.stage, (clock.now_ns() - begun_ns) / 1e6, 0, redact(problem.reason))
            raise
        self.milestone("CONNECT", "ready", (clock.now_ns() - begun_ns) / 1e6, 0, "")
        return session

    def unreached(self, person: Person, problem: NotReady, begun_ns: int) -> None:
        """An attempt to connect that never came to a socket leaves its row all the same: it is not accepted."""
        refused = problem.stage == "authenticate"
        cut = no_descriptor_left()
        if cut:
            self.notes(person).violation(ours("no_socket", NO_DESCRIPTOR))
        nothing: dict[str, Any] = dict.fromkeys(
            ("connected_ns", "upgraded_ns", "ready_ns", "http_status", "close_code", "probe_time_min_ns",
             "probe_time_median_ns")
        )  # fmt: skip
        empty: dict[str, Any] = dict.fromkeys(("peer", "trace_id", "close_reason", "identity_seen"), "")
        person.connections += 1
        self.record("connections", row(
            "connections",
            **nothing,
            **empty,
            **dict.fromkeys(("bytes_in", "bytes_out", "frames_in", "frames_out", "events_in"), 0),
            worker=self.worker,
            connection=f"{self.worker}-{person.name}-c{person.connections}",
            purpose="user",
            account=person.name,
            user_class=person.user_class,
            url=self._terms.socket_url.partition("?")[0],
            transport=self._terms.transport,
            begun_ns=begun_ns,
            ended_ns=clock.now_ns(),
            outcome="cut" if cut else "refused" if refused else "failed",
            stage=problem.stage,
            closed_by="us" if cut else "",
            error="" if cut else redact(problem.reason),
            identity="unknown",
        ))  # fmt: skip

    def _take_place(self, person: Person) -> None:
        """With `--max-connections`: wait until there is room, or the load test ends."""
        if self._places is None or person.number in self._placed:
            return
        while not self._places.acquire(timeout=0.5):
            if self.stopping.is_set():
                raise NotReady("connect", "the load test ended before there was room")
        self._placed.add(person.number)

    def make_place(self, person: Person) -> str:
        """The path of a socket for this person that nobody uses yet; "" where all sockets have one path.

        :raises NotReady: the target did not make it.
        """
        dialect = self.settings.dialect
        if dialect.socket_per == "user":
            return ""
        thread = person.new_thread(ids_from=dialect.ids_from)
        self.create_thread(person, thread, text="Are you there?")
        return thread.socket_path

    def create_thread(self, person: Person, thread: Thread, *, text: str = "") -> None:
        """Make a thread that has a socket of its own; fills in its id and its socket's path.

        :raises NotReady: the target did not make it.
        """
        turn = Turn(text, person.name, thread.thread_id, "", "")
        wanted = self.settings.dialect.create(turn)
        if wanted is None:
            return
        answer = self.call(person, wanted)
        if answer.error or not isinstance(answer.body, dict):
            why = answer.error or "no JSON object came back"
            raise NotReady("connect" if not answer.status else "ready", f"{wanted.method} {wanted.path}: {why}")
        place = self.settings.dialect.created(answer.body)
        thread.thread_id, thread.socket_path = place.thread_id or thread.thread_id, place.socket_path
        if place.thread_id and not person.observer.own_id(place.thread_id):
            raise NotReady("ready", f"the target gave thread {place.thread_id} to two accounts", wrong_identity=True)

    def call(
        self, person: Person, wanted: Call, trace_id: str = "", *, name: str = "", fine: tuple[int, ...] = (),
        timeout_s: float = 10.0, token: str = "",
    ) -> Answer:  # fmt: skip
        """An HTTP call of the dialect's in a person's name. What belongs to others in its answer is a violation.

        :param name: what Locust's table calls it; by default method and first part of the path.
        :param fine: statuses from 400 up that are a right answer.
        :param token: to be shown in place of the person's own.
        """
        name = name or f"{wanted.method} {wanted.path.split('/')[1]}"
        answer = self.http.call(
            wanted.method, wanted.path, token=token or self.token(person), json=wanted.json, trace_id=trace_id,
            timeout_s=timeout_s,
        )  # fmt: skip
        error = "" if answer.status in fine else answer.error
        self.milestone("HTTP", name, answer.time_ms, answer.size_bytes, error)
        self.look(person, answer, where=f"answer to {wanted.method} {template_of(wanted.path)}", trace_id=trace_id)
        return answer

    def look(self, person: Person, answer: Answer, *, where: str, trace_id: str = "") -> None:
        """Look at the headers and the body of an HTTP answer for what belongs to others."""
        lines = [answer.reason, *(f"{name}: {value}" for name, value in answer.headers.items())]
        head = "\n".join(lines).encode()
        for part, data in (("headers", head), ("body", answer.raw)):
            for violation in person.observer.look(data, where=f"{part} of the {where}", kind="http") if data else ():
                self.notes(person, trace_id).violation(violation, None, data)

    def notes(self, person: Person, trace_id: str = "") -> Notes:
        """The pen for what a person saw on no connection."""
        if person.number not in self._pens:
            self._pens[person.number] = Notes(
                terms=self._terms, sinks=self._sinks, counters=self.counters,
                account=person.name, user_class=person.user_class, connection=f"{self.worker}-{person.name}-http",
                trace_id="", purpose="user",
            )  # fmt: skip
        self._pens[person.number].trace_id = trace_id
        return self._pens[person.number]

    def close(self, session: Session) -> None:
        """Close a user's session; a few at a time when all users stop at once."""
        if not self.stopping.is_set():
            session.close()
            return
        with self._exits:
            session.close()

    def disconnected(self, person: Person) -> None:
        """This person's session is over."""
        self._sessions.pop(person.name, None)
        if self._places is not None and person.number in self._placed:
            self._placed.discard(person.number)
            self._places.release()

    def leave(self, person: Person) -> None:
        """The user is gone; its account may be used again."""
        self.disconnected(person)
        self._here.discard(person.number)
        self.purse.give_back(person.number)

    def leave_for_good(self, person: Person) -> None:
        """The user is gone, and its account is not for other users."""
        self.disconnected(person)
        self._here.discard(person.number)
        self._persons.pop(person.number, None)
        self.forget_token(person)
        self._connections_before[person.number] = person.connections

    def token(self, person: Person) -> str:
        """An access token with enough life left: the one at hand, minted, or from the login.

        :raises ConfigError: there is no way to get one.
        """
        at_hand = self._tokens.get(person.number, "")
        if at_hand and clock.now_ns() / 1e9 < renew_at_s(at_hand):
            return at_hand
        self._tokens[person.number] = self._new_token(person)
        return self._tokens[person.number]

    def hold_token(self, person: Person, token: str) -> None:
        """This person signed in by itself: that is its token from now on."""
        self._tokens[person.number] = token

    def forget_token(self, person: Person) -> None:
        """The token at hand is not worth anything any more: the next one is new."""
        self._tokens.pop(person.number, None)

    @property
    def mint(self) -> Mint | None:
        """What makes tokens here; None where accounts bring their own."""
        return self._mint

    def spare_token(self, person: Person) -> str:
        """A good token beside the one at hand, to be used up; "" where there can be none.

        :raises NotReady: its login was refused.
        """
        if self._mint is not None:
            return self._mint.token(person.name)
        accounts = self.settings.accounts
        if not accounts or not accounts[person.number].password:
            return ""
        self._refreshes.pop(person.number, None)
        return self._sign_in(person)

    def refresh(self, person: Person) -> str:
        """A token of a new sign-in, or of a refresh where there was a sign-in before.

        :raises NotReady: it was refused.
        """
        return self._sign_in(person)

    def gathering(self, name: str, size: int) -> Gathering:
        """The place of this name where users of this process wait for each other."""
        return self._gatherings.setdefault(name, Gathering(size))

    @property
    def token_checks(self) -> tuple[str, ...]:
        """Claims of a token that the target checks: all, where it is a reference backend of this load test's own."""
        if self.begin.token_secret:
            return CLAIMS
        said = self.settings.environment.token.checks
        return tuple(said) if said is not None else self.settings.dialect.token_checks

    @property
    def transports(self) -> tuple[str, ...]:
        """Ways by which a token may travel to the target's sockets."""
        if self.begin.token_secret:
            return TRANSPORTS
        return tuple(way for way in TRANSPORTS if way in (self._terms.transport, *self.settings.dialect.transports))

    def delete_thread(self, person: Person, thread_id: str) -> None:
        """Leave nothing behind on the target, unless that is what is wanted."""
        call = self.settings.dialect.delete_thread(thread_id)
        if call is None or not self.settings.cleanup:
            return
        # a thread in which no run was ever accepted is not there
        delete = partial(self.call, person, call, name="delete thread", fine=(404,), timeout_s=5)
        if self.stopping.is_set():  # all users stop at once: none of them waits for it
            self._leftovers.add(delete)
        else:
            delete()

    # --- sinks ------------------------------------------------------------------------------------------------------

    def record(self, table: str, values: Row) -> None:
        self.outbox.add(table, values)
        if table == "violations":
            self.outbox.flush()  # the master may stop on it, and asks others for evidence

    def milestone(self, kind: str, name: str, time_ms: float | None, size_bytes: int, error: str) -> None:
        self._fire_request(
            request_type=kind,
            name=name,
            response_time=time_ms,
            response_length=size_bytes,
            exception=Milestone(error) if error else None,
            context={},
        )

    def keep(self, run_id: str) -> None:
        """Another process saw what belongs to this run: put its frames into the record, if it is ours."""
        for session in self._sessions.values():
            if session.keep(run_id, "violation"):
                self.outbox.flush()

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Write what is left, hand everything over, and say how much there was. Users must have stopped.

        A session that is still open belongs to a user that was killed before it could close it.
        """
        Pool(CLOSES_AT_ONCE).map(Session.close, list(self._sessions.values()))
        self._sessions.clear()
        left = self._leftovers.finish()
        if left:
            logger.warning("%d threads were left on the target: deleting them took too long", left)
        for pen in self._pens.values():
            pen.counted()
        self._garbage.end()
        self._flusher.kill()
        if self._memory is not None:
            self._memory.stop()
        self._health.stop()
        self._note_ids()
        for channel, exposure in self.exposures.channels.items():
            self.record("exposure", row(
                "exposure",
                worker=self.worker,
                channel=channel,
                opportunities=exposure.opportunities,
                observations=exposure.observations,
                controls_expected=exposure.controls_expected,
                controls_seen=exposure.controls_seen,
                phantoms_live=self.exposures.phantoms,
                skipped_bytes=exposure.skipped_bytes,
            ))  # fmt: skip
        self.outbox.flush()
        return {
            "worker": self.worker,
            "last_batch": self.outbox.number,
            "threads_left": left,
            "rows": dict(self.outbox.rows_recorded),
            "runs_started": self.counters.runs_started,
            "arrivals": self.pacing.close(),
            "events_received": self.counters.received,
            "events_checked": self.counters.checked,
            "events_recorded": self.counters.recorded,
        }

    # --- within -----------------------------------------------------------------------------------------------------

    def _flush_for_ever(self) -> None:
        while True:
            gevent.sleep(FLUSH_EVERY_S)
            self._note_ids()
            self.outbox.flush()

    def _note_ids(self) -> None:
        """Ids that the server chose go into the record: a worker that sees one may not be the one that was told it."""
        told, self.exposures.told = self.exposures.told, []
        for wire_id, account in told:
            self.record("ids", (self.worker, account, wire_id))

    def _new_person(self, user_class: str, number: int) -> Person:
        name = self._roster.name_of(number)
        observer = Observer(
            keyring=self._keyring, roster=self._roster, number=number, subject=name, exposures=self.exposures,
            deep=self._deep, pieces=self._pieces,
        )  # fmt: skip
        rng = random.Random(f"{self.begin.seed} person {number}")
        before = self._connections_before.get(number, 0)
        return Person(name, number, user_class, observer, self._keyring, rng, connections=before)

    def _make_mint(self) -> Mint | None:
        if self.settings.accounts or self.settings.token_function is not None:
            return None
        environment, rules = self.settings.environment.name, self.settings.environment.token
        return Mint(self.begin.token_secret or signing_key(environment, rules), environment, rules)

    def _new_token(self, person: Person) -> str:
        accounts = self.settings.accounts
        account = accounts[person.number] if accounts else Account(person.name)
        if account.token:
            return account.token
        if account.password:
            return self._sign_in(person)
        if self.settings.token_function is not None:
            return self.settings.token_function(account.name)
        assert self._mint is not None
        return self._mint.token(account.name)

    def _tls_context(self) -> ssl.SSLContext:
        route = self.settings.route
        return tls_context(route.ca_file, route.client_certificate, route.client_key, insecure=route.insecure)

    def _sign_in(self, person: Person) -> str:
        account, login = self.settings.accounts[person.number], self.settings.environment.login
        refresh = self._refreshes.get(person.number) if login.refresh_path else ""
        if refresh:
            answer = self.auth.call("POST", login.refresh_path, json={"refresh_token": refresh})
            self.milestone("HTTP", "refresh", answer.time_ms, answer.size_bytes, answer.error)
            self.look(person, answer, where="answer to the refresh")
        if not refresh or answer.error:
            credentials = {login.email_field: account.email, login.password_field: account.password}
            answer = self.auth.call("POST", login.path, json=credentials)
            self.milestone("HTTP", "login", answer.time_ms, answer.size_bytes, answer.error)
            self.look(person, answer, where="answer to the login")
        token = "" if answer.error else text_at(answer.body, login.token_field)
        if not token:
            raise NotReady(
                "authenticate", f"login of {account.email}: {answer.error or f'no {login.token_field} in the answer'}"
            )
        self._refreshes[person.number] = text_at(answer.body, "refresh_token")
        return token


def template_of(path: str) -> str:
    """A path without its ids and its query: "/api/threads/…"."""
    parts = path.partition("?")[0].split("/")
    return "/".join("…" if any(letter.isdigit() for letter in part) and len(part) > 4 else part for part in parts)


class Milestone(Exception):
    """What went wrong, in Locust's table of failures."""
