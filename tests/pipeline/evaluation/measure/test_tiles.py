"""Side-by-side pictures: what is forgotten leaves folder and index, everything else stays."""

from pathlib import Path

import numpy as np

from pipeline.dataset.crop import photo_of
from pipeline.evaluation.measure.tiles import forget_pictures, picture_folder, read_pictures

PICTURE = np.zeros((4, 4, 3), np.uint8)


def is_forgotten(picture: str) -> bool:
    return photo_of(picture) == "flickr:1"


def test_a_forgotten_photo_leaves_with_all_its_parts(tmp_path: Path) -> None:
    with picture_folder(tmp_path / "shown") as writer:
        for photo_id in ("flickr:1", "flickr:11", "flickr:1#x0y0", "flickr:2#x0y0"):
            for role in ("input", "model"):
                writer.add(photo_id, role, PICTURE)
    assert forget_pictures(tmp_path / "shown", is_forgotten) == 4
    assert [tiles.photo_id for tiles in read_pictures(tmp_path / "shown")] == ["flickr:11", "flickr:2#x0y0"]
    assert len(list((tmp_path / "shown").glob("*.png"))) == 4
    assert forget_pictures(tmp_path / "shown", is_forgotten) == 0


def test_a_run_that_was_never_evaluated_shows_nothing(tmp_path: Path) -> None:
    assert forget_pictures(tmp_path / "missing", is_forgotten) == 0
