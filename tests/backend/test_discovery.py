"""Agent discovery and what the long list of faults says of the shapes."""

import pytest

from crosstalk.backend.catalogue import CATALOGUE, SHAPES
from crosstalk.backend.plan import TOOLS, Ask, make_plan
from tests.backend.shapes import talk
from tests.backend.test_process import ended

USER = "dis00001"


def test_servers_and_configuration_need_no_token_but_no_bad_one(clean):
    status, servers, _ = clean.http("GET", "/api/mcp/servers")
    (server,) = servers["servers"]
    assert (status, servers["total"], server["status"]) == (200, 1, "connected")
    assert {tool["name"] for tool in server["tools"]} == set(TOOLS)
    config = clean.http("GET", "/api/mcp/config", user=USER)[1]
    assert config["default_agent"] == "supervisor"
    assert config["agents"] == server["agents"] == ["supervisor", "billing", "researcher"]
    assert (config["receive_timeout_s"], config["agent_timeout_s"]) == (10.0, 8.0)
    assert config["shapes"] == list(SHAPES)
    for path in ("servers", "config"):
        assert clean.http("GET", f"/api/mcp/{path}", token="x")[0] == 401


def test_the_tools_it_names_are_those_that_agents_call():
    prompts = ("look up", "compare", "failing tool", "hand over", "slow tool")
    steps = [step for prompt in prompts for step in make_plan(Ask(prompt), 7).steps]
    assert {step.data["tool_name"] for step in steps if "tool_name" in step.data} == set(TOOLS)


def test_the_status_counts_own_runs(clean):
    assert clean.http("GET", "/api/agents/status")[0] == 401
    with talk(clean, "netra", USER) as one:
        one.start("long answer")
        one.read()
        status = clean.http("GET", "/api/agents/status", user=USER)[1]
        assert (status["user_id"], status["runs_in_progress"]) == (USER, 1)
        assert {agent["name"]: agent["status"] for agent in status["agents"]} == {
            "supervisor": "ready",
            "billing": "ready",
            "researcher": "ready",
        }
        assert clean.http("GET", "/api/agents/status", user="dis00002")[1]["runs_in_progress"] == 0
        one.hear()
    assert clean.http("GET", "/api/agents/status", user=USER)[1]["runs_in_progress"] == 0


def test_the_long_list_says_where_each_fault_applies_and_why_not():
    result = ended("--list-faults", "--long", JWT_SECRET_KEY=None)
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["fault", *SHAPES]
    assert [row.split()[0] for row in rows] == [fault.name for fault in CATALOGUE]
    of_run_id = next(row for row in rows if row.startswith("leak_run_id"))
    assert "no: its frames name no run" in of_run_id
    assert "yes: in RUN_FINISHED" in of_run_id


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
def test_a_fault_that_applies_nowhere_is_none(fault):
    assert fault.applies("netra")
    assert set(fault.remarks) <= set(SHAPES)
