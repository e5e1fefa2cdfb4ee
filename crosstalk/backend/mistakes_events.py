"""Faults of what an agent says: edits of a run's steps, as those of mistakes.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from crosstalk.backend.plan import CHUNK, COMPLETED, SUPERVISOR, TOOL_COMPLETED, Step

Edit = Callable[[list[Step], random.Random], list[Step] | None]


def _tool_pair_broken(steps: list[Step], rng: random.Random) -> list[Step] | None:
    results = [index for index, step in enumerate(steps) if step.kind == TOOL_COMPLETED]
    if not results:
        return None
    index = rng.choice(results)
    broken = replace(steps[index], data={**steps[index].data, "call_id": "call-of-nobody"})
    return [*steps[:index], broken, *steps[index + 1 :]]


def _nothing_streamed(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    rest = [step for step in steps if step.kind != CHUNK]
    return rest if len(rest) < len(steps) else None


def _chunks_held_back(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """A buffer on the way: it takes as long as ever, and then all of it comes at once."""
    chunks = _chunks(steps)
    return (
        [replace(step, wait=0.0) if index in chunks[1:] else step for index, step in enumerate(steps)]
        if chunks
        else None
    )


def _chunk_swapped(steps: list[Step], rng: random.Random) -> list[Step] | None:
    chunks = _chunks(steps)
    if len(chunks) < 2:
        return None
    first = rng.randrange(len(chunks) - 1)
    a, b = chunks[first], chunks[first + 1]
    swapped = list(steps)
    swapped[a], swapped[b] = replace(steps[a], data=steps[b].data), replace(steps[b], data=steps[a].data)
    return swapped


def _final_text_differs(steps: list[Step], _rng: random.Random) -> list[Step] | None:
    """The whole text is put together anew for the end, and its last sentence is left out."""
    ends = [n for n, step in enumerate(steps) if step.kind == COMPLETED and step.agent == SUPERVISOR]
    if not ends or not _chunks(steps):
        return None
    end = steps[ends[0]]
    shorter = str(end.data["result"]).removesuffix("That is all.")
    return [replace(step, data={**step.data, "result": shorter}) if step is end else step for step in steps]


def _chunks(steps: list[Step]) -> list[int]:
    return [index for index, step in enumerate(steps) if step.kind == CHUNK]


EDITS: Mapping[str, Edit] = {
    "tool_pair_broken": _tool_pair_broken,
    "nothing_streamed": _nothing_streamed,
    "chunks_held_back": _chunks_held_back,
    "chunk_swapped": _chunk_swapped,
    "final_text_differs": _final_text_differs,
}
