"""Which square of a photo, scaled how; the alpha along with it; shards that come back under their names."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.dataset.crop import Crop, Square, centre_square, parse_transform, subject_square
from pipeline.dataset.lanczos import resize
from pipeline.dataset.prepare import Readers, ShardFolder, cut, prepare_images
from pipeline.dataset.shards import ShardReader
from pipeline.errors import DatasetError
from pipeline.photos.decode import decode, decode_reduced
from pipeline.tables import conform


def smooth_photo(width_px: int, height_px: int, seed: int = 0) -> np.ndarray:
    """Soft coloured blobs with a few sharp bars, uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    rgb = np.array(Image.fromarray(coarse).resize((width_px, height_px), Image.Resampling.BICUBIC))
    rgb[height_px // 3 : height_px // 2, ::97] = 255
    return rgb


def jpeg(rgb: np.ndarray, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


def bust(width_px: int, height_px: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    alpha = np.zeros((height_px, width_px), np.uint8)
    alpha[top:bottom, left:right] = 255
    return alpha


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (41, 41)])
def test_the_studys_crop_is_the_centred_square(height: int, width: int) -> None:
    pixels = np.zeros((height, width), np.uint8)
    top, left = (height - 40) // 2, (width - 40) // 2
    pixels[top : top + 40, left : left + 40] = 200
    square = cut(pixels, (width, height), centre_square(width, height), 20)
    assert square.shape == (20, 20)
    assert (square[3:-3, 3:-3] >= 195).all()


def test_lanczos_is_pillows() -> None:
    pixels = smooth_photo(64, 64)
    expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling.LANCZOS)
    found = cut(pixels, (64, 64), centre_square(64, 64), 32)
    assert psnr(found, np.asarray(expected)) > 45


@pytest.mark.parametrize("size_px", [16, 64, 150])
@pytest.mark.parametrize("box", [(0, 0, 97, 97), (3.3, 10.25, 80.1, 87.05)])
def test_lanczos_agrees_with_floating_point(size_px: int, box: tuple[float, float, float, float]) -> None:
    pixels = smooth_photo(120, 97)
    bands = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(3)]
    exact = [np.asarray(band.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box)) for band in bands]
    found = resize(pixels, box, size_px)
    assert psnr(found, np.stack(exact, -1).clip(0, 255)) > 50
    np.testing.assert_array_equal(resize(pixels[..., 1], box, size_px), found[..., 1])


@given(st.integers(0, 255), st.integers(3, 60), st.integers(3, 60), st.integers(1, 80))
def test_an_even_area_keeps_its_level(level: int, width: int, height: int, size_px: int) -> None:
    found = resize(np.full((height, width, 3), level, np.uint8), (0, 0, width, height), size_px)
    np.testing.assert_array_equal(found, level)


@given(
    width=st.integers(20, 400),
    height=st.integers(20, 400),
    corners=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_crop_around_the_subject_cuts_the_head(
    width: int, height: int, corners: tuple[float, float, float, float]
) -> None:
    (left, right), (top, bottom) = (sorted(corners[::2]), sorted(corners[1::2]))
    alpha = bust(width, height, int(left * (width - 1)), int(top * (height - 1)), 0, 0)
    x, y = int(left * (width - 1)), int(top * (height - 1))
    alpha[y : max(y + 1, int(bottom * height)), x : max(x + 1, int(right * width))] = 255
    box = subject_square(alpha).box(width, height)
    assert box[0] >= 0
    assert box[1] >= 0
    assert box[2] <= width + 1e-6
    assert box[3] <= height + 1e-6
    assert box[2] - box[0] == pytest.approx(min(width, height))
    rows, columns = np.nonzero(alpha)
    assert box[1] <= rows.min()
    middle_of_head = np.nonzero(alpha[rows.min()])[0].mean() + 0.5
    assert box[0] <= middle_of_head <= box[2]
    if columns.max() + 1 - columns.min() <= min(width, height):
        assert box[0] <= columns.min() + 1e-6
        assert box[2] >= columns.max() + 1 - 1e-6


def test_the_crop_around_the_subject_moves_to_where_the_subject_is() -> None:
    assert subject_square(bust(300, 100, 220, 20, 280, 100)).box(300, 100) == pytest.approx((200, 0, 300, 100))
    assert subject_square(bust(100, 300, 20, 10, 80, 300)).box(100, 300) == pytest.approx((0, 2, 100, 102))
    assert subject_square(np.zeros((100, 300), np.uint8)) == centre_square(300, 100)


@pytest.mark.parametrize("size", [(1600, 1067), (1067, 1600), (1601, 1333)])
def test_a_reduced_decode_is_the_same_picture(size: tuple[int, int]) -> None:
    data = jpeg(smooth_photo(*size))
    full, reduced = decode(data, 10**8), decode_reduced(data, 512, 10**8)
    assert max(reduced.rgb.shape) < max(full.rgb.shape)
    assert reduced.extent == (size[0] / 2, size[1] / 2)
    square = centre_square(*size)
    assert psnr(cut(full.rgb, full.extent, square, 256), cut(reduced.rgb, reduced.extent, square, 256)) > 45


def test_a_turned_photo_has_its_extent_turned() -> None:
    upright = decode_reduced(jpeg(smooth_photo(1601, 1333), orientation=6), 512, 10**8)
    assert upright.extent == (1333 / 2, 1601 / 2)
    assert upright.rgb.shape[:2] == (801, 667)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.2, 1), st.integers(64, 300), st.integers(64, 300))
