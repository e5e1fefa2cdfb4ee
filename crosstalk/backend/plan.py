"""What an agent does with a turn: a pure function of what was asked and a seed, with no clock and no I/O.

The words of the prompt choose, wherever they stand and however they are capitalised:

==========================  ==========================================================================================
phrase                      what the agent does
==========================  ==========================================================================================
look up                     calls one tool, ``cost_lookup``
compare                     calls two tools, ``cost_lookup`` and ``usage_lookup``
failing tool                calls ``invoice_lookup``, which fails; the answer says so, and the run completes
hand over                   hands over to the agent ``billing``, which calls its tools (at least ``billing_lookup``),
                            streams the answer and completes under the same run
impossible                  ends with ``agent_error`` (``AGENT_FAILED``) and no answer
long answer                 streams 36 to 44 chunks instead of 6 to 15
what did I say before       repeats the references of earlier turns of the same thread
repeat this reference: T    repeats T (16 to 80 letters and digits; several with commas, spaces or "and", or several
                            times the phrase) whole in the answer, and gives it to every tool, whose result has it too
==========================  ==========================================================================================

Phrases combine. A private context's reference is repeated and given to tools like one of the prompt; a profile's
name is greeted.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

SUPERVISOR = "supervisor"
BILLING = "billing"

STARTED = "agent_started"
THINKING = "agent_thinking"
TOOL_EXECUTING = "tool_executing"
TOOL_COMPLETED = "tool_completed"
CHUNK = "agent_response_chunk"
HANDOFF = "agent_handoff"
COMPLETED = "agent_completed"
ERROR = "agent_error"
# No plan has these: faults do.
PROGRESS = "progress_update"
NOTIFICATION = "thread_updated"
DEBUG = "debug_dump"

CHUNK_CHARS_MIN, CHUNK_CHARS_MEAN, CHUNK_CHARS_MAX = 12, 26, 40
_TOKEN = r"[A-Za-z0-9]{16,80}(?![A-Za-z0-9])"
_REFERENCES = re.compile(
    rf"repeat (?:this|these) references?:[\s\"'(\[<]*({_TOKEN}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+){_TOKEN})*)",
    re.IGNORECASE,
)
_MEMORY = "what did i say before"

_FILLER = (
    "The figures of this month are in line with the last one. ",
    "Nothing in the account needs attention today. ",
    "The smaller plan covers what is used on most days. ",
    "Costs follow usage here, so a quiet week shows at once. ",
    "I checked the limits as well and none is near. ",
    "The next invoice is due at the end of the month. ",
    "A yearly plan would save about a tenth of the price. ",
    "There is no open question left from my side. ",
    "Storage is the largest item, compute the second. ",
    "Two seats have not been used for a while. ",
    "The trend is flat over the last three months. ",
    "Changing the plan takes effect on the first day. ",
)
_THOUGHTS = (
    "Reading what is asked",
    "Looking at what is known so far",
    "Choosing the next step",
    "Putting the answer together",
)


TOOLS = {
    "cost_lookup": "what an account costs",
    "usage_lookup": "what an account uses",
    "invoice_lookup": "the invoices of an account",
    "billing_lookup": "what billing knows of an account",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a turn asks. `reference` is that of the private context, `name` that of the profile; `earlier` holds the
    references the agent remembers and is to repeat."""

    prompt: str
    reference: str | None = None
    name: str | None = None
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a run, without ids and times.

    `wait` is what passes before it: a kind of delay, or seconds. `faults` names the faults that may bite when it is
    sent, `lost` says that its frames are made and never arrive; a plan uses neither. `data` is never changed once made.
    """

    kind: str
    wait: str | float
    agent: str
    data: dict[str, Any]
    faults: tuple[str, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`text` is the whole answer (empty where the run fails), `references` what the turn brought along."""

    text: str
    references: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Tool:
    name: str
    fails: bool = False


def make_plan(ask: Ask, seed: int, *, text: str | None = None, hide_tool_errors: bool = False) -> Plan:
    """The run that answers `ask`. The same arguments always make the same plan.

    `text` and `hide_tool_errors` are for faults: an answer that comes from elsewhere, and tool errors that the agent
    takes for empty results.
    """
    rng = random.Random(f"{seed}/{ask.prompt}")
    lowered = ask.prompt.lower()
    chunk_count = rng.randint(36, 44) if "long answer" in lowered else rng.randint(6, 15)
    references = references_of(ask.prompt)
    if ask.reference and ask.reference not in references:
        references = (*references, ask.reference)
    tools = _tools(lowered)
    if "hand over" in lowered and not tools:
        tools = (_Tool("billing_lookup"),)
    fails = "impossible" in lowered
    if fails:
        text = ""
    elif text is None:
        failed = () if hide_tool_errors else tuple(tool for tool in tools if tool.fails)
        text = _compose(ask, references, failed, chunk_count, rng)
    steps = _open(rng, references)
    agent = SUPERVISOR
    if "hand over" in lowered:
        agent = BILLING
        steps += _hand_over(rng, references)
    for number, tool in enumerate(tools, start=1):
        steps += _call(tool, number, agent, references, rng, hide_tool_errors=hide_tool_errors)
    if fails:
        steps.append(_failure(references))
        return Plan("", references, tuple(steps))
    for index, piece in enumerate(_split(text, chunk_count, rng)):
        steps.append(Step(CHUNK, "chunk", agent, {"chunk": piece, "chunk_index": index}))
    if agent == BILLING:
        steps.append(
            Step(COMPLETED, "handoff", BILLING, {"result": text, "status": "completed", "nested": True}),
        )
    steps.append(Step(COMPLETED, "complete", SUPERVISOR, {"result": text, "status": "completed"}))
    return Plan(text, references, tuple(steps))


