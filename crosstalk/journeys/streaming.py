"""Streaming: a text that comes bit by bit and whole, a reader that stops reading, an interruption and what is kept.

What a slow reader does to its own run is its own doing: the times of that run are not judged. What it does to somebody
else's is the target's: a second person's run goes on meanwhile.
"""

from __future__ import annotations

from typing import Protocol

from crosstalk.checks.words import counted
from crosstalk.generator import Generator
from crosstalk.journey import Journey
from crosstalk.live_run import LiveRun, Prompt, Thread
from crosstalk.person import Person
from crosstalk.session import Session
from crosstalk.wire.event import Kind

LONG = Prompt("long", "I would like a long answer about how to lower our costs.", ("chunk",))
REPORT = Prompt("report", "I would like a full report about our costs, please.", ("chunk",))
#: how long nothing is read, and what the kernel may hold for us meanwhile
UNREAD_S, ROOM_BYTES = 2.5, 4096
#: what lies unread fits into any buffer where it is less than that
FELT_BYTES = 4 * ROOM_BYTES
#: a text that streams takes at least this share of its run's time from its first chunk to its last
SPREAD_MIN = 0.05
#: so many chunks tell whether a text streams
CHUNKS_MIN = 5
#: so many have come when a run is interrupted, and may still come while the cancel is on its way
BEFORE_CANCEL, CROSSING_MAX = 8, 5
#: how long nothing may come of a run that is waited for
_PATIENCE_S = 30.0
#: somebody else is hurt by a stall of half the time that nothing was read, if that is several times what is usual
STALLS_USUAL = 3


class Asker(Protocol):
    """Someone who can do something else while a run of theirs goes on (users/partner.py)."""

    @property
    def generator(self) -> Generator: ...

    @property
    def person(self) -> Person: ...

    @property
    def session(self) -> Session | None: ...

    def new_thread(self) -> Thread: ...
    def ask(self, prompt: Prompt, thread: Thread) -> LiveRun: ...
    def begin(self, prompt: Prompt, thread: Thread) -> LiveRun | None: ...
    def rest(self) -> LiveRun | None: ...
    def connect_at(self, socket_path: str, *, receive_buffer_bytes: int = 0) -> Session: ...
    def hang_up(self) -> None: ...
    def delete(self, thread: Thread) -> None: ...


def prompt_of(user: Asker, otherwise: Prompt) -> Prompt:
    """The prompt of that family, or what is said where the prompts of the load test have none of it."""
    found = user.generator.settings.prompts.families.get(otherwise.family)
    return found[0] if found else otherwise


def read_along(user: Asker, journey: Journey, thread: Thread) -> int:
    """A long answer as it comes. Its largest gap between two events, in ns: what is usual here."""
    run = user.ask(prompt_of(user, LONG), thread)
    if user.generator.stopping.is_set():
        return 0
    with journey.step("first chunk") as step:
        first_ns = step.of(run).check.times.first_chunk_ns
        step.expect(first_ns is not None, "a text that is streamed", f"no chunk: {run.outcome} {run.signature}".strip())
        step.time_ns = (first_ns or 0) - run.sent_ns
    if not _is_spread(run):  # a busy moment of this process may make many chunks one read: it is looked at once more
        run = user.ask(prompt_of(user, LONG), thread)
    with journey.step("gaps", go_on=True) as step:
        step.of(run)
        came = f"{run.check.counts.chunks} chunks within {_spread_ns(run) / 1e6:.0f} ms"
        step.expect(_is_spread(run), "a text that comes bit by bit", came)
        step.time_ns = run.check.times.stall_max_ns or 0
    with journey.step("whole text", go_on=True) as step:
        step.well(run)
        streamed, final = "".join(run.check.text), run.check.final_text
        whole = user.generator.settings.dialect.lifecycle.chunks_make_final_text and final
        step.expect(not whole or streamed == final, "chunks that make up the final text", _sizes(streamed, final))
    return run.check.times.stall_max_ns or 0


def read_slowly(user: Asker, other: Asker, journey: Journey, usual_stall_ns: int) -> None:
    """Stop reading in mid-stream, and read on: nothing is lost, and nobody else has noticed."""
    dialect = user.generator.settings.dialect
    if dialect.socket_per == "run":
        for name in ("slow reader", "others unhurt"):
            journey.not_offered(name, "a run's socket is opened and read to its end by itself")
        return
    stall_max_ns = int(max(UNREAD_S * 1e9 / 2, STALLS_USUAL * usual_stall_ns))
    for attempt in (1, 2):
        slow, beside, unread_bytes = _leave_unread(user, other, journey)
        hurt = beside is not None and (beside.check.times.stall_max_ns or 0) > stall_max_ns
        if attempt == 1 and (hurt or beside is None):  # once can be chance
            continue
        break
    user.hang_up()  # what comes next has room again
    if user.generator.stopping.is_set():
        return
    with journey.step("slow reader", go_on=True) as step:
        step.well(slow)
    if slow is not None and slow.outcome == "ok" and unread_bytes < FELT_BYTES:
        journey.not_offered("others unhurt", f"{unread_bytes} bytes lay unread: too few to be felt")
        return
    with journey.step("others unhurt", go_on=True) as step:
        if beside is None and slow is not None and slow.outcome == "ok":
            step.miss("all of it at once, to a generator that was held up: there was no meanwhile")
        step.expect(beside is not None, "a run of somebody else's meanwhile", "none: it showed no sign of life")
        if beside is not None:
            step.time_ns = step.of(beside).check.times.stall_max_ns or 0
            came = f"a stall of {step.time_ns / 1e6:.0f} ms while a slow reader read nothing"
            step.expect(not hurt, f"no stall over {stall_max_ns / 1e6:.0f} ms", came)


