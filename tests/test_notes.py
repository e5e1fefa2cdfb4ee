"""What a session writes down: rows that fit their tables, without secrets, and bounded however much is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crosstalk.checks.run import Step
from crosstalk.checks.violation import ISOLATION, Violation, delivery
from crosstalk.connection import Arrival, Connection, Endpoint, Inbox
from crosstalk.live_run import BODY_MAX, LiveRun
from crosstalk.notes import ALIKE_MAX, Closing, Notes, Progress
from crosstalk.record.event_log import EventLog
from crosstalk.record.rows import COLUMNS
from crosstalk.terms import Counters, Sinks, Terms
from crosstalk.wire.event import Event, Kind
from crosstalk.wire.netra import Netra
from crosstalk.wire.rfc6455 import Message, Opcode
from tests.test_live_run import OK, run_of

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrM2YwMDAxNyJ9.c2lnbmF0dXJl"
ARRIVAL = Arrival(Message(Opcode.TEXT, b""), arrived_ns=100, received_ns=105, exact=True, arrived_after_ns=100)
LEAK = Violation(
    ISOLATION, "foreign_content", expected="mine", came="theirs", owner="k3f00018", field="data.text", channel=2
)


class Book:
    """A session's notes and the rows they made."""

    def __init__(self, **terms: Any) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []
        self.counters = Counters()
        self.events = EventLog("w1", lambda: None)
        standing = Terms(
            dialect=Netra(), socket_url="ws://h/ws?token=" + SECRET, transport="query", headers={}, tls=None,
            connect_timeout_s=1, agent_timeout_s=1, nonce_required=True, keep_text=True, worker="w1",
        )  # fmt: skip
        self.notes = Notes(
            terms=replace(standing, **terms), sinks=Sinks(self._record, lambda *_: None, self.events),
            counters=self.counters,
            account="k3f00017", user_class="Regular", connection="w1-c1", trace_id="connection trace", purpose="user",
        )  # fmt: skip

    def _record(self, table: str, row: tuple) -> None:
        self.rows.append((table, dict(zip(COLUMNS[table], row, strict=True))))

    def table(self, name: str) -> list[dict[str, Any]]:
        if (logged := self.events.take()) is not None:
            for row in logged.rows():
                self._record("events", row)
        return [row for table, row in self.rows if table == name]


@pytest.fixture
def connection():
    inbox = Inbox()
    yield Connection(Endpoint("ws://h/ws"), inbox, lambda arrival: None)
    inbox._greenlet.kill()


def kept(run: LiveRun, *bodies: bytes) -> LiveRun:
    for body in bodies:
        run.keep_frame("in", "thinking", arrived_ns=1, received_ns=2, body=body)
    return run


# --- events ---------------------------------------------------------------------------------------------------------


def test_an_event_is_a_row_with_the_instants_of_its_run():
    book, run = Book(), run_of(*OK)
    step = Step(gap_ns=7, chunk_gap_ns=5)
    book.notes.event(Event(Kind.CHUNK, run_id="run-1", agent="a", tool="t"), run, step, size_bytes=42, arrival=ARRIVAL)
    [row] = book.table("events")
    assert row == {
        "worker": "w1", "run": "run-1", "connection": "w1-c1", "account": "k3f00017", "n": 4, "kind": "chunk",
        "agent": "a", "tool": "t", "intended_ns": run.intended_ns, "sent_ns": run.sent_ns, "arrived_ns": 100,
        "arrived_after_ns": 100, "received_ns": 105, "exact": True, "gap_ns": 7, "chunk_gap_ns": 5,
        "tool_time_ns": None, "bytes": 42,
    }  # fmt: skip
    assert book.counters.recorded == 1


def test_an_event_of_no_run_of_ours_keeps_the_id_it_came_with():
    book = Book()
    book.notes.event(Event(Kind.THINKING, run_id="run-of-others"), None, Step(), size_bytes=1, arrival=ARRIVAL)
    [row] = book.table("events")
    assert (row["run"], row["n"], row["sent_ns"]) == ("run-of-others", 0, 105)


# --- violations -----------------------------------------------------------------------------------------------------


def test_a_violation_is_a_row_with_its_frame_and_is_noted_in_its_run():
    book, run = Book(), run_of(*OK)
    book.notes.violation(LEAK, run, b'{"text": "theirs"}', ARRIVAL)
    [row] = book.table("violations")
    assert (row["violation"], row["name"], row["channel"], row["owner"], row["count"]) == (
        "w1-c1-v1", "foreign_content", 2, "k3f00018", 1,
    )  # fmt: skip
    assert (row["observer"], row["run"], row["trace_id"], row["surfaced_ns"]) == ("k3f00017", "run-1", "t1", 100)
    assert row["frame"] == '{"text": "theirs"}'
    assert (run.violated, run.said) == ({"foreign_content": 1}, {("theirs", False)})


