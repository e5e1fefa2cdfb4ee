"""The per_run shape of a correct backend: a socket is a run."""

import json
import time
import uuid

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.backend.client import mint
from tests.backend.shapes import Talk, bearer, heard, kinds, streamed, talk

A, B = "run00001", "run00002"
REFERENCE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SAY = f"repeat this reference: {REFERENCE}"
NO_IDS = {"run", "run_id", "runId", "thread_id", "threadId", "conversation", "user_id", "task_id", "id"}


def make(process, user=A, **body):
    status, answer, _ = process.http("POST", "/runs", user=user, body={"input": "hello", **body})
    assert status == 201
    return answer


def refused(process, path, **options):
    with pytest.raises(InvalidStatus) as caught:
        process.open(path, **options)
    return caught.value.response.status_code


def test_a_run_from_its_making_to_the_close(clean):
    made = make(clean, input=f"look up. {SAY}")
    assert made["run"] == str(uuid.UUID(made["run"]))
    assert made["socket"] == f"/ws/runs/{made['run']}"
    one = Talk(clean, "per_run", A)
    with clean.open(made["socket"], additional_headers=bearer(A)) as one.socket:
        frames = one.hear()
    assert one.close_code == 1000
    assert [one.frame["seq"] for one in frames] == list(range(1, len(frames) + 1))
    assert not any(NO_IDS & one.frame.keys() for one in frames)
    assert made["run"] not in "".join(one.raw for one in frames)
    names = [one.frame["event"] for one in frames]
    call = names.index("tool.call")
    assert names[0] == "run.started"
    assert set(names[1:call]) == {"thought"}
    assert names[call : call + 2] == ["tool.call", "tool.result"]
    assert set(names[call + 2 : -1]) == {"token"}
    assert names[-1] == "run.done"
    asked, answered = frames[call].frame, frames[call + 1].frame
    assert (asked["call"], asked["tool"]) == (answered["call"], answered["tool"]) == ("call-1", "cost_lookup")
    assert asked["arguments"]["references"] == answered["result"]["references"] == [REFERENCE]
    assert answered["ok"] is True
    assert answered["ms"] > 0
    assert REFERENCE in streamed(frames)
    assert frames[-1].text == streamed(frames)
    assert REFERENCE not in json.dumps([one.frame for one in frames if one.kind in ("chunk", "completed")])


def test_a_run_waits_for_its_socket(clean):
    made = make(clean)
    page = f"/api/threads/{made['conversation']}/messages"
    with talk(clean, "per_run", A) as other:
        other.run("hello")
    assert clean.http("GET", page, user=A)[1]["messages"] == []
    with clean.open(made["socket"], additional_headers=bearer(A)) as socket:
        assert heard(socket.recv(timeout=5)).kind == "started"
    assert len(clean.http("GET", page, user=A)[1]["messages"]) >= 1


def test_other_ends(clean):
    with talk(clean, "per_run", A) as one:
        frames = one.run("failing tool")
        (result,) = [frame.frame for frame in frames if frame.kind == "result"]
        assert result["ok"] is False
        assert "503" in result["error"]
        last = one.run(f"impossible. {SAY}")[-1].frame
        assert (last["event"], last["code"]) == ("run.failed", "AGENT_FAILED")
        assert REFERENCE in last["message"]
        assert one.close_code == 1000
        frames = one.run("hand over")
        (handoff,) = [frame.frame for frame in frames if frame.kind == "handoff"]
        assert (handoff["from"], handoff["to"], handoff["agent"]) == ("supervisor", "billing", "supervisor")
        assert {frame.frame["agent"] for frame in frames if frame.kind == "chunk"} == {"billing"}
        assert kinds(frames).count("started") == kinds(frames).count("completed") == 1


