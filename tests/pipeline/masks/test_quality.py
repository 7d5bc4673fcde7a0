"""The scores of masks on shapes whose scores are known."""

import numpy as np
import pytest

from pipeline.masks.quality import alpha_error, boundary_error, iou


def left(width_px: int) -> np.ndarray:
    alpha = np.zeros((100, 200), np.uint8)
    alpha[:, :width_px] = 255
    return alpha


def test_scores_of_two_halves_that_differ() -> None:
    assert iou(left(100), left(80)) == pytest.approx(0.8)
    assert alpha_error(left(100), left(80)) == pytest.approx(0.1)
    assert boundary_error(left(100), left(80)) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("score", [iou, alpha_error, boundary_error])
def test_scores_do_not_depend_on_which_is_which(score: object) -> None:
    assert callable(score)
    assert score(left(100), left(130)) == pytest.approx(score(left(130), left(100)))


def test_equal_and_empty_masks() -> None:
    for alpha in (left(100), left(0), left(200)):
        assert (iou(alpha, alpha), alpha_error(alpha, alpha), boundary_error(alpha, alpha)) == (1, 0, 0)
    assert iou(left(0), left(100)) == 0
    assert boundary_error(left(0), left(100)) == 50
