"""What must hold of agents beyond the order of one run's events: nesting, times, runs at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from crosstalk.wire.event import Event, Kind

#: what was declared is kept if what was observed is between these shares of it, and so much longer for the way
KEPT_FROM, KEPT_TO, WAY_S = 0.75, 1.5, 1.0


def ill_nested(events: Iterable[Event]) -> str:
    """What is wrong with the agents of a run, as their `started` and `completed` tell it; "" where nothing is.

    Well-nested: whoever began last ends first, nobody but the first agent is in the run at its start and its end, and
    at least one agent worked inside it.
    """
    at_work: list[str] = []
    inside = 0
    for event in events:
        if event.kind is Kind.STARTED:
            inside += bool(at_work)
            at_work.append(event.agent)
        elif event.kind is Kind.COMPLETED:
            if not at_work:
                return f"{event.agent} ended, and nobody was at work"
            if event.agent != at_work[-1]:
                return f"{event.agent} ended while {at_work[-1]} was at work inside"
            at_work.pop()
    if at_work:
        return f"no end of {', '.join(reversed(at_work))}"
    return "" if inside else "no agent inside the run"


def is_kept(declared_s: float, observed_s: float) -> bool:
    """Is a timeout observed as it is declared? What was observed from here may be shorter by a late begin and longer by
    the way; the bounds are wide, for a machine that is busy."""
    return KEPT_FROM * declared_s <= observed_s <= KEPT_TO * declared_s + WAY_S


def out_of_hierarchy(receive_s: float, agents_s: Mapping[str, float], tools_s: Mapping[str, float]) -> str:
    """What of the declared timeouts is not longer than what it must outlast; "" where receive > agent > tool."""
    for agent, agent_s in agents_s.items():
        if receive_s <= agent_s:
            return f"receive {receive_s:g} s, agent {agent} {agent_s:g} s"
    shortest = min(agents_s, key=lambda agent: agents_s[agent], default="")
    for tool, tool_s in tools_s.items():
        if shortest and agents_s[shortest] <= tool_s:
            return f"agent {shortest} {agents_s[shortest]:g} s, tool {tool} {tool_s:g} s"
    return ""


def went_on_together(spans: Sequence[tuple[int | None, int | None]]) -> bool:
    """Were all of these runs, each from its first event to its end, in progress at one instant?"""
    begins = [begin for begin, _ in spans if begin is not None]
    ends = [end for _, end in spans if end is not None]
    return len(begins) == len(ends) == len(spans) > 1 and max(begins) < min(ends)
