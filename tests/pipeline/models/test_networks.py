"""The networks are those of the paper, and their options do what they say."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.networks import (
    DiscriminatorConfig,
    Doubled,
    Generator,
    GeneratorConfig,
    PatchDiscriminator,
    receptive_field_px,
)

SMALL = GeneratorConfig(channels=4, blocks=1)
SMALL_RESIDUAL = GeneratorConfig(
    channels=4, blocks=1, upsampling="nearest", output="residual", skip_channels=4, initialisation="kaiming"
)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("network", "gflop"),
    [(lambda: Generator(GeneratorConfig()), 99.1), (lambda: PatchDiscriminator(DiscriminatorConfig()), 6.3)],
)
def test_the_studys_networks_cost_what_the_papers_do(network: Callable[[], nn.Module], gflop: float) -> None:
    """Forward at 256², a multiplication and an addition counted as two; on `meta`, where nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network()(torch.empty(1, 3, 256, 256))
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, rel=0.01)


def test_the_studys_generator_has_its_parameters() -> None:
    assert parameter_count(Generator(GeneratorConfig())) == 11_378_179


def test_the_studys_discriminator_has_its_parameters() -> None:
    assert parameter_count(PatchDiscriminator(DiscriminatorConfig())) == 2_764_737


@pytest.mark.parametrize("config", [SMALL, SMALL_RESIDUAL])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 20)])
def test_generator_keeps_the_size_and_the_range(config: GeneratorConfig, height: int, width: int) -> None:
    output = Generator(config)(torch.rand(2, 3, height, width) * 2 - 1)
    assert output.shape == (2, 3, height, width)
    assert output.abs().max() <= 1.1


def test_residual_generator_starts_near_the_identity() -> None:
    images = torch.rand(1, 3, 32, 32) * 1.6 - 0.8
    torch.manual_seed(0)
    assert (Generator(SMALL_RESIDUAL)(images) - images).abs().mean() < 0.3


@pytest.mark.parametrize("config", [SMALL, SMALL_RESIDUAL])
def test_a_picture_is_translated_alike_alone_and_in_a_batch(config: GeneratorConfig) -> None:
    generator, images = Generator(config), torch.rand(3, 3, 16, 16)
    alone = torch.cat([generator(image[None]) for image in images])
    torch.testing.assert_close(generator(images), alone, atol=1e-5, rtol=1e-4)


def test_repeated_pixels_keep_their_precision() -> None:
    features = torch.tensor([[[[1.0, 2.0]]]])
    assert Doubled()(features).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    with torch.autocast("cpu", torch.bfloat16):
        assert Doubled()(features.bfloat16()).dtype == torch.bfloat16


def test_normal_initialisation_has_the_papers_spread() -> None:
    torch.manual_seed(0)
    weights = torch.cat([p.flatten() for name, p in Generator(GeneratorConfig()).named_parameters() if "weight" in name])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert weights.mean().item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("strided_layers", "field_px"), [(1, 16), (2, 34), (3, 70)])
def test_one_score_sees_its_patch_and_nothing_else(strided_layers: int, field_px: int) -> None:
    # Without norm, which would let every pixel reach every score.
    config = DiscriminatorConfig(channels=4, strided_layers=strided_layers, norm="none", initialisation="kaiming")
    assert receptive_field_px(config) == field_px
    images = torch.rand(1, 3, 144, 144, requires_grad=True)
    scores = PatchDiscriminator(config)(images)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], images)
    rows = np.flatnonzero(gradient[0].abs().sum((0, 2)).numpy())
    columns = np.flatnonzero(gradient[0].abs().sum((0, 1)).numpy())
    assert rows[-1] - rows[0] + 1 == field_px
    assert columns[-1] - columns[0] + 1 == field_px


def test_the_studys_discriminator_gives_30_by_30_scores() -> None:
    assert PatchDiscriminator(DiscriminatorConfig(channels=4))(torch.rand(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_discriminator_sees_the_laplacian_if_told() -> None:
    discriminator = PatchDiscriminator(DiscriminatorConfig(channels=4, strided_layers=1, laplacian=True))
    first = discriminator.layers[0]
    assert isinstance(first, nn.Conv2d)
    assert first.in_channels == 6
    assert discriminator(torch.rand(1, 3, 16, 16)).shape == (1, 1, 6, 6)
