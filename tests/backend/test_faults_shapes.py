"""Every fault of runs and sockets in every shape. One process has them all, each for an account of its own."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crosstalk.backend.catalogue import BY_NAME, CATALOGUE
from tests.backend.client import Backend, backend, mint
from tests.backend.shapes import ENDS, SHAPES, bearer, heard, kinds, make_thread, streamed, talk

#: Those of the process, the breaker that counts for all users, and runs that stay for ever, are tested beside this.
ELSEWHERE = ("permissive_breaker", "silent_run", "stall_mid_stream")
FAULTS = [fault for fault in CATALOGUE if not fault.of_process and fault.name not in ELSEWHERE]
ACCOUNT = {fault.name: number for number, fault in enumerate(FAULTS, start=1)}
CLEAN = [f"cle0{number:04}" for number in range(900, 903)]
MARK, OWN = "FOREIGNFOREIGNFOREIGN0123456789", "OWNOWNOWNOWNOWNOWNOWNOWN12345678"
SAY = f"repeat this reference: {OWN}"


@pytest.fixture(scope="module")
def wrong() -> Iterator[Backend]:
    arguments = [part for fault in FAULTS for part in ("--fault", f"{fault.name}:1:{ACCOUNT[fault.name]}")]
    with backend("--time-scale", "0.05", *arguments) as process:
        yield process


def user_of(fault):
    """Ids of a shape that id_refused does not know, so that it bites where it is wanted only."""
    return f"user-{ACCOUNT[fault]:04}"


def applied(fault):
    return [shape for shape in SHAPES if BY_NAME[fault].applies(shape)]


def cases(*faults):
    return pytest.mark.parametrize(("fault", "shape"), [(fault, shape) for fault in faults for shape in applied(fault)])


@pytest.mark.parametrize("shape", SHAPES)
def test_an_account_without_faults_is_served_right(wrong, shape):
    with talk(wrong, shape, CLEAN[0]) as one:
        frames = one.run(f"failing tool and hand over. {SAY}")
    order = [kind for kind, before in zip(kinds(frames), [None, *kinds(frames)], strict=False) if kind != before]
    assert order == ["started", "thinking", "handoff", "thinking", "call", "result", "chunk", "completed"]
    assert OWN in streamed(frames)
    assert frames[-1].text == streamed(frames)


@cases("missing_event")
def test_missing_event(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        names = kinds(one.run("compare"))
        assert (names.count("call"), names.count("result")) == (2, 1)
        assert "thinking" not in kinds(one.run("hello"))


@cases("duplicate_event")
def test_duplicate_event(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        raw = [frame.raw for frame in one.run("look up")]
        twice = {heard(frame).kind for frame in raw if raw.count(frame) == 2}
        assert twice & {"started", "thinking", "call", "result"}
        assert "chunk" not in twice


@cases("reordered_event")
def test_reordered_event(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        assert kinds(one.run("hello"))[:2] == ["thinking", "started"]


@cases("late_event")
def test_late_event(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("hello")
        while shape != "per_run" and kinds(frames)[-1] == "completed":
            frames.append(one.read())
        assert kinds(frames)[-2:] == ["completed", "thinking"]


@cases("malformed_event")
def test_malformed_event(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("hello")
        assert [frame.kind for frame in frames].count("malformed") == 1
        assert frames[-1].kind == "completed"


@cases("two_ends")
def test_two_ends(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("hello")
        frames += [] if shape == "per_run" else [one.read()]
        assert kinds(frames)[-2:] == ["completed", "failed"]


@cases("partial_result_lost")
def test_partial_result_lost(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("hello")
        chunks = [frame.text for frame in frames if frame.kind == "chunk"]
        whole = frames[-1].text
        gaps = [index for index in range(len(chunks)) if not whole.startswith("".join(chunks[: index + 1]))]
        assert gaps
        assert whole.endswith("".join(chunks[gaps[0] :]))
        if shape == "per_run":
            numbers = [frame.frame["seq"] for frame in frames]
            assert len({*range(1, numbers[-1] + 1)} - set(numbers)) == 1


@cases("split_sessions")
def test_split_sessions(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("look up")
        assert kinds(frames) == ["started", "completed"]
        assert len(frames[-1].text) > 100


@cases("tool_error_swallowed")
def test_tool_error_swallowed(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        frames = one.run("failing tool")
        (result,) = [frame for frame in frames if frame.kind == "result"]
        assert "the service answered" not in result.raw
        assert '"error"' not in result.raw.replace('\\"', '"')
        assert "failed" not in streamed(frames)


def tool_ms(frames):
    """How long the tool took, as the backend says."""
    (result,) = [frame.frame for frame in frames if frame.kind == "result"]
    fields = {**result, **result.get("data", {}), **result.get("metadata", {})}
    return next(fields[key] for key in ("execution_time_ms", "executionTimeMs", "ms") if key in fields)


@cases("canned_answer", "zero_time")
def test_nothing_was_run(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one, talk(wrong, shape, CLEAN[0]) as right:
        frames = one.run(f"look up. {SAY}")
        expected = right.run(f"look up. {SAY}")
        assert tool_ms(frames) == 0.0 < tool_ms(expected)
        # Frame by frame zero_time is the run that it should be: time alone tells.
        assert (kinds(frames) == kinds(expected)) is (fault == "zero_time")
        assert (streamed(frames) == streamed(expected)) is (fault == "zero_time")
        assert (OWN in streamed(frames)) is (fault == "zero_time")


def test_zero_time_is_no_time(wrong):
    with talk(wrong, "netra", user_of("zero_time")) as one, talk(wrong, "netra", CLEAN[0]) as right:
        took_ms = [client.run("long answer")[-1].frame["data"]["duration_ms"] for client in (one, right)]
    assert took_ms[0] < 15
    assert took_ms[1] > 40


@pytest.mark.parametrize("shape", SHAPES)
def test_cascading_cancel(wrong, shape):
    with (
        talk(wrong, shape, CLEAN[0]) as canceller,
        talk(wrong, shape, CLEAN[1]) as spared,
        talk(wrong, shape, user_of("cascading_cancel")) as victim,
    ):
        for one in (canceller, spared, victim):
            one.start("long answer")
        first = canceller.read()
        canceller.cancel(first.frame.get("run_id") or first.frame.get("runId") or canceller.run_id)
        ends = [one.hear()[-1] for one in (canceller, victim, spared)]
    assert [end.kind for end in ends] == ["failed", "failed", "completed"]
    assert "CANCELLED" in ends[1].raw


@cases("close_1011")
def test_close_1011(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        one.start("hello")
        assert one.hear() == []
        assert one.close_code == 1011


@cases("lost_before_ready")
def test_lost_before_ready(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        one.start("hello")
        frames = one.more(0.5)
        assert "started" not in kinds(frames)
        if shape != "per_run":
            assert frames == []
            assert kinds(one.run("hello"))[0] == "started"


@cases("idle_cut")
def test_idle_cut(wrong, fault, shape):
    with talk(wrong, shape, user_of(fault)) as one:
        started_s = time.monotonic()
        frames = one.run("hello") if shape == "per_run" else (one.start("hello"), one.more(5))[1]
        assert 0.12 < time.monotonic() - started_s < 2
        assert one.close_code == 1001
        assert kinds(frames) == ["started"]


def paths(process, user):
    """A socket path of each shape, good for one upgrade."""
    made = process.http("POST", "/runs", user=user, body={"input": "hello"})[1]
    return {"netra": "/ws", "agui": make_thread(process, user)[1], "per_run": made["socket"]}


def closed_with(process, path, **options):
    """How a socket ends that is opened and left to itself: the status of its upgrade, or its close code."""
    try:
        with process.open(path, **options) as socket:
            for _ in range(3):
                socket.recv(timeout=5)
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code
    return "open"


def test_wrong_path(wrong):
    user = user_of("wrong_path")
    for path in paths(wrong, user).values():
        assert closed_with(wrong, path, additional_headers=bearer(user)) == 404


def test_id_refused(wrong):
    refused, known = f"k3f{ACCOUNT['id_refused']:05}", f"load-user-{ACCOUNT['id_refused']:04}"
    for path in paths(wrong, refused).values():
        assert closed_with(wrong, path, additional_headers=bearer(refused)) == 1011
    for shape in SHAPES:
        with talk(wrong, shape, known) as one:
            assert one.run("hello")[-1].kind == "completed"


def test_header_ignored(wrong):
    user = user_of("header_ignored")
    ends = [closed_with(wrong, path, additional_headers=bearer(user)) for path in paths(wrong, user).values()]
    assert ends == [1008, 401, 401]
    with wrong.open(f"/ws?token={mint(user)}", additional_headers=bearer(user)) as socket:
        assert heard(socket.recv(timeout=5)).kind == "connection_established"


def test_subprotocol_ignored(wrong):
    user = user_of("subprotocol_ignored")
    ends = [closed_with(wrong, path, subprotocols=[f"jwt.{mint(user)}"]) for path in paths(wrong, user).values()]
    assert ends == [1008, 401, 401]
    with wrong.open("/ws", additional_headers=bearer(user)) as socket:
        assert heard(socket.recv(timeout=5)).kind == "connection_established"


def test_demo_user(wrong):
    user = user_of("demo_user")
    with talk(wrong, "netra", user) as one:
        assert {frame.frame["user_id"] for frame in one.run("hello")} == {"demo-user-001"}
    for shape in ("agui", "per_run"):
        with talk(wrong, shape, user) as one:
            assert one.run(f"hello. {SAY}")[-1].kind == "completed"
        listed = wrong.http("GET", f"/api/threads/{one.thread}/messages", user="demo-user-001")
        assert OWN in json.dumps(listed[1])


def test_hashed_ids(wrong):
    user = user_of("hashed_ids")
    tokens = [mint(user) for _ in range(60)]
    ids = {wrong.http("GET", "/api/agents/status", token=token)[1]["user_id"] for token in tokens}
    assert len(ids) > 4
    assert ids <= {f"user-{number:04}" for number in range(16)}
    with wrong.user(user) as client:
        assert client.welcome["data"]["user_id"] == "user-000..." or client.welcome["data"]["user_id"] == "user-001..."
    # Two tokens that collide are one user: what one made, the other reads.
    by_id = {}
    for token in tokens:
        by_id.setdefault(wrong.http("GET", "/api/agents/status", token=token)[1]["user_id"], []).append(token)
    one, other = next(both for both in by_id.values() if len(both) > 1)[:2]
    thread = wrong.http("POST", "/agui/threads", token=one)[1]["threadId"]
    assert wrong.http("GET", f"/agui/threads/{thread}/messages", token=other)[0] == 200


def forged(user, **claims):
    head, body, _signature = mint(user, **claims).split(".")
    return f"{head}.{body}.AAAA"


def test_accept_any_token(wrong):
    user, other = user_of("accept_any_token"), CLEAN[0]
    for token, status in ((forged(user), 200), (forged(user, exp=1), 200), (forged(other), 401), ("x.y.z", 401)):
        assert wrong.http("GET", "/api/agents/status", token=token)[0] == status
    with wrong.user(user, token=forged(user)) as client:
        assert client.welcome["data"]["user_id"] == user[:8] + "..."
    assert wrong.http("POST", "/auth/validate", body={"token": forged(user)})[1] == {"valid": False}


@cases("router_growth")
def test_router_growth(wrong, fault, shape):
    before = wrong.http("GET", "/health")[1]["sockets"]
    with talk(wrong, shape, CLEAN[0]) as first, talk(wrong, shape, user_of(fault)) as one:
        if shape == "per_run":
            first.start("long answer")
            first.read()
        one.start(f"hello. {SAY}")
        frames = first.hear()
        # The thoughts of a stranger, whole; in per_run the stranger's chunks come between one's own.
        assert any(OWN in frame.raw for frame in frames if frame.kind == "thinking")
        assert one.more(0.05) == []
    assert wrong.http("GET", "/health")[1]["sockets"] >= before + 2


# --- leaks: A talks first, or at the same time; B's account has the fault -------------------------------------------


@cases("leak_wrong_socket")
def test_leak_wrong_socket(wrong, fault, shape):
    with talk(wrong, shape, CLEAN[1]) as b, talk(wrong, shape, user_of(fault)) as a:
        if shape == "per_run":
            b.start("long answer")
            b.read()
        sent = [frame.raw for frame in a.run(f"hello. {SAY}")]
        got = [frame.raw for frame in (b.hear() if shape == "per_run" else b.more(0.2))]
        assert set(got) & set(sent)


@cases("leak_content", "leak_after_end", "leak_handoff")
def test_leaks_of_content(wrong, fault, shape):
    with talk(wrong, shape, CLEAN[2]) as a, talk(wrong, shape, user_of(fault)) as b:
        a.run(f"hello. repeat this reference: {MARK}")
        frames = b.run(f"hand over. {SAY}")
        ended = [frame.kind in ENDS and not frame.nested for frame in frames].index(True)
        if fault == "leak_after_end":
            while MARK not in frames[-1].raw:
                frames.append(b.read())
        leaks = [index for index, frame in enumerate(frames) if MARK in frame.raw]
        assert len(leaks) == 1
        assert (leaks[0] > ended) is (fault == "leak_after_end")
        assert (frames[leaks[0]].kind == "handoff") is (fault == "leak_handoff")
        assert OWN in streamed(frames)


@cases("leak_run_id")
def test_leak_run_id(wrong, fault, shape):
    with talk(wrong, shape, CLEAN[2]) as a, talk(wrong, shape, user_of(fault)) as b:
        key = "run_id" if shape == "netra" else "runId"
        theirs = a.run("hello")[0].frame[key]
        frames = b.run("hello")
        assert [frame.frame[key] for frame in frames if key in frame.frame].count(theirs) == 1
        assert frames[0].frame[key] != theirs


@cases("leak_cache")
def test_leak_cache(wrong, fault, shape):
    prompt = f"the same for all in {shape}"
    with talk(wrong, shape, CLEAN[2]) as a, talk(wrong, shape, user_of(fault)) as b:
        a.run(prompt, reference=MARK)
        frames = b.run(prompt, reference=OWN)
        assert MARK in streamed(frames)
        assert OWN not in streamed(frames)


@cases("leak_cross_thread")
def test_leak_cross_thread(wrong, fault, shape):
    user = user_of(fault)
    with talk(wrong, shape, user) as one, talk(wrong, shape, user) as two:
        if shape == "netra":
            one.thread, two.thread = "thread-one", "thread-two"
        one.run(f"hello. {SAY}")
        if shape == "netra":
            two.hear()  # both sockets of a user hear everything
        assert OWN in streamed(two.run("hello"))


def test_every_fault_is_tested_here_or_beside():
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    assert [fault.name for fault in CATALOGUE if fault.name not in source] == []
