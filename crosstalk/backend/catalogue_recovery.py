"""Faults of recovery: coming back, being sent what was missed, asking again, and a dependency that is away."""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NO_RESUME = {"agui": "no: there is no resuming", "per_run": "no: there is no resuming"}
_NETRA_HTTP = {"agui": "no: it has no such request", "per_run": "no: it has no such request"}

RECOVERY: tuple[Fault, ...] = (
    Fault(
        "resume_duplicates",
        "what was missed is sent with one event twice",
        "a request: a resume",
        "step recovery/resume",
        _NO_RESUME,
    ),
    Fault(
        "resume_skips",
        "what was missed is sent but for one event",
        "a request: a resume",
        "step recovery/resume",
        _NO_RESUME,
    ),
    Fault(
        "resume_refused_own",
        "one's own old connection is not known any more",
        "a request: a resume",
        "step recovery/resume",
        _NO_RESUME,
    ),
    Fault(
        "reconnect_storm_refused",
        "who comes too early is neither let in nor told to come later",
        "a socket: its upgrade, while others are told 1013",
        "step recovery/back after 1013",
    ),
    Fault(
        "lost_user_kept_waiting",
        "who lost the transport is not welcomed at the next connection",
        "a socket: a loss without a goodbye",
        "step recovery/reconnect",
        {"agui": "no: the upgrade is the welcome", "per_run": "no: the upgrade is the welcome"},
    ),
    Fault(
        "restart_loses_threads",
        "a user's threads do not outlive a restart",
        "a user: at a restart",
        "step recovery/threads after 1012",
    ),
    Fault(
        "retry_answers_twice",
        "what is asked again after a failure is answered twice in the history",
        "a run: after a failed one of its thread",
        "step recovery/answered once",
    ),
    Fault(
        "breaker_never_closes",
        "a breaker that has opened stays open",
        "a request: while its breaker is open",
        "step recovery/breaker closes",
        _NETRA_HTTP,
    ),
    Fault(
        "breaker_never_opens",
        "failures are not counted: each call waits for the dependency",
        "a request: a failure of its dependency",
        "step recovery/breaker opens",
        _NETRA_HTTP,
    ),
    Fault(
        "part_down_says_healthy",
        "health says healthy while the cache is down",
        "a request: health, while a part is down",
        "step recovery/degraded",
    ),
    Fault(
        "part_down_is_outage",
        "health says 503 while only the cache is down",
        "a request: health, while a part is down",
        "step recovery/degraded",
    ),
)
