"""Photos larger than the training pictures: tiles without a gap, and a lens that grows with the photo."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.models.images import LEAST_EDGE_PX, translate
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens import LEVELS, PLAN_CHANNELS
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import Generator, GeneratorConfig
from tests.pipeline.models.test_images import Identity, random_pictures

SIDE_PX = 24


class Sighted(LensGenerator):
    """Keeps what is reddish sharp and spreads the light of all else over the largest disc."""

    def __init__(self, **switches: bool) -> None:
        super().__init__(GeneratorConfig(channels=4, blocks=1, output="lens", lens_side_px=SIDE_PX, **switches))

    def output(self, images: Tensor) -> Tensor:
        plan = torch.full((len(images), PLAN_CHANNELS, *images.shape[-2:]), -40.0)
        plan[:, 0], plan[:, LEVELS] = 40.0 * images[:, 0], -40.0 * images[:, 0]
        return plan


def scene(factor: int, lamp: bool = False) -> np.ndarray:
    """A red square before a finely chequered wall, 24 by 36 times `factor` pixels, perhaps with a lamp."""
    rows, columns = np.indices((24 * factor, 36 * factor))
    wall = np.where((rows // factor + columns // factor) % 2, 90, 10).astype(np.uint8)
    rgb = np.stack([np.zeros_like(wall), wall, wall], -1)
    rgb[8 * factor : 16 * factor, 12 * factor : 24 * factor] = (250, 40, 40)
    if lamp:
        rgb[2 * factor : 4 * factor, 4 * factor : 6 * factor] = (0, 255, 255)
    return rgb


@pytest.mark.parametrize("tile_px", [20, 37, 1024])
@pytest.mark.parametrize("switch", ["lens_highlights", "lens_keeps_grain", "lens_opens_points"])
def test_a_lens_grows_with_the_photo_and_tiles_do_not_show(tile_px: int, switch: str) -> None:
    generator, lamp = Sighted(**{"lens_highlights": False, switch: True}).eval(), switch == "lens_opens_points"
    small, large = translate(generator, scene(1, lamp)[None])[0], translate_photo(generator, scene(4, lamp), tile_px=tile_px)
    again = np.asarray(Image.fromarray(np.round(large * 255).astype(np.uint8)).resize((36, 24), Image.Resampling.BOX)) / 255
    difference = np.abs(again - small).max(-1)
    difference[5:19, 9:27] = 0  # the plan's edge is as wide as a small pixel, and its light goes two further
    assert difference.max() < (0.05 if lamp else 0.02)  # a disc's edge is as wide as a small pixel, too
    np.testing.assert_allclose(large, translate_photo(generator, scene(4, lamp)), atol=1e-4)


def test_the_subject_stays_as_sharp_as_the_photo() -> None:
    rgb = scene(4)
    rgb[40:56, 56:88, 2] = np.random.default_rng(0).integers(0, 256, (16, 32))
    seen = translate_photo(Sighted().eval(), rgb)
    np.testing.assert_allclose(seen[40:56, 56:88], rgb[40:56, 56:88] / 255, atol=1e-4)
    assert np.abs(np.diff(seen[:16, :, 1], axis=1)).max() < 0.05


def test_a_larger_photo_keeps_the_grain_of_its_own_pixels() -> None:
    """Of a grey wall with noise of a level nothing is left without, and nearly all with it."""
    levels = np.random.default_rng(0).integers(126, 129, (96, 144, 1))
    wall = np.repeat(levels, 3, 2).astype(np.uint8)
    plain, kept = (translate_photo(Sighted(lens_keeps_grain=one).eval(), wall).std() * 255 for one in (False, True))
    assert plain < wall.std() / 2
    assert kept == pytest.approx(wall.std(), rel=0.15)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (23, 50), (97, 25), (60, 131)])
def test_any_size_goes_through_a_lens(height: int, width: int) -> None:
    (rgb,) = random_pictures(1, height, width)
    torch.manual_seed(0)
    generator = LensGenerator(GeneratorConfig(channels=4, blocks=1, output="lens", lens_side_px=SIDE_PX)).eval()
    seen = translate_photo(generator, rgb, tile_px=40)
    assert (seen.shape, seen.dtype) == (rgb.shape, np.float32)
    assert 0 <= seen.min() <= seen.max() <= 1


@pytest.mark.parametrize("plan_scale", [1, 2])
def test_the_smallest_photo_goes_through_a_lens(plan_scale: int) -> None:
    (rgb,) = random_pictures(1, LEAST_EDGE_PX, LEAST_EDGE_PX)
    config = GeneratorConfig(channels=4, blocks=1, output="lens", lens_side_px=SIDE_PX, plan_scale=plan_scale)
    assert translate_photo(LensGenerator(config).eval(), rgb).shape == rgb.shape


@pytest.mark.parametrize(("height", "width"), [(16, 16), (40, 17), (33, 70), (20, 100)])
def test_tiles_of_a_large_photo_are_blended_without_a_gap(height: int, width: int) -> None:
    (rgb,) = random_pictures(1, height, width)
    output = translate_photo(Identity(), rgb, tile_px=16, overlap_px=4)
    assert output.shape == rgb.shape
    np.testing.assert_allclose(output, rgb / 255.0, atol=1e-5)


def test_a_photo_that_fits_goes_through_whole() -> None:
    generator = Generator(GeneratorConfig(channels=4, blocks=1)).eval()
    (rgb,) = random_pictures(1, 24, 20)
    np.testing.assert_array_equal(translate_photo(generator, rgb, tile_px=32), translate(generator, rgb[None])[0])


def test_between_two_tiles_the_change_is_gradual() -> None:
    class Counter(Identity):
        calls = 0

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return torch.full_like(batch, -1.0 if self.calls == 1 else 1.0)

    output = translate_photo(Counter(), np.zeros((12, 28, 3), np.uint8), tile_px=16, overlap_px=4)[0, :, 0]
    steps = np.diff(output)
    assert output[0] == 0
    assert output[-1] == 1
    assert (steps >= 0).all()
    assert steps.max() < 0.3
