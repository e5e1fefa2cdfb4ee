"""`field_path` leads to where a needle stands in a frame, and is calm about every frame."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.violation import DELIVERY, delivery, field_path
from crosstalk.wire.event import Kind

NEEDLE = "ctlkneedle"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"data": {"result": {"text": NEEDLE}}}, "data.result.text"),
        ({"data": {"items": [0, {"a": 1}, "x", f"see {NEEDLE}."]}}, "data.items[3]"),
        ({"data": {"items": [{"name": NEEDLE.upper()}]}}, "data.items[0].name"),
        ({"data": {NEEDLE: 1}}, f"data.{NEEDLE}.{{key}}"),
        ({NEEDLE: {}}, f"{NEEDLE}.{{key}}"),
        ([["a", NEEDLE]], "[0][1]"),
        ({"data": {"text": "x" * 10_000 + NEEDLE}}, "data.text"),
        (NEEDLE, ""),
        ({"first": NEEDLE, "second": NEEDLE}, "first"),
        ({"data": {"text": "nothing"}}, "(frame)"),
        ({"one": NEEDLE[:5], "two": NEEDLE[5:]}, "(frame)"),
    ],
)
def test_the_path_leads_to_the_needle(document, path):
    assert field_path(json.dumps(document).encode(), NEEDLE) == path


@pytest.mark.parametrize("frame", [b"", b"not JSON " + NEEDLE.encode(), b'{"cut": "' + NEEDLE.encode(), b"\xff"])
def test_what_is_not_json_is_the_frame(frame):
    assert field_path(frame, NEEDLE) == "(frame)"


def test_deep_nesting_is_no_obstacle():
    deep = '{"a": ' * 1000 + f'"{NEEDLE}"' + "}" * 1000
    assert field_path(deep.encode(), NEEDLE) == ".".join("a" * 1000)
    assert field_path(b"[" * 1000 + b"]" * 1000, NEEDLE) == "(frame)"


@given(st.binary(max_size=40), st.text(max_size=5))
def test_it_never_raises(frame, needle):
    assert isinstance(field_path(frame, needle), str)


def test_a_delivery_violation_says_what_was_expected_and_what_came():
    violation = delivery("late", expected="nothing after the end", came="a chunk", kind=Kind.CHUNK)
    assert (violation.judgement, violation.name, violation.event_kind) == (DELIVERY, "late", "chunk")
    assert (violation.channel, violation.scope, violation.owner) == (0, "", "")
