"""A query for the server's own logs, from the template that `--log-query` gave: ready to be pasted.

The template may hold `{connection_id}`, `{trace_id}`, `{run_id}`, `{user_id}`, `{from}` and `{to}`; other braces stay
as they are, as many query languages have their own. Times are ISO-8601 in UTC, with a second of margin on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reports.markup import printable
from reports.redact import redact

DEFAULT = "trace_id={trace_id} from={from} to={to}"
MARGIN_NS = 1_000_000_000

_PLACE = re.compile(r"\{(connection_id|trace_id|run_id|user_id|from|to)\}")
#: what an id may contain; anything else could break out of the query's quotes, or of a shell's
_NOT_OF_AN_ID = re.compile(r"[^A-Za-z0-9._:@+-]")


def log_query(template: str, failure: Mapping[str, Any]) -> str:
    """The query for a group's example. :param failure: a group as `verdict.json` holds it."""
    values = {
        "connection_id": _id(failure.get("example_connection")),
        "trace_id": _id(failure.get("example_trace_id")),
        "run_id": _id(failure.get("example_run")),
        "user_id": _id(failure.get("example_user")),
        "from": _instant(int(failure.get("example_from_ns") or 0) - MARGIN_NS),
        "to": _instant(int(failure.get("example_until_ns") or 0) + MARGIN_NS),
    }
    return redact(printable(_PLACE.sub(lambda place: values[place[1]], template or DEFAULT)))


def _id(value: object) -> str:
    return _NOT_OF_AN_ID.sub("_", redact(str(value or "")))


def _instant(at_ns: int) -> str:
    whole, rest = divmod(max(at_ns, 0), 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"
