"""Figures read as people expect them, and never better than they are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.inf, "no end"), (math.nan, "–"), (0.894, "0.89 ms"), (10.44, "10.4 ms"), (2000, "2,000 ms")],
)
def test_milliseconds(value: float | None, text: str) -> None:
    assert numbers.milliseconds(value, separator=",") == text


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_share_below_one_never_reads_as_all(value: float) -> None:
    """99.999 % shown as 100 % would hide a failure."""
    assert not numbers.share(value).startswith("100")


def test_thousands_are_separated_by_a_narrow_space_on_pages() -> None:
    assert numbers.thin("0.26 % of 843 ms in 2 s") == "0.26\u202f% of 843\u202fms in 2\u202fs"
    assert numbers.count(1234567) == "1\u202f234\u202f567"
    assert (
        numbers.thin("12,400 events, limit 2,000 ms, a, b, 1,2")
        == "12\u202f400 events, limit 2\u202f000\u202fms, a, b, 1,2"
    )


def test_an_instant_is_utc_to_the_millisecond() -> None:
    assert numbers.instant(1_757_895_985_120_000_000) == "2025-09-15 00:26:25.120 UTC"
    assert numbers.instant(None) == "–"


@pytest.mark.parametrize(
    ("ns", "text"), [(412_000_000, "412 ms"), (4_100_000_000, "4.1 s"), (125 * 10**9, "2 min 5 s")]
)
def test_durations(ns: int, text: str) -> None:
    assert numbers.seconds(ns) == text


def test_a_quantity_has_the_unit_of_its_metric() -> None:
    assert numbers.quantity(1.0, metric="runs_ok", statistic="share", separator=",") == "100 %"
    assert numbers.quantity(3.0, metric="close_1011", statistic="count") == "3"
    assert numbers.quantity(math.inf, metric="service_time_ms", statistic="max") == "no end"
