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
from pipeline.masks.person_masks import _read_subject, alpha_digest, read_mask, segment_photos, to_review
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.masks.sources import SegmentedMasks
from pipeline.masks.subject import Subject


class BrightSegmenter(Segmenter):
    """What is bright is a person; counts and remembers what it was shown."""

    name = "bright"
    uncertainty: float | None = None

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.shapes: list[tuple[int, ...]] = []
        self.lock = threading.Lock()

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        with self.lock:
            self.shapes += [picture.shape for picture in pictures]
        return [Seen(picture[..., 0], self.uncertainty) for picture in pictures]


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


def bright(
    long_side_px: int = 64, pictures: Pictures | None = None, segmenter: BrightSegmenter | None = None
) -> SegmentedMasks:
    return SegmentedMasks(segmenter or BrightSegmenter(), pictures or Pictures(), long_side_px)


def test_masks_are_stored_small_and_lossless(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    table = segment_photos(photos([25, 50]), bright(), tmp_path, 0.02, lambda *at: done.append(at))
    row = table.iloc[1]
    assert row["mask"] == f"bright-1-drop-2-64px/00/{50:064}.png"
    assert (row["domain"], row["split_key"], row["coverage"]) == ("ordinary", "50", 0.5)
    alpha = read_mask(tmp_path / row["mask"])
    assert alpha.shape == (32, 64)
    assert alpha_digest(alpha) == row["mask_sha256"]
    assert table["reason"].isna().all()
    assert done == [(2, 2)]


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    table = segment_photos(photos([50]), bright(pictures=Pictures(30, 20)), tmp_path, 0.02)
    assert read_mask(tmp_path / table["mask"].iloc[0]).shape == (20, 30)


def test_pictures_without_a_subject(tmp_path: Path) -> None:
    table = segment_photos(photos([1, 2, 50]), bright(200), tmp_path, 0.02)
    assert table["reason"].fillna("").tolist() == ["no_subject", "", ""]
    assert table["mask"].isna().tolist() == [True, False, False]
    assert table["coverage"].tolist() == [0.01, 0.02, 0.5]
    assert to_review(table)["left out"] == ["ordinary:0: the subject covers 1.0% of the picture, less than 2.0%"]


def test_who_should_look_at_what(tmp_path: Path) -> None:
    table = segment_photos(photos([0, 50, 97]), bright(200), tmp_path, 0.02).assign(runner_up=[0.0, 0.7, 0.2])
    odd = to_review(table)
    assert odd["left out"] == ["ordinary:0: nobody was found"]
    assert odd["unclear who is meant"] == ["ordinary:1: 1 people, the second scores 70% of the first"]
    assert odd["fills the frame"] == ["ordinary:2: the subject covers 97% of the picture; is all of it subject?"]


def test_what_was_counted_stays_with_the_mask_on_disk(tmp_path: Path) -> None:
    def two(sha256: str) -> np.ndarray:
        rgb = np.zeros((100, 200, 3), np.uint8)
        rgb[20:, 60:140], rgb[40:, 5:35] = 255, 250
        return rgb

    first = segment_photos(photos([7]), SegmentedMasks(BrightSegmenter(), two, 200), tmp_path, 0.02)
    assert first["people"].tolist() == [2]
    assert 0 < first["runner_up"].iloc[0] < 0.5
    again = segment_photos(photos([7]), SegmentedMasks(BrightSegmenter(), two, 200), tmp_path, 0.02)
    pd.testing.assert_frame_equal(again, first)


def test_how_sure_a_mask_is_stays_with_it(tmp_path: Path) -> None:
    doubtful = BrightSegmenter()
    doubtful.uncertainty = 0.4
    first = segment_photos(photos([50]), bright(segmenter=doubtful), tmp_path, 0.02)
    again = segment_photos(photos([50]), bright(), tmp_path, 0.02)
    assert (first["uncertainty"].tolist(), again["uncertainty"].tolist()) == ([0.4], [0.4])
    assert len(to_review(first)["uncertain"]) == 1
    assert "40%" in to_review(first)["uncertain"][0]
    known = segment_photos(photos([50]), bright(), tmp_path, 0.02, known=first)
    pd.testing.assert_frame_equal(known, first)
    elsewhere = segment_photos(photos([50]), bright(), tmp_path, 0.02, known=first.assign(mask="../../elsewhere.png"))
    pd.testing.assert_frame_equal(elsewhere, first)


def test_no_photos(tmp_path: Path) -> None:
    assert len(segment_photos(photos([]), bright(), tmp_path, 0.02)) == 0


def test_a_picture_of_two_photos_is_segmented_once(tmp_path: Path) -> None:
    segmenter = BrightSegmenter()
    both = pd.concat([photos([30]), photos([30], "shallow")])
    table = segment_photos(both, bright(segmenter=segmenter), tmp_path, 0.02)
    assert table["mask"].nunique() == 1
    assert table["domain"].tolist() == ["ordinary", "shallow"]
    assert len(segmenter.shapes) == 1


def test_existing_masks_are_found_again(tmp_path: Path) -> None:
    shares = list(range(1, 60))
    first = segment_photos(photos(shares), bright(), tmp_path, 0.02)
    segmenter, pictures = BrightSegmenter(), Pictures()
    again = segment_photos(photos([*shares, 77]), bright(64, pictures, segmenter), tmp_path, 0.02)
    assert pictures.read == [f"{77:064}"]
    assert len(segmenter.shapes) == 1
    merged = again[again["split_key"] != "77"].reset_index(drop=True)
    pd.testing.assert_frame_equal(merged, first)


def test_known_masks_are_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = photos([1, 30, 40])
    first = segment_photos(listed, bright(), tmp_path, 0.02)
    (tmp_path / first["mask"].iloc[2]).unlink()
    reads: list[Path] = []

    def counted(path: Path) -> Subject:
        reads.append(path)
        return _read_subject(path)

    monkeypatch.setattr("pipeline.masks.person_masks._read_subject", counted)
    again = segment_photos(listed, bright(), tmp_path, 0.02, known=first)
    pd.testing.assert_frame_equal(again, first)
    assert [path.stem for path in reads] == [f"{1:064}"]
    assert again["people"].tolist() == [1, 1, 1]
    stricter = segment_photos(listed, bright(), tmp_path, 0.35, known=first)
    assert stricter["reason"].isna().tolist() == [False, False, True]


def test_another_version_or_size_makes_other_masks(tmp_path: Path) -> None:
    first = segment_photos(photos([30]), bright(), tmp_path, 0.02)
    for segmenter, long_side_px in ((BrightSegmenter("2"), 64), (BrightSegmenter(), 80)):
        source = bright(long_side_px, segmenter=segmenter)
        other = segment_photos(photos([30]), source, tmp_path, 0.02, known=first)
        assert other["mask"].iloc[0].startswith(source.key)
        assert other["mask"].iloc[0] != first["mask"].iloc[0]
        assert len(segmenter.shapes) == 1


def test_a_damaged_mask_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = segment_photos(photos([30]), bright(), tmp_path, 0.02)
    path = tmp_path / first["mask"].iloc[0]
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    again = segment_photos(photos([30]), bright(), tmp_path, 0.02)
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
        segment_photos(photos(range(40)), SegmentedMasks(BrightSegmenter(), broken, 64), tmp_path, 0.02)
    assert not list(tmp_path.rglob("*.png"))


@given(st.integers(1, 40), st.integers(1, 40))
def test_digest_tells_shapes_apart(height_px: int, width_px: int) -> None:
    alpha = np.zeros((height_px, width_px), np.uint8)
    assert (alpha_digest(alpha) == alpha_digest(alpha.T)) == (height_px == width_px)


class Crowd(BrightSegmenter):
    """Two people in every picture, whatever it shows; the left one is larger."""

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        alpha = np.zeros((100, 200), np.uint8)
        alpha[20:, 30:110], alpha[40:, 150:190] = 255, 255
        return [Seen(alpha, None) for _ in pictures]


class Maps:
    """Maps of a picture whose right half is nearer, at another size; by mark, and none for other pictures."""

    def __init__(self, **marks: str) -> None:
        self.marks = marks

    def mark(self, sha256: str) -> str:
        return self.marks.get(f"n{int(sha256)}", "")

    def disparity(self, sha256: str) -> np.ndarray | None:
        if not self.mark(sha256):
            return None
        near = np.full((60, 120), 0.2, np.float32)
        near[:, 60:] = 0.4
        near[20:, 90:115] = 1.0
        return near


def test_of_several_people_a_map_of_depth_decides_and_without_one_nobody_is_guessed(tmp_path: Path) -> None:
    source = SegmentedMasks(Crowd(), Pictures(), 200, "nearest", depth=Maps(n7="ab12"))
    table = segment_photos(photos([7, 8]), source, tmp_path, 0.02).set_index("sha256")
    near, without = table.loc[f"{7:064}"], table.loc[f"{8:064}"]
    assert read_mask(tmp_path / near["mask"])[70, [70, 170]].tolist() == [0, 255]
    assert (without["reason"], without["detail"]) == ("depth_missing", "2 people, and no map of depth tells who is nearest")
    again = SegmentedMasks(Crowd(), Pictures(), 200, "nearest", depth=Maps(n7="cd34", n8="ef56"))
    renewed = segment_photos(photos([7, 8]), again, tmp_path, 0.02, known=table.reset_index()).set_index("sha256")
    assert renewed.loc[f"{7:064}", "mask"] != near["mask"]
    assert renewed["reason"].isna().all()
