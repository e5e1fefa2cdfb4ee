"""The catalogue, its command-line form, and when a fault bites."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.backend.catalogue import BY_NAME, CATALOGUE, NAMES, list_faults
from crosstalk.backend.faults import FaultSpec, FaultTable, account_of, parse_fault

ranges = st.tuples(st.integers(0, 99_999), st.integers(0, 99_999)).map(lambda pair: tuple(sorted(pair)))
rates, times = st.floats(0, 1, exclude_min=True), st.floats(0, 1e6)
specs = st.builds(
    FaultSpec,
    name=st.sampled_from([name for name in NAMES if not BY_NAME[name].of_process]),
    rate=rates,
    accounts=st.none() | ranges,
    overlap=st.booleans(),
    after_cancel=st.booleans(),
    after_s=times,
) | st.builds(
    FaultSpec, name=st.sampled_from([name for name in NAMES if BY_NAME[name].of_process]), rate=rates, after_s=times
)


@given(specs)
def test_a_spec_comes_back_from_its_text(spec):
    assert parse_fault(str(spec)) == spec


def test_a_spec_is_read():
    assert parse_fault("missing_event") == FaultSpec("missing_event")
    assert parse_fault("missing_event:1:0-3") == FaultSpec("missing_event", accounts=(0, 3))
    assert parse_fault("leak_content:0.2:4-7+overlap") == FaultSpec("leak_content", 0.2, (4, 7), overlap=True)
    assert parse_fault("leak_content::7+after_cancel+after=2.5") == FaultSpec(
        "leak_content", 1.0, (7, 7), after_cancel=True, after_s=2.5
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leak_contend", "did you mean leak_content?"),
        ("nonsense", "valid names: missing_event,"),
        ("leak_content:0", "rate '0'"),
        ("leak_content:1.1", "rate '1.1'"),
        ("leak_content:nan", "rate 'nan'"),
        ("leak_content:often", "rate 'often'"),
        ("leak_content:1:sometimes", "'sometimes' is not an account range"),
        ("leak_content:1:7-3", "ends before it starts"),
        ("leak_content:1:after=soon", "'soon' is not a number of seconds"),
        ("env_missing:1:0-3", "it concerns the whole process"),
        ("cache_down:1:overlap", "it concerns the whole process"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(text, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_fault(text)
    assert "\n" not in str(caught.value)


def test_the_list_has_one_fault_a_line_name_first():
    assert [line.split()[0] for line in list_faults().splitlines()] == [fault.name for fault in CATALOGUE]
    assert len(set(NAMES)) == len(NAMES) >= 60


@pytest.mark.parametrize(
    ("user_id", "account"),
    [("k3f00017", 17), ("ab900017", 17), ("load-user-0003", 3), ("someone", None), ("x7y", None)],
)
def test_the_account_is_the_number_at_the_end(user_id, account):
    assert account_of(user_id) == account


def bites(table, name="leak_content", **changes):
    return table.bites(name, **{"account": 5, "now_s": 1.0, "overlap": True, "cancels_seen": 0, **changes})


def test_a_fault_not_asked_for_never_bites():
    assert not bites(FaultTable([], 7))
    assert not bites(FaultTable([FaultSpec("demo_user")], 7))


def test_conditions_hold_it_back():
    ranged = FaultTable([FaultSpec("leak_content", accounts=(4, 7))], 7)
    assert [account for account in (None, 3, 4, 7, 8) if bites(ranged, account=account)] == [4, 7]
    overlapping = FaultTable([FaultSpec("leak_content", overlap=True)], 7)
    assert bites(overlapping)
    assert not bites(overlapping, overlap=False)
    later = FaultTable([FaultSpec("leak_content", after_s=2.0)], 7)
    assert [now_s for now_s in (0.0, 1.9, 2.0) if bites(later, now_s=now_s)] == [2.0]


def test_after_a_cancel_it_bites_once_until_the_next():
    table = FaultTable([FaultSpec("leak_content", after_cancel=True)], 7)
    seen = [0, 1, 1, 2, 1, 3, 3]
    assert [bites(table, cancels_seen=count) for count in seen] == [False, True, False, True, False, True, False]


def test_two_ranges_of_one_fault_both_bite():
    table = FaultTable([FaultSpec("leak_content", accounts=(0, 1)), FaultSpec("leak_content", accounts=(8, 9))], 7)
    assert [account for account in range(10) if bites(table, account=account)] == [0, 1, 8, 9]


@given(st.integers())
def test_draws_follow_the_seed_and_no_other_fault_moves_them(seed):
    alone = FaultTable([FaultSpec("leak_content", 0.5)], seed)
    beside = FaultTable([FaultSpec("leak_content", 0.5), FaultSpec("late_event", 0.5)], seed)
    draws = []
    for _ in range(30):
        draws.append(bites(alone))
        bites(beside, "late_event")
        assert bites(beside) == draws[-1]


def test_the_rate_is_kept():
    table = FaultTable([FaultSpec("leak_content", 0.2)], 7)
    assert 350 < sum(bites(table) for _ in range(2_000)) < 450
