"""Listings and histories: what was said and what is listed in, violations out."""

from __future__ import annotations

import pytest

from crosstalk.checks.listings import history, listing


def judged(**given: object) -> list[tuple[str, str, str]]:
    rest = {"listed": (), "expected": (), "before": (), "gone": (), "owners": {}, "subject": "me", **given}
    return [(v.name, v.scope, v.owner) for v in listing(**rest)]  # type: ignore[arg-type]


def test_the_expected_set_in_any_order() -> None:
    assert judged(listed=["b", "a"], expected=["a", "b"]) == []


def test_a_missing_thread_is_a_fault_of_delivery() -> None:
    assert judged(listed=["a"], expected=["a", "b"]) == [("missing_from_listing", "", "")]


def test_a_thread_of_another_is_foreign_and_names_its_owner() -> None:
    found = judged(listed=["a", "x"], expected=["a"], owners={"x": "her"})
    assert found == [("foreign_listing", "cross_user", "her")]


def test_a_thread_of_nobody_known_is_foreign_but_not_verified() -> None:
    assert judged(listed=["x"]) == [("foreign_listing", "unverified", "")]


def test_what_was_there_before_is_neither_expected_nor_foreign() -> None:
    assert judged(listed=["old", "a"], expected=["a"], before=["old"]) == []
    assert judged(listed=["a"], expected=["a"], before=["old"]) == []


def test_a_deleted_thread_of_ones_own_that_is_still_listed() -> None:
    assert judged(listed=["a"], gone=["a"], owners={"a": "me"}) == [("listed_after_deletion", "", "")]


def test_a_thread_of_ones_own_that_is_not_expected_is_not_foreign() -> None:
    assert judged(listed=["a"], owners={"a": "me"}) == []


MESSAGES = [("1", "question one, ref-a"), ("2", "answer one"), ("3", "question two, ref-b"), ("4", "answer two")]


def test_a_history_with_everything_in_order() -> None:
    assert history(["ref-a", "answer one", "ref-b", "answer two"], MESSAGES, thread="t") == []
    assert history(["ref-a", "answer two"], MESSAGES, thread="t") == []


@pytest.mark.parametrize(
    ("said", "came"),
    [
        (["ref-a", "answer three"], "not there"),
        (["ref-b", "ref-a"], "before"),
        (["ref-a", "ref-a"], "before"),
    ],
)
def test_what_is_missing_or_out_of_order(said: list[str], came: str) -> None:
    [found] = history(said, MESSAGES, thread="t")
    assert (found.name, found.judgement) == ("missing_from_listing", "delivery")
    assert came in found.came
