"""Batches: every row arrives once or is known to be missing, whatever is lost, doubled or late on the way."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.record.batch import BATCH_BYTES, WINDOW, Inlet, Outbox, row
from crosstalk.record.rows import COLUMNS, TABLES

EXPOSURE = {"worker": "w1", "channel": 1, "opportunities": 2, "observations": 3, "controls_expected": 4,
            "controls_seen": 4, "phantoms_live": 5, "skipped_bytes": 6}  # fmt: skip


def exposure(n=0):
    return row("exposure", **{**EXPOSURE, "opportunities": n})


class Post:
    """The way to the master: keeps what was handed over."""

    def __init__(self):
        self.sent: list[tuple[int, bytes]] = []

    def __call__(self, number, body):
        self.sent.append((number, body))


@pytest.fixture
def post():
    return Post()


@pytest.fixture
def outbox(post, tmp_path):
    return Outbox("w1", post, tmp_path / "spill" / "w1.jsonl")


def numbers(post):
    return [number for number, _ in post.sent]


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_row_is_in_the_order_of_its_columns():
    backwards = dict(reversed(EXPOSURE.items()))
    assert row("exposure", **backwards) == tuple(EXPOSURE[column] for column in COLUMNS["exposure"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda values: values.pop("channel"), "channel"),
        (lambda values: values.update(chanel=1), "chanel"),
        (lambda values: values.update(chanel=values.pop("channel")), "chanel"),
    ],
    ids=["missing", "unknown", "misspelt"],
)
def test_a_row_with_wrong_columns_is_our_mistake_and_names_them(change, named):
    values = dict(EXPOSURE)
    change(values)
    with pytest.raises(TypeError, match=named):
        row("exposure", **values)


# --- the worker's end -----------------------------------------------------------------------------------------------


def test_batches_are_numbered_from_one_without_gaps(outbox, post):
    for n in range(3):
        outbox.add("exposure", exposure(n))
        outbox.flush()
    assert numbers(post) == [1, 2, 3]
    assert outbox.number == 3


def test_nothing_gathered_is_no_batch(outbox, post):
    outbox.flush()
    outbox.add("exposure", exposure())
    outbox.flush()
    outbox.flush()
    assert numbers(post) == [1]


def test_a_batch_says_whose_it_is_and_holds_its_rows_by_table(outbox, post):
    outbox.add("exposure", exposure(1))
    outbox.add("health", tuple(range(len(COLUMNS["health"]))))
    outbox.add("exposure", exposure(2))
    outbox.flush()
    content = orjson.loads(post.sent[0][1])
    assert (content["worker"], content["number"]) == ("w1", 1)
    assert content["tables"]["exposure"] == [list(exposure(1)), list(exposure(2))]
    assert len(content["tables"]["health"]) == 1


def test_a_full_batch_goes_by_itself(outbox, post):
    added = 0
    while not post.sent:
        outbox.add("exposure", exposure(added))
        added += 1
        assert added < BATCH_BYTES
    assert 100 < added < 10_000
    assert len(orjson.loads(post.sent[0][1])["tables"]["exposure"]) == added


def test_rows_are_counted_where_they_are_gathered(outbox):
    for n in range(5):
        outbox.add("exposure", exposure(n))
    assert outbox.rows_recorded == {**dict.fromkeys(TABLES, 0), "exposure": 5}


def test_what_is_not_acknowledged_is_sent_again_and_nothing_else(outbox, post):
    for n in range(3):
        outbox.add("exposure", exposure(n))
        outbox.flush()
    outbox.acknowledge(2)
    outbox.acknowledge(2)
    outbox.acknowledge(99)
    assert outbox.unacknowledged == 2
    first_time = list(post.sent)
    post.sent.clear()
    outbox.resend()
    assert post.sent == [first_time[0], first_time[2]]


# --- a master that does not answer ----------------------------------------------------------------------------------


def read_spill(outbox):
    return [orjson.loads(line) for line in outbox.spill.read_bytes().splitlines()]


def test_beyond_the_window_batches_go_to_the_workers_own_disk(outbox, post):
    for n in range(WINDOW + 3):
        outbox.add("exposure", exposure(n))
        outbox.flush()
    assert numbers(post) == list(range(1, WINDOW + 1))
    assert (outbox.unacknowledged, outbox.spilled) == (WINDOW, 3)
    spilled = read_spill(outbox)
    assert [batch["number"] for batch in spilled] == [WINDOW + 1, WINDOW + 2, WINDOW + 3]
    assert spilled[0]["tables"]["exposure"] == [list(exposure(WINDOW))]


def test_an_answer_opens_the_window_again(outbox, post):
    for n in range(WINDOW + 1):
        outbox.add("exposure", exposure(n))
        outbox.flush()
    outbox.acknowledge(1)
    outbox.add("exposure", exposure())
    outbox.flush()
    assert numbers(post)[-1] == WINDOW + 2
    assert outbox.spilled == 1


def test_giving_up_keeps_what_was_not_acknowledged_and_a_reader_can_take_it(outbox, post):
    for n in range(3):
        outbox.add("exposure", exposure(n))
        outbox.flush()
    outbox.acknowledge(1)
    outbox.give_up()
    outbox.give_up()
    assert (outbox.unacknowledged, outbox.spilled) == (0, 2)
    inlet = Inlet()
    taken = [inlet.take(line) for line in outbox.spill.read_bytes().splitlines()]
    assert [(batch.worker, batch.number) for batch in taken] == [("w1", 2), ("w1", 3)]


def test_no_spill_file_is_made_where_nothing_is_spilled(outbox):
    outbox.add("exposure", exposure())
    outbox.flush()
    outbox.acknowledge(1)
    outbox.give_up()
    assert not outbox.spill.exists()


# --- the master's end -----------------------------------------------------------------------------------------------


def body(number, worker="w1", **tables):
    return orjson.dumps({"worker": worker, "number": number, "tables": tables or {"exposure": [exposure(number)]}})


def test_a_batch_is_taken_once():
    inlet = Inlet()
    batch = inlet.take(body(1))
    assert (batch.worker, batch.number, batch.tables) == ("w1", 1, {"exposure": [list(exposure(1))]})
    assert inlet.take(body(1)) is None
    assert inlet.received("w1") == 1


def test_workers_number_their_batches_each_for_itself():
    inlet = Inlet()
    assert inlet.take(body(1, "w1")) is not None
    assert inlet.take(body(1, "w2")) is not None
    assert (inlet.received("w1"), inlet.received("w2"), inlet.received("w3")) == (1, 1, 0)


def test_what_never_came_is_known():
    inlet = Inlet()
    for number in (4, 1):
        inlet.take(body(number))
    assert inlet.missing("w1", 5) == [2, 3, 5]
    assert inlet.missing("w1", 1) == []
    assert inlet.missing("w2", 2) == [1, 2]


def test_a_table_of_another_version_is_left_out():
    batch = Inlet().take(body(1, exposure=[exposure()], poems=[["roses"]]))
    assert batch.tables.keys() == {"exposure"}


# --- both ends, on a bad line ---------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["row", "flush", "deliver", "lose", "answer", "resend"]), max_size=60))
def test_no_row_is_lost_or_counted_twice_on_any_line(tmp_path_factory, happenings):
    line: list[tuple[int, bytes]] = []
    outbox = Outbox(
        "w1", lambda number, body: line.append((number, body)), tmp_path_factory.getbasetemp() / "unused.jsonl"
    )
    inlet, answers, rows, added = Inlet(), [], [], 0

    def deliver():
        if line:
            number, body = line.pop(0)
            batch = inlet.take(body)
            rows.extend(batch.tables["exposure"] if batch else [])
            answers.append(number)

    for happening in happenings:
        if happening == "row":
            outbox.add("exposure", exposure(added))
            added += 1
        elif happening == "flush":
            outbox.flush()
        elif happening == "deliver":
            deliver()
        elif happening == "lose" and line:
            line.pop(0)
        elif happening == "answer" and answers:
            outbox.acknowledge(answers.pop(0))
        elif happening == "resend":
            outbox.resend()
    outbox.flush()
    outbox.resend()
    while line:
        deliver()
    assert sorted(row[2] for row in rows) == list(range(added))
    assert inlet.missing("w1", outbox.number) == []
