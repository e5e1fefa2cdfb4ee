"""Which violations can be driven again by a script that has sockets, prompts and eyes for what it said itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

_BY_SCOPE = {
    "other_load_test": "what came belongs to another load test, whose users are not in this record",
    "phantom": "what came was never sent to the target: a fault of the harness, not of the target",
    "unverified": "nobody is known to own what came",
    "cross_thread": "both threads are the observer's own; only leaks from one user to another are driven again",
    "cross_run": "both runs are the observer's own; only leaks from one user to another are driven again",
}
#: what users find who reach for what is not theirs: one request shows it, and the violation says which
_REACHED = frozenset(
    {"foreign_object_reached", "victim_changed", "foreign_session_resumed", "subscription_kept", "foreign_token"}
    | {"foreign_listing"}
)
#: where a leak is no part of a message on a socket
_OUTSIDE = {
    "control": "it stood in a control frame",
    "http": "it stood in an answer over HTTP",
    "header": "it stood in the answer to an upgrade",
    "close": "it stood in the reason of a close",
}
#: what `repro.py` reads by itself; see `look` in its template
READ = frozenset({"plain", "case", "json", "nfkc", "separators", "reversed", "base64"})


class NotReproducible(Exception):
    """The violation cannot be driven again; the text says why."""


def check_kind(violation: Row) -> None:
    """:raises NotReproducible: it is no leak from one user to another that messages on sockets show."""
    if reason := _reason(violation):
        raise NotReproducible(f"{violation['name']}: {reason}")


def is_reproducible(violation: Row) -> bool:
    return not _reason(violation)


def _reason(violation: Row) -> str:
    name, scope = str(violation["name"]), str(violation["scope"])
    if violation["judgement"] == "identity":
        return "whom a connection belongs to shows at every connect: there is nothing to make smaller"
    if violation["judgement"] != "isolation":
        return f"a violation of {violation['judgement']}, and no leak; only leaks are driven again"
    if scope in _BY_SCOPE:
        return _BY_SCOPE[scope]
    if not violation["owner"] or violation["owner"] == violation["observer"]:
        return _BY_SCOPE["unverified"]
    if name in _REACHED:
        return f"one request shows it, without any neighbourhood: {violation['came']}"
    if violation["event_kind"] in _OUTSIDE:
        return f"{_OUTSIDE[violation['event_kind']]}, which repro.py does not read"
    if unread := [step for step in str(violation["decode"]).split("+") if step and step not in READ]:
        return f"it was read as {violation['decode']}, and repro.py does not read {', '.join(unread)}"
    return ""
