"""The terms of the training losses: pure functions, each unweighted.

Images are in [-1, 1], scores are a discriminator's raw output (no sigmoid). Every result is a scalar that
does not depend on how a batch is cut: the loss of a batch is the mean over its pictures.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.models.images import Images, Masks

Scores = Float[Tensor, "batch 1 patch_rows patch_columns"]
"""A discriminator's raw scores, one for each patch."""
Scalar = Float[Tensor, ""]
"""One number."""
Features = Float[Tensor, "batch channels rows columns"]
"""Activations of a frozen network, >= 0."""

Logits = Float[Tensor, "batch classes rows columns"]
"""Of classes, before the softmax."""

MaskArea = Literal["image", "person"]
"""What a masked mean is taken over: the whole picture, or the mask's own area."""
MINIMUM_AREA = 1e-6


def adversarial_loss(fake_scores: Scores, region: Masks | None = None) -> Scalar:
    """Least squares, the generator's side: mean((D(fake) - 1)²), >= 0, 0 when every patch passes for real.

    With a `region`, of any size, the mean is weighed by how much of it each patch's share of the picture shows.

    Mao et al., "Least Squares Generative Adversarial Networks" (2017), with targets 1 and 0.

    >>> adversarial_loss(torch.zeros(1, 1, 2, 2)).item()
    1.0
    """
    return _mean_over((fake_scores - 1.0).square(), region)


def discriminator_loss(real_scores: Scores, fake_scores: Scores, region: Masks | None = None) -> Scalar:
    """Least squares, the discriminator's side: ½ (mean((D(real) - 1)²) + mean(D(fake)²)), >= 0; `region` as above.

    >>> discriminator_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item()
    0.0
    """
    return 0.5 * (_mean_over((real_scores - 1.0).square(), region) + _mean_over(fake_scores.square(), region))


def cross_entropy_adversarial_loss(fake_scores: Scores) -> Scalar:
    """Cross-entropy on logits, the generator's side: mean(-ln σ(D(fake))), >= 0.

    Goodfellow et al., "Generative Adversarial Nets" (2014), the form that does not saturate.

    >>> round(cross_entropy_adversarial_loss(torch.zeros(1, 1, 2, 2)).item(), 4)
    0.6931
    """
    return functional.softplus(-fake_scores).mean()


def cross_entropy_discriminator_loss(real_scores: Scores, fake_scores: Scores) -> Scalar:
    """Cross-entropy on logits, the discriminator's side: ½ (mean(-ln σ(D(real))) + mean(-ln(1 - σ(D(fake))))), >= 0.

    >>> round(cross_entropy_discriminator_loss(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -99.0)).item(), 4)
    0.3466
    """
    return 0.5 * (functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean())


def _mean_over(errors: Scores, region: Masks | None) -> Scalar:
    """Mean over the patches, weighed by their part of `region`; 0 where there is none."""
    if region is None:
        return errors.mean()
    rows, columns = errors.shape[-2:]
    weights = functional.adaptive_avg_pool2d(region, (rows, columns))
    return (weights * errors).sum() / weights.sum().clamp_min(MINIMUM_AREA)


def l1_loss(result: Images, target: Images) -> Scalar:
    """mean(abs(result - target)) over batch, channels and pixels; in [0, 2] for images in [-1, 1].

    >>> l1_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).item()
    1.0
    """
    return (result - target).abs().mean()


def masked_l1_loss(result: Images, target: Images, mask: Masks, area: MaskArea = "image") -> Scalar:
    """mean(mask · abs(result - target)), over the whole picture or over the mask's own area; in [0, 2].

    "image", the study's, divides by batch, channels and all pixels, so that a small person counts little.
    "person" divides each picture by its mask's area, then takes the mean over the batch; an empty mask counts 0.
    The gradient is zero outside the mask. Raises ValueError for another `area`.

    >>> mask = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    >>> masked_l1_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), mask).item()
    0.25
    >>> masked_l1_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), mask, "person").item()
    1.0
    """
    difference = mask * (result - target).abs()
    if area == "image":
        return difference.mean()
    if area != "person":
        raise ValueError(f"area is {area!r}; it may be image or person")
    pixels = mask.sum((1, 2, 3)) * result.shape[1]
    return (difference.sum((1, 2, 3)) / pixels.clamp_min(MINIMUM_AREA)).mean()


def perceptual_loss(result_features: Features, target_features: Features) -> Scalar:
    """mean(abs(result - target)) over a frozen network's activations, >= 0.

    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (2016), with L1 for L2 as
    in the study.

    >>> perceptual_loss(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)).item()
    1.0
    """
    return (result_features - target_features).abs().mean()


def semantic_loss(result_logits: Logits, target_logits: Logits) -> Scalar:
    """KL(target ‖ result) over classes, a mean over places weighed by how sure the target is; >= 0, 0 for equal ones.

    A place weighs 1 − H/log(classes), H being the entropy of its target: 1 where the target is certain, 0 where all classes
    are alike likely. Each picture is divided by the sum of its own weights. Both sides are soft: no class is chosen.

    >>> sure = torch.tensor([20.0, 0.0]).reshape(1, 2, 1, 1)
    >>> round(semantic_loss(torch.zeros(1, 2, 1, 1), sure).item(), 4)
    0.6931
    >>> semantic_loss(torch.tensor([5.0, 0.0]).reshape(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item()
    0.0
    """
    target, result = target_logits.log_softmax(1), result_logits.log_softmax(1)
    shares = target.exp()
    entropy = -(shares * target).sum(1)
    sureness = (1.0 - entropy / math.log(target.shape[1])).clamp_min(0.0)
    divergence = (shares * (target - result)).sum(1)
    return ((sureness * divergence).sum((1, 2)) / sureness.sum((1, 2)).clamp_min(MINIMUM_AREA)).mean()


def gradient_penalty(real: Images, real_scores: Scores) -> Scalar:
    """R1: mean over the batch of the squared norm of d(mean patch score)/d(real picture); >= 0.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?" (2018). `real` must require
    gradients and `real_scores` must have been computed from it.

    >>> real = torch.zeros(1, 3, 2, 2, requires_grad=True)
    >>> gradient_penalty(real, 2.0 * real.sum((1, 2, 3)).reshape(1, 1, 1, 1)).item()
    48.0
    """
    (gradient,) = torch.autograd.grad(real_scores.mean((1, 2, 3)).sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of weight · term, the only place where weights meet terms; every term must have its weight.

    >>> weighted_sum({"gan_b": torch.tensor(2.0), "cycle_a": torch.tensor(1.0)}, {"gan_b": 1.0, "cycle_a": 10.0})
    tensor(12.)
    """
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
