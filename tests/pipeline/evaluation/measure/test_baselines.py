"""The study's smoothing against the formulas written out."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from pipeline.evaluation.measure.baselines import (
    average_5x5,
    disc_held,
    discs_held,
    fitting_width,
    gaussian,
    gaussian_9x9,
    gaussian_sigma_px,
    paste_subject,
)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 24, 20, 3)).astype(np.float32)


def by_kernel(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlation by loops; the picture is mirrored about its outermost pixels."""
    radius = len(kernel) // 2
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="reflect")
    height, width = image.shape[1:3]
    shifted = [
        weight * padded[:, row : row + height, column : column + width] for (row, column), weight in np.ndenumerate(kernel)
    ]
    return np.sum(shifted, axis=0)


def test_average_is_the_mean_of_25() -> None:
    image = picture()
    assert average_5x5(image) == pytest.approx(by_kernel(image, np.full((5, 5), 1 / 25)), abs=1e-6)


def test_gaussian_is_the_studys_kernel() -> None:
    image = picture(1)
    line = np.exp(-((np.arange(9) - 4) ** 2) / (2 * 1.7**2))
    kernel = line[:, None] * line / line.sum() ** 2
    assert gaussian_9x9(image) == pytest.approx(by_kernel(image, kernel), abs=1e-6)


def test_sigma_of_the_kernel_side() -> None:
    assert [gaussian_sigma_px(side) for side in (3, 5, 9)] == pytest.approx([0.8, 1.1, 1.7])


@pytest.mark.parametrize("blur", [average_5x5, gaussian_9x9])
def test_flat_pictures_stay_and_batches_do_not_mix(blur: Callable[[np.ndarray], np.ndarray]) -> None:
    image = picture()
    image[1] = 0.25
    blurred = blur(image)
    assert blurred[1] == pytest.approx(image[1], abs=1e-6)
    assert blurred[:1] == pytest.approx(blur(image[:1]), abs=1e-7)
    assert blurred.dtype == np.float32


def test_pasting_keeps_the_subject_and_blends_soft_alpha() -> None:
    image, blurred = picture(2), picture(3)
    mask = np.zeros((2, 24, 20, 1), np.float32)
    mask[:, :8], mask[:, 8:16] = 1.0, 0.25
    pasted = paste_subject(blurred, image, mask)
    assert np.array_equal(pasted[:, :8], image[:, :8])
    assert pasted[:, 8:16] == pytest.approx(0.25 * image[:, 8:16] + 0.75 * blurred[:, 8:16])
    assert np.array_equal(pasted[:, 16:], blurred[:, 16:])


def a_bright_subject(background: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((1, 48, 48, 3), background, np.float32)
    mask = np.zeros((1, 48, 48, 1), np.float32)
    image[:, 16:32, 16:32], mask[:, 16:32, 16:32] = 1.0, 1.0
    return image, mask


def test_a_held_disc_lets_no_light_of_the_subject_out_and_keeps_it() -> None:
    image, mask = a_bright_subject()
    np.testing.assert_allclose(disc_held(image, mask, 5.0), image, atol=2e-3)


def test_a_point_of_light_becomes_an_even_disc_in_linear_light() -> None:
    image, mask = np.zeros((1, 48, 48, 3), np.float32), np.zeros((1, 48, 48, 1), np.float32)
    image[0, 24, 24] = 1.0
    lit = disc_held(image, mask, 5.0)[0, :, :, 0]
    inside = lit[24, 21:28]
    light = ((lit + 0.055) / 1.055) ** 2.4
    assert np.ptp(inside[[0, 1, 2, 4, 5, 6]]) < 1e-3
    assert lit[24, 31] == 0
    assert light[lit > 0.04].sum() == pytest.approx(1.0, rel=0.05)


def test_a_width_is_found_to_a_few_per_cent() -> None:
    for right in (0.5, 0.6, 1.7, 4.0, 16.0):
        assert fitting_width(lambda width, right=right: abs(np.log(width / right)), 256) == pytest.approx(right, rel=0.08)
    tried: list[float] = []

    def misfit(width: float) -> float:
        tried.append(width)
        return abs(np.log(width / 1.7))

    fitting_width(misfit, 256)
    assert len(tried) == len(set(tried)) == 6 + 4


def test_a_bump_is_no_end() -> None:
    assert fitting_width(lambda width: abs(np.log(width / 9.0)) + (4.0 < width < 5.0), 256) == pytest.approx(9.0, rel=0.08)


@pytest.mark.parametrize("sigma_px", [0.3, 1.0, 2.6])
def test_a_gaussian_is_that_of_scipy(sigma_px: float) -> None:
    image = picture(6)
    expected = ndimage.gaussian_filter(image, sigma_px, mode="mirror", axes=(1, 2))
    np.testing.assert_allclose(gaussian(image, sigma_px), expected, atol=1e-6)


def test_discs_of_one_picture_are_those_of_a_batch() -> None:
    image = picture(4)
    mask = np.random.default_rng(5).random((2, 24, 20, 1)).astype(np.float32)
    of_first = discs_held(image[:1], mask[:1])
    for radius_px in (0.7, 3.0, 5.2):
        np.testing.assert_array_equal(of_first(radius_px), disc_held(image, mask, radius_px)[:1])
