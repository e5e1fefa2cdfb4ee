"""Leaks in the events of runs: what is another user's gets into them, or they get to another user.

What is leaked holds a whole reference of the other user (of `leak_partial` and `leak_tail` the part that they say), or
an id. Where nothing of the kind has been seen of anybody else there is no opportunity.
"""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NO_IDS = {"per_run": "no: its frames name no run"}
_NO_USER = {"agui": "no: its frames name no user", "per_run": "no: its frames name no user"}
_BEFORE_CLOSE = {
    "agui": "in the next run where that has begun, as no chunk names its run: channel 5",
    "per_run": "between run.done and the close",
}
_CONTENT_ALONE = {"per_run": "content alone shows it"}
_SERVER_IDS = {"agui": "no: the server chooses its run ids", "per_run": "no: the server chooses its run ids"}
_ONE_SOCKET = {"agui": "no: a thread has one socket", "per_run": "no: a run has one socket"}
_THOUGHT = "a run: a thought"


def _rewritten(name: str, how: str) -> Fault:
    return Fault(name, f"another user's reference in an own event, {how}", _THOUGHT, "channel 22")


_SOCKETS = (
    Fault(
        "leak_wrong_socket",
        "an event also goes to another user's socket",
        "a run: any event",
        "channel 1",
        _CONTENT_ALONE,
    ),
    Fault("leak_broadcast", "an event also goes to every socket", "a run: any event", "channel 1", _CONTENT_ALONE),
    Fault(
        "latest_handler",
        "one handler for all, each new connection replaces it: the newest socket gets the events",
        "a run: its route",
        "channel 1, timeout",
        {"agui": "the newest socket of this shape", "per_run": "the newest socket; content alone shows it"},
    ),
    Fault(
        "leak_batch",
        "a buffer shared by all sockets: another user's event in one's own event_batch",
        _THOUGHT,
        "channel 1",
        {"agui": "no: it has no batches", "per_run": "no: it has no batches"},
    ),
    Fault(
        "fan_out_missing",
        "an event reaches the first of a user's sockets only",
        "a run: with a second socket of its user",
        "channel 15",
        _ONE_SOCKET,
    ),
)
_CONTENT = (
    Fault("leak_content", "another user's text in an own event", "a run: a chunk, thought or end", "channel 2"),
    Fault("leak_thought", "another user's text in a thought", _THOUGHT, "channel 2"),
    Fault("leak_final_text", "another user's text in the final text alone", "a run: its end", "channel 2"),
    Fault("leak_key", "another user's reference as a JSON key", _THOUGHT, "channel 2"),
    Fault(
        "leak_nested",
        "another user's text deep in a field nobody knows",
        "a run: a chunk, thought or end",
        "channel 2",
    ),
    Fault("leak_partial", "the first 28 letters of another user's reference", _THOUGHT, "channel 2"),
    Fault("leak_profile", "another user's name in the greeting", "a run: another user gave a profile", "channel 2"),
    Fault(
        "leak_context",
        "a shared default: another user's private context in a run without one",
        "a run: without a context",
        "channel 2, 4 in its tools",
    ),
    Fault("leak_binary_frame", "another user's text in an own event as a binary message", _THOUGHT, "channel 2"),
    Fault("leak_tool_arguments", "another user's reference in a call", "a run: with a tool", "channel 4"),
    Fault("leak_tool_result", "another user's text in a tool's result", "a run: with a tool", "channel 4"),
    Fault(
        "interleaved_stream",
        "two writers on one stream: a piece of another answer between the chunks",
        "a run: its chunks",
        "channel 5",
    ),
    Fault(
        "swapped_runs",
        "a slot per user: a run ends with the text of the same user's newer run",
        "a run: overtaken by one of its user",
        "channel 6, 16 between threads",
        {"agui": "between threads, as one has one run at a time"},
    ),
    Fault(
        "leak_cache", "answers are cached by prompt text alone", "a run: prompt that another user sent", "channel 10"
    ),
    Fault(
        "leak_memory",
        "what anybody said is remembered for everybody",
        "a run: that asks for earlier words",
        "channel 11, 2 in an ordinary run",
    ),
    Fault("leak_cross_thread", "a reference of the user's other thread", "a run: its answer", "channel 16"),
    Fault(
        "poisoned_pool",
        "a cancelled run's connection goes back unread: the next user reads its answer",
        "a run: after a cancelled one",
        "channel 18",
    ),
    Fault(
        "colliding_run_ids",
        "answers are kept by run id alone: the later of two users gets the earlier one's",
        "a run: with a run id of another user",
        "channel 19",
        _SERVER_IDS,
    ),
)
_IDS = (
    Fault(
        "leak_run_id",
        "an own event bears another user's run_id",
        "a run: a thought or a chunk",
        "channel 3",
        {"agui": "in RUN_FINISHED", **_NO_IDS},
    ),
    Fault(
        "leak_thread_id",
        "an own event bears another user's thread_id",
        "a run: a thought or a chunk",
        "channel 3",
        {"agui": "in RUN_FINISHED", "per_run": "no: its frames name no thread"},
    ),
    Fault(
        "leak_user_id",
        "an own event bears another user's user_id",
        "a run: a thought or a chunk",
        "channel 3",
        _NO_USER,
    ),
    Fault("leak_user_name", "another user's account name in a field nobody knows", _THOUGHT, "channel 3"),
    Fault(
        "leak_message_id",
        "an own event bears the id of another user's request",
        _THOUGHT,
        "channel 3",
        {"agui": "that of their message", "per_run": "no: its requests have no ids"},
    ),
)
_AFTER_AND_BESIDE = (
    Fault(
        "leak_after_end",
        "another user's text arrives after the end",
        "a run: after its end",
        "channel 17",
        _BEFORE_CLOSE,
    ),
    Fault(
        "late_foreign_event",
        "another user's event, filed under a run that has ended",
        "a run: after its end",
        "channel 17",
        _BEFORE_CLOSE,
    ),
    Fault("leak_handoff", "another user's reference in the hand-off", "a run: with a hand-over", "channel 20"),
    Fault(
        "leak_progress",
        "a progress_update with another user's words",
        _THOUGHT,
        "channel 20",
        {"agui": "a CUSTOM event", "per_run": "an event named progress"},
    ),
    Fault(
        "leak_notification",
        "a thread_updated with the title of another user's thread",
        _THOUGHT,
        "channel 20",
        {"agui": "a STATE_SNAPSHOT", "per_run": "an event named conversation.updated"},
    ),
    Fault(
        "leak_unknown_event",
        "another user's words in an event of a type nobody knows",
        _THOUGHT,
        "channel 20",
        {"netra": "debug_dump", "agui": "DEBUG_DUMP", "per_run": "debug"},
    ),
    Fault("leak_ping", "another user's text in the payload of an RFC 6455 ping", _THOUGHT, "channel 21"),
)
_REWRITTEN = (
    Fault("leak_tail", "the last 18 letters of another user's reference", _THOUGHT, "channel 22"),
    _rewritten("leak_case", "in letters of either case"),
    _rewritten("leak_base64", "in base64, at any alignment"),
    _rewritten("leak_base64url", "in base64url without padding"),
    _rewritten("leak_hex", "in hexadecimal"),
    _rewritten("leak_url", "percent-encoded"),
    _rewritten("leak_html", "in HTML character references"),
    _rewritten("leak_json_escaped", r"in JSON escapes (\u0063…)"),
    _rewritten("leak_rot13", "rotated by 13 letters"),
    _rewritten("leak_reversed", "back to front"),
    _rewritten("leak_separated", "with a hyphen between its letters"),
    _rewritten("leak_zero_width", "with a zero-width space between its letters"),
    _rewritten("leak_fullwidth", "in full-width letters"),
    _rewritten("leak_utf16", "with a NUL behind each letter"),
    _rewritten("leak_compressed", "compressed by gzip and then in base64"),
    _rewritten("leak_two_layers", "back to front and then in base64"),
    Fault(
        "leak_split_chunks",
        "another user's reference, one to four letters in a chunk",
        "a run: its chunks",
        "channel 22",
    ),
)

LEAKS: tuple[Fault, ...] = (*_SOCKETS, *_CONTENT, *_IDS, *_AFTER_AND_BESIDE, *_REWRITTEN)
