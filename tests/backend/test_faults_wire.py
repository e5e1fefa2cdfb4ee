"""Each fault of delivery, as it shows on the wire. What a run looks like without it is in test_socket.py."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.client import backend, is_end, kinds, streamed

USER = "k3f00017"
REFERENCE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SAY = f"repeat this reference: {REFERENCE}"


def faulty(*faults, time_scale=0.1):
    arguments = [argument for fault in faults for argument in ("--fault", fault)]
    return backend("--time-scale", str(time_scale), *arguments)


def test_missing_event():
    with faulty("missing_event") as process, process.user(USER) as client:
        names = kinds(client.run("compare"))
        assert (names.count("tool_executing"), names.count("tool_completed")) == (2, 1)
        assert "agent_thinking" in names
        names = kinds(client.run("hello"))
        assert "agent_thinking" not in names
        assert (names[0], names[-1]) == ("agent_started", "agent_completed")


def test_duplicate_event():
    with faulty("duplicate_event") as process, process.user(USER) as client:
        twice = set()
        for number in range(12):
            client.start("look up", run_id=f"run-{number}")
            raw = [client.read_raw()]
            while not is_end(json.loads(raw[-1])):
                raw.append(client.read_raw())
            assert len(raw) - len(set(raw)) == 1
            twice |= {json.loads(frame)["type"] for frame in raw if raw.count(frame) == 2}
        assert len(twice) > 1
        assert twice <= {"agent_started", "agent_thinking", "tool_executing", "tool_completed"}


def test_reordered_event():
    with faulty("reordered_event") as process, process.user(USER) as client:
        shapes = {tuple(kinds(client.run("look up"))[:2]) for _ in range(12)}
        assert ("agent_thinking", "agent_started") in shapes
        assert ("agent_started", "agent_thinking") in shapes
        frames = client.run("hello")
        assert kinds(frames)[:2] == ["agent_thinking", "agent_started"]
        while kinds(frames)[0] == "agent_thinking":
            frames = client.run("look up")
        names = kinds(frames)
        assert names.index("tool_completed") < names.index("tool_executing")


def test_late_event():
    with faulty("late_event") as process, process.user(USER) as client:
        run_id = client.run("hello")[0]["run_id"]
        ended_s = time.monotonic()
        late = client.read()
        assert 0.25 < time.monotonic() - ended_s < 2
        assert (late["type"], late["run_id"]) == ("agent_thinking", run_id)


def test_malformed_event():
    with faulty("malformed_event") as process, process.user(USER) as client:
        client.start("hello")
        broken = 0
        while True:
            frame = client.read_raw()
            try:
                if is_end(json.loads(frame)):
                    break
            except json.JSONDecodeError:
                assert frame.startswith('{"type":"agent_response_chunk"')
                broken += 1
        assert broken == 1


def test_two_ends():
    with faulty("two_ends") as process, process.user(USER) as client:
        first = client.run("hello")[-1]
        second = client.read()
        assert (first["type"], second["type"]) == ("agent_completed", "agent_error")
        assert first["run_id"] == second["run_id"]


def test_silent_run():
    with faulty("silent_run:1:0-17") as process, process.user(USER) as client, process.user("k3f00018") as other:
        run_id = client.start("hello")
        assert other.run("hello")[-1]["type"] == "agent_completed"
        client.send("stop_agent", payload={"run_id": run_id})
        assert client.drain() == []


def test_stall_mid_stream():
    with faulty("stall_mid_stream:1:0-17") as process, process.user(USER) as client:
        client.start("hello", run_id="run-stalled")
        frames = []
        with process.user("k3f00018") as other:
            for _ in range(2):
                other.run("long answer")
        frames = client.drain()
        assert kinds(frames)[-1] == "agent_response_chunk"
        assert client.drain() == []


def test_tool_error_swallowed():
    with faulty("tool_error_swallowed") as process, process.user(USER) as client:
        frames = client.run("use the failing tool")
        (result,) = [frame["data"] for frame in frames if frame["type"] == "tool_completed"]
        assert (result["status"], result["result"]) == ("completed", {})
        assert "error" not in result
        assert "failed" not in streamed(frames)


def test_close_1011():
    with faulty("close_1011") as process, process.user(USER) as client:
        assert client.welcome["type"] == "connection_established"
        client.send("ping")
        with pytest.raises(ConnectionClosed) as closed:
            client.read()
        assert closed.value.rcvd.code == 1011


def test_lost_before_ready():
    with faulty("lost_before_ready") as process, process.user(USER) as client:
        sent = 0
        opened_s = time.monotonic()
        answered = None
        while answered is None:
            client.send("probe", request_id=sent)
            sent += 1
            try:
                answered = client.read(timeout_s=0.05)
            except TimeoutError:
                continue
        assert answered["request_id"] > 0
        assert 0.25 < time.monotonic() - opened_s < 2


def test_demo_user():
    with faulty("demo_user") as process, process.user(USER) as client:
        assert client.welcome["data"]["user_id"] == "demo-use..."
        client.send("probe")
        assert client.read()["user_id"] == "demo-user-001"
        assert {frame["user_id"] for frame in client.run("hello")} == {"demo-user-001"}


def test_canned_answer():
    with faulty("canned_answer", time_scale=1.0) as process, process.user(USER) as client:
        started_s = time.monotonic()
        frames = client.run(f"hello. {SAY}", run_id="run-canned")
        assert time.monotonic() - started_s < 0.2
        assert set(kinds(frames)) >= {"agent_started", "agent_thinking", "tool_executing", "tool_completed"}
        assert {(frame["run_id"], frame["user_id"]) for frame in frames} == {("run-canned", USER)}
        assert REFERENCE not in json.dumps(frames)
        assert frames[-1]["data"]["result"] == streamed(frames) == client.run("compare")[-1]["data"]["result"]


def test_two_faults_for_two_groups_of_accounts():
    with (
        faulty("missing_event:1:0-3", "two_ends:1:4-7") as process,
        process.user("k3f00002") as low,
        process.user("k3f00005") as high,
        process.user("k3f00009") as neither,
    ):
        assert "agent_thinking" not in kinds(low.run("hello"))
        assert "agent_thinking" in kinds(high.run("hello"))
        assert kinds(high.drain()) == ["agent_error"]
        assert "agent_thinking" in kinds(neither.run("hello"))
        assert low.drain() == neither.drain() == []


def test_the_same_seed_bites_the_same_runs():
    def bitten():
        with faulty("two_ends:0.5", time_scale=0) as process, process.user(USER) as client:
            counts = []
            for _ in range(12):
                client.run("hello")
                counts.append(len(client.drain()))
            return counts

    first = bitten()
    assert 0 < sum(first) < 12
    assert bitten() == first


def test_each_bite_is_a_line_of_the_log():
    with faulty("two_ends") as process, process.user(USER) as client:
        client.run("hello", run_id="run-logged")
        client.drain()
        assert f"fault two_ends bites user {USER}, run-logged" in process.log.read_text()
