"""Arrays of another kind, which would give another answer without a word, are refused."""

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

import pipeline.arrays
from pipeline import softness
from pipeline.curation import hints
from pipeline.depth.refocus import ThinLens, refocus_photo
from pipeline.evaluation.measure import faults, metrics
from pipeline.models.images import translate
from pipeline.models.large_photos import translate_photo

LEVELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
UNIT = LEVELS / 255
ALPHA = np.zeros((2, 64, 64), np.uint8)
ALPHA[:, 20:44, 20:44] = 255
MASK = ALPHA[..., None] / 255
INSIDE = MASK > 0.5
DEPTH = np.linspace(0.3, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


def network() -> nn.Module:
    return nn.Conv2d(3, 3, 1)


CALLS: list[Callable[[], Any]] = [
    lambda: translate(network(), UNIT),  # pyright: ignore[reportArgumentType]
    lambda: translate(network(), LEVELS[0]),
    lambda: translate(network(), LEVELS, MASK),  # pyright: ignore[reportArgumentType]
    lambda: translate_photo(network(), UNIT[0]),  # pyright: ignore[reportArgumentType]
    lambda: translate_photo(network(), LEVELS),
    lambda: refocus_photo(UNIT[0], DEPTH, ThinLens(0.3, 6.0)),  # pyright: ignore[reportArgumentType]
    lambda: metrics.l1(LEVELS, LEVELS, INSIDE),
    lambda: metrics.psnr_db(UNIT, LEVELS, INSIDE),
    lambda: metrics.ssim(LEVELS, UNIT, INSIDE),
    lambda: metrics.sharpness(UNIT, ALPHA[..., None]),
    lambda: metrics.sharpness(UNIT, INSIDE[..., 0]),
    lambda: metrics.mask_iou(ALPHA[..., None], MASK),
    lambda: faults.colour_shift(LEVELS, UNIT, INSIDE),
    lambda: faults.checkerboard(LEVELS),
    lambda: faults.imagined(UNIT, LEVELS, INSIDE),
    lambda: faults.leak(LEVELS, UNIT, MASK),
    lambda: softness.softness(LEVELS, MASK),
    lambda: softness.softness(UNIT, ALPHA[..., None]),
    lambda: hints.colourfulness(UNIT[0]),
]


@pytest.mark.parametrize("call", CALLS)
def test_arrays_of_another_kind_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"is (uint8|float64|bool|float32) of the shape .*, and must be "):
        call()


@pytest.mark.parametrize("wrong", [UNIT * 255, UNIT * 2 - 1])
def test_floats_in_another_range_are_refused(wrong: np.ndarray) -> None:
    for call in (lambda: metrics.l1(wrong, UNIT, INSIDE), lambda: softness.softness(wrong, MASK)):
        with pytest.raises(ValueError, match=r"reaches from \S+ to \S+, and must be Float\S*\[.*\] from 0 to 1"):
            call()
    metrics.l1(UNIT + 5e-4, UNIT, INSIDE)


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(pipeline.arrays).attempted
    assert not doctest.testmod(pipeline.arrays).failed
