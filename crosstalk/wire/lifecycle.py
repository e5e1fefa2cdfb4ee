"""The lifecycle that a run is checked against: a table, state → symbol → state. A missing entry is a violation.

A symbol is an event's kind, but for two: a `started` or `completed` of an agent that is not the run's first agent is
`nested_started` or `nested_completed` (a hand-off runs another agent inside the same run).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crosstalk.wire.event import Kind

State = str
Symbol = str

NESTED_STARTED = "nested_started"
NESTED_COMPLETED = "nested_completed"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Legal moves of a run, and the kinds without which it is not complete.

    `required` is what every run that ends with COMPLETED must have shown; prompts may expect more. A run that ends with
    ERROR is complete as it stands. `chunks_make_final_text`: the chunks, joined, are the text of the end event.
    """

    initial: State
    moves: Mapping[State, Mapping[Symbol, State]]
    ended: frozenset[State]
    required: tuple[Kind, ...] = ()
    chunks_make_final_text: bool = False

    def move(self, state: State, symbol: Symbol) -> State | None:
        """The next state; None when the move is illegal."""
        return self.moves.get(state, {}).get(symbol)

    def diagram(self) -> str:
        """The table as lines `state --symbol--> state`, for documents and messages."""
        return "\n".join(
            f"{state} --{symbol}--> {target}" for state, row in self.moves.items() for symbol, target in row.items()
        )


_WORK: dict[Symbol, State] = {
    Kind.THINKING: "working",
    Kind.TOOL_EXECUTING: "working",
    Kind.TOOL_COMPLETED: "working",
    Kind.CHUNK: "working",
    Kind.HANDOFF: "working",
    Kind.NOTICE: "working",
    NESTED_STARTED: "started",
    NESTED_COMPLETED: "working",
    Kind.COMPLETED: "completed",
    Kind.ERROR: "failed",
}

#: started → thinking+ → (tools, chunks, hand-offs, …)* → completed, or an error anywhere after the prompt
FIVE_EVENTS = Lifecycle(
    initial="prompted",
    moves={
        "prompted": {Kind.STARTED: "started", Kind.NOTICE: "prompted", Kind.ERROR: "failed"},
        "started": {
            Kind.THINKING: "working",
            Kind.NOTICE: "started",
            Kind.HANDOFF: "started",
            NESTED_STARTED: "started",
            Kind.ERROR: "failed",
        },
        "working": _WORK,
    },
    ended=frozenset({"completed", "failed"}),
    required=(Kind.STARTED, Kind.THINKING, Kind.COMPLETED),
    chunks_make_final_text=True,
)
