"""Rows of a few runs with frames and events, for traces: a leak, and what may be missing of it."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from crosstalk.checks.columns import Columns
from crosstalk.checks.isolation import run_id
from crosstalk.record.columns import columns_of
from crosstalk.record.rows import TABLES
from reports.trace_choice import Choice, choose
from reports.trace_views import View, views
from tests.reports.rows import KEYRING, MS, START_NS, account, canary
from tests.reports.test_figures import blank

OWNER, OBSERVER = 6, 4
#: when the owner's prompt left, and when its canary surfaced with the observer
PLANTED_NS, SURFACED_NS = START_NS + 50 * MS, START_NS + 177 * MS
VIOLATION = "local-c4-v1"


def run_of(user: int) -> str:
    return run_id(KEYRING, owner=user, ordinal=1)


def prompt(user: int) -> str:
    return orjson.dumps({"type": "execute_agent", "payload": {"user_request": f"Repeat {canary(user, 1)}"}}).decode()


def leak_frame(text: str = "") -> str:
    chunk = text or f"so {canary(OWNER, 1)} it is"
    return orjson.dumps(
        {"type": "chunk", "user_id": account(OBSERVER), "data": {"chunk": chunk, "at": [1, {"n": 2}]}}
    ).decode()


def frame(user: int, at_ns: int, body: str, *, direction: str = "in", kind: str = "chunk", **more: Any) -> list[object]:
    said: dict[str, Any] = {"connection": f"c{user}", "account": account(user), "run": run_of(user), **more}
    said |= {"worker": "local", "direction": direction, "kind": kind, "body": body, "evidence": "violation"}
    return blank("frames", **{"arrived_ns": at_ns, "received_ns": at_ns, **said})


def event(user: int, at_ns: int, kind: str = "chunk", **more: Any) -> list[object]:
    said: dict[str, Any] = {"connection": f"c{user}", "account": account(user), "run": run_of(user), "agent": "helper"}
    said |= {"kind": kind, "arrived_ns": at_ns, "received_ns": at_ns, "exact": True, "bytes": 300}
    said |= {"arrived_after_ns": at_ns}
    return blank("events", **{**said, **more})


def run(user: int, sent_ns: int, end_ns: int | None, **more: Any) -> list[object]:
    said: dict[str, Any] = {"connection": f"c{user}", "account": account(user), "run": run_of(user), "worker": "local"}
    said |= {"prompt": "plain", "sent_ns": sent_ns, "intended_ns": sent_ns, "end_ns": end_ns, "outcome": "ok"}
    times = dict.fromkeys(("accepted_ns", "first_event_ns", "first_chunk_ns"))
    return blank("runs", **{**said, **times, **more})


def violation(**more: Any) -> list[object]:
    said: dict[str, Any] = {
        "worker": "local", "violation": VIOLATION, "judgement": "isolation", "name": "foreign_content", "channel": 2,
        "scope": "cross_user", "observer": account(OBSERVER), "observer_connection": f"c{OBSERVER}",
        "owner": account(OWNER), "run": run_of(OBSERVER), "owner_run": run_of(OWNER), "event_kind": "chunk",
        "site": "prompt", "field": "data.chunk", "decode": "plain", "expected": f"content of {account(OBSERVER)}",
        "came": f"a prompt reference of {account(OWNER)}", "frame": leak_frame(), "planted_ns": None,
        "surfaced_ns": SURFACED_NS, "count": 1,
    }  # fmt: skip
    return blank("violations", **{**said, **more})


def tables(**changed: list[list[object]]) -> dict[str, Columns]:
    """A leak from OWNER to OBSERVER with everything kept, but for the tables in `changed`."""
    rows: dict[str, list[list[object]]] = {
        "violations": [violation()],
        "runs": [
            run(OWNER, PLANTED_NS, PLANTED_NS + 900 * MS),
            run(OBSERVER, PLANTED_NS - 2 * MS, SURFACED_NS + 300 * MS),
        ],
        "frames": [
            frame(OWNER, PLANTED_NS, prompt(OWNER), direction="out", kind="prompt"),
            frame(OWNER, PLANTED_NS + 4 * MS, '{"type":"started"}', kind="started"),
            frame(OBSERVER, PLANTED_NS - 2 * MS, prompt(OBSERVER), direction="out", kind="prompt"),
            frame(OBSERVER, SURFACED_NS, leak_frame()),
            frame(OBSERVER, SURFACED_NS + 300 * MS, '{"type":"completed"}', kind="completed"),
        ],
        "events": [
            event(OWNER, PLANTED_NS + 4 * MS, "started"),
            event(OBSERVER, SURFACED_NS, exact=False),
            event(OBSERVER, SURFACED_NS + 300 * MS, "completed"),
        ],
        "health": [],
        **changed,
    }
    return {name: columns_of(name, [tuple(row) for row in listed]) for name, listed in rows.items()}


def choice_of(made: dict[str, Columns]) -> Choice:
    return choose(made["violations"], made["runs"], made["frames"])


def first_view(**changed: list[list[object]]) -> View:
    made = tables(**changed)
    return views(made, choice_of(made))[0]


ODD = st.sampled_from(
    ["", "a", "</script><b>", 'x"y', "\x00\ud800", "k3f00004", "k3f00006", "data.chunk", "case+rot13"]
)
TIMES = st.integers(0, 10**12)


def odd_row(table: str) -> st.SearchStrategy[tuple[object, ...]]:
    of_type: dict[str, st.SearchStrategy[Any]] = {
        "str": ODD, "int": TIMES, "float": st.floats(0, 1), "bool": st.booleans(), "int?": st.none() | TIMES,
    }  # fmt: skip
    return st.tuples(*(of_type[kind] for kind in TABLES[table].values()))


def odd_tables() -> st.SearchStrategy[dict[str, list[tuple[object, ...]]]]:
    """Rows that no load test wrote: nulls, empty and hostile texts, times in any order, names that meet by chance."""
    return st.fixed_dictionaries({name: st.lists(odd_row(name), max_size=6) for name in tables()})
