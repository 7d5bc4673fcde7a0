"""The queue in memory: the tables `review_queue` and `unique_photos`, in the order in which to review.

Both are read again when they change on the disk, so that a re-scrape's new batch or a new order appear while the page
is open. A photo's place is its row in this order; between two readings only its id stays.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as arrow
from pyarrow import compute

from pipeline.curation.curate import one_per_photo
from pipeline.hint_table import HINTS, JUDGEMENTS, MASK_UNCERTAINTY, NUMBERS
from pipeline.photo_ids import written_id

UNCERTAINTY = "mask_uncertainty"
FILTERABLE = {**{name: HINTS[name] for name in NUMBERS}, **JUDGEMENTS, UNCERTAINTY: MASK_UNCERTAINTY}
"""Columns of numbers that a person may filter by; null is NaN."""
TEXTS = (
    "photo_id", "domain", "batch", "sha256", "thumbnail", "page_url", "title", "owner", "owner_name", "license", "tags",
    "camera", "software", "suggested_decision", "suggested_reason", "suggestion",
)  # fmt: skip
SIZES = ("width_px", "height_px")
QUEUE_COLUMNS = [*TEXTS, *NUMBERS, *JUDGEMENTS, *SIZES, "waiting", "position"]
UNIQUE_COLUMNS = ["photo_id", "domain", "sha256", *SIZES, "group", "rule", "split_key"]

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
    uncertainties: Callable[[pd.Series], np.ndarray]
    """For each picture's SHA-256 the chance that its mask is wrong, NaN where it has none."""

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


