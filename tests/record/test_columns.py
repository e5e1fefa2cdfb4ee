"""Rows become columns and rows again, with their nulls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosstalk.checks.columns import MISSING, present
from crosstalk.record.columns import columns_of, concat, empty, rows_of
from crosstalk.record.rows import COLUMNS, TABLES

values = {
    "int": st.integers(-(2**62), 2**62),
    "float": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "str": st.text(max_size=8),
}


def cell(kind):
    plain = values[kind.rstrip("?")]
    return st.none() | plain if kind.endswith("?") else plain


def rows(table):
    return st.lists(st.tuples(*(cell(kind) for kind in TABLES[table].values())), max_size=6)


def as_dicts(table, given_rows):
    return [dict(zip(COLUMNS[table], one, strict=True)) for one in given_rows]


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
def test_rows_survive_as_columns(table, data):
    given_rows = data.draw(rows(table))
    assert rows_of(columns_of(table, given_rows)) == as_dicts(table, given_rows)


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_has_all_its_columns_of_their_types(table):
    columns = empty(table)
    assert list(columns) == list(COLUMNS[table])
    assert all(len(column) == 0 for column in columns.values())
    dtypes = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": np.object_}
    assert {name: column.dtype.type for name, column in columns.items()} == {
        name: dtypes[kind.rstrip("?")] for name, kind in TABLES[table].items()
    }


@given(rows("violations"), rows("violations"))
def test_pieces_are_joined_in_their_order(one, other):
    joined = concat("violations", [columns_of("violations", one), columns_of("violations", other)])
    assert rows_of(joined) == as_dicts("violations", [*one, *other])
    assert rows_of(concat("violations", [])) == []


def test_a_null_is_missing_and_not_zero():
    column = columns_of("violations", [_violation(None), _violation(0)])["planted_ns"]
    assert column.tolist() == [MISSING, 0]
    assert present(column).tolist() == [0]


def _violation(planted_ns):
    defaults = {"int": 0, "str": ""}
    cells = {name: defaults[kind] for name, kind in TABLES["violations"].items() if not kind.endswith("?")}
    return tuple({**cells, "planted_ns": planted_ns}[name] for name in COLUMNS["violations"])


def test_a_row_of_another_length_is_our_mistake():
    with pytest.raises(ValueError):
        columns_of("exposure", [(1, 2)])
