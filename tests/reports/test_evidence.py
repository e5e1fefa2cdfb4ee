"""Evidence: the right frames, and the right marks in them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from crosstalk.record.columns import columns_of
from reports import evidence
from reports.material import Material
from tests.reports.rows import account, canary
from tests.reports.test_figures import blank


def test_a_leak_comes_with_the_frame_that_planted_it(material: Callable[..., Material]) -> None:
    made = material(leak=True)
    found = evidence.gather(evidence.ordered(made.table("violations")), made.table("frames"))
    for turn, one in enumerate(found, start=1):
        assert one.planted is not None
        assert canary(0, turn) in one.planted
        assert canary(0, turn) in one.shown
        assert canary(0, turn) in one.theirs
        assert account(0) in one.theirs
        assert account(4) in one.own


def test_without_the_owners_frame_the_evidence_stands_alone(material: Callable[..., Material]) -> None:
    made = material(leak=True)
    nothing = columns_of("frames", [])
    one = evidence.gather(evidence.ordered(made.table("violations")), nothing)[0]
    assert one.planted is None
    assert canary(0, 1) in one.theirs


def test_isolation_stands_above_delivery_and_confirmed_above_doubtful() -> None:
    rows = [
        blank("violations", violation="d", judgement="delivery", surfaced_ns=1),
        blank("violations", violation="o", judgement="isolation", scope="other_load_test", surfaced_ns=2),
        blank("violations", violation="late", judgement="isolation", scope="cross_user", surfaced_ns=9),
        blank("violations", violation="early", judgement="isolation", scope="cross_user", surfaced_ns=3),
        blank("violations", violation="i", judgement="identity", surfaced_ns=10),
    ]
    found = evidence.ordered(columns_of("violations", rows))
    assert [row["violation"] for row in found] == ["i", "early", "late", "o", "d"]


def test_a_violation_reported_again_is_the_same_one() -> None:
    rows = [blank("violations", violation="w-v1", count=n) for n in (1, 4, 2)]
    found = evidence.ordered(columns_of("violations", rows))
    assert [(row["violation"], row["count"]) for row in found] == [("w-v1", 4)]


@given(
    st.text(max_size=60),
    st.sets(st.text(min_size=1, max_size=6), max_size=3),
    st.sets(st.text(min_size=1, max_size=6), max_size=3),
)
def test_marking_never_lets_markup_through(text: str, theirs: set[str], own: set[str]) -> None:
    """Without our own marks what is left has no tag, and nothing of the text is lost."""
    import html
    import re

    from reports.markup import printable

    said = evidence.highlighted(text, theirs=theirs, own=own)
    bare = re.sub(r'<mark class="(?:own|theirs)">|</mark>', "", said)
    assert "<" not in bare
    assert html.unescape(bare) == html.unescape(html.escape(printable(text)))


def test_a_longer_mark_wins_over_a_shorter_one_within() -> None:
    said = evidence.highlighted("run-k3f00001", theirs=["run-k3f00001"], own=["k3f00001"])
    assert said == '<mark class="theirs">run-k3f00001</mark>'


def test_a_frame_that_is_no_json_is_shown_as_it_is() -> None:
    assert evidence.laid_out('{"type": "agent_co') == '{"type": "agent_co'
    assert evidence.laid_out('{"a":1}') == '{\n  "a": 1\n}'
