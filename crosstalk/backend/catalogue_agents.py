"""Faults of agents: discovery, starting and stopping, tools, timeouts, memory, and agents among themselves.

What each is taken for is a step of a journey, as a load test's record names it: "step FAMILY/STEP". Several steps are
joined by " or ".
"""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NETRA_ONLY = {"agui": "no: it has no such surface", "per_run": "no: it has no such surface"}
_NO_NESTED = {"per_run": "no: its agents inside a run have no ends"}
_NAMES_NO_USER = {
    "agui": "the reference is lost; its frames name no user",
    "per_run": "the reference is lost; its frames name no user",
}
_SEVERAL = {"per_run": "each run has a socket of its own"}

_LIFE: tuple[Fault, ...] = (
    Fault("discovery_empty", "discovery lists no server, no agent, no tool", "a request: GET /api/mcp/servers",
          "step agent_run/discovery", _NETRA_ONLY),
    Fault("discovery_lists_unknown", "discovery lists an agent that nobody can run", "a request: GET /api/mcp/servers",
          "step agent_run/agents_run", _NETRA_ONLY),
    Fault("agent_missing_from_health", "health knows an agent less than discovery", "a request: GET /health/agents",
          "step agent_run/agents_health", _NETRA_ONLY),
    Fault("config_disagrees", "timeouts are declared 1.9 times as long as they are", "a request: GET /api/mcp/config",
          "step agent_run/tool_timeout or agent_run/agent_timeout", _NETRA_ONLY),
    Fault("config_inverted", "the receive timeout is declared below the agent's", "a request: GET /api/mcp/config",
          "step agent_run/timeouts_declared", _NETRA_ONLY),
    Fault("status_stale", "a run that has ended is said to be running", "a request: the status of a run",
          "step agent_run/status", {shape: "GET of the run" for shape in ("agui", "per_run")}),
    Fault("http_start_without_events", "a run that is started over HTTP is heard of nowhere",
          "a request: POST /api/agents/execute, /api/agents/start", "step agent_run/start_http", _NETRA_ONLY),
    Fault("stop_ignored", "a stop is answered, and the run goes on", "a request: stop, by HTTP or by a frame",
          "step agent_run/stop_http or agent_run/stop_socket"),
    Fault("cancel_ignored_http", "a cancel is answered, and the run goes on", "a request: POST /api/agents/cancel",
          "step agent_run/cancel_http", _NETRA_ONLY),
    Fault("stop_ended_accepted", "a run that has ended is stopped without an error", "a request: its stop",
          "step agent_run/stop_ended"),
)  # fmt: skip

_TIMES: tuple[Fault, ...] = (
    Fault("slow_tool_cut", "the socket is closed while a tool is slow", "a run: with a slow tool",
          "step agent_run/slow_tool or agent_run/tool_timeout"),
    Fault("slow_tool_silent", "nothing is heard while a tool is slow", "a run: with a slow tool",
          "step agent_run/slow_tool"),
    Fault("agent_error_breaks_socket", "the socket is closed with 1011 after an agent's error", "a run: that fails",
          "step agent_run/after_error"),
    Fault("agent_error_unreadable", "an agent's error has neither code nor message", "a run: that fails",
          "step agent_run/agent_error"),
    Fault("agent_timeout_by_socket", "the socket is closed as the agent's time is over", "a run: that takes too long",
          "step agent_run/agent_timeout"),
    Fault("memory_forgotten", "nothing is remembered of the thread", "a run: asked what was said before",
          "step agent_run/memory"),
    Fault("memory_of_other_thread", "what was said in the user's other thread is remembered instead",
          "a run: asked what was said before", "step agent_run/memory_elsewhere or orchestration/parallel_threads"),
)  # fmt: skip

_TOGETHER: tuple[Fault, ...] = (
    Fault("handoff_slow", "whoever takes over begins after 3.3 s", "a run: with a hand-off",
          "step orchestration/handoff"),
    Fault("handoff_loses_owner", "whoever takes over knows neither the user nor the reference",
          "a run: with a hand-off",
          "step orchestration/handoff", _NAMES_NO_USER),
    Fault("nested_end_ends_all", "the end of an agent inside is taken for the run's: then silence",
          "a run: with two agents inside", "step orchestration/nested", _NO_NESTED),
    Fault("nested_unclosed", "the end of an agent inside is never said", "a run: with two agents inside",
          "step orchestration/nested", {**_NO_NESTED, "agui": "its STEP_FINISHED"}),
    Fault("nested_ends_swapped", "of two agents inside, the outer one ends first", "a run: with two agents inside",
          "step orchestration/nested", {**_NO_NESTED, "agui": "its STEP_FINISHED"}),
    Fault("parallel_run_lost", "while a run is in progress, the user's next one is dropped", "a run: beside an own one",
          "step orchestration/parallel_runs or orchestration/parallel_threads", _SEVERAL),
    Fault("parallel_runs_serialised", "while a run is in progress, the user's next one waits",
          "a run: beside an own one", "step orchestration/parallel_runs", _SEVERAL),
    Fault("parallel_text_mixed", "a piece of the user's newer run in the text of this one", "a run: beside an own one",
          "step orchestration/parallel_runs or orchestration/parallel_threads", _SEVERAL),
)  # fmt: skip

AGENTS: tuple[Fault, ...] = (*_LIFE, *_TIMES, *_TOGETHER)
