"""Each metric against a case worked out by hand, and the direction in which it moves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline import regions
from pipeline.evaluation.measure import metrics


def picture(side_px: int = 32, count: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side_px, side_px, 3))


def centred_mask(side_px: int = 32, count: int = 1) -> np.ndarray:
    mask = np.zeros((count, side_px, side_px, 1))
    mask[:, side_px // 4 : 3 * side_px // 4, side_px // 4 : 3 * side_px // 4] = 1.0
    return mask


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones((*image.shape[:3], 1), bool)


def test_l1_is_the_mean_over_region_and_channels() -> None:
    before = np.zeros((1, 2, 2, 3))
    after = before.copy()
    after[0, 0, 0] = [0.3, 0.0, 0.6]
    after[0, 1, 1] = 1.0
    region = np.array([[True, True], [True, False]])[None, :, :, None]
    assert metrics.l1(after, before, region) == pytest.approx([0.9 / 9])


def test_psnr_of_a_known_difference() -> None:
    before = np.zeros((2, 4, 4, 3))
    after = np.stack([np.full((4, 4, 3), 0.1), np.zeros((4, 4, 3))])
    assert metrics.psnr_db(after, before, everywhere(before)) == pytest.approx([20.0, metrics.MAX_PSNR_DB])


def test_ssim_of_two_flat_pictures_is_the_luminance_term() -> None:
    first, second = np.full((1, 8, 8, 3), 0.2), np.full((1, 8, 8, 3), 0.6)
    expected = (2 * 0.2 * 0.6 + 0.0001) / (0.04 + 0.36 + 0.0001)
    assert metrics.ssim(first, second, everywhere(first)) == pytest.approx([expected])


def ssim_by_loops(first: np.ndarray, second: np.ndarray, region: np.ndarray) -> float:
    """The definition, pixel by pixel and channel by channel, windows cut to the region."""
    pixels = [tuple(place) for place in np.argwhere(region[0, :, :, 0])]
    scores = []
    for row, column in pixels:
        inside = [(r, c) for r, c in pixels if max(abs(r - row), abs(c - column)) <= 5]
        weights = np.array([np.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * 1.5**2)) for r, c in inside])
        weights = (weights / weights.sum())[:, None]
        x, y = (np.array([image[0, r, c] for r, c in inside]) for image in (first, second))
        mean_x, mean_y = (weights * x).sum(0), (weights * y).sum(0)
        variance_x, variance_y = (weights * (x - mean_x) ** 2).sum(0), (weights * (y - mean_y) ** 2).sum(0)
        covariance = (weights * (x - mean_x) * (y - mean_y)).sum(0)
        above = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
        scores.append(above / ((mean_x**2 + mean_y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2)))
    return float(np.mean(scores))


@pytest.mark.parametrize("whole", [True, False])
def test_ssim_is_the_published_definition(whole: bool) -> None:
    first, second = picture(14, seed=1), picture(14, seed=2)
    second = 0.7 * first + 0.3 * second
    region = everywhere(first) if whole else picture(14, seed=3)[..., :1] > 0.6
    assert metrics.ssim(first, second, region) == pytest.approx([ssim_by_loops(first, second, region)])


def test_sharpness_of_a_chequerboard_and_of_an_edge() -> None:
    board = np.indices((8, 8)).sum(0) % 2
    edge = np.zeros((8, 8))
    edge[:, 4:] = 1.0
    images = np.stack([board, edge])[..., None].repeat(3, -1).astype(float)
    inner = np.zeros((2, 8, 8, 1), bool)
    inner[:, 1:-1, 1:-1] = True
    assert metrics.sharpness(images, inner) == pytest.approx([4.0, 2 / 6])


def test_relative_sharpness_halves_with_the_contrast() -> None:
    image = picture()
    assert metrics.relative_sharpness(image / 2, image, everywhere(image)) == pytest.approx([0.5])


def test_relative_sharpness_of_a_flat_reference_is_unknown() -> None:
    flat = np.full((1, 8, 8, 3), 0.5)
    assert np.isnan(metrics.relative_sharpness(picture(8), flat, everywhere(flat))).all()


def test_iou_of_two_overlapping_bars() -> None:
    first, second = np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 1))
    first[0, :2], second[0, 1:3] = 1.0, 1.0
    scores = metrics.mask_iou(first, second)
    assert scores[0] == pytest.approx(1 / 3)
    assert np.isnan(scores[1])


@pytest.mark.parametrize("metric", [metrics.l1, metrics.psnr_db, metrics.ssim, metrics.relative_sharpness])
def test_nothing_to_measure_is_nan_for_that_picture_alone(metric: Callable[..., np.ndarray]) -> None:
    image, other = picture(16, count=2), picture(16, count=2, seed=1)
    region = everywhere(image)
    region[0] = False
    scores = metric(other, image, region)
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])


def every_score(image: np.ndarray, output: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    margin = regions.margin_px(image.shape[1])
    subject, background = regions.subject_region(mask, margin), regions.background_region(mask, margin)
    return {
        "subject_l1": metrics.l1(output, image, subject),
        "subject_psnr_db": metrics.psnr_db(output, image, subject),
        "subject_ssim": metrics.ssim(output, image, subject),
        "background_sharpness": metrics.relative_sharpness(output, image, background),
        "mask_iou": metrics.mask_iou(mask, output[..., :1]),
    }


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 5), data=st.data())
def test_scores_do_not_depend_on_the_batch(seed: int, count: int, data: st.DataObject) -> None:
    image, output = picture(24, count, seed), picture(24, count, seed + 1)
    mask = ndimage.gaussian_filter(picture(24, count, seed + 2)[..., :1], 3, axes=(1, 2)) + data.draw(st.floats(-0.1, 0.1))
    together = every_score(image, output, mask)
    order = data.draw(st.permutations(range(count)))
    for name, scores in together.items():
        alone = [every_score(image[i : i + 1], output[i : i + 1], mask[i : i + 1])[name][0] for i in order]
        assert scores[list(order)] == pytest.approx(alone, rel=1e-9, nan_ok=True)


def test_blurring_the_background_is_seen_there_and_nowhere_else() -> None:
    image, mask = picture(64), centred_mask(64)
    blurred = mask * image + (1 - mask) * ndimage.gaussian_filter(image, 2, axes=(1, 2))
    scores = every_score(image, blurred, mask)
    assert scores["background_sharpness"] < 0.2
    assert scores["subject_l1"] == 0
    assert scores["subject_psnr_db"] == metrics.MAX_PSNR_DB
    assert scores["subject_ssim"] == pytest.approx(1.0)


def test_shifting_the_subjects_colours_is_seen_there_and_nowhere_else() -> None:
    image, mask = picture(64) * 0.8, centred_mask(64)
    shifted = image + mask * np.array([0.2, 0.0, 0.1])
    scores = every_score(image, shifted, mask)
    assert scores["subject_l1"] == pytest.approx(0.1)
    assert scores["subject_psnr_db"] < 20
    assert scores["subject_ssim"] < 0.99
    assert scores["background_sharpness"] == pytest.approx(1.0)


def test_more_blur_scores_lower() -> None:
    image, mask = picture(64), centred_mask(64)
    shares = [
        every_score(image, ndimage.gaussian_filter(image, sigma, axes=(1, 2)), mask)["background_sharpness"][0]
        for sigma in (0.5, 1.0, 2.0, 4.0)
    ]
    assert shares == sorted(shares, reverse=True)
