"""Maps that cannot be right are found out: inverted, turned, of another unit, or hardly known."""

import numpy as np
import pytest

from pipeline.depth.checks import edge_agreement, is_inverted, oddities
from pipeline.depth.units import DepthMap

SIDE_PX = 96


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disparity, picture and alpha of somebody at 1 m, before a wall at 3 m with a shelf on the left."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:SIDE_PX, :SIDE_PX]
    person, shelf = (ys - 60) ** 2 / 40**2 + (xs - 62) ** 2 / 18**2 < 1, (xs < 20) & (ys > 30)
    disparity = np.full((SIDE_PX, SIDE_PX), 1 / 3, np.float32)
    disparity[shelf], disparity[person] = 0.5, 1.0
    rgb = np.full((SIDE_PX, SIDE_PX, 3), 160.0)
    rgb[shelf], rgb[person] = 90, 40
    rgb += rng.normal(0, 4, rgb.shape)
    return disparity, rgb.clip(0, 255).astype(np.uint8), (person * 255).astype(np.uint8)


@pytest.mark.parametrize("is_metric", [True, False])
def test_a_good_map_is_not_odd(is_metric: bool) -> None:
    disparity, rgb, alpha = scene()
    assert oddities(DepthMap(disparity, is_metric), rgb, alpha) == []


@pytest.mark.parametrize("is_metric", [True, False])
def test_an_inverted_map_is_found_out(is_metric: bool) -> None:
    disparity, rgb, alpha = scene()
    (found,) = oddities(DepthMap((1.4 - disparity).astype(np.float32), is_metric), rgb, alpha)
    assert "the subject is farther than its surround" in found


def test_who_lies_in_the_plane_of_the_wall_is_not_inverted() -> None:
    disparity, _, alpha = scene()
    disparity[alpha > 0] = 1 / 3 * 0.99
    assert not is_inverted(DepthMap(disparity, True), alpha)
    assert not is_inverted(DepthMap(disparity, True), alpha * 0), "without a subject nobody knows"


def test_a_map_of_another_picture_is_found_out() -> None:
    disparity, rgb, alpha = scene()
    turned = DepthMap(np.ascontiguousarray(np.rot90(disparity)), True)
    assert any("its edges are not the picture's" in one for one in oddities(turned, rgb, alpha))
    good, other = edge_agreement(DepthMap(disparity, True), rgb), edge_agreement(turned, rgb)
    assert good is not None
    assert other is not None
    assert good > 1.5 > other
    assert edge_agreement(DepthMap(np.ones_like(disparity), True), rgb) is None


def test_another_unit_and_holes_are_told() -> None:
    disparity, rgb, alpha = scene()
    assert "the unit is another" in oddities(DepthMap(disparity / 1000, True), rgb, alpha)[0]
    holes = disparity.copy()
    holes[:70] = 0
    assert oddities(DepthMap(holes, True), rgb, alpha) == ["73% of its depth are unknown"]
