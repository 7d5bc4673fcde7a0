"""Obedience: where planes are told, and that only who obeys is nearest to the right picture."""

import numpy as np
import pytest

from pipeline.depth.obedience import in_focus, nearest_truth, plane_under, ways_to_tell, zones
from pipeline.depth.refocus import ThinLens, refocus_photo
from pipeline.depth.units import DepthError

SIDE_PX = 48
PLANES = (0.5, 0.8, 1.2)


@pytest.fixture
def disparity() -> np.ndarray:
    """Three upright stripes at three distances."""
    return np.repeat(np.repeat(np.float32(PLANES), 16)[None], SIDE_PX, 0)


def test_maps_clicks_and_patches_mean_the_plane_that_they_were_made_for(disparity: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for number, focus in enumerate(PLANES):
        region = in_focus(disparity, ThinLens(focus, 5.0))
        assert region[:, 16 * number : 16 * number + 16].all()
        assert region.sum() == SIDE_PX * 16
        ways = ways_to_tell(region, rng)
        assert set(ways) == {"map", "patch", "click"}
        assert ways["click"].sum() == 1 < ways["patch"].sum()
        row, column = np.argwhere(ways["click"])[0]
        assert region[row - 2 : row + 3, column - 2 : column + 3].all()
        for told in ways.values():
            assert plane_under(disparity, told) == pytest.approx(focus)


def test_where_nothing_is_in_focus_the_nearest_to_it_is_meant(disparity: np.ndarray) -> None:
    region = in_focus(disparity, ThinLens(1.0, 50.0))
    assert 0 < region.sum() <= SIDE_PX * 32
    assert plane_under(disparity, region) in (pytest.approx(0.8), pytest.approx(1.2))


def test_a_click_means_what_is_around_it(disparity: np.ndarray) -> None:
    disparity[20, 24] = 3.0
    click = np.zeros(disparity.shape, bool)
    click[20, 24] = True
    assert plane_under(disparity, click) == pytest.approx(0.8)
    with pytest.raises(DepthError, match="known"):
        plane_under(np.zeros_like(disparity), click)


def test_a_map_over_nothing_known_says_so(disparity: np.ndarray) -> None:
    with pytest.raises(DepthError, match="known"):
        plane_under(np.zeros_like(disparity), np.ones(disparity.shape, bool))


def test_who_refocuses_obeys_and_who_always_does_the_same_does_not(disparity: np.ndarray) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    truths = [refocus_photo(rgb, disparity, ThinLens(focus, 4.0)) for focus in PLANES]
    noisy = [np.clip(truth.astype(int) + 3, 0, 255).astype(np.uint8) for truth in truths]
    assert [nearest_truth(result, truths) for result in noisy] == [0, 1, 2]
    assert len({nearest_truth(rgb, truths) for _ in PLANES}) == 1


def test_zones_share_the_picture_among_them(disparity: np.ndarray) -> None:
    found = zones(disparity, ThinLens(0.8, 5.0))
    assert np.all(np.sum([zone.astype(int) for zone in found], 0) == 1)
    assert found.in_focus[:, 20:28].all()
    assert found.rim[:, 14:18].all()
    assert found.out_of_focus[:, :12].all()
