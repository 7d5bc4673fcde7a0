"""The queue: immutable CSV batches of photos that nobody has decided yet, with thumbnails and hints.

    review/queue/batch-0001-DOMAIN-1a2b3c4d.csv    `COLUMNS`; for people and spreadsheets; never changed
    tables/review_queue                            the same photos as `pipeline.tables.ReviewQueue` describes them, with
                                                   what changes: who waits, the order, suggestion and probability
    tables/photo_hints                             the hints of each picture by its SHA-256
    thumbnails/ab/abcd….jpg                        `THUMBNAIL_EDGE_PX` at most

The review page reads the table, not the batches: it holds everything, without apostrophes before what looks like a
formula. Groups of duplicates and their members stand in `unique_photos`.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.atomic import atomic_path
from pipeline.config import CurationSection
from pipeline.counted import counted
from pipeline.curation.curate import one_per_photo
from pipeline.curation.ranking import Ranking
from pipeline.curation.suggestions import suggest
from pipeline.file_names import child
from pipeline.hint_table import HINTS, JUDGEMENTS
from pipeline.licenses import license_name
from pipeline.photo_ids import written_id
from pipeline.plain_files import open_plain
from pipeline.spreadsheet import harmless_table, read_rows
from pipeline.tables import among, columns_of

THUMBNAIL_EDGE_PX = 320
CURATOR_COLUMNS = ("decision", "reason", "move_to", "curator", "note")
COLUMNS = [
    "photo_id", "domain", "thumbnail", "page_url", "title", "owner", "license", "tags", *HINTS,
    "suggested_decision", "suggested_reason", "suggestion", *JUDGEMENTS, *CURATOR_COLUMNS,
]  # fmt: skip
"""Columns of a batch; the last five are empty, for the curator."""

ORIGIN_COLUMNS = ("page_url", "title", "owner", "owner_name", "license", "tags")
LIKELY, UNLIKELY = 0.8, 0.2
"""Probabilities of being kept from which on, and up to which, a photo is quickly decided."""

ReadPhoto = Callable[[str], np.ndarray]
"""From a blob's SHA-256 to RGB uint8 `[height, width, 3]`."""


@dataclass(frozen=True)
class QueueFolders:
    """Where the batches and the thumbnails lie."""

    batches: Path
    thumbnails: Path


@dataclass(frozen=True)
class QueueInputs:
    """The tables that say what there is to review; `hints` has at least the pictures of the new photos."""

    unique: pd.DataFrame
    listing: pd.DataFrame
    hints: pd.DataFrame
    fingerprints: pd.DataFrame
    shown_titles: Callable[[pd.DataFrame], pd.Series] = lambda photos: photos["title"]
    """For people, of rows with `photo_id` and `title`: what a batch calls them."""


def queue_photos(
    inputs: QueueInputs,
    queued: pd.DataFrame,
    decided_groups: Set[str],
    forgotten: Set[str],
    folders: QueueFolders,
    settings: CurationSection,
    ranking: Ranking | None = None,
) -> pd.DataFrame:
    """Write batches of what is new; returns the table `review_queue`, old rows and new, in order of review.

    New photos are those kept of groups none of whose members was decided or shown before. `queued` is that table as
    it was; batches on disk that it does not know, of a run that was killed, are taken up as they are. Rows of
    `forgotten` photos go. `ranking` gives the probabilities.
    """
    unique, listing, hints, fingerprints = inputs.unique, inputs.listing, inputs.hints, inputs.fingerprints
    shown_titles = inputs.shown_titles
    kept = unique[unique["rule"].isna()]
    batch_of = _known_batches(queued, folders.batches)
    shown_groups = unique.loc[among(unique["photo_id"], batch_of), "group"]
    is_open = ~among(kept["group"], shown_groups) & ~among(kept["group"], decided_groups)
    fresh = kept[is_open & ~among(kept["photo_id"], batch_of)]
    table = pd.concat(
        [
            _known_rows(queued, unique, listing, batch_of, hints),
            _described(fresh, listing, hints),
        ],
        ignore_index=True,
    )
    del inputs, listing, hints  # of a million photos a gigabyte
    table = table[~among(table["photo_id"], forgotten)].reset_index(drop=True)
    table["waiting"] = among(table["group"], kept["group"]) & ~among(table["group"], decided_groups)
    table = _in_order(_judged(table, fingerprints, settings, ranking))
    numbers = [int(found.group(1)) for name in batch_of.values() if (found := re.match(r"batch-(\d+)-", name))]
    for name, rows in _new_batches(table[table["batch"].isna()], settings.batch_size, max(numbers, default=0) + 1):
        _write_batch(rows.assign(title=shown_titles(rows)), child(folders.batches, name))
        table.loc[rows.index, "batch"] = name
    return table.reindex(columns=columns_of("review_queue"))