def test_a_conversation_remembers(clean):
    with talk(clean, "per_run", A) as one, talk(clean, "per_run", A) as elsewhere:
        one.run(f"hello. {SAY}")
        elsewhere.run("hello")
        assert REFERENCE in streamed(one.run("what did I say before?"))
        assert REFERENCE not in streamed(elsewhere.run("what did I say before?"))
        assert streamed(one.run("hello", reference="P" * 24)).count("P" * 24) == 1
        messages = clean.http("GET", f"/api/threads/{one.thread}/messages", user=A)[1]["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * 3


def test_a_cancelled_run_fails_and_closes(clean):
    with talk(clean, "per_run", A) as one:
        one.start("long answer")
        while one.read().kind != "chunk":
            pass
        run_id = one.run_id
        one.cancel(run_id)
        assert one.hear()[-1].frame["code"] == "CANCELLED"
        assert one.close_code == 1000
        assert clean.http("DELETE", f"/runs/{run_id}", user=A)[0] == 409
    made = make(clean)
    assert clean.http("DELETE", f"/runs/{made['run']}", user=A)[0] == 204
    assert refused(clean, made["socket"], additional_headers=bearer(A)) == 404


def test_a_run_has_one_socket_and_ends_with_it(clean):
    with talk(clean, "per_run", A) as one:
        one.start("long answer")
        one.read()
        run_id = one.run_id
        assert refused(clean, f"/ws/runs/{run_id}", additional_headers=bearer(A)) == 409
        one.socket.close()
    deadline_s = time.monotonic() + 5
    while clean.http("GET", "/api/agents/status", user=A)[1]["runs_in_progress"]:
        assert time.monotonic() < deadline_s
    assert clean.http("DELETE", f"/runs/{run_id}", user=A)[0] == 409
    messages = clean.http("GET", f"/api/threads/{one.thread}/messages", user=A)[1]["messages"]
    assert [message["role"] for message in messages] == ["user"]


def test_another_users_run_and_conversation_are_out_of_reach(clean):
    waiting = make(clean, input=SAY)
    assert refused(clean, waiting["socket"], additional_headers=bearer(B)) == 404
    assert clean.http("DELETE", f"/runs/{waiting['run']}", user=B)[0] == 404
    body = {"input": "what did I say before?", "conversation": waiting["conversation"]}
    assert clean.http("POST", "/runs", user=B, body=body)[0] == 403
    assert clean.http("POST", "/runs", user=B, body={**body, "conversation": "never"})[0] == 404
    with talk(clean, "per_run", A) as owner:
        owner.start("long answer")
        owner.read()
        run_id = owner.run_id
        assert clean.http("DELETE", f"/runs/{run_id}", user=B)[0] == 404
        assert refused(clean, f"/ws/runs/{run_id}", additional_headers=bearer(B)) == 404
        assert refused(clean, f"/ws/runs/{uuid.uuid4()}", additional_headers=bearer(B)) == 404
        assert owner.hear()[-1].kind == "completed"
    with clean.open(waiting["socket"]) as socket:
        socket.send(json.dumps({"type": "authenticate", "token": mint(B)}))
        assert heard(socket.recv(timeout=5)).frame["code"] == "NOT_FOUND"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize("way", ["subprotocol", "query", "message"])
def test_a_token_travels_other_ways_too(clean, way):
    path = make(clean)["socket"]
    if way == "query":
        path += f"?token={mint(A)}"
    options = {"subprotocols": [f"bearer.{mint(A)}"]} if way == "subprotocol" else {}
    with clean.open(path, **options) as socket:
        if way == "message":
            socket.send(json.dumps({"type": "authenticate", "token": mint(A)}))
        assert heard(socket.recv(timeout=5)).kind == "started"


def test_a_bad_token_is_refused(clean):
    bad = mint(A, aud="somebody")
    made = make(clean)
    assert refused(clean, made["socket"], additional_headers={"Authorization": f"Bearer {bad}"}) == 401
    assert clean.http("POST", "/runs", token=bad, body={"input": "hello"})[0] == 401
    assert clean.http("DELETE", f"/runs/{made['run']}")[0] == 401


@pytest.mark.parametrize("body", [{}, {"input": ""}, {"input": " "}, {"input": 1}, {"input": "x", "context": []},
                                  {"input": "x", "context": "y"}, {"input": "x", "conversation": 1}, b"{"])  # fmt: skip
def test_a_malformed_request_is_422(clean, body):
    assert clean.http("POST", "/runs", user=A, body=body)[0] == 422
