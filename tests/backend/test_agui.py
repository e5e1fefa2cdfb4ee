"""The agui shape of a correct backend, held against the published types of AG-UI."""

import json
import uuid

import pytest
from ag_ui.core import Event as AguiEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.backend.client import backend, mint
from tests.backend.shapes import bearer, heard, make_thread, run_input, streamed, talk

A, B = "agu00001", "agu00002"
REFERENCE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SAY = f"repeat this reference: {REFERENCE}"
EVENTS = TypeAdapter(AguiEvent)


def types(frames):
    return [one.frame["type"] for one in frames]


def refused(process, path, **options):
    with pytest.raises(InvalidStatus) as caught:
        process.open(path, **options)
    return caught.value.response.status_code


@pytest.mark.parametrize("prompt", ["hello", "look up", "failing tool", "hand over and compare", "impossible"])
def test_every_frame_is_an_event_of_the_published_types(clean, prompt):
    with talk(clean, "agui", A) as one:
        frames = one.run(f"{prompt}. {SAY}")
    for frame in frames:
        event = EVENTS.validate_json(frame.raw)
        assert not event.model_extra, frame.raw
        assert json.loads(event.model_dump_json(by_alias=True)) == frame.frame


def brackets(frames):
    """Every START is closed by its END before the run ends well, and nothing is said outside of it."""
    opened = []
    for one in frames:
        name, frame = one.frame["type"], one.frame
        key = next((frame[key] for key in ("messageId", "toolCallId", "stepName") if key in frame), "")
        family = name.rpartition("_")[0]
        if name.endswith(("_START", "_STARTED")) and name != "RUN_STARTED":
            opened.append((family, key))
        elif name.endswith(("_END", "_FINISHED")) and name != "RUN_FINISHED":
            opened.remove((family, key))
        elif name.endswith(("_CONTENT", "_ARGS")):
            assert (family, key) in opened, one.raw
        elif name == "RUN_FINISHED":
            assert opened == []


def test_a_run_in_order(clean):
    with talk(clean, "agui", A) as one:
        frames = one.run(f"look up. {SAY}")
        brackets(frames)
        names = types(frames)
        assert names[:4] == ["RUN_STARTED", "STEP_STARTED", "REASONING_START", "REASONING_MESSAGE_START"]
        call = names.index("TOOL_CALL_START")
        assert names[call : call + 4] == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"]
        assert names[call + 4] == "TEXT_MESSAGE_START"
        assert set(names[call + 5 : -3]) == {"TEXT_MESSAGE_CONTENT"}
        assert names[-3:] == ["TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_FINISHED"]
        first, last = frames[0].frame, frames[-1].frame
        assert first["threadId"] == last["threadId"] == one.thread
        assert first["runId"] == last["runId"] == str(uuid.UUID(first["runId"]))
        assert last["result"] == streamed(frames)
        assert REFERENCE in streamed(frames)
        arguments, result = frames[call + 1].frame, frames[call + 3].frame
        assert json.loads(arguments["delta"])["references"] == [REFERENCE]
        assert json.loads(result["content"])["result"]["references"] == [REFERENCE]
        assert json.loads(result["content"])["status"] == "completed"
        again = one.run("look up")
        assert again[0].frame["runId"] != first["runId"]
        ids = [{frame.frame[key] for frame in run for key in ("messageId", "toolCallId") if key in frame.frame}
               for run in (frames, again)]  # fmt: skip
        assert ids[0].isdisjoint(ids[1])


def test_a_hand_over_is_steps(clean):
    with talk(clean, "agui", A) as one:
        frames = one.run(f"hand over. {SAY}")
        brackets(frames)
        steps = [(frame.frame["type"], frame.frame["stepName"]) for frame in frames if "stepName" in frame.frame]
        assert steps == [
            ("STEP_STARTED", "supervisor"),
            ("STEP_STARTED", "hand-off to billing"),
            ("STEP_FINISHED", "hand-off to billing"),
            ("STEP_STARTED", "billing"),
            ("STEP_FINISHED", "billing"),
            ("STEP_FINISHED", "supervisor"),
        ]
        (handoff,) = [frame.frame["metadata"] for frame in frames if frame.kind == "handoff"]
        assert handoff == {"from": "supervisor", "to": "billing", "references": [REFERENCE]}


