"""Scenes by seed: the same seed is the same scene, seeds differ, and the sitter stands before the backdrop."""

from dataclasses import astuple

import numpy as np
import pytest

from pipeline.studio.backdrops import THEMES
from pipeline.studio.meshes import ellipsoid
from pipeline.studio.scene import Scene, describe_scene
from pipeline.studio.surfaces import Surface, glowing, matte


@pytest.fixture(scope="module")
def scene() -> Scene:
    return describe_scene(21)


def alike(first: tuple[Surface, ...], second: tuple[Surface, ...]) -> bool:
    pairs = zip(first, second, strict=False)
    same = (np.array_equal(a.mesh.vertices, b.mesh.vertices) and np.array_equal(a.texture, b.texture) for a, b in pairs)
    return len(first) == len(second) and all(same)


def test_a_seed_is_a_scene(scene: Scene) -> None:
    again = describe_scene(21)
    assert alike(scene.person, again.person)
    assert alike(scene.background, again.background)
    assert astuple(scene.camera) == astuple(again.camera)
    assert astuple(scene.light) == astuple(again.light)


def test_seeds_differ(scene: Scene) -> None:
    other = describe_scene(22)
    assert not alike(scene.person, other.person)
    assert not alike(scene.background, other.background)
    assert scene.camera != other.camera
    assert scene.light != other.light


def test_leaving_the_sitter_out_changes_nothing_else(scene: Scene) -> None:
    empty = describe_scene(21, person=False)
    assert empty.person == ()
    assert alike(scene.background, empty.background)
    assert (empty.camera, empty.light) == (scene.camera, scene.light)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sitter_is_in_focus_and_the_backdrop_far_behind(seed: int) -> None:
    scene = describe_scene(seed)
    nearest = max(float(surface.mesh.vertices[:, 2].max()) for surface in scene.background)
    back = min(float(surface.mesh.vertices[:, 2].min()) for surface in scene.person)
    front = max(float(surface.mesh.vertices[:, 2].max()) for surface in scene.person)
    focus_z = scene.camera.origin[2] - scene.camera.focus_distance
    assert nearest < back < focus_z < front
    assert 0.075 <= scene.camera.lens_radius <= 0.1


@pytest.mark.parametrize("theme", THEMES)
def test_each_theme_has_small_lights_brighter_than_white_before_its_wall(theme: str) -> None:
    surfaces = THEMES[theme](np.random.default_rng(5), -4.0)
    assert all(surface.emits for surface in surfaces)
    lights = [surface for surface in surfaces if surface.texture.max() > 1]
    assert len(lights) >= 3
    assert all(np.ptp(light.mesh.vertices, axis=0).max() < 0.3 for light in lights)


def test_light_from_above_and_behind_falls_on_matte_surfaces_only(scene: Scene) -> None:
    ball = ellipsoid([0, 0, 0], [1, 1, 1])
    shown = scene.light.radiance(matte(ball, [0.5, 0.5, 0.5]))
    assert shown.shape == (48, 48, 3)
    assert shown.min() >= 0
    assert shown[0].mean() > shown[-1].mean()
    lamp = glowing(ball, [0.5, 0.5, 0.5], 3.0)
    assert np.array_equal(scene.light.radiance(lamp), lamp.texture)
