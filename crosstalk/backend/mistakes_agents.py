"""Faults of agents among themselves, of their tools and of their ends: edits of a run's steps, and events at which the
socket goes.

As in mistakes.py, an edit answers None where the run offers no opportunity.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crosstalk.backend.events import Event
from crosstalk.backend.plan import CHUNK, COMPLETED, ERROR, HANDOFF, PROGRESS, Step

#: a hand-off that is slow takes so much longer than anybody wants to wait for it
SLOW_HANDOFF_S = 3.3
#: stands where the agent that took over does not know the reference any more
FORGOTTEN = "(unknown)"


@dataclass(frozen=True, slots=True)
class Cut:
    """The sockets of a run go at one of its events. `says`: the event itself is still sent."""

    fault: str
    code: int
    reason: bytes
    says: bool


def cut_of(event: Event) -> Cut | None:
    """What might go wrong with the socket at this event; whether it does, the fault's draw decides."""
    if event.kind == PROGRESS:
        return Cut("slow_tool_cut", 1001, b"receive timeout", says=False)
    if event.kind != ERROR:
        return None
    if event.data["error_code"] == "AGENT_TIMEOUT":
        return Cut("agent_timeout_by_socket", 1001, b"receive timeout", says=False)
    if event.data["error_code"] == "AGENT_FAILED":
        return Cut("agent_error_breaks_socket", 1011, b"internal error", says=True)
    return None


#: every fault that `cut_of` names
CUTS = frozenset({"slow_tool_cut", "agent_timeout_by_socket", "agent_error_breaks_socket"})


def _slow_tool_silent(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    return _changed(steps, lambda step: step.tells_progress, lambda step: replace(step, tells_progress=False))


def _agent_error_unreadable(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    def blank(step: Step) -> Step:
        return replace(step, data={**step.data, "error_code": "", "error_message": ""})

    return _changed(steps, lambda step: step.kind == ERROR, blank)


def _handoff_slow(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    after = [index + 1 for index, step in enumerate(steps[:-1]) if step.kind == HANDOFF]
    if not after:
        return None
    return [replace(step, wait=SLOW_HANDOFF_S) if index == after[0] else step for index, step in enumerate(steps)]


def _handoff_loses_owner(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """Whoever takes over knows neither the user nor what the turn brought along."""
    handed = next((index for index, step in enumerate(steps) if step.kind == HANDOFF), None)
    if handed is None:
        return None
    references, from_ = tuple(steps[handed].data["references"]), steps[handed].data["from"]
    rest = [
        replace(step, data=_without(step.data, references), ownerless=step.agent != from_)
        for step in steps[handed + 1 :]
    ]
    return [*steps[: handed + 1], *_rechunked(rest, references)]


def _rechunked(steps: list[Step], references: tuple[str, ...]) -> list[Step]:
    """The chunks make up the text at the end again, in which the references are no more."""
    text = _without("".join(step.data["chunk"] for step in steps if step.kind == CHUNK), references)
    chunks = [index for index, step in enumerate(steps) if step.kind == CHUNK]
    changed, start = list(steps), 0
    for number, index in enumerate(chunks, 1):
        end = len(text) * number // len(chunks)
        changed[index] = replace(steps[index], data={**steps[index].data, "chunk": text[start:end]})
        start = end
    return changed


def _without(value: Any, references: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(one, references) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, references) for one in value if one not in references]
    if isinstance(value, str):
        for reference in references:
            value = value.replace(reference, FORGOTTEN)
    return value


def _nested_end_ends_all(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """The end of an agent inside is taken for that of the run: nothing comes after it."""
    ends = _ends_inside(steps)
    return steps[: ends[0] + 1] if len(ends) > 1 else None


def _nested_unclosed(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """The end of an agent inside is never said."""
    ends = _ends_inside(steps)
    return steps[: ends[0]] + steps[ends[0] + 1 :] if len(ends) > 1 else None


def _nested_ends_swapped(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """Of two agents inside, the outer one ends before the inner one."""
    ends = _ends_inside(steps)
    if len(ends) < 2:
        return None
    swapped = list(steps)
    swapped[ends[0]], swapped[ends[1]] = steps[ends[1]], steps[ends[0]]
    return swapped


def _ends_inside(steps: list[Step]) -> list[int]:
    """Where agents inside the run end. One that was handed over to has nobody beside it: what is wrong with ends inside
    needs two."""
    return [index for index, step in enumerate(steps) if step.kind == COMPLETED and step.data.get("nested")]


def _changed(steps: list[Step], wanted: Callable[[Step], bool], change: Callable[[Step], Step]) -> list[Step] | None:
    if not any(map(wanted, steps)):
        return None
    return [change(step) if wanted(step) else step for step in steps]


AGENT_EDITS: Mapping[str, Callable[[list[Step], random.Random], list[Step] | None]] = {
    "slow_tool_silent": _slow_tool_silent,
    "agent_error_unreadable": _agent_error_unreadable,
    "handoff_slow": _handoff_slow,
    "handoff_loses_owner": _handoff_loses_owner,
    "nested_end_ends_all": _nested_end_ends_all,
    "nested_unclosed": _nested_unclosed,
    "nested_ends_swapped": _nested_ends_swapped,
}
