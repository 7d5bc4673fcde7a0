"""Content scores: right values by hand, 1 for the unchanged picture, independence of the batch."""

import numpy as np
import pytest

from pipeline.evaluation.measure.content import (
    class_agreement,
    class_iou,
    colour_distance,
    edges_kept,
    sampled_colours,
)

CLASSES = np.array([[[0, 0, 1, 1], [0, 0, 1, 1]]])


def test_agreement_by_hand() -> None:
    changed = np.array([[[0, 0, 0, 1], [0, 0, 0, 1]]])
    assert class_agreement(changed, CLASSES).tolist() == [0.75]
    # Class 0: 4 of 6 places, class 1: 2 of 4.
    assert class_iou(changed, CLASSES).tolist() == [pytest.approx((4 / 6 + 2 / 4) / 2)]
    assert class_iou(CLASSES, CLASSES).tolist() == class_agreement(CLASSES, CLASSES).tolist() == [1.0]


def test_a_class_that_hardly_shows_does_not_count_and_one_that_is_gone_counts_as_lost() -> None:
    before = np.zeros((1, 20, 20), int)
    before[0, 0, :3] = 1
    before[0, 10:] = 2
    after = before.copy()
    after[0, 0, :3] = 0
    assert class_iou(after, before)[0] > 0.98
    after[0, 10:] = 0
    assert class_iou(after, before)[0] == pytest.approx(0.25, abs=0.01)


def steps() -> np.ndarray:
    """A bright square on a dark ground."""
    picture = np.full((1, 64, 64, 3), 0.2, np.float32)
    picture[:, 20:40, 20:40] = 0.8
    return picture


def test_edges_do_not_hang_on_contrast_or_colour_and_are_lost_when_they_move() -> None:
    picture = steps()
    assert edges_kept(picture, picture)[0] == 1.0
    assert edges_kept(0.5 - 0.3 * picture, picture)[0] > 0.95
    assert edges_kept(np.roll(picture, 15, axis=1), picture)[0] < 0.5
    assert np.isnan(edges_kept(np.full_like(picture, 0.5), picture)[0])


def test_scores_do_not_hang_on_the_batch() -> None:
    random = np.random.default_rng(0)
    one, other = (random.random((3, 32, 32, 3)).astype(np.float32) for _ in range(2))
    whole = edges_kept(one, other)
    assert whole.tolist() == [edges_kept(one[at : at + 1], other[at : at + 1])[0] for at in range(3)]


def test_the_distance_of_colours_is_that_of_a_shift_and_none_for_the_same() -> None:
    random = np.random.default_rng(1)
    pictures = (0.2 + 0.3 * random.random((12, 32, 32, 3))).astype(np.float32)
    colours = sampled_colours(pictures)
    assert colours.shape == (12, 256, 3)
    assert colour_distance(colours, colours) == 0.0
    assert colour_distance(colours, colours[::-1]) == pytest.approx(0.0, abs=1e-9)
    near, far = (colour_distance(colours + shift, colours) for shift in (0.1, 0.2))
    # A shift of each channel moves the projection on a direction by its component along grey.
    assert far == pytest.approx(2 * near, rel=1e-3)
    assert 0.05 < near < 0.1 * np.sqrt(3)
