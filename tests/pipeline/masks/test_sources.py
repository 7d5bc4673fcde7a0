"""Masks that somebody else made, and what decides that masks are no longer the right ones."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config import MasksSection
from pipeline.errors import ConfigError
from pipeline.masks.person_masks import read_mask, segment_photos
from pipeline.masks.sources import GivenMasks, PhotoToMask, RefusedMask, configured_version
from pipeline.masks.subject import Subject

SHA256 = "ab" * 32
PICTURE = PhotoToMask(SHA256, ("flickr:12", "flickr:34"))


def read_rgb(sha256: str) -> np.ndarray:
    return np.zeros((100, 150, 3), np.uint8)


def given(folder: Path, name: str, mask: np.ndarray) -> GivenMasks:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / name)
    return GivenMasks(folder, read_rgb, 75)


def left_half(height_px: int, width_px: int) -> np.ndarray:
    mask = np.zeros((height_px, width_px), np.uint8)
    mask[:, : width_px // 2] = 255
    return mask


def made(source: GivenMasks) -> np.ndarray:
    (subject,) = source.masks([PICTURE])
    assert isinstance(subject, Subject)
    return subject.alpha


def refused(source: GivenMasks) -> RefusedMask:
    (answer,) = source.masks([PICTURE])
    assert isinstance(answer, RefusedMask)
    return answer


@pytest.mark.parametrize("name", ["flickr:12.png", "flickr_34.png", f"{SHA256}.webp", "flickr_12.TIF"])
def test_a_mask_is_found_by_photo_or_by_picture(tmp_path: Path, name: str) -> None:
    alpha = made(given(tmp_path, name, left_half(100, 150)))
    assert alpha.shape == (50, 75)
    assert alpha[:, :35].min() > 250
    assert alpha[:, 40:].max() < 5


@pytest.mark.parametrize("size", [(50, 75), (200, 300), (101, 150)])
def test_another_size_of_the_same_proportions_is_scaled(tmp_path: Path, size: tuple[int, int]) -> None:
    assert made(given(tmp_path, "flickr_12.png", left_half(*size))).shape == (50, 75)


def test_the_alpha_of_a_cut_out_counts(tmp_path: Path) -> None:
    rgba = np.zeros((100, 150, 4), np.uint8)
    rgba[..., 3] = left_half(100, 150)
    assert made(given(tmp_path, "flickr_12.png", rgba))[25, 10] == 255


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    assert made(given(tmp_path, "flickr_12.png", np.full((50, 75), 32_768, np.uint16)))[0, 0] == 128


def test_bad_masks_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    wrong = refused(given(tmp_path / "size", "flickr_12.png", left_half(100, 100)))
    assert wrong.reason == "mask_wrong_size"
    assert "has 100×100 px, the picture is 150×100 px" in wrong.detail
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "flickr_12.png").write_bytes(b"<html>")
    broken = refused(GivenMasks(tmp_path / "broken", read_rgb, 75))
    assert broken.reason == "mask_unreadable"
    assert "flickr_12.png" in broken.detail
    missing = refused(given(tmp_path / "missing", "flickr_99.png", left_half(100, 150)))
    assert missing.reason == "mask_missing"
    assert f"no flickr_12.png or {SHA256}.png" in missing.detail


MASK = np.zeros((50, 75), np.uint8)
MASK[10:40, 20:60] = 255


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("flickr_12.png", MASK),
        ("flickr_12.png", MASK > 0),
        ("flickr_12.tif", MASK.astype(np.float32) / 255),
        ("flickr_12.tif", MASK.astype(np.float32) / 250),
        ("flickr_12.tif", MASK.astype(np.float32)),
        ("flickr_12.tif", MASK.astype(np.int32)),
        ("flickr_12.tif", MASK.astype(np.int32) * 257),
        ("flickr_12.png", MASK.astype(np.uint16) * 257),
        ("flickr_12.png", np.repeat(MASK[..., None], 3, 2)),
        ("flickr_12.jpg", np.repeat(MASK[..., None], 3, 2)),
    ],
)
def test_white_is_the_subject_in_files_of_any_range(tmp_path: Path, name: str, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(tmp_path / name)
    found = made(GivenMasks(tmp_path, read_rgb, 75))
    assert np.abs(found.astype(int) - MASK).mean() < 2


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (MASK // 255, "largest level is 1 of 255: where that marks the subject, save it in white"),
        ((MASK // 255).astype(np.uint16), "largest level is 1 of 65535"),
        (MASK // 12, "largest level is 21 of 255"),
        (np.stack([MASK, MASK // 2, MASK // 2], 2), "it has colours, of which none is the subject's"),
    ],
)
def test_labels_and_colours_are_no_mask(tmp_path: Path, levels: np.ndarray, words: str) -> None:
    Image.fromarray(levels).save(tmp_path / "flickr_12.png")
    found = refused(GivenMasks(tmp_path, read_rgb, 75))
    assert (found.reason, words in found.detail) == ("mask_unreadable", True)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[masks\] folder = .*nowhere.*no such folder"):
        GivenMasks(tmp_path / "nowhere", read_rgb, 75)


def test_a_changed_given_mask_is_taken_anew(tmp_path: Path) -> None:
    photos = pd.DataFrame({"photo_id": ["flickr:12"], "target_domain": "a", "sha256": SHA256, "split_key": "k"})
    source = given(tmp_path / "given", "flickr_12.png", left_half(100, 150))
    first = segment_photos(photos, source, tmp_path / "masks", 0.02)
    assert first["people"].isna().all()
    source = given(tmp_path / "given", "flickr_12.png", 255 - left_half(100, 150))
    second = segment_photos(photos, source, tmp_path / "masks", 0.02, known=first)
    assert second["mask"].iloc[0] != first["mask"].iloc[0]
    assert read_mask(tmp_path / "masks" / second["mask"].iloc[0])[25, 10] == 0
    (tmp_path / "given" / "flickr_12.png").unlink()
    gone = segment_photos(photos, GivenMasks(tmp_path / "given", read_rgb, 75), tmp_path / "masks", 0.02, known=second)
    assert gone["reason"].tolist() == ["mask_missing"]


def test_what_decides_the_masks_decides_their_version(tmp_path: Path) -> None:
    plain = MasksSection()
    others = [
        MasksSection(views=1), MasksSection(others="keep"), MasksSection(refine=[]), MasksSection(long_side_px=256),
        MasksSection(others="nearest"),
        MasksSection(segmenter="deeplabv3_mobilenet"), MasksSection(segmenter="folder", folder=str(tmp_path)),
    ]  # fmt: skip
    versions = {configured_version(section) for section in (plain, *others)}
    assert len(versions) == len(others) + 1


def test_the_version_of_given_masks_follows_the_files(tmp_path: Path) -> None:
    section = MasksSection(segmenter="folder", folder=str(tmp_path / "given"))
    versions = [configured_version(section)]
    given(tmp_path / "given", "flickr_12.png", left_half(100, 150))
    versions.append(configured_version(section))
    os.utime(tmp_path / "given" / "flickr_12.png", ns=(1, 1))
    versions.append(configured_version(section))
    assert len(set(versions)) == 3
