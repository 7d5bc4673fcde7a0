"""The queue in memory: the tables `review_queue` and `unique_photos`, in the order in which to review.

Both are read again when they change on the disk, so that a re-scrape's new batch or a new order appear while the page
is open. A photo's place is its row in this order; between two readings only its id stays.
"""

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.curation.curate import one_per_photo
from pipeline.hint_table import HINTS, JUDGEMENTS, MASK_UNCERTAINTY, NUMBERS

UNCERTAINTY = "mask_uncertainty"
FILTERABLE = {**{name: HINTS[name] for name in NUMBERS}, **JUDGEMENTS, UNCERTAINTY: MASK_UNCERTAINTY}
"""Columns of numbers that a person may filter by; null is NaN."""
TEXTS = (
    "photo_id", "domain", "batch", "sha256", "thumbnail", "page_url", "title", "owner", "owner_name", "license", "tags",
    "camera", "software", "suggested_decision", "suggested_reason", "suggestion",
)  # fmt: skip
QUEUE_COLUMNS = [*TEXTS, *NUMBERS, *JUDGEMENTS, "width_px", "height_px", "waiting", "position"]
UNIQUE_COLUMNS = ["photo_id", "domain", "sha256", "width_px", "height_px", "group", "rule", "split_key"]

ReadTable = Callable[[list[str]], pd.DataFrame]
"""Reads the named columns of a table; without rows where there is no table yet."""


@dataclass(frozen=True)
class Tables:
    """Where the page reads from: the tables' paths, whose change it notices, and functions that read them."""

    queue_path: Path
    unique_path: Path
    masks_path: Path
    read_queue: ReadTable
    read_unique: ReadTable
    uncertainties: Callable[[], Mapping[str, float]]
    """The chance that its mask is wrong, by a picture's SHA-256, of all pictures that have one."""

    def version(self) -> str:
        """Changes whenever one of the tables does."""
        return " ".join(map(_file_version, (self.queue_path, self.unique_path, self.masks_path)))


@dataclass(frozen=True)
class Duplicate:
    """Another photo of the same group; `rule` is why it went, None for the one that is kept."""

    photo_id: str
    domain: str
    sha256: str
    width_px: int
    height_px: int
    rule: str | None


@dataclass(frozen=True)
class CatalogPhoto:
    """One photo of the queue; unknown hints are NaN, unknown texts empty. `place` counts from 0."""

    place: int
    photo_id: str
    domain: str
    batch: str
    sha256: str
    thumbnail: str
    page_url: str
    title: str
    owner: str
    owner_name: str
    license: str
    tags: str
    camera: str
    software: str
    suggested_decision: str
    suggested_reason: str
    suggestion: str
    width_px: int
    height_px: int
    hints: Mapping[str, float]


