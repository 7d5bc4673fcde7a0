"""A small network that finds the subject, so that a lens can hold it without being told where it is.

A `UNet` with few channels. It learns, beside everything else, from the masks that the training pictures come with, so that
nothing but the photo is needed when the model is applied. It can be no better than those masks.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.models.images import Images, Masks
from pipeline.models.unet import UNet

CHANNELS = (8, 16, 32, 64, 64)
"""At full size and after each halving."""
VIEWS = 6
"""Of each picture in a step."""
ZOOM, TURN, SHIFT, EXPOSURE, TINT = 0.35, 0.25, 0.15, 0.3, 0.15
"""How much views differ: scale (natural logarithm), radians, parts of the side, contrast and brightness (deviations)."""

Logits = Float[Tensor, "batch 1 height width"]
"""Of alpha."""


class SubjectFinder(UNet):
    """Pictures of any size to the logits of their subject's alpha."""

    def __init__(self) -> None:
        super().__init__(1, CHANNELS)


def finding_loss(logits: Logits, alpha: Masks) -> Float[Tensor, ""]:
    """Binary cross-entropy, and 1 - the Dice coefficient, which counts small subjects as much as large ones; >= 0."""
    found = logits.sigmoid()
    overlap, both = (found * alpha).sum((1, 2, 3)), (found + alpha).sum((1, 2, 3))
    dice = (2.0 * overlap + 1.0) / (both + 1.0)
    return functional.binary_cross_entropy_with_logits(logits, alpha) + (1.0 - dice).mean()


def views(images: Images, alpha: Masks) -> tuple[Images, Masks]:
    """`VIEWS` of each picture with its alpha: mirrored, turned, moved, nearer or farther, in another light."""
    images, alpha = (tensor.repeat(VIEWS, 1, 1, 1) for tensor in (images, alpha))
    grid = functional.affine_grid(_placements(images), [len(images), 1, *images.shape[-2:]], align_corners=False)
    moved = functional.grid_sample(torch.cat([images, alpha], 1), grid, padding_mode="reflection", align_corners=False)
    return in_other_light(moved[:, :3]), moved[:, 3:]


def in_other_light(images: Images) -> Images:
    """Each picture brighter or darker, and tinted, by chance."""
    light = 1.0 + EXPOSURE * images.new_empty(len(images), 1, 1, 1).normal_().clamp(-2.0, 2.0)
    tint = TINT * images.new_empty(len(images), 3, 1, 1).normal_()
    return (images + 1.0) * light - 1.0 + tint


def _placements(images: Images) -> Float[Tensor, "batch 2 3"]:
    """Of the views in the pictures."""

    def within(limit: float, *shape: int) -> Tensor:
        return limit * (2.0 * images.new_empty(len(images), *shape).uniform_() - 1.0)

    angle, scale = within(TURN, 1), within(ZOOM, 1).exp()
    mirrored = torch.where(within(1.0, 1) < 0.0, -scale, scale)
    rows = [mirrored * angle.cos(), -scale * angle.sin(), mirrored * angle.sin(), scale * angle.cos()]
    return torch.cat([torch.stack(rows, 2).reshape(-1, 2, 2), within(SHIFT, 2, 1)], 2)
