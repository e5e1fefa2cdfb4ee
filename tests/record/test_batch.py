"""Batches: every row arrives once or is known to be missing, whatever is lost, doubled or late on the way."""

from __future__ import annotations

import resource
import signal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.record.batch import BATCH_BYTES, WINDOW, Inlet, Outbox, append, row
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


def fill(outbox, batches):
    for n in range(batches):
        outbox.add("exposure", exposure(n))
        outbox.flush()


def test_the_oldest_that_was_not_acknowledged_is_sent_again(outbox, post):
    fill(outbox, 3)
    outbox.acknowledge(1)
    outbox.acknowledge(1)
    outbox.acknowledge(99)
    assert outbox.unacknowledged == 2
    first_time = list(post.sent)
    post.sent.clear()
    outbox.probe()
    assert post.sent == [first_time[1]]
    outbox.acknowledge(2)
    outbox.acknowledge(3)
    post.sent.clear()
    outbox.probe()
    assert post.sent == []


def test_an_answer_to_a_later_batch_tells_what_was_lost_before_it(outbox, post):
    fill(outbox, 4)
    post.sent.clear()
    outbox.acknowledge(3)
    assert numbers(post) == [1, 2]  # and not 4, which was sent after it
    post.sent.clear()
    outbox.acknowledge(4)
    assert numbers(post) == []  # sent again after 4: nothing is known of them


def test_an_answer_to_the_first_sending_does_not_call_those_lost_that_are_between_it_and_the_second(outbox, post):
    fill(outbox, 3)
    outbox.probe()
    post.sent.clear()
    outbox.acknowledge(1)
    assert numbers(post) == []


# --- a master that does not answer ----------------------------------------------------------------------------------


def read_spill(outbox):
    return [orjson.loads(line) for line in outbox.spill.read_bytes().splitlines()]


def test_beyond_the_window_batches_go_to_the_workers_own_disk(outbox, post):
    fill(outbox, WINDOW + 3)
    assert numbers(post) == list(range(1, WINDOW + 1))
    assert (outbox.unacknowledged, outbox.kept, outbox.spilled) == (WINDOW + 3, 3, 3)
    spilled = read_spill(outbox)
    assert [batch["number"] for batch in spilled] == [WINDOW + 1, WINDOW + 2, WINDOW + 3]
    assert spilled[0]["tables"]["exposure"] == [list(exposure(WINDOW))]


def test_while_the_master_is_silent_batches_go_to_the_disk_at_once(outbox, post):
    fill(outbox, 2)
    outbox.hold()
    fill(outbox, 2)
    assert (numbers(post), outbox.kept) == ([1, 2], 2)


def test_when_the_master_is_heard_again_what_was_kept_follows_at_once(outbox, post):
    outbox.hold()
    fill(outbox, 5)
    assert numbers(post) == []
    outbox.release()
    assert numbers(post) == [1, 2, 3, 4, 5]
    for number in range(1, 6):
        assert outbox.spill.exists()  # a worker that is killed now leaves what is not acknowledged
        outbox.acknowledge(number)
    assert not outbox.spill.exists()


def test_an_answer_takes_up_what_is_on_the_disk_in_order_and_within_the_window(outbox, post):
    fill(outbox, 2 * WINDOW)
    for number in range(1, 4):
        outbox.acknowledge(number)
    assert numbers(post) == list(range(1, WINDOW + 4))
    fill(outbox, 1)  # not past those that wait on the disk
    assert numbers(post) == list(range(1, WINDOW + 4))
    for number in range(4, 2 * WINDOW + 2):
        outbox.acknowledge(number)
    assert numbers(post) == list(range(1, 2 * WINDOW + 2))
    assert (outbox.unacknowledged, outbox.kept, outbox.spilled) == (0, 0, WINDOW + 1)
    assert not outbox.spill.exists()
    bodies = [orjson.loads(body) for _, body in post.sent]
    assert [body["number"] for body in bodies] == numbers(post)


def test_giving_up_keeps_what_was_not_acknowledged_and_a_reader_can_take_it(outbox, post):
    fill(outbox, 3)
    outbox.acknowledge(1)
    outbox.give_up({"last_batch": 3})
    assert (outbox.unacknowledged, outbox.kept, outbox.spilled) == (2, 2, 2)
    inlet = Inlet()
    *lines, final = outbox.spill.read_bytes().splitlines()
    assert orjson.loads(final) == {"worker": "w1", "number": 0, "final": {"last_batch": 3}}
    taken = [inlet.take(line) for line in lines]
    assert [(batch.worker, batch.number) for batch in taken] == [("w1", 2), ("w1", 3)]


def test_what_the_disk_does_not_take_is_counted_and_costs_nobody_else(post, tmp_path):
    outbox = Outbox("w1", post, tmp_path)  # a folder, to which nothing can be appended
    outbox.hold()
    fill(outbox, 2)
    assert (outbox.dropped, outbox.kept, outbox.trouble) == (2, 0, "Is a directory")
    outbox.release()
    fill(outbox, 1)
    assert numbers(post) == [3]


def test_a_full_disk_leaves_no_half_a_batch(tmp_path):
    """The kernel's limit on the size of files stands in for the end of the disk."""
    path = tmp_path / "spill.jsonl"
    append(path, b"whole\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with pytest.raises(OSError):
            append(path, b"too much\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"whole\n"


def test_no_spill_file_is_made_where_nothing_is_spilled(outbox):
    outbox.add("exposure", exposure())
    outbox.flush()
    outbox.acknowledge(1)
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


HAPPENINGS = ["row", "flush", "flush", "deliver", "lose", "answer", "lose answer", "probe", "hold", "release"]


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=80))
def test_no_row_is_lost_or_counted_twice_on_any_line(tmp_path_factory, happenings):
    line: list[tuple[int, bytes]] = []
    spill = tmp_path_factory.getbasetemp() / "line.jsonl"
    spill.unlink(missing_ok=True)
    outbox = Outbox("w1", lambda number, body: line.append((number, body)), spill)
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
        elif happening == "deliver":
            deliver()
        elif happening == "lose" and line:
            line.pop(0)
        elif happening == "answer" and answers:
            outbox.acknowledge(answers.pop(0))
        elif happening == "lose answer" and answers:
            answers.pop(0)
        elif happening in ("flush", "probe", "hold", "release"):
            getattr(outbox, happening)()
    outbox.flush()
    outbox.release()
    for _ in range(3 * outbox.number + 3):  # each probe brings an answer, each answer at least one batch home
        while line:
            deliver()
        while answers:
            outbox.acknowledge(answers.pop(0))
        outbox.probe()
    assert outbox.unacknowledged == 0
    assert sorted(row[2] for row in rows) == list(range(added))
    assert inlet.missing("w1", outbox.number) == []
    assert not spill.exists()


def test_what_came_is_told_in_ranges_and_known_again():
    inlet = Inlet()
    for number in (7, 1, 2, 3, 5, 6):
        inlet.take(body(number))
    assert inlet.ranges("w1") == [[1, 3], [5, 7]]
    assert inlet.ranges("w2") == []
    other = Inlet()
    other.know("w1", inlet.ranges("w1"))
    assert other.missing("w1", 8) == [4, 8]
    assert other.take(body(5)) is None
    assert other.take(body(4)) is not None
