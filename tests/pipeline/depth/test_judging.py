"""Judging depth: right values by hand, the baselines' places, and an inverted map is found out."""

import numpy as np
import pytest

from pipeline.depth.judging import POOLED, WithoutNetwork, judged, means, nearer_than_surround

SIDE_PX = 16


def scene(near: float = 1.25, far: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Disparity of a square before a wall, and its alpha."""
    alpha = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    alpha[4:12, 4:12] = 255
    return np.where(alpha > 0, near, far).astype(np.float32), alpha


def test_a_scale_that_is_off_counts_plain_and_not_aligned() -> None:
    true, _ = scene()
    found = judged("ours", ["one"], [true / 1.2], [true]).set_index(["picture", "metric"])["value"]
    assert found["one", "abs_rel"] == pytest.approx(0.2, rel=1e-5)
    assert found["one", "aligned_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["one", "delta1"] == 1
    assert found["one", "edge_f1"] == 1
    assert found[POOLED, "abs_rel"] == pytest.approx(0.2, rel=1e-5)


def test_means_weigh_pictures_alike_and_pooling_weighs_pixels() -> None:
    true, _ = scene()
    hardly_known = np.zeros_like(true)
    hardly_known[:1] = true[:1]
    scores = judged("ours", ["all", "little"], [true, hardly_known / 1.5 + (hardly_known == 0)], [true, hardly_known])
    pooled = scores[(scores["picture"] == POOLED) & (scores["metric"] == "abs_rel")]["value"].item()
    assert means(scores).loc["ours", "abs_rel"] == pytest.approx(0.25, rel=1e-5)
    assert pooled == pytest.approx(0.5 / 17, rel=1e-5)


def test_what_knows_the_mask_beats_what_knows_the_place_beats_what_knows_nothing() -> None:
    training = [scene(near) for near in (1.1, 1.25, 1.4)]
    moved = [np.roll(part, 3, 1) for part in scene(1.3)]
    without = WithoutNetwork.of([true for true, _ in training], [alpha for _, alpha in training])
    predictions = without.predictions([moved[1]])
    errors = {
        name: means(judged(name, ["one"], maps, [moved[0]])).loc[name, "abs_rel"] for name, maps in predictions.items()
    }
    assert errors["mask, two constants"] < errors["mean map"] < errors["constant"]
    assert without.constant == pytest.approx(0.5)


@pytest.mark.parametrize("opacity", [0, 127, 255])
def test_masks_that_tell_nothing_apart_are_nothing_to_be_beaten(opacity: int) -> None:
    true, alpha = scene()
    without = WithoutNetwork.of([true], [np.full_like(alpha, opacity)])
    assert list(without.predictions([alpha])) == ["constant", "mean map"]


def test_where_no_training_picture_knows_anything_nothing_can_be_said() -> None:
    true, alpha = scene()
    with pytest.raises(ValueError, match="known"):
        WithoutNetwork.of([np.zeros_like(true)], [alpha])
    half = np.where(np.arange(SIDE_PX) < 8, true, 0).astype(np.float32)
    assert (WithoutNetwork.of([half], [alpha]).mean_map > 0).all()


def test_an_inverted_map_is_found_out() -> None:
    true, alpha = scene()
    assert nearer_than_surround(true, alpha) == pytest.approx(2.5)
    assert nearer_than_surround(1 / true, alpha) < 1
    assert np.isnan(nearer_than_surround(true, np.zeros_like(alpha)))


def test_a_prediction_that_is_no_distance_is_refused() -> None:
    true, _ = scene()
    with pytest.raises(ValueError, match="positive"):
        judged("ours", ["one"], [np.zeros_like(true)], [true])
