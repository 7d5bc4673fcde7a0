"""A home with a picture server before it: downloads as tests want them."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.config import PhotosSection
from pipeline.photos.download import Asking, Known, download_photos
from pipeline.photos.pool import Transfer
from pipeline.tables import conform, empty
from storage.blobs import BlobStore

SETTINGS = PhotosSection.model_validate({"min_edge_px": 32, "max_bytes": 60_000, "max_pixels": 40_000, "threads": 4})


Rows = dict[str, dict[Hashable, object]]
"""Rows of `photo_files` by photo id, with None for what is missing."""


class Lab:
    """A home with a picture server before it."""

    def __init__(self, root: Path, hosts: Sequence[str]) -> None:
        self.blobs = BlobStore(root / "blobs")
        self.journal = root / "journal.jsonl"
        self.hosts = list(hosts)
        self.progress: list[tuple[int, int]] = []
        self.table = empty("photo_files")
        self.transfer: Transfer | None = None

    def listing(self, urls: Mapping[str, str | None], domain: str = "ordinary", last_update_s: int = 5) -> pd.DataFrame:
        rows = [
            {
                "photo_id": photo_id, "domain": domain, "month": "2024-03", "query": 0, "owner": "o", "title": "",
                "tags": "", "date_upload_s": 1, "last_update_s": last_update_s, "media": "photo", "page_url": "p",
                "image_url": url, "truncated": False, "fetched_at_s": 1, "reason": None,
            }
            for photo_id, url in urls.items()
        ]  # fmt: skip
        return conform("photo_listing", pd.DataFrame(rows))

    def run(
        self,
        urls: Mapping[str, str | None],
        known: Rows | None = None,
        settings: PhotosSection = SETTINGS,
        *,
        domain: str = "ordinary",
        last_update_s: int = 5,
        timeout_s: float = 0.4,
        retries: int = 3,
        forgotten: frozenset[str] = frozenset(),
        now_s: int = 100,
        listing: pd.DataFrame | None = None,
    ) -> Rows:
        done = download_photos(
            self.listing(urls, domain, last_update_s) if listing is None else listing,
            Known(
                conform("photo_files", pd.DataFrame(known.values())) if known else empty("photo_files"),
                self.journal,
                forgotten,
            ),
            self.blobs,
            settings,
            Asking(self.hosts, "bokehflow-test", timeout_s, retries),
            now_s,
            lambda done, total: self.progress.append((done, total)),
        )
        self.table, self.transfer = done.table, done.transfer
        assert not list((self.blobs.root / "incoming").glob("*")), "temporary files are left"
        plain = self.table.astype(object).where(self.table.notna(), None)
        return {str(row["photo_id"]): dict(row) for row in plain.to_dict("records")}


def outcome(rows: Rows, photo_id: str = "1") -> tuple[object, object]:
    row = rows[photo_id]
    assert (row["sha256"] is None) == (row["reason"] is not None)
    return row["reason"], row["pending"]
