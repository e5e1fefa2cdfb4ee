"""What is behind runs that do not come to a good end, on sockets that hold."""

from __future__ import annotations

from crosstalk.checks.causes_broken import RUNS
from crosstalk.checks.causes_group import Cause, Group, Whole

#: an answer that came within this time, from its first event to its end, came at once
_AT_ONCE_NS = 20_000_000
#: good runs took that many times longer in the last third than in the first
_GROWS = 1.5


def _silent(group: Group) -> bool:
    return group.stage == "first event" and group.signature.startswith(("agent timeout", "silent"))


def _silence_in(group: Group, stage: str) -> bool:
    return group.stage == stage and group.signature.startswith(("agent timeout", "no end"))


def _timed_out(group: Group) -> bool:
    return group.signature.startswith("agent timeout")


def _refusal(group: Group) -> bool:
    return group.stage == "send" and group.signature.startswith("refused")


def _reconnected(group: Group, whole: Whole) -> bool:
    return all(whole.connections_of[user] > 1 for user in group.users)


def _missing(group: Group, *kinds: str) -> bool:
    named = group.signature.replace(",", "").split()
    return named[:1] == ["missing"] and any(kind in named for kind in kinds)


def _only_the_frame(group: Group, whole: Whole) -> bool:
    """These users get the start and the end of their runs, and nothing of what the agent says; others get it all."""
    others = any(user not in group.users for user in whole.runs_ok)
    return _missing(group, "thinking") and _missing(group, "chunk") and whole.never_ok(group) and others


def _nobody_has_it(group: Group, whole: Whole) -> bool:
    if "in between" in group.signature:
        return False
    return group.of == RUNS and not whole.runs_ok.total() and group.count >= 0.9 * whole.runs and group.count > 2


def _agent_error(group: Group) -> bool:
    return group.signature.startswith("agent error")


