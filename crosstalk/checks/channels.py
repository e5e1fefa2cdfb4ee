"""The 22 channels on which what is one user's may reach another, and which kinds of events speak for which.

The numbers are those of docs/isolation.md.
"""

from __future__ import annotations

from crosstalk.wire.event import RUN_KINDS, Kind

#: channel → what it is called
CHANNELS: dict[int, str] = {
    1: "event on the wrong socket",
    2: "foreign content in one's own event",
    3: "foreign id without content",
    4: "tool arguments and results",
    5: "interleaved stream",
    6: "swap between one's own runs",
    7: "thread and history listing",
    8: "recycled session",
    9: "resume cursor",
    10: "shared response cache",
    11: "shared memory",
    12: "token swap",
    13: "object level authorisation",
    14: "function level authorisation",
    15: "one user, two sockets",
    16: "one user, two threads",
    17: "late events",
    18: "poisoned pool",
    19: "colliding client ids",
    20: "progress, notification and hand-off events",
    21: "errors, close reasons, headers and control frames",
    22: "transformed content",
}
#: channels that look for canaries: own ones must come back, or nothing foreign could have been seen either
CONTENT_CHANNELS = frozenset({2, 4, 5, 6, 10, 11, 16, 18, 19, 20, 21, 22})
#: channels that a run may be a probe of (`Prompt.probe`): what is foreign in it is named after them
PROBE_CHANNELS = frozenset({11, 19})

TOOL_KINDS = frozenset({Kind.TOOL_EXECUTING, Kind.TOOL_COMPLETED})
ERROR_KINDS = frozenset({Kind.ERROR, Kind.REFUSED, Kind.REJECTED, Kind.MALFORMED})
#: kinds that are not part of an answer: checked as channel 20
SIDE_KINDS = frozenset({Kind.HANDOFF, Kind.NOTICE, Kind.OTHER, Kind.HEARTBEAT, Kind.ACK, Kind.PONG, Kind.WELCOME})


def _content_channel(kind: Kind) -> int:
    if kind in SIDE_KINDS:
        return 20
    return 4 if kind in TOOL_KINDS else 21 if kind in ERROR_KINDS else 2


#: kind → the channel that foreign content in such an event is seen on, unless there is more to say about it
CONTENT_CHANNEL_OF: dict[Kind, int] = {kind: _content_channel(kind) for kind in Kind}
#: kind → the channels for which an event of that kind is an observation
OBSERVED_BY: dict[Kind, tuple[int, ...]] = {
    kind: (20,)
    if kind in SIDE_KINDS
    else (1, 3, CONTENT_CHANNEL_OF[kind])
    if kind in RUN_KINDS
    else (CONTENT_CHANNEL_OF[kind],)
    for kind in Kind
}
