"""Depth metrics have the values that their formulas give by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.depth import metrics

TRUE = np.array([[1.0, 2.0], [4.0, 0.0]])
KNOWN = TRUE > 0
PREDICTED = np.array([[1.1, 1.0], [4.0, 7.0]])
"""Off by 10 %, by half, not at all; the fourth does not count."""


def test_each_metric_by_hand() -> None:
    found = metrics.scores(PREDICTED, TRUE, KNOWN)
    logs = np.log([1.1, 0.5, 1.0])
    assert found == {
        "abs_rel": pytest.approx((0.1 + 0.5 + 0) / 3),
        "sq_rel": pytest.approx((0.01 + 0.5 + 0) / 3),
        "rmse": pytest.approx(math.sqrt((0.01 + 1 + 0) / 3)),
        "rmse_log": pytest.approx(math.sqrt((logs**2).mean())),
        "log10": pytest.approx((math.log10(1.1) + math.log10(2)) / 3),
        "silog": pytest.approx(100 * math.sqrt((logs**2).mean() - logs.mean() ** 2)),
        "delta1": pytest.approx(2 / 3),
        "delta2": pytest.approx(2 / 3),
        "delta3": pytest.approx(2 / 3),
    }


@pytest.mark.parametrize(("ratio", "deltas"), [(1.24, (1, 1, 1)), (1.26, (0, 1, 1)), (1.6, (0, 0, 1)), (1.96, (0, 0, 0))])
def test_delta_counts_from_either_side(ratio: float, deltas: tuple[int, ...]) -> None:
    true = np.ones((2, 2))
    for predicted in (true * ratio, true / ratio):
        found = metrics.scores(predicted, true, true > 0)
        assert (found["delta1"], found["delta2"], found["delta3"]) == deltas


def test_a_perfect_prediction_has_no_error() -> None:
    found = metrics.scores(TRUE, TRUE, KNOWN)
    assert [found[name] for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")] == [0.0] * 6
    assert found["delta1"] == 1.0


def test_pooled_scores_weigh_pictures_by_what_is_known_of_them() -> None:
    small, large = np.full((1, 1), 2.0), np.full((1, 3), 1.0)
    pictures = [(small * 1.5, small, small > 0), (large, large, large > 0)]
    assert metrics.pooled(pictures)["abs_rel"] == pytest.approx(0.125)


def test_a_picture_without_truth_has_no_scores() -> None:
    nothing = metrics.scores(PREDICTED, TRUE, np.zeros_like(KNOWN))
    assert all(math.isnan(value) for value in nothing.values())


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_prediction_without_a_distance_is_an_error_and_no_score(wrong: float) -> None:
    predicted = np.where(KNOWN, wrong, 1.0)
    with pytest.raises(ValueError, match="positive"):
        metrics.scores(predicted, TRUE, KNOWN)


scale_and_shift = st.tuples(st.floats(0.1, 10), st.floats(-0.3, 3))


@given(scale_and_shift)
def test_alignment_undoes_scale_and_shift_of_disparity(unknown: tuple[float, float]) -> None:
    true = np.array([[1.0, 2.0], [4.0, 5.0]])
    disparity = unknown[0] / true + unknown[1]
    known = np.array([[True, True], [True, False]])
    aligned = metrics.aligned_in_disparity(disparity, true, known, 10.0)
    assert np.allclose(aligned, true, rtol=1e-5)


def test_what_is_aligned_beyond_infinity_lies_at_the_farthest() -> None:
    true = np.array([[1.0, 2.0, 4.0]])
    aligned = metrics.aligned_in_disparity(np.array([[1.0, 0.5, -5.0]]), true, np.array([[True, True, False]]), 8.0)
    assert aligned[0, 2] == pytest.approx(8.0)


def block(at: int, side: int = 16) -> np.ndarray:
    depth = np.full((side, side), 3.0)
    depth[:, at:] = 1.0
    return depth


def test_edges_count_within_reach_and_not_beyond() -> None:
    known = np.ones((16, 16), bool)
    assert metrics.edge_f1(block(8), block(8), known) == 1.0
    assert metrics.edge_f1(block(9), block(8), known) == 1.0
    assert metrics.edge_f1(block(13), block(8), known) == 0.0
    assert metrics.edge_f1(np.full((16, 16), 2.0), block(8), known) == 0.0
    assert math.isnan(metrics.edge_f1(block(8), np.full((16, 16), 2.0), known))


def test_a_hole_is_no_edge() -> None:
    known = np.ones((16, 16), bool)
    known[:, 7:9] = False
    assert not metrics.edges(block(8), known).any()
