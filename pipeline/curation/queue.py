"""The queue: immutable CSV batches of photos that nobody has decided yet, with thumbnails and hints."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.atomic import atomic_path
from pipeline.curation.hints import colourfulness, sharpness, suggestion

THUMBNAIL_EDGE_PX = 320
COLUMNS = [
    "photo_id", "domain", "thumbnail", "page_url", "title", "owner", "license", "tags", "sharpness", "colourfulness",
    "suggested_decision", "suggested_reason", "decision", "reason", "move_to", "curator", "note",
]  # fmt: skip
"""Columns of a batch; the last five are empty, for the curator."""

ReadPhoto = Callable[[str], np.ndarray]
"""From a blob's SHA-256 to RGB uint8 `[height, width, 3]`."""


def queue_photos(
    unique: pd.DataFrame,
    listing: pd.DataFrame,
    queued: pd.DataFrame,
    decided: set[str],
    read_photo: ReadPhoto,
    license_name: Callable[[str | None], str],
    folders: tuple[Path, Path],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Write batches of what is new; returns the table `review_queue`, old rows and new.

    `queued` is that table as it was, `decided` the ids of photos with a decision (a group is decided when one
    of its photos is), `folders` those of the batches and of the thumbnails.
    """
    kept = unique[unique["rule"].isna()]
    decided_groups = set(unique.loc[unique["photo_id"].isin(decided), "group"])
    fresh = kept[~kept["photo_id"].isin(set(queued["photo_id"])) & ~kept["group"].isin(decided_groups)]
    fresh = fresh.sort_values(["domain", "photo_id"], ignore_index=True)
    origin = listing.drop_duplicates("photo_id").set_index("photo_id")
    tables = [queued] if len(queued) else []
    first = queued["batch"].nunique() + 1
    for number, start in enumerate(range(0, len(fresh), batch_size), first):
        rows = _with_hints(fresh.iloc[start : start + batch_size], read_photo, folders[1])
        rows["batch"] = _write_batch(rows, origin, license_name, folders[0], number)
        tables.append(rows)
        progress(min(start + batch_size, len(fresh)), len(fresh))
    return pd.concat(tables, ignore_index=True) if tables else queued


def _with_hints(rows: pd.DataFrame, read_photo: ReadPhoto, thumbnails: Path) -> pd.DataFrame:
    def one(digest: str) -> tuple[float, float, str]:
        rgb = read_photo(digest)
        small = Image.fromarray(rgb)
        small.thumbnail((THUMBNAIL_EDGE_PX, THUMBNAIL_EDGE_PX), Image.Resampling.LANCZOS)
        name = f"{digest[:2]}/{digest}.jpg"
        if not (thumbnails / name).exists():
            with atomic_path(thumbnails / name) as temporary:
                small.save(temporary, "JPEG", quality=85)
        pixels = np.asarray(small)
        return round(sharpness(pixels), 5), round(colourfulness(pixels), 5), name

    with ThreadPoolExecutor() as pool:
        hints = list(pool.map(one, rows["sha256"]))
    return rows.assign(**dict(zip(("sharpness", "colourfulness", "thumbnail"), zip(*hints, strict=True), strict=True)))


def _write_batch(
    rows: pd.DataFrame, origin: pd.DataFrame, license_name: Callable[[str | None], str], folder: Path, number: int
) -> str:
    """The batch's name ends with a digest of its ids, so that an interrupted run cannot put others under it."""
    digest = hashlib.sha256("\n".join(rows["photo_id"]).encode()).hexdigest()[:8]
    name = f"batch-{number:04d}-{digest}.csv"
    table = rows.join(origin[["page_url", "title", "owner", "license", "tags"]], on="photo_id")
    table["license"] = [license_name(value if isinstance(value, str) else None) for value in table["license"]]
    table["thumbnail"] = "../../thumbnails/" + table["thumbnail"]
    table[["suggested_decision", "suggested_reason"]] = [suggestion(value) for value in table["colourfulness"]]
    table = table.reindex(columns=COLUMNS).astype(object)
    table = table.where(table.notna(), "")
    with atomic_path(folder / name) as temporary:
        table.map(_no_formula).to_csv(temporary, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return name


def _no_formula(cell: object) -> object:
    """A spreadsheet executes a cell that begins like a formula; a leading apostrophe makes it text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
