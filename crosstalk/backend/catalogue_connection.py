"""Faults of connections and of limits: what happens at the door, in silence, and to those who ask too much."""

from __future__ import annotations

from crosstalk.backend.catalogue_entry import Fault

_NETRA_ONLY = {"agui": "no: a thread has one socket", "per_run": "no: a run has one socket"}
_BY_UPGRADE = {"agui": "no: ready with the upgrade", "per_run": "no: ready with the upgrade"}
_NO_FRAMES = {"agui": "no: it has no such frame", "per_run": "no: its client sends nothing"}
_HTTP_TOO = {"agui": "no: it has no such request", "per_run": "no: it has no such request"}

CONNECTION: tuple[Fault, ...] = (
    Fault(
        "fan_in_refuses",
        "the fifth of a user's sockets on their way up at once gets 503",
        "a socket: its upgrade",
        "step connection/fan in",
    ),
    Fault(
        "comeback_refused",
        "who comes back within a second of leaving gets 503, once",
        "a socket: its upgrade",
        "step connection/connect",
    ),
    Fault(
        "cap_ignored",
        "a user may have any number of sockets",
        "a socket: beyond the cap",
        "step connection/over the cap",
        _NETRA_ONLY,
    ),
    Fault(
        "cap_kills_oldest",
        "a socket beyond the cap closes the user's oldest",
        "a socket: beyond the cap",
        "step connection/over the cap",
        _NETRA_ONLY,
    ),
    Fault(
        "cap_1011",
        "a socket beyond the cap is closed with 1011",
        "a socket: beyond the cap",
        "step connection/over the cap",
        _NETRA_ONLY,
    ),
    Fault(
        "early_frame_lost",
        "what comes before the welcome is dropped",
        "a socket: before it is ready",
        "step connection/speaks before ready",
        _BY_UPGRADE,
    ),
    Fault(
        "heartbeat_missing",
        "silence is never answered with a heartbeat",
        "a socket: its silence",
        "step connection/heartbeat",
        _NO_FRAMES,
    ),
    Fault(
        "pong_missing",
        "from the fourth ping frame of a socket on none is answered",
        "a socket: a ping frame",
        "step connection/application ping",
        _NO_FRAMES,
    ),
    Fault("ping_ignored", "RFC 6455 pings are not answered", "a socket: a ping", "step connection/ping"),
    Fault(
        "server_ping_missing",
        "no RFC 6455 ping is sent to a silent socket",
        "a socket: its silence",
        "step connection/server ping",
    ),
    Fault(
        "pong_unheard",
        "a socket is dropped as if it had not answered a ping",
        "a socket: its silence",
        "step connection/server ping",
    ),
    Fault(
        "idle_cut_early",
        "a socket is closed after half of the silence that it may keep",
        "a socket: its silence",
        "step connection/idle timeout",
    ),
    Fault(
        "idle_never_cut",
        "a socket may be silent for ever, whatever is declared",
        "a socket: its silence",
        "step connection/idle timeout",
    ),
    Fault(
        "subprotocol_not_offered_echoed",
        "a subprotocol that nobody offered is the answer",
        "a socket: its upgrade",
        "step connection/known subprotocol",
    ),
    Fault(
        "subprotocol_first_echoed",
        "the first subprotocol offered is the answer, known or not",
        "a socket: its upgrade",
        "step connection/known subprotocol",
    ),
    Fault(
        "close_code_hidden",
        "every close that is asked for says 1000",
        "a socket: its end",
        "step connection/close codes",
        _NO_FRAMES,
    ),
)

LIMITS: tuple[Fault, ...] = (
    Fault(
        "rate_limit_ignored",
        "the rate is limited on paper only",
        "a request: of a limited rate",
        "step limits/rate limited",
        _HTTP_TOO,
    ),
    Fault(
        "rate_limit_without_retry_after",
        "a refusal does not say when to come back",
        "a request: of a limited rate",
        "step limits/rate limited",
        _HTTP_TOO,
    ),
    Fault(
        "rate_limit_never_lifts",
        "who was refused once is refused for ever",
        "a request: of a limited rate",
        "step limits/polite again",
        _HTTP_TOO,
    ),
    Fault(
        "rate_limit_1011",
        "the third refusal in a row is a 500, or close 1011",
        "a request: of a limited rate",
        "step limits/impolite",
        _HTTP_TOO,
    ),
    Fault(
        "rate_limit_hits_others",
        "all users who have this share one allowance",
        "a request: of a limited rate",
        "step limits/within the rate limit",
        _HTTP_TOO,
    ),
    Fault(
        "oversized_1011",
        "a message over the limit closes the socket with 1011",
        "a socket: a message",
        "step limits/oversized message",
    ),
    Fault(
        "oversized_accepted", "messages of any size are taken", "a socket: a message", "step limits/oversized message"
    ),
    Fault(
        "largest_refused",
        "messages above half of the limit are refused",
        "a socket: a message",
        "step limits/largest message",
    ),
    Fault(
        "malformed_kills_socket",
        "a message that makes no sense closes the socket with 1003, unanswered",
        "a socket: a message",
        "step limits/malformed message",
        _NO_FRAMES,
    ),
    Fault(
        "unknown_type_1011",
        "a message of an unknown type, but for who_am_i, closes the socket with 1011",
        "a socket: a message",
        "step limits/unknown type",
        _NO_FRAMES,
    ),
)
