"""Textures: their range, their chance, and the two directions of sRGB."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.studio import textures

TONE, OTHER = np.array([0.8, 0.4, 0.2]), np.array([0.2, 0.3, 0.6])
DRAWN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "bricks": lambda rng: textures.bricks(rng, TONE, OTHER),
    "tiles": lambda rng: textures.tiles(rng, TONE, OTHER),
    "foliage": lambda rng: textures.foliage(rng, TONE, OTHER),
    "shelves": lambda rng: textures.shelves(rng, TONE),
    "windows": lambda rng: textures.windows(rng, OTHER, TONE, 0.4),
    "poster": textures.poster,
    "painting": lambda rng: textures.painting(rng, OTHER),
    "planks": lambda rng: textures.planks(rng, TONE),
    "awning": lambda rng: textures.awning(rng, TONE, OTHER),
    "plaster": lambda rng: textures.plaster(rng, TONE),
    "dusk": textures.dusk,
    "cloth": textures.cloth,
    "knit": lambda rng: textures.knit(rng, TONE),
    "skin": lambda rng: textures.skin(rng, TONE),
    "strands": lambda rng: textures.strands(rng, TONE),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_textures_are_pictures_that_follow_their_generator(draw: Callable[[np.random.Generator], np.ndarray]) -> None:
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first.shape == (textures.SIZE_PX, textures.SIZE_PX, 3)
    assert first.dtype == np.float32
    assert 0 < first.min() <= first.max() < 1
    assert first.std() > 0.003
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(st.floats(0, 1))
def test_srgb_and_linear_light_are_inverse(value: float) -> None:
    assert textures.srgb(textures.linear(value)) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("value", "light"), [(0.0, 0.0), (0.5, 0.2140), (1.0, 1.0)])
def test_linear_light_of_known_values(value: float, light: float) -> None:
    assert textures.linear(value) == pytest.approx(light, abs=1e-4)


def test_hues_wrap_around() -> None:
    assert textures.colour(1.25, 0.5, 0.5) == pytest.approx(textures.colour(0.25, 0.5, 0.5))
