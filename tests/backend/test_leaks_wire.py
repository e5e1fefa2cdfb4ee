"""Each leak, as the observer sees it: B's socket shows what is A's. Without the fault it never does."""

import json

import pytest

from tests.backend.client import backend, kinds, streamed

A, B = "k3f00001", "k3f00002"
MARK = {A: "AAAA" * 6, B: "BBBB" * 6}


def say(user, words="hello"):
    return f"{words}. repeat this reference: {MARK[user]}"


def faulty(*faults, time_scale=0.1):
    arguments = [argument for fault in faults for argument in ("--fault", fault)]
    return backend("--time-scale", str(time_scale), *arguments)


def shows(frames, user):
    return [frame for frame in frames if MARK[user] in json.dumps(frame)]


def test_clean_runs_show_nothing_of_others(clean):
    with clean.user(A) as a, clean.user(B) as b:
        for words in ("hello", "hand over", "compare", "failing tool", "impossible"):
            a.start(say(A, words))
            frames = b.run(say(B, words))
            assert not shows(frames, A)
            assert shows(frames, B)
            assert not shows(a.read_to_end(), B)
        assert a.drain() == b.drain() == []


def test_leak_wrong_socket():
    with faulty("leak_wrong_socket:1:1") as process, process.user(A) as a, process.user(B) as b:
        b.run(say(B))
        a_frames = a.run(say(A))
        (foreign,) = b.drain()
        assert foreign in a_frames
        assert foreign["user_id"] == A


def test_leak_content():
    with faulty("leak_content:1:2") as process, process.user(A) as a, process.user(B) as b:
        a.run(say(A))
        seen = set()
        for _ in range(16):
            frames = b.run(say(B, "look up"))
            (leak,) = shows(frames, A)
            assert leak["user_id"] == B
            assert {frame["run_id"] for frame in frames} == {leak["run_id"]}
            seen.add(leak["type"])
            assert MARK[B] in streamed(frames)
        assert seen == {"agent_thinking", "agent_response_chunk", "agent_completed"}


def test_leak_run_id():
    with faulty("leak_run_id:1:2") as process, process.user(A) as a, process.user(B) as b:
        a.run(say(A), run_id="run-of-a")
        frames = b.run(say(B), run_id="run-of-b")
        (wrong,) = [frame for frame in frames if frame["run_id"] != "run-of-b"]
        assert (wrong["run_id"], wrong["user_id"]) == ("run-of-a", B)
        assert not shows(frames, A)


def test_leak_cache():
    with faulty("leak_cache") as process, process.user(A) as a, process.user(B) as b:
        first = a.run("the same for all", context={"reference": MARK[A]})
        again = a.run("the same for all", context={"reference": "C" * 24})
        second = b.run("the same for all", context={"reference": MARK[B]})
        assert MARK[A] in streamed(first)
        assert "C" * 24 in streamed(again)
        assert "C" * 24 in streamed(second)
        assert MARK[B] not in streamed(second)
        other = b.run("something else", context={"reference": MARK[B]})
        assert MARK[B] in streamed(other)


def test_leak_after_end():
    with faulty("leak_after_end:1:2") as process, process.user(A) as a, process.user(B) as b:
        a.run(say(A))
        frames = b.run(say(B))
        assert not shows(frames, A)
        late = b.read()
        assert (late["run_id"], late["user_id"]) == (frames[0]["run_id"], B)
        assert shows([late], A)


def test_leak_handoff():
    with faulty("leak_handoff:1:2") as process, process.user(A) as a, process.user(B) as b:
        a.run(say(A))
        assert not shows(b.run(say(B)), A)
        assert kinds(shows(b.run(say(B, "hand over")), A)) == ["agent_handoff"]


def test_leak_cross_thread():
    with faulty("leak_cross_thread") as process, process.user(B) as b, process.user(A) as a:
        a.run(say(A), thread_id="thread-of-a")
        b.run(say(B), thread_id="thread-one")
        frames = b.run("hello", thread_id="thread-two")
        assert MARK[B] in streamed(frames)
        assert not shows(frames, A)


LEAKS = ["leak_wrong_socket", "leak_content", "leak_run_id", "leak_after_end", "leak_handoff", "leak_cache"]


@pytest.mark.parametrize("fault", LEAKS)
def test_alone_there_is_nothing_to_leak(fault):
    with faulty(fault) as process, process.user(B) as b:
        for _ in range(2):
            frames = b.run(say(B, "hand over"))
            assert {(frame["user_id"], frame["run_id"]) for frame in frames} == {(B, frames[0]["run_id"])}
            assert kinds(frames).count("agent_completed") == 2
        assert b.drain() == []
        assert "bites" not in process.log.read_text()


def test_a_leak_may_need_an_overlap():
    with faulty("leak_content:1:2+overlap") as process, process.user(A) as a, process.user(B) as b:
        a.run(say(A))
        assert not shows(b.run(say(B)), A)
        a.start(say(A, "long answer"))
        b.start(say(B))
        assert shows(b.read_to_end(), A)
        a.read_to_end()


def test_a_leak_may_need_a_cancel():
    with faulty("leak_content:1:2+after_cancel") as process, process.user(A) as a, process.user(B) as b:
        run_id = a.start(say(A, "long answer"))
        assert not shows(b.run(say(B)), A)
        a.send("stop_agent", payload={"run_id": run_id})
        assert a.read_to_end()[-1]["data"]["error_code"] == "CANCELLED"
        assert shows(b.run(say(B)), A)
        assert not shows(b.run(say(B)), A)
