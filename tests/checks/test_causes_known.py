"""Each cause is named on the history that it is about, and no other beside it."""

from __future__ import annotations

from typing import Any

import pytest

from crosstalk.checks.causes import CAUSES_MAX, causes_of, where_it_broke
from crosstalk.checks.causes_broken import broken
from crosstalk.checks.causes_group import SURE, Group, whole_of
from crosstalk.checks.causes_known import KNOWN
from tests.checks.causes_histories import HISTORIES, TIMEOUTS, TOGETHER, S, closed, conns, tables
from tests.checks.histories import History, run_json


def fired(history: History, **changes: Any) -> set[str]:
    """Names of all causes of all groups, not only of those that are shown."""
    whole = whole_of(run_json(expectations=TIMEOUTS, **changes), tables(history))
    by_key: dict[tuple[str, str, str], list[Any]] = {}
    for one in broken(tables(history), timeout_ns=8 * S):
        by_key.setdefault((one.of, one.stage, one.signature), []).append(one)
    found = [Group(*key, tuple(members)) for key, members in by_key.items()]
    return {cause.name for group in found for cause in KNOWN if cause.when(group, whole)}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_cause_is_named_on_its_history_and_no_other_beside_it(name: str) -> None:
    history, changes = HISTORIES[name]
    assert fired(history, **changes) == {name} | TOGETHER.get(name, set())


def test_every_cause_has_its_history() -> None:
    assert list(HISTORIES) == [cause.name for cause in KNOWN]
    assert len(KNOWN) >= 25


@pytest.mark.parametrize("cause", KNOWN, ids=lambda cause: cause.name)
def test_a_cause_says_how_sure_it_is_and_what_to_do(cause: Any) -> None:
    assert cause.sure in SURE
    for text in (cause.likely, cause.look_at):
        assert text.endswith(".")
        assert text == text.strip()
        assert "{" not in text


def test_causes_are_bounded_and_the_surest_stands_first() -> None:
    history, changes = HISTORIES["rate_limited"]
    [one] = where_it_broke(run_json(**changes), tables(history))
    assert [(cause.sure, cause.name) for cause in one.causes] == [
        ("always", "refused_in_words"),
        ("likely", "rate_limited"),
    ]
    group = Group("runs", "end", "agent error cancelled timeout quota", ())
    assert len(causes_of(group, whole_of(run_json(), {}))) <= CAUSES_MAX


@pytest.mark.parametrize(
    ("silences", "cut"),
    [((3.0, 3.1, 3.05), True), ((3.0, 5.0, 3.0), False), ((0.4, 0.4, 0.4), False), ((9.0, 9.0, 9.0), False)],
)
def test_an_idle_cut_is_the_same_silence_each_time_and_sooner_than_the_agent_timeout(
    silences: tuple[float, ...], cut: bool
) -> None:
    rows = [closed(n, 1000, after_s=s, events_in=3) for n, s in enumerate(silences)]
    assert ("idle_cut" in fired(conns(*rows))) is cut


def test_users_who_fail_again_and_again_did_not_fail_at_once() -> None:
    """Three users, five rounds a second apart: each round is together, and none of them is what happened to them."""
    rounds = [
        closed(n, 1006, after_s=2 + again, events_in=3, connection=f"w1-c{n}-{again}")
        for again in range(5)
        for n in range(3)
    ]
    assert "all_lost_at_once" not in fired(conns(*rounds))
    assert "all_lost_at_once" in fired(conns(*rounds[:3]))
