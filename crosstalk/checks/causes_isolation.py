"""What is behind content, ids or events that reached somebody else."""

from __future__ import annotations

from crosstalk.checks.causes_group import Cause, Group
from crosstalk.checks.causes_rules import Row

_LEAKS = ("wrong_socket", "foreign_content", "foreign_id", "unknown_run")
_OURS = ("cross_user", "cross_thread", "cross_run")


def _leak(group: Group, *names: str) -> bool:
    """A leak of one of these names within this load test."""
    name, _, rest = group.signature.partition(", channel ")
    scope = rest.partition(", ")[2] or "cross_user"
    return name in (names or _LEAKS) and scope in _OURS


def _channel(group: Group, channel: int) -> bool:
    return group.signature.partition("channel ")[2].partition(",")[0] == str(channel)


def _own(group: Group) -> bool:
    return "cross_thread" in group.signature or "cross_run" in group.signature


def _leaked(group: Group) -> list[Row]:
    return [row for row in group.violations if row["judgement"] == "isolation"]


def _few_see_all(group: Group) -> bool:
    """One user, or two, receive what belongs to several others."""
    owners = {row["owner"] for row in _leaked(group)}
    return len(group.users) <= 2 and len(owners - group.users) >= 2 * len(group.users)


def _of_context_only(group: Group) -> bool:
    return bool(_leaked(group)) and all(row["site"] == "context" for row in _leaked(group))


def _usual(group: Group) -> bool:
    """Neither late nor beside the answer nor within one user: the plain case."""
    return not (_channel(group, 17) or _channel(group, 20) or _own(group))


ISOLATION: tuple[Cause, ...] = (
    Cause(
        "one_router_for_all",
        "likely",
        lambda g, w: _leak(g, "wrong_socket") and _few_see_all(g),
        "One socket, or two, receive events of several other users: one process-wide router or bridge that was built "
        "for the first user serves everybody.",
        "Where the bridge from agent to socket is made: once a process, or once a user; handlers that are added and "
        "never dropped (memory and times grow with them).",
    ),
    Cause(
        "socket_chosen_wrongly",
        "likely",
        lambda g, w: _leak(g, "wrong_socket") and (not _few_see_all(g)),
        "Whole events go to other users' sockets: the socket is looked up by something that is not the run's own user, "
        "or everybody is sent everything.",
        'The lookup from run to socket: process-wide "current user", a dictionary keyed by a thread or session id, a '
        "broadcast.",
    ),
    Cause(
        "cache_without_user",
        "likely",
        lambda g, w: _leak(g, "foreign_content") and _of_context_only(g) and (not _own(g)),
        "Only private context of users who said the very same words leaks: answers are cached by the text of the "
        "prompt alone.",
        "The key of the response cache: it must contain the user and the private context.",
    ),
    Cause(
        "state_shared_by_runs",
        "likely",
        lambda g, w: _leak(g, "foreign_content") and _usual(g) and (not _of_context_only(g)),
        "Another user's text inside an own event: runs that overlap share something that holds text.",
        "Module-level variables, singletons of agents and tools, default arguments that are mutable; buffers that are "
        "reused.",
    ),
    Cause(
        "id_from_shared_variable",
        "likely",
        lambda g, w: _leak(g, "foreign_id") and _usual(g),
        "An own event bears somebody else's id: the id is read from a variable that a later run has overwritten.",
        "Where events get their run and user id: from the run's own context, or from `self` or a global.",
    ),
    Cause(
        "reused_after_end",
        "likely",
        lambda g, w: _leak(g) and _channel(g, 17),
        "After the end of a run came what belongs to somebody else: a connection, buffer or worker was handed on while "
        "the first run still held it.",
        "Pools (model clients, database and cache connections): what a run that ended or was cancelled gives back, and "
        "when.",
    ),
    Cause(
        "side_channel_shared",
        "likely",
        lambda g, w: _leak(g) and _channel(g, 20) and (not _own(g)),
        "Hand-offs, progress or notifications carry another user's content or ids: they are made from state that "
        "agents share.",
        "What one agent hands to the next, and the notification service: whether each message is made from its own "
        "run.",
    ),
    Cause(
        "memory_by_user",
        "likely",
        lambda g, w: _leak(g) and _own(g),
        "What the user said elsewhere came back here: memory is kept by user where it should be kept by thread, or "
        "runs of one user are mixed up.",
        "The key of the conversation's memory; state that two runs of one user share.",
    ),
    Cause(
        "another_load_test",
        "likely",
        lambda g, w: g.signature.endswith(", other_load_test"),
        "What came was planted by another load test on the same target, now or before; it is not counted as a leak.",
        "Who else tests this target now; what was deleted at the end of earlier load tests.",
    ),
    Cause(
        "owner_not_known",
        "possible",
        lambda g, w: g.signature.endswith(", unverified"),
        "It cannot be told whose this is: garbled on its way, such as a reference with a piece lost, or of nobody in "
        "this load test. It is not counted as a leak.",
        "The frame in the evidence; whether the same runs lost pieces of their stream.",
    ),
)
