"""Which channels can be exercised at all through a dialect: a protocol without a word for it offers no chance to leak.

The numbers are those of docs/isolation.md.
"""

from __future__ import annotations

from crosstalk.wire.dialect import Belongings, Dialect

ALL = frozenset(range(1, 23))
#: channels that people exercise by having runs, whatever is said in them, as long as somebody else is there and they
#: stay for a moment afterwards
BY_ANY_RUN = frozenset({1, 2, 3, 17, 22})
_ANYTHING = Belongings("user", "thread", "run", "message", "connection", "0")


def exercisable(dialect: Dialect) -> dict[int, str]:
    """channel → "" where it can be exercised, or why it cannot."""
    by_user = dialect.socket_per == "user"
    lacks = {
        1: "" if dialect.frames_name_runs else "its frames name no run",
        6: "" if by_user and dialect.frames_name_runs else "a socket has one run at a time",
        7: "" if dialect.list_threads() else "the dialect cannot list threads",
        8: "" if by_user and dialect.resume(_ANYTHING) else "the dialect cannot resume a connection",
        9: "" if by_user and dialect.resume(_ANYTHING) else "the dialect cannot resume a connection",
        12: "" if any(one.object == "thread" for one in dialect.reach(_ANYTHING)) else _UNREACHABLE,
        13: "" if list(dialect.reach(_ANYTHING)) else _UNREACHABLE,
        14: "" if list(dialect.functions()) else "the dialect names no administrative function",
        15: "" if by_user and dialect.fan_out is not None else "no policy for two sockets of one user is declared",
        17: "" if dialect.socket_per != "run" else "a run's socket is closed with it, and nothing can come later",
        18: "" if dialect.cancel("run") else "the dialect cannot cancel a run",
        19: "" if dialect.ids_from == "client" else "the server chooses all ids",
        21: "" if by_user and list(dialect.provoke("reference")) else "the dialect provokes no error",
    }
    return {channel: lacks.get(channel, "") for channel in sorted(ALL)}


_UNREACHABLE = "the dialect says no way to reach another's objects"


def required(text: str, dialect: Dialect) -> tuple[int, ...] | None:
    """The channels that `--required-channels` names: "all" that the dialect can exercise, or numbers; None for "".

    :raises ValueError: it names none.
    """
    if not text:
        return None
    if text.strip() == "all":
        return tuple(channel for channel, why_not in exercisable(dialect).items() if not why_not)
    try:
        channels = {int(number) for number in text.split(",")}
    except ValueError:
        channels = {0}
    if not channels <= ALL:
        raise ValueError(f"--required-channels {text!r}: expected all, or channel numbers from 1 to 22 with commas")
    return tuple(sorted(channels))
