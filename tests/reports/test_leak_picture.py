"""Who saw whose: pairs, bins, and a picture that needs no colour; alike violations told once, in numbers that agree."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reports import alike, leak_picture

NAMES = [f"k3f{n:05}" for n in range(250)]


def row(owner: str, observer: str, **more: Any) -> dict[str, Any]:
    said = {"judgement": "isolation", "name": "foreign_content", "channel": 2, "scope": "cross_user", "count": 1}
    said |= {"event_kind": "chunk", "site": "prompt", "field": "a", "decode": "plain", "surfaced_ns": 5}
    return {**said, "owner": owner, "observer": observer, "violation": f"{owner}-{observer}", **more}


def test_pairs_are_counted() -> None:
    rows = [row(NAMES[1], NAMES[2]), row(NAMES[1], NAMES[2], count=3), row(NAMES[2], NAMES[2], scope="cross_thread")]
    rows += [row("", NAMES[3]), row(NAMES[1], NAMES[3], judgement="delivery")]
    made = leak_picture.crossing(rows, NAMES[:4])
    assert [(c.owner, c.observer, c.times, c.own) for c in made.cells] == [(1, 2, 4, False), (2, 2, 1, True)]
    assert len(made.bins) == 4


def test_beyond_100_accounts_neighbours_share_a_row() -> None:
    made = leak_picture.crossing([row(NAMES[0], NAMES[249]), row(NAMES[3], NAMES[247])], NAMES)
    assert len(made.bins) == 50
    assert [(c.owner, c.observer, c.times) for c in made.cells] == [(0, 49, 2)]
    assert made.bins[0] == (NAMES[0], NAMES[4])
    assert len(leak_picture.crossing([], NAMES[:100]).bins) == 100


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(1, 9)), max_size=40))
def test_nothing_is_lost_in_the_bins(pairs: list[tuple[str, str, int]]) -> None:
    made = leak_picture.crossing([row(a, b, count=n) for a, b, n in pairs], NAMES)
    assert sum(cell.times for cell in made.cells) == sum(n for _, _, n in pairs)


def test_a_square_links_to_its_trace_and_says_its_number_without_colour() -> None:
    rows = [row(NAMES[1], NAMES[2], count=7)]
    text = leak_picture.drawn(leak_picture.crossing(rows, NAMES[:3]), {rows[0]["violation"]: "trace.html#v"})
    assert 'href="trace.html#v"' in text
    assert re.search(r'class="many">7</text>', text)
    assert f"{NAMES[2]} saw what belongs to {NAMES[1]}: 7 times" in text
    assert not re.search(r"#[0-9a-f]{6}", text)
    many = leak_picture.drawn(
        leak_picture.crossing([row(NAMES[1], NAMES[2]), row(NAMES[9], NAMES[3], count=9)], NAMES), {}
    )
    sizes = {float(size) for size in re.findall(r'width="([\d.]+)"[^>]*class="cell"', many)}
    assert len(sizes) == 2  # more often is larger


def test_names_are_text() -> None:
    text = leak_picture.drawn(leak_picture.crossing([row("<b>", '"x')], []), {})
    assert "<b>" not in text
    assert "&lt;b&gt;" in text


def test_alike_violations_are_told_once() -> None:
    rows = [row("a", "b"), row("c", "b", count=4, surfaced_ns=9), row("a", "d", field="other")]
    first, second = alike.groups(rows)
    assert (first.times, first.owners, first.observers, first.first_ns, first.last_ns) == (5, 2, 1, 5, 9)
    assert (second.times, second.example["field"]) == (1, "other")


def test_the_numbers_agree_with_the_verdict() -> None:
    rows = [row("a", "b", count=12), row("a", "b", judgement="delivery", count=8)]
    assert alike.told(rows, {}) == "12 isolation violations, 8 delivery violations; 20 in all"
    told = alike.told(rows, {"isolation": {"violations_confirmed": 10}})
    assert told == "10 isolation violations, 2 more shown only, 8 delivery violations; 20 in all"
    assert alike.told(rows[:1], {"isolation": {"violations_confirmed": 0}}) == "12 of isolation shown only"
    assert alike.told([row("a", "b")], {}) == "1 isolation violation"
