"""Further sockets of a person, thrown away at the end: what is tried on them, and how they end, is nobody's fault."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

import gevent
from gevent.event import Event as Flag

from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.notes import Closing
from crosstalk.person import Person
from crosstalk.session import NotReady, Session

#: how long the end of a socket, a pong or an answer may take before it counts as missing
ANSWER_S = 3.0
#: HTTP statuses and close codes by which one socket too many is rightly refused
REFUSED_BY_HTTP, REFUSED_BY_CLOSE = (403, 429), (1008, 1013)


@dataclass(slots=True)
class Spare:
    """One of them. Runs that are asked for on it are the person's own; its other sockets only overhear them."""

    person: Person
    view: Person
    session: Session
    stopping: Flag

    @property
    def closing(self) -> Closing:
        return self.session.heard[1]

    def offer(self, *subprotocols: str) -> None:
        """Offer these as well, before those that are usual."""
        connection = self.session.connection
        connection.endpoint = replace(
            connection.endpoint, subprotocols=(*subprotocols, *connection.endpoint.subprotocols)
        )

    def refusal(self) -> NotReady | None:
        """Open it, expecting that it is refused."""
        try:
            self.session.open()
        except NotReady as problem:
            return problem
        return None

    def ask(self, prompt: Prompt, thread: Thread, *, warm_up: bool, early: bool = False) -> LiveRun:
        """One turn on this socket; `early`: opening it, before it is ready."""
        self.view.ordinal = self.person.ordinal
        try:
            if early:
                return self.session.ask_early(prompt, thread, warm_up=warm_up)
            return self.session.ask(prompt, thread, intended_ns=None, warm_up=warm_up)
        finally:
            self.person.ordinal = self.view.ordinal

    def pong(self, payload: bytes) -> bytes | None:
        """What an RFC 6455 ping with this payload is answered with; None: by nothing."""
        incoming = self.session.incoming
        incoming.ponged.clear()
        with suppress(OSError):  # its end is being delivered
            incoming.ping_sent_ns = self.session.connection.ping(payload)
            if incoming.ponged.wait(ANSWER_S) and not incoming.ended.is_set():
                return incoming.pong_data
        return None

    def ended(self, timeout_s: float) -> bool:
        """Wait for its end."""
        return self.wait_for(self.session.incoming.ended, timeout_s)

    def wait_for(self, flag: Flag, timeout_s: float) -> bool:
        """Wait for something that it hears; not beyond the end of the load test."""
        gevent.wait([flag, self.stopping], timeout=timeout_s, count=1)
        return bool(flag.is_set())

    def how(self, problem: NotReady | None = None) -> str:
        """How it ended, or was refused, in words."""
        status = self.session.way_up[1].http_status
        if status is not None:
            return f"HTTP {status}"
        if self.closing.code is not None:
            return f"close {self.closing.code} {self.closing.reason}".strip()
        return str(problem) if problem is not None else "a socket that is open"


@dataclass(slots=True)
class Spares:
    """Makes them, and closes those that are left at the end of its block."""

    generator: Generator
    person: Person
    _open: list[Spare] = field(default_factory=list)

    def __enter__(self) -> Spares:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(*self._open)

    def make(self, query: str = "") -> Spare:
        """One that is not open yet; `query`: for its upgrade.

        :raises NotReady: there is no token for it.
        """
        view = replace(self.person, runs={})
        session = self.generator.session(view, purpose="probe")
        self.person.connections = view.connections  # so that no two connections have one name
        if query:
            endpoint = session.connection.endpoint
            url = f"{endpoint.url}{'&' if '?' in endpoint.url else '?'}{query}"
            session.connection.endpoint = replace(endpoint, url=url)
        spare = Spare(self.person, view, session, self.generator.stopping)
        self._open.append(spare)
        return spare

    def ready(self, query: str = "") -> Spare:
        """One that is ready.

        :raises NotReady:
        """
        spare = self.make(query)
        spare.session.open()
        return spare

    def open_at_once(self, spares: Sequence[Spare]) -> list[NotReady]:
        """Open them at the same instant; why some did not become ready."""
        opening = [gevent.spawn(spare.refusal) for spare in spares]
        try:
            gevent.joinall(opening, raise_error=True)
        finally:
            gevent.killall(opening)
        return [greenlet.value for greenlet in opening if isinstance(greenlet.value, NotReady)]

    def close(self, *spares: Spare) -> None:
        """Say goodbye to these, at once."""
        gevent.joinall([gevent.spawn(spare.session.close) for spare in spares])
        self._open = [one for one in self._open if all(one is not other for other in spares)]
