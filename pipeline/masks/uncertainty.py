"""Which masks of the table `person_masks` cannot be trusted."""

import math

import pandas as pd

UNCERTAIN = 0.25
"""From this chance of being wrong on, a person should look at a mask."""


def uncertain(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `person_masks` whose mask cannot be trusted."""
    if "uncertainty" not in table:  # of an earlier version
        return table.assign(uncertainty=math.nan).head(0)
    return table[table["mask"].notna() & (table["uncertainty"].fillna(0.0) >= UNCERTAIN)]


def uncertainties(table: pd.DataFrame) -> dict[str, float]:
    """By a picture's SHA-256, of those in `person_masks` whose uncertainty is known."""
    known = table.dropna(subset="uncertainty") if "uncertainty" in table else table.assign(uncertainty=math.nan).head(0)
    return dict(zip(known["sha256"], known["uncertainty"], strict=True))