def references_of(prompt: str) -> tuple[str, ...]:
    """The references that a prompt asks to repeat, in order and each once."""
    found: dict[str, None] = {}
    for match in _REFERENCES.finditer(prompt):
        found.update(dict.fromkeys(re.findall(_TOKEN, match.group(1))))
    return tuple(found)


def asks_memory(prompt: str) -> bool:
    """Whether the prompt asks for what was said earlier in its thread."""
    return _MEMORY in prompt.lower()


def _tools(lowered: str) -> tuple[_Tool, ...]:
    tools: list[_Tool] = []
    if "look up" in lowered or "compare" in lowered:
        tools.append(_Tool("cost_lookup"))
    if "compare" in lowered:
        tools.append(_Tool("usage_lookup"))
    if "failing tool" in lowered:
        tools.append(_Tool("invoice_lookup", fails=True))
    return tuple(tools)


def _compose(
    ask: Ask, references: tuple[str, ...], failed: tuple[_Tool, ...], chunk_count: int, rng: random.Random
) -> str:
    """The answer: what must be said, with filler between, long enough for `chunk_count` chunks."""
    head = f"Hello {ask.name}. " if ask.name else ""
    tail = "".join(f"The tool {tool.name} failed, so its figures are left out. " for tool in failed)
    if ask.earlier:
        tail += f"Earlier you gave me {', '.join(ask.earlier)}. "
    if references:
        tail += f"Your reference is {' and '.join(references)}. "
    tail += "That is all."
    wanted_chars = chunk_count * CHUNK_CHARS_MEAN - len(head) - len(tail)
    filler = ""
    while len(filler) < wanted_chars:
        filler += rng.choice(_FILLER)
    return head + filler + tail


def _split(text: str, count: int, rng: random.Random) -> list[str]:
    """Cut into pieces of 12 to 40 characters that concatenate to `text`: `count` of them where the length allows it."""
    count = max(1, min(max(count, -(-len(text) // CHUNK_CHARS_MAX)), len(text) // CHUNK_CHARS_MIN))
    base, extra = divmod(len(text), count)
    sizes = [base + 1] * extra + [base] * (count - extra)
    for index in range(0, count - 1, 2):
        room = min(CHUNK_CHARS_MAX - sizes[index], sizes[index + 1] - CHUNK_CHARS_MIN)
        if room > 0:
            shift = rng.randint(0, room)
            sizes[index] += shift
            sizes[index + 1] -= shift
    pieces: list[str] = []
    start = 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return pieces


def _open(rng: random.Random, references: tuple[str, ...]) -> list[Step]:
    steps = [Step(STARTED, "accept", SUPERVISOR, {"status": "started"})]
    for number in range(1, rng.choice((2, 2, 3))):
        steps.append(_thinking(SUPERVISOR, number, rng, references))
    return steps


def _thinking(agent: str, number: int, rng: random.Random, references: tuple[str, ...]) -> Step:
    about = f" for {', '.join(references)}" if references else ""
    return Step(THINKING, "thinking", agent, {"thought": f"{rng.choice(_THOUGHTS)}{about}.", "step": number})


def _hand_over(rng: random.Random, references: tuple[str, ...]) -> list[Step]:
    passed_on = {"from": SUPERVISOR, "to": BILLING, "references": list(references)}
    return [
        Step(HANDOFF, "handoff", SUPERVISOR, passed_on),
        Step(STARTED, "accept", BILLING, {"status": "started", "nested": True}),
        _thinking(BILLING, 1, rng, references),
    ]


def _call(
    tool: _Tool,
    number: int,
    agent: str,
    references: tuple[str, ...],
    rng: random.Random,
    *,
    hide_tool_errors: bool,
) -> list[Step]:
    """A tool is called with what the turn brought along, and its result names what it was called with."""
    call = {"call_id": f"call-{number}", "tool_name": tool.name}
    arguments = {"question": tool.name.replace("_", " "), "references": list(references)}
    answer: dict[str, Any]
    if not tool.fails:
        result = {"amount": rng.randint(1_000, 99_999) / 100, "currency": "EUR", "references": list(references)}
        answer = {"result": result, "status": "completed"}
    elif hide_tool_errors:
        answer = {"result": {}, "status": "completed"}
    else:
        about = f" for {', '.join(references)}" if references else ""
        answer = {"result": {}, "status": "error", "error": f"{tool.name}: the service answered 503{about}"}
    return [
        Step(TOOL_EXECUTING, "chunk", agent, {**call, "arguments": arguments}),
        Step(TOOL_COMPLETED, "tool", agent, {**call, **answer}),
    ]


def _failure(references: tuple[str, ...]) -> Step:
    about = f" (reference {', '.join(references)})" if references else ""
    message = f"The agent could not do what was asked{about}."
    return Step(ERROR, "complete", SUPERVISOR, {"error_code": "AGENT_FAILED", "error_message": message})
