"""Events on their way: what is logged comes out of a batch as it went in, in rows and in columns, and in the record."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crosstalk.record.parts as parts_module
from crosstalk.checks.columns import MISSING
from crosstalk.checks.tally import Tally
from crosstalk.record import event_log
from crosstalk.record.batch import Inlet, Outbox
from crosstalk.record.columns import coded_of, columns_of, rows_of
from crosstalk.record.event_log import EVENTS_MAX, EventLog, Logged
from crosstalk.record.parts import Record, RecordWriter
from crosstalk.record.rows import COLUMNS, TABLES

instants = st.integers(1_700_000_000_000_000_000, 2_100_000_000_000_000_000)
times = st.none() | st.integers(-(10**12), 10**15)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
places = st.tuples(texts, st.sampled_from(["w1-c1", "w1-c2"]), texts, instants, instants)
labels = st.tuples(st.sampled_from(["chunk", "started", "completed"]), texts, texts)
numbers = st.tuples(
    st.integers(0, 2**31 - 1), instants, instants, instants, st.booleans(), times, times, times,
    st.integers(0, 2**31 - 1),
)  # fmt: skip
events = st.lists(st.tuples(places, labels, numbers), min_size=1, max_size=30)


def row_of(place, label, of_it, worker="w1"):
    """What the table's row of such an event is."""
    n, arrived, after, received, exact, gap, chunk_gap, tool_time, size = of_it
    run, connection, account, intended, sent = place
    values = {
        "worker": worker, "run": run, "connection": connection, "account": account, "n": n, "kind": label[0],
        "agent": label[1], "tool": label[2], "intended_ns": intended, "sent_ns": sent, "arrived_ns": arrived,
        "arrived_after_ns": after, "received_ns": received, "exact": exact, "gap_ns": gap, "chunk_gap_ns": chunk_gap,
        "tool_time_ns": tool_time, "bytes": size,
    }  # fmt: skip
    return tuple(values[name] for name in COLUMNS["events"])


def logged(given_events) -> Logged:
    log = EventLog("w1", lambda: None)
    for place, label, of_it in given_events:
        log.add(log.place(*place), *label, *of_it)
    taken = log.take()
    assert taken is not None and log.take() is None
    return taken


def test_null_is_the_same_number_everywhere():
    assert event_log.MISSING == MISSING


@given(events)
def test_what_is_logged_comes_out_of_a_batch(given_events):
    outbox = Outbox("w1", lambda number, body: bodies.append(body), None)
    bodies: list[bytes] = []
    for place, label, of_it in given_events:
        outbox.events.add(outbox.events.place(*place), *label, *of_it)
    outbox.flush()
    [body] = bodies
    batch = Inlet().take(body)
    assert batch.events.rows() == [row_of(*one) for one in given_events]
    assert outbox.rows_recorded["events"] == len(batch.events) == len(given_events)


@given(events)
def test_columns_say_what_rows_say(given_events):
    coded, rows = coded_of(logged(given_events)), [row_of(*one) for one in given_events]
    columns = {
        name: coded.texts[name].decoded() if name in coded.texts else coded.others[name] for name in TABLES["events"]
    }
    assert rows_of(columns) == rows_of(columns_of("events", rows))


@given(events)
def test_the_tally_takes_either(given_events):
    by_row, by_column = Tally(), Tally()
    rows = [row_of(*one) for one in given_events]
    by_row.add("events", columns_of("events", rows))
    by_column.add_events(coded_of(logged(given_events)))
    assert by_row.runs.keys.names() == by_column.runs.keys.names()
    assert by_row.runs.kinds() == by_column.runs.kinds()
    for name in ("key", "worker", "kind", "time_ns", "gap_ns", "chunk_gap_ns", "tool_time_ns", "lag_ns", "exact"):
        assert by_row.runs.events[name].tolist() == by_column.runs.events[name].tolist()


@settings(max_examples=10, deadline=None)
@given(st.lists(events, min_size=1, max_size=4), st.sampled_from([1, 20, 1000]))
def test_the_record_reads_back_what_came_in_columns(tmp_path_factory, batches, part_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "PART_ROWS", part_rows)
        writer = RecordWriter(tmp_path_factory.mktemp("record"))
        writer.write_run({})
        for batch in batches:
            writer.append_events(coded_of(logged(batch)))
        writer.flush()
    rows = [row_of(*one) for batch in batches for one in batch]
    assert writer.rows_written["events"] == len(rows)
    assert rows_of(Record(writer.folder).table("events")) == rows_of(columns_of("events", rows))


def test_a_full_log_goes_by_itself_and_its_places_are_good_for_one_batch():
    sent: list[bytes] = []
    outbox = Outbox("w1", lambda number, body: sent.append(body), None)
    log, first = outbox.events, outbox.events.batch
    place = log.place("run-1", "c", "a", 1, 2)
    for n in range(EVENTS_MAX):
        assert log.batch == first
        log.add(place, "chunk", "", "", n, 1, 1, 1, True, None, None, None, 5)
    assert len(sent) == 1 and len(log) == 0 and log.batch == first + 1
    assert len(sent[0]) < 300 * 1024


def test_events_that_were_cut_short_are_not_taken_for_fewer():
    content = logged([(("r", "c", "a", 1, 2), ("chunk", "", ""), (1, 1, 1, 1, True, None, None, None, 5))]).encoded()
    whole = orjson.loads(orjson.dumps(content))
    assert len(Logged.decoded("w1", whole)) == 1
    with pytest.raises(ValueError, match="bytes for each event"):
        Logged.decoded("w1", {**whole, "numbers": whole["numbers"][:-8]})
