"""The lens spreads light as a direct sum in NumPy does, keeps sharp subjects out of it, and can be trained and exported."""

import doctest

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import pipeline.models.lens
from pipeline.models.images import translate
from pipeline.models.lens import (
    EMPTY,
    GRAIN,
    HIGHLIGHT_GAIN,
    LEVELS,
    PALEST_SHARE,
    PLAN_CHANNELS,
    POINT_GAIN,
    Lens,
    disc,
    grain,
    linear,
    radii_px,
    sharp_plan,
    srgb,
    with_highlights,
)
from pipeline.models.lens_generator import LensGenerator, build_generator
from pipeline.models.networks import GeneratorConfig

SIDE_PX = 24
SURELY = 40.0
"""A logit that leaves nothing to the others."""
SEEN_THROUGH_A_LENS = GeneratorConfig(
    channels=4, blocks=1, upsampling="nearest", output="lens", lens_side_px=48, skip_channels=4, initialisation="kaiming"
)


def plan_of(level: int, height_px: int = SIDE_PX, width_px: int = SIDE_PX) -> Tensor:
    """Every pixel at one level, no highlight brighter than it looks."""
    plan = torch.zeros(1, PLAN_CHANNELS, height_px, width_px)
    plan[:, level], plan[:, 1 + LEVELS :] = SURELY, -SURELY
    return plan


def random_images(*sides_px: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(2, 3, *sides_px, generator=torch.Generator().manual_seed(0), dtype=dtype) * 1.6 - 0.8


def as_light(images: np.ndarray) -> np.ndarray:
    unit = (images + 1) / 2
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def as_images(light: np.ndarray) -> np.ndarray:
    return 2 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) - 1


def mean_over_disc(light: np.ndarray, radius_px: float) -> np.ndarray:
    """For each pixel the mean of the pixels whose discs reach it, each weighed by the area of its own on that pixel; a
    thousandth of the pixel's own light comes on top."""
    height_px, width_px = light.shape
    fine = (np.arange(-20.5 + 1 / 16, 20.5, 1 / 8)) ** 2
    weights = (fine[:, None] + fine <= radius_px**2).reshape(41, 8, 41, 8).mean((1, 3))
    weights = weights / weights.sum()
    weights[20, 20] += EMPTY
    padded, inside = np.pad(light, 20), np.pad(np.ones_like(light), 20)
    windows = [
        [(slice(row, row + 41), slice(column, column + 41)) for column in range(width_px)] for row in range(height_px)
    ]
    return np.array([[(weights * padded[at]).sum() / (weights * inside[at]).sum() for at in row] for row in windows])


def test_the_docstrings_examples_hold() -> None:
    assert doctest.testmod(pipeline.models.lens).failed == 0


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_a_level_is_the_mean_of_the_light_over_its_disc(level: int) -> None:
    images = random_images(SIDE_PX, 20)[:1]
    seen = Lens(radii_px(SIDE_PX * 4))(images, plan_of(level, SIDE_PX, 20))
    expected = as_images(mean_over_disc(as_light(images[0, 0].numpy()), radii_px(SIDE_PX * 4)[level - 1]))
    np.testing.assert_allclose(seen[0, 0].numpy(), expected, atol=1e-4)


def test_sharp_pixels_stay_as_they_are_to_the_last_bit() -> None:
    images = random_images(SIDE_PX, SIDE_PX)
    assert torch.equal(Lens(radii_px(SIDE_PX))(images, plan_of(0).expand(2, -1, -1, -1)), images)


def test_a_sharp_subject_neither_shines_out_nor_is_shone_over() -> None:
    images = torch.full((1, 3, SIDE_PX, SIDE_PX), -0.5)
    images[..., 8:16, 8:16] = 0.7
    plan = plan_of(LEVELS)
    plan[..., 8:16, 8:16] = plan_of(0)[..., 8:16, 8:16]
    torch.testing.assert_close(Lens(radii_px(96))(images, plan), images, atol=1e-4, rtol=0)


def test_a_single_disc_takes_light_to_neighbouring_levels_alone() -> None:
    """A pixel of half sharp and half widely spread light becomes one of a middling blur, which spreads light as far."""
    plan = torch.randn(2, PLAN_CHANNELS, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(0)) * 3
    divided, single = (Lens(radii_px(96), single_disc=one).eval().shares(plan) for one in (False, True))
    numbers, squares = torch.arange(1.0 + LEVELS)[:, None, None], torch.tensor([0.0, *radii_px(96)]).square()[:, None, None]
    torch.testing.assert_close(single.sum(1), torch.ones(2, SIDE_PX, SIDE_PX))
    torch.testing.assert_close((single * squares).sum(1), (divided * squares).sum(1), rtol=1e-4, atol=1e-4)
    used = single > 1e-6
    assert int(used.sum(1).max()) == 2
    assert torch.equal(Lens(radii_px(96), single_disc=True).shares(plan), divided), "in training"
    assert float((numbers * used).amax(1).sub(torch.where(used, numbers, 9.0).amin(1)).max()) == 1.0


