"""Columns of texts, looked at in Arrow: whether rows stand in order, and in which they would.

Snapshots are frozen in the order of their keys, so that most of them need neither be sorted nor joined by these.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def texts_of(column: pd.Series) -> pa.LargeStringArray | None:
    """The column in one piece, what is unknown as null; None where anything in it is no text."""
    if not isinstance(column.dtype, pd.StringDtype) and pd.api.types.infer_dtype(column, skipna=True) not in (
        "string",
        "empty",
    ):
        return None
    found = pa.array(column, pa.large_string(), from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def is_ordered(keys: Sequence[pa.Array], strictly: bool = False) -> bool:
    """Whether rows stand in the order of these columns, by the first, then the second …; `strictly`: no two are equal.

    False where any is null.
    """
    if any(key.null_count for key in keys):
        return False
    before, after = ([key.slice(start, max(0, len(key) - 1)) for key in keys] for start in (0, 1))
    rises = pa.array(np.full(len(before[0]), not strictly))
    for left, right in reversed(list(zip(before, after, strict=True))):
        same = pc.call_function("and", [pc.call_function("equal", [left, right]), rises])
        rises = pc.call_function("or", [pc.call_function("less", [left, right]), same])
    return rises.true_count == len(rises)


def order_of(keys: Sequence[pa.Array]) -> pa.Array:
    """The rows in the order of these columns, equal ones as they stand."""
    names = [str(number) for number in range(len(keys))]
    table = pa.table(list(keys), names)
    return pc.call_function("sort_indices", [table], pc.SortOptions([(name, "ascending") for name in names]))


def in_order(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """`frame.sort_values(keys, ignore_index=True)`, a copy; rows that stand in order already are not compared again."""
    found = [texts for name in keys if (texts := texts_of(frame[name])) is not None]
    if len(found) == len(keys) and is_ordered(found):
        return frame.reset_index(drop=True)
    return frame.sort_values(list(keys), ignore_index=True)


def have_same_keys(left: pd.DataFrame, right: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether both have the same rows by these columns, none twice, in the order of these; then nothing need be joined."""
    if len(left) != len(right):
        return False
    of_left, of_right = ([texts for name in keys if (texts := texts_of(one[name])) is not None] for one in (left, right))
    alike = len(of_left) == len(of_right) == len(keys) and is_ordered(of_left, strictly=True)
    return alike and all(one.equals(other) for one, other in zip(of_left, of_right, strict=True))


def places_in(values: pd.Series, asked: pd.Series) -> np.ndarray:
    """For each text asked for the first row of `values` that has it, int64; −1 for none, and for what is unknown."""
    known, wanted = (pa.array(column, pa.large_string(), from_pandas=True) for column in (values, asked))
    options = pc.SetLookupOptions(known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known, skip_nulls=True)
    return pc.call_function("index_in", [wanted], options).fill_null(-1).to_numpy().astype(np.int64)