def test_a_failing_tool_and_an_impossible_request(clean):
    with talk(clean, "agui", A) as one:
        frames = one.run("failing tool")
        (result,) = [json.loads(frame.frame["content"]) for frame in frames if frame.kind == "result"]
        assert result["status"] == "error"
        assert "503" in result["error"]
        assert "failed" in streamed(frames)
        last = one.run("impossible")[-1].frame
        assert (last["type"], last["code"], last["metadata"]["threadId"]) == ("RUN_ERROR", "AGENT_FAILED", one.thread)


def test_context_and_parts_are_read(clean):
    with talk(clean, "agui", A) as one:
        message = run_input("", one.thread)
        message["messages"] = [
            {"id": "0", "role": "user", "content": "impossible"},
            {"id": "1", "role": "user", "content": [{"type": "text", "text": "look "}, {"type": "text", "text": "up"}]},
        ]
        message["context"] = [
            {"description": "reference", "value": REFERENCE},
            {"description": "name", "value": "Ada"},
        ]
        one.say(message)
        frames = one.hear()
        assert streamed(frames).startswith("Hello Ada. ")
        assert REFERENCE in streamed(frames)
        assert all(REFERENCE in frame.raw for frame in frames if frame.kind in ("call", "result"))


def test_a_thread_remembers_and_lists_and_dies(clean):
    with talk(clean, "agui", A) as one:
        run_id = one.run(SAY)[0].frame["runId"]
        frames = one.run("what did I say before?")
        assert REFERENCE in streamed(frames)
        path = f"/agui/threads/{one.thread}"
        status, page, _ = clean.http("GET", f"{path}/messages", user=A)
        assert (status, page["threadId"], page["total"]) == (200, one.thread, 4)
        assert [message["role"] for message in page["messages"]] == ["user", "assistant"] * 2
        assert (page["messages"][0]["content"], page["messages"][0]["metadata"]["runId"]) == (SAY, run_id)
        assert page["messages"][3]["content"] == frames[-1].frame["result"]
        assert len(clean.http("GET", f"{path}/messages?limit=1&offset=2", user=A)[1]["messages"]) == 1
        assert clean.http("DELETE", path, user=A)[0] == 204
        assert one.more(5) == []
        assert one.close_code == 1000
        assert clean.http("GET", f"{path}/messages", user=A)[0] == 404
        assert refused(clean, f"{path}/ws", additional_headers=bearer(A)) == 404


def test_one_run_at_a_time(clean):
    with talk(clean, "agui", A) as one:
        one.start("long answer")
        one.start("hello")
        frames = one.hear()
        refusal = frames[-1].frame
        assert (refusal["code"], refusal["metadata"]) == ("RUN_IN_PROGRESS", {"refused": "RUN"})
        rest = one.hear()
        assert rest[-1].kind == "completed"
        assert len({frame.frame["runId"] for frame in frames + rest if "runId" in frame.frame}) == 1
        assert one.run("hello")[-1].kind == "completed"


def test_a_cancelled_run_ends_at_once(clean):
    with talk(clean, "agui", A) as one:
        one.start("long answer")
        run_id = one.read().frame["runId"]
        while one.read().kind != "chunk":
            pass
        one.cancel(run_id)
        last = one.hear()[-1].frame
        assert (last["code"], last["metadata"]["runId"]) == ("CANCELLED", run_id)
        frames = one.run("hello")
        assert frames[0].kind == "started"
        assert frames[-1].kind == "completed"
        one.cancel(run_id)
        assert one.read().frame["code"] == "RUN_ENDED"


@pytest.mark.parametrize("way", ["header", "subprotocol", "query", "message"])
def test_a_token_travels_four_ways(clean, way):
    _thread, path = make_thread(clean, A)
    options = {
        "header": {"additional_headers": bearer(A)},
        "subprotocol": {"subprotocols": ["chat", f"jwt.{mint(A)}"]},
    }.get(way, {})
    query = f"?token={mint(A)}" if way == "query" else ""
    with clean.open(path + query, **options) as socket:
        assert way != "subprotocol" or socket.subprotocol.startswith("jwt.")
        if way == "message":
            socket.send(json.dumps({"type": "authenticate", "token": mint(A)}))
        socket.send(json.dumps(run_input("hello", None) | {"threadId": _thread}))
        assert heard(socket.recv(timeout=5)).kind == "started"


