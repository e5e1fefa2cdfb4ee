"""What a correct backend says on a socket."""

import json
import re
import socket
import time
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from tests.backend.client import DEADLINE_S, backend, kinds, mint, streamed

REFERENCE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SAY = f"repeat this reference: {REFERENCE}"


def test_the_welcome_names_the_user_in_short(clean):
    with clean.user("k3f00017") as client:
        assert client.welcome["type"] == "connection_established"
        assert isinstance(client.welcome["timestamp"], float)
        assert client.welcome["server_id"] is None
        assert client.welcome["correlation_id"] is None
        data = client.welcome["data"]
        assert (data["mode"], data["user_id"]) == ("main", "k3f00017...")
        assert re.fullmatch("main_[0-9a-f]{16}", data["connection_id"])
        assert data["golden_path_events"] == [
            "agent_started",
            "agent_thinking",
            "tool_executing",
            "tool_completed",
            "agent_completed",
        ]


def test_a_probe_is_answered_with_the_full_id(clean):
    with clean.user("load-user-0017") as client:
        client.send("who_am_i", request_id="r1", message_id="m1")
        frame = client.read()
        assert (frame["type"], frame["received_type"], frame["user_id"]) == ("ack", "who_am_i", "load-user-0017")
        assert (frame["request_id"], frame["message_id"]) == ("r1", "m1")


def test_pings_of_both_kinds_are_answered(clean):
    with clean.user("k3f00017") as client:
        client.send("ping", timestamp=1.0, request_id="r1")
        frame = client.read()
        assert (frame["type"], frame["request_id"]) == ("pong", "r1")
        assert isinstance(frame["data"]["timestamp"], float)
        assert client.socket.ping().wait(5)


def test_a_run_streams_its_events_in_order(clean):
    with clean.user("k3f00017") as client:
        frames = client.run(f"look up the costs. {SAY}", thread_id="thread-order", run_id="run-order")
        names = kinds(frames)
        calls = names.index("tool_executing")
        assert names[0] == "agent_started"
        assert set(names[1:calls]) == {"agent_thinking"}
        assert names[calls : calls + 2] == ["tool_executing", "tool_completed"]
        assert set(names[calls + 2 : -1]) == {"agent_response_chunk"}
        assert names[-1] == "agent_completed"
        labels = {(f["run_id"], f["thread_id"], f["user_id"], f["agent_name"]) for f in frames}
        assert labels == {("run-order", "thread-order", "k3f00017", "supervisor")}
        assert all(datetime.fromisoformat(frame["timestamp"]).tzinfo for frame in frames)
        call, result = frames[calls]["data"], frames[calls + 1]["data"]
        assert call["call_id"] == result["call_id"]
        assert call["tool_name"] == result["tool_name"] == "cost_lookup"
        assert call["arguments"]["references"] == result["result"]["references"] == [REFERENCE]
        assert result["status"] == "completed"
        assert result["execution_time_ms"] > 0
        assert REFERENCE in streamed(frames)
        assert streamed(frames) == frames[-1]["data"]["result"]
        chunks = [frame["data"] for frame in frames if frame["type"] == "agent_response_chunk"]
        assert [chunk["chunk_index"] for chunk in chunks] == list(range(len(chunks)))
        assert {chunk["task_id"] for chunk in chunks} == {"run-order"}
        assert client.drain() == []


@pytest.mark.parametrize("kind", ["execute_agent", "start_agent", "agent", "user_message", "chat_message", "chat"])
def test_every_alias_starts_a_run_and_the_server_makes_ids(clean, kind):
    with clean.user("k3f00017") as client:
        client.send(kind, payload={"content": f"hello. {SAY}"})
        frames = client.read_to_end()
        assert REFERENCE in streamed(frames)
        ((run_id, thread_id),) = {(frame["run_id"], frame["thread_id"]) for frame in frames}
        assert len(run_id) > 20
        assert len(thread_id) > 20


def test_a_message_without_payload_is_its_own_payload(clean):
    with clean.user("k3f00017") as client:
        client.send("chat", content="hello", run_id="run-flat", thread_id="thread-flat")
        frames = client.read_to_end()
        assert {(frame["run_id"], frame["thread_id"]) for frame in frames} == {("run-flat", "thread-flat")}


def test_private_context_and_profile_come_back(clean):
    with clean.user("k3f00017") as client:
        private = "P" * 24
        frames = client.run("look up", context={"reference": private}, profile={"name": "Ada"})
        assert streamed(frames).startswith("Hello Ada. ")
        assert private in streamed(frames)
        tools = [frame for frame in frames if frame["type"].startswith("tool_")]
        assert len(tools) == 2
        assert all(private in json.dumps(frame) for frame in tools)


def test_a_hand_over_is_nested_under_the_same_run(clean):
    with clean.user("k3f00017") as client:
        frames = client.run("hand over")
        assert len({frame["run_id"] for frame in frames}) == 1
        named = [(frame["type"], frame["agent_name"]) for frame in frames]
        handoff = named.index(("agent_handoff", "supervisor"))
        assert (frames[handoff]["data"]["from"], frames[handoff]["data"]["to"]) == ("supervisor", "billing")
        assert named[handoff + 1] == ("agent_started", "billing")
        assert named[-2:] == [("agent_completed", "billing"), ("agent_completed", "supervisor")]
        assert frames[-2]["data"]["nested"] is True
        assert frames[-1]["data"]["result"] == streamed(frames)


