"""Pairs of photos that are shifted and differ in exposure."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from pipeline.evaluation.benchmark.alignment import MAX_SHIFT, Alignment, align

HEIGHT, WIDTH = 120, 180


def scene(seed: int = 0) -> np.ndarray:
    """Linear light [height, width, 3] in [0.05, 0.55], with as much of each scale as photos have."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    soft = np.sum([scale * cv2.GaussianBlur(noise, (0, 0), scale) for scale in (1, 2, 4, 8, 16)], 0)
    return 0.05 + 0.5 * (soft - soft.min()) / np.ptp(soft)


def eight_bits(linear: np.ndarray) -> np.ndarray:
    return np.round(255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )


def shifted(linear: np.ndarray, x_px: float, y_px: float) -> np.ndarray:
    return ndimage.shift(linear, (y_px, x_px, 0), mode="reflect")


@pytest.mark.parametrize(("x_px", "y_px"), [(0, 0), (3, -2), (4.5, 1.25), (-5.3, 2.6)])
def test_shift_and_exposure_of_a_target_with_a_blurred_background_are_found(x_px: float, y_px: float) -> None:
    sharp = scene()
    rows, columns = np.mgrid[-5:6, -5:6]
    disc = (rows**2 + columns**2 <= 25).astype(np.float32)
    held = np.zeros((HEIGHT, WIDTH, 1))
    held[30:110, 60:120] = 1
    shallow = held * sharp + (1 - held) * cv2.filter2D(sharp, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    factors = np.array([0.8, 0.9, 1.1])
    found = align(eight_bits(sharp), eight_bits(np.clip(shifted(shallow, x_px, y_px) * factors, 0, 1)))
    assert found is not None
    assert (found.x_px, found.y_px) == pytest.approx((x_px, y_px), abs=0.1)
    assert found.gains == pytest.approx(tuple(1 / factors), rel=0.02)


def test_a_moved_target_lies_on_its_source() -> None:
    sharp, there = scene(), Alignment(3.0, -2.0, (1.25, 1.25, 1.25))
    target = eight_bits(shifted(sharp, 3, -2) / 1.25)
    moved, source = there.moved(target), there.cropped(eight_bits(sharp)) / 255
    assert moved.shape == source.shape == (HEIGHT - 8, WIDTH - 10, 3)
    assert np.abs(moved - source).max() < 0.02
    assert np.abs(there.cropped(target) / 255 - source).mean() > 0.05
    assert Alignment(0.0, 0.0, (1.0, 1.0, 1.0)).moved(target) == pytest.approx(target / 255)


def test_what_cannot_be_aligned_is_not() -> None:
    picture = eight_bits(scene())
    assert align(picture, np.full_like(picture, 90)) is None
    assert align(picture[:20], picture[:20]) is None
    far = round(MAX_SHIFT * HEIGHT) + 4
    assert align(picture, eight_bits(shifted(scene(), far, 0))) is None
    assert align(picture, eight_bits(scene() / 6)) is None
