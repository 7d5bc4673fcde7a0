"""Which masks of the table `person_masks` cannot be trusted."""

import math

import numpy as np
import pandas as pd
import pyarrow as arrow
from pyarrow import compute

UNCERTAIN = 0.25
"""From this chance of being wrong on, a person should look at a mask."""


def uncertain(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `person_masks` whose mask cannot be trusted."""
    if "uncertainty" not in table:  # of an earlier version
        return table.assign(uncertainty=math.nan).head(0)
    return table[table["mask"].notna() & (table["uncertainty"].fillna(0.0) >= UNCERTAIN)]


def uncertainties(table: pd.DataFrame, pictures: pd.Series) -> np.ndarray:
    """For each picture's SHA-256 its uncertainty in `person_masks`, float64; NaN where that knows none."""
    known = table.dropna(subset="uncertainty").drop_duplicates("sha256", keep="last")
    wanted = arrow.array(known["sha256"].astype("str")).cast(arrow.large_string())
    asked = arrow.array(pictures.astype("str")).cast(arrow.large_string())
    found = compute.call_function("index_in", [asked], compute.SetLookupOptions(_whole(wanted), skip_nulls=True))
    return np.append(known["uncertainty"].to_numpy(float), math.nan)[found.fill_null(-1).to_numpy()]


def _whole(column: arrow.Array | arrow.ChunkedArray) -> arrow.Array:
    return column.combine_chunks() if isinstance(column, arrow.ChunkedArray) else column