def test_a_failing_tool_and_an_impossible_request(clean):
    with clean.user("k3f00017") as client:
        frames = client.run("use the failing tool")
        (result,) = [frame["data"] for frame in frames if frame["type"] == "tool_completed"]
        assert result["status"] == "error"
        assert result["error"]
        assert "failed" in frames[-1]["data"]["result"]
        frames = client.run("do the impossible")
        assert (frames[-1]["type"], frames[-1]["data"]["error_code"]) == ("agent_error", "AGENT_FAILED")


def test_a_thread_remembers_and_lists_its_messages(clean):
    with clean.user("memory01") as client:
        run_id = client.start(SAY, thread_id="thread-memory")
        client.read_to_end()
        client.run("hello", thread_id="thread-other")
        assert REFERENCE not in streamed(client.run("what did I say before?", thread_id="thread-other"))
        frames = client.run("what did I say before?", thread_id="thread-memory")
        assert REFERENCE in streamed(frames)
        client.send("get_thread_history", payload={"thread_id": "thread-memory"}, request_id="r1")
        history = client.read()
        assert (history["type"], history["request_id"]) == ("thread_data", "r1")
        messages = history["data"]["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * 2
        assert (messages[0]["content"], messages[0]["run_id"]) == (SAY, run_id)
        assert messages[3]["content"] == frames[-1]["data"]["result"]
        over_http = clean.http("GET", "/api/threads/thread-memory/messages", user="memory01")[1]
        assert over_http["messages"] == messages
        client.send("switch_thread", payload={"thread_id": "thread-new"})
        assert client.read()["thread_id"] == "thread-new"
        client.send("list_threads")
        listed = {thread["id"] for thread in client.read()["data"]["threads"]}
        assert listed == {"thread-memory", "thread-other", "thread-new"}


def test_a_cancelled_run_ends_at_once_and_says_nothing_more(clean):
    with clean.user("k3f00017") as client:
        run_id = client.start("long answer")
        while client.read()["type"] != "agent_response_chunk":
            pass
        client.send("stop_agent", payload={"run_id": run_id})
        rest = client.read_to_end()
        *chunks, partial, _ = rest
        assert set(kinds(chunks)) <= {"agent_response_chunk"} and partial["type"] == "partial_result"
        assert (rest[-1]["type"], rest[-1]["run_id"]) == ("agent_error", run_id)
        assert rest[-1]["data"]["error_code"] == "CANCELLED"
        # A whole other run later, nothing of the cancelled one has come.
        assert {frame["run_id"] for frame in client.run("long answer")} != {run_id}
        client.send("stop_agent", payload={"run_id": run_id})
        refusal = client.read()
        assert refusal["error_code"] == "RUN_ENDED"
        assert "run_id" not in refusal


def test_a_run_cancelled_before_its_start_still_starts_and_ends():
    with backend("--delay", "accept=fixed:60000") as process, process.user("k3f00017") as client:
        run_id = client.start("hello")
        client.send("stop_agent", payload={"run_id": run_id})
        frames = client.read_to_end()
        assert kinds(frames) == ["agent_started", "agent_error"]
        assert frames[-1]["data"]["error_code"] == "CANCELLED"
        assert client.drain() == []


def test_a_users_events_go_to_all_of_the_users_sockets(clean):
    with clean.user("k3f00017") as one, clean.user("k3f00017") as two, clean.user("k3f00018") as stranger:
        assert one.run("hello") == two.read_to_end()
        assert stranger.drain() == []


def test_two_users_at_once_get_their_own(clean):
    with clean.user("k3f00017") as one, clean.user("k3f00018") as two:
        references = {one: "A" * 30, two: "B" * 30}
        runs = {
            client: client.start(f"long answer repeat this reference: {references[client]}") for client in (one, two)
        }
        for client, run_id in runs.items():
            frames = client.read_to_end()
            assert {(frame["run_id"], frame["user_id"]) for frame in frames} == {(run_id, client.user_id)}
            assert references[client] in streamed(frames)
            assert not any(references[other] in json.dumps(frames) for other in runs if other is not client)


def test_another_users_thread_and_run_are_out_of_reach(clean):
    with clean.user("owner001") as owner, clean.user("thief001") as thief:
        run_id = owner.start(f"long answer {SAY}", thread_id="thread-owned")
        old_id = owner.welcome["data"]["connection_id"]
        for kind, payload, code in (
            ("execute_agent", {"content": "hello", "thread_id": "thread-owned"}, "FORBIDDEN"),
            ("get_thread_history", {"thread_id": "thread-owned"}, "FORBIDDEN"),
            ("switch_thread", {"thread_id": "thread-owned"}, "FORBIDDEN"),
            ("subscribe_thread", {"thread_id": "thread-owned"}, "FORBIDDEN"),
            ("delete_thread", {"thread_id": "thread-owned"}, "FORBIDDEN"),
            ("list_threads", {"user_id": "owner001"}, "FORBIDDEN"),
            ("stop_agent", {"run_id": run_id}, "NOT_FOUND"),
            ("get_run", {"run_id": run_id}, "NOT_FOUND"),
            ("resume", {"connection_id": old_id, "last_event": 0}, "FORBIDDEN"),
            ("resume", {"connection_id": "main_0123456789abcdef", "last_event": 0}, "NOT_FOUND"),
            ("admin_list_users", {}, "FORBIDDEN"),
            ("debug_state", {}, "FORBIDDEN"),
        ):
            thief.send(kind, payload=payload, request_id="r1")
            (refusal,) = [thief.read()]
            assert (refusal["type"], refusal["error_code"]) == ("error_message", code), kind
            assert refusal["request_id"] == "r1"
            assert REFERENCE not in json.dumps(refusal)
            assert "owner001" not in json.dumps(refusal)
        assert thief.drain() == []
        assert owner.read_to_end()[-1]["type"] == "agent_completed"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "BAD_MESSAGE"),
        ("[]", "BAD_MESSAGE"),
        ('{"type": 1}', "BAD_MESSAGE"),
        ('{"type": "chat", "payload": []}', "BAD_MESSAGE"),
        (b"{}", "BAD_MESSAGE"),
        ('{"type": "chat", "payload": {}}', "EMPTY_MESSAGE"),
        ('{"type": "chat", "payload": {"content": " "}}', "EMPTY_MESSAGE"),
        ('{"type": "chat", "payload": {"content": "x", "run_id": 1}}', "INVALID_ID"),
        ('{"type": "stop_agent", "payload": {}}', "INVALID_ID"),
        ('{"type": "stop_agent", "payload": {"run_id": "never"}}', "NOT_FOUND"),
        ('{"type": "get_thread_history", "payload": {"thread_id": "never"}}', "NOT_FOUND"),
        ('{"type": "resume", "payload": {"connection_id": "x", "last_event": -1}}', "INVALID_CURSOR"),
    ],
)
def test_a_wrong_message_is_answered_and_the_socket_stays(clean, message, code):
    with clean.user("k3f00017") as client:
        client.socket.send(message)
        assert client.read()["error_code"] == code
        assert client.drain() == []


