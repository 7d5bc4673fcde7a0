"""Hints: plain numbers that move the right way, and right on pictures whose truth is known."""

import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from pipeline.curation.depth_of_field import SOFTNESS_EDGE_PX, DepthOfField, depth_of_field, relative_softness
from pipeline.curation.hints import (
    TOGETHER,
    Hints,
    camera_and_software,
    colourfulness,
    count_people,
    cut_off,
    drawn,
    in_threads,
    measure,
    measure_photos,
)
from pipeline.hint_table import HINTS
from pipeline.studio.pictures import PICTURES
from pipeline.tables import TABLES, conform, empty
from tests.pipeline.curation.worlds import FITTING

SIDE_PX = 256


class Everybody:
    """A finder that takes the middle of the frame for a person."""

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [_disc(*picture.shape[:2]).astype(np.uint8) * 255 for picture in pictures]


def _disc(height_px: int, width_px: int) -> np.ndarray:
    y, x = np.mgrid[:height_px, :width_px]
    return np.hypot(x / width_px - 0.5, y / height_px - 0.5) < 0.25


def _picture(blur_px: float, seed: int = 0) -> np.ndarray:
    """A textured disc before patches of colour that are `blur_px` out of focus."""
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.integers(0, 256, (32, 32, 3)), np.ones((8, 8, 1)))
    background = ndimage.gaussian_filter(patches, (blur_px, blur_px, 0)) if blur_px else patches
    disc = _disc(SIDE_PX, SIDE_PX)[..., None]
    return np.where(disc, np.kron(rng.integers(0, 256, (64, 64, 3)), np.ones((4, 4, 1))), background).astype(np.uint8)


def _depth_of_field(rgb: np.ndarray, people: np.ndarray) -> DepthOfField:
    """Of a picture at the work size."""
    scale = SOFTNESS_EDGE_PX / max(people.shape)
    size = round(people.shape[1] * scale), round(people.shape[0] * scale)
    finer, alpha = (np.asarray(Image.fromarray(one).resize(size)) for one in (rgb, people.astype(np.uint8) * 255))
    return depth_of_field(rgb, people, relative_softness(finer, alpha))


def _noisy(rgb: np.ndarray) -> np.ndarray:
    return (rgb + np.random.default_rng(1).normal(0, 3, rgb.shape)).clip(0, 255).astype(np.uint8)


def test_the_background_looks_the_softer_the_more_it_is_blurred_and_the_subject_does_not() -> None:
    disc = _disc(SIDE_PX, SIDE_PX)
    pictures = [_noisy(_picture(blur)) for blur in (0, 1.5, 3, 6)]
    found = [_depth_of_field(picture, disc) for picture in pictures]
    behind, before = [one.background_sharpness for one in found], [one.subject_sharpness for one in found]
    assert behind == sorted(behind, reverse=True)
    assert behind[0] > 0.4 > 0.25 > behind[-1]
    assert max(before) - min(before) < 0.05
    assert min(before) > 0.4
    shallow = [one.shallowness for one in found]
    assert shallow[0] < 0.6 < 0.8 < shallow[-1]
    assert shallow[0] < shallow[1] < shallow[2]


def test_a_hint_hardly_depends_on_the_size_of_the_file() -> None:
    large = _picture(2.0).repeat(4, axis=0).repeat(4, axis=1)
    small, big = measure(_picture(2.0), Everybody()), measure(large, Everybody())
    for name in ("person_share", "shallowness", "colourfulness", "cut_off"):
        assert getattr(small, name) == pytest.approx(getattr(big, name), abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (16, 16), (64, 20)])
def test_tiny_and_odd_pictures_are_measured(size: tuple[int, int]) -> None:
    hints = measure(np.full((*size, 3), 128, np.uint8), Everybody())
    conform("photo_hints", pd.DataFrame([{"sha256": "a", "measured_by": "b", **vars(hints)}]))


def test_grey_and_sepia_are_monochrome_and_a_faded_photo_is_not() -> None:
    colour = _picture(3.0)
    grey = np.repeat(np.asarray(Image.fromarray(colour).convert("L"))[..., None], 3, axis=2).astype(float)
    sepia = (grey * [1.0, 0.85, 0.65]).clip(0, 255).astype(np.uint8)
    faded = (grey * 0.8 + colour * 0.2).astype(np.uint8)
    assert colourfulness(grey.astype(np.uint8)) < 0.005
    assert colourfulness(sepia) < 0.01
    assert colourfulness(faded) > 0.03
    assert colourfulness(colour) > 0.2


def test_people_are_counted_and_cut_off_by_the_frame() -> None:
    mask = np.zeros((100, 100), bool)
    assert (count_people(mask), cut_off(mask)) == (0, 0.0)
    mask[20:80, 10:40] = mask[20:80, 60:90] = True
    mask[0:2, 0:2] = True
    assert count_people(mask) == 2
    mask[20:80, 0:40] = True
    assert cut_off(mask) == pytest.approx((60 + 2 + 2) / 300)


