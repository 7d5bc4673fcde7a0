"""Duplicates of a home: its pages, and how far apart its pictures are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.errors import BokehflowError
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.photos import photo_reader
from storage import Home

SHOWN_PAIRS = 6


def write_duplicates(project: Project, home: Home, max_pages: int) -> tuple[Path, list[str]]:
    """Write the pages of `bokehflow duplicates`; returns the first, and what could not be shown, each with the reason.

    Raises `StorageError` when nothing was deduplicated yet.
    """
    from pipeline.dedupe.page import EDGE_PX, PageInputs, write_pages

    frame = home.tables.read("unique_photos")
    duplicates, strangers = nearest_distances(frame, home)
    inputs = PageInputs(
        project=project.project.name,
        unique=frame,
        credits=all_rows(project, home, "photo_listing"),
        duplicates=duplicates,
        strangers=strangers,
        radius_bits=project.dedupe.radius_bits,
        max_pages=max_pages,
    )
    read, failed = photo_reader(home, project, min_short_edge_px=EDGE_PX), dict[str, str]()

    def thumbnail(sha256: str) -> np.ndarray:
        try:
            return read(sha256)
        except (BokehflowError, OSError) as error:
            failed[sha256] = str(error)
            return np.full((EDGE_PX, EDGE_PX, 3), 128, np.uint8)

    return write_pages(home.duplicates, inputs, thumbnail), list(failed.values())


def nearest_distances(frame: pd.DataFrame, home: Home) -> tuple[dict[int, int], dict[int, int]]:
    """Photos by distance in bits: duplicates, and a sample's nearest pictures that are none."""
    from pipeline.dedupe.distances import duplicate_distances, nearest_strangers
    from pipeline.dedupe.store import FingerprintStore

    pictures = frame.drop_duplicates("sha256")
    records = FingerprintStore(home.fingerprints).read(pictures["sha256"].tolist(), with_pictures=False).records
    strangers = nearest_strangers(records, pictures["split_key"].tolist())
    return duplicate_distances(frame["distance_bits"].dropna().tolist()), strangers


def kept_and_dropped(frame: pd.DataFrame, project: Project, home: Home) -> Iterator[tuple[str, np.ndarray]]:
    """Photos kept and dropped, alternating."""
    read = photo_reader(home, project, min_short_edge_px=128)
    dropped = frame[frame["duplicate_of"].notna() & (frame["duplicate_of"] != frame["photo_id"])]
    dropped = dropped.sort_values("measure").drop_duplicates("duplicate_of").head(SHOWN_PAIRS)
    by_id = frame.drop_duplicates("photo_id").set_index("photo_id")["sha256"]
    chosen = [id for pair in zip(dropped["duplicate_of"], dropped["photo_id"], strict=True) for id in pair]
    return ((id, read(by_id[id])) for id in chosen)
