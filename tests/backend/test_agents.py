"""Agents: who they are, how long they and their tools may take, and what goes wrong with them when it is asked for."""

import time

import pytest

from crosstalk.backend.agents import AGENTS, agent_timeout_s, tool_timeout_s, tool_timeouts_s
from crosstalk.backend.plan import ARCHIVE, NEVER, Ask, make_plan
from tests.backend.client import backend, is_end, kinds, streamed
from tests.backend.shapes import talk

USER = "agt00001"
TOKEN = "REFERENCEREFERENCE0123456789"
SAY = f"repeat this reference: {TOKEN}"


@pytest.fixture(scope="module")
def wrong():
    """Every fault of agents, each at an account of its own."""
    arguments = [part for name, number in ACCOUNT.items() for part in ("--fault", f"{name}:1:{number}")]
    with backend("--agent-timeout", "1.2", *arguments) as process:
        yield process


#: fault → its account
ACCOUNT = {
    name: number
    for number, name in enumerate(
        (
            "discovery_empty", "discovery_lists_unknown", "agent_missing_from_health", "config_disagrees",
            "config_inverted", "status_stale", "http_start_without_events", "stop_ignored", "cancel_ignored_http",
            "stop_ended_accepted", "slow_tool_cut", "slow_tool_silent", "agent_error_breaks_socket",
            "agent_error_unreadable", "agent_timeout_by_socket", "memory_forgotten", "memory_of_other_thread",
            "handoff_slow", "handoff_loses_owner", "nested_end_ends_all", "nested_unclosed", "nested_ends_swapped",
            "parallel_run_lost", "parallel_runs_serialised", "parallel_text_mixed",
        ),
        start=1,
    )
}  # fmt: skip


def of(fault):
    return f"agt{ACCOUNT[fault]:05}"


def test_whoever_is_listed_can_be_run_and_nobody_else(clean):
    with clean.user(USER) as one:
        for agent in AGENTS:
            frames = one.run("hello", agent_type=agent)
            assert {frame["agent_name"] for frame in frames} == {agent}
        assert one.run("hello", agent_type="nobody")[-1]["error_code"] == "NO_SUCH_AGENT"
    body = {"type": "nobody", "message": "hello"}
    for path in ("start", "execute"):
        assert clean.http("POST", f"/api/agents/{path}", user=USER, body=body)[0] == 404
    assert set(clean.http("GET", "/health/agents")[1]["agents"]) == set(AGENTS)


def test_a_run_that_is_started_over_http_is_heard_on_the_socket(clean):
    with clean.user(USER) as one:
        body = {"type": "researcher", "message": f"hello. {SAY}"}
        status, said, _ = clean.http("POST", "/api/agents/start", user=USER, body=body)
        frames = one.read_to_end()
        assert status == 202 and {frame["run_id"] for frame in frames} == {said["run_id"]}
        assert TOKEN in streamed(frames)
        asked = clean.http("POST", "/api/agents/status", user=USER, body={"run_id": said["run_id"]})[1]
        assert asked["status"] == "completed"


def test_a_slow_tool_is_waited_for_and_the_agent_says_so():
    with backend("--delay", "slow_tool=fixed:700") as process, process.user(USER) as one:
        frames = one.run("slow tool")
    order = kinds(frames)
    between = order[order.index("tool_executing") + 1 : order.index("tool_completed")]
    assert set(between) == {"progress_update"} and len(between) == 2
    result = next(frame for frame in frames if frame["type"] == "tool_completed")["data"]
    assert result["status"] == "completed" and result["execution_time_ms"] >= 650
    assert order[-1] == "agent_completed"


def test_a_tool_that_never_answers_is_given_up_and_the_run_completes(clean):
    with clean.user(USER) as one:
        begun = time.monotonic()
        frames = one.run(f"stuck tool. {SAY}")
        took_s = time.monotonic() - begun
    result = next(frame for frame in frames if frame["type"] == "tool_completed")["data"]
    assert result["status"] == "error" and "no answer in time" in result["error"]
    assert "archive_lookup failed" in streamed(frames)
    assert took_s >= tool_timeout_s(ARCHIVE, 8.0)


