"""The catalogue of faults: everything a backend can be told to do wrong, where it bites, and in which shapes.

An opportunity is one run; or one socket, request or process where the catalogue says so, however many events it has.
The account is that of the user whose run, socket or request it is: with a leak the one who sees what is another's, with
``leak_wrong_socket`` and ``router_growth`` the one whose events go astray, with ``cascading_cancel`` the one whose run
is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SHAPES = ("netra", "agui", "per_run")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing a backend can do wrong.

    `judged_as` is what a judge should call it: a violation, an outcome, or the isolation channel it shows on.
    `remarks`: what a shape has of its own, "no: why" where the fault has no place in it.
    """

    name: str
    what: str
    where: str
    judged_as: str
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_process(self) -> bool:
        """Whether it concerns the process, so that an account or another user's run decides nothing."""
        return self.where.startswith("the process")

    def applies(self, shape: str) -> bool:
        return not self.remarks.get(shape, "").startswith("no:")


_NO_IDS = {"per_run": "no: its frames name no run"}
_NOTHING_SENT = {"per_run": "no: its client sends nothing"}
_BEFORE_CLOSE = {"per_run": "between run.done and the close"}
_NO_WELCOME = {
    "agui": "no welcome to see it: users share objects",
    "per_run": "no welcome to see it: users share objects",
}
_REFUSED_UPGRADE = {"netra": "1008 after the upgrade", "agui": "401 to the upgrade", "per_run": "401 to the upgrade"}

CATALOGUE: tuple[Fault, ...] = (
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
    # identity
    Fault(
        "demo_user",
        "whatever the token says, the user is demo-user-001",
        "a socket: its identity",
        "identity",
        _NO_WELCOME,
    ),
    Fault(
        "hashed_ids",
        "tokens are hashed into 16 user ids, users collide",
        "a request: its identity",
        "identity",
        _NO_WELCOME,
    ),
    Fault(
        "accept_any_token", "the signature of a token is not checked", "a request: a bad token", "bad token accepted"
    ),
    Fault(
        "permissive_breaker",
        "after 3 bad tokens every token is accepted",
        "a request: a bad token",
        "bad token accepted",
    ),
    Fault(
        "header_ignored",
        "a token in the header is not seen",
        "a socket: its upgrade",
        "valid token refused",
        _REFUSED_UPGRADE,
    ),
    Fault(
        "subprotocol_ignored",
        "a token in the subprotocol is not seen",
        "a socket: its upgrade",
        "valid token refused",
        _REFUSED_UPGRADE,
    ),
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
    # isolation
    Fault(
        "leak_wrong_socket",
        "an event also goes to another user's socket",
        "a run: any event",
        "channel 1",
        {"per_run": "content alone shows it"},
    ),
    Fault("leak_content", "another user's text in an own event", "a run: tool, chunk, thought or end", "channel 2"),
    Fault(
        "leak_run_id",
        "an own event bears another user's run_id",
        "a run: a thought or a chunk",
        "channel 3",
        {"agui": "in RUN_FINISHED", **_NO_IDS},
    ),
    Fault(
        "leak_cache", "answers are cached by prompt text alone", "a run: prompt that another user sent", "channel 10"
    ),
    Fault(
        "leak_after_end",
        "another user's text arrives after the end",
        "a run: after its end",
        "channel 17",
        _BEFORE_CLOSE,
    ),
    Fault("leak_handoff", "another user's reference in the hand-off", "a run: with a hand-over", "channel 20"),
    Fault("leak_cross_thread", "a reference of the user's other thread", "a run: its answer", "channel 16"),
)
NAMES: tuple[str, ...] = tuple(fault.name for fault in CATALOGUE)
BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in CATALOGUE}


def list_faults() -> str:
    """For people: one fault a line, its name first, then what it does, then where it bites."""
    widths = [max(len(getattr(fault, column)) for fault in CATALOGUE) for column in ("name", "what", "where")]
    return "\n".join(
        f"{fault.name:{widths[0]}}  {fault.what:{widths[1]}}  {fault.where:{widths[2]}}  judged as: {fault.judged_as}"
        for fault in CATALOGUE
    )


def list_shapes() -> str:
    """The long list: fault × shape, "yes", "yes: how" or "no: why"."""
    rows = [["fault", *SHAPES], *([fault.name, *(_remark(fault, one) for one in SHAPES)] for fault in CATALOGUE)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _remark(fault: Fault, shape: str) -> str:
    remark = fault.remarks.get(shape, "")
    return remark if not fault.applies(shape) else f"yes: {remark}" if remark else "yes"
