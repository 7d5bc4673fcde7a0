"""Cycle and identity errors by hand, and what is missing is not known."""

import numpy as np
import pytest

from pipeline.evaluation.measure.cycles import cycle_scores


def pictures(count: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((count, 4, 4, 3), level, np.uint8), np.zeros((count, 4, 4), np.uint8)


REAL_A, REAL_B = pictures(3, 100), pictures(2, 200)


def brighter(by: int):  # noqa: ANN201
    return lambda rgb, alpha: np.clip(rgb / 255.0 + by / 255.0, 0, 1).astype(np.float32)


def test_errors_by_hand() -> None:
    """To B adds 20 levels, to A takes away 15: the ways there and back miss by 5."""
    scores = cycle_scores({"a_to_b": brighter(20), "b_to_a": brighter(-15)}, REAL_A, REAL_B)
    assert scores["cycle_l1_a"] == pytest.approx(5 / 255, abs=1e-6)
    assert scores["cycle_l1_b"] == pytest.approx(5 / 255, abs=1e-6)
    assert scores["identity_l1_a"] == pytest.approx(15 / 255, abs=1e-6)
    assert scores["identity_l1_b"] == pytest.approx(20 / 255, abs=1e-6)


def test_a_one_sided_model_has_only_the_identity_of_b() -> None:
    scores = cycle_scores({"a_to_b": brighter(20)}, REAL_A, REAL_B)
    assert [name for name, value in scores.items() if np.isfinite(value)] == ["identity_l1_b"]


def test_no_pictures_no_errors() -> None:
    scores = cycle_scores({"a_to_b": brighter(1), "b_to_a": brighter(1)}, pictures(0, 0), pictures(0, 0))
    assert np.isnan(list(scores.values())).all()


def test_the_mean_is_over_pictures_however_many_there_are() -> None:
    mixed = np.concatenate([pictures(1, 100)[0], pictures(1, 250)[0]]), pictures(2, 0)[1]
    scores = cycle_scores({"a_to_b": brighter(20)}, REAL_A, mixed)
    assert scores["identity_l1_b"] == pytest.approx((20 + 5) / 2 / 255, abs=1e-6)


def test_an_output_that_is_no_picture_gives_no_error() -> None:
    broken = {"a_to_b": lambda rgb, alpha: np.full(rgb.shape, np.nan, np.float32), "b_to_a": brighter(0)}
    scores = cycle_scores(broken, REAL_A, REAL_B)
    assert [name for name, value in scores.items() if np.isfinite(value)] == ["identity_l1_a"]