def test_an_agent_that_never_ends_is_given_up_when_its_own_time_is_over():
    with backend("--agent-timeout", "0.4") as process, process.user(USER) as one:
        frames = one.run("stuck agent", agent_type="researcher")
        assert frames[-1]["data"]["error_code"] == "AGENT_TIMEOUT" and "0.4 s" in frames[-1]["data"]["error_message"]
        assert kinds(one.run("hello"))[-1] in ("agent_completed", "agent_error")  # the socket is as good as before


def test_agents_inside_a_run_end_before_whoever_asked_them(clean):
    with clean.user(USER) as one:
        frames = one.run("delegate")
        while not is_end(frames[-1]) or frames[-1]["agent_name"] != "supervisor":
            frames.append(one.read())
    whose = [(frame["type"], frame["agent_name"]) for frame in frames]
    assert [agent for kind, agent in whose if kind == "agent_started"] == ["supervisor", "researcher", "billing"]
    assert [agent for kind, agent in whose if kind == "agent_completed"] == ["billing", "researcher", "supervisor"]


@pytest.mark.parametrize("backend_s", [0.2, 1.0, 8.0, 60.0])
def test_times_are_in_the_right_order(backend_s):
    for agent in AGENTS:
        assert agent_timeout_s(agent, backend_s) <= backend_s
        assert all(tool_s < agent_timeout_s(agent, backend_s) for tool_s in tool_timeouts_s(backend_s).values())
    assert tool_timeout_s("cost_lookup", backend_s) == NEVER


def test_words_are_not_taken_for_agents_that_cannot_be_asked():
    """Billing does not hand over to itself, and whoever has been handed over to delegates nothing."""
    alone = make_plan(Ask("hand over", agent="billing"), 7)
    assert {step.agent for step in alone.steps} == {"billing"}
    assert "researcher" not in {step.agent for step in make_plan(Ask("hand over and delegate"), 7).steps}


# --- faults -----------------------------------------------------------------------------------------------------------


def test_discovery_says_what_it_is_told_to(wrong):
    said = wrong.http("GET", "/api/mcp/servers", user=of("discovery_empty"))[1]
    assert said == {"servers": [], "total": 0}
    [server] = wrong.http("GET", "/api/mcp/servers", user=of("discovery_lists_unknown"))[1]["servers"]
    assert set(server["agents"]) - set(AGENTS) == {"oracle"}
    well = wrong.http("GET", "/health/agents", user=of("agent_missing_from_health"))[1]["agents"]
    assert set(AGENTS) - set(well) == {"billing"}


def test_a_configuration_that_lies(wrong):
    true = wrong.http("GET", "/api/mcp/config")[1]
    long = wrong.http("GET", "/api/mcp/config", user=of("config_disagrees"))[1]
    assert long["agent_timeout_s"] == pytest.approx(1.9 * true["agent_timeout_s"])
    assert long["tool_timeouts_s"][ARCHIVE] == pytest.approx(1.9 * true["tool_timeouts_s"][ARCHIVE])
    inverted = wrong.http("GET", "/api/mcp/config", user=of("config_inverted"))[1]
    assert inverted["receive_timeout_s"] < inverted["agent_timeout_s"]


def test_status_stale(wrong):
    user = of("status_stale")
    with wrong.user(user) as one:
        run_id = one.run("hello")[0]["run_id"]
        assert wrong.http("POST", "/api/agents/status", user=user, body={"run_id": run_id})[1]["status"] == "running"
        one.send("get_run", payload={"run_id": run_id})
        assert one.read()["data"]["run"]["status"] == "running"


def test_http_start_without_events(wrong):
    user = of("http_start_without_events")
    with wrong.user(user) as one:
        assert wrong.http("POST", "/api/agents/start", user=user, body={"message": "hello"})[0] == 202
        assert one.run("hello")[-1]["type"] == "agent_completed"
        assert len({frame["run_id"] for frame in one.drain() if "run_id" in frame}) == 0


@pytest.mark.parametrize(("fault", "verb"), [("stop_ignored", "stop"), ("cancel_ignored_http", "cancel")])
def test_what_is_stopped_goes_on(wrong, fault, verb):
    with wrong.user(of(fault)) as one:
        run_id = one.start("hello")
        one.read()
        assert wrong.http("POST", f"/api/agents/{verb}", user=of(fault), body={"run_id": run_id})[0] == 200
        assert one.read_to_end()[-1]["type"] == "agent_completed"


