"""A generator that tells how near everything is: a picture to the disparity of each of its pixels."""

from typing import ClassVar

from torch import nn

from pipeline.models.images import Disparities, Images, Masks, to_model_range
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.models.unet import Outputs, UNet

GROWTH = (1, 2, 4, 8, 16, 16)
"""Channels at full size and after each halving, in parts of those at full size."""
USUAL_DISPARITY = 0.7
"""1/m: what it begins with, between a face and the wall behind it."""
LOG_RANGE = 4.0
"""Of the natural logarithm around that: from 3 cm to 80 m."""


class DisparityGenerator(Generator):
    """Image to disparity at the same size; sides are free.

    As a generator it puts out a picture to look at, grey, the nearer the brighter; the numbers are those of `disparity`.
    """

    OUTPUTS: ClassVar[int] = 1
    stride_px: int = 1

    def __init__(self, config: GeneratorConfig) -> None:
        nn.Module.__init__(self)  # nothing of the residual body is in it
        self.config = config
        self.network = UNet(self.OUTPUTS, [config.channels * growth for growth in GROWTH])

    def disparity(self, images: Images) -> Disparities:
        """In 1/m, > 0, where it was trained on metric depth; else its scale and shift mean nothing."""
        return USUAL_DISPARITY * (LOG_RANGE * (self.output(images) / LOG_RANGE).tanh()).exp()

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """The picture of disparity that `shown` makes."""
        return shown(self.disparity(images))

    def output(self, images: Images) -> Outputs:
        """What the last layer puts out: the logarithm of disparity, around the usual one."""
        return self.network(images)

    @property
    def last_convolution(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The layer whose output `output` is."""
        return self.network.last


def shown(disparity: Disparities) -> Images:
    """Disparity as grey in [-1, 1]: black at infinity, the middle at 1 m, white at the lens.

    >>> import torch
    >>> shown(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2))[0, 0].tolist()
    [[-1.0, 0.0]]
    """
    return to_model_range(disparity / (1.0 + disparity)).expand(-1, 3, -1, -1)
