"""What holds for every session of a load test: its terms, where observations go, and the counters that must agree."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crosstalk.proxy import Proxy
from crosstalk.record.event_log import EventLog
from crosstalk.record.rows import Row
from crosstalk.wire.dialect import Dialect


@dataclass(slots=True)
class Counters:
    """Events of this process, counted at three places that must agree (conservation)."""

    received: int = 0
    checked: int = 0
    recorded: int = 0
    runs_started: int = 0
    schedule_lag_max_ns: int = 0


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where observations go.

    `record(table, row)`: into the record, but for rows of `events`, which `events` takes. `milestone(kind, name,
    time_ms, size_bytes, error)`: Locust's request event.
    """

    record: Callable[[str, Row], None]
    milestone: Callable[[str, str, float | None, int, str], None]
    events: EventLog


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session must know of the load test's settings."""

    dialect: Dialect
    socket_url: str
    transport: str  # header | subprotocol | query | message
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    connect_timeout_s: float
    agent_timeout_s: float
    nonce_required: bool
    keep_text: bool
    worker: str
    proxy: Proxy | None = None
