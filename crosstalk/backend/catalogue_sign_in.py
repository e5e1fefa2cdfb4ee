"""Faults of sign-in, by password and OAuth, of refresh, and of how a token travels; and what a newcomer loses.

The account is that of the user who signs in, whose token is shown, or whose run or thread it is.
"""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_CALLBACK = "a request: GET /auth/callback"
_LATER = {"agui": "401 to the upgrade is not possible: closed with 1008", "per_run": "closed with 1008"}
_REFUSED = {"netra": "1008 after the upgrade", "agui": "401 to the upgrade", "per_run": "401 to the upgrade"}
WAYS = ("header", "subprotocol", "query", "message")

_SIGN_IN: tuple[Fault, ...] = (
    Fault(
        "login_wrong_password_accepted",
        "any password opens the account",
        "a request: a login with a wrong password",
        "step sign_in/wrong password",
    ),
    Fault(
        "login_refused",
        "the right password is refused",
        "a request: a login with the right password",
        "step sign_in/login",
    ),
    Fault(
        "oauth_state_ignored",
        "a callback needs no state of its own browser's",
        f"{_CALLBACK} with another state",
        "step sign_in/oauth state",
    ),
    Fault("oauth_code_reused", "a code is good twice", f"{_CALLBACK} with a used code", "step sign_in/oauth code"),
    Fault("oauth_slow", "the exchange of a code takes 2.5 s", _CALLBACK, "limit oauth_time_ms"),
    Fault(
        "oauth_other_user",
        "the tokens are those of the user who came before",
        f"{_CALLBACK} after another user's",
        "step sign_in/oauth, channel 12",
    ),
    Fault(
        "refresh_kills_run",
        "a refresh ends the user's runs in progress",
        "a request: a refresh while a run is in progress",
        "step sign_in/run during a refresh",
    ),
    Fault(
        "refresh_reusable",
        "a refresh token is good twice",
        "a request: a refresh with a used token",
        "step sign_in/used refresh token",
    ),
    Fault(
        "refresh_gives_dead_token",
        "the new access token is revoked from the start",
        "a request: a refresh",
        "step sign_in/socket after a refresh",
    ),
    Fault(
        "query_ignored",
        "a token in the query is not seen",
        "a socket: its upgrade",
        "step sign_in/valid token by query",
        _REFUSED,
    ),
    Fault(
        "message_ignored",
        "a token in the first message is not seen",
        "a socket: its first message",
        "step sign_in/valid token by message",
        _LATER,
    ),
    *(
        Fault(
            f"{way}_unverified",
            f"the signature of a token in the {way} is not checked",
            "a socket: a bad token",
            f"step sign_in/bad token by {way}",
        )
        for way in WAYS
    ),
)

_NEWCOMER: tuple[Fault, ...] = (
    Fault(
        "history_lacks_answer",
        "an answer is sent, and not kept in its thread",
        "a request: the end of a run",
        "step newcomer/history",
    ),
    Fault(
        "first_thread_lost",
        "a user's first thread is gone after its first run",
        "a request: the end of a first run",
        "step newcomer/history",
    ),
)

SIGN_IN: tuple[Fault, ...] = (*_SIGN_IN, *_NEWCOMER)
