"""Which channels a dialect can exercise: by what it has words for."""

from __future__ import annotations

import pytest

from crosstalk.checks.exercisable import ALL, exercisable, required
from crosstalk.wire.agui import Agui
from crosstalk.wire.dialect import Dialect
from crosstalk.wire.netra import Netra
from crosstalk.wire.per_run import PerRun


def missing(dialect: Dialect) -> set[int]:
    return {channel for channel, why_not in exercisable(dialect).items() if why_not}


def test_netra_has_words_for_all() -> None:
    assert missing(Netra()) == set()
    assert required("all", Netra()) == tuple(sorted(ALL))


def test_a_bare_dialect_has_words_for_none_of_the_probes() -> None:
    class Bare(Dialect):
        ids_from = "server"
        frames_name_runs = False

    assert missing(Bare()) == {1, 6, 7, 8, 9, 12, 13, 14, 15, 18, 19, 21}


@pytest.mark.parametrize("dialect", [Agui(), PerRun()])
def test_what_cannot_be_exercised_is_not_required_and_says_why(dialect: Dialect) -> None:
    wanted = required("all", dialect)
    assert wanted is not None and set(wanted) == ALL - missing(dialect)
    assert 19 in missing(dialect) and 13 in wanted
    assert all(len(exercisable(dialect)[channel]) > 10 for channel in missing(dialect))


def test_numbers_and_nothing() -> None:
    assert required("3, 1,3", Netra()) == (1, 3)
    assert required("", Netra()) is None


@pytest.mark.parametrize("text", ["some", "0", "23", "1;2", "1,,2"])
def test_what_names_no_channel_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="required-channels"):
        required(text, Netra())
