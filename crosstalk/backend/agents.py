"""Who works here: the agents, what each is for, and how long it and its tools may take.

One table, of which discovery, the configuration and the runs themselves are made: what is declared is what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from crosstalk.backend.plan import ARCHIVE, BILLING, RESEARCHER, SUPERVISOR

#: while a tool is slow, its agent says every so many seconds that it waits
PROGRESS_EVERY_S = 0.25
#: a tool must be given up long before its agent is: at most this share of the agent's time
TOOL_SHARE_MAX = 0.5
#: tools that are given up after so many seconds; the others are waited for as long as their agent may take
_TOOL_TIMEOUTS_S: Mapping[str, float] = {ARCHIVE: 1.0}


@dataclass(frozen=True, slots=True)
class Agent:
    """`timeout_s_max`: its runs are given up after so many seconds at most; None: the backend's own time."""

    role: str
    timeout_s_max: float | None = None


AGENTS: Mapping[str, Agent] = {
    SUPERVISOR: Agent("answers, calls tools and hands over"),
    BILLING: Agent("answers what is handed over to it"),
    RESEARCHER: Agent("looks into archives; is given up sooner than the others", timeout_s_max=2.5),
}


def agent_timeout_s(agent: str, backend_s: float) -> float:
    """After how long a run of this agent is given up, in a backend whose runs have `backend_s` seconds."""
    most_s = AGENTS[agent].timeout_s_max
    return backend_s if most_s is None else min(most_s, backend_s)


def tool_timeouts_s(backend_s: float) -> dict[str, float]:
    """Tool → after how long it is given up, whichever agent calls it."""
    least_s = min(agent_timeout_s(agent, backend_s) for agent in AGENTS)
    return {tool: min(own_s, TOOL_SHARE_MAX * least_s) for tool, own_s in _TOOL_TIMEOUTS_S.items()}


def tool_timeout_s(tool: str, backend_s: float) -> float:
    """After how long one tool is given up; infinite for one that has no time of its own."""
    return tool_timeouts_s(backend_s)[tool] if tool in _TOOL_TIMEOUTS_S else math.inf
