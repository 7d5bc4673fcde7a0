"""Furnished scenes: things at many distances, added to a scene that stays as it is."""

import numpy as np
import pytest

from pipeline.studio.scene import Scene, describe_scene
from pipeline.studio.surfaces import Surface
from pipeline.studio.things import SITTER_FRONT_Z, things

WALL_Z = -4.0


def depths(surface: Surface) -> tuple[float, float]:
    z = surface.mesh.vertices[:, 2]
    return float(z.min()), float(z.max())


@pytest.fixture(scope="module")
def furnished() -> Scene:
    return describe_scene(21, furnished=True)


def test_furniture_changes_nothing_of_the_scene_it_stands_in(furnished: Scene) -> None:
    bare = describe_scene(21)
    kept = furnished.background[: len(bare.background)]
    assert (furnished.camera, furnished.light, bare.front) == (bare.camera, bare.light, ())
    assert len(furnished.background) > len(bare.background)
    for ours, theirs in zip((*furnished.person, *kept), (*bare.person, *bare.background), strict=True):
        assert np.array_equal(ours.mesh.vertices, theirs.mesh.vertices)


@pytest.mark.parametrize("seed", range(6))
def test_what_stands_in_front_is_nearer_than_the_sitter_and_before_the_camera(seed: int) -> None:
    front, behind = things(np.random.default_rng(seed), WALL_Z)
    assert all(depths(surface)[0] > SITTER_FRONT_Z - 0.1 for surface in front)
    assert all(depths(surface)[1] < 1.7 for surface in front)
    assert all(depths(surface)[0] < -0.5 for surface in behind)


def test_things_behind_lie_at_many_distances_and_one_slopes_away() -> None:
    behind = [surface for seed in range(4) for surface in things(np.random.default_rng(seed), WALL_Z)[1]]
    middles = 1 / (2.2 - np.array([np.mean(depths(surface)) for surface in behind]))
    counts, _ = np.histogram(middles, bins=4, range=(1 / 6.0, 1 / 2.9))
    assert (counts > 0).all()
    assert any(np.ptp(depths(surface)) > 2 for surface in behind)


def test_the_same_seed_places_the_same_things() -> None:
    one, other = (things(np.random.default_rng(3), WALL_Z) for _ in range(2))
    for ours, theirs in zip((*one[0], *one[1]), (*other[0], *other[1]), strict=True):
        assert np.array_equal(ours.mesh.vertices, theirs.mesh.vertices)
        assert np.array_equal(ours.texture, theirs.texture)
