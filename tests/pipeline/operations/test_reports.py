"""What a report is made of: whose its pictures are."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import parse_project
from pipeline.operations.reports import credits_of, truth_folder
from pipeline.tables import conform
from storage import Home


def test_known_truth_may_lie_in_ones_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = '[domains.ordinary]\n[domains.shallow]\n[evaluation]\ntruth = "~/scenes"\n'
    assert truth_folder(parse_project(text, Path("x")), Path("elsewhere")) == tmp_path / "scenes"


def test_ones_own_photos_without_a_title_go_by_their_files_names(tmp_path: Path) -> None:
    home = Home(tmp_path)
    numbers = dict.fromkeys(["size_bytes", "width_px", "height_px", "frames", "imported_at_s"], 1)
    files = {"folder:a": "holidays/IMG_7.HEIC", "folder:b": "b.jpg"}
    imports = pd.DataFrame({"photo_id": files.keys(), "file": files.values()}).assign(
        domain="ordinary", sha256="0" * 64, format="JPEG", **numbers
    )
    home.tables.write("imports", conform("imports", imports))
    known = {"domain": "ordinary", "split": "test", "owner": None, "owner_name": None, "license": None, "page_url": None}
    photos = [("folder:a", None), ("folder:b", "Dawn"), ("flickr:1", None)]
    rows = pd.DataFrame([{**known, "photo_id": one, "title": title, "transform": "square"} for one, title in photos])
    titles = credits_of(home, rows).set_index("photo_id")["title"].to_dict()
    assert titles == {"folder:a": "IMG_7.HEIC", "folder:b": "Dawn", "flickr:1": ""}