class Catalog:
    """The queue as last read. Not safe for several threads at once: the state holds the lock."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.group = np.empty(0, np.int64)
        """For each place the number of the photo's group; -1: it was purged, or a rule dropped the whole group."""
        self.group_count = 0
        self.waiting = np.empty(0, bool)
        """For each place whether it waited for a person when the queue was written."""
        self.codes: dict[str, tuple[np.ndarray, list[str]]] = {}
        """For `domain`, `batch` and `suggested_decision`: numbers for each place, and what they stand for."""
        self._version: str | None = None
        self._queue = pd.DataFrame(columns=QUEUE_COLUMNS)
        self._unique = pd.DataFrame(columns=UNIQUE_COLUMNS)
        self._place_of: dict[str, int] = {}
        self._row_of: dict[str, int] = {}
        self._group_of: dict[str, int] = {}
        self._members: dict[int, list[str]] = {}
        self._thumbnails: dict[str, str] = {}
        self._digests: set[str] = set()
        self.known_ids: set[str] = set()
        """Every photo that is queued or among the unique photos."""
        self.split_keys: list[str] = []
        """For each group."""

    def __len__(self) -> int:
        return len(self._queue)

    def refresh(self) -> bool:
        """Read the tables again where they have changed; whether they had."""
        version = self.tables.version()
        if version == self._version:
            return False
        self._take_unique(self.tables.read_unique(UNIQUE_COLUMNS))
        self._take_queue(self.tables.read_queue(QUEUE_COLUMNS))
        self.known_ids = {*self._place_of, *self._row_of}
        self._version = version
        return True

    def place(self, photo_id: str) -> int | None:
        """Where the photo stands in the queue; None for one that is not in it or may not be shown."""
        place = self._place_of.get(photo_id)
        return None if place is None or self.group[place] < 0 else place

    def photo_id(self, place: int) -> str:
        """The id of the photo at this place."""
        return str(self._queue["photo_id"].iloc[place])

    def group_of(self, photo_id: str) -> int:
        """Number of the photo's group; -1 where it has none."""
        return self._group_of.get(photo_id, -1)

    def may_show(self, sha256: str) -> bool:
        """Whether this is the content of a photo that is still there; what was purged is not."""
        return sha256 in self._digests

    def thumbnail(self, sha256: str) -> str:
        """Path of the picture's thumbnail as the queue names it, below the folder of thumbnails; empty for none."""
        return self._thumbnails.get(sha256, "")

    def hint(self, name: str) -> np.ndarray:
        """One of `FILTERABLE` for each place, float; NaN where unknown."""
        return self._queue[name].to_numpy(float, na_value=np.nan)

    def photos(self, places: Iterable[int]) -> list[CatalogPhoto]:
        """The photos at these places."""
        chosen = list(places)
        rows = self._queue.iloc[chosen].to_dict("records")
        return [_photo(place, row) for place, row in zip(chosen, rows, strict=True)]

    def duplicates(self, photo_id: str) -> list[Duplicate]:
        """The other photos of its group."""
        others = [other for other in self._members.get(self.group_of(photo_id), []) if other != photo_id]
        rows = self._unique.iloc[[self._row_of[other] for other in others]].to_dict("records")
        return [
            Duplicate(
                str(row["photo_id"]), str(row["domain"]), str(row["sha256"]), int(row["width_px"]), int(row["height_px"]),
                row["rule"] if isinstance(row["rule"], str) else None,
            )
            for row in rows
        ]  # fmt: skip

    def members(self, photo_id: str) -> list[str]:
        """All photo ids of its group, itself included."""
        return self._members.get(self.group_of(photo_id), [photo_id])

    def _take_unique(self, unique: pd.DataFrame) -> None:
        self._unique = one_per_photo(unique).reset_index(drop=True)
        ids = self._unique["photo_id"].tolist()
        self._row_of = {photo_id: row for row, photo_id in enumerate(ids)}
        self._digests = set(unique["sha256"])
        numbers = pd.factorize(self._unique["group"])[0].astype(np.int64)
        self.group_count = int(numbers.max(initial=-1)) + 1
        self.split_keys = self._unique.loc[~self._unique.duplicated("group"), "split_key"].tolist()
        has_kept = np.isin(numbers, numbers[self._unique["rule"].isna().to_numpy(bool)])
        self._group_of = dict(zip(ids, np.where(has_kept, numbers, -1).tolist(), strict=True))
        self._members = {}
        for row in np.flatnonzero(self._unique.duplicated("group", keep=False).to_numpy() & has_kept):
            self._members.setdefault(int(numbers[row]), []).append(ids[row])

    def _take_queue(self, queue: pd.DataFrame) -> None:
        ordered = queue.sort_values(["position", "photo_id"]).drop_duplicates("photo_id", ignore_index=True)
        uncertain = ordered["sha256"].map(dict(self.tables.uncertainties())).astype(float)
        texts = {name: ordered[name].astype("str").fillna("") for name in TEXTS}
        self._queue = ordered.assign(**texts, **{UNCERTAINTY: uncertain})
        self._place_of = {photo_id: place for place, photo_id in enumerate(self._queue["photo_id"])}
        self.group = np.array([self._group_of.get(photo_id, -1) for photo_id in self._queue["photo_id"]], np.int64)
        self.waiting = self._queue["waiting"].to_numpy(bool)
        self._thumbnails = dict(zip(self._queue["sha256"], self._queue["thumbnail"], strict=True))
        self.codes = {}
        for name in ("domain", "batch", "suggested_decision"):
            numbers, values = pd.factorize(self._queue[name], sort=True)
            self.codes[name] = numbers, [str(value) for value in values]


def _photo(place: int, row: Mapping[Hashable, Any]) -> CatalogPhoto:
    texts = {name: str(row[name]) for name in TEXTS}
    hints = {name: float("nan") if pd.isna(row[name]) else float(row[name]) for name in FILTERABLE}
    size = {name: int(row[name]) for name in ("width_px", "height_px")}
    return CatalogPhoto(place=place, hints=hints, **texts, **size)  # pyright: ignore[reportArgumentType]


def _file_version(path: Path) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
