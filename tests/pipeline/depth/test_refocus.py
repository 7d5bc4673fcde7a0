"""Refocusing photos: tiles that nobody sees, planes and strengths that mean what they say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.depth.refocus import (
    ThinLens,
    disparity_at,
    fitted_to,
    lens_of_camera,
    lens_of_strength,
    planes_from_far_to_near,
    refocus_photo,
)
from pipeline.depth.units import DepthError, DepthUnit
from pipeline.models.layered_lens import Highlights, refocused
from pipeline.studio.pictures import PICTURES
from pipeline.studio.scene import camera_of

PLAIN = Highlights()


def scene(height_px: int = 90, width_px: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A smooth coloured photo, and its disparity: a slanted ground and a block before it."""
    rows, columns = np.mgrid[:height_px, :width_px] / 10
    rgb = np.stack([np.sin(rows) + np.cos(columns), np.sin(columns * 0.7), np.cos(rows * 1.3)], 2)
    disparity = np.broadcast_to(np.linspace(0.4, 0.8, width_px), (height_px, width_px)).astype(np.float32).copy()
    disparity[height_px // 3 : 2 * height_px // 3, width_px // 3 : width_px // 2] = 1.2
    return ((rgb + 2) / 4 * 255).astype(np.uint8), disparity


@pytest.mark.parametrize(("px_per_dioptre", "focus"), [(4.0, 0.5), (24.0, 1.2)])
def test_tiles_and_octaves_are_not_seen(px_per_dioptre: float, focus: float) -> None:
    rgb, disparity = scene()
    lens = ThinLens(focus, px_per_dioptre)
    tiled = refocus_photo(rgb, disparity, lens, PLAIN, tile_px=32).astype(int)
    assert np.abs(tiled - refocus_photo(rgb, disparity, lens, PLAIN)).max() <= 1
    unit = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    at_once = refocused(unit, torch.from_numpy(lens.radii_px(disparity))[None, None])[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(tiled - at_once).mean() < 1.5


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 1.5))
@settings(max_examples=25, deadline=None)
def test_any_size_is_taken_and_a_closed_lens_changes_nothing(height_px: int, width_px: int, focus: float) -> None:
    rgb, disparity = scene(height_px, width_px)
    assert np.array_equal(refocus_photo(rgb, disparity, ThinLens(focus, 0.0)), rgb)


def test_what_is_in_focus_is_unchanged_and_the_rest_is_not() -> None:
    rgb, disparity = scene()
    rgb[30:35, 40:45] = 252
    seen = refocus_photo(rgb, disparity, ThinLens(1.2, 12.0))
    block = disparity == np.float32(1.2)
    assert np.array_equal(seen[block], rgb[block])
    assert np.abs(seen[~block].astype(int) - rgb[~block]).mean() > 2


def test_a_lens_too_strong_is_refused() -> None:
    with pytest.raises(DepthError, match="too strong"):
        refocus_photo(*scene(), ThinLens(1.2, 100.0))


def test_a_map_of_another_size_is_refused() -> None:
    rgb, disparity = scene()
    with pytest.raises(DepthError, match="`fitted_to` brings it there"):
        refocus_photo(rgb, disparity[::2, ::2], ThinLens(1.2, 12.0))


@given(st.floats(0.2, 5), st.integers(2, 4))
@settings(deadline=None)
def test_the_strength_is_a_share_of_the_photo_whatever_its_size_and_unit(strength: float, factor: int) -> None:
    _, disparity = scene()
    lens = lens_of_strength(disparity, 0.5, strength)
    larger = np.kron(disparity, np.ones((factor, factor), np.float32))
    assert lens_of_strength(larger, 0.5, strength).px_per_dioptre == pytest.approx(lens.px_per_dioptre * factor, rel=1e-3)
    assert lens_of_strength(disparity * 10, 5.0, strength).px_per_dioptre == pytest.approx(
        lens.px_per_dioptre / 10, rel=1e-3
    )
    assert lens_of_strength(disparity, 0.5, 2 * strength).px_per_dioptre == pytest.approx(2 * lens.px_per_dioptre)