def test_a_run_id_is_used_once(clean):
    with clean.user("k3f00017") as client:
        client.run("hello", run_id="run-once")
        client.start("hello", run_id="run-once")
        refusal = client.read()
        assert (refusal["error_code"], refusal["run_id"]) == ("RUN_ID_USED", "run-once")


def test_a_message_over_the_limit_closes_with_1009(clean):
    with clean.user("k3f00017") as client:
        client.socket.send("x" * ((1 << 20) + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.read()
        assert closed.value.rcvd.code == 1009


def test_silence_is_answered_with_heartbeats():
    with backend("--receive-timeout", "0.2", "--agent-timeout", "0.1") as process, process.user("k3f00017") as client:
        started_s = time.monotonic()
        beats = [client.read(), client.read()]
        assert kinds(beats) == ["heartbeat", "heartbeat"]
        assert 0.35 < time.monotonic() - started_s < 2
        assert "timestamp" in beats[0]["data"]


def test_a_silent_socket_is_pinged_and_dropped_without_a_pong():
    with backend("--ping-interval", "0.2") as process:
        address = urlsplit(process.url)
        with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as bare:
            bare.sendall(
                f"GET /ws HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                f"Authorization: Bearer {mint('k3f00017')}\r\n\r\n".encode()
            )
            received = b""
            while data := bare.recv(65536):
                received += data
            assert b"connection_established" in received
            assert received.endswith(b"\x89\x00")
        with process.user("k3f00017") as client:
            assert client.drain() == []


def test_a_client_that_reads_nothing_is_cut_off():
    with backend("--receive-timeout", "60") as process, process.user("k3f00017") as client:
        client.send("chat", payload={"content": "x" * 900_000, "thread_id": "thread-big"})
        client.read_to_end()
        for _ in range(60):
            client.send("get_thread_history", payload={"thread_id": "thread-big"})
        deadline_s = time.monotonic() + DEADLINE_S
        while "reads too slowly" not in process.log.read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)  # bounded: by the deadline; the log is a file, nothing says when it grows
        with pytest.raises(ConnectionClosed):
            while True:
                client.read_raw()


def test_a_run_over_the_agent_timeout_ends_with_an_error():
    with backend("--delay", "tool=fixed:60000", "--agent-timeout", "1") as process, process.user("k3f00017") as client:
        frames = client.run("look up")
        assert kinds(frames)[-2:] == ["tool_executing", "agent_error"]
        assert frames[-1]["data"]["error_code"] == "AGENT_TIMEOUT"


def test_a_typical_run_takes_about_a_second():
    with backend() as process, process.user("k3f00017") as client:
        started_s = time.monotonic()
        client.run("look up the costs")
        assert 0.3 < time.monotonic() - started_s < 2.0
