"""The softness of backgrounds: right values, and what must not move it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, stats

from pipeline.softness import (
    MIN_PICTURES,
    Misfit,
    Softness,
    chance_above,
    differ,
    distance,
    softness,
    standing,
)

SIDE_PX = 96
FLOATS = arrays.arrays(np.float64, st.integers(1, 12), elements=st.floats(-5, 5, width=32))


def pictures(count: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Backgrounds of textures of several widths and contrasts, a disk in the middle."""
    chance = np.random.default_rng(seed)
    noise = chance.random((count, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    widths = chance.uniform(0.5, 1.0, count)
    textured = np.stack([ndimage.gaussian_filter(one, (w, w, 0)) * w for one, w in zip(noise, widths, strict=True)])
    textured = 0.5 + (textured - textured.mean((1, 2, 3), keepdims=True)) * chance.uniform(0.5, 1.0, (count, 1, 1, 1))
    rows, columns = np.indices((SIDE_PX, SIDE_PX)) / SIDE_PX - 0.5
    mask = np.repeat((rows**2 + columns**2 < 0.2**2)[None, ..., None], count, 0).astype(np.float32)
    return np.clip(textured, 0, 1).astype(np.float32), mask


def blurred(images: np.ndarray, sigma_px: float) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, sigma_px, sigma_px, 0))


def measured(sigma_px: float, seed: int = 0) -> Softness:
    images, mask = pictures(seed=seed)
    return softness(blurred(images, sigma_px) if sigma_px else images, mask, flat_too=True)


@settings(deadline=None, max_examples=40)
@given(FLOATS, FLOATS)
def test_distance_and_chance_are_those_of_the_books(first: np.ndarray, second: np.ndarray) -> None:
    assert distance(first, second) == pytest.approx(stats.wasserstein_distance(first, second), abs=1e-6)
    pairs = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    assert chance_above(first, second) == pytest.approx(pairs.mean())


def test_a_checkerboard_by_hand() -> None:
    """Neighbours differ by c: |Laplacian| 4c, local contrast c / 2, and half the size is flat."""
    board = (np.indices((64, 64)).sum(0) % 2 * 0.5).astype(np.float32)
    found = softness(np.repeat(board[None, ..., None], 3, 3), np.zeros((1, 64, 64, 1), np.float32))
    assert found.laplacian[0] == pytest.approx(2.0, rel=0.02)
    assert found.relative[0] == pytest.approx(np.log(2.0 / 0.25), abs=0.03)
    assert found.scales[0] > 5


@settings(deadline=None, max_examples=10)
@given(st.floats(0.3, 1.0), st.floats(-0.1, 0.1))
def test_contrast_and_brightness_do_not_count(contrast: float, brightness: float) -> None:
    images, mask = pictures(2)
    changed = ((images - 0.5) * contrast + 0.5 + brightness).astype(np.float32)
    before, after = softness(images, mask), softness(changed, mask)
    np.testing.assert_allclose(after.relative, before.relative, atol=0.02)
    np.testing.assert_allclose(after.scales, before.scales, atol=0.02)


def test_the_subject_does_not_count() -> None:
    images, mask = pictures(2)
    painted = np.where(mask > 0, np.float32(0.1), images)
    before, after = softness(images, mask), softness(painted, mask)
    np.testing.assert_array_equal(after.relative, before.relative)
    np.testing.assert_array_equal(after.scales, before.scales)


def test_nothing_done_is_one_and_the_right_blur_is_nearly_none() -> None:
    inputs, domain_b = measured(0), measured(1.0, seed=1)
    nothing, right = standing(inputs, inputs, domain_b), standing(inputs, measured(1.0), domain_b)
    assert nothing.gap is not None
    assert nothing.scales is not None
    assert nothing.above is not None
    assert nothing.left is not None
    assert (nothing.gap.value, nothing.scales.value, nothing.left.value) == (1.0, 1.0, 1.0)
    assert nothing.above.value == 1.0
    assert right.gap is not None
    assert right.scales is not None
    assert right.above is not None
    assert max(right.gap.value, right.scales.value) < 0.25
    assert right.gap.low <= right.gap.value <= right.gap.high
    assert 0.2 < right.above.value < 0.8


def test_blurring_too_much_raises_both_again_and_never_falls() -> None:
    inputs, domain_b = measured(0), measured(1.0, seed=1)
    told = [standing(inputs, measured(sigma), domain_b, 0) for sigma in (1.0, 2.0, 4.0, 8.0)]
    gaps = [one.gap.value for one in told if one.gap]
    scales = [one.scales.value for one in told if one.scales]
    assert gaps == sorted(gaps)
    assert scales[0] == min(scales)
    assert gaps[-1] > 1


def test_an_output_without_any_detail_is_too_soft_and_not_unknown() -> None:
    images, mask = pictures()
    grey = softness(np.full_like(images, 0.5), mask, flat_too=True)
    told = standing(softness(images, mask), grey, measured(1.0, seed=1), 0)
    assert told.gap is not None
    assert told.above is not None
    assert told.gap.value > 1
    assert told.above.value == 0.0


def test_what_cannot_be_told_is_none_and_never_divided() -> None:
    images, mask = pictures()
    flat, everywhere = softness(np.full_like(images, 0.5), mask), softness(images, np.ones_like(mask))
    assert not flat.known.any()
    assert not everywhere.known.any()
    inputs = measured(0)
    nobody = standing(flat, flat, inputs)
    assert (nobody.gap, nobody.scales, nobody.above, nobody.left) == (None, None, None, None)
    alike = standing(inputs, inputs, measured(0, seed=2))
    assert (alike.gap, alike.scales) == (None, None)
    assert alike.above is not None
    few = standing(inputs[: MIN_PICTURES - 1], inputs[: MIN_PICTURES - 1], measured(1.0))
    assert (few.gap, few.above) == (None, None)
    assert len(Softness.none()) == 0


def test_chance_makes_no_difference_and_blur_does() -> None:
    assert not differ(measured(0).relative, measured(0, seed=2).relative)
    assert differ(measured(0).relative, measured(0.7, seed=1).relative)


def test_the_same_question_has_the_same_answer() -> None:
    inputs, outputs, domain_b = measured(0), measured(0.7), measured(1.0, seed=1)
    assert standing(inputs, outputs, domain_b) == standing(inputs, outputs, domain_b)


def test_parts_join_to_the_whole() -> None:
    images, mask = pictures(4)
    whole = softness(images, mask)
    joined = softness(images[:1], mask[:1]) + softness(images[1:], mask[1:])
    np.testing.assert_array_equal(joined.relative, whole.relative)
    np.testing.assert_array_equal(whole[np.array([2])].scales, whole.scales[2:3])


def test_a_misfit_is_the_distance_in_all_that_domain_b_is_softer_in() -> None:
    inputs, domain_b = measured(0), measured(1.0, seed=1)
    misfit, partly = Misfit(inputs, domain_b), measured(0.5)
    partly.relative[2] = np.nan
    for outputs in (measured(0.5), partly, measured(2.0)):
        told = standing(inputs, outputs, domain_b, resamples=0)
        assert misfit(outputs) == sum(share.value for share in (told.gap, told.scales) if share) > 0
    assert Misfit(inputs, measured(0, seed=2))(inputs) == 0
    assert Misfit(inputs, domain_b[: MIN_PICTURES - 1])(inputs) == 0
