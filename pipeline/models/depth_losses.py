"""The terms of losses on depth: pure functions, each unweighted, over the pixels whose depth is known.

Disparity is in 1/m, > 0, and 0 where the truth is unknown. Every result is a scalar >= 0, a mean over the known pixels of a
batch, 0 where there are none.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.models.images import Disparities
from pipeline.models.losses import Scalar

TINY = 1e-6
GRADIENT_STRIDES = (1, 2, 4)
"""At which the errors of neighbours are compared: between pixels, and between those further apart."""

Known = Bool[Tensor, "batch 1 height width"]


def log_depth_loss(disparity: Disparities, true: Disparities) -> Scalar:
    """mean(abs(ln δ − ln δ*)): the same for depth as for disparity, and for a relative error of any distance.

    >>> log_depth_loss(torch.full((1, 1, 2, 2), torch.e), torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])).item()
    1.0
    """
    return _mean(_log_error(disparity, true).abs(), true > 0)


def l1_where_known(result: Tensor, target: Tensor, known: Known) -> Scalar:
    """mean(abs(result − target)) over the known pixels of maps of one channel; what lies elsewhere may be anything.

    >>> target = torch.tensor([[[[0.5, torch.nan]]]])
    >>> l1_where_known(torch.ones(1, 1, 1, 2), target, target > 0).item()
    0.5
    """
    return _mean(torch.where(known, result - target, 0.0).abs(), known)


def affine_invariant_loss(disparity: Disparities, true: Disparities) -> Scalar:
    """mean(abs(δ̂ − δ̂*)) of disparities that each picture's median and mean absolute deviation were taken from.

    For truth whose scale and shift nobody knows. Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020), their
    `ssimae` without trimming.

    >>> true = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> affine_invariant_loss(3 * true + 1, true).item() < 1e-6
    True
    """
    known = true > 0
    pictures = zip(disparity, true, known, strict=True)
    each = [_standardised(ours, which) - _standardised(theirs, which) for ours, theirs, which in pictures]
    return _mean(torch.stack(each).abs(), known)


def depth_gradient_loss(disparity: Disparities, true: Disparities) -> Scalar:
    """mean(abs(error here − error there)) of ln δ, between neighbours along both axes, at several strides.

    It asks for edges where they are, and for none elsewhere. Eigen and Fergus (2015); over scales as Li and Snavely,
    "MegaDepth" (2018).

    >>> true = torch.rand(1, 1, 8, 8) + 0.5
    >>> depth_gradient_loss(2 * true, true).item() < 1e-5
    True
    """
    error, known = _log_error(disparity, true), true > 0
    steps = [_gradients(error[..., ::stride, ::stride], known[..., ::stride, ::stride]) for stride in GRADIENT_STRIDES]
    return torch.stack([step for pair in steps for step in pair]).mean()


def _gradients(error: Disparities, known: Known) -> tuple[Scalar, Scalar]:
    across = _mean((error[..., 1:] - error[..., :-1]).abs(), known[..., 1:] & known[..., :-1])
    down = _mean((error[..., 1:, :] - error[..., :-1, :]).abs(), known[..., 1:, :] & known[..., :-1, :])
    return across, down


def _log_error(disparity: Disparities, true: Disparities) -> Disparities:
    """ln δ − ln δ*; what it is where the truth is unknown does not count."""
    return disparity.clamp_min(TINY).log() - torch.where(true > 0, true, 1.0).clamp_min(TINY).log()


def _standardised(
    disparity: Float[Tensor, "1 height width"], known: Bool[Tensor, "1 height width"]
) -> Float[Tensor, "1 height width"]:
    if not known.any():
        return torch.zeros_like(disparity)
    median = disparity[known].median()
    return (disparity - median) / (disparity[known] - median).abs().mean().clamp_min(TINY)


def _mean(values: Tensor, known: Known) -> Scalar:
    return (values * known).sum() / known.sum().clamp_min(1)
