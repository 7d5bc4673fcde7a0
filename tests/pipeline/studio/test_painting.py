"""Paintings: of the palette alone, flat, the same each time; two collections with known truth; labels of the parts."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.models.parts_networks import CLASSES
from pipeline.studio import two_collections
from pipeline.studio.labelled import SIDE_PX, labelled_pictures, read_rgb
from pipeline.studio.painting import PALETTE, nearest_on_palette, painted
from pipeline.studio.pictures import PICTURES, Shot, shots
from pipeline.studio.surfaces import PARTS
from pipeline.studio.two_collections import PAINTINGS, PHOTOS, TRUTH, build_two_collections


def scene(number: int = 0) -> Shot:
    return [shot for shot in shots() if shot.group == "scoring"][number]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_painting_has_the_palettes_colours_alone_and_is_the_same_each_time() -> None:
    rgb = read_rgb(PICTURES / scene().files()["sharp"])
    first, again, other = painted(rgb, 1), painted(rgb, 1), painted(rgb, 2)
    assert first.shape == rgb.shape
    colours = {tuple(colour) for colour in np.unique(first.reshape(-1, 3), axis=0)}
    assert colours <= {tuple(colour) for colour in PALETTE.tolist()} | {(150, 120, 84)}
    np.testing.assert_array_equal(again, first)
    assert (other != first).any()


def test_a_painting_shows_its_scene_in_flat_colours() -> None:
    rgb = read_rgb(PICTURES / scene().files()["sharp"]).astype(float)
    canvas = painted(rgb.astype(np.uint8), 1).astype(float)
    coarse = [one.reshape(32, 8, 32, 8, 3).mean((1, 3, 4)).ravel() for one in (rgb, canvas)]
    assert np.corrcoef(*coarse)[0, 1] > 0.8
    flat = [(np.abs(np.diff(one, axis=1)).max(-1) == 0).mean() for one in (rgb, canvas)]
    assert flat[1] > 0.6 > flat[0]


def test_the_nearest_colour_of_the_palette_is_itself() -> None:
    np.testing.assert_array_equal(nearest_on_palette(PALETTE.astype(float)), PALETTE)


def few(group: str) -> list[Shot]:
    return [shot for shot in shots() if shot.group == group][:2]


def test_two_collections_are_built_the_same_each_time_of_different_scenes_with_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_collections, "shots_of", few)
    for name in ("one", "other"):
        build_two_collections(tmp_path / name)
    files = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert len(files) == 2 + 2 + 3 * 2 + 1
    for name, path in files.items():
        assert (
            hashlib.sha256((tmp_path / "other" / name).read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()
        )
    photos, paintings = ({path.stem for path in (tmp_path / "one" / name).iterdir()} for name in (PHOTOS, PAINTINGS))
    with (tmp_path / "one" / TRUTH / "scoring.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not photos & paintings
    assert not (photos | paintings) & {row["scene"] for row in rows}
    for row in rows:
        photo, painting, parts = (pixels(tmp_path / "one" / TRUTH / row[name]) for name in ("photo", "painting", "parts"))
        assert photo.shape == painting.shape == (*parts.shape, 3)
        np.testing.assert_array_equal(painting, painted(photo, int(row["scene"])))


def test_a_painter_comes_close_to_the_sitter() -> None:
    for shot in few("shallow"):
        left, top, side_px = two_collections._closer(pixels(PICTURES / shot.files()["mask"]))
        mask = pixels(PICTURES / shot.files()["mask"]) >= 128
        seen = mask[top : top + side_px, left : left + side_px]
        assert seen.shape == (side_px, side_px)
        assert seen.mean() > mask.mean()
        assert mask[:top].sum() == 0, "no head is cut"


def test_labels_agree_with_the_masks_and_know_every_part() -> None:
    assert PARTS == CLASSES
    seen = set()
    for shot in (shot for shot in shots() if "parts" in shot.views):
        parts, mask = (pixels(PICTURES / shot.files()[view]) for view in ("parts", "mask"))
        assert ((parts > 0) == (mask >= 128)).mean() > 0.99, shot
        seen |= set(np.unique(parts).tolist())
    assert seen == set(range(len(PARTS)))


@pytest.mark.slow
def test_the_halves_have_photo_and_painting_of_each_scene_and_share_none() -> None:
    (rgb, labels), (others, _) = (labelled_pictures(half) for half in ("even", "odd"))
    assert rgb.shape == (*labels.shape, 3) == (len(labels), SIDE_PX, SIDE_PX, 3)
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    assert not {one.tobytes() for one in rgb} & {one.tobytes() for one in others}
