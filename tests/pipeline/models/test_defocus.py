"""The fourth study's models: what they are told and shall make, how pixels count, and that unknown depth counts nowhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.models.defocus import PLANES, Defocus, drawn_planes, greys, patches, told_of
from pipeline.models.large_photos import translate_photo
from pipeline.models.lens_generator import build_generator
from pipeline.models.networks import DiscriminatorConfig, GeneratorConfig
from pipeline.models.pix2pix_networks import DefocusGenerator
from pipeline.models.translator import Batch, FocusWeights, ModelConfig

SIDE_PX = 32
CONFIG = ModelConfig(
    generator=GeneratorConfig(channels=4, output="refocused", lens_side_px=SIDE_PX, dropout=0.0),
    discriminator=DiscriminatorConfig(channels=4),
)


def batch(seed: int, unknown: float | None = None) -> Batch:
    """Two pictures of three stripes, the nearest on the right; with `unknown` half of the second's depth is that."""
    random = torch.Generator().manual_seed(seed)
    images = 2 * torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=random) - 1
    disparity = torch.linspace(0.4, 1.6, 3).repeat_interleave(11)[:SIDE_PX].expand(2, 1, SIDE_PX, SIDE_PX).clone()
    if unknown is not None:
        disparity[1, :, : SIDE_PX // 2] = unknown
    alpha = torch.zeros_like(disparity)
    return Batch(images, alpha, images, alpha, depth_a=disparity)


def losses(model: Defocus, given: Batch) -> dict[str, float]:
    torch.manual_seed(7)
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    terms |= model.discriminator_terms(given, {name: one.detach() for name, one in model.fakes(made).items()}, 0)
    return {name: term.item() for name, term in terms.items()}


def model_of(**changed: object) -> Defocus:
    torch.manual_seed(0)
    return Defocus(replace(CONFIG, **changed))


def depth_of(given: Batch) -> torch.Tensor:
    assert given.depth_a is not None
    return given.depth_a


def test_what_lies_in_the_plane_stays_and_the_rest_is_blurred() -> None:
    given = batch(0)
    for tone, columns in zip(PLANES, (slice(2, 8), slice(14, 19), slice(26, 31)), strict=True):
        told = told_of(given.real_a, depth_of(given), torch.full((2, 1, 1, 1), tone))
        assert bool((told.focus[..., columns] == 1).all())
        assert float(told.focus.mean()) == pytest.approx(1 / 3, abs=0.03)
        change = (told.wanted - given.real_a).abs()
        inside = change[..., columns].mean()
        # A stripe lies a sixth of the tones beside its plane, which is less than a pixel here.
        assert float(inside) < 0.02
        assert float(change.mean()) > 5 * float(inside)


def test_planes_with_nothing_in_them_are_dropped() -> None:
    disparity = torch.full((1, 1, SIDE_PX, SIDE_PX), 0.4)
    disparity[..., 20:] = 1.6  # nothing in the middle
    torch.manual_seed(0)
    drawn = {round(drawn_planes(disparity).item(), 4) for _ in range(40)}
    assert drawn == {round(PLANES[0], 4), round(PLANES[2], 4)}
    assert drawn_planes(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 1, 1)


def test_greys_are_stretched_over_what_is_known() -> None:
    grey = greys(depth_of(batch(0, 0.0)))
    assert (float(grey.min()), float(grey.max())) == (0, 1)
    assert float(grey[1, :, : SIDE_PX // 2].max()) == 0


def test_patches_have_three_levels() -> None:
    told = patches((torch.arange(SIDE_PX) < 18).float().expand(1, 1, SIDE_PX, SIDE_PX))
    assert told.unique().tolist() == [0.0, 0.5, 1.0]
    assert told[..., :16].min() == 1


@pytest.mark.parametrize(
    ("weights", "inside", "outside"), [("uniform", 1.0, 1.0), ("grey", 2000.0, 0.5), ("in_focus", 11.0, 1.0)]
)
def test_pixels_count_as_the_setting_says(weights: FocusWeights, inside: float, outside: float) -> None:
    given = batch(1, 0.0)
    told = told_of(given.real_a, depth_of(given), torch.full((2, 1, 1, 1), PLANES[2]), weights=weights)
    assert float(told.weights[0, 0, 0, -1]) == inside
    assert float(told.weights[0, 0, 0, 15]) == pytest.approx(outside)
    assert float(told.weights[1, :, : SIDE_PX // 2].max()) == 0


@pytest.mark.parametrize("encoders", [1, 2])
@pytest.mark.parametrize("focus_map", ["map", "patches"])
def test_each_term_has_a_weight_and_moves_its_network(encoders: int, focus_map: str) -> None:
    model = model_of(generator=replace(CONFIG.generator, encoders=encoders), focus_map=focus_map)
    given = batch(2)
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    assert terms.keys() == {"l1", "gan_a"}
    assert terms.keys() <= model.weights.keys()
    model.objective(terms).backward()
    assert all(one.grad is not None and float(one.grad.abs().max()) > 0 for one in model.generator_parameters())
    assert losses(model, given).keys() == {"l1", "gan_a", "discriminator_a"}
    assert losses(model_of(gan_weight=0.0), given).keys() == {"l1"}


@pytest.mark.parametrize("unknown", [-1.0, float("nan"), -float("inf")])
def test_what_is_unknown_changes_nothing(unknown: float) -> None:
    model = model_of(focus_weights="grey", r1_weight=1.0)
    assert losses(model, batch(3, unknown)) == losses(model, batch(3, 0.0))
    assert losses(model, batch(3)) != losses(model, batch(3, 0.0))


def test_what_is_made_where_depth_is_unknown_is_not_asked_about() -> None:
    model, given = model_of(), batch(4, 0.0)
    made = model.translations(given)
    assert made.made is not None
    (gradient,) = torch.autograd.grad(model.objective(model.generator_terms(given, made)), made.made)
    assert float(gradient[1, :, : SIDE_PX // 2].abs().max()) == 0
    assert float(gradient[1, :, SIDE_PX // 2 :].abs().max()) > 0


def test_photos_are_told_by_the_subjects_alpha_whole_and_in_tiles() -> None:
    torch.manual_seed(0)
    generator = build_generator(CONFIG.generator).eval()
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (40, 96, 3), dtype=np.uint8)
    alpha = np.zeros((40, 96), np.uint8)
    for tile_px in (128, 48):
        without = translate_photo(generator, rgb, alpha, tile_px, 8)
        assert without.shape == rgb.shape
        assert not np.array_equal(without, translate_photo(generator, rgb, np.full_like(alpha, 255), tile_px, 8))


def test_the_generator_takes_any_size_and_must_be_told() -> None:
    torch.manual_seed(0)
    generator = build_generator(replace(CONFIG.generator, encoders=2))
    assert isinstance(generator, DefocusGenerator)
    assert generator(torch.zeros(1, 3, 37, 50), torch.ones(1, 1, 37, 50)).shape == (1, 3, 37, 50)
    with pytest.raises(ValueError, match="what should be sharp"):
        generator(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="depth"):
        model_of().translations(replace(batch(0), depth_a=None))
