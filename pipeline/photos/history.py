"""What became of each photo over time: first seen, last seen, changed, absent, forgotten."""

import pandas as pd

from pipeline.tables import columns_of

WATCHED = ["title", "tags", "license"]
"""Columns whose change is noted."""


def update_history(before: pd.DataFrame, listing: pd.DataFrame) -> pd.DataFrame:
    """The table `photo_history`, carried on from its state `before` by all of `photo_listing`.

    A photo that the newest listing of its month no longer has is `absent`; it stays in the history.
    """
    seen = listing.sort_values(["photo_id", "fetched_at_s"]).drop_duplicates("photo_id", keep="last").set_index("photo_id")
    old = before.set_index("photo_id")
    history = old.reindex(old.index.union(seen.index))
    known, now = history["first_seen_s"].notna(), history.index.isin(seen.index)
    times = seen["fetched_at_s"].reindex(history.index)
    changed = _changed(history, seen) & known & now
    relicensed = changed & ~_equal(history["license"], seen["license"].reindex(history.index))
    history["license_before"] = history["license_before"].where(~relicensed, history["license"])
    history["changed_s"] = history["changed_s"].where(~changed, times)
    history["first_seen_s"] = history["first_seen_s"].where(known, times)
    history["last_seen_s"] = times.where(now, history["last_seen_s"])
    for column in WATCHED:
        history[column] = seen[column].reindex(history.index).where(now, history[column])
    history["absent"] = ~now
    history["forgotten"] = history["forgotten"].eq(True)
    return history.rename_axis("photo_id").reset_index()[columns_of("photo_history")]


def _changed(history: pd.DataFrame, seen: pd.DataFrame) -> pd.Series:
    differs = [~_equal(history[column], seen[column].reindex(history.index)) for column in WATCHED]
    return pd.concat(differs, axis=1).any(axis=1)


def _equal(left: pd.Series, right: pd.Series) -> pd.Series:
    """Equal values, null being equal to null."""
    return left.eq(right).fillna(False).astype(bool) | (left.isna() & right.isna())
