"""What became of each photo over time: first and last seen, changed, absent, gone, forgotten.

- **absent**: the newest listing of the month in which it was last seen no longer has it. That alone says little: its
  owner may have changed tags or title, a limit may have pushed it out, the query may be another now.
- **gone**: absent from a listing made anew by the same configuration, *and then* refused by `flickr.photos.getInfo`:
  deleted or private. Each absent photo is asked about once for each re-listing, so many in a run as allowed; the
  others wait for the next run. Where the query or a limit was changed since it was last seen, nobody is asked.
- **stricter**: the licence now lacks a freedom that the licence gave under which it was first seen. A photo that a
  query for some licences no longer finds since it was relicensed is noticed by the same question.
- **forgotten**: purged on request; of the photo itself nothing is kept but its id.

`last_seen_s` is that of the newest listing when the history was last written. An unchanged re-listing does not write
it anew, since nothing is made from a table whose content is the same.
"""

from collections.abc import Hashable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.licenses import is_stricter, license_name
from pipeline.tables import among, columns_of, conform

WATCHED = ["title", "tags", "license"]
"""Columns whose change is noted."""
OF_LISTING = ["photo_id", "domain", "month", "fetched_at_s", *WATCHED]
"""Columns of `photo_listing` that the history is made from."""


@dataclass(frozen=True)
class Relisted:
    """The newest listing of a partition: the digest of the configuration it was made by, and when, in Unix seconds."""

    configuration: str
    listed_s: int


@dataclass(frozen=True)
class SourceAnswer:
    """What Flickr said of a single photo, and when: whether it is shown to the public, its licence id where told."""

    asked_s: int
    shown: bool
    license: str | None = None


def update_history(
    before: pd.DataFrame,
    listing: pd.DataFrame,
    listings: Mapping[str, Relisted],
    forgotten: Set[str],
) -> pd.DataFrame:
    """The table `photo_history`, carried on from its state `before` by all of `photo_listing`.

    `listings` holds the newest listing of every partition `domain|month`, the empty ones too; `forgotten` are the
    ids with a tombstone. A table of an older version, with fewer columns, is carried on as well.
    """
    seen = _newest(listing, listings)
    old = before.reindex(columns=columns_of("photo_history")).astype(object).set_index("photo_id")
    history = old.reindex(old.index.union(seen.index).union(sorted(forgotten)))
    told = {column: seen[column].reindex(history.index).astype(object) for column in seen}
    known, now = history["first_seen_s"].notna(), among(history.index.to_series(), seen.index)
    purged = among(history.index.to_series(), forgotten)
    differs = {column: ~_equal(history[column], told[column]) & known & now & ~purged for column in WATCHED}
    _note_change(history, differs, told["fetched_at_s"])
    history["first_seen_s"] = history["first_seen_s"].where(known, told["fetched_at_s"])
    for column in ("partition", "configuration", *WATCHED):
        history[column] = told[column].where(now, history[column])
    history["last_seen_s"] = told["fetched_at_s"].where(now, history["last_seen_s"])
    history["license_first"] = history["license_first"].where(history["license_first"].notna(), history["license"])
    history["absent"] = ~now
    for column in ("asked_s", "gone_s"):
        # What is listed again came back; a later absence is a new one.
        history[column] = history[column].where(~now, None)
    history["forgotten"] = purged
    history.loc[purged, ["title", "tags"]] = ""
    history[["first_seen_s", "last_seen_s"]] = history[["first_seen_s", "last_seen_s"]].fillna(0)
    return _finished(history.rename_axis("photo_id").reset_index())


def unasked(history: pd.DataFrame, listings: Mapping[str, Relisted]) -> pd.DataFrame:
    """The rows of absent photos about which Flickr is to be asked: first those that never were, the longest unseen."""
    absent = history[history["absent"] & history["gone_s"].isna() & ~history["forgotten"]]
    rows = zip(absent["partition"], absent["configuration"], absent["asked_s"].fillna(0), strict=True)
    is_open = [_is_open(listings.get(partition), configuration, asked) for partition, configuration, asked in rows]
    return absent[np.array(is_open, dtype=bool)].sort_values(["asked_s", "last_seen_s", "photo_id"], na_position="first")


