"""Is a run delivered as it should be? One `RunCheck` a run, moved along by its events; pure, time is an argument.

Delivery violations: missing, duplicate, out_of_order, late, two_ends, no_end, silent, tool_error_swallowed,
text_differs. (A frame that cannot be decoded, `malformed`, belongs to a connection first; the session tells the run.)
What can only be told at the end waits for it: an event that stands in a wrong place is out of order if it came at all,
and missing if it never did.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

from crosstalk.checks.violation import Violation, delivery
from crosstalk.wire.event import Event, Kind, Tried
from crosstalk.wire.lifecycle import NESTED_COMPLETED, NESTED_STARTED, Lifecycle, State, Symbol

#: an expectation that is not a kind: some tool of the run must fail, and the failure must be passed on
TOOL_FAILED = "tool_failed"
# looked up for every event: a name of the module costs a tenth of an attribute of an enumeration
_STARTED: Final = Kind.STARTED
_COMPLETED: Final = Kind.COMPLETED
_CHUNK: Final = Kind.CHUNK
_TOOL_EXECUTING: Final = Kind.TOOL_EXECUTING
_TOOL_COMPLETED: Final = Kind.TOOL_COMPLETED
#: lost chunks of one agent that are named; a number far ahead must not make a list without end
CHUNKS_NAMED = 20


# not frozen, though nobody changes it: one is made for every event, and a frozen one costs three times as much
@dataclass(slots=True, init=False)
class Step:
    """What one event meant: its times within the run (ns), and what it violated."""

    gap_ns: int | None
    chunk_gap_ns: int | None
    tool_time_ns: int | None
    violations: tuple[Violation, ...]

    def __init__(
        self, gap_ns: int | None = None, chunk_gap_ns: int | None = None, tool_time_ns: int | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:  # fmt: skip
        self.gap_ns = gap_ns
        self.chunk_gap_ns = chunk_gap_ns
        self.tool_time_ns = tool_time_ns
        self.violations = violations


# what is made for each run has an `__init__` of its own: the one that `dataclass` writes is never compiled
@dataclass(slots=True, init=False)
class RunTimes:
    """Instants and durations of a run, in ns; None: did not happen."""

    first_event_ns: int | None
    first_chunk_ns: int | None
    last_event_ns: int | None
    last_chunk_ns: int | None
    end_ns: int | None
    stall_max_ns: int | None
    handoff_time_max_ns: int | None

    def __init__(self) -> None:
        self.first_event_ns = self.first_chunk_ns = self.last_event_ns = self.last_chunk_ns = self.end_ns = None
        self.stall_max_ns = self.handoff_time_max_ns = None


@dataclass(slots=True, init=False)
class RunCounts:
    events: int
    chunks: int
    tools_started: int
    tools_ok: int
    tools_failed: int
    handoffs: int
    text_bytes: int
    malformed: int
    retries: int  # repeats that say so

    def __init__(self) -> None:
        self.events = self.chunks = self.tools_started = self.tools_ok = self.tools_failed = self.handoffs = 0
        self.text_bytes = self.malformed = self.retries = 0


@dataclass(slots=True, init=False)
class RunCheck:
    """One run's table row in motion.

    :param lifecycle: the dialect's table.
    :param expects: kinds (and TOOL_FAILED) that this prompt promises beyond the lifecycle's `required`; with `error`,
        the run is expected to end with an agent error.
    """

    lifecycle: Lifecycle
    expects: Collection[str]
    state: State
    times: RunTimes
    counts: RunCounts
    end_kind: Kind | None
    end_code: str
    text: list[str]
    ended: bool  # is its state one of those that end a run?
    last_kind: str
    final_text: str
    _agent: str
    _agents_inside: list[str]
    _seen: set[str]
    _keys: set[str]
    _attempts: dict[str, int]  # what events say that count their attempts → the highest seen
    _open_calls: dict[str, int]
    _early_results: dict[str, int]
    _chunk_numbers: dict[str, set[int]]
    _chunk_last: dict[str, int]
    _chunks_astray: bool
    _illegal: list[str]
    _handoff_ns: int | None
    _missing: list[str]
    _missing_at: int  # after so many events
    _streaming: State  # the state in which chunks follow each other; "" until they do
    #: of the last chunk that `streams` took, as a `Step` has them
    gap_ns: int
    chunk_gap_ns: int

    def __init__(self, lifecycle: Lifecycle, expects: Collection[str] = ()) -> None:
        self.lifecycle = lifecycle
        self.expects = expects
        self.state = lifecycle.initial
        self.ended = self.state in lifecycle.ended
        self.times = RunTimes()
        self.counts = RunCounts()
        self.end_kind = self._handoff_ns = None
        self.end_code = self.last_kind = self.final_text = self._agent = self._streaming = ""
        self.text = []
        self._agents_inside = []
        self._seen = set()
        self._keys = set()
        self._attempts = {}
        self._open_calls = {}
        self._early_results = {}
        self._chunk_numbers = {}
        self._chunk_last = {}
        self._chunks_astray = False
        self._illegal = []
        self._missing = []
        self._missing_at = -1
        self.gap_ns = self.chunk_gap_ns = 0

    @property
    def agent(self) -> str:
        """Who runs it: the agent of its first `started`; "" where that named none, or has not come."""
        return self._agent

    def advance(self, event: Event, arrived_ns: int) -> Step:
        """Take one event of this run, in order of arrival."""
        if event.tried is not None and (repeated := self._repeated(event, event.tried, arrived_ns)) is not None:
            return repeated
        key = event.key
        if key:
            if key in self._keys:
                return Step(violations=(self._say("duplicate", event, "each event once", f"{_named(event)} twice"),))
            self._keys.add(key)
        self.counts.events += 1
        if self.ended:
            return self._after_end(event, arrived_ns)
        kind = event.kind
        symbol: Symbol = kind if kind is _CHUNK else self._symbol(event)
        state = self.state
        target = self.lifecycle.move(state, symbol)
        if target is None:
            self._illegal.append(f"{symbol} in state {state!r}")
            target = self._where_to(symbol)
        step = self._timed(event, symbol, arrived_ns)
        self.last_kind = kind
        if target != state:
            self.state = target
            self.ended = target in self.lifecycle.ended
            if self.ended:
                self.times.end_ns, self.end_kind, self.end_code = arrived_ns, kind, event.code
                self.final_text = event.text
        return step

    def streams(self, event: Event, arrived_ns: int) -> bool:
        """Take one more chunk of a text that streams as it should: what most events are. `advance` does the same.

        For anything else (the first chunk, a smaller number than before, one sent twice, …) it does nothing, and says
        so: False. The chunk's times are in `gap_ns` and `chunk_gap_ns`.
        """
        state, times, index, key = self.state, self.times, event.index, event.key
        last_ns, last_chunk_ns = times.last_event_ns, times.last_chunk_ns
        if event.kind is not _CHUNK or last_ns is None or last_chunk_ns is None or key in self._keys:
            return False
        if self._handoff_ns is not None or event.tried is not None:
            return False
        if state != self._streaming:
            if self.ended or self.lifecycle.move(state, _CHUNK) != state:
                return False
            self._streaming = state
        if index >= 0:
            agent = event.agent
            last = self._chunk_last.get(agent)
            if last is None or index < last:
                return False
            self._chunk_last[agent] = index
            self._chunk_numbers[agent].add(index)
        if key:
            self._keys.add(key)
        text, counts = event.text, self.counts
        counts.events += 1
        counts.chunks += 1
        counts.text_bytes += len(text)
        self.text.append(text)
        if text and times.first_chunk_ns is None:
            times.first_chunk_ns = arrived_ns
        self.gap_ns = gap_ns = arrived_ns - last_ns
        if gap_ns > (times.stall_max_ns or -1):
            times.stall_max_ns = gap_ns
        self.chunk_gap_ns = arrived_ns - last_chunk_ns
        times.last_event_ns = times.last_chunk_ns = arrived_ns
        self.last_kind = _CHUNK
        return True

    def conclude(self) -> list[Violation]:
        """What is known once the run has ended, or will not end any more. Empty for a run that is right."""
        if not self.counts.events:
            return [delivery("silent", expected="events of the run", came="no event at all; the socket was healthy")]
        found = []
        if not self.ended:
            came = f"last event {str(self.last_kind)!r}, then silence"
            found.append(delivery("no_end", expected="completed or error", came=came))
        else:
            missing = self.missing()
            if missing and self.counts.malformed < len(missing):
                found.append(delivery("missing", expected=", ".join(missing), came="a run that ended without"))
            elif self._illegal and not missing:
                found.append(delivery("out_of_order", expected=self._order(), came="; ".join(self._illegal[:3])))
            if swallowed := self._swallowed():
                found.append(swallowed)
            elif differs := self._text_differs():
                found.append(differs)
        return found

    def missing(self) -> list[str]:
        """What an ended run should have shown and did not."""
        if self._missing_at != self.counts.events:  # it is asked more than once at the end, and an event changes it
            self._missing, self._missing_at = self._find_missing(), self.counts.events
        return self._missing

    def _find_missing(self) -> list[str]:
        if self.end_kind is Kind.ERROR and Kind.ERROR not in self.expects:
            return []
        missing = [str(kind) for kind in dict.fromkeys(self._wanted()) if kind not in self._seen]
        missing += self.unpaired()
        missing += [f"completed of agent {agent}" for agent in self._agents_inside]
        for agent, numbers in self._chunk_numbers.items():
            last = self._chunk_last[agent]
            if len(numbers) <= last:  # they count from 0: one more than the last where none is missing
                missing += islice((f"chunk {n}" for n in range(last) if n not in numbers), CHUNKS_NAMED)
        return missing

    def _wanted(self) -> list[str]:
        if Kind.ERROR in self.expects:
            return [Kind.ERROR]
        return [kind for kind in (*self.lifecycle.required, *self.expects) if kind != TOOL_FAILED]

    def unpaired(self) -> list[str]:
        """Calls of tools without a result, and results without a call, as `missing` names them."""
        lacking = [f"tool_completed for call {call}" for call in self._open_calls]
        return lacking + [f"tool_executing for call {call}" for call in self._early_results]

    # --- one event --------------------------------------------------------------------------------------------------

    def _repeated(self, event: Event, tried: Tried, arrived_ns: int) -> Step | None:
        """What a repeat means of an event that counts its attempts; None for what is seen for the first time.

        Where events are sent at least once, a repeat is no violation if it says that it is one: its attempt is higher
        than all before. After the end only the end itself may be repeated. Two first attempts that say the same are two
        events, unless they are the same by their keys.
        """
        before = self._attempts.get(tried.content, 0)
        self._attempts[tried.content] = max(before, tried.attempt)
        if before == 0 or before == tried.attempt == 1:
            return None
        if tried.attempt <= before:
            came = f"{_named(event)} as attempt {tried.attempt} after attempt {before}"
            return Step(violations=(self._say("duplicate", event, "each attempt once", came),))
        if self.ended and event.kind not in (Kind.COMPLETED, Kind.ERROR):
            return self._after_end(event, arrived_ns)
        self.counts.retries += 1
        return Step()

    def _symbol(self, event: Event) -> Symbol:
        kind = event.kind
        if kind is _STARTED:
            if _STARTED not in self._seen:
                self._agent = event.agent
            elif event.agent and event.agent != self._agent:
                self._agents_inside.append(event.agent)
                return NESTED_STARTED
        elif kind is _COMPLETED and event.agent in self._agents_inside:
            self._agents_inside.remove(event.agent)
            return NESTED_COMPLETED
        return str(kind)

    def _where_to(self, symbol: Symbol) -> State:
        """After an illegal move: where this symbol leads from elsewhere, so that one mistake is not counted twice."""
        return next((row[symbol] for row in self.lifecycle.moves.values() if symbol in row), self.state)

    def _after_end(self, event: Event, arrived_ns: int) -> Step:
        if self._fills_gap(event):
            self._illegal.append(f"{event.kind} after the end")
            return self._timed(event, self._symbol(event), arrived_ns)
        if event.kind in (Kind.COMPLETED, Kind.ERROR):
            came = f"{self.end_kind}, then {event.kind}"
            return Step(violations=(self._say("two_ends", event, "one end", came),))
        after_ms = (arrived_ns - (self.times.end_ns or arrived_ns)) / 1e6
        came = f"{_named(event)} {after_ms:.0f} ms after the end"
        return Step(violations=(self._say("late", event, "nothing after the end", came),))

    def _fills_gap(self, event: Event) -> bool:
        """Is this what the ended run still lacks? Anything else after the end changes nothing of it."""
        if not self._find_missing():  # it has been counted, and has changed nothing yet
            return False
        kind = event.kind
        if kind is Kind.CHUNK and event.index >= 0:
            numbers = self._chunk_numbers.get(event.agent, set())
            if event.index < self._chunk_last.get(event.agent, 0) and event.index not in numbers:
                return True
        return (
            (kind in self._wanted() and kind not in self._seen)
            or (kind is Kind.TOOL_EXECUTING and event.call_id in self._early_results)
            or (kind is Kind.TOOL_COMPLETED and event.call_id in self._open_calls)
            or (kind is Kind.COMPLETED and event.agent in self._agents_inside)
        )

    def _timed(self, event: Event, symbol: Symbol, arrived_ns: int) -> Step:
        times, kind = self.times, event.kind
        self._seen.add(kind)
        last_ns = times.last_event_ns
        times.last_event_ns = arrived_ns
        if last_ns is None:
            gap_ns = None
            if times.first_event_ns is None:
                times.first_event_ns = arrived_ns
        else:
            gap_ns = arrived_ns - last_ns
            if gap_ns > (times.stall_max_ns or -1):
                times.stall_max_ns = gap_ns
        if kind is _CHUNK:
            if self._handoff_ns is not None:
                self._hand_off(event, symbol, arrived_ns)
            return Step(gap_ns, self._chunk(event, arrived_ns))
        self._hand_off(event, symbol, arrived_ns)
        return Step(gap_ns, None, self._tool(event, arrived_ns))

    def _chunk(self, event: Event, arrived_ns: int) -> int | None:
        times, counts, text, index = self.times, self.counts, event.text, event.index
        counts.chunks += 1
        counts.text_bytes += len(text)
        self.text.append(text)
        if index >= 0:
            agent = event.agent
            last = self._chunk_last.get(agent, -1)
            if index > last:
                self._chunk_last[agent] = index
            elif index < last:
                self._chunks_astray = True
                self._illegal.append(f"chunk {index} after chunk {last}")
            numbers = self._chunk_numbers.get(agent)
            if numbers is None:
                numbers = self._chunk_numbers[agent] = set()
            numbers.add(index)
        if text and times.first_chunk_ns is None:
            times.first_chunk_ns = arrived_ns
        before, times.last_chunk_ns = times.last_chunk_ns, arrived_ns
        return None if before is None else arrived_ns - before

    def _tool(self, event: Event, arrived_ns: int) -> int | None:
        if event.kind is _TOOL_EXECUTING:
            self.counts.tools_started += 1
            if event.call_id in self._early_results:
                del self._early_results[event.call_id]
                self._illegal.append(f"tool_completed before tool_executing of call {event.call_id}")
            else:
                self._open_calls[event.call_id] = arrived_ns
        elif event.kind is _TOOL_COMPLETED:
            if event.ok:
                self.counts.tools_ok += 1
            else:
                self.counts.tools_failed += 1
                self._seen.add(TOOL_FAILED)
            started_ns = self._open_calls.pop(event.call_id, None)
            if started_ns is None:
                self._early_results[event.call_id] = arrived_ns
            else:
                return arrived_ns - started_ns
        return None

    def _hand_off(self, event: Event, symbol: Symbol, arrived_ns: int) -> None:
        """A hand-off's time: from its notice (without one, the nested start) to the other agent's first event."""
        if symbol == NESTED_STARTED:
            self._seen.add(Kind.HANDOFF)
        if self._handoff_ns is not None and event.agent and event.agent != self._agent:
            time_ns = arrived_ns - self._handoff_ns
            self.times.handoff_time_max_ns = max(time_ns, self.times.handoff_time_max_ns or 0)
            self._handoff_ns = None
        elif event.kind is Kind.HANDOFF or symbol == NESTED_STARTED:
            self._handoff_ns = arrived_ns
            self.counts.handoffs += 1

    # --- the end ----------------------------------------------------------------------------------------------------

    def _swallowed(self) -> Violation | None:
        if TOOL_FAILED not in self.expects or self.counts.tools_failed or not self.counts.tools_ok:
            return None
        return delivery(
            "tool_error_swallowed",
            expected="the tool's failure is passed on",
            came="tool_completed with status completed",
            kind=Kind.TOOL_COMPLETED,
        )

    def _text_differs(self) -> Violation | None:
        """Where an answer is both streamed and given whole, the chunks make up the final text."""
        streamed = "".join(self.text)
        if self.end_kind is not Kind.COMPLETED or not streamed or not self.final_text:
            return None
        if not self.lifecycle.chunks_make_final_text or self._chunks_astray:
            return None
        if streamed == self.final_text or self.missing():
            return None
        came = f"{len(streamed)} characters streamed, {len(self.final_text)} in the final text"
        return delivery("text_differs", expected="chunks that make up the final text", came=came, kind=Kind.COMPLETED)

    def _order(self) -> str:
        return "the order of the lifecycle: " + ", ".join(str(kind) for kind in self.lifecycle.required)

    def _say(self, name: str, event: Event, expected: str, came: str) -> Violation:
        return delivery(name, expected=expected, came=came, kind=event.kind)


def _named(event: Event) -> str:
    return event.name or str(event.kind)
