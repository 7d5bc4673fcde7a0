"""Each loop against what NumPy, SciPy and OpenCV say, in many more passes."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from pipeline import pixel_loops as loops
from pipeline.curation.depth_of_field import SCALES_PX, gradients_of

SHAPES = [(40, 57), (3, 9), (1, 1), (64, 64)]


def a_region(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2) > 0.5


def a_picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius_px", [1, 4, 12, 30])
def test_a_region_grows_by_a_disk(shape: tuple[int, int], radius_px: int) -> None:
    steps = np.arange(-radius_px, radius_px + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius_px**2).astype(np.uint8)
    for region in (a_region(shape), np.zeros(shape, bool), np.ones(shape, bool)):
        np.testing.assert_array_equal(loops.dilated(region, radius_px), cv2.dilate(region.astype(np.uint8), disk) > 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_laplacian_is_opencvs(shape: tuple[int, int]) -> None:
    grey, region = np.random.default_rng(0).random(shape, np.float32), a_region(shape) | (np.arange(shape[1]) == 0)
    expected = np.abs(cv2.Laplacian(grey, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE))[region].mean()
    assert loops.mean_laplacian(grey, region) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side_px", [3, 8, 32, 200])
def test_local_contrast_is_the_deviation_in_windows(shape: tuple[int, int], side_px: int) -> None:
    grey, region = np.random.default_rng(0).random(shape, np.float32), a_region(shape) | (np.arange(shape[1]) == 0)
    found = []
    for y, x in np.argwhere(region):
        top, left = y - side_px // 2, x - side_px // 2
        window = np.s_[max(0, top) : top + side_px, max(0, left) : left + side_px]
        found.append(grey[window][region[window]].std(dtype=np.float64))
    assert loops.mean_local_contrast(grey, region, side_px) == pytest.approx(np.mean(found), abs=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_gaussians(shape: tuple[int, int]) -> None:
    rgb = a_picture(shape)
    for scale_px, found in zip(SCALES_PX, gradients_of(rgb).values(), strict=True):
        at = np.arange(-int(4 * scale_px + 0.5), int(4 * scale_px + 0.5) + 1)
        smooth = np.exp(-0.5 * at**2 / scale_px**2)
        smooth /= smooth.sum()
        slope = -at / scale_px**2 * smooth
        channels = rgb.astype(float) / 255

        def filtered(down: np.ndarray, across: np.ndarray, channels: np.ndarray = channels) -> np.ndarray:
            return ndimage.correlate1d(ndimage.correlate1d(channels, across, 1, mode="reflect"), down, 0, mode="reflect")

        expected = np.hypot(filtered(smooth, slope), filtered(slope, smooth)).max(-1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ratios_are_of_the_edges_that_can_be_seen() -> None:
    fine, coarse = np.random.default_rng(0).random((2, 20, 30), np.float32)
    region = a_region((20, 30))
    seen = region & (fine > np.float32(0.3))
    np.testing.assert_allclose(loops.edge_ratios(fine, coarse, region, np.float32(0.3)), fine[seen] / (coarse[seen] + 1e-4))


@pytest.mark.parametrize("values", [
    np.random.default_rng(0).random(1000), np.random.default_rng(0).random((40, 57)), [0.25], [0.0, 1.0], np.zeros(9),
    np.repeat([0.0, 1e-30, 0.5, 7.5, 1e30], 5), 1 + 1e-6 * np.random.default_rng(0).random(500),
])  # fmt: skip
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 0.95, 1.0])
def test_quantiles_are_numpys(values: np.ndarray, share: float) -> None:
    values = np.asarray(values, np.float32)
    assert loops.quantile(values, share) == pytest.approx(np.quantile(values.astype(float), share), rel=1e-12, abs=0)


def test_tints_are_least_squares_in_powers_of_luma() -> None:
    rgb = a_picture((30, 40))
    red, green, blue = (rgb.reshape(-1, 3) / 255.0).T
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma, powers = np.stack([red - green, 0.5 * (red + green) - blue], 1), np.stack([luma**0, luma, luma**2], 1)
    levels = loops.planes(rgb, 0)
    left, right = loops.tint_sums(levels)
    np.testing.assert_allclose(left, powers.T @ powers, rtol=1e-5)
    np.testing.assert_allclose(right, powers.T @ chroma, rtol=1e-4, atol=1e-3)
    tint = np.linalg.lstsq(powers, chroma, rcond=None)[0]
    expected = np.hypot(*(chroma - powers @ tint).T)
    np.testing.assert_allclose(loops.tint_distances(levels, tint.astype(np.float32)).ravel(), expected, atol=1e-5)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("shape", [(41, 57), (3, 9), (1, 7)])
def test_flat_pixels_are_counted(shape: tuple[int, int], step: int) -> None:
    rgb = (a_picture(shape) // 100 * 100 + a_picture(shape, 1) // 128).astype(np.uint8)
    levels = rgb[::step, ::step].astype(int)
    here = levels[:-1, :-1]
    spread = np.maximum(np.abs(levels[1:, :-1] - here), np.abs(levels[:-1, 1:] - here)).max(-1)
    flat = (spread <= 1) & (here.max(-1) > 8) & (here.min(-1) < 200)
    assert loops.flat_pixels(rgb, step, (8, 200)) == (flat.sum(), here[..., 0].size)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 30), (30, 1), (80, 90)])
@pytest.mark.parametrize("seed", range(4))
def test_parts_are_numbered_and_measured_as_opencv_does(shape: tuple[int, int], seed: int) -> None:
    dotted = np.random.default_rng(seed).random(shape) < 0.6
    for region in (a_region(shape, seed), dotted, np.zeros(shape, bool), np.ones(shape, bool)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
        found, known = loops.parts(region)
        assert len(known) == count
        np.testing.assert_array_equal(found, labels)
        left, top, right, bottom, pixels = known[1:].T
        measured = np.stack([left, top, right - left + 1, bottom - top + 1, pixels], 1)
        np.testing.assert_array_equal(measured, stats[1:])


def test_opacities_are_rounded_to_levels() -> None:
    opacity = np.random.default_rng(0).uniform(-0.1, 1.1, (50, 60)).astype(np.float32)
    np.testing.assert_array_equal(loops.rounded_levels(opacity), (opacity.clip(0, 1) * 255 + 0.5).astype(np.uint8))