def _at_once(group: Group) -> bool:
    """Did most answers come whole, as soon as they began?"""
    times = sorted(one.answer_ns for one in group.members if one.answer_ns is not None)
    return bool(times) and times[len(times) // 2] <= _AT_ONCE_NS


def _unreferenced(group: Group) -> bool:
    return group.signature.startswith("not real: its reference")


RUNS_BROKEN: tuple[Cause, ...] = (
    Cause(
        "rate_limited",
        "likely",
        lambda g, w: _refusal(g) and g.says("rate", "limit", "429", "too_many", "too many", "quota"),
        "A limit on messages or runs a user was reached.",
        "The limit and its window against the think time of this scenario; `Retry-After`.",
    ),
    Cause(
        "id_used_before",
        "likely",
        lambda g, w: _refusal(g) and g.says("_used", " used", "exists", "duplicate"),
        "The server holds ids that clients choose to be unique over all users or over all time.",
        "The key under which runs and messages are stored: it should contain the user.",
    ),
    Cause(
        "not_the_owner",
        "likely",
        lambda g, w: _refusal(g) and g.says("forbidden", "not_found", "403", "404"),
        "The server does not find the user's own thread or run: it is kept in another instance's memory, was removed, "
        "or is looked up under another user.",
        "Where threads are stored, and under which key; whether instances share it.",
    ),
    Cause(
        "refused_in_words",
        "always",
        lambda g, w: _refusal(g),
        "The server understood the message and refused it; it names its reason.",
        "The code in the signature, in the handler that reads this message.",
    ),
    Cause(
        "handler_not_registered",
        "likely",
        lambda g, w: _silent(g) and w.everybody(g),
        "The message is taken and no event ever comes, for nobody, while the socket answers pings: the handler is not "
        "registered, or the agent's events are not wired to the socket.",
        "The table of message types and handlers at start; whether the bridge from agent to socket is set before the "
        "first run.",
    ),
    Cause(
        "events_routed_past",
        "likely",
        lambda g, w: _silent(g) and (not w.everybody(g)) and w.never_ok(g),
        "No event reaches these users, ever, while others get theirs: events are routed past their sockets.",
        "Which socket or session manager is registered for these users; whether the run was executed all the same.",
    ),
    Cause(
        "seen_on_other_sockets",
        "always",
        lambda g, w: _silent(g) and g.users <= w.seen_elsewhere,
        "Events of these very users arrived on other users' sockets.",
        "The group that tells it (wrong_socket), and its causes: this is the other side of the same mistake.",
    ),
    Cause(
        "session_left_behind",
        "possible",
        lambda g, w: _silent(g) and _reconnected(g, w),
        "These users connected more than once: their events may go to the session that a reconnect left behind.",
        "Which session the agent's events use after a reconnect, and what the reconnect replaces.",
    ),
    Cause(
        "several_session_managers",
        "likely",
        _only_the_frame,
        "These users get the start and the end of their runs and nothing that the agent itself sends: it goes to "
        "another session manager than the one that holds their socket.",
        "How many managers there are for one user, and which of them the agent's bridge was given.",
    ),
    Cause(
        "first_event_lost_sometimes",
        "possible",
        lambda g, w: _silent(g) and (not w.never_ok(g)),
        "Some runs of users whose other runs are fine get no event at all: a race between start and subscription, a "
        "full queue, or a worker that died.",
        "Whether the run was executed (search its id); the order of subscribing and starting; queue lengths at that "
        "time.",
    ),
    Cause(
        "model_hangs",
        "likely",
        lambda g, w: _silence_in(g, "thinking"),
        "The agent began and fell silent before its first tool or text: the call to the model, or what it waits for, "
        "does not come back.",
        "The timeout of the model's client (it must be shorter than the agent timeout), and its error path.",
    ),
    Cause(
        "tool_hangs",
        "likely",
        lambda g, w: _silence_in(g, "tool"),
        "Silence while a tool was at work, or right after it: the tool does not come back, or its failure ends the "
        "agent unseen.",
        "The tool's own timeout; whether its exceptions become a tool_completed with an error.",
    ),
    Cause(
        "task_died",
        "likely",
        lambda g, w: _silence_in(g, "stream"),
        "A partial answer, then silence: the agent's task died or was cancelled, and nobody sends the error.",
        "Exceptions of background tasks that nobody awaits; cancellations; the model's stream ending early.",
    ),
    Cause(
        "part_degraded",
        "possible",
        lambda g, w: bool(w.degraded) and (_timed_out(g) or _refusal(g) or _agent_error(g)),
        "Health names a part that is degraded; what waits for it may fail or take longer.",
        "The part in the first lines of this load test (`health: … degraded`).",
    ),
    Cause(
        "slows_down",
        "possible",
        lambda g, w: _timed_out(g) and (w.slope or 0) >= _GROWS,
        "Good runs became slower during the load test until some did not end in time: something grows, such as "
        "handlers that are added for each connection and never dropped.",
        "Handlers, listeners and connections that the process holds, at the start and at the end; its memory.",
    ),
    Cause(
        "cascading_cancel",
        "likely",
        lambda g, w: _agent_error(g) and g.says("cancel") and (len(g.users) > 1),
        "Runs of several users were cancelled by the server: cancelling one cancels others that share its task group, "
        "scope or connection.",
        "Who cancelled: the parent task of the runs that ended together; shared task groups and cancel scopes.",
    ),
    Cause(
        "agents_own_timeout",
        "likely",
        lambda g, w: _agent_error(g) and g.says("timeout", "deadline", "timed"),
        "The agent gave up at a timeout of its own and said so.",
        "What it waited for: model or tool; the server's agent timeout against what its work needs.",
    ),
    Cause(
        "models_limit",
        "likely",
        lambda g, w: _agent_error(g) and g.says("rate", "quota", "429", "overload"),
        "The model's provider refused: its limit of requests or tokens was reached by this load.",
        "The provider's limits; retries with pauses; a stub of the model for load tests that are not about it.",
    ),
    Cause(
        "agent_said_so",
        "always",
        lambda g, w: _agent_error(g),
        "The agent itself ended the run with an error, and passed it on.",
        "The code in the signature, and the server's log for this trace.",
    ),
    Cause(
        "never_sent_by_this_build",
        "likely",
        lambda g, w: g.signature.startswith("missing") and _nobody_has_it(g, w),
        "No run of this load test has it: this build does not send the event, or calls it otherwise.",
        "The names of the events on the wire against the dialect; the lifecycle that the dialect requires.",
    ),
    Cause(
        "tool_result_dropped",
        "likely",
        lambda g, w: _missing(g, "tool_completed", "tool_executing") and (not _nobody_has_it(g, w)),
        "A tool was called and one of its two events did not come: sent on another path, or swallowed with an "
        "exception.",
        "Where tool_executing and tool_completed are sent; the path on which the tool fails.",
    ),
    Cause(
        "event_dropped",
        "likely",
        lambda g, w: _missing(g, "started", "thinking", "handoff", "completed", "event") and (not _nobody_has_it(g, w)),
        "An event of the run was not sent, or sent before anybody listened.",
        "Paths of the agent that skip it (early return, cached answer, exception), and events sent without waiting for "
        "them.",
    ),
    Cause(
        "chunk_dropped",
        "likely",
        lambda g, w: _missing(g, "chunk") and (not _nobody_has_it(g, w)),
        "Pieces of the streamed answer were lost between agent and socket: a bounded queue, a batch that was not "
        "flushed, or a send that failed unseen.",
        "Queue sizes and what happens when they are full; the last flush before the end.",
    ),
    Cause(
        "tool_failure_hidden",
        "likely",
        lambda g, w: g.signature == "tool error swallowed",
        "A tool that fails is reported as completed: its exception is caught and an empty result passed on.",
        "The `except` around the tool call; the status that tool_completed carries.",
    ),
    Cause(
        "sent_twice",
        "likely",
        lambda g, w: g.signature == "duplicate",
        "An event was sent again: a retry after a send that had worked, or a user who is registered twice.",
        "Retries without an id that tells repeats; connections of one user that all get everything.",
    ),
    Cause(
        "order_not_kept",
        "likely",
        lambda g, w: g.signature == "out of order",
        "Events of one run are sent by tasks that run at the same time, without a queue that keeps their order.",
        "Tasks created for sending (`create_task(send(…))`); one queue and one sender a socket keep the order.",
    ),
    Cause(
        "frame_torn",
        "likely",
        lambda g, w: g.signature.startswith("malformed"),
        "A frame could not be decoded: two writers on one socket, a frame cut at a size, or text that was built by "
        "hand.",
        "The frame in the evidence: where it stops; locks around writing; limits on message size.",
    ),
    Cause(
        "error_path_runs_too",
        "likely",
        lambda g, w: g.signature == "two ends",
        "The run ended twice: what handles errors, or cleans up, runs after the end was sent.",
        "`finally` and error handlers of the run: whether they know that it has ended.",
    ),
    Cause(
        "work_after_end",
        "likely",
        lambda g, w: g.signature == "late",
        "Events after the end: background work of the run was not awaited or cancelled before its end was said.",
        "Tasks that outlive the run; the order of the last events.",
    ),
    Cause(
        "canned_answer",
        "likely",
        lambda g, w: _unreferenced(g) and _at_once(g),
        "References do not come back and the events come all at once: a canned answer; nothing was run.",
        "Mocks, fallbacks and caches between the message and the agent, in this very environment.",
    ),
    Cause(
        "reference_not_repeated",
        "possible",
        lambda g, w: _unreferenced(g) and (not _at_once(g)),
        "The answer takes its time and does not repeat its reference: a model that does not do as it is told, or an "
        "answer to another question.",
        'A frame of the answer; where the model cannot repeat it, `nonce = "not_required"` in the limits, and what is '
        "then not proved.",
    ),
    Cause(
        "nothing_was_run",
        "always",
        lambda g, w: g.signature == "not real: quicker than a round trip",
        "The run ended sooner than a ping's round trip on the same socket: no agent can have worked on it.",
        "What answers: a mock, a cache or a fallback; times of 0.00 s in the server's own log.",
    ),
    Cause(
        "no_network",
        "always",
        lambda g, w: g.signature.startswith("not real: no byte"),
        "No byte crossed a socket: something in this process answered.",
        "Stubs and patches in the locustfile, the dialect or the users of this scenario.",
    ),
    Cause(
        "stream_and_answer_differ",
        "likely",
        lambda g, w: g.signature == "text differs",
        "What was streamed is not what the final answer says: pieces lost, changed afterwards, or of another run.",
        "How the final text is made: from the pieces that were sent, or anew.",
    ),
)
