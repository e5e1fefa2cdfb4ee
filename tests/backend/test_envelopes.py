"""Envelopes, retries, the queue of a socket that is not read, and what is kept of an answer that was cut short."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from crosstalk.backend.envelopes import BATCHED, FLATTENED, WRAPPED, event_in
from crosstalk.backend.mistakes_events import EDITS
from crosstalk.backend.outgoing import Outgoing
from crosstalk.backend.plan import CHUNK, COMPLETED, TOOL_COMPLETED, Ask, make_plan
from crosstalk.backend.send_queue import ROOM_BYTES, UNSENT_BYTES_MAX, Jam, SendQueue
from tests.backend.client import Client, backend, kinds, mint, streamed

NOW = datetime(2025, 9, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def served() -> Iterator:
    with backend() as process:
        yield process


@contextmanager
def socket_of(process, user: str, query: str) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {mint(user)}"}
    with process.open(f"/ws?{query}", additional_headers=headers) as socket:
        client = Client(user, socket)
        client.welcome = client.read()
        yield client


def until(client: Client, wanted) -> list:
    frames = [client.read()]
    while not wanted(frames[-1]):
        frames.append(client.read())
    return frames


# --- on the wire ----------------------------------------------------------------------------------------------------


def test_flattened_events_stand_at_the_root_and_say_when_they_come_again(served):
    with socket_of(served, "env00001", "envelope=flattened&retries=1") as client:
        assert client.welcome["data"]["envelope"] == "flattened"
        client.start("look up")
        frames = until(client, lambda frame: frame["type"] == "agent_completed")
    assert all("data" not in frame and frame["agent_name"] and frame["thread_id"] for frame in frames)
    assert {frame["attempt"] for frame in frames} == {1, 2}
    again = [frame for frame in frames if frame["attempt"] == 2]
    assert {frame["type"] for frame in again} == {"agent_thinking", "tool_completed", "agent_response_chunk"}
    for frame in again:
        assert {**frame, "attempt": 1} in frames
    text = "".join(f["chunk"] for f in frames if f["type"] == "agent_response_chunk" and f["attempt"] == 1)
    assert text == frames[-1]["result"]


def test_without_retries_nothing_comes_again(served):
    with socket_of(served, "env00002", "envelope=flattened") as client:
        client.start("look up")
        assert {f["attempt"] for f in until(client, lambda frame: frame["type"] == "agent_completed")} == {1}


def test_wrapped_events_have_their_names_inside(served):
    with socket_of(served, "env00003", "envelope=wrapped") as client:
        client.start("look up")
        frames = until(client, lambda frame: frame["data"].get("type") == "agent_completed")
    assert {frame["type"] for frame in frames} == {"system_message", "agent_progress", "agent_response_complete"}
    tool = next(frame["data"] for frame in frames if frame["type"] == "agent_progress")
    assert tool["event"] == "tool_executing" and tool["turn_id"] and tool["payload"]["call_id"] == "call-1"
    assert isinstance(frames[0]["timestamp"], float) and isinstance(frames[0]["data"]["timestamp"], str)


def test_batches_keep_their_limits_and_what_is_answered_comes_behind_them(served):
    with socket_of(served, "env00004", "envelope=batched") as client:
        client.start("long answer")
        frames = until(client, lambda frame: frame["events"][-1]["type"] == "agent_completed")
        client.send("ping")
        assert client.read()["type"] == "pong"
    assert {frame["type"] for frame in frames} == {"event_batch"}
    events = [event for frame in frames for event in frame["events"]]
    assert streamed(events) == events[-1]["data"]["result"]
    assert max(len(frame["events"]) for frame in frames) > 1
    for frame in frames:
        times = [datetime.fromisoformat(event["timestamp"]) for event in frame["events"]]
        assert len(times) <= 10 and times == sorted(times)
        assert times[-1] - times[0] <= timedelta(milliseconds=50)


def test_an_envelope_that_nobody_knows_is_the_main_one(served):
    with socket_of(served, "env00005", "envelope=rolled") as client:
        assert client.welcome["data"]["envelope"] == "main"
        assert client.run("hello")[-1]["data"]["result"]


# --- what is kept of an answer that was cut short -------------------------------------------------------------------


def test_of_a_cancelled_answer_exactly_what_had_come_is_kept(served):
    with served.user("env00006") as client:
        run_id = client.start("long answer", thread_id="thread-cut")
        frames = until(client, lambda frame: frame["type"] == "agent_response_chunk")
        client.send("stop_agent", payload={"run_id": run_id})
        frames += client.read_to_end()
    assert kinds(frames[-2:]) == ["partial_result", "agent_error"]
    assert frames[-2]["data"]["text"] == streamed(frames)
    said = served.http("GET", "/api/threads/thread-cut/messages", user="env00006")[1]["messages"]
    assert [message["content"] for message in said if message["role"] == "assistant"] == [streamed(frames)]


def test_a_run_that_is_cancelled_before_its_first_word_leaves_none(served):
    with served.user("env00007") as client:
        run_id = client.start("long answer", thread_id="thread-wordless")
        client.send("stop_agent", payload={"run_id": run_id})
        assert "partial_result" not in kinds(client.read_to_end())
    said = served.http("GET", "/api/threads/thread-wordless/messages", user="env00007")[1]["messages"]
    assert [message["role"] for message in said] == ["user"]


@pytest.mark.parametrize("fault", ["interrupt_ignored", "chunks_after_interrupt", "partial_lost"])
def test_a_fault_of_a_cancel(fault):
    with backend("--fault", fault) as process, process.user("env00008") as client:
        run_id = client.start("long answer", thread_id="thread-cut")
        frames = until(client, lambda frame: frame["type"] == "agent_response_chunk")
        client.send("stop_agent", payload={"run_id": run_id})
        frames += client.read_to_end()
        if fault == "interrupt_ignored":
            assert frames[-1]["type"] == "agent_completed"
            return
        assert frames[-1]["type"] == "agent_error"
        after = client.run("hello")
        assert (fault == "chunks_after_interrupt") == (run_id in {frame["run_id"] for frame in after})
        assert (fault == "partial_lost") == ("partial_result" not in kinds(frames))
        said = process.http("GET", "/api/threads/thread-cut/messages", user="env00008")[1]["messages"]
        assert (fault == "partial_lost") == ([message["role"] for message in said] == ["user"])


# --- what the last station makes of events --------------------------------------------------------------------------


def event(kind: str, *, at_ms: float = 0.0, **data) -> bytes:
    labels = {"run_id": "r1", "user_id": "u1", "thread_id": "t1", "agent_name": "supervisor"}
    said_at = (NOW + timedelta(milliseconds=at_ms)).isoformat()
    return json.dumps({"type": kind, **labels, "timestamp": said_at, "data": data}).encode()


def sent(envelope: str, frames: list[bytes], *faults: str, retries: bool = False) -> list:
    """What a socket writes, and what it still holds back, flushed."""
    written: list[bytes] = []

    async def go() -> None:
        outgoing = Outgoing(
            envelope, retries=retries, write=written.append, bites=lambda name, _what: name in faults, name="socket"
        )
        for frame in frames:
            outgoing.put(frame)
        outgoing.flush()

    asyncio.run(go())
    return [json.loads(frame) for frame in written]


THOUGHT, END = event("agent_thinking", thought="hm", step=1), event("agent_completed", result="", at_ms=9)
RESULT = event("tool_completed", call_id="call-1", at_ms=5)


def test_what_is_no_event_goes_as_it_is_and_not_before_what_was_said():
    assert sent(BATCHED, [THOUGHT, b'{"type":"pong"}'])[1] == {"type": "pong"}
    assert event_in(b'{"type": "agent_th') is None and event_in(b"[]") is None


def test_a_batch_ends_with_its_tenth_event_and_when_its_time_is_over():
    spread = [event("agent_response_chunk", at_ms=30 * n) for n in range(4)]
    assert [len(batch["events"]) for batch in sent(BATCHED, spread)] == [2, 2]
    assert [len(batch["events"]) for batch in sent(BATCHED, [THOUGHT] * 23)] == [10, 10, 3]


def test_the_faults_of_batches():
    order = [event("agent_response_chunk", at_ms=n, chunk_index=n) for n in range(3)]
    [batch] = sent(BATCHED, order, "batch_reordered")
    assert [one["data"]["chunk_index"] for one in batch["events"]] == [2, 1, 0]
    assert [len(batch["events"]) for batch in sent(BATCHED, [THOUGHT] * 23, "batch_over_limit")] == [23]


def test_the_faults_of_envelopes():
    assert [frame["type"] for frame in sent(FLATTENED, [THOUGHT], "envelope_ignored")] == ["agent_thinking"]
    assert "data" in sent(FLATTENED, [THOUGHT], "envelope_ignored")[0]
    [frame] = sent(WRAPPED, [THOUGHT], "envelope_wrong_name")
    assert frame["type"] == "system_message" and not {"event", "type"} & frame["data"].keys()


def test_the_faults_of_labels():
    [frame] = sent("main", [THOUGHT], "metadata_missing")
    assert not {"agent_name", "timestamp"} & frame.keys()
    [frame] = sent("main", [THOUGHT], "ids_missing")
    assert not {"run_id", "user_id"} & frame.keys()
    [frame] = sent("main", [THOUGHT], "timestamp_backwards")
    assert datetime.fromisoformat(frame["timestamp"]) == NOW - timedelta(seconds=5)
    assert sent("main", [RESULT], "metadata_missing", "ids_missing", "timestamp_backwards") == [json.loads(RESULT)]


def test_the_faults_of_retries():
    def attempts(*faults):
        return [(f["type"], f["attempt"]) for f in sent(FLATTENED, [THOUGHT, RESULT, END], *faults, retries=True)]

    right = [("agent_thinking", 1), ("agent_thinking", 2), ("tool_completed", 1), ("tool_completed", 2)]
    assert attempts() == [*right, ("agent_completed", 1)]
    assert attempts("retry_unmarked") == [*((name, 1) for name, _ in right), ("agent_completed", 1)]
    assert attempts("retry_after_end") == [*right[:3], ("agent_completed", 1), ("tool_completed", 2)]


def test_the_faults_of_what_an_agent_says():
    steps = list(make_plan(Ask("look up"), 7).steps)

    def edited(name):
        return EDITS[name](steps, random.Random(7))

    def text(of):
        return "".join(step.data["chunk"] for step in of if step.kind == CHUNK)

    results = [step.data["call_id"] for step in edited("tool_pair_broken") if step.kind == TOOL_COMPLETED]
    assert results == ["call-of-nobody"]
    assert CHUNK not in {step.kind for step in edited("nothing_streamed")}
    assert {step.wait for step in edited("chunks_held_back") if step.kind == CHUNK} == {"chunk", 0.0}
    assert text(edited("chunk_swapped")) != text(steps) and sorted(text(edited("chunk_swapped"))) == sorted(text(steps))
    assert edited("final_text_differs")[-1].data["result"] != text(steps) == text(edited("final_text_differs"))
    assert all(EDITS[name]([], random.Random(7)) is None for name in EDITS)
    assert steps[-1].kind == COMPLETED and steps[-1].data["result"] == text(steps)


# --- a socket that is not read --------------------------------------------------------------------------------------


class Line:
    """A transport that takes so much and no more, until it is read."""

    def __init__(self, jam: Jam, *faults: str) -> None:
        self.unsent, self.written, self.is_cut = 0, [], False
        self.queue = SendQueue(
            unsent_bytes=lambda: self.unsent, write=self.take, give_up=self.cut, jam=jam, bites=lambda n: n in faults
        )

    def take(self, frame: bytes) -> None:
        self.written.append(frame)
        self.unsent += len(frame)

    def cut(self) -> None:
        self.is_cut = True

    async def read(self, count: int) -> None:
        """Read all, and wait until so many frames have been written."""
        deadline_s = time.monotonic() + 5
        while len(self.written) < count:
            self.unsent = 0
            assert time.monotonic() < deadline_s, self.written
            await asyncio.sleep(0.005)  # bounded: by the deadline above


FRAMES = [b'{"type":"agent_response_chunk","n":%d,"pad":"%s"}' % (n, b"x" * 8000) for n in range(30)]


def test_what_a_slow_reader_does_not_take_waits_in_order_and_holds_up_nobody():
    async def go() -> None:
        jam = Jam()
        slow, quick = Line(jam), Line(jam)
        for frame in FRAMES:
            slow.queue.put(frame)
        assert ROOM_BYTES < slow.unsent < ROOM_BYTES + 2 * len(FRAMES[0])
        quick.queue.put(FRAMES[0])
        assert quick.written == [FRAMES[0]]
        await slow.read(len(FRAMES))
        assert slow.written == FRAMES

    asyncio.run(go())


def test_before_a_close_all_of_it_is_handed_over():
    async def go() -> None:
        slow = Line(Jam())
        for frame in FRAMES:
            slow.queue.put(frame)
        slow.queue.flush()
        assert slow.written == FRAMES

    asyncio.run(go())


def test_who_never_reads_is_cut_off():
    async def go() -> None:
        never = Line(Jam())
        for _ in range(UNSENT_BYTES_MAX // len(FRAMES[0]) + 2):
            never.queue.put(FRAMES[0])
        assert never.is_cut
        never.queue.end()

    asyncio.run(go())


def test_slow_reader_drops():
    async def go() -> None:
        slow = Line(Jam(), "slow_reader_drops")
        for frame in FRAMES:
            slow.queue.put(frame)
        slow.queue.put(b'{"type":"agent_completed"}')
        kept = len(slow.written)
        await slow.read(kept + 1)
        assert slow.written == [*FRAMES[:kept], b'{"type":"agent_completed"}']

    asyncio.run(go())


def test_slow_reader_stalls_all():
    async def go() -> None:
        jam = Jam()
        slow, quick = Line(jam, "slow_reader_stalls_all"), Line(jam)
        for frame in FRAMES:
            slow.queue.put(frame)
        quick.queue.put(FRAMES[0])
        assert quick.written == []
        await slow.read(len(FRAMES))
        await quick.read(1)
        assert quick.written == [FRAMES[0]]

    asyncio.run(go())
