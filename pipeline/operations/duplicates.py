"""Duplicates of a home: fingerprints of its pictures, groups of them, their pages, and how far apart pictures are."""

from collections.abc import Callable, Iterator, Set
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.errors import BokehflowError
from pipeline.operations.photo_tables import newest_rows, rows_of_photos, shown_titles
from pipeline.operations.photos import photo_reader
from pipeline.operations.tombstones import forgotten_photos
from pipeline.tables import among
from storage import Home

SHOWN_PAIRS = 6
CREDIT = ["photo_id", "title", "owner", "owner_name", "page_url"]
SHOWN = [
    *("photo_id", "domain", "sha256", "width_px", "height_px"),
    *("rule", "measure", "distance_bits", "duplicate_of", "split_key"),
]
"""What the pages of duplicates need of `photo_listing` and of `unique_photos`."""


def make_fingerprints(
    project: Project, home: Home, partition: str, report: Callable[[int, int], None]
) -> tuple[pd.DataFrame, int, list[str]]:
    """The table `fingerprints` of one domain and month, not written.

    Also how many pictures were new, and which stored photos have none, with the reason where it is known.
    """
    from pipeline.dedupe.fingerprints import fingerprint_pictures, fingerprint_table
    from pipeline.dedupe.store import FingerprintStore
    from pipeline.operations.tasks import engine_of, fingerprints_over

    files, store = home.tables.read("photo_files", partition), FingerprintStore(home.fingerprints)
    digests = files["sha256"].dropna().tolist()
    new = len(store.missing(digests))
    over = engine_of(project, home, new)
    crashed = fingerprints_over(over, home, digests, report) if over is not None else {}
    fingerprint_pictures([one for one in digests if one not in crashed], home.blobs.read, store, report)
    listing = home.tables.read("photo_listing", partition)
    frame = fingerprint_table(files[~among(files["sha256"], crashed)], listing, store)
    without = files[files["sha256"].notna() & ~among(files["photo_id"], frame["photo_id"])].sort_values("photo_id")
    pairs = zip(without["photo_id"], without["sha256"], strict=True)
    return frame, new, [f"{id}: {crashed[sha256]}" if sha256 in crashed else id for id, sha256 in pairs]


def make_unique_photos(
    project: Project, home: Home, report: Callable[[int, int], None]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table `unique_photos`, not written, and how much work it was; what the next one starts from is kept."""
    from pipeline.dedupe.fingerprints import fingerprint_pictures
    from pipeline.dedupe.groups import find_unique
    from pipeline.dedupe.near_hashes import NearHashStore
    from pipeline.dedupe.store import FingerprintStore

    settings, photos = project.dedupe, newest_rows(project, home, "fingerprints")
    photos = photos[~among(photos["photo_id"], forgotten_photos(home))]
    store, near = FingerprintStore(home.fingerprints), NearHashStore(home.fingerprints)
    # Usually all are there; where somebody cleared the folder, they are made again.
    decoded = fingerprint_pictures(photos["sha256"].tolist(), home.blobs.read, store, report)
    known = home.tables.read_or_empty("duplicate_pairs")
    found = find_unique(photos, store, home.blobs.read, settings, known, near.read(settings.radius_bits))
    near.write(settings.radius_bits, found.near)
    home.tables.write("duplicate_pairs", found.duplicate_pairs)
    return found.unique_photos, {**found.work, "pictures_fingerprinted": decoded}


def write_duplicates(project: Project, home: Home, max_pages: int) -> tuple[Path, list[str]]:
    """Write the pages of `bokehflow duplicates`; returns the first, and what could not be shown, each with the reason.

    Raises `StorageError` when nothing was deduplicated yet.
    """
    from pipeline.dedupe.page import EDGE_PX, PageInputs, write_pages

    frame = home.tables.read("unique_photos", columns=SHOWN)
    duplicates, strangers = nearest_distances(frame, home)
    inputs = PageInputs(
        project=project.project.name,
        unique=frame,
        credits=lambda photo_ids: _credits(project, home, photo_ids),
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


def _credits(project: Project, home: Home, photo_ids: Set[str]) -> pd.DataFrame:
    """Whose these photos are, with titles as people are shown them."""
    found = rows_of_photos(project, home, "photo_listing", photo_ids, CREDIT)
    return found.assign(title=shown_titles(home, found))


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
