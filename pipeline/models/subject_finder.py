"""A small network that finds the subject, so that a lens can hold it without being told where it is.

A U-Net (Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015) with instance norm
and far fewer channels. It learns, beside everything else, from the masks that the training pictures come with, so that
nothing but the photo is needed when the model is applied. It can be no better than those masks.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.images import Images, Masks
from pipeline.models.layers import Convolution, InstanceNorm

CHANNELS = (8, 16, 32, 64, 64)
"""At full size and after each halving."""
PLACE_CHANNELS = 2
VIEWS = 6
"""Of each picture in a step."""
ZOOM, TURN, SHIFT, EXPOSURE, TINT = 0.35, 0.25, 0.15, 0.3, 0.15
"""How much views differ: scale (natural logarithm), radians, parts of the side, contrast and brightness (deviations)."""

LEAST_SIDE_PX = 2 ** len(CHANNELS)
"""Smaller pictures are enlarged: instance norm needs two pixels a side after the last halving."""

Logits = Float[Tensor, "batch 1 height width"]
"""Of alpha."""


class SubjectFinder(nn.Module):
    """Pictures of any size to the logits of their subject's alpha."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _layer(3 + PLACE_CHANNELS, CHANNELS[0])
        self.down = nn.ModuleList(nn.Sequential(_layer(few, many), _layer(many, many)) for few, many in pairwise(CHANNELS))
        self.up = nn.ModuleList(_layer(few + many, few) for few, many in pairwise(CHANNELS))
        self.last = Convolution(CHANNELS[0], 1, 1, before_norm=False)

    def forward(self, images: Images) -> Logits:
        size_px = images.shape[-2:]
        if min(size_px) < LEAST_SIDE_PX:
            larger = functional.interpolate(images, scale_factor=float(-(-LEAST_SIDE_PX // min(size_px))))
            return functional.interpolate(self(larger), size=size_px, mode="area")
        sizes = [self.first(torch.cat([images, _places(images)], 1))]
        for layers in self.down:
            sizes.append(layers(functional.max_pool2d(sizes[-1], 2)))
        features = sizes.pop()
        for layers, skipped in zip(reversed(self.up), reversed(sizes), strict=True):
            enlarged = functional.interpolate(features, size=skipped.shape[-2:], mode="nearest")
            features = layers(torch.cat([enlarged, skipped], 1))
        return self.last(features).float()


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
    light = 1.0 + EXPOSURE * images.new_empty(len(images), 1, 1, 1).normal_().clamp(-2.0, 2.0)
    tint = TINT * images.new_empty(len(images), 3, 1, 1).normal_()
    return (moved[:, :3] + 1.0) * light - 1.0 + tint, moved[:, 3:]


def _placements(images: Images) -> Float[Tensor, "batch 2 3"]:
    """Of the views in the pictures."""

    def within(limit: float, *shape: int) -> Tensor:
        return limit * (2.0 * images.new_empty(len(images), *shape).uniform_() - 1.0)

    angle, scale = within(TURN, 1), within(ZOOM, 1).exp()
    mirrored = torch.where(within(1.0, 1) < 0.0, -scale, scale)
    rows = [mirrored * angle.cos(), -scale * angle.sin(), mirrored * angle.sin(), scale * angle.cos()]
    return torch.cat([torch.stack(rows, 2).reshape(-1, 2, 2), within(SHIFT, 2, 1)], 2)


def _places(images: Images) -> Float[Tensor, "batch 2 height width"]:
    """Each pixel's row and column, -1 to 1: portraits have their subjects in the middle."""
    # Counted rather than asked of the shape, which ONNX knows only when it runs.
    counts = [torch.ones_like(images[:, :1]).cumsum(along) - 1.0 for along in (2, 3)]
    return torch.cat([2.0 * count / count.amax((2, 3), keepdim=True) - 1.0 for count in counts], 1)


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Convolution(inputs, outputs, 3, before_norm=True), InstanceNorm(), nn.ReLU())
