"""What the netra dialect says and reads of agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.wire.dialect import Declared, Dialect, Place, Turn
from crosstalk.wire.netra import Netra

NETRA = Netra()
TURN = Turn(text="hello", user_id="u", thread_id="t", run_id="", message_id="m", agent="billing")


def test_what_is_discovered() -> None:
    server = {"agents": ["a", "b"], "tools": [{"name": "t"}, {"what": 1}, "u"]}
    assert NETRA.discovered({"servers": [server, {"agents": ["b", "c"]}]}) == Declared(("a", "b", "c"), ("t", "u"))


def test_what_is_configured() -> None:
    said = {
        "agents": ["a", "b"], "tools": ["t"], "receive_timeout_s": 10, "agent_timeout_s": 8,
        "agent_timeouts_s": {"b": 2.5}, "tool_timeouts_s": {"t": 1}, "progress_every_s": 0.25,
    }  # fmt: skip
    assert NETRA.configured(said) == Declared(("a", "b"), ("t",), 10.0, {"a": 8.0, "b": 2.5}, {"t": 1.0}, 0.25)
    assert NETRA.healthy({"agents": {"a": {"status": "ready"}, "b": {"status": "degraded"}}}) == ["a"]


def test_runs_over_http() -> None:
    start = NETRA.start_over_http(TURN)
    assert start is not None
    assert (start.path, start.json) == ("/api/agents/start", {"type": "billing", "message": "hello", "thread_id": "t"})
    assert NETRA.started({"run_id": "r", "thread_id": "t"}) == Place("t", "r")
    cancel = NETRA.end_over_http("r", "cancel")
    assert cancel is not None and (cancel.path, cancel.json) == ("/api/agents/cancel", {"run_id": "r"})
    assert json.loads(NETRA.prompt(TURN))["payload"]["agent_type"] == "billing"


@pytest.mark.parametrize(
    "answer", [{"run_id": "r", "status": "running"}, {"type": "run_data", "data": {"run": {"status": "running"}}}]
)
def test_a_status_is_read_from_both(answer: dict[str, Any]) -> None:
    assert NETRA.status_in(answer) == "running"
    assert NETRA.status_in({"type": "ack"}) == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["servers", "agents", "tools", "agent_timeouts_s", "agent_timeout_s", "data", "status", "run"])


@given(st.dictionaries(keys, json_values))
def test_nothing_that_comes_makes_it_raise(answer: dict[str, Any]) -> None:
    NETRA.discovered(answer)
    NETRA.configured(answer)
    list(NETRA.healthy(answer))
    assert isinstance(NETRA.status_in(answer), str)


def test_a_dialect_that_says_nothing_is_asked_for_nothing() -> None:
    plain = Dialect()
    asked = (plain.discover(), plain.configuration(), plain.agents_health(), plain.start_over_http(TURN))
    assert [*asked, plain.end_over_http("r", "stop"), plain.run_status("r"), plain.ask_status("r")] == [None] * 7
    assert not plain.nests and plain.configured({}) == Declared()
