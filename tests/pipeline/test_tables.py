"""What a table may hold: the quick check and pandera's agree."""

from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pytest

from pipeline.tables import TABLES, Column, columns_of, conform, empty

PLAIN = {str: "word", int: 1, float: 0.5, bool: True, pd.Int64Dtype: 1}


def allowed(column: Column, number: int) -> Any:  # noqa: ANN401
    """A value that may stand there, for a table's row of this number."""
    if column.isin is not None:
        return column.isin[number % len(column.isin)]
    if column.str_length is not None:
        return f"{number:x}".zfill(column.str_length)
    return f"word {number}" if column.dtype is str else PLAIN[column.dtype]


def rows_of(name: str, count: int = 3) -> pd.DataFrame:
    """Rows with nulls in the last of them wherever there may be one, in an order that is not that on disk."""
    columns = TABLES[name].columns
    rows = [{key: allowed(column, number) for key, column in columns.items()} for number in range(count)]
    last = {key: None for key, column in columns.items() if column.nullable and key not in TABLES[name].key}
    return pd.DataFrame([*rows[:-1], {**rows[-1], **last}])[::-1]


@pytest.mark.parametrize("name", TABLES)
def test_what_is_allowed_comes_out_as_from_pandera(name: str) -> None:
    rows = rows_of(name)
    pandera = TABLES[name].schema.validate(rows.reindex(columns=columns_of(name)), lazy=True)
    expected = pandera.sort_values(list(TABLES[name].key), ignore_index=True)
    pd.testing.assert_frame_equal(conform(name, rows), expected)
    pd.testing.assert_frame_equal(conform(name, rows.astype(object)), expected)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_has_the_types_of_one_with_rows(name: str) -> None:
    pandera = TABLES[name].schema.validate(pd.DataFrame(columns=columns_of(name)), lazy=True)
    pd.testing.assert_frame_equal(empty(name), pandera)
    pd.testing.assert_frame_equal(conform(name, empty(name)), pandera)


@pytest.mark.parametrize("name", TABLES)
def test_each_value_that_is_not_allowed_is_named(name: str) -> None:
    wrong: dict[str, list[Any]] = {}
    for key, column in TABLES[name].columns.items():
        values: list[Any] = [] if column.ge is None else [column.ge - 1]
        values += [] if column.le is None else [column.le + 1]
        values += ["never allowed"] * (column.isin is not None or column.str_length is not None)
        values += [None] * (not column.nullable and column.dtype is not bool)
        values += ["no number"] * (column.dtype in (int, float, pd.Int64Dtype))
        wrong[key] = values
    for turn in range(max(map(len, wrong.values()))):
        rows, chosen = rows_of(name).astype(object), {key: one[turn] for key, one in wrong.items() if len(one) > turn}
        for key, value in chosen.items():
            rows.iloc[1, rows.columns.get_loc(key)] = value
        with pytest.raises(pandera.errors.SchemaErrors) as caught:
            conform(name, rows)
        named = caught.value.failure_cases
        assert set(named["column"].fillna(named["failure_case"])) == chosen.keys()


def test_a_row_that_is_there_twice_is_named() -> None:
    rows = rows_of("evaluation")
    with pytest.raises(ValueError, match="is not unique"):
        conform("evaluation", pd.concat([rows, rows]))
    assert np.isnan(conform("evaluation", rows)["value"].iloc[-1])