def test_a_violation_without_a_run_has_the_connections_trace():
    book = Book()
    book.notes.violation(delivery("close_1011", expected="open", came="close"))
    [row] = book.table("violations")
    assert (row["run"], row["trace_id"], row["frame"], row["surfaced_ns"] > 0) == ("", "connection trace", "", True)


def test_of_many_alike_a_hundred_are_written_and_the_others_counted(connection):
    book = Book()
    for _ in range(ALIKE_MAX + 50):
        book.notes.violation(LEAK, None, b"{}", ARRIVAL)
    assert len(book.table("violations")) == ALIKE_MAX
    book.notes.connection("ready", connection, Progress(), Closing())
    rest = book.table("violations")[-1]
    assert (rest["name"], rest["judgement"], rest["owner"], rest["count"]) == (
        "foreign_content",
        "isolation",
        "k3f00018",
        50,
    )
    assert sum(row["count"] for row in book.table("violations")) == ALIKE_MAX + 50
    assert len({row["violation"] for row in book.table("violations")}) == ALIKE_MAX + 1


def test_violations_of_another_kind_owner_or_field_are_not_alike(connection):
    book = Book()
    for change in ({}, {"owner": "k3f00019"}, {"field": "data.other"}, {"name": "foreign_id"}, {"event_kind": "chunk"}):
        for _ in range(ALIKE_MAX):
            book.notes.violation(replace(LEAK, **change))
    assert len(book.table("violations")) == 5 * ALIKE_MAX
    book.notes.connection("ready", connection, Progress(), Closing())
    assert len(book.table("violations")) == 5 * ALIKE_MAX


def test_an_isolation_violation_keeps_its_runs_frames_a_delivery_violation_does_not():
    for violation, many in ((LEAK, 2), (delivery("late", expected="", came=""), 0)):
        book = Book()
        book.notes.violation(violation, kept(run_of(*OK), b"one", b"two"), b"", ARRIVAL)
        assert len(book.table("frames")) == many


def test_frames_are_written_once():
    book, run = Book(), kept(run_of(*OK), b"one")
    book.notes.frames(run, "violation")
    book.notes.frames(run, "failure")
    assert [(row["evidence"], row["body"], row["run"]) for row in book.table("frames")] == [
        ("violation", "one", "run-1")
    ]


# --- secrets, length, and text that is not kept ---------------------------------------------------------------------


def test_no_text_that_is_written_keeps_a_token(connection):
    book = Book()
    body = f'{{"token": "{SECRET}"}}'.encode()
    book.notes.violation(replace(LEAK, came=f"came {SECRET}"), kept(run_of(*OK), body), body, ARRIVAL)
    book.notes.connection("failed", connection, Progress(error=f"refused {SECRET}"), Closing(reason="x"))
    assert SECRET not in repr(book.rows)
    assert book.table("connections")[0]["url"] == "ws://h/ws"


def test_a_long_frame_is_cut():
    book = Book()
    book.notes.violation(LEAK, None, b"x" * 100_000, ARRIVAL)
    assert len(book.table("violations")[0]["frame"]) == BODY_MAX


def test_bytes_that_are_no_text_are_written_all_the_same():
    book = Book()
    book.notes.violation(LEAK, None, b"\xff\xfe{", ARRIVAL)
    assert book.table("violations")[0]["frame"].endswith("{")


def test_where_text_is_not_kept_its_length_is():
    book = Book(keep_text=False)
    book.notes.violation(LEAK, kept(run_of(*OK), b"a private thought"), b"another one", ARRIVAL)
    assert "private" not in repr(book.rows)
    assert book.table("frames")[0]["body"] == "(17 bytes; text is not kept)"
    assert book.table("violations")[0]["frame"] == "(11 bytes; text is not kept)"


# --- the connection -------------------------------------------------------------------------------------------------


def test_a_connections_row_is_written_once_whoever_asks_first(connection):
    book = Book()
    progress = Progress(stage="open", ready_ns=9, identity="full", pongs_ns=[30, 10, 20], events_in=3)
    book.notes.connection("ready", connection, progress, Closing(1000, "bye", "us", 99))
    book.notes.connection("cut", connection, Progress(), Closing())
    [row] = book.table("connections")
    assert (row["outcome"], row["stage"], row["ready_ns"], row["ended_ns"], row["events_in"]) == (
        "ready",
        "open",
        9,
        99,
        3,
    )
    assert (row["close_code"], row["close_reason"], row["closed_by"]) == (1000, "bye", "us")
    assert (row["probe_time_min_ns"], row["probe_time_median_ns"]) == (10, 20)
    assert (row["peer"], row["connected_ns"], row["bytes_in"]) == ("", None, 0)


def test_a_connection_that_was_never_probed_has_no_round_trip(connection):
    book = Book()
    book.notes.connection("failed", connection, Progress(), Closing())
    [row] = book.table("connections")
    assert (row["probe_time_min_ns"], row["probe_time_median_ns"], row["close_code"]) == (None, None, None)
    assert row["ended_ns"] > 0