def test_alpha_is_cropped_exactly_as_the_photo(left: float, top: float, side: float, width: int, height: int) -> None:
    square = Square(left, top, side)
    large, small = square.box(width, height), square.box(width / 4, height / 4)
    np.testing.assert_allclose(np.array(large) / 4, small, atol=1e-9)


@dataclass(frozen=True, eq=False)
class Photo:
    rgb: np.ndarray
    asked_px: float

    @property
    def extent(self) -> tuple[float, float]:
        return self.rgb.shape[1], self.rgb.shape[0]


def masks_table(count: int) -> pd.DataFrame:
    rows = [
        {
            "photo_id": f"flickr:{n}", "domain": "ordinary", "sha256": f"{n}", "split_key": f"flickr:{n}", "mask": f"{n}",
            "mask_sha256": f"m{n}", "coverage": 0.3, "people": 1, "runner_up": 0.0,
        }
        for n in range(count)
    ]  # fmt: skip
    return conform("person_masks", pd.DataFrame(rows))


def prepared(folder: Path, masks: pd.DataFrame, known: pd.DataFrame | None = None, rows: int = 3) -> pd.DataFrame:
    def read_mask(mask: str) -> np.ndarray:
        return bust(120, 80, 70 + int(mask), 10, 110, 80)

    table = prepare_images(
        masks,
        Readers(lambda digest, short_edge_px: Photo(smooth_photo(240, 160, int(digest)), short_edge_px), read_mask),
        ShardFolder(folder, rows),
        Crop("subject", 32),
        known=known,
    )
    return conform("training_images", table)


def test_pictures_of_a_table_lie_in_shards_cut_around_the_subject(tmp_path: Path) -> None:
    table = prepared(tmp_path, masks_table(5))
    assert set(table["transform"]) == {"subject-square-lanczos-32-v3"}
    rgb, alpha = ShardReader([tmp_path / shard for shard in table["shard"]], table["row"].tolist()).batch(np.arange(5))
    box = subject_square(bust(120, 80, 70, 10, 110, 80)).box(240, 160)
    expected = Image.fromarray(smooth_photo(240, 160, 0)).resize((32, 32), Image.Resampling.LANCZOS, box=box)
    assert np.abs(rgb[0].astype(int) - np.asarray(expected)).max() <= 2
    assert alpha[0].max() == 255


@pytest.mark.parametrize("earlier", [0, 2])
def test_where_nothing_has_a_mask_there_is_an_empty_table(tmp_path: Path, earlier: int) -> None:
    if earlier:
        prepared(tmp_path, masks_table(earlier))
    assert prepared(tmp_path, masks_table(5).assign(mask=None, mask_sha256=None, reason="mask_missing")).empty


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_shard_comes_back_under_its_name_even_as_the_set_has_grown(tmp_path: Path, lost: int) -> None:
    first = prepared(tmp_path, masks_table(6))
    name = first["shard"].unique()[lost]
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    again = prepared(tmp_path, masks_table(8), known=first)
    assert (tmp_path / name).read_bytes() == content
    pd.testing.assert_frame_equal(again.head(6), first)


def test_a_lost_shard_whose_photos_partly_went_is_packed_anew(tmp_path: Path) -> None:
    first = prepared(tmp_path, masks_table(6))
    (tmp_path / first["shard"].iloc[0]).unlink()
    again = prepared(tmp_path, masks_table(6).iloc[1:], known=first)
    assert len(again) == 5
    pd.testing.assert_series_equal(again["pixels_sha256"], first["pixels_sha256"].iloc[1:].reset_index(drop=True))


def test_transforms_are_known_by_their_names() -> None:
    for transform in (Crop("centre", 256), Crop("subject", 286)):
        assert parse_transform(transform.name) == transform
    assert Crop("centre", 256).name == "centre-square-lanczos-256-v3"
    with pytest.raises(DatasetError, match="cannot repeat"):
        parse_transform("centre-square-lanczos-256-v1")
