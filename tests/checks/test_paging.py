"""Pages that make up a list, and every way in which they may not."""

from hypothesis import assume, given
from hypothesis import strategies as st

from crosstalk.checks.paging import joined

lists = st.lists(st.uuids().map(str), max_size=20, unique=True)
limits = st.integers(1, 5)


def cut(entries: list[str], limit: int) -> list[list[str]]:
    """As somebody leafs: page after page until a short one."""
    pages = [entries[at : at + limit] for at in range(0, len(entries), limit)]
    return [*pages, []] if not pages or len(pages[-1]) == limit else pages


@given(lists, limits)
def test_a_list_is_the_sum_of_its_pages(entries: list[str], limit: int) -> None:
    assert joined(cut(entries, limit), entries, limit=limit) == ""


@given(lists, limits, st.data())
def test_whatever_is_lost_is_named(entries: list[str], limit: int, data: st.DataObject) -> None:
    assume(entries)
    lost = data.draw(st.sampled_from(entries))
    pages = [[one for one in page if one != lost] for page in cut(entries, limit)]
    assert lost in joined(pages, entries, limit=limit)


@given(lists, limits, st.data())
def test_whatever_comes_twice_is_named(entries: list[str], limit: int, data: st.DataObject) -> None:
    assume(entries)
    twice, pages = data.draw(st.sampled_from(entries)), cut(entries, limit)
    pages[data.draw(st.integers(0, len(pages) - 1))].append(twice)
    assert twice in joined(pages, entries, limit=limit)


def test_offsets_that_are_one_off_are_told_apart() -> None:
    whole = ["a", "b", "c", "d"]
    assert joined([["a", "b"], ["b", "c"], ["d"]], whole, limit=2) == "b on pages 1, 2"
    assert joined([["a", "b"], ["d"]], whole, limit=2) == "c, entry 3 of 4, on no page"


def test_order_and_size_of_pages_count() -> None:
    whole = ["a", "b", "c", "d"]
    assert "another order" in joined([["b", "a"], ["c", "d"], []], whole, limit=2)
    assert joined([["a"], ["b", "c"], ["d"]], whole, limit=2) == "page 1 is short, and not the last"
    assert joined([["a", "b"], ["c", "d"], ["z"]], whole, limit=2) == "z on a page, and not in the whole"
