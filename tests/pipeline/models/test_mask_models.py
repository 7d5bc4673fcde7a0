"""The models with masks: what the subject is asked for, what the overlay leaves alone, and the one-sided model."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import WeightsError
from pipeline.models.cyclegan import CycleGAN
from pipeline.models.images import overlaid
from pipeline.models.losses import adversarial_loss, l1_loss, masked_l1_loss, perceptual_loss
from pipeline.models.mask_loss import MaskLoss
from pipeline.models.mask_loss_overlay import MaskLossOverlay
from pipeline.models.mask_overlay import MaskOverlay
from pipeline.models.networks import DiscriminatorConfig, GeneratorConfig
from pipeline.models.one_sided import OneSided
from pipeline.models.translator import Batch, ModelConfig, PerceptualScale, Translator
from pipeline.models.vgg import VggFeatures, read_arrays

CONFIG = ModelConfig(
    generator=GeneratorConfig(channels=4, blocks=1), discriminator=DiscriminatorConfig(channels=4, strided_layers=1)
)
PLACES = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256)}


@pytest.fixture(scope="module")
def features() -> VggFeatures:
    """VGG's layers with random weights."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for place, (inputs, outputs) in PLACES.items():
        state[f"{place}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
        state[f"{place}.bias"] = torch.randn(outputs, generator=generator) * 0.1
    return VggFeatures(state)


def batch(size: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    real_a, real_b = (torch.rand(size, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    alpha_a, alpha_b = ((torch.rand(size, 1, 16, 16, generator=generator) > 0.5).float() for _ in range(2))
    return Batch(real_a, alpha_a, real_b, alpha_b)


def made_alike(model: type[Translator[Any]], features: VggFeatures | None = None) -> Any:  # noqa: ANN401 - any model
    torch.manual_seed(0)
    return model(CONFIG, features)


def test_the_mask_loss_asks_for_the_subject_as_well(features: VggFeatures) -> None:
    model, given = made_alike(MaskLoss, features), batch()
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    expected = CycleGAN.generator_terms(model, given, made) | {
        "mask_a": masked_l1_loss(made.fake_b, given.real_a, given.alpha_a),
        "mask_b": masked_l1_loss(made.fake_a, given.real_b, given.alpha_b),
        "mask_features_a": perceptual_loss(features(given.alpha_a * made.fake_b), features(given.alpha_a * given.real_a)),
        "mask_features_b": perceptual_loss(features(given.alpha_b * made.fake_a), features(given.alpha_b * given.real_b)),
    }
    torch.testing.assert_close(terms, expected)


@pytest.mark.parametrize(
    ("model", "scale", "mask_weight", "pixels", "in_features"),
    [
        (MaskLoss, "paper", None, 10.0, 10.0),
        (MaskLoss, "code", None, 10.0, 2.0),
        (MaskLossOverlay, "paper", None, 5.0, 5.0),
        (MaskLossOverlay, "code", None, 5.0, 1.0),
        (MaskLoss, "paper", 0.25, 2.5, 2.5),
        (OneSided, "code", None, 10.0, 2.0),
    ],
)
def test_weights_of_the_mask_terms(
    model: type[Any],
    scale: PerceptualScale,
    mask_weight: float | None,
    pixels: float,
    in_features: float,
) -> None:
    weights = model(replace(CONFIG, perceptual_scale=scale, mask_weight=mask_weight)).weights
    assert (weights["mask_a"], weights["mask_features_a"]) == (pixels, in_features)


def test_the_mask_terms_move_nothing_outside_the_mask(features: VggFeatures) -> None:
    given = batch()
    generated = torch.rand_like(given.real_a).requires_grad_()
    from pipeline.models.mask_loss import mask_terms

    terms = mask_terms("a", generated, given.real_a, given.alpha_a, CONFIG, features)
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, generated)
        outside = (given.alpha_a == 0).expand_as(gradient)
        assert (gradient[outside] == 0).all()
        assert gradient[~outside].abs().sum() > 0


def test_the_overlay_leaves_the_subject_untouched_everywhere_but_in_the_identity() -> None:
    model, plain, given = made_alike(MaskOverlay), made_alike(CycleGAN), batch()
    made, without = model.translations(given), plain.translations(given)
    inside_a, inside_b = given.alpha_a.bool().expand(-1, 3, -1, -1), given.alpha_b.bool().expand(-1, 3, -1, -1)
    for overlaid_picture, real, inside in (
        (made.fake_b, given.real_a, inside_a),
        (made.cycled_a, given.real_a, inside_a),
        (made.fake_a, given.real_b, inside_b),
        (made.cycled_b, given.real_b, inside_b),
    ):
        torch.testing.assert_close(overlaid_picture[inside], real[inside])
    torch.testing.assert_close(made.generated_b, without.fake_b)
    torch.testing.assert_close(made.fake_b[~inside_a], without.fake_b[~inside_a])
    torch.testing.assert_close(made.identity_a, without.identity_a)
    torch.testing.assert_close(made.cycled_a, overlaid(model.generator_b_to_a(made.fake_b), given.real_a, given.alpha_a))


def test_loss_and_overlay_together_judge_the_output_before_the_overlay(features: VggFeatures) -> None:
    model, given = made_alike(MaskLossOverlay, features), batch()
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    torch.testing.assert_close(terms["mask_a"], masked_l1_loss(made.generated_b, given.real_a, given.alpha_a))
    torch.testing.assert_close(terms["gan_b"], adversarial_loss(model.discriminator_b(made.fake_b)))
    assert terms["mask_a"] > 0
    assert MaskOverlay.OVERLAYS_RESULT
    assert not MaskLossOverlay.OVERLAYS_RESULT


def test_the_one_sided_model_has_one_way_and_its_own_terms(features: VggFeatures) -> None:
    model, given = made_alike(OneSided, features), batch()
    made = model.translations(given)
    terms = model.generator_terms(given, made)
    assert set(terms) == {"gan_b", "identity_b", "mask_a", "mask_features_a"}
    torch.testing.assert_close(terms["identity_b"], l1_loss(model.generator_a_to_b(given.real_b), given.real_b))
    assert set(model.discriminator_terms(given, model.fakes(made), 0)) == {"discriminator_b"}
    assert set(model.generators) == {"a_to_b"}


@pytest.mark.parametrize("name", [MaskLoss, MaskOverlay, MaskLossOverlay, OneSided])
def test_terms_do_not_depend_on_how_a_batch_is_cut(name: type[Any], features: VggFeatures) -> None:
    model, given = made_alike(name, features), batch(2)
    whole = model.generator_terms(given, model.translations(given))
    halves = []
    for half in (slice(0, 1), slice(1, 2)):
        part = Batch(given.real_a[half], given.alpha_a[half], given.real_b[half], given.alpha_b[half])
        halves.append(model.generator_terms(part, model.translations(part)))
    for term, value in whole.items():
        torch.testing.assert_close(value, (halves[0][term] + halves[1][term]) / 2, atol=1e-5, rtol=1e-4)


def test_features_are_frozen_normalised_and_outside_the_state(features: VggFeatures) -> None:
    picture = (torch.rand(1, 3, 16, 16) * 2 - 1).requires_grad_()
    before = picture.detach().clone()
    output = features(picture)
    assert output.shape == (1, 256, 4, 4)
    assert (output >= 0).all()
    (gradient,) = torch.autograd.grad(output.sum(), picture)
    assert gradient.abs().sum() > 0
    assert torch.equal(picture.detach(), before)
    assert not features.state_dict()
    assert not [*features.parameters()]


def test_the_normalisation_is_imagenets(features: VggFeatures) -> None:
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    seen = []
    handle = torch.nn.functional.conv2d

    def spy(pictures: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, padding: int) -> torch.Tensor:
        seen.append(pictures)
        return handle(pictures, weight, bias, padding=padding)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", spy)
        features((mean * 2 - 1).expand(1, 3, 8, 8))
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 8, 8), atol=1e-6, rtol=0)


def test_a_pickle_may_hold_arrays_only() -> None:
    arrays = {"network": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    np.testing.assert_array_equal(read_arrays(pickle.dumps(arrays))["network"]["kernel"], arrays["network"]["kernel"])

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("run",))

    with pytest.raises(WeightsError, match=r"it wants builtins\.print"):
        read_arrays(pickle.dumps({"kernel": Evil()}))
    with pytest.raises(WeightsError, match="no pickle of arrays"):
        read_arrays(b"something else")
