import random
from statistics import median

import pytest

from crosstalk.backend.delays import DEFAULT_DELAYS, KINDS, Delay, parse_delay, parse_delays


def test_specs_are_read():
    assert parse_delay("fixed:5") == Delay("fixed", 5)
    assert parse_delay("uniform:1,2.5") == Delay("uniform", 1, 2.5)
    assert parse_delay("lognormal:100,0.3") == Delay("lognormal", 100, 0.3)
    assert parse_delays([]) == DEFAULT_DELAYS
    assert set(DEFAULT_DELAYS) == set(KINDS)
    assert parse_delays(["tool=fixed:5", "tool=fixed:6"])["tool"] == Delay("fixed", 6)


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:x", "fixed:1,2", "uniform:1", "uniform:2,1", "fixed:-1", "poisson:3"]
)
def test_a_wrong_spec_is_refused(text):
    with pytest.raises(ValueError, match="delay"):
        parse_delay(text)


@pytest.mark.parametrize("text", ["tool", "nap=fixed:1", "tool=fixed:inf"])
def test_a_wrong_item_is_refused(text):
    with pytest.raises(ValueError, match="delay"):
        parse_delays([text])


def test_draws_follow_the_shape():
    rng = random.Random(7)
    assert Delay("fixed", 5).draw_ms(rng) == 5
    assert all(1 <= Delay("uniform", 1, 2).draw_ms(rng) <= 2 for _ in range(200))
    draws = [Delay("lognormal", 100, 0.5).draw_ms(rng) for _ in range(2_000)]
    assert 95 < median(draws) < 105
