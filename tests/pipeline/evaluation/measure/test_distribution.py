"""Distances of sets against other implementations and hand-computed cases; intervals that cover."""

import numpy as np
import pytest
import torch

from pipeline.evaluation.measure.distribution import kid, kid_interval, precision_recall


def cloud(count: int, centre: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1, (count, 16))


def test_kid_by_hand() -> None:
    """Two sets of two one-dimensional features, every kernel value written out: (xy + 1)³."""
    real, fake = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    assert kid(real, fake) == pytest.approx(1**3 + 3**3 - 2 * (1 + 1 + 8 + 27) / 4)


def test_kid_of_equal_sizes_is_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd  # seconds, which only who runs this test pays

    real, fake = cloud(20), cloud(20, 0.5, seed=1)
    expected = poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)).item()
    assert kid(real, fake) == pytest.approx(expected)


def test_kid_is_small_for_one_kind_and_grows_with_the_difference() -> None:
    real = cloud(300)
    distances = [kid(real, cloud(100, centre, seed=1)) for centre in (0.0, 0.5, 1.0)]
    assert abs(distances[0]) < 0.1 * distances[1] < distances[1] < distances[2]


def test_the_interval_of_kid_holds_it_and_shrinks_with_more_pictures() -> None:
    real = cloud(200)
    fakes = [cloud(count, 0.5, seed=2) for count in (20, 200)]
    few, many = (kid_interval(real, fake, resamples=200) for fake in fakes)
    for found, fake in zip((few, many), fakes, strict=True):
        assert found.low < kid(real, fake) < found.high
    assert many.high - many.low < 0.6 * (few.high - few.low)
    assert kid_interval(real, cloud(20, 0.5, seed=2), resamples=200) == few


def test_precision_and_recall_of_known_sets() -> None:
    real = cloud(100)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, real + 100) == (0.0, 0.0)
    precision, recall = precision_recall(real, real[:30] * 0.01)
    assert precision > 0.9
    assert recall < 0.1


def test_sets_that_are_too_small_have_no_precision() -> None:
    assert np.isnan(precision_recall(cloud(3), cloud(50))).all()
    with pytest.raises(ValueError, match="no pairs"):
        kid(cloud(1), cloud(5))