class Buckets:
    """Which rows bear each number: `numbers` of the rows, 0 … `count` − 1, or -1 for none."""

    def __init__(self, numbers: np.ndarray, count: int) -> None:
        self._rows = np.argsort(numbers, kind="stable")
        self._starts = np.searchsorted(numbers[self._rows], np.arange(count + 1))

    def of(self, number: int) -> list[int]:
        """The rows of a number in order; none for -1."""
        return [] if number < 0 else self._rows[self._starts[number] : self._starts[number + 1]].tolist()

    def of_all(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of several numbers, none of them -1, and for each row at which of `numbers` it stands."""
        starts, lengths = self._starts[numbers], self._starts[numbers + 1] - self._starts[numbers]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._rows[np.repeat(starts, lengths) + within], np.repeat(np.arange(len(numbers)), lengths)


class Catalog:
    """The queue as last read. Not safe for several threads at once: the state holds the lock.

    Texts stay in Arrow's columns, as they were read; what is asked of all photos is numbers, and a dictionary finds a photo.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.group = np.empty(0, np.int64)
        """For each place the number of the photo's group; -1: it was purged, or a rule dropped the whole group."""
        self.group_count = 0
        self.by_rule = np.empty(0, bool)
        """For each group whether it waited for nobody when the queue was written."""
        self.codes: dict[str, tuple[np.ndarray, list[str]]] = {}
        """For `domain`, `batch` and `suggested_decision`: numbers for each place, and what they stand for."""
        self.hints: dict[str, np.ndarray] = {}
        """Each of `FILTERABLE` for each place, float; NaN where unknown."""
        self._version: str | None = None
        self._queue: dict[str, arrow.Array] = {}
        self._queue_row = np.empty(0, np.int64)
        """For each place its row of `_queue`."""
        self._unique: dict[str, arrow.Array] = {}
        self._row_of: dict[str, int] = {}
        """Photo id → row of `_unique`, -1 where it is queued and not among them."""
        self._group_of_row = self._place_of_row = np.full(1, -1)
        """-1 where it has none; at the end likewise, for those of row -1."""
        self._members: dict[int, list[int]] = {}
        """Group → its rows, of those that have several."""
        self._split_key: arrow.Array = arrow.nulls(1, arrow.large_string())
        """Of each group; null at the end, for none."""
        self._places_of_group = Buckets(np.empty(0, np.int64), 0)
        self._pictures: dict[str, int] = {}
        """SHA-256 of each picture that is still there → its row of `_place_of_picture`."""
        self._place_of_picture = np.empty(0, np.int64)
        """The last place that has it; -1 where none has."""

    def refresh(self) -> bool:
        """Read the tables again where they have changed; whether they had."""
        version = self.tables.version()
        if version == self._version:
            return False
        self._take_unique(self.tables.read_unique(UNIQUE_COLUMNS))
        self._take_queue(self.tables.read_queue(QUEUE_COLUMNS))
        self._version = version
        return True

    @property
    def known_ids(self) -> Set[str]:
        """Every photo that is queued or among the unique photos."""
        return self._row_of.keys()

    def place(self, photo_id: str) -> int | None:
        """Where the photo stands in the queue; None for one that is not in it or may not be shown."""
        row = self._row_of.get(photo_id, -1)
        is_shown = self._place_of_row[row] >= 0 and self._group_of_row[row] >= 0
        return int(self._place_of_row[row]) if is_shown else None

    def find(self, written: str) -> str | None:
        """The photo that a person means: by its id or address, its number in the queue, or its whole title."""
        if self.place(found := written_id(written)) is not None:
            return found
        number = written.replace(",", "")
        if number.isascii() and number.isdigit() and len(number) < 10:
            places = np.array([int(number) - 1])
        else:
            sought = " ".join(written.split())  # as the page shows titles
            is_it = [title is not None and " ".join(title.split()) == sought for title in self._queue["title"].to_pylist()]
            places = np.flatnonzero(np.array(is_it, bool)[self._queue_row])
        places = places[(places >= 0) & (places < len(self.group))]
        places = places[self.group[places] >= 0]
        return self.photo_id(places[0]) if len(places) else None

    def photo_id(self, place: int) -> str:
        """The id of the photo at this place."""
        return self._queue["photo_id"][int(self._queue_row[place])].as_py()

    def group_of(self, photo_id: str) -> int:
        """Number of the photo's group; -1 where it has none."""
        return int(self._group_of_row[self._row_of.get(photo_id, -1)])

    def groups_of(self, photo_ids: Iterable[str]) -> np.ndarray:
        """Likewise of many photos."""
        return self._group_of_row[[self._row_of.get(photo_id, -1) for photo_id in photo_ids]]

    def places_of(self, group: int) -> list[int]:
        """Where the photos of a group stand in the queue."""
        return self._places_of_group.of(group)

    def places_of_all(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Likewise of several groups; and for each place at which of `groups` its group stands."""
        return self._places_of_group.of_all(groups)

    def numbered(self, column: str, value: str) -> tuple[np.ndarray, int]:
        """One of `codes` for each place, and the number that stands for the value; none has it where there is no such."""
        numbers, names = self.codes.get(column, (np.empty(0, np.int64), []))
        return numbers, names.index(value) if value in names else -2

    def split_keys(self, groups: np.ndarray) -> list[str | None]:
        """By which each group's photos go to one side of the split; None for -1."""
        return self._split_key.take(arrow.array(groups % len(self._split_key))).to_pylist()

    def may_show(self, sha256: str) -> bool:
        """Whether this is the content of a photo that is still there; what was purged is not."""
        return sha256 in self._pictures

    def thumbnail(self, sha256: str) -> str:
        """Path of the picture's thumbnail as the queue names it, below the folder of thumbnails; empty for none."""
        place = self._place_of_picture[self._pictures[sha256]] if sha256 in self._pictures else -1
        return (self._queue["thumbnail"][int(self._queue_row[place])].as_py() or "") if place >= 0 else ""

    def photos(self, places: Iterable[int]) -> list[CatalogPhoto]:
        """The photos at these places."""
        chosen = [int(place) for place in places]
        rows = _rows(self._queue, self._queue_row[np.array(chosen, np.int64)])
        hints = [{name: float(values[place]) for name, values in self.hints.items()} for place in chosen]
        return [_photo(place, row, own) for place, row, own in zip(chosen, rows, hints, strict=True)]

    def duplicates(self, photo_id: str) -> list[Duplicate]:
        """The other photos of its group."""
        rows = _rows(self._unique, np.array(self._members.get(self.group_of(photo_id), []), np.int64))
        return [
            Duplicate(*(row[name] for name in ("photo_id", "domain", "sha256", "width_px", "height_px", "rule")))
            for row in rows
            if row["photo_id"] != photo_id
        ]

    def members(self, photo_id: str) -> list[str]:
        """All photo ids of its group, itself included."""
        return self.members_of(self.group_of(photo_id)) or [photo_id]

    def members_of(self, group: int) -> list[str]:
        """The photo ids of a group that has several; none of another."""
        rows = self._members.get(group)
        return [self._unique["photo_id"][row].as_py() for row in rows] if rows else []

    def _take_unique(self, unique: pd.DataFrame) -> None:
        photos = one_per_photo(unique).reset_index(drop=True)
        self._unique = {name: _array(photos[name]) for name in UNIQUE_COLUMNS}
        self._row_of = {photo_id: row for row, photo_id in enumerate(self._unique["photo_id"].to_pylist())}
        numbers = pd.factorize(photos["group"])[0].astype(np.int64)
        self.group_count = int(numbers.max(initial=-1)) + 1
        has_kept = np.zeros(self.group_count, bool)
        has_kept[numbers[photos["rule"].isna().to_numpy(bool)]] = True
        self._group_of_row = np.append(np.where(has_kept[numbers], numbers, -1), -1)
        first_rows = arrow.array(np.flatnonzero(~photos.duplicated("group").to_numpy()))
        split_key = self._unique.pop("split_key").take(first_rows)
        self._split_key = arrow.concat_arrays([split_key, arrow.nulls(1, split_key.type)])
        self._members = {}
        for row in np.flatnonzero((np.bincount(numbers, minlength=1)[numbers] > 1) & has_kept[numbers]).tolist():
            self._members.setdefault(int(numbers[row]), []).append(row)
        digests = _array(unique["sha256"]).unique().to_pylist()
        self._pictures = dict(zip(digests, range(len(digests)), strict=True))

    def _take_queue(self, queue: pd.DataFrame) -> None:
        self._queue = {name: _array(queue[name]) for name in (*TEXTS, *SIZES)}
        rows = np.argsort(queue["position"].to_numpy(np.int64), kind="stable")
        unique_row = _row_in(self._unique["photo_id"], self._queue["photo_id"])
        gone = self._queue["photo_id"].filter(arrow.array(unique_row < 0))
        self._row_of.update(dict.fromkeys(gone.to_pylist(), -1))
        unique_row = unique_row[rows]
        found, first = np.unique(unique_row, return_index=True)
        found, first = found[found >= 0], first[found >= 0]
        self._place_of_row = np.full(len(self._group_of_row), -1)
        self._place_of_row[found] = first
        self._queue_row, self.group = rows, np.full(len(rows), -1)
        self.group[first] = self._group_of_row[found]
        self._places_of_group = Buckets(self.group, self.group_count)
        self.by_rule = np.zeros(self.group_count, bool)
        self.by_rule[self.group[~queue["waiting"].to_numpy(bool)[rows] & (self.group >= 0)]] = True
        picture = _row_in(arrow.array(self._pictures, self._queue["sha256"].type), self._queue["sha256"])[rows]
        self._place_of_picture = np.full(len(self._pictures), -1)
        self._place_of_picture[picture[picture >= 0]] = np.flatnonzero(picture >= 0)
        numbers = {name: queue[name].to_numpy(float, na_value=np.nan)[rows] for name in (*NUMBERS, *JUDGEMENTS)}
        self.hints = {**numbers, UNCERTAINTY: self.tables.uncertainties(queue["sha256"])[rows]}
        self.codes = {}
        for name in ("domain", "batch", "suggested_decision"):
            codes, values = pd.factorize(queue[name].astype("str").fillna(""), sort=True)
            self.codes[name] = codes[rows], [str(value) for value in values]


def _array(column: pd.Series) -> arrow.Array:
    """A column of texts or whole numbers in one piece; what is unknown is null."""
    known = arrow.array(column if column.dtype.kind == "i" else column.astype("str"))
    return known.combine_chunks() if isinstance(known, arrow.ChunkedArray) else known


def _row_in(values: arrow.Array, asked: arrow.Array) -> np.ndarray:
    """For each of the texts asked for the first row of `values` that has it; -1 for none."""
    options = compute.SetLookupOptions(values.cast(asked.type), skip_nulls=True)
    return compute.call_function("index_in", [asked], options).fill_null(-1).to_numpy().astype(np.int64)


def _rows(columns: Mapping[str, arrow.Array], rows: np.ndarray) -> list[dict[str, Any]]:
    """The values in these rows."""
    return arrow.table({name: column.take(arrow.array(rows)) for name, column in columns.items()}).to_pylist()


def _photo(place: int, row: Mapping[str, Any], hints: Mapping[str, float]) -> CatalogPhoto:
    return CatalogPhoto(
        place=place, hints=hints, **{name: row[name] or "" for name in TEXTS}, **{name: row[name] for name in SIZES}
    )


def _file_version(path: Path) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
