"""pix2pix: the published sizes, what is unknown counts nowhere, and its three forms by weights alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models.disparity_generator import shown
from pipeline.models.images import translate
from pipeline.models.lens_generator import build_generator
from pipeline.models.losses import cross_entropy_adversarial_loss, cross_entropy_discriminator_loss
from pipeline.models.networks import DiscriminatorConfig, GeneratorConfig, PatchDiscriminator
from pipeline.models.pix2pix import Pix2pix
from pipeline.models.pix2pix_networks import Pix2pixGenerator, Pix2pixUNet, halvings_of
from pipeline.models.translator import Batch, ModelConfig

SIDE_PX = 32
CONFIG = ModelConfig(
    generator=GeneratorConfig(channels=4, output="disparity_picture", lens_side_px=SIDE_PX, dropout=0.0),
    discriminator=DiscriminatorConfig(channels=4),
)


def batch(seed: int, unknown: float | None = None) -> Batch:
    """Two pictures; with `unknown` the upper half of the second one's depth is that."""
    random = torch.Generator().manual_seed(seed)
    images = 2 * torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=random) - 1
    disparity = 0.4 + torch.rand(2, 1, SIDE_PX, SIDE_PX, generator=random)
    if unknown is not None:
        disparity[1, :, : SIDE_PX // 2] = unknown
    alpha = torch.zeros_like(disparity)
    return Batch(images, alpha, images, alpha, depth_a=disparity)


def model_of(seed: int = 0, **changed: float) -> Pix2pix:
    torch.manual_seed(seed)
    return Pix2pix(replace(CONFIG, **changed))


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_networks_have_the_published_size() -> None:
    network = Pix2pixUNet([3], 3, GeneratorConfig(lens_side_px=256))
    judge = PatchDiscriminator(DiscriminatorConfig(inputs=6))
    # Published with batch norm, which has two parameters a channel.
    assert parameters(network) == pytest.approx(54_413_955, rel=1e-3)
    assert parameters(judge) == 2_768_705 - (128 + 256 + 512)


def test_halvings_follow_the_size() -> None:
    assert [halvings_of(side_px) for side_px in (256, 96, 64, 512)] == [8, 5, 6, 8]


@pytest.mark.parametrize("size_px", [(32, 32), (33, 50), (96, 64), (5, 9)])
def test_any_size_has_a_disparity_for_each_pixel(size_px: tuple[int, int]) -> None:
    torch.manual_seed(0)
    generator = build_generator(CONFIG.generator)
    assert isinstance(generator, Pix2pixGenerator)
    images = 2 * torch.rand(1, 3, *size_px) - 1
    disparity = generator.disparity(images).detach()
    assert disparity.shape == (1, 1, *size_px)
    assert float(disparity.min()) > 0
    torch.testing.assert_close(shown(disparity), generator(images).detach(), atol=1e-5, rtol=0)
    rgb = np.round((images[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    assert translate(generator, rgb[None]).shape == (1, *size_px, 3)


def test_a_picture_is_the_same_alone_and_in_a_batch_and_dropout_is_for_training() -> None:
    torch.manual_seed(0)
    generator = build_generator(replace(CONFIG.generator, dropout=0.5))
    images = batch(1).real_a
    with torch.no_grad():
        assert not torch.equal(generator(images), generator(images))
        generator.eval()
        torch.testing.assert_close(generator(images)[1:], generator(images[1:]), atol=1e-6, rtol=0)


def test_each_term_has_a_weight_and_moves_all_of_its_network() -> None:
    model, given = model_of(), batch(3)
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    assert terms.keys() == {"l1", "gan_a"}
    assert terms.keys() <= model.weights.keys()
    model.objective(terms).backward()
    assert all(one.grad is not None and float(one.grad.abs().max()) > 0 for one in model.generator_parameters())
    judged = model.discriminator_terms(given, {name: one.detach() for name, one in model.fakes(made).items()}, 0)
    assert judged.keys() == {"discriminator_a"}
    for one in model.discriminator_parameters():
        one.grad = None
    model.objective(judged).backward()
    kernels = [one for one in model.discriminator_parameters() if one.dim() > 1]
    assert all(one.grad is not None and float(one.grad.abs().max()) > 0 for one in kernels)


def losses(model: Pix2pix, given: Batch) -> dict[str, float]:
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    terms |= model.discriminator_terms(given, {name: one.detach() for name, one in model.fakes(made).items()}, 0)
    return {name: term.item() for name, term in terms.items()}


@pytest.mark.parametrize("unknown", [-1.0, float("nan"), -float("inf")])
def test_what_is_unknown_changes_nothing(unknown: float) -> None:
    model = model_of()
    assert losses(model, batch(4, unknown)) == losses(model, batch(4, 0.0))
    assert losses(model, batch(4)) != losses(model, batch(4, 0.0))


def test_what_is_made_where_depth_is_unknown_is_not_asked_about() -> None:
    model, given = model_of(), batch(5, 0.0)
    made = model.translations(given)
    assert made.made.requires_grad
    (gradient,) = torch.autograd.grad(model.objective(model.generator_terms(given, made)), made.made)
    assert float(gradient[1, :, : SIDE_PX // 2].abs().max()) == 0
    assert float(gradient[1, :, SIDE_PX // 2 :].abs().min()) > 0
    other = made.made.detach().clone()
    other[1, :, : SIDE_PX // 2] = 0.9
    assert torch.equal(made.seen(other), made.seen(made.made.detach()))


def test_a_batch_without_any_known_depth_asks_for_nothing_but_a_verdict() -> None:
    given = batch(6)
    nothing = replace(given, depth_a=torch.zeros(2, 1, SIDE_PX, SIDE_PX))
    terms = losses(model_of(), nothing)
    assert terms["l1"] == 0
    assert all(np.isfinite(term) for term in terms.values())
    with pytest.raises(ValueError, match="depth"):
        model_of().translations(replace(given, depth_a=None))


def test_weights_alone_make_its_three_forms() -> None:
    given = batch(7)
    both, l1, gan = model_of(), model_of(gan_weight=0.0), model_of(l1_weight=0.0)
    assert l1.discriminators == {}
    assert losses(l1, given).keys() == {"l1"}
    assert l1.weights["l1"] == both.weights["l1"] == 100
    made = gan.translations(given)
    terms = gan.generator_terms(given, made)
    assert gan.objective(terms).item() == pytest.approx(terms["gan_a"].item())


def test_cross_entropy_is_torchs() -> None:
    scores = 3 * torch.randn(2, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    real, fake = scores

    def against(which: Tensor, value: float) -> Tensor:
        return loss(which, torch.full_like(which, value))

    torch.testing.assert_close(cross_entropy_adversarial_loss(fake), against(fake, 1))
    torch.testing.assert_close(cross_entropy_discriminator_loss(real, fake), (against(real, 1) + against(fake, 0)) / 2)