def thumbnail_name(sha256: str) -> str:
    """A picture's thumbnail below the folder of thumbnails."""
    return f"{sha256[:2]}/{sha256}.jpg"


def thumbnail(rgb: np.ndarray) -> bytes:
    """A JPEG of RGB uint8 [height, width, 3], at most `THUMBNAIL_EDGE_PX` long."""
    from pipeline.resampling import resize

    scale = min(1.0, THUMBNAIL_EDGE_PX / max(rgb.shape))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    buffer = io.BytesIO()
    Image.fromarray(resize(rgb, size, Image.Resampling.LANCZOS)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def filled_in_place(folder: Path) -> list[str]:
    """A message for each batch that somebody has filled in where it lies, where nothing reads it."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        filled = 0 if _is_as_written(path) else sum(bool(row.get("decision")) for row in read_rows(path))
        if filled:
            found.append(
                f"{path.name}: {counted(filled, 'row')} decided in the queue's own folder; copy the file to review/reviewed/"
            )
    return found


def _is_as_written(path: Path) -> bool:
    """Whether a batch is as `_write_batch` leaves them, as far as decisions go: read without patience, which is quick."""
    try:
        with open_plain(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            at = COLUMNS.index("decision")
            return next(rows, None) == COLUMNS and all(len(row) == len(COLUMNS) and not row[at] for row in rows)
    except (OSError, ValueError, csv.Error):
        return False


def _known_batches(queued: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Photo id -> batch, by the table and by the files on disk that it does not name."""
    batch_of = dict(zip(queued["photo_id"].tolist(), queued["batch"].tolist(), strict=True))
    named = set(batch_of.values())
    for path in sorted(folder.glob("batch-*.csv")):
        if path.name not in named:
            for row in read_rows(path):
                batch_of.setdefault(written_id(row.get("photo_id", "")), path.name)
    return batch_of


def _known_rows(
    queued: pd.DataFrame,
    unique: pd.DataFrame,
    listing: pd.DataFrame,
    batch_of: Mapping[str, str],
    hints: pd.DataFrame,
) -> pd.DataFrame:
    """What has been shown: with the hints of now where there are any, else as it was."""
    here = one_per_photo(unique[among(unique["photo_id"], batch_of)])
    again = _described(here[among(here["sha256"], hints["sha256"])], listing, hints)
    again["batch"] = again["photo_id"].map(batch_of)
    gone = queued[~among(queued["photo_id"], again["photo_id"])].copy()
    gone["group"] = gone["photo_id"].map(dict(zip(here["photo_id"].tolist(), here["group"].tolist(), strict=True)))
    return pd.concat([frame for frame in (again, gone) if len(frame)] or [again], ignore_index=True)


def _described(photos: pd.DataFrame, listing: pd.DataFrame, hints: pd.DataFrame) -> pd.DataFrame:
    """Rows of `unique_photos` with what their owners wrote and what was measured."""
    origin = listing.drop_duplicates("photo_id").set_index("photo_id")[list(ORIGIN_COLUMNS)]
    table = photos[["photo_id", "domain", "group", "sha256", "width_px", "height_px"]].join(origin, on="photo_id")
    table = table.merge(hints.drop(columns="measured_by"), on="sha256", how="inner")
    table["license"] = [license_name(value if isinstance(value, str) else None) for value in table["license"].tolist()]
    for name in ("page_url", "title", "owner", "tags"):
        table[name] = table[name].astype("str").fillna("")
    thumbnails = pd.Series([thumbnail_name(name) for name in table["sha256"].tolist()], table.index, "str")
    return table.assign(thumbnail=thumbnails, batch=None)


def _judged(
    table: pd.DataFrame, fingerprints: pd.DataFrame, settings: CurationSection, ranking: Ranking | None
) -> pd.DataFrame:
    """With suggestion, strength of the suggestion and probability of every row."""
    suggestions = (suggest(row, str(row["domain"]), settings) for row in _records(table))
    said = [(one.decision, one.reason, one.why, one.strength, _rounded(one.probability)) for one in suggestions]
    decisions, reasons, whys, strengths, chances = zip(*said, strict=True) if said else ((),) * 5
    del said
    words = {"suggested_decision": decisions, "suggested_reason": reasons, "suggestion": whys}
    for column, told in words.items():
        table[column] = pd.Series([word or None for word in told], index=table.index, dtype=object)
    table["strength"] = strengths
    table["suggestion_probability"] = pd.Series(chances, index=table.index, dtype=float)
    table["probability"] = None
    if ranking is not None and len(table):
        table["probability"] = ranking.probability(with_fingerprints(table, fingerprints))
    return table


def _rounded(chance: float | None) -> float | None:
    return None if chance is None else round(chance, 4)


def with_fingerprints(photos: pd.DataFrame, fingerprints: pd.DataFrame) -> pd.DataFrame:
    """Rows with `phash` and `size_bytes` by SHA-256; where the fingerprint is gone, those of an empty picture."""
    known = fingerprints.drop_duplicates("sha256").set_index("sha256")[["phash", "size_bytes"]]
    joined = photos.join(known, on="sha256")
    return joined.assign(phash=joined["phash"].fillna("0" * 16), size_bytes=joined["size_bytes"].fillna(0))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """What waits first; of that the likely keeps, then what is likely to go, alike cases together, doubtful ones last.

    Clear cases take a glance each, and the keeps are what the dataset waits for.
    """
    suggested = table["suggested_decision"].fillna("")
    probability = table["probability"].astype(float)
    by_hints = suggested.map({"keep": 0, "drop": 1, "move": 1, "": 2}).astype(int)
    by_model = np.select([probability >= LIKELY, probability <= UNLIKELY], [0, 1], 2)
    strength = np.where(probability.isna(), table["strength"].astype(float), (probability - 0.5).abs())
    order = pd.DataFrame({
        "waiting": ~table["waiting"].astype(bool), "band": np.where(probability.isna(), by_hints, by_model),
        "domain": table["domain"], "suggested": suggested, "reason": table["suggested_reason"].fillna(""),
        "strength": -strength, "photo_id": table["photo_id"],
    }).sort_values(["waiting", "band", "domain", "suggested", "reason", "strength", "photo_id"])  # fmt: skip
    ordered = table.loc[order.index].reset_index(drop=True)
    return ordered.assign(position=range(len(ordered)))


def _new_batches(fresh: pd.DataFrame, batch_size: int, first: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Names and rows of the batches, each of one domain, the best of every domain before the rest.

    The name ends with a digest of the ids, so that no other rows can come under it.
    """
    chunks = [
        (start, str(domain), rows.iloc[start : start + batch_size])
        for domain, rows in fresh.groupby("domain")
        for start in range(0, len(rows), batch_size)
    ]
    for number, (_, domain, rows) in enumerate(sorted(chunks, key=lambda chunk: chunk[:2]), first):
        digest = hashlib.sha256("\n".join(rows["photo_id"]).encode()).hexdigest()[:8]
        yield f"batch-{number:04d}-{domain}-{digest}.csv", rows


def _write_batch(rows: pd.DataFrame, path: Path) -> None:
    table = rows.reindex(columns=COLUMNS)
    table["thumbnail"] = "../../thumbnails/" + table["thumbnail"]
    table = harmless_table(table)
    table = table.astype(object).where(table.notna(), "")
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def _records(table: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    names = ["domain", *HINTS]
    for values in zip(*(table[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))
