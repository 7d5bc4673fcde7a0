"""Whether values are among others, as pandas tells it, and how: its own way takes eight millionths of a second for each."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.tables import among

ROOT = Path(__file__).parents[2]
NAMES = pd.Series(["b", None, "a", "c", "a"], index=[7, 3, 3, 0, 1], dtype="str")


@pytest.mark.parametrize(
    "values",
    [
        ["a", "z"],
        {"a": 1, "c": 2},
        {"a", "b"},
        pd.Series(["c", "a"], dtype="str"),
        pd.Series(["c", "a"], dtype=object),
        pd.Index(["a"]),
        (letter for letter in "ab"),
        np.array(["a", "b"], dtype=object),
    ],
)
def test_it_is_what_isin_tells(values: object) -> None:
    values = list(values)
    pd.testing.assert_series_equal(among(NAMES, values), NAMES.isin(values), check_names=False)
    pd.testing.assert_series_equal(among(NAMES.astype(object), values), NAMES.astype(object).isin(values), check_names=False)


@pytest.mark.parametrize("values", [[], set(), pd.Series([], dtype="str"), pd.Series([], dtype=object), [None], [np.nan]])
def test_nothing_is_among_nothing_and_the_unknown_among_no_values(values: object) -> None:
    assert not among(NAMES, values).any()


def test_joined_parts_are_asked_like_one_column() -> None:
    joined = pd.concat([NAMES, NAMES], ignore_index=True)
    assert among(joined, joined.head(1)).tolist() == [True, False, False, False, False] * 2


def test_numbers_are_asked_by_pandas() -> None:
    assert among(pd.Series([1.5, 2.5]), pd.Series([2.5])).tolist() == [False, True]


def test_no_column_is_asked_otherwise() -> None:
    """`isin` of NumPy and of keys of several columns is another; `tables` has what it is instead of."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("pipeline", "assets", "resources", "storage")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "isin"
        if ast.unparse(node.func.value) != "np" and "MultiIndex" not in ast.unparse(node.func.value)
    ]
    assert {place.partition(":")[0] for place in found} == {"pipeline/tables.py"}
