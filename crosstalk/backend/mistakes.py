"""Faults of the agent: a run's steps, changed before it starts or marked for a mistake when one of them is sent.

An edit or a mark answers None where the run offers no opportunity (a swallowed tool error needs a failing tool), so
that rates count opportunities only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crosstalk.backend.leak_forms import AFTER_END, FORMS, NAMES_RUN
from crosstalk.backend.leftovers import Seen
from crosstalk.backend.mistakes_agents import AGENT_EDITS
from crosstalk.backend.mistakes_events import EDITS, Edit
from crosstalk.backend.plan import (
    CHUNK,
    COMPLETED,
    ERROR,
    STARTED,
    SUPERVISOR,
    THINKING,
    TOOL_COMPLETED,
    TOOL_EXECUTING,
    Step,
)

CANNED_TEXT = "I have looked into this for you and everything is in order."


def spoil(
    steps: Sequence[Step],
    wanted: frozenset[str],
    bites: Callable[[str], bool],
    rng: random.Random,
    *,
    id_kinds: Sequence[str],
    other: Seen | None,
) -> list[Step]:
    """The steps as a backend with the `wanted` faults runs them. `bites` decides the edits now; marks are decided
    when their step is sent. `id_kinds` are the kinds of events whose frames name their run, `other` is a run of another
    user that there is to leak, None where there is none."""
    spoiled = list(steps)
    for name, edit in _EDITS.items():
        if name in wanted:
            edited = edit(spoiled, rng)
            if edited is not None and bites(name):
                spoiled = edited
    if other is not None:
        spoiled = _add_foreign_steps(spoiled, wanted, bites, rng, other)
    for name in _MARKED:
        if name in wanted:
            index = _mark(name, spoiled, rng, id_kinds)
            if index is not None:
                spoiled[index] = replace(spoiled[index], faults=(*spoiled[index].faults, name))
    return spoiled


def dawdle(steps: Sequence[Step], wait_s: float) -> list[Step]:
    """The same run of an agent that takes so long after its start."""
    return [*steps[:1], *(replace(step, wait=wait_s) for step in steps[1:2]), *steps[2:]]


def _missing_event(steps: list[Step], rng: random.Random) -> list[Step] | None:
    if not _completes(steps):
        return None
    results = _where(steps, TOOL_COMPLETED)
    if results:
        lost = rng.choice(results)
        return steps[:lost] + steps[lost + 1 :]
    return [step for step in steps if step.kind != THINKING]


def _reordered_event(steps: list[Step], rng: random.Random) -> list[Step] | None:
    # Only neighbours whose exchange is illegal: a thought before the start, a tool's result before its call.
    firsts = _where(steps, TOOL_EXECUTING)
    if len(steps) > 1 and steps[0].kind == STARTED and steps[1].kind == THINKING:
        firsts.append(0)
    if not firsts:
        return None
    first = rng.choice(firsts)
    second = first + 1
    if second >= len(steps):
        return None
    swapped = list(steps)
    swapped[first] = replace(steps[second], wait=steps[first].wait)
    swapped[second] = replace(steps[first], wait=steps[second].wait)
    return swapped


def _late_event(steps: list[Step], rng: random.Random) -> list[Step] | None:
    if not _completes(steps):
        return None
    thought = {"thought": "One more thing comes to mind.", "step": 99}
    return [*steps, Step(THINKING, 0.3 + 0.7 * rng.random(), SUPERVISOR, thought)]


def _two_ends(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    if not _completes(steps):
        return None
    failure = {"error_code": "AGENT_FAILED", "error_message": "The agent ended after it had completed."}
    return [*steps, Step(ERROR, 0.0, SUPERVISOR, failure)]


def _silent_run(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    return [] if steps else None


def _stall_mid_stream(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    chunks = _where(steps, CHUNK)
    return steps[: chunks[len(chunks) // 2]] if len(chunks) > 1 else None


def _partial_result_lost(steps: list[Step], rng: random.Random) -> list[Step] | None:
    inner = _where(steps, CHUNK)[1:-1]
    if not inner:
        return None
    lost = rng.choice(inner)
    return [replace(step, lost=True) if index == lost else step for index, step in enumerate(steps)]


def _split_sessions(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    # Who starts and ends the run knows the connected manager; what the agent says goes by another one.
    ends = (STARTED, COMPLETED, ERROR)
    lost = [not (step.kind in ends and step.agent == SUPERVISOR) for step in steps]
    if not any(lost):
        return None
    return [replace(step, lost=gone) for step, gone in zip(steps, lost, strict=True)]


def _zero_time(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    return [replace(step, wait=0.0) for step in steps] if steps else None


def _canned_answer(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    if not steps:
        return None
    call = {"call_id": "call-1", "tool_name": "cost_lookup"}
    script: list[tuple[str, dict[str, Any]]] = [
        (STARTED, {"status": "started"}),
        (THINKING, {"thought": "Thinking about the request.", "step": 1}),
        (TOOL_EXECUTING, {**call, "arguments": {}}),
        (TOOL_COMPLETED, {**call, "result": {"note": "done"}, "status": "completed"}),
        (CHUNK, {"chunk": CANNED_TEXT[:30], "chunk_index": 0}),
        (CHUNK, {"chunk": CANNED_TEXT[30:], "chunk_index": 1}),
        (COMPLETED, {"result": CANNED_TEXT, "status": "completed"}),
    ]
    return [Step(kind, 0.0, SUPERVISOR, data) for kind, data in script]


def _mark_duplicate(steps: list[Step], rng: random.Random) -> int | None:
    return _any_of(steps, rng, STARTED, THINKING, TOOL_EXECUTING, TOOL_COMPLETED)


def _mark_malformed(steps: list[Step], rng: random.Random) -> int | None:
    index = _any_of(steps, rng, CHUNK)
    return _any_of(steps, rng, THINKING) if index is None else index


def _mark_wrong_socket(steps: list[Step], rng: random.Random) -> int | None:
    return rng.randrange(len(steps)) if steps else None


def _mark_fan_out(steps: list[Step], rng: random.Random) -> int | None:
    return _any_of(steps, rng, THINKING, TOOL_EXECUTING, TOOL_COMPLETED, CHUNK)


def _mark(name: str, steps: list[Step], rng: random.Random, id_kinds: Sequence[str]) -> int | None:
    if name in _MARKS:
        return _MARKS[name](steps, rng)
    kinds = FORMS[name].kinds
    if kinds == (NAMES_RUN,):
        return _any_of(steps, rng, *id_kinds)
    # A kind first, so that chunks do not crowd out the others.
    there = [kind for kind in kinds if _where(steps, kind)]
    if not there:
        return None
    kind = rng.choice(there)
    # The first chunk: further on, the foreign text would tear apart an own reference that straddles two chunks.
    return _where(steps, CHUNK)[0] if kind == CHUNK else rng.choice(_where(steps, kind))


def _add_foreign_steps(
    steps: list[Step], wanted: frozenset[str], bites: Callable[[str], bool], rng: random.Random, other: Seen
) -> list[Step]:
    if "leak_split_chunks" in wanted:
        split = _split_chunks(steps, rng, other.reference)
        if split is not None and bites("leak_split_chunks"):
            steps = split
    for name in AFTER_END:
        if name in wanted and _completes(steps) and bites(name):
            # What is leaked is taken when it is sent: see leaks.send_wrongly.
            chunk = Step(CHUNK, 0.05 + 0.25 * rng.random(), SUPERVISOR, {"chunk": "", "chunk_index": 0}, faults=(name,))
            steps = [*steps, chunk]
    return steps


def _split_chunks(steps: list[Step], rng: random.Random, reference: str) -> list[Step] | None:
    """Behind the first chunk come the letters of a reference, one to four in a chunk, numbered like all the others. The
    answer at the end is the run's own."""
    chunks = _where(steps, CHUNK)
    if not chunks:
        return None
    first = steps[chunks[0]]
    letters: list[Step] = []
    rest = reference
    while rest:
        length = rng.randint(1, 4)
        letters.append(replace(first, data={**first.data, "chunk": rest[:length]}))
        rest = rest[length:]
    longer = [*steps[: chunks[0] + 1], *letters, *steps[chunks[0] + 1 :]]
    for number, index in enumerate(_where(longer, CHUNK)):
        longer[index] = replace(longer[index], data={**longer[index].data, "chunk_index": number})
    return longer