def test_a_single_disc_spreads_nothing_that_is_surely_held() -> None:
    lens, images, plan = Lens(radii_px(96), single_disc=True).eval(), random_images(SIDE_PX, SIDE_PX)[:1], plan_of(LEVELS)
    held = torch.zeros(1, 1, SIDE_PX, SIDE_PX)
    held[..., :12], held[..., 12:14], held[..., 14:16] = 0.4, 0.25, 0.1
    sharp = lens.shares(plan, held)[:, 0]
    torch.testing.assert_close(sharp[..., :12], torch.ones(1, SIDE_PX, 12))
    torch.testing.assert_close(sharp[..., 12:14], torch.full((1, SIDE_PX, 2), 0.5))
    assert torch.equal(sharp[..., 14:], torch.zeros(1, SIDE_PX, SIDE_PX - 14))
    output = lens(images, plan, held)
    torch.testing.assert_close(output[..., :12], images[..., :12], atol=1e-6, rtol=0)
    assert (output - images)[..., 14:].abs().mean() > 0.1


def test_a_clipped_point_becomes_a_brighter_disc_and_no_other_light_changes() -> None:
    images = torch.full((1, 3, SIDE_PX, SIDE_PX), -0.9)
    images[..., 12, 12] = 1.0
    dim, bright = plan_of(4), plan_of(4)
    bright[:, 1 + LEVELS :] = 2.0
    lens, radius_px = Lens(radii_px(96)), radii_px(96)[3]
    difference = (lens(images, bright) - lens(images, dim))[0, 0]
    places = torch.arange(SIDE_PX) - 12
    distance_px = (places[:, None].square() + places.square()).float().sqrt()
    assert difference[distance_px < radius_px - 1].min() > 0.05
    assert difference[distance_px > radius_px + 1].abs().max() < 1e-3


def test_without_highlights_no_sky_turns_white() -> None:
    sky = torch.tensor([-0.2, 0.5, 0.98]).reshape(1, 3, 1, 1).expand(1, 3, 24, 24)
    plan = torch.zeros(1, PLAN_CHANNELS, 24, 24)
    plan[:, 2], plan[:, 1 + LEVELS :] = 8.0, 4.0
    without, with_them = (Lens(radii_px(24), highlights=told)(sky, plan) for told in (False, True))
    torch.testing.assert_close(without, sky, atol=1e-3, rtol=0)
    assert (with_them - sky)[:, 0].min() > 0.5


def test_what_is_not_clipped_has_no_extra_light() -> None:
    images, gains = random_images(4, 4), torch.full((2, 3, 4, 4), 5.0)
    torch.testing.assert_close(with_highlights(images, gains), linear((images + 1) / 2))


def test_extra_light_is_tinted_but_never_of_one_channel_alone() -> None:
    white, gains = torch.ones(1, 3, 1, 1), torch.tensor([9.0, -9.0, 3.0]).reshape(1, 3, 1, 1)
    red, green, blue = (with_highlights(white, gains) - 1).flatten().tolist()
    assert red == pytest.approx(HIGHLIGHT_GAIN * np.log1p(np.exp(1.0)), rel=1e-4)
    assert red > blue > green >= PALEST_SHARE * red
    even = with_highlights(white, torch.full((1, 3, 1, 1), 1.0))
    assert even.flatten().tolist() == pytest.approx([1 + HIGHLIGHT_GAIN * np.log1p(np.exp(1.0))] * 3, rel=1e-4)


def test_light_and_srgb_lead_back_to_each_other() -> None:
    unit = torch.linspace(0, 1, 256)
    torch.testing.assert_close(srgb(linear(unit)), unit, atol=1e-5, rtol=0)
    np.testing.assert_allclose(linear(unit).numpy(), as_light(unit.numpy() * 2 - 1), atol=1e-6)
    assert srgb(torch.tensor([-1.0, 9.0])).tolist() == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("radius_px", [0.4, 1.0, 2.5, 8.0])
def test_a_disc_has_the_area_of_its_radius(radius_px: float) -> None:
    weights = disc(radius_px, 9)
    assert weights.sum().item() == pytest.approx(1)
    assert torch.equal(weights, weights.T)
    if radius_px > 1:
        assert 1 / weights.max().item() == pytest.approx(np.pi * radius_px**2, rel=0.03)


