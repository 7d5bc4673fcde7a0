"""Photos of a home that were forgotten: the rows that stay of them, and how far their purge is."""

from storage import Home


def forgotten_photos(home: Home) -> set[str]:
    """Ids with a tombstone: purged on request and never to be fetched again."""
    return set(home.tables.read_or_empty("tombstones", columns=["photo_id"])["photo_id"])


def unpurged(home: Home) -> list[str]:
    """Photo ids with a tombstone whose purge is not complete: in the home, or on this machine alone."""
    tombstones = home.tables.read_or_empty("tombstones", columns=["photo_id", "purged_s"])
    elsewhere = home.working.to_forget() if home.working else set()
    return sorted({*tombstones.loc[tombstones["purged_s"].isna(), "photo_id"], *elsewhere})
