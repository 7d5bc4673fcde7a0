"""What the files asset adds to the downloader: rows known elsewhere, and the rate for people."""

from pathlib import Path

import pandas as pd
import pytest

from assets.collect import transfer_metadata
from pipeline.operations.downloads import known_files
from pipeline.photos.pace import PaceReport
from pipeline.photos.pool import Transfer
from pipeline.tables import conform
from storage import Home


def files(domain: str, month: str, *photo_ids: str) -> pd.DataFrame:
    rows = [
        {
            "photo_id": photo_id, "domain": domain, "month": month, "image_url": f"http://h/{photo_id}.jpg",
            "sha256": "ab" * 32, "size_bytes": 9, "width_px": 3, "height_px": 3, "format": "JPEG", "frames": 1,
            "pending": False, "fetched_at_s": 1,
        }
        for photo_id in photo_ids
    ]  # fmt: skip
    return conform("photo_files", pd.DataFrame(rows))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.tables.write("photo_files", files("ordinary", "2024-03", "1", "2"), "ordinary|2024-03")
    made.tables.write("photo_files", files("shallow", "2024-03", "2", "3"), "shallow|2024-03")
    made.tables.write("photo_files", files("ordinary", "2024-02", "4"), "ordinary|2024-02")
    return made


def test_photos_known_in_other_domains_and_months(home: Home) -> None:
    known = known_files(home, "ordinary|2024-03", {"1", "2", "3", "4", "5"})
    assert sorted(zip(known["photo_id"], known["domain"], known["month"], strict=True)) == [
        ("1", "ordinary", "2024-03"),
        ("2", "ordinary", "2024-03"),
        ("3", "shallow", "2024-03"),
        ("4", "ordinary", "2024-02"),
    ]


def test_a_new_partition_with_nothing_known(home: Home) -> None:
    assert len(known_files(home, "shallow|2024-05", {"9"})) == 0
    assert list(known_files(home, "shallow|2024-05", {"3"})["photo_id"]) == ["3"]


def test_the_rate_is_shown() -> None:
    hosts = {"a.example": PaceReport(2, 8, None, 5, 1), "b.example:81": PaceReport(1, 1, 0.5, 40, 0)}
    shown = transfer_metadata(Transfer(pictures=300, size_bytes=60_000_000, duration_s=20.0, hosts=hosts))
    assert (shown["pictures_received"], shown["pictures_per_s"], shown["megabytes_per_s"]) == (300, 15.0, 3.0)
    table = shown["hosts"].value  # pyright: ignore[reportAttributeAccessIssue]
    assert "| a.example | 2 | 8 | as fast as they came | 5 | 1 |" in table
    assert "| b.example:81 | 1 | 1 | 0.50 | 40 | 0 |" in table
    assert transfer_metadata(Transfer(0, 0, 0.0, {})) == {"pictures_received": 0}
