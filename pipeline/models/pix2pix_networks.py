"""The U-Net of pix2pix, and the generators that make the picture of depth, or a refocused one, with it.

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017), its appendix 6.1:
4x4 convolutions of stride 2 down to a single pixel and back, what is seen at each size handed over to the way back, dropout
in the first three layers of that. Deviations:

- instance norm in place of batch norm, so that a picture is the same in training, in a batch and alone;
- no norm at the bottleneck, where one over the picture would leave nothing but zeros;
- as many halvings as the training size allows, and 8 at most: 256 px are halved 8 times, 96 px 5 times;
- dropout in training alone: at test time it is noise that the authors found to change little, and a judge wants the same
  result twice;
- sides are free: an odd side loses a row on the way down, and the last one is repeated on the way back.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import Disparities, Images, Masks
from pipeline.models.layers import InstanceNorm
from pipeline.models.networks import LEAKY_SLOPE, Generator, GeneratorConfig, initialise_as_published

MOST_HALVINGS = 8
MOST_GROWTH = 8
"""Of the channels, in parts of those after the first halving."""
DROPPED_LAYERS = 3
LOGIT_LIMIT = 3.0
"""Of what disparity is made of: from 2.5 mm to 400 m."""

Maps = Float[Tensor, "batch inputs height width"]
Outputs = Float[Tensor, "batch outputs height width"]


def halvings_of(side_px: int) -> int:
    """How often pictures of that side are halved: as often as they can be evenly, `MOST_HALVINGS` times at most.

    >>> [halvings_of(side_px) for side_px in (96, 256, 1024, 100)]
    [5, 8, 8, 2]
    """
    return min(MOST_HALVINGS, (side_px & -side_px).bit_length() - 1)


class Pix2pixUNet(nn.Module):
    """One encoder for each of `inputs`, numbers of channels, and one decoder; maps of any size to maps of the same size.

    With several encoders the decoder is handed what all of them see.
    """

    def __init__(self, inputs: Sequence[int], outputs: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.halvings = halvings_of(config.lens_side_px)
        widths = [config.channels * min(2**level, MOST_GROWTH) for level in range(self.halvings)]
        self.inputs = list(inputs)
        self.encoders = nn.ModuleList(_encoder(channels, widths) for channels in inputs)
        handed = [len(self.inputs) * width for width in widths]
        # Seen from the bottleneck: each layer takes what was made so far and what is handed over at its size.
        taken = [handed[-1], *(made + skip for made, skip in zip(widths[-2::-1], handed[-2::-1], strict=True))]
        made = [*widths[-2::-1], outputs]
        self.decoder = nn.ModuleList(
            _enlarging(few, many, config.dropout if layer < DROPPED_LAYERS else 0.0, layer == len(taken) - 1)
            for layer, (few, many) in enumerate(zip(taken, made, strict=True))
        )
        initialise_as_published(self)

    def forward(self, seen: Maps) -> Outputs:
        """What the last layer puts out, before any limit; float32 under autocast too."""
        size_px = seen.shape[-2:]
        if min(size_px) < 2**self.halvings:
            larger = functional.interpolate(seen, scale_factor=float(-(-(2**self.halvings) // min(size_px))))
            return functional.interpolate(self(larger), size=size_px, mode="area")
        parts = seen.split(self.inputs, 1)
        sizes = [torch.cat(features, 1) for features in zip(*map(_encoded, self.encoders, parts), strict=True)]
        features = sizes.pop()
        for layers, skipped in zip(self.decoder, [*reversed(sizes), None], strict=True):
            enlarged = layers(features)
            wanted = size_px if skipped is None else skipped.shape[-2:]
            enlarged = functional.interpolate(enlarged, size=wanted, mode="nearest")
            features = enlarged if skipped is None else torch.cat([enlarged, skipped], 1)
        return features.float()

    @property
    def last(self) -> nn.ConvTranspose2d:
        """The layer whose output `forward` is."""
        layer = list(self.decoder[-1].modules())[-1]
        assert isinstance(layer, nn.ConvTranspose2d)
        return layer


class Pix2pixGenerator(DisparityGenerator):
    """Image to the grey picture of its disparity, as `disparity_generator.shown` shows it, in [-1, 1]."""

    def __init__(self, config: GeneratorConfig) -> None:
        nn.Module.__init__(self)  # nothing of another generator's body is in it
        self.config = config
        self.network = Pix2pixUNet([3], self.OUTPUTS, config)

    def picture(self, images: Images) -> Masks:
        """Grey in [-1, 1], [batch, 1, height, width]."""
        return self.output(images).tanh()

    def disparity(self, images: Images) -> Disparities:
        """What the picture shows, > 0: tanh x = (δ − 1) / (δ + 1) for δ = exp(2x)."""
        return (2.0 * self.output(images).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)).exp()

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """The picture, its grey three times."""
        return self.picture(images).expand(-1, 3, -1, -1)

    def output(self, images: Images) -> Outputs:
        """What the last layer puts out, before tanh."""
        return self.network(images)

    @property
    def last_convolution(self) -> nn.ConvTranspose2d:
        """The layer whose output `output` is."""
        return self.network.last


class DefocusGenerator(Generator):
    """Image, and a map of what should be sharp, to the refocused image; sides are free.

    The map takes the place of the subject's alpha, which it is where nothing else is said: the subject is in focus then.
    """

    stride_px: int = 1

    def __init__(self, config: GeneratorConfig) -> None:
        nn.Module.__init__(self)  # nothing of another generator's body is in it
        self.config = config
        self.network = Pix2pixUNet([3, 1] if config.encoders == 2 else [4], self.OUTPUTS, config)

    @property
    def holds_subject(self) -> bool:
        """It must be given the map."""
        return True

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """`images` refocused; `alpha` is 1 where they should be sharp, 0 elsewhere."""
        if alpha is None:
            raise ValueError("this generator must be told what should be sharp")
        return self.network(torch.cat([images, alpha], 1)).tanh()

    @property
    def last_convolution(self) -> nn.ConvTranspose2d:
        """The layer whose output, before tanh, `forward` is."""
        return self.network.last


def _encoder(inputs: int, widths: Sequence[int]) -> nn.ModuleList:
    """A layer for each size; no norm on the first and, at the bottleneck, on the last."""
    layers = [nn.Sequential(_halving(inputs, widths[0], before_norm=False))]
    for level, (few, many) in enumerate(pairwise(widths), 2):
        normed = level < len(widths)
        norm = [InstanceNorm()] if normed else []
        layers.append(nn.Sequential(nn.LeakyReLU(LEAKY_SLOPE), _halving(few, many, before_norm=normed), *norm))
    return nn.ModuleList(layers)


def _encoded(encoder: nn.Module, seen: Maps) -> list[Tensor]:
    """Features after each halving."""
    assert isinstance(encoder, nn.ModuleList)
    found = []
    for layers in encoder:
        seen = layers(seen)
        found.append(seen)
    return found


def _halving(inputs: int, outputs: int, *, before_norm: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not before_norm)


def _enlarging(inputs: int, outputs: int, dropout: float, is_last: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=is_last)]
    if not is_last:
        layers += [InstanceNorm(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)
