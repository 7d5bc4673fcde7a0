"""The models of depth: what is unknown asks for nothing, sides do not matter, and the plane's sign is settled by depth."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models import MODELS_OF_DEPTH, model_class
from pipeline.models.depth import Depth, Predicted, moved_aside
from pipeline.models.depth_losses import affine_invariant_loss, depth_gradient_loss, log_depth_loss
from pipeline.models.disparity_generator import DisparityGenerator, shown
from pipeline.models.images import translate
from pipeline.models.lens_generator import build_generator
from pipeline.models.networks import GeneratorConfig
from pipeline.models.refocus import LOOKS_ONCE_IN, Refocus, picture_loss
from pipeline.models.translator import Batch, ModelConfig

CONFIG = ModelConfig(generator=GeneratorConfig(channels=2, output="disparity"))


def maps(seed: int, side_px: int = 32) -> tuple[Tensor, Tensor]:
    """Pictures in [-1, 1] and disparity around 1/m, by chance."""
    random = torch.Generator().manual_seed(seed)
    images = 2 * torch.rand(2, 3, side_px, side_px, generator=random) - 1
    return images, 0.4 + torch.rand(2, 1, side_px, side_px, generator=random)


def batch(seed: int) -> Batch:
    images, disparity = maps(seed)
    alpha = torch.zeros_like(disparity)
    return Batch(images, alpha, images, alpha, depth_a=disparity)


def test_what_is_unknown_does_not_count() -> None:
    _, true = maps(0)
    _, other = maps(1)
    holed, spoilt = true.clone(), other.clone()
    holed[..., :7, :] = 0
    spoilt[..., :7, :] = 9.0
    for loss in (log_depth_loss, depth_gradient_loss, affine_invariant_loss):
        assert float(loss(spoilt, holed)) == pytest.approx(float(loss(other, holed)))
        assert float(loss(other, torch.zeros_like(true))) == 0
        assert float(loss(true, true)) == pytest.approx(0, abs=1e-6)


def test_scale_is_forgiven_by_all_but_the_loss_in_metres() -> None:
    _, true = maps(0)
    assert float(log_depth_loss(2 * true, true)) == pytest.approx(np.log(2), rel=1e-5)
    assert float(depth_gradient_loss(2 * true, true)) == pytest.approx(0, abs=1e-5)
    assert float(affine_invariant_loss(2 * true + 0.3, true)) == pytest.approx(0, abs=1e-5)
    assert float(affine_invariant_loss(-true, true)) > 0.5


@pytest.mark.parametrize("size_px", [(33, 50), (96, 64), (5, 9)])
def test_any_size_has_a_disparity_for_each_pixel(size_px: tuple[int, int]) -> None:
    torch.manual_seed(0)
    generator = build_generator(CONFIG.generator)
    assert isinstance(generator, DisparityGenerator)
    images = 2 * torch.rand(1, 3, *size_px) - 1
    disparity = generator.disparity(images).detach()
    assert disparity.shape == (1, 1, *size_px)
    assert float(disparity.min()) > 0
    rgb = np.round((images[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    assert translate(generator, rgb[None]).shape == (1, *size_px, 3)


def test_what_is_nearer_is_shown_brighter() -> None:
    values = shown(torch.tensor([0.01, 0.5, 1.0, 5.0]).reshape(1, 1, 2, 2))[0, 0].flatten().tolist()
    assert values == sorted(values)
    assert -1 <= values[0] < values[-1] <= 1


def test_views_move_depth_as_they_move_pictures() -> None:
    torch.manual_seed(0)
    images, disparity = maps(2)
    images[:, :1] = disparity
    moved, moved_disparity = moved_aside(images, disparity)
    assert torch.equal(moved[:, :1], moved_disparity)
    assert moved.shape == images.shape


@pytest.mark.parametrize("name", sorted(MODELS_OF_DEPTH - {"pix2pix"}))
def test_each_term_has_a_weight_and_moves_the_network(name: str) -> None:
    torch.manual_seed(0)
    model = model_class(name)(CONFIG)
    given = batch(3)
    terms = model.generator_terms(given, model.translations(given))
    assert terms.keys() <= model.weights.keys()
    model.objective(terms).backward()
    assert all(parameter.grad is not None for parameter in model.generators["a_to_b"].last_convolution.parameters())
    assert model.discriminators == {}


def test_a_batch_without_depth_is_refused() -> None:
    images, disparity = maps(0)
    given = Batch(images, disparity, images, disparity)
    with pytest.raises(ValueError, match="depth"):
        Depth(CONFIG).translations(given)


def test_the_right_disparity_makes_the_right_picture_whatever_its_shift() -> None:
    torch.manual_seed(0)
    images, true = maps(4, 48)
    assert float(picture_loss(Predicted(images, true, true))) == 0
    assert float(picture_loss(Predicted(images, true + 0.2, true))) == pytest.approx(0, abs=1e-4)
    assert float(picture_loss(Predicted(images, torch.ones_like(true), true))) > 0.01


def test_a_picture_whose_depth_is_unknown_asks_for_nothing() -> None:
    torch.manual_seed(0)
    images, disparity = maps(5, 48)
    disparity.requires_grad_(True)
    loss = picture_loss(Predicted(images, disparity, torch.zeros_like(disparity)))
    assert loss.item() == pytest.approx(0, abs=1e-9)  # with a gradient and without, sums are taken in another order


def test_steps_that_look_through_the_lens_count_for_those_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("pipeline.models.refocus.picture_loss", lambda made: torch.ones(()))
    model, (images, true) = Refocus(CONFIG), maps(6)
    given, made = batch(6), Predicted(images, true, true)
    told = torch.stack([model.generator_terms(given, made)["picture"] for _ in range(600)])
    assert set(told.tolist()) == {0.0, LOOKS_ONCE_IN}
    assert told.mean().item() == pytest.approx(1, abs=0.15)


def test_mirrored_disparity_is_told_by_depth_if_not_by_blur() -> None:
    """Of a flat step seen through a lens focused on one of its sides blur says how far the other is, not on which side."""
    torch.manual_seed(0)
    images = (2 * torch.rand(1, 3, 1, 48) - 1).expand(-1, -1, 48, -1).contiguous()
    true = torch.full((1, 1, 48, 48), 1.0)
    true[..., 24:, :] = 1.4
    mirrored = 2.4 - true
    model = Refocus(CONFIG)
    given = Batch(images, true, images, true, depth_a=true)
    right, wrong = (model.objective(model.generator_terms(given, Predicted(images, one, true))) for one in (true, mirrored))
    assert right.item() < 0.1 * wrong.item()