def test_a_flat_map_cannot_be_refocused() -> None:
    with pytest.raises(DepthError, match="flat"):
        lens_of_strength(np.ones((4, 4), np.float32), 1.0, 2.0)


def test_a_camera_has_the_circle_of_confusion_of_the_textbook() -> None:
    """85 mm at f/1.4 focused at 2 m, a point 8 m away: diameter A · F / (s − F) · (d − s) / d on the sensor."""
    lens = lens_of_camera(2.0, 85.0, 1.4, 36.0, 3600)
    diameter_mm = 85 / 1.4 * 85 / (2000 - 85) * (8000 - 2000) / 8000
    assert 2 * abs(lens.radii_px(np.array([[1 / 8]], np.float32))[0, 0]) == pytest.approx(diameter_mm * 100, rel=1e-4)


def test_a_point_has_the_depth_of_what_is_seen_there() -> None:
    _, disparity = scene()
    disparity[40, 50] = 0
    assert disparity_at(disparity, 50, 40) == pytest.approx(1.2)
    assert disparity_at(disparity, 119.4, 0) == pytest.approx(0.8, abs=0.01)
    for x, y in ((120, 5), (5, 90), (-0.1, 5), (float("nan"), 5)):
        with pytest.raises(DepthError, match="outside the photo, which has 120 × 90"):
            disparity_at(disparity, x, y)
    with pytest.raises(DepthError, match="nothing is known"):
        disparity_at(np.pad(disparity[:3, :3], ((0, 20), (0, 20))), 15, 15)


def test_a_map_is_enlarged_without_inventing_depths_between() -> None:
    _, disparity = scene(30, 40)
    disparity[3:6, 3:6] = 0
    larger = fitted_to(disparity, 90, 120)
    assert larger.shape == (90, 120)
    assert set(np.unique(larger)) <= set(np.unique(disparity)) - {0.0}
    assert np.array_equal(larger[1::3, 1::3][10:], disparity[10:])


def test_a_map_of_another_picture_is_refused() -> None:
    _, disparity = scene()
    with pytest.raises(DepthError, match="turned"):
        fitted_to(disparity, 120, 90)
    assert fitted_to(disparity, 45, 60).shape == (45, 60)


def test_a_sweep_goes_from_far_to_near_in_even_steps_of_disparity() -> None:
    planes = planes_from_far_to_near(scene()[1], 5)
    assert planes[0] < 0.42
    assert planes[-1] > 0.7
    assert np.allclose(np.diff(planes, 2), 0)


def test_with_true_depth_it_comes_near_the_true_lens() -> None:
    """On committed scenes, whose depth and thin lens are known: `benchmarks/renderer.py` measures all of them."""
    seen, unchanged = zip(*(_errors_db(seed) for seed in (3001, 3013)), strict=True)
    assert np.mean(seen) > 30
    assert np.mean(seen) > np.mean(unchanged) + 8


def _errors_db(seed: int) -> tuple[float, float]:
    """PSNR of the refocused scene and of the unchanged one."""
    pictures = [Image.open(PICTURES / "scoring" / f"{seed}_{name}") for name in ("sharp.jpg", "shallow.jpg", "depth.png")]
    sharp, truth, depth_mm = (np.asarray(picture) for picture in pictures)
    camera = camera_of(seed)
    lens = ThinLens(1 / camera.lens.focus_m, camera.focal_px(256) * camera.lens.aperture_mm / 2000)
    result = refocus_photo(sharp, DepthUnit.parse("mm").disparity(depth_mm), lens)
    errors = [np.mean((picture.astype(float) - truth) ** 2) for picture in (result, sharp)]
    return float(10 * np.log10(255**2 / errors[0])), float(10 * np.log10(255**2 / errors[1]))
