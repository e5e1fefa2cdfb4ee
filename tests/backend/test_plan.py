"""The plan of a run is pure, and holds what the table of phrases promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.backend.plan import (
    BILLING,
    CHUNK,
    CHUNK_CHARS_MAX,
    CHUNK_CHARS_MIN,
    COMPLETED,
    ERROR,
    HANDOFF,
    STARTED,
    SUPERVISOR,
    THINKING,
    TOOL_COMPLETED,
    TOOL_EXECUTING,
    Ask,
    make_plan,
    references_of,
)

tokens = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=80)
phrases = st.lists(
    st.sampled_from(["look up", "compare", "failing tool", "hand over", "long answer", "what did I say before", "hi"]),
    max_size=4,
).map(" and ".join)


def of_kind(plan, kind):
    return [step for step in plan.steps if step.kind == kind]


@given(st.text(max_size=200), st.integers())
def test_a_plan_is_pure(prompt, seed):
    assert make_plan(Ask(prompt), seed) == make_plan(Ask(prompt), seed)


@given(phrases, st.lists(tokens, max_size=3), st.none() | tokens, st.integers(0, 99))
def test_every_reference_is_in_text_tools_and_results(phrase, references, private, seed):
    prompt = phrase + "".join(f" repeat this reference: {reference}" for reference in references)
    plan = make_plan(Ask(prompt, reference=private), seed)
    expected = [*references, *([private] if private else [])]
    assert set(plan.references) == set(expected)
    assert all(reference in plan.text for reference in expected)
    for step in of_kind(plan, TOOL_EXECUTING):
        assert set(step.data["arguments"]["references"]) == set(expected)
    for step in of_kind(plan, TOOL_COMPLETED):
        shown = str(step.data["result"]) + str(step.data.get("error"))
        assert all(reference in shown for reference in expected)


@given(phrases, st.lists(tokens, max_size=6), st.integers(0, 99))
def test_chunks_are_pieces_of_the_text(phrase, references, seed):
    prompt = phrase + "".join(f" repeat this reference: {reference}" for reference in references)
    plan = make_plan(Ask(prompt), seed)
    chunks = of_kind(plan, CHUNK)
    assert "".join(step.data["chunk"] for step in chunks) == plan.text
    assert [step.data["chunk_index"] for step in chunks] == list(range(len(chunks)))
    assert all(CHUNK_CHARS_MIN <= len(step.data["chunk"]) <= CHUNK_CHARS_MAX for step in chunks)
    if "long answer" in phrase:
        assert 36 <= len(chunks) <= 44
    elif len(references) <= 2:
        assert 6 <= len(chunks) <= 15
    assert plan.steps[-1].data["result"] == plan.text


@given(phrases, st.integers(0, 99))
def test_the_order_is_legal(phrase, seed):
    plan = make_plan(Ask(phrase), seed)
    assert plan.steps[0].kind == STARTED
    assert plan.steps[1].kind == THINKING
    assert [step.agent for step in of_kind(plan, COMPLETED)][-1] == SUPERVISOR
    assert plan.steps[-1].kind == COMPLETED
    open_calls = set()
    for step in plan.steps:
        if step.kind == TOOL_EXECUTING:
            assert not open_calls
            open_calls.add(step.data["call_id"])
        elif step.kind == TOOL_COMPLETED:
            open_calls.remove(step.data["call_id"])
        elif step.kind == CHUNK:
            assert not open_calls


@pytest.mark.parametrize(
    ("prompt", "tools"),
    [
        ("hello", []),
        ("Look UP the costs", ["cost_lookup"]),
        ("compare two plans", ["cost_lookup", "usage_lookup"]),
        ("use the failing tool", ["invoice_lookup"]),
        ("hand over", ["billing_lookup"]),
        ("look up, then hand over", ["cost_lookup"]),
    ],
)
def test_a_phrase_chooses_the_tools(prompt, tools):
    plan = make_plan(Ask(prompt), 7)
    assert [step.data["tool_name"] for step in of_kind(plan, TOOL_EXECUTING)] == tools


def test_a_failing_tool_is_told_and_the_run_completes():
    plan = make_plan(Ask("failing tool"), 7)
    (result,) = of_kind(plan, TOOL_COMPLETED)
    assert result.data["status"] == "error"
    assert "503" in result.data["error"]
    assert "invoice_lookup failed" in plan.text
    hidden = make_plan(Ask("failing tool"), 7, hide_tool_errors=True)
    (result,) = of_kind(hidden, TOOL_COMPLETED)
    assert (result.data["status"], result.data["result"]) == ("completed", {})
    assert "failed" not in hidden.text


def test_a_hand_over_nests_the_other_agent():
    plan = make_plan(Ask("hand over"), 7)
    (handoff,) = of_kind(plan, HANDOFF)
    assert (handoff.data["from"], handoff.data["to"]) == (SUPERVISOR, BILLING)
    position = plan.steps.index(handoff)
    nested = plan.steps[position + 1]
    assert (nested.kind, nested.agent, nested.data["nested"]) == (STARTED, BILLING, True)
    assert {step.agent for step in plan.steps[position + 1 : -1]} == {BILLING}
    assert plan.steps[-2].data["nested"] is True
    assert [step.agent for step in of_kind(plan, COMPLETED)] == [BILLING, SUPERVISOR]


def test_the_impossible_ends_with_an_error():
    plan = make_plan(Ask("do the impossible"), 7)
    assert plan.steps[-1].kind == ERROR
    assert plan.steps[-1].data["error_code"] == "AGENT_FAILED"
    assert not of_kind(plan, COMPLETED)
    assert plan.text == ""


def test_profile_and_memory_are_in_the_answer():
    plan = make_plan(Ask("hi", name="Ada", earlier=("A" * 20, "B" * 20)), 7)
    assert plan.text.startswith("Hello Ada.")
    assert "A" * 20 in plan.text
    assert "B" * 20 in plan.text


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        (f"x repeat this reference: {'A' * 16}", ["A" * 16]),
        (f"Repeat this reference: {'a' * 80}.", ["a" * 80]),
        (f"repeat this reference: [{'A' * 20}]", ["A" * 20]),
        (f"repeat this reference: {'A' * 20}, {'B' * 20} and {'C' * 20}", ["A" * 20, "B" * 20, "C" * 20]),
        (f"repeat this reference: {'A' * 20} repeat this reference: {'B' * 20}", ["A" * 20, "B" * 20]),
        (f"repeat this reference: {'A' * 15}", []),
        (f"repeat this reference: {'A' * 81}", []),
        ("repeat this reference:", []),
        ("A" * 20, []),
    ],
)
def test_references_are_found(prompt, found):
    assert list(references_of(prompt)) == found
