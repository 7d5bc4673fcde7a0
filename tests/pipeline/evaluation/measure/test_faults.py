"""Each fault is found where it was planted, and nowhere else."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from pipeline.evaluation.measure import faults
from pipeline.regions import background_region, subject_region

SIDE = 64


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Three pictures of coloured noise at several scales, [3, 64, 64, 3]."""
    generator = np.random.default_rng(0)
    noise = sum(ndimage.gaussian_filter(generator.normal(size=(3, SIDE, SIDE, 3)), s, axes=(1, 2)) * s for s in (0.7, 2, 6))
    return np.clip(0.5 + 0.12 * np.asarray(noise), 0, 1)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disk = (rows - 32) ** 2 + (columns - 32) ** 2 < 14**2
    return np.repeat(disk[None, :, :, None].astype(float), 3, axis=0)


def blurred(picture: np.ndarray, sigma_px: float) -> np.ndarray:
    return ndimage.gaussian_filter(picture, sigma_px, axes=(1, 2))


def test_colour_shift_is_the_known_difference_of_two_greys() -> None:
    """CIELAB's lightness of sRGB 0.5 is 53.39, of 0.6 63.22; greys have neither a nor b."""
    everywhere = np.ones((1, 4, 4, 1), bool)
    shift = faults.colour_shift(np.full((1, 4, 4, 3), 0.6), np.full((1, 4, 4, 3), 0.5), everywhere)
    assert shift[0] == pytest.approx(63.22 - 53.39, abs=0.05)


def test_colour_shift_of_white_to_red_is_cielabs() -> None:
    red, white = np.zeros((1, 2, 2, 3)), np.ones((1, 2, 2, 3))
    red[..., 0] = 1
    (shift,) = faults.colour_shift(red, white, np.ones((1, 2, 2, 1), bool))
    assert shift == pytest.approx(np.hypot(100 - 53.24, np.hypot(80.09, 67.20)), abs=0.1)


def test_blurring_the_background_leaves_the_subjects_colour(picture: np.ndarray, mask: np.ndarray) -> None:
    output = mask * picture + (1 - mask) * blurred(picture, 3)
    assert faults.colour_shift(output, picture, subject_region(mask, 2)) == pytest.approx(0, abs=1e-9)
    tinted = np.clip(picture + mask * np.array([0.1, 0, 0]), 0, 1)
    assert (faults.colour_shift(tinted, picture, subject_region(mask, 2)) > 3).all()


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("direction", ["rows", "columns", "both"])
def test_a_pattern_of_upsampling_is_found(picture: np.ndarray, period: int, direction: str) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    places = {"rows": rows, "columns": columns, "both": rows + columns}[direction]
    pattern = 0.05 * np.cos(2 * np.pi * places / period)[None, :, :, None]
    clean, dirty = faults.checkerboard(picture), faults.checkerboard(picture + pattern)
    assert (clean < 6).all()
    assert (dirty > 5 * clean).all()


def test_a_flat_picture_has_no_pattern() -> None:
    assert np.isnan(faults.checkerboard(np.full((1, SIDE, SIDE, 3), 0.3))).all()


def test_blur_imagines_nothing_and_new_structure_is_found(picture: np.ndarray, mask: np.ndarray) -> None:
    background = background_region(mask, 2)
    assert faults.imagined(blurred(picture, 2), picture, background).max() < 1e-3
    stripes = 0.3 * (np.mgrid[:SIDE, :SIDE][1] % 12 < 6)[None, :, :, None]
    invented = np.clip(blurred(picture, 2) + stripes, 0, 1)
    assert (faults.imagined(invented, blurred(picture, 2), background) > 0.01).all()


def test_an_even_blur_is_even_and_a_half_is_not(picture: np.ndarray, mask: np.ndarray) -> None:
    background = background_region(mask, 2)
    even = blurred(picture, 1.5)
    half = picture.copy()
    half[:, :, : SIDE // 2] = even[:, :, : SIDE // 2]
    assert (faults.blur_unevenness(picture, picture, background) == 0).all()
    assert (faults.blur_unevenness(half, picture, background) > 2 * faults.blur_unevenness(even, picture, background)).all()


def test_a_flat_background_has_no_evenness(mask: np.ndarray) -> None:
    flat = np.full((3, SIDE, SIDE, 3), 0.5)
    assert np.isnan(faults.blur_unevenness(flat, flat, background_region(mask, 2))).all()


def test_a_sharp_rim_is_seen(picture: np.ndarray, mask: np.ndarray) -> None:
    blur = mask * picture + (1 - mask) * blurred(picture, 2)
    wide = np.stack([ndimage.binary_dilation(m[..., 0] > 0.5, iterations=5) for m in mask])[..., None]
    halo = np.where(wide, picture, blur)
    assert (faults.rim_sharpness(halo, picture, mask) > 1.5 * faults.rim_sharpness(blur, picture, mask)).all()
    assert faults.rim_sharpness(picture, picture, mask) == pytest.approx(1)


def test_a_subject_that_bleeds_is_told_from_one_that_does_not(picture: np.ndarray, mask: np.ndarray) -> None:
    scene = np.clip(0.5 * picture + 0.5 * mask, 0, 1)
    bleeding = mask * scene + (1 - mask) * blurred(scene, 1)
    clean = blurred(scene * (1 - mask), 1) / np.maximum(blurred(1 - mask, 1), 1e-6)
    clean = mask * scene + (1 - mask) * clean
    assert faults.leak(bleeding, scene, mask) == pytest.approx(1, abs=0.15)
    assert faults.leak(clean, scene, mask) == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("fault", [faults.rim_sharpness, faults.leak])
def test_without_a_subject_there_is_no_rim(fault: Callable[..., np.ndarray], picture: np.ndarray, mask: np.ndarray) -> None:
    assert np.isnan(fault(picture, picture, np.zeros_like(mask))).all()


def test_scores_do_not_depend_on_the_batch(picture: np.ndarray, mask: np.ndarray) -> None:
    output, background = blurred(picture, 1), background_region(mask, 2)
    for score in (faults.imagined, faults.blur_unevenness, faults.colour_shift):
        alone = [score(output[i : i + 1], picture[i : i + 1], background[i : i + 1])[0] for i in range(3)]
        np.testing.assert_allclose(score(output, picture, background), alone)
