"""Families of journeys: what people do on an agent chat, each by its name in records, limits and tags."""

from __future__ import annotations

#: name → how it is called on paper
FAMILIES: dict[str, str] = {
    "sign_in": "sign-in",
    "connection": "connection",
    "five_events": "five events",
    "agent_run": "agent run",
    "streaming": "streaming",
    "orchestration": "orchestration",
    "messages": "messages and threads",
    "recovery": "recovery",
    "limits": "limits",
    "newcomer": "newcomer",
    "soak": "soak",
}

#: how a step, and a journey, can come out
OK, FAILED, CUT, NOT_OFFERED = "ok", "failed", "cut", "not_offered"
