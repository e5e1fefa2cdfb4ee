"""Leaks that nobody's catalogue has, each put once into one place on the way from the backend, are all found.

Many places in one load test, one an account; and one leak in all of a smoke, which `--fail-fast` ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backend.client import SECRET, backend
from tests.end_to_end.leak_places import PLACES
from tests.end_to_end.locust_process import Ended, run
from tests.end_to_end.wiretap import Wiretap, wiretap

#: so that a token of another environment is refused
ENVIRONMENT = ("--environment", "local")
#: accounts of the load test to which nothing is leaked
CLEAN = 6


@pytest.fixture(scope="module")
def tapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Wiretap, Ended]:
    """A load test behind the wiretap: account n gets the leak of place n."""
    options = ("--users", str(len(PLACES) + CLEAN), "--spawn-rate", "20", "--run-time", "16s")
    options += ("--prompts", "tests/end_to_end/everything.toml")
    with backend(*ENVIRONMENT) as target, wiretap(target.url, dict(enumerate(PLACES))) as tap:
        host = ("--host", tap.url)
        ended = run(tmp_path_factory.mktemp("tapped"), *options, *host, JWT_SECRET_KEY=SECRET)
    assert not tap.failed, tap.failed
    return tap, ended


def isolation_rows(ended: Ended, observer: str) -> list[dict[str, Any]]:
    return [row for row in ended.rows("violations") if (row["judgement"], row["observer"]) == ("isolation", observer)]


@pytest.mark.parametrize("number", range(len(PLACES)), ids=[place.name for place in PLACES])
def test_one_leak_in_this_place_is_found(tapped: tuple[Wiretap, Ended], number: int) -> None:
    tap, ended = tapped
    [planted] = [leak for leak in tap.planted.values() if leak.place is PLACES[number]]
    found = isolation_rows(ended, planted.observer)
    assert found, f"nobody saw {planted.sent[:400]!r}"
    if planted.place.names_owner:
        assert {row["owner"] for row in found} == {planted.victim.name}, found
        assert {row["scope"] for row in found} == {"cross_user"}
    assert {row["channel"] for row in found} & set(planted.place.channels), [row["channel"] for row in found]
    assert all(row["surfaced_ns"] > 0 for row in found)


def test_nobody_else_is_accused_and_the_exit_code_is_3(tapped: tuple[Wiretap, Ended]) -> None:
    tap, ended = tapped
    strangers = [row for row in ended.rows("violations") if row["observer"] not in tap.planted]
    assert strangers == []
    assert ended.exit_code == 3 == ended.verdict["exit_code"]
    assert ended.verdict["measurement"]["unaccounted_events"] == 0


def test_names_of_places_are_names() -> None:
    assert len({place.name for place in PLACES}) == len(PLACES)


def test_a_single_leak_in_a_smoke_ends_it_at_once(tmp_path: Path) -> None:
    """20 users, one frame: the field of one event of one account, once."""
    place = next(place for place in PLACES if place.name == "unknown field")
    with backend(*ENVIRONMENT) as target, wiretap(target.url, {13: place}) as tap:
        ended = run(tmp_path, "--fail-fast", "--host", tap.url, JWT_SECRET_KEY=SECRET)
    [planted] = tap.planted.values()
    [row] = ended.rows("violations")
    assert ended.exit_code == 3
    assert (row["name"], row["channel"], row["scope"]) == ("foreign_content", 2, "cross_user")
    assert (row["observer"], row["owner"]) == (planted.observer, planted.victim.name)
    assert (row["field"], row["decode"]) == ("data.debug", "plain")
    test = ended.run["load_test"]
    assert "fail-fast" in test["ended_by"]
    assert test["ended_ns"] - test["started_ns"] < 0.5 * test["run_time_s"] * 1e9
    sent = [row for row in ended.rows("frames") if row["direction"] == "out" and row["account"] == planted.victim.name]
    assert planted.victim.canary in "".join(row["body"] for row in sent)