def with_answers(history: pd.DataFrame, answers: Mapping[str, SourceAnswer]) -> pd.DataFrame:
    """The history with what Flickr said about absent photos, by photo id: `asked_s`, `gone_s` and the licence."""
    is_answered = among(history["photo_id"], answers)
    answered = history[is_answered]
    if answered.empty:
        return history
    rows = answered.astype(object).to_dict("records")
    for row in rows:
        answer = answers[str(row["photo_id"])]
        row["asked_s"] = answer.asked_s
        if not answer.shown:
            row["gone_s"] = answer.asked_s
        elif answer.license is not None and answer.license != row["license"]:
            row.update(license_before=row["license"], license=answer.license, changed="license", changed_s=answer.asked_s)
    told = _finished(pd.DataFrame(rows, columns=history.columns))
    return conform("photo_history", pd.concat([history[~is_answered], told]))


def _newest(listing: pd.DataFrame, listings: Mapping[str, Relisted]) -> pd.DataFrame:
    """One row a photo: that of the newest listing which has it."""
    seen = listing.sort_values(["photo_id", "fetched_at_s", "domain"]).drop_duplicates("photo_id", keep="last")
    seen = seen.set_index("photo_id")
    seen["partition"] = seen["domain"] + "|" + seen["month"]
    unknown = Relisted("", 0)
    seen["configuration"] = [listings.get(key, unknown).configuration for key in seen["partition"]]
    return seen[["partition", "configuration", "fetched_at_s", *WATCHED]]


def _note_change(history: pd.DataFrame, differs: Mapping[str, pd.Series], times: pd.Series) -> None:
    changed = pd.concat(differs, axis=1).any(axis=1)
    which = [" ".join(name for name, at in differs.items() if at[photo]) for photo in history.index[changed]]
    history.loc[changed, "changed"] = which
    history["changed_s"] = history["changed_s"].where(~changed, times)
    history["license_before"] = history["license_before"].where(~differs["license"], history["license"])


def _finished(history: pd.DataFrame) -> pd.DataFrame:
    licences = zip(history["license"], history["license_first"], strict=True)
    history["stricter"] = [is_stricter(_text(now), _text(first)) for now, first in licences]
    return conform("photo_history", history)


def _is_open(newest: Relisted | None, configuration: object, asked_s: int) -> bool:
    return newest is not None and newest.configuration == configuration and asked_s < newest.listed_s


def _text(value: Hashable) -> str | None:
    return value if isinstance(value, str) else None


def _equal(left: pd.Series, right: pd.Series) -> pd.Series:
    """Equal values, null being equal to null."""
    return left.eq(right).fillna(False).astype(bool) | (left.isna() & right.isna())


def history_counts(history: pd.DataFrame) -> dict[str, int]:
    """How many photos the history has, by what became of them; `absent` includes gone and forgotten ones."""
    kept = ~history["forgotten"]
    return {
        "listed": int((~history["absent"] & kept).sum()),
        "absent": int((history["absent"] & kept).sum()),
        "gone": int((history["gone_s"].notna() & kept).sum()),
        "changed": int((history["changed_s"].notna() & kept).sum()),
        "stricter_licence": int((history["stricter"] & kept).sum()),
        "forgotten": int(history["forgotten"].sum()),
    }


def gone_photos(history: pd.DataFrame) -> list[str]:
    """A line for each photo that is gone and not forgotten."""
    gone = history.loc[history["gone_s"].notna() & ~history["forgotten"], "photo_id"]
    return [f"{photo_id} was deleted or made private; `bokehflow forget --gone` purges it" for photo_id in gone]


def stricter_photos(history: pd.DataFrame) -> list[str]:
    """A line for each photo whose licence got stricter and that is not forgotten."""
    stricter = history[history["stricter"] & ~history["forgotten"]]
    rows = zip(stricter["photo_id"], stricter["license_first"], stricter["license"], strict=True)
    return [f"{photo_id} went from {license_name(first)} to {license_name(now)}" for photo_id, first, now in rows]