def test_stop_ended_accepted(wrong):
    for user, status in ((of("stop_ended_accepted"), 200), (USER[:3] + "99999", 409)):
        with wrong.user(user) as one:
            run_id = one.run("hello")[0]["run_id"]
            assert wrong.http("POST", "/api/agents/stop", user=user, body={"run_id": run_id})[0] == status


def test_slow_tool_cut_and_silent(wrong):
    with wrong.user(of("slow_tool_silent")) as one:
        assert "progress_update" not in kinds(one.run("slow tool"))
    with wrong.user(of("slow_tool_cut")) as one:
        one.start("slow tool")
        assert closed(one) == 1001


def test_agent_errors_that_break_more_than_their_run(wrong):
    with wrong.user(of("agent_error_breaks_socket")) as one:
        assert one.run("impossible")[-1]["data"]["error_code"] == "AGENT_FAILED"
        assert closed(one) == 1011
    with wrong.user(of("agent_error_unreadable")) as one:
        assert one.run("impossible")[-1]["data"] == {"error_code": "", "error_message": ""}
    with wrong.user(of("agent_timeout_by_socket")) as one:
        one.start("stuck agent")
        assert closed(one) == 1001


def test_memory_that_is_not_this_threads(wrong):
    with wrong.user(of("memory_forgotten")) as one:
        one.run(f"hello. {SAY}", thread_id="one")
        assert TOKEN not in streamed(one.run("what did I say before", thread_id="one"))
    with wrong.user(of("memory_of_other_thread")) as one:
        one.run(f"hello. {SAY}", thread_id="two")
        assert TOKEN in streamed(one.run("what did I say before", thread_id="three"))


def test_hand_offs_that_go_wrong(wrong):
    with wrong.user(of("handoff_slow")) as one:
        assert one.run("hand over")[-1]["data"]["error_code"] == "AGENT_TIMEOUT"  # it takes longer than there is
    with wrong.user(of("handoff_loses_owner")) as one:
        frames = one.run(f"hand over. {SAY}")
        while not is_end(frames[-1]) or frames[-1]["agent_name"] != "supervisor":
            frames.append(one.read())
        of_billing = [frame for frame in frames if frame["agent_name"] == "billing"]
        assert {frame["user_id"] for frame in of_billing} == {""} and TOKEN not in str(of_billing)
        assert frames[-1]["data"]["result"] == streamed(frames)


@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        ("nested_end_ends_all", ["billing"]),
        ("nested_unclosed", ["researcher", "supervisor"]),
        ("nested_ends_swapped", ["researcher", "billing", "supervisor"]),
    ],
)
def test_agents_inside_a_run_whose_ends_are_wrong(wrong, fault, ends):
    with wrong.user(of(fault)) as one:
        one.start("delegate")
        seen = []
        while len(seen) < len(ends):
            frame = one.read()
            seen += [frame["agent_name"]] if frame["type"] == "agent_completed" else []
        assert seen == ends
        assert [frame for frame in one.drain() if frame["type"] == "agent_completed"] == []


def test_runs_at_once_that_get_in_each_others_way(wrong):
    with wrong.user(of("parallel_run_lost")) as one:
        first, second = one.start("hello"), one.start("hello")
        assert {frame["run_id"] for frame in one.read_to_end()} == {first} != {second}
    with wrong.user(of("parallel_runs_serialised")) as one:
        first, second = one.start("hello"), one.start("hello")
        assert {frame["run_id"] for frame in one.read_to_end()} == {first}
        assert {frame["run_id"] for frame in one.read_to_end()} == {second}
    with wrong.user(of("parallel_text_mixed")) as one:
        first = one.start("look up", thread_id="mixed-one")
        one.start(f"look up. {SAY}", thread_id="mixed-two")
        frames = one.read_to_end()
        frames += one.read_to_end()
        assert TOKEN in streamed([frame for frame in frames if frame["run_id"] == first])


def closed(client):
    """The code with which the server closes, whatever comes before."""
    from websockets.exceptions import ConnectionClosed

    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.read()
    return caught.value.rcvd.code


@pytest.mark.parametrize("shape", ["agui", "per_run"])
def test_a_stale_status_is_one_in_every_shape(wrong, shape):
    user = of("status_stale")
    with talk(wrong, shape, user) as one:
        frames = one.run("hello")
        path = f"/agui/runs/{frames[0].frame['runId']}" if shape == "agui" else f"/runs/{one.run_id}"
        assert wrong.http("GET", path, user=user)[1]["status"] == "running"
