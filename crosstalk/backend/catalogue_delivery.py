"""Faults of delivery, of the life of a socket, and of the process as a whole."""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NOTHING_SENT = {"per_run": "no: its client sends nothing"}
_BEFORE_CLOSE = {"per_run": "between run.done and the close"}

DELIVERY: tuple[Fault, ...] = (
    # delivery
    Fault("missing_event", "a required event is never sent", "a run: a tool result, else all thinking", "missing"),
    Fault(
        "duplicate_event", "one event is sent twice, byte for byte", "a run: any event but a chunk or end", "duplicate"
    ),
    Fault(
        "reordered_event", "two neighbouring events change places", "a run: its start, or a tool call", "out_of_order"
    ),
    Fault("late_event", "one more thought 0.3 to 1 s after the end", "a run: after its end", "late", _BEFORE_CLOSE),
    Fault("malformed_event", "an event is cut in the middle of its JSON", "a run: a chunk", "malformed"),
    Fault("two_ends", "the run completes and then fails as well", "a run: its end", "duplicate end"),
    Fault("silent_run", "the run is accepted and no event is ever sent", "a run: all of it", "timeout"),
    Fault("stall_mid_stream", "half of the answer, then silence for ever", "a run: its chunks", "timeout"),
    Fault("partial_result_lost", "one chunk of the answer is lost on its way", "a run: its chunks", "text differs"),
    Fault(
        "split_sessions",
        "what an agent says goes to a second, unconnected manager",
        "a run: all but its ends",
        "missing",
    ),
    Fault(
        "tool_error_swallowed", "a failed tool passes for an empty result", "a run: with a failing tool", "wrong result"
    ),
    Fault("canned_answer", "a fixed answer at once, nothing was run", "a run: all of it", "no reference came back"),
    Fault("zero_time", "every event at once, as if run: 0.00 s", "a run: all of it", "time alone: service_time near 0"),
    Fault(
        "cascading_cancel", "one cancel ends other users' runs too", "a run: while another user cancels", "agent_error"
    ),
    # life of a socket
    Fault(
        "close_1011",
        "the first client message closes the socket with 1011",
        "a socket: first message",
        "disconnected",
        _NOTHING_SENT,
    ),
    Fault(
        "lost_before_ready",
        "messages of the first 300 ms are dropped",
        "a socket: when it is ready",
        "timeout",
        {"per_run": "events of the first 300 ms are dropped"},
    ),
    Fault(
        "idle_cut",
        "a socket silent for 3 s is closed with 1001, agents take 4 s",
        "a socket: its silence",
        "disconnected",
    ),
    Fault("wrong_path", "the socket path answers 404", "a socket: its upgrade", "not ready"),
    Fault("id_refused", "ids like k3f00017 are refused: 1011", "a socket: after the upgrade", "close 1011"),
    # the process
    Fault(
        "env_missing", "no settings: health 503, sockets close with 1011", "the process: from its start", "not ready"
    ),
    Fault("startup_slow", "for 5 s everything but /health/live is 503", "the process: from its start", "not ready"),
    Fault("cache_down", "health says degraded, agents take 2.5 times as long", "the process: its cache", "degraded"),
    Fault(
        "router_growth",
        "a handler per connection, none dropped: the first live one serves all",
        "a run: its route",
        "channel 1, timeout",
        {"agui": "the first live socket of this shape", "per_run": "the first live socket; content alone shows it"},
    ),
)
