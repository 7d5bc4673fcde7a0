"""Scaled pictures are Pillow's, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.resampling import resize

FILTERS = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]
SIDES = st.integers(1, 90)


def by_pillow(pixels: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, resample))


@settings(deadline=None, max_examples=150)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.sampled_from(FILTERS), st.booleans(), st.integers(0, 99))
def test_every_size_and_filter_agrees(
    old: tuple[int, int], new: tuple[int, int], resample: Image.Resampling, is_grey: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, old if is_grey else (*old, 3), np.uint8)
    if seed % 2:
        pixels = (pixels > 127).astype(np.uint8) * 255  # the filters overshoot
    np.testing.assert_array_equal(resize(pixels, new, resample), by_pillow(pixels, new, resample))


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("size", [(256, 256), (256, 144), (320, 213), (384, 576), (1024, 683)])
def test_sizes_of_photos_agree(size: tuple[int, int], resample: Image.Resampling) -> None:
    for shape in ((683, 1024), (1024, 683), (512, 342), (192, 192)):
        pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        np.testing.assert_array_equal(resize(pixels, size, resample), by_pillow(pixels, size, resample))


def test_a_part_of_a_picture_and_a_turned_one_are_taken_and_none_is_changed() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for pixels in (whole[10:50, 5:70], whole.transpose(1, 0, 2), whole[:, ::-1]):
        expected = by_pillow(np.ascontiguousarray(pixels), (33, 21), FILTERS[1])
        np.testing.assert_array_equal(resize(pixels, (33, 21), FILTERS[1]), expected)
    same = resize(whole, (80, 60), FILTERS[1])
    same[:] = 0
    assert whole.any()
