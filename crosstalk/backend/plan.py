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
slow tool                   calls ``archive_lookup``, which takes most of a second; meanwhile the agent says
                            that it waits
stuck tool                  calls ``archive_lookup``, which never answers: it is given up, the answer
                            says so, and the run completes
stuck agent                 thinks for ever: ends with ``agent_error`` (``AGENT_TIMEOUT``) when its time is over
delegate                    hands over to ``researcher``, which hands over to ``billing``; each completes under the same
                            run, the inner one first, and the first agent answers
fails at first              the first time in a thread, ends as ``impossible`` does; after that, in the usual way
impossible                  ends with ``agent_error`` (``AGENT_FAILED``) and no answer
long answer                 streams 36 to 44 chunks instead of 6 to 15; a very long answer, 150 to 170
full report                 streams 90 to 110 chunks of 240 to 800 characters: more than small buffers hold
what did I say before       repeats the references of earlier turns of the same thread
repeat this reference: T    repeats T (16 to 80 letters and digits; several with commas, spaces or "and", or several
                            times the phrase) whole in the answer, and gives it to every tool, whose result has it too
==========================  ==========================================================================================

Phrases combine. A private context's reference is repeated and given to tools like one of the prompt; a profile's
name is greeted.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from typing import Any

SUPERVISOR = "supervisor"
BILLING = "billing"
RESEARCHER = "researcher"

STARTED = "agent_started"
THINKING = "agent_thinking"
TOOL_EXECUTING = "tool_executing"
TOOL_COMPLETED = "tool_completed"
CHUNK = "agent_response_chunk"
HANDOFF = "agent_handoff"
COMPLETED = "agent_completed"
ERROR = "agent_error"
# No plan has it: a run that is cut short says what had come.
PARTIAL = "partial_result"
# Said while a tool is slow; no step of a plan.
PROGRESS = "progress_update"
# No plan has these: faults do.
NOTIFICATION = "thread_updated"
DEBUG = "debug_dump"

CHUNK_CHARS_MIN, CHUNK_CHARS_MEAN, CHUNK_CHARS_MAX = 12, 26, 40
# The chunks of a report are so many times longer.
REPORT_SCALE = 20
_TOKEN = r"[A-Za-z0-9]{16,80}(?![A-Za-z0-9])"
_REFERENCES = re.compile(
    rf"repeat (?:this|these) references?:[\s\"'(\[<]*({_TOKEN}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+){_TOKEN})*)",
    re.IGNORECASE,
)
_MEMORY = "what did i say before"
_FAILS_AT_FIRST = "fails at first"

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