def test_a_drawing_and_a_screenshot_are_told_from_a_photograph() -> None:
    page = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 400, 220), fill=(40, 90, 160))
    draw.ellipse((120, 60, 260, 200), fill=(230, 180, 90), outline="black", width=3)
    assert drawn(np.asarray(page)) > 0.5
    overexposed = np.full((300, 400, 3), 255, np.uint8)
    assert drawn(overexposed) == 0.0
    assert drawn(_noisy(_picture(3.0))) < 0.1


def _jpeg(**words: str) -> bytes:
    exif = Image.Exif()
    for tag, word in zip((271, 272, 305), (words.get(name, "") for name in ("make", "model", "software")), strict=True):
        if word:
            exif[tag] = word
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_camera_and_software_are_read_where_they_are_known() -> None:
    assert camera_and_software(_jpeg(make="Apple", model="iPhone 7", software="12.1")) == ("Apple iPhone 7", "12.1")
    assert camera_and_software(_jpeg(make="Canon", model="Canon EOS 5D")) == ("Canon EOS 5D", None)
    for data in (_jpeg(), b"", b"no picture", _jpeg(make="x")[:150]):
        assert camera_and_software(data) in ((None, None), ("x", None))
    edited = measure(_picture(0), Everybody(), _jpeg(software="Adobe Photoshop 21.0")).edited
    plain = measure(_picture(0), Everybody(), _jpeg(software="12.1")).edited
    assert (edited, plain, measure(_picture(0), Everybody()).edited) == (1.0, 0.0, None)


def _of(pictures: Sequence[str]) -> list[Hints]:
    return [Hints(**{**FITTING, "cut_off": int(sha256, 16) / 100}) for sha256 in pictures]


def test_each_picture_is_measured_once_for_ever(tmp_path: Path) -> None:
    asked: list[str] = []

    def some(pictures: Sequence[str]) -> list[Hints]:
        asked.extend(pictures)
        return _of(pictures)

    journal = tmp_path / "journal.jsonl"
    table = measure_photos(["1", "2", "2"], empty("photo_hints"), "v1", in_threads(some), journal)[0]
    journal.unlink()
    table = measure_photos(["2", "3"], conform("photo_hints", table), "v1", in_threads(some), journal)[0]
    assert sorted(asked) == ["1", "2", "3"]
    assert sorted(table["sha256"]) == ["1", "2", "3"]
    renewed = measure_photos(["2"], conform("photo_hints", table), "v2", in_threads(some), journal)[0]
    assert sorted(asked) == ["1", "2", "2", "3"]
    assert conform("photo_hints", renewed).set_index("sha256")["measured_by"].to_dict() == {"1": "v1", "2": "v2", "3": "v1"}


def test_a_run_killed_in_the_middle_loses_no_hint(tmp_path: Path) -> None:
    journal, pictures = tmp_path / "journal.jsonl", [f"{n:x}" for n in range(1, 30)]

    def dies(pictures: Sequence[str]) -> list[Hints]:
        if "14" in pictures:
            raise KeyboardInterrupt
        return _of(pictures)

    with pytest.raises(KeyboardInterrupt):
        measure_photos(pictures, empty("photo_hints"), "v1", in_threads(dies), journal)
    kept = [json.loads(line)["sha256"] for line in journal.read_text().splitlines() if line]
    assert kept == pictures[: pictures.index("14") // TOGETHER * TOGETHER]
    journal.write_bytes(journal.read_bytes()[:-20])
    asked: list[str] = []

    def goes_on(pictures: Sequence[str]) -> list[Hints]:
        asked.extend(pictures)
        return _of(pictures)

    table = conform("photo_hints", measure_photos(pictures, empty("photo_hints"), "v1", in_threads(goes_on), journal)[0])
    assert sorted(asked) == sorted(set(pictures) - set(kept[:-1]))
    pd.testing.assert_frame_equal(table, conform("photo_hints", _fresh(pictures, tmp_path)))


def _fresh(pictures: list[str], folder: Path) -> pd.DataFrame:
    return measure_photos(pictures, empty("photo_hints"), "v1", in_threads(_of), folder / "other.jsonl")[0]


def test_names_of_hints_agree_everywhere() -> None:
    schema = TABLES["photo_hints"].columns
    assert [field.name for field in fields(Hints)] == list(HINTS) == list(schema)[: len(HINTS)]
    page = (Path(__file__).parents[3] / "docs" / "curation.md").read_text(encoding="utf-8")
    for name, hint in HINTS.items():
        assert schema[name].description == hint.meaning
        assert schema[name].nullable == hint.may_be_unknown
        assert f"| `{name}` | {hint.range} | {hint.meaning} |" in page


def test_the_studios_pictures_are_told_apart_with_their_true_masks() -> None:
    found: dict[str, list[float]] = {}
    for group in ("ordinary", "shallow"):
        for path in sorted((PICTURES / group).glob("*.jpg"))[:30]:
            small = Image.open(path)
            small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
            mask = np.asarray(Image.open(path.with_name(f"{path.stem}_mask.png")).resize(small.size)) > 127
            found.setdefault(group, []).append(_depth_of_field(np.asarray(small.convert("RGB")), mask).shallowness)
    right = [np.mean(np.array(found["shallow"]) > 0.5), np.mean(np.array(found["ordinary"]) < 0.5)]
    assert np.mean(right) >= 0.95