def test_gradients_are_those_of_the_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    lens = Lens(radii_px(36)).double()
    images = (random_images(4, 6, dtype=torch.float64)[:1] * 0.9).requires_grad_(True)
    plan = torch.randn(1, PLAN_CHANNELS, 4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lens, (images, plan), atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_black_white_and_flat_pictures_have_finite_gradients(precision: torch.dtype) -> None:
    images = torch.stack([torch.full((3, 16, 16), value) for value in (-1.1, -1.0, 0.0, 1.0, 1.1)])
    generator = LensGenerator(SEEN_THROUGH_A_LENS)
    with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
        output = generator(images)
    assert output.dtype == torch.float32
    output.square().mean().backward()
    gradients = [parameter.grad for parameter in generator.parameters() if parameter.grad is not None]
    assert len(gradients) > len(list(generator.parameters())) / 2
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_generator_with_a_lens_starts_near_the_identity_and_can_leave_it() -> None:
    torch.manual_seed(0)
    generator, images = LensGenerator(SEEN_THROUGH_A_LENS), random_images(32, 32)
    assert (generator(images) - images).abs().mean() < 0.25
    assert Lens(radii_px(48))(images, sharp_plan()[:, None, None].expand(2, -1, 32, 32)).sub(images).abs().mean() > 0.01


def test_pictures_go_through_alike_alone_and_in_batches() -> None:
    torch.manual_seed(0)
    generator = LensGenerator(SEEN_THROUGH_A_LENS).eval()
    rgb = np.random.default_rng(0).integers(0, 256, (3, 40, 53, 3), dtype=np.uint8)
    together = translate(generator, rgb)
    for number, picture in enumerate(rgb):
        np.testing.assert_allclose(translate(generator, picture[None])[0], together[number], atol=1e-4)


def test_the_way_back_adds_what_a_lens_cannot() -> None:
    assert SEEN_THROUGH_A_LENS.way_back.output == "residual"
    assert not isinstance(build_generator(SEEN_THROUGH_A_LENS.way_back), LensGenerator)
    assert isinstance(build_generator(SEEN_THROUGH_A_LENS), LensGenerator)
    assert GeneratorConfig().way_back == GeneratorConfig()


def test_what_is_spread_keeps_the_grain_and_no_outline() -> None:
    """Noise of a level stays as it is; of an edge a hundred times as strong no more than two levels are left."""
    noise = torch.randint(-1, 2, (1, 3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(0)) * (2 / 255)
    images = noise.clone()
    images[..., SIDE_PX // 2 :] += 200 / 255
    plan = plan_of(LEVELS)
    plain, kept = (Lens(radii_px(96), keeps_grain=one).eval()(images, plan) for one in (False, True))
    torch.testing.assert_close(kept - plain, grain(images))
    inner = np.s_[..., 1:-1, 1 : SIDE_PX // 2 - 2]
    around = functional.avg_pool2d(noise, 3, 1, 1)
    torch.testing.assert_close((kept - plain)[inner], (noise - around)[inner])
    assert float((kept - plain).abs().max()) <= 2 * GRAIN + 1e-6
    assert torch.equal(Lens(radii_px(96), keeps_grain=True)(images, plan), Lens(radii_px(96))(images, plan)), "in training"


def test_a_lamp_in_the_dark_opens_into_a_disc_and_a_white_sky_stays_as_it_is() -> None:
    images = torch.full((1, 3, 48, 48), -0.9)
    images[..., 36, 36] = 1.0
    images[..., :24, :] = 1.0
    plan = plan_of(LEVELS)[..., :1, :1].expand(-1, -1, 48, 48)
    plain, opened = (Lens(radii_px(96), opens_points=one).eval()(images, plan) for one in (False, True))
    lamp = np.s_[0, 0, 33:43, 30:43]
    share = 1.0 / (torch.pi * radii_px(96)[-1] ** 2)
    gained = linear((opened[lamp] + 1) / 2) - linear((plain[lamp] + 1) / 2)
    torch.testing.assert_close(gained.mean(), torch.tensor(POINT_GAIN * share), rtol=0.1, atol=0)
    torch.testing.assert_close(opened[..., :12, :], plain[..., :12, :], rtol=0, atol=0.01)
    trained = Lens(radii_px(96), opens_points=True)(images, plan)
    assert torch.equal(trained, Lens(radii_px(96))(images, plan)), "in training"


def test_grain_changes_nothing_that_is_sharp() -> None:
    images, plan = random_images(SIDE_PX, SIDE_PX)[:1], plan_of(0)
    torch.testing.assert_close(Lens(radii_px(96), keeps_grain=True).eval()(images, plan), images, atol=1e-4, rtol=0)
