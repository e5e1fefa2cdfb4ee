"""Faults of access: whom a request is taken for, what it may then reach, and what an answer shows beside it.

The account is that of the user who reaches: with `token_swap_keeps_subscription` the user of the second token.
"""

from __future__ import annotations

from collections.abc import Mapping

from crosstalk.backend.catalogue_entry import Fault

_NO_WELCOME = {
    "agui": "no welcome to see it: users share objects",
    "per_run": "no welcome to see it: users share objects",
}
_REFUSED_UPGRADE = {"netra": "1008 after the upgrade", "agui": "401 to the upgrade", "per_run": "401 to the upgrade"}
_NETRA_ONLY = {"agui": "no: it has no such surface", "per_run": "no: it has no such surface"}
_NO_SOCKET_WORDS = {"per_run": "no: nothing is said on its sockets"}
_RUN = {"netra": "GET /api/runs/ID, /api/agents/status?run_id=", "agui": "GET /agui/runs/ID", "per_run": "GET /runs/ID"}

_IDENTITY: tuple[Fault, ...] = (
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
)

_TOKENS: tuple[Fault, ...] = tuple(
    Fault(name, what, "a request: a bad token", "bad token accepted")
    for name, what in (
        ("accepts_expired", "exp of a token is not checked"),
        ("accepts_not_yet_valid", "nbf and iat of a token are not checked"),
        ("accepts_alg_none", "a token with alg none needs no signature"),
        ("accepts_hs_rs_confusion", "HS256 with the published RSA key for a secret is taken"),
        ("accepts_wrong_audience", "aud of a token is not checked"),
        ("accepts_wrong_issuer", "iss of a token is not checked"),
        ("accepts_other_environment", "env of a token is not checked"),
        ("accepts_refresh_as_access", "a refresh token opens what an access token does"),
        ("accepts_revoked", "a token is worth as much after its logout"),
    )
)

_SESSIONS: tuple[Fault, ...] = (
    Fault(
        "refresh_gives_other_user",
        "a refresh answers with tokens of the user who refreshed before",
        "a request: a refresh after another user's",
        "channel 12",
        {"agui": "over HTTP, as in all shapes", "per_run": "over HTTP, as in all shapes"},
    ),
    Fault(
        "token_swap_keeps_subscription",
        "a socket shown another user's token goes on getting the first one's events",
        "a socket: authenticate by another user's token",
        "channel 12",
        _NETRA_ONLY,
    ),
    Fault(
        "token_of_another_accepted_on_thread",
        "a thread opens to any good token",
        "a request: another user's thread",
        "channel 13, 12 by a socket",
        {"netra": "switch_thread", "agui": "the thread's socket", "per_run": "the run's socket, before its owner's"},
    ),
    Fault(
        "recycled_session",
        "another user's old connection is resumed: its missed events are sent",
        "a request: resume of another user's connection",
        "channel 8",
        _NETRA_ONLY,
    ),
    Fault(
        "resume_any_cursor",
        "the cursor alone decides: everybody's events behind it are sent",
        "a request: resume, while others' events are kept",
        "channel 9",
        _NETRA_ONLY,
    ),
)

_LISTINGS: tuple[Fault, ...] = (
    Fault("leak_listing", "threads are listed without asking for the owner", "a request: a listing", "channel 7"),
    Fault(
        "leak_history_query",
        "messages of another user's thread are mixed in",
        "a request: messages of a thread",
        "channel 7",
    ),
    Fault("listing_incomplete", "the oldest thread is missing", "a request: a listing", "missing_from_listing"),
    Fault(
        "idor_list_threads",
        "user_id of the request decides whose threads are listed",
        "a request: another user's threads",
        "channel 13",
        _NETRA_ONLY,
    ),
)


def _object(name: str, what: str, where: str, remarks: Mapping[str, str] | None = None) -> Fault:
    return Fault(name, what, f"a request: another user's {where}", "channel 13", remarks or {})


_OBJECTS: tuple[Fault, ...] = (
    _object(
        "idor_read_thread",
        "anybody reads a thread over HTTP",
        "thread",
        {"per_run": "no: a conversation is read with its messages"},
    ),
    _object("idor_read_messages", "anybody reads the messages of a thread over HTTP", "thread"),
    _object("idor_read_message", "anybody reads a message over HTTP", "message", _NETRA_ONLY),
    _object("idor_read_run", "anybody reads a run and its answer over HTTP", "run", _RUN),
    _object("idor_rename_thread", "anybody renames a thread over HTTP", "thread", _NETRA_ONLY),
    _object("idor_delete_thread", "anybody deletes a thread over HTTP", "thread"),
    _object("idor_add_message", "anybody adds a message over HTTP", "thread", _NETRA_ONLY),
    _object(
        "idor_continue_thread",
        "anybody starts a run in a thread, which remembers",
        "thread",
        {"netra": "by a frame or POST /api/agents/execute", "per_run": "POST /runs"},
    ),
    _object("idor_cancel_run", "anybody cancels a run over HTTP", "run in progress"),
    _object("idor_socket_cancel", "anybody cancels a run by a frame", "run in progress", _NO_SOCKET_WORDS),
    _object("idor_socket_history", "anybody reads a thread's messages by a frame", "thread", _NETRA_ONLY),
    _object("idor_socket_run", "anybody reads a run by a frame", "run", _NETRA_ONLY),
    _object("idor_socket_delete", "anybody deletes a thread by a frame", "thread", _NETRA_ONLY),
    _object("idor_subscribe_thread", "anybody follows a thread: its events come", "thread", _NETRA_ONLY),
    _object("idor_profile", "anybody reads a user's profile over HTTP", "profile", _NETRA_ONLY),
    _object("idor_connection", "anybody reads of a connection over HTTP", "connection", _NETRA_ONLY),
    _object("idor_close_connection", "anybody closes a connection over HTTP", "connection", _NETRA_ONLY),
)

_FUNCTIONS: tuple[Fault, ...] = (
    Fault("admin_open", "/api/admin/ asks for no permission", "a request: without it", "channel 14"),
    Fault("debug_open", "/api/debug/state asks for no permission", "a request: without it", "channel 14"),
    Fault(
        "admin_socket_open",
        "frames of administration are answered",
        "a request: such a frame",
        "channel 14",
        _NETRA_ONLY,
    ),
)

_ERRORS: tuple[Fault, ...] = (
    Fault(
        "error_echoes_other",
        "the text of an error repeats another user's last input",
        "a request: an error frame",
        "channel 21",
        _NO_SOCKET_WORDS,
    ),
    Fault(
        "close_reason_leak",
        "the reason of a close repeats another user's last input",
        "a socket: closed by the server",
        "channel 21",
        {"per_run": "at the end of every run"},
    ),
    Fault(
        "header_leak",
        "a header of an answer repeats another user's last input",
        "a request: any, an upgrade too",
        "channel 21",
    ),
    Fault(
        "http_error_body_leak",
        "the body of an HTTP error repeats another user's last input",
        "a request: answered with 4xx",
        "channel 21",
    ),
)

ACCESS: tuple[Fault, ...] = (
    *_IDENTITY,
    *_TOKENS,
    *_SESSIONS,
    *_LISTINGS,
    *_OBJECTS,
    *_FUNCTIONS,
    *_ERRORS,
)