def interrupt(user: Asker, journey: Journey, thread: Thread) -> None:
    """Cancel in mid-stream: the stream ends, once; and what had come is kept."""
    dialect = user.generator.settings.dialect
    if dialect.socket_per == "run" or dialect.cancel(thread.thread_id) is None:
        journey.not_offered("interruption", "this protocol cancels no run by a frame")
        return
    begun = user.begin(prompt_of(user, LONG), thread)
    session = user.session
    if begun is None or session is None or not _has_streamed(begun, BEFORE_CANCEL):
        ended = user.rest()
        if ended is not None and ended.outcome == "ok" and ended.check.counts.chunks >= BEFORE_CANCEL:
            return  # all of it came at once to a generator that was held up: over before anybody could interrupt it
        with journey.step("interruption") as step:
            step.expect(user.generator.stopping.is_set(), f"{BEFORE_CANCEL} chunks of a long answer", "fewer")
        return
    session.cancel(begun)
    session.ping()  # with its answer, the cancel has been read too
    chunks = begun.check.counts.chunks
    run = user.rest()
    beyond = begun.check.counts.chunks - chunks
    follower = user.ask(user.generator.settings.prompts.choose(user.person.rng), thread)
    if run is None or user.generator.stopping.is_set():
        return
    with journey.step("interruption", go_on=True) as step:
        ends = step.of(run).check.end_kind is Kind.ERROR or (run.check.ended and beyond <= CROSSING_MAX)
        step.expect(
            ends, "a run that ends by its cancel", f"{run.check.end_kind or 'no end'} after {beyond} more chunks"
        )
        step.time_ns = (run.check.times.end_ns or 0) - (run.cancelled_ns or 0)
    with journey.step("silence after the interruption", go_on=True) as step:
        step.of(run)
        after = sum(run.violated.get(name, 0) for name in ("late", "two_ends"))
        step.expect(not after, "nothing after the end", f"{counted(after, 'more events')}")
    with journey.step("next run", go_on=True) as step:
        step.well(follower)
    if run.check.end_kind is Kind.ERROR:
        _expect_partial(user, journey, run)


def _leave_unread(user: Asker, other: Asker, journey: Journey) -> tuple[LiveRun | None, LiveRun | None, int]:
    """A report that lies unread for a while, and a run of somebody else's meanwhile; None where one never began.

    And how much of the report came behind that.
    """
    dialect = user.generator.settings.dialect
    if dialect.socket_per == "user":
        with journey.step("slow line"):
            user.connect_at(dialect.slow_line(), receive_buffer_bytes=ROOM_BYTES)
    own, theirs = user.new_thread(), other.new_thread()
    slow = user.begin(prompt_of(user, REPORT), own)
    session = user.session
    beside, read_bytes = None, 0
    if slow is not None and session is not None and _has_streamed(slow, 1):
        beside = other.begin(prompt_of(other, REPORT), theirs)
        session.pause_reading()
        read_bytes = slow.bytes_in
        user.generator.stopping.wait(UNREAD_S)
        session.resume_reading()
    slow, beside = user.rest(), other.rest() if beside is not None else None
    user.delete(own)
    other.delete(theirs)
    return slow, beside, (slow.bytes_in if slow is not None else 0) - read_bytes


def _expect_partial(user: Asker, journey: Journey, run: LiveRun) -> None:
    """What had come is kept, exactly that: in the history of the thread, or in an event before the end."""
    dialect = user.generator.settings.dialect
    history = dialect.history(run.thread.thread_id)
    if history is None and not dialect.partial_event:
        journey.not_offered("partial result", "this protocol has no place for what was cut short")
        return
    with journey.step("partial result", go_on=True) as step:
        step.of(run)
        streamed = "".join(run.check.text)
        said = [
            event.text
            for frame in run.frames
            if frame.direction == "in" and frame.kind == Kind.NOTICE
            for event in dialect.decode(frame.body)
            if event.name == dialect.partial_event
        ]
        kept = []
        if history is not None:
            answer = step.answered(user.generator.call(user.person, history, name="history"), 200)
            kept = [text for _, text in dialect.messages(answer.body or {})]
        whole = streamed in (*said, *kept) and all(text == streamed for text in said)
        step.expect(whole, f"{len(streamed)} characters that had come, kept", _kept(said, kept))


def _kept(said: list[str], kept: list[str]) -> str:
    last = f"{len(kept[-1])} characters in the last message" if kept else "no message"
    return f"{len(said[-1]) if said else 'no'} characters in an event, {last}"


def _has_streamed(run: LiveRun, chunks: int) -> bool:
    """Wait until so much of an answer has come; False where its run ended before, or fell silent."""
    while run.check.counts.chunks < chunks:
        run.moved.clear()
        if run.done.is_set() or not run.moved.wait(_PATIENCE_S):
            return False
    return not run.done.is_set()


def _spread_ns(run: LiveRun) -> int:
    times = run.check.times
    return (times.last_chunk_ns or 0) - (times.first_chunk_ns or 0)


def _is_spread(run: LiveRun) -> bool:
    """Does the text come over a while? Of a few chunks nothing can be said."""
    whole_ns = (run.check.times.end_ns or run.check.times.last_chunk_ns or 0) - run.sent_ns
    return run.check.counts.chunks < CHUNKS_MIN or _spread_ns(run) >= SPREAD_MIN * whole_ns


def _sizes(streamed: str, final: str) -> str:
    return f"{len(streamed)} characters streamed, {len(final)} in the final text"