ARCHIVE = "archive_lookup"
TOOLS = {
    "cost_lookup": "what an account costs",
    "usage_lookup": "what an account uses",
    "invoice_lookup": "the invoices of an account",
    "billing_lookup": "what billing knows of an account",
    ARCHIVE: "what is in the archive; slow",
}
#: stands in `Step.wait` for what never comes
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Ask:
    """What a turn asks, of which agent. `reference` is that of the private context, `name` that of the profile;
    `earlier` holds the references the agent remembers and is to repeat. `fails`: it cannot do it, this time."""

    prompt: str
    reference: str | None = None
    name: str | None = None
    earlier: tuple[str, ...] = ()
    fails: bool = False
    agent: str = SUPERVISOR


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a run, without ids and times.

    `wait` is what passes before it: a kind of delay, or seconds. `tells_progress`: while it is waited for, the agent
    says so. `faults` names the faults that may bite when it is sent, `lost` says that its frames are made and never
    arrive, `ownerless` that they name no user; a plan uses none of these. `data` is never changed once made.
    """

    kind: str
    wait: str | float
    agent: str
    data: dict[str, Any]
    tells_progress: bool = False
    faults: tuple[str, ...] = ()
    lost: bool = False
    ownerless: bool = False


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
    wait: str | float = "tool"

    @property
    def answers(self) -> bool:
        return self.wait != NEVER


def make_plan(ask: Ask, seed: int, *, text: str | None = None, hide_tool_errors: bool = False) -> Plan:
    """The run that answers `ask`. The same arguments always make the same plan.

    `text` and `hide_tool_errors` are for faults: an answer that comes from elsewhere, and tool errors that the agent
    takes for empty results.
    """
    rng = random.Random(f"{seed}/{ask.prompt}")
    lowered = ask.prompt.lower()
    scale = REPORT_SCALE if "full report" in lowered else 1
    chunk_count = rng.randint(*_chunk_range(lowered))
    references = references_of(ask.prompt)
    if ask.reference and ask.reference not in references:
        references = (*references, ask.reference)
    agent = BILLING if "hand over" in lowered else ask.agent
    tools = _tools(lowered)
    fails = ask.fails or "impossible" in lowered
    completes = not fails and "stuck agent" not in lowered
    if not completes:
        text = ""
    elif text is None:
        failed = tuple(tool for tool in tools if (tool.fails and not hide_tool_errors) or not tool.answers)
        text = _compose(ask, references, failed, chunk_count * scale, rng)
    steps = _open(ask.agent, rng, references)
    if agent != ask.agent:
        steps += _hand_over(ask.agent, agent, rng, references)
    for number, tool in enumerate(tools, start=1):
        steps += _call(tool, number, agent, references, rng, hide_tool_errors=hide_tool_errors)
    if not completes:
        steps.append(_no_answer(ask.agent, agent, references, fails=fails))
        return Plan("", references, tuple(steps))
    if "delegate" in lowered and agent == SUPERVISOR:
        steps += _delegate(agent, rng, references)
    for index, piece in enumerate(_split(text, chunk_count, rng, scale)):
        steps.append(Step(CHUNK, "chunk", agent, {"chunk": piece, "chunk_index": index}))
    if agent != ask.agent:
        steps.append(_inner_end(agent, text))
    steps.append(Step(COMPLETED, "complete", ask.agent, {"result": text, "status": "completed"}))
    return Plan(text, references, tuple(steps))


def _chunk_range(lowered: str) -> tuple[int, int]:
    """At least and at most."""
    if "full report" in lowered:
        return 90, 110
    return (150, 170) if "very long answer" in lowered else (36, 44) if "long answer" in lowered else (6, 15)


def references_of(prompt: str) -> tuple[str, ...]:
    """The references that a prompt asks to repeat, in order and each once."""
    found: dict[str, None] = {}
    for match in _REFERENCES.finditer(prompt):
        found.update(dict.fromkeys(re.findall(_TOKEN, match.group(1))))
    return tuple(found)


def asks_memory(prompt: str) -> bool:
    """Whether the prompt asks for what was said earlier in its thread."""
    return _MEMORY in prompt.lower()


def fails_at_first(prompt: str) -> bool:
    """Whether the prompt is one that an agent fails at, unless it was said in its thread before."""
    return _FAILS_AT_FIRST in prompt.lower()


def _tools(lowered: str) -> tuple[_Tool, ...]:
    tools: list[_Tool] = []
    if "look up" in lowered or "compare" in lowered:
        tools.append(_Tool("cost_lookup"))
    if "compare" in lowered:
        tools.append(_Tool("usage_lookup"))
    if "failing tool" in lowered:
        tools.append(_Tool("invoice_lookup", fails=True))
    if "slow tool" in lowered:
        tools.append(_Tool(ARCHIVE, wait="slow_tool"))
    if "stuck tool" in lowered:
        tools.append(_Tool(ARCHIVE, wait=NEVER))
    if "hand over" in lowered and not tools:
        tools.append(_Tool("billing_lookup"))
    return tuple(tools)


def _compose(
    ask: Ask, references: tuple[str, ...], failed: tuple[_Tool, ...], chunk_count: int, rng: random.Random
) -> str:
    """The answer: what must be said, with filler between, long enough for `chunk_count` chunks of the usual length."""
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


def _split(text: str, count: int, rng: random.Random, scale: int = 1) -> list[str]:
    """Cut into pieces of 12 to 40 characters (times `scale`) that concatenate to `text`: `count` of them where the
    length allows it."""
    longest, shortest = CHUNK_CHARS_MAX * scale, CHUNK_CHARS_MIN * scale
    count = max(1, min(max(count, -(-len(text) // longest)), len(text) // shortest))
    base, extra = divmod(len(text), count)
    sizes = [base + 1] * extra + [base] * (count - extra)
    for index in range(0, count - 1, 2):
        room = min(longest - sizes[index], sizes[index + 1] - shortest)
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


def _open(agent: str, rng: random.Random, references: tuple[str, ...]) -> list[Step]:
    steps = [Step(STARTED, "accept", agent, {"status": "started"})]
    for number in range(1, rng.choice((2, 2, 3))):
        steps.append(_thinking(agent, number, rng, references))
    return steps


def _thinking(agent: str, number: int, rng: random.Random, references: tuple[str, ...]) -> Step:
    about = f" for {', '.join(references)}" if references else ""
    return Step(THINKING, "thinking", agent, {"thought": f"{rng.choice(_THOUGHTS)}{about}.", "step": number})


def _hand_over(from_: str, to: str, rng: random.Random, references: tuple[str, ...]) -> list[Step]:
    passed_on = {"from": from_, "to": to, "references": list(references)}
    return [
        Step(HANDOFF, "handoff", from_, passed_on),
        Step(STARTED, "accept", to, {"status": "started", "nested": True}),
        _thinking(to, 1, rng, references),
    ]


def _inner_end(agent: str, text: str) -> Step:
    """The end of an agent inside the run of another one."""
    return Step(COMPLETED, "handoff", agent, {"result": text, "status": "completed", "nested": True})


def _delegate(agent: str, rng: random.Random, references: tuple[str, ...]) -> list[Step]:
    """Two agents inside the run, the second one inside the first; what they found is for the agent that asked."""
    found = f"Found for {', '.join(references)}." if references else "Found."
    return [
        *_hand_over(agent, RESEARCHER, rng, references),
        *_hand_over(RESEARCHER, BILLING, rng, references),
        _inner_end(BILLING, found),
        _inner_end(RESEARCHER, found),
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
    """A tool is called with what the turn brought along, and its result names what it was called with.

    One that never answers has the result that it gets when it is given up.
    """
    about = f" for {', '.join(references)}" if references else ""
    call = {"call_id": f"call-{number}", "tool_name": tool.name}
    arguments = {"question": tool.name.replace("_", " "), "references": list(references)}
    answer: dict[str, Any]
    if not tool.answers:
        answer = {"result": {}, "status": "error", "error": f"{tool.name}: no answer in time{about}"}
    elif not tool.fails:
        result = {"amount": rng.randint(1_000, 99_999) / 100, "currency": "EUR", "references": list(references)}
        answer = {"result": result, "status": "completed"}
    elif hide_tool_errors:
        answer = {"result": {}, "status": "completed"}
    else:
        answer = {"result": {}, "status": "error", "error": f"{tool.name}: the service answered 503{about}"}
    return [
        Step(TOOL_EXECUTING, "chunk", agent, {**call, "arguments": arguments}),
        Step(TOOL_COMPLETED, tool.wait, agent, {**call, **answer}, tells_progress=tool.wait != "tool"),
    ]


def _no_answer(agent: str, at_work: str, references: tuple[str, ...], *, fails: bool) -> Step:
    """How a run goes on that brings nothing: it fails, or its agent thinks for ever."""
    if not fails:
        return Step(THINKING, NEVER, at_work, {"thought": "Still thinking.", "step": 2})
    about = f" (reference {', '.join(references)})" if references else ""
    message = f"The agent could not do what was asked{about}."
    return Step(ERROR, "complete", agent, {"error_code": "AGENT_FAILED", "error_message": message})
