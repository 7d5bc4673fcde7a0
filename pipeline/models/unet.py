"""A U-Net: what is seen at each size goes around everything that is made of it at smaller ones.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), with instance norm, reflected
borders, and each pixel's place in the picture as two more channels: portraits have their subjects in the middle.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.images import Images
from pipeline.models.layers import Convolution, InstanceNorm, laid_out

PLACE_CHANNELS = 2

Outputs = Float[Tensor, "batch outputs height width"]


class UNet(nn.Module):
    """Pictures of any size to maps of the same size, of any range; `channels` at full size and after each halving."""

    def __init__(self, outputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = _layer(3 + PLACE_CHANNELS, channels[0])
        self.down = nn.ModuleList(nn.Sequential(_layer(few, many), _layer(many, many)) for few, many in pairwise(channels))
        self.up = nn.ModuleList(_layer(few + many, few) for few, many in pairwise(channels))
        self.last = Convolution(channels[0], outputs, 1, before_norm=False)

    @property
    def least_side_px(self) -> int:
        """Smaller pictures are enlarged: instance norm needs two pixels a side after the last halving."""
        return 2 ** (len(self.down) + 1)

    def forward(self, images: Images) -> Outputs:
        """What the last convolution puts out; float32 under autocast too."""
        size_px = images.shape[-2:]
        if min(size_px) < self.least_side_px:
            larger = functional.interpolate(images, scale_factor=float(-(-self.least_side_px // min(size_px))))
            return functional.interpolate(self(larger), size=size_px, mode="area")
        sizes = [self.first(laid_out(torch.cat([images, _places(images)], 1)))]
        for layers in self.down:
            sizes.append(layers(functional.max_pool2d(sizes[-1], 2)))
        features = sizes.pop()
        for layers, skipped in zip(reversed(self.up), reversed(sizes), strict=True):
            enlarged = functional.interpolate(features, size=skipped.shape[-2:], mode="nearest")
            features = layers(torch.cat([enlarged, skipped], 1))
        return self.last(features).float()


def _places(images: Images) -> Float[Tensor, "batch 2 height width"]:
    """Each pixel's row and column, -1 to 1."""
    # Counted rather than asked of the shape, which ONNX knows only when it runs.
    counts = [torch.ones_like(images[:, :1]).cumsum(along) - 1.0 for along in (2, 3)]
    return torch.cat([2.0 * count / count.amax((2, 3), keepdim=True) - 1.0 for count in counts], 1)


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Convolution(inputs, outputs, 3, before_norm=True), InstanceNorm(), nn.ReLU())
