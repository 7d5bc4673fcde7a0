"""Every loss against a computation of its own in NumPy, and what holds for any input."""

import doctest
from collections.abc import Callable
from types import ModuleType
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.models.images
import pipeline.models.losses
import pipeline.models.networks
from pipeline.models.losses import (
    MaskArea,
    adversarial_loss,
    discriminator_loss,
    gradient_penalty,
    l1_loss,
    masked_l1_loss,
    perceptual_loss,
    weighted_sum,
)

seeds = st.integers(0, 2**32 - 1)


def scores(generator: np.random.Generator, batch: int = 3) -> np.ndarray:
    return generator.normal(size=(batch, 1, 5, 4))


def pictures(generator: np.random.Generator, batch: int = 3) -> np.ndarray:
    return generator.uniform(-1, 1, size=(batch, 3, 6, 8))


@given(seeds)
@settings(max_examples=25)
def test_adversarial_loss_is_numpys(seed: int) -> None:
    fake = scores(np.random.default_rng(seed))
    assert adversarial_loss(torch.from_numpy(fake)).item() == pytest.approx(((fake - 1) ** 2).mean())


@given(seeds)
@settings(max_examples=25)
def test_discriminator_loss_is_numpys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    real, fake = scores(generator), scores(generator)
    expected = (((real - 1) ** 2).mean() + (fake**2).mean()) / 2
    assert discriminator_loss(torch.from_numpy(real), torch.from_numpy(fake)).item() == pytest.approx(expected)


@given(seeds)
@settings(max_examples=25)
def test_l1_loss_is_numpys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    result, target = pictures(generator), pictures(generator)
    measured = l1_loss(torch.from_numpy(result), torch.from_numpy(target)).item()
    assert measured == pytest.approx(np.abs(result - target).mean())


@given(seeds, st.sampled_from(["image", "person"]))
@settings(max_examples=25)
def test_masked_l1_loss_is_numpys(seed: int, area: MaskArea) -> None:
    generator = np.random.default_rng(seed)
    result, target, mask = pictures(generator), pictures(generator), generator.random((3, 1, 6, 8))
    mask[0] = 0
    inside = mask * np.abs(result - target)
    person = [inside[i].sum() / (3 * mask[i].sum()) if mask[i].any() else 0 for i in range(3)]
    expected = inside.mean() if area == "image" else np.mean(person)
    measured = masked_l1_loss(*(torch.from_numpy(part) for part in (result, target, mask)), area=area).item()
    assert measured == pytest.approx(expected)


def test_another_area_is_refused() -> None:
    with pytest.raises(ValueError, match="it may be image or person"):
        masked_l1_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2), cast("MaskArea", "persn"))


@pytest.mark.parametrize("area", ["image", "person"])
def test_masked_l1_loss_has_no_gradient_outside_the_mask_and_passes_gradcheck(area: MaskArea) -> None:
    result = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    target, mask = torch.randn_like(result), (torch.rand(2, 1, 4, 4) > 0.5).double()
    assert torch.autograd.gradcheck(lambda moving: masked_l1_loss(moving, target, mask, area), (result,))
    (gradient,) = torch.autograd.grad(masked_l1_loss(result, target, mask, area), result)
    assert (gradient[(mask == 0).expand_as(gradient)] == 0).all()
    assert (gradient[(mask == 1).expand_as(gradient)] != 0).all()


def test_perceptual_loss_is_numpys_and_passes_gradcheck() -> None:
    generator = np.random.default_rng(0)
    result, target = generator.random((2, 5, 3, 4)), generator.random((2, 5, 3, 4))
    tensors = torch.from_numpy(result).requires_grad_(), torch.from_numpy(target)
    assert perceptual_loss(*tensors).item() == pytest.approx(np.abs(result - target).mean())
    assert torch.autograd.gradcheck(perceptual_loss, tensors)


def test_gradient_penalty_is_numpys_for_a_linear_discriminator() -> None:
    generator = np.random.default_rng(0)
    real, filters = pictures(generator), generator.normal(size=(2, 3, 6, 8))
    tensor = torch.from_numpy(real).requires_grad_(True)
    patch_scores = torch.einsum("bchw,pchw->bp", tensor, torch.from_numpy(filters)).reshape(3, 1, 1, 2)
    expected = (filters.mean(0) ** 2).sum()
    assert gradient_penalty(tensor, patch_scores).item() == pytest.approx(expected)


def test_adversarial_loss_passes_gradcheck() -> None:
    fake = torch.randn(2, 1, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(adversarial_loss, (fake,))


def test_discriminator_loss_passes_gradcheck() -> None:
    inputs = tuple(torch.randn(2, 1, 3, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(discriminator_loss, inputs)


def test_l1_loss_passes_gradcheck() -> None:
    inputs = tuple(torch.randn(2, 3, 3, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(l1_loss, inputs)


def test_losses_do_not_depend_on_how_a_batch_is_cut() -> None:
    generator = np.random.default_rng(1)
    fake, real = torch.from_numpy(scores(generator, 4)), torch.from_numpy(scores(generator, 4))
    result, target = torch.from_numpy(pictures(generator, 4)), torch.from_numpy(pictures(generator, 4))
    mask = torch.from_numpy(generator.random((4, 1, 6, 8)))

    def of_the_person(moving: torch.Tensor, still: torch.Tensor, person: torch.Tensor) -> torch.Tensor:
        return masked_l1_loss(moving, still, person, area="person")

    cases: list[tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = [
        (adversarial_loss, (fake,)),
        (discriminator_loss, (real, fake)),
        (l1_loss, (result, target)),
        (perceptual_loss, (result, target)),
        (masked_l1_loss, (result, target, mask)),
        (of_the_person, (result, target, mask)),
    ]
    for loss, inputs in cases:
        single = torch.stack([loss(*(part[i : i + 1] for part in inputs)) for i in range(4)]).mean()
        torch.testing.assert_close(loss(*inputs), single)


def test_weights_are_applied_and_none_may_be_missing() -> None:
    terms = {"gan_b": torch.tensor(2.0), "cycle_a": torch.tensor(3.0)}
    assert weighted_sum(terms, {"gan_b": 1.0, "cycle_a": 10.0, "identity_a": 5.0}).item() == 32.0
    with pytest.raises(KeyError, match="cycle_a"):
        weighted_sum(terms, {"gan_b": 1.0})


@pytest.mark.parametrize("module", [pipeline.models.losses, pipeline.models.images, pipeline.models.networks])
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
