"""A second socket of a person: for a user with two (channel 15), and to be thrown away in a token swap (channel 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from crosstalk.checks.sockets import fan_out, kept_subscription, opened
from crosstalk.checks.violation import Violation
from crosstalk.clock import clock
from crosstalk.generator import Generator
from crosstalk.live_run import LiveRun, Thread
from crosstalk.person import Person
from crosstalk.session import NotReady, Session
from crosstalk.wire.event import RUN_KINDS, Event, Kind


@contextmanager
def second_socket(generator: Generator, person: Person, socket_path: str = "") -> Iterator[Session]:
    """A further session of this person, ready, and closed at the end of the block. Its runs are the first one's.

    What comes on it is looked at for what belongs to others; whether a run is delivered is judged on the first one.

    :raises NotReady:
    """
    session = _spare_session(generator, person)
    try:
        session.go_to(socket_path)
        session.open()
        yield session
    finally:
        session.close()


def _spare_session(generator: Generator, person: Person) -> Session:
    view = replace(person, runs={})
    session = generator.session(view, purpose="probe")
    person.connections = view.connections  # so that no two connections have one name
    return session


@dataclass(slots=True)
class Pair:
    """Two sockets of one person, listened to while a run is asked for on the first."""

    generator: Generator
    person: Person
    first: Session
    second: Session

    here: list[tuple[Event, bytes]] = field(default_factory=list)
    there: list[tuple[Event, bytes]] = field(default_factory=list)

    def listen(self) -> None:
        """From here on, what comes on each of them is heard."""
        self.here, self.there = self.first.listen(), self.second.listen()

    def judge(self, *runs: LiveRun) -> list[Violation]:
        """After the runs: does the policy that the dialect declares hold for each of them?"""
        policy = self.generator.settings.dialect.fan_out
        barriers = [session.ping() for session in (self.first, self.second)]
        self.first.hush()
        self.second.hush()
        if policy is None or not all(barriers):
            return []
        first, second = [event for event, _ in self.here], [event for event, _ in self.there]
        heard = any(event.kind in RUN_KINDS for event in (second if policy else first))
        found = []
        for run in runs:
            if run.outcome == "ok":
                self.generator.exposures.observe(15, own_live=self.person.observer.runs_live)
                self.generator.exposures.control(15, expected=1, seen=int(heard))
                found.append(fan_out(first, second, policy=policy, run_id=run.run_id, subject=self.person.name))
        return [violation for violation in found if violation is not None]


def swap_tokens(
    generator: Generator, victim: Person, begin: Callable[[], LiveRun | None], intruder: Person
) -> Violation | None:
    """Show the intruder's token on a socket of the victim's, while a run of the victim's is in progress elsewhere.

    A refusal, or the end of the socket, is right. If the socket is the intruder's from then on, it must get nothing of
    the victim's. Only where every socket of a user gets its events: elsewhere nothing was there to be kept.

    :param begin: begins such a run.
    :raises NotReady: the victim's second socket did not become ready.
    """
    frame = generator.settings.dialect.authenticate_again(generator.token(intruder))
    if frame is None or not generator.settings.dialect.fan_out:
        return None
    with second_socket(generator, victim) as session:
        heard = session.listen()
        session.may_be(intruder.name)
        run = begin()
        if run is None or not _in_progress(session, heard, run, generator.settings.environment.run_timeout_s):
            return None
        answer = [event for event, _ in session.exchange(frame)]
        generator.exposures.observe(12, own_live=victim.observer.runs_live)
        generator.exposures.control(12, expected=1, seen=1)  # it had got events of the run before
        if not session.is_ready or any(event.kind in (Kind.REFUSED, Kind.REJECTED) for event in answer):
            return None
        taken = next((n for n, (event, _) in enumerate(heard) if _names(event, intruder)), -1)
        if taken < 0:
            return None  # nobody says that the socket is another's now: it may still be the victim's
        run.done.wait(generator.settings.environment.run_timeout_s)
        session.ping()
        after = [event for event, _ in heard[taken + 1 :]]
        return kept_subscription(after, of=victim.name, now=intruder.name, run_id=run.run_id)


def open_anothers(generator: Generator, victim: Person, thread: Thread, intruder: Person) -> Violation | None:
    """Open the socket of a thread of the victim's, or of a run, with the intruder's token, where each has its own.

    :raises NotReady: the target did not make the victim's run.
    """
    place = thread
    if not thread.socket_path:
        place = victim.new_thread(ids_from=generator.settings.dialect.ids_from)
        generator.create_thread(victim, place, text="Are you there?")
    found = _open(generator, place.socket_path, victim, intruder) if place.socket_path else None
    if place is not thread and place.thread_id:
        generator.delete_thread(victim, place.thread_id)
    return found


def _open(generator: Generator, socket_path: str, victim: Person, intruder: Person) -> Violation | None:
    session = _spare_session(generator, intruder)
    try:
        session.go_to(socket_path)
        session.open()
        let_in = session.is_ready
    except NotReady:
        let_in = False
    finally:
        session.close()
    generator.exposures.observe(12, own_live=intruder.observer.runs_live)
    return opened(of=victim.name, now=intruder.name) if let_in else None


def _in_progress(session: Session, heard: list[tuple[Event, bytes]], run: LiveRun, timeout_s: float) -> bool:
    """Wait until the socket has got an event of the run; False where the run ended first."""
    deadline_ns = clock.now_ns() + int(timeout_s * 1e9)
    while session.is_ready and not run.done.is_set() and clock.now_ns() < deadline_ns:
        if any(event.run_id == run.run_id and event.kind in RUN_KINDS for event, _ in heard):
            return True
        session.ping()
    return False


def _names(event: Event, person: Person) -> bool:
    return event.kind is Kind.ACK and event.user_id == person.name
