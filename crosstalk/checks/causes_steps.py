"""What is behind a step of a journey that did not do what it should, though no run of it broke.

The signature of such a group is "FAMILY, STEP: expected …, came …"; its code is the HTTP status that came.
"""

from __future__ import annotations

import re

from crosstalk.checks.causes_broken import STEPS
from crosstalk.checks.causes_group import Cause, Group

_REFUSAL = re.compile(r"\brefus|\breject|HTTP 4\d\d|close 100[389]")
_ACCEPTED = re.compile(r"HTTP 2\d\d\b|\baccepted\b|\bready\b")
_NO_ANSWER = re.compile(r"refused|reset|timed out|no answer|nothing came|unreachable|connection that is ready", re.I)


def _step(group: Group) -> bool:
    return group.of == STEPS


def _status(group: Group, *statuses: int) -> bool:
    return _step(group) and group.has(*statuses)


def _expected(group: Group) -> str:
    return group.signature.partition(": ")[2].partition(", came ")[0]


def _came(group: Group) -> str:
    return group.signature.partition(", came ")[2]


def _let_through(group: Group) -> bool:
    """Something that must be refused was not."""
    return _step(group) and _REFUSAL.search(_expected(group)) is not None and _ACCEPTED.search(_came(group)) is not None


def _server_fault(group: Group) -> bool:
    return _step(group) and bool(group.codes) and min(group.codes) >= 500


def _unanswered(group: Group) -> bool:
    """No HTTP status came, and what came instead says that nobody was there."""
    return _step(group) and not group.codes and _NO_ANSWER.search(_came(group)) is not None


def _other(group: Group) -> bool:
    """There was an answer, and it is not the one that was expected."""
    known = _let_through(group) or _server_fault(group) or _unanswered(group)
    return _step(group) and not known and not _status(group, 401, 403, 404, 405, 429)


STEPS_FAILED: tuple[Cause, ...] = (
    Cause(
        "step_let_through",
        "always",
        lambda g, w: _let_through(g),
        "What must be refused was accepted: the check that says no is missing, switched off, or asked after the fact.",
        "The handler of this step on the server, and whether a setting for development reached this deployment.",
    ),
    Cause(
        "step_server_fault",
        "likely",
        lambda g, w: _server_fault(g),
        "The handler of this step failed, or what it depends on did.",
        "The server's log for the trace of the example; the health of what the handler calls.",
    ),
    Cause(
        "step_token_refused",
        "likely",
        lambda g, w: _status(g, 401, 403) and not _let_through(g),
        "This step's token was not accepted there, though its user is signed in: another check, another audience, or a "
        "token that was renewed or revoked meanwhile.",
        "What this handler checks beside the signature; the life of tokens against the duration of a journey.",
    ),
    Cause(
        "step_not_there",
        "likely",
        lambda g, w: _status(g, 404, 405) and not _let_through(g),
        "The path of this step leads nowhere, or what the step is about is gone: another place in this deployment, or "
        "an object that was not kept.",
        "The path in the dialect against the server's routes; where its object is stored, and for how long.",
    ),
    Cause(
        "step_rate_limited",
        "likely",
        lambda g, w: _status(g, 429),
        "A limit of requests was reached in a step that does not try it.",
        "The limit and its key (a user, an address, everybody) against the think time of this scenario.",
    ),
    Cause(
        "step_unanswered",
        "likely",
        lambda g, w: _unanswered(g),
        "Nothing answered this step in time: a handler that waits for something, or a connection that was closed "
        "before.",
        "How long the handler takes under this load, and what it waits for; limits of connections on the way.",
    ),
    Cause(
        "step_answers_otherwise",
        "possible",
        lambda g, w: _other(g),
        "There is an answer, and it does not hold what this step must bring: a state that was lost, not yet written, "
        "or another's.",
        "The two sides of “expected …, came …” with the example's trace; caches and replicas that lag behind.",
    ),
)
