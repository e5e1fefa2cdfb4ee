"""What is behind connections that were ready and then lost, or that hold and do not answer."""

from __future__ import annotations

from crosstalk.checks.causes_group import Cause, Group, Whole

_RESTART = (1001, 1012, 1013)


def _lost(group: Group) -> bool:
    return group.signature.startswith("close ")


def _after_ready(group: Group) -> bool:
    return _lost(group) and group.stage not in ("authenticate", "ready")


def _idle_cut(group: Group, whole: Whole) -> bool:
    """Cut off by the other side, each time after the same silence, and sooner than an agent may take."""
    enough = group.alike_silence() and group.count > 1
    return _after_ready(group) and enough and group.silences_s[-1] < (whole.agent_timeout_s or float("inf"))


LOST: tuple[Cause, ...] = (
    Cause(
        "target_ended",
        "always",
        lambda g, w: (
            (_after_ready(g) or g.stage == "connect") and any("ended in mid-run" in text for text in w.problems)
        ),
        "The target's process ended during the load test.",
        "Its log, its last lines first; its exit code stands among the problems of this report.",
    ),
    Cause(
        "dispatch_exception",
        "likely",
        lambda g, w: g.stage == "send" and g.has(1011) and w.never_ok(g),
        "An exception in the handler at dispatch: the handshake works, the first message does not, every time. An "
        "import that fails when it is first needed, or an enum or a date that does not serialise.",
        "The first exception after the welcome in the server's log, for this trace; the imports and the serialisation "
        "of the message handler.",
    ),
    Cause(
        "first_message_fails_sometimes",
        "possible",
        lambda g, w: g.stage == "send" and g.has(1011) and (not w.never_ok(g)),
        "The first message fails for connections of users who also had good runs: a race at start, one bad instance, "
        "or a resource that runs out.",
        "The exception for this trace, and which instance it came from; pools and limits at that time.",
    ),
    Cause(
        "exception_in_mid_run",
        "likely",
        lambda g, w: _after_ready(g) and g.stage != "send" and g.has(1011),
        "An exception while an event was made or sent: a value that cannot be serialised, or a handler that fails on "
        "what the agent gave it.",
        "The exception for this trace; the event that would have come next.",
    ),
    Cause(
        "idle_cut",
        "likely",
        _idle_cut,
        "The server's receive timeout is shorter than its agents may take: it cuts sockets that are silent while they "
        "wait.",
        "The receive timeout of the socket against the agent timeout: it must be longer. Idle timeouts of proxies on "
        "the way.",
    ),
    Cause(
        "all_lost_at_once",
        "likely",
        lambda g, w: _after_ready(g) and g.stage != "send" and (g.users_at_once >= 3),
        "Many users lost their connections at once: the process ended, was restarted, or a proxy dropped them all.",
        "Restarts, out-of-memory kills and deployments at that second; the proxy's reloads.",
    ),
    Cause(
        "restart_or_scale_in",
        "likely",
        lambda g, w: _after_ready(g) and g.has(*_RESTART) and not _idle_cut(g, w),
        "The server said that it goes away: a deployment, a restart, or an instance taken out.",
        "Deployments and scaling events at that time; whether sockets are drained first.",
    ),
    Cause(
        "transport_died",
        "possible",
        lambda g, w: _after_ready(g) and g.has(1006),
        "The transport died without a close frame: a crash of the worker process, memory, or a proxy or balancer that "
        "dropped it.",
        "Exit codes and memory of the server's processes; idle and total timeouts of proxies.",
    ),
    Cause(
        "policy_close",
        "possible",
        lambda g, w: _after_ready(g) and g.has(1008),
        "The server ended a connection that it had accepted: the token expired in mid-session, or a limit on messages "
        "was reached.",
        "`exp` of the token against the time of the close; message limits a minute.",
    ),
    Cause(
        "message_too_big",
        "likely",
        lambda g, w: _after_ready(g) and g.has(1009),
        "A message was larger than the server takes.",
        "The size limit of the socket (builds differ from 8 KiB to 1 MiB) against the prompts of this scenario.",
    ),
    Cause(
        "accept_race",
        "likely",
        lambda g, w: "lost before ready" in g.signature,
        "A frame sent right after the welcome was lost, and the same frame later was answered: the server greets "
        "before it listens.",
        "The order of welcome, registration and receive loop in the connection handler; send the welcome last.",
    ),
    Cause(
        "socket_dead",
        "likely",
        lambda g, w: g.signature.startswith("no answer in time, and none to a ping"),
        "The socket stayed open and nothing answers on it, not even a ping: the event loop is blocked, or the process "
        "hangs.",
        "Blocking calls in asynchronous handlers, CPU of the process, a stack dump while it hangs.",
    ),
)