def _where(steps: list[Step], kind: str) -> list[int]:
    """Where steps of a kind are; a sub-agent's end does not count as an end."""
    return [
        index
        for index, step in enumerate(steps)
        if step.kind == kind
        and not set(step.faults) & set(AFTER_END)
        and not (kind == COMPLETED and step.data.get("nested"))
    ]


def _any_of(steps: list[Step], rng: random.Random, *kinds: str) -> int | None:
    found = [index for kind in kinds for index in _where(steps, kind)]
    return rng.choice(found) if found else None


def _completes(steps: list[Step]) -> bool:
    return bool(_where(steps, COMPLETED))


# In this order: what replaces the whole run first, what is appended last.
_EDITS: Mapping[str, Edit] = {
    "silent_run": _silent_run,
    "canned_answer": _canned_answer,
    "zero_time": _zero_time,
    "missing_event": _missing_event,
    "reordered_event": _reordered_event,
    "stall_mid_stream": _stall_mid_stream,
    "partial_result_lost": _partial_result_lost,
    "split_sessions": _split_sessions,
    **EDITS,
    "two_ends": _two_ends,
    "late_event": _late_event,
    **AGENT_EDITS,
}
_MARKS: Mapping[str, Callable[[list[Step], random.Random], int | None]] = {
    "duplicate_event": _mark_duplicate,
    "malformed_event": _mark_malformed,
    "leak_wrong_socket": _mark_wrong_socket,
    "leak_broadcast": _mark_wrong_socket,
    "fan_out_missing": _mark_fan_out,
}
_MARKED = (*_MARKS, *(name for name in FORMS if name not in AFTER_END))