def test_a_bad_token_is_refused(clean):
    _thread, path = make_thread(clean, A)
    bad = mint(A, aud="somebody")
    assert refused(clean, path, additional_headers={"Authorization": f"Bearer {bad}"}) == 401
    assert refused(clean, path, subprotocols=[f"jwt.{bad}"]) == 401
    assert refused(clean, f"{path}?token={bad}") == 401
    assert clean.http("POST", "/agui/threads", token=bad)[0] == 401
    assert clean.http("POST", "/agui/threads")[0] == 401
    with clean.open(path) as socket:
        socket.send(json.dumps({"type": "authenticate", "token": bad}))
        assert heard(socket.recv(timeout=5)).frame["code"] == "AUTH_FAILED"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd.code == 1008


def test_another_users_thread_is_out_of_reach(clean):
    with talk(clean, "agui", A) as owner, talk(clean, "agui", B) as thief:
        owner.start(f"long answer {SAY}")
        run_id = owner.read().frame["runId"]
        path = f"/agui/threads/{owner.thread}"
        assert clean.http("GET", f"{path}/messages", user=B)[0] == 403
        assert clean.http("DELETE", path, user=B)[0] == 403
        assert refused(clean, f"{path}/ws", additional_headers=bearer(B)) == 403
        assert refused(clean, f"/agui/threads/{uuid.uuid4()}/ws", additional_headers=bearer(B)) == 404
        with clean.open(f"{path}/ws") as socket:
            socket.send(json.dumps({"type": "authenticate", "token": mint(B)}))
            assert heard(socket.recv(timeout=5)).frame["code"] == "FORBIDDEN"
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=5)
            assert closed.value.rcvd.code == 1008
        thief.say(run_input("hello", owner.thread))
        thief.cancel(run_id)
        refusals = [thief.read().frame for _ in range(2)]
        assert [refusal["code"] for refusal in refusals] == ["FORBIDDEN", "NOT_FOUND"]
        assert REFERENCE not in json.dumps(refusals)
        assert owner.hear()[-1].kind == "completed"
        assert thief.more(0.1) == []


def test_a_newer_socket_takes_over(clean):
    with talk(clean, "agui", A) as older:
        older.start("long answer")
        older.read()
        with clean.open(f"/agui/threads/{older.thread}/ws", additional_headers=bearer(A)) as newer:
            older.more(5)
            assert older.close_code == 1001
            last = ""
            while last not in ("RUN_FINISHED", "RUN_ERROR"):
                last = json.loads(newer.recv(timeout=5))["type"]
            assert last == "RUN_FINISHED"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "BAD_MESSAGE"),
        ("[]", "BAD_MESSAGE"),
        (b"{}", "BAD_MESSAGE"),
        ('{"type": 1}', "BAD_MESSAGE"),
        ('{"type": "ping"}', "UNKNOWN_TYPE"),
        ('{"type": "RUN"}', "EMPTY_MESSAGE"),
        ('{"type": "RUN", "messages": [{"role": "assistant", "content": "x"}]}', "EMPTY_MESSAGE"),
        ('{"type": "RUN", "threadId": []}', "INVALID_ID"),
        ('{"type": "RUN", "threadId": "never"}', "NOT_FOUND"),
        ('{"type": "CANCEL"}', "INVALID_ID"),
        ('{"type": "CANCEL", "runId": "never"}', "NOT_FOUND"),
    ],
)
def test_a_wrong_message_is_answered_and_the_socket_stays(clean, message, code):
    with talk(clean, "agui", A) as one:
        one.socket.send(message)
        answer = one.read()
        assert answer.frame["code"] == code
        assert "refused" in answer.frame["metadata"]
        assert not EVENTS.validate_json(answer.raw).model_extra
        assert one.run("hello")[-1].kind == "completed"


def test_another_own_thread_is_not_spoken_to_here(clean):
    with talk(clean, "agui", A) as one, talk(clean, "agui", A) as two:
        one.say(run_input("hello", two.thread))
        assert one.read().frame["code"] == "WRONG_THREAD"
        assert two.more(0.1) == []


def test_a_run_over_the_agent_timeout_fails():
    with backend("--delay", "tool=fixed:60000", "--agent-timeout", "0.6") as process, talk(process, "agui", A) as one:
        assert one.run("look up")[-1].frame["code"] == "AGENT_TIMEOUT"
