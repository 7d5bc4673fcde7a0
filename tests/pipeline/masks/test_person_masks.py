"""Masks on disk: made once, found again, repaired, refused."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.masks.person_masks import alpha_digest, mask_key, read_mask, segment_photos


class BrightSegmenter:
    """What is bright is a person; counts and remembers what it was shown."""

    name = "bright"

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.shapes: list[tuple[int, ...]] = []
        self.lock = threading.Lock()

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        with self.lock:
            self.shapes += [picture.shape for picture in pictures]
        return [picture[..., 0] for picture in pictures]


class Pictures:
    """Pictures by a SHA-256 that is only a number: the left `number` percent of each is bright."""

    def __init__(self, width_px: int = 200, height_px: int = 100) -> None:
        self.size = width_px, height_px
        self.read: list[str] = []

    def __call__(self, sha256: str) -> np.ndarray:
        self.read.append(sha256)
        width_px, height_px = self.size
        rgb = np.zeros((height_px, width_px, 3), np.uint8)
        rgb[:, : round(width_px * int(sha256) / 100)] = 255
        return rgb


def photos(shares: Sequence[int], domain: str = "ordinary") -> pd.DataFrame:
    rows = [
        {"photo_id": f"{domain}:{index}", "target_domain": domain, "sha256": f"{share:064}", "split_key": f"{share}"}
        for index, share in enumerate(shares)
    ]
    return pd.DataFrame(rows, columns=["photo_id", "target_domain", "sha256", "split_key"])


def test_masks_are_stored_small_and_lossless(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    table = segment_photos(photos([25, 50]), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02, lambda *at: done.append(at))
    row = table.iloc[1]
    assert row["mask"] == f"bright-1-64px/00/{50:064}.png"
    assert (row["domain"], row["split_key"], row["coverage"]) == ("ordinary", "50", 0.5)
    alpha = read_mask(tmp_path / row["mask"])
    assert alpha.shape == (32, 64)
    assert alpha_digest(alpha) == row["mask_sha256"]
    assert table["reason"].isna().all()
    assert done == [(2, 2)]


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    table = segment_photos(photos([50]), Pictures(30, 20), BrightSegmenter(), tmp_path, 64, 0.02)
    assert read_mask(tmp_path / table["mask"].iloc[0]).shape == (20, 30)


def test_pictures_without_a_subject(tmp_path: Path) -> None:
    table = segment_photos(photos([1, 2, 50]), Pictures(), BrightSegmenter(), tmp_path, 200, 0.02)
    assert table["reason"].fillna("").tolist() == ["no_subject", "", ""]
    assert table["mask"].isna().tolist() == [True, False, False]
    assert table["coverage"].tolist() == [0.01, 0.02, 0.5]


def test_no_photos(tmp_path: Path) -> None:
    assert len(segment_photos(photos([]), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)) == 0


def test_a_picture_of_two_photos_is_segmented_once(tmp_path: Path) -> None:
    segmenter = BrightSegmenter()
    both = pd.concat([photos([30]), photos([30], "shallow")])
    table = segment_photos(both, Pictures(), segmenter, tmp_path, 64, 0.02)
    assert table["mask"].nunique() == 1
    assert table["domain"].tolist() == ["ordinary", "shallow"]
    assert len(segmenter.shapes) == 1


def test_existing_masks_are_found_again(tmp_path: Path) -> None:
    shares = list(range(1, 60))
    first = segment_photos(photos(shares), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)
    segmenter, pictures = BrightSegmenter(), Pictures()
    again = segment_photos(photos([*shares, 77]), pictures, segmenter, tmp_path, 64, 0.02)
    assert pictures.read == [f"{77:064}"]
    assert len(segmenter.shapes) == 1
    merged = again[again["split_key"] != "77"].reset_index(drop=True)
    pd.testing.assert_frame_equal(merged, first)


def test_known_masks_are_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = photos([1, 30, 40])
    first = segment_photos(listed, Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)
    (tmp_path / first["mask"].iloc[2]).unlink()
    reads: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        reads.append(path)
        return read_mask(path)

    monkeypatch.setattr("pipeline.masks.person_masks.read_mask", counted)
    again = segment_photos(listed, Pictures(), BrightSegmenter(), tmp_path, 64, 0.02, known=first)
    pd.testing.assert_frame_equal(again, first)
    assert [path.stem for path in reads] == [f"{1:064}"]
    stricter = segment_photos(listed, Pictures(), BrightSegmenter(), tmp_path, 64, 0.35, known=first)
    assert stricter["reason"].isna().tolist() == [False, False, True]


def test_another_version_or_size_makes_other_masks(tmp_path: Path) -> None:
    first = segment_photos(photos([30]), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)
    for segmenter, long_side_px in ((BrightSegmenter("2"), 64), (BrightSegmenter(), 80)):
        other = segment_photos(photos([30]), Pictures(), segmenter, tmp_path, long_side_px, 0.02, known=first)
        assert other["mask"].iloc[0].startswith(mask_key(segmenter, long_side_px))
        assert len(segmenter.shapes) == 1


def test_a_damaged_mask_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = segment_photos(photos([30]), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)
    path = tmp_path / first["mask"].iloc[0]
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    again = segment_photos(photos([30]), Pictures(), BrightSegmenter(), tmp_path, 64, 0.02)
    pd.testing.assert_frame_equal(again, first)
    assert path.read_bytes() == good
    assert "damaged" in caplog.text


def test_read_mask_refuses_what_is_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with pytest.raises(DatasetError, match=r"mask\.png.*missing"):
        read_mask(path)
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"<html>"):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"mask\.png.*damaged.*delete the file"):
            read_mask(path)
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(DatasetError, match="RGB"):
        read_mask(path)


def test_a_picture_that_cannot_be_read_ends_the_stage(tmp_path: Path) -> None:
    def broken(sha256: str) -> np.ndarray:
        raise DatasetError(sha256)

    with pytest.raises(DatasetError):
        segment_photos(photos(range(40)), broken, BrightSegmenter(), tmp_path, 64, 0.02)
    assert not list(tmp_path.rglob("*.png"))


@given(st.integers(1, 40), st.integers(1, 40))
def test_digest_tells_shapes_apart(height_px: int, width_px: int) -> None:
    alpha = np.zeros((height_px, width_px), np.uint8)
    assert (alpha_digest(alpha) == alpha_digest(alpha.T)) == (height_px == width_px)
