"""Rendering: repeatable, right in mask and depth, sharp and shallow alike on the sitter only."""

import sys

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.studio.render import NOISE_LEVEL, RenderedScene, WantedViews, render_scene

SEED, SIDE_PX = 24, 64


@pytest.fixture(scope="module")
def rendered() -> RenderedScene:
    pytest.importorskip("mitsuba")
    return render_scene(SEED, SIDE_PX, SIDE_PX, views=WantedViews(sharp_samples=16, shallow_samples=48))


def views(scene: RenderedScene) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    sharp, shallow, mask, depth_m = scene.sharp, scene.shallow, scene.mask, scene.depth_m
    assert sharp is not None
    assert shallow is not None
    assert mask is not None
    assert depth_m is not None
    return sharp, shallow, mask, depth_m


def inner(region: np.ndarray, steps: int) -> np.ndarray:
    """The region without its border of `steps` pixels."""
    for _ in range(steps):
        padded = np.pad(region, 1, mode="edge")
        region = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return region


def detail(picture: np.ndarray, region: np.ndarray) -> float:
    grey = picture.astype(float).mean(-1)
    laplacian = 4 * grey - sum(np.roll(grey, step, axis) for step in (-1, 1) for axis in (0, 1))
    return float(np.abs(laplacian)[region].mean())


def test_views_have_the_size_and_types_promised(rendered: RenderedScene) -> None:
    sharp, shallow, mask, depth_m = views(rendered)
    assert sharp.shape == shallow.shape == (SIDE_PX, SIDE_PX, 3)
    assert mask.shape == depth_m.shape == (SIDE_PX, SIDE_PX)
    assert (sharp.dtype, shallow.dtype, mask.dtype, depth_m.dtype) == (np.uint8, np.uint8, np.uint8, np.float32)


def test_sharp_and_shallow_agree_on_the_sitter_and_differ_behind(rendered: RenderedScene) -> None:
    sharp, shallow, mask, _ = views(rendered)
    sitter, behind = inner(mask == 255, 3), inner(mask == 0, 3)
    difference = np.abs(sharp.astype(float) - shallow).mean(-1)
    assert difference[sitter].mean() < 4
    assert difference[behind].mean() > 3 * difference[sitter].mean()
    assert detail(shallow, sitter) > 0.6 * detail(sharp, sitter)
    assert detail(shallow, behind) < 0.65 * detail(sharp, behind)


def test_the_sitter_is_nearer_than_what_is_behind(rendered: RenderedScene) -> None:
    _, _, mask, depth_m = views(rendered)
    assert np.isfinite(depth_m).all()
    assert 0.1 < (mask == 255).mean() < 0.8
    assert 0.5 < depth_m[mask == 255].mean() < 1.5
    assert depth_m[mask == 255].max() < depth_m[mask == 0].min()


@pytest.mark.usefixtures("rendered")
def test_the_same_seed_renders_the_same_bytes() -> None:
    first, again, other = (
        render_scene(seed, 24, 16, views=WantedViews(sharp_samples=4, shallow_samples=4)) for seed in (SEED, SEED, SEED + 1)
    )
    assert all(np.array_equal(a, b) for a, b in zip(views(first), views(again), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(views(first), views(other), strict=True))


@pytest.mark.usefixtures("rendered")
def test_only_what_is_asked_for_is_rendered() -> None:
    scene = render_scene(SEED, 24, 24, views=WantedViews(sharp=False, shallow=False, depth=False))
    assert (scene.sharp, scene.shallow, scene.depth_m) == (None, None, None)
    assert scene.mask is not None


@pytest.mark.usefixtures("rendered")
def test_an_empty_scene_has_an_empty_mask() -> None:
    scene = render_scene(SEED, 24, 24, person=False, views=WantedViews(sharp=False, shallow=False))
    assert scene.mask is not None
    assert not scene.mask.any()
    assert scene.depth_m is not None
    assert scene.depth_m.min() > 1


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
def test_both_ways_have_the_noise_of_a_sensor() -> None:
    noise = []
    for thin_lens in (False, True):
        # The pattern is fixed, so more samples leave the noise that fills up to the common level.
        few, many = (
            render_scene(SEED, 48, 48, views=WantedViews(not thin_lens, thin_lens, False, False, False, samples, samples))
            for samples in (16, 512)
        )
        pair = (few.shallow, many.shallow) if thin_lens else (few.sharp, many.sharp)
        assert pair[0] is not None
        assert pair[1] is not None
        noise.append(float((pair[0].astype(float) - pair[1]).std()))
    assert noise[0] > 0.5 * NOISE_LEVEL
    assert noise[1] > 0.5 * NOISE_LEVEL


def test_without_mitsuba_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(ConfigError, match=r"run `pip install 'bokehflow\[studio\]'"):
        render_scene(1, 8, 8)
