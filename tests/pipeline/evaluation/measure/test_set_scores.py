"""Sets against domain B: which scores there are, by which features, for sets of which size."""

import numpy as np
import pytest

from pipeline.evaluation.measure import distribution
from pipeline.evaluation.measure.set_scores import INCEPTION, VGG, VGG_BACKGROUND, ranks, reference_count, set_scores


def cloud(count: int, centre: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1, (count, 6)).astype(np.float32)


def test_each_kind_of_features_has_its_own_names() -> None:
    table = set_scores("m@0", {VGG: cloud(20), INCEPTION: cloud(20)}, {VGG: cloud(30, 1), INCEPTION: cloud(30, 1)})
    names = {"kid", "kid_low", "kid_high", "precision", "recall"}
    assert set(table["metric"]) == {*names, *(f"inception_{name}" for name in names)}
    assert set(table["method"]) == {"m@0"}


def test_pictures_without_a_background_do_not_count() -> None:
    fake, real = cloud(20), cloud(30, 1, seed=1)
    holed = np.concatenate([fake, np.full((3, 6), np.nan, np.float32)])
    expected = set_scores("m@0", {VGG_BACKGROUND: fake}, {VGG_BACKGROUND: real})
    assert set_scores("m@0", {VGG_BACKGROUND: holed}, {VGG_BACKGROUND: real}).equals(expected)
    assert set_scores("m@0", {VGG_BACKGROUND: holed[15:]}, {VGG_BACKGROUND: real}).empty


def test_the_frechet_distance_needs_inception_and_two_large_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "MIN_FID_PICTURES", 50)
    large, small = {VGG: cloud(50), INCEPTION: cloud(50)}, {VGG: cloud(49), INCEPTION: cloud(49)}
    of_large, of_small = (set(set_scores("m", fake, large)["metric"]) for fake in (large, small))
    assert "inception_fid" in of_large
    assert not {"fid", "background_fid"} & of_large
    assert not any(name.endswith("fid") for name in of_small)


def test_the_frechet_distance_of_two_gaussians_by_hand() -> None:
    """Means three apart and equal covariances: nine. Twice the spread in one dimension: (2 − 1)² more."""
    points = np.random.default_rng(0).normal(size=(4000, 2))
    points = (points - points.mean(0)) / points.std(0, ddof=1)
    rotation = np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False)))
    white = points @ rotation.T
    moved = white + np.array([3.0, 0.0])
    assert distribution.fid(white, moved) == pytest.approx(9.0, abs=1e-6)
    assert distribution.fid(white, white * np.array([2.0, 1.0]) + np.array([3.0, 0.0])) == pytest.approx(10.0, abs=1e-6)
    assert np.isnan(distribution.fid(white[:1999], moved))


@pytest.mark.parametrize(
    ("test_photos", "available", "expected"), [(100, 2061, 200), (100, 60, 60), (600, 5000, 1200), (3000, 5000, 2000)]
)
def test_domain_b_is_twice_as_many_within_bounds(test_photos: int, available: int, expected: int) -> None:
    assert reference_count(test_photos, available) == expected


def test_ranks_count_ties_by_half_and_leave_the_unknown_out() -> None:
    found = ranks([0.5, 2.0, np.nan], np.array([1.0, 2.0, 2.0, 3.0]))
    np.testing.assert_array_equal(found, [0.0, 0.5, np.nan])
    assert np.isnan(ranks([1.0], np.array([np.nan]))).all()
