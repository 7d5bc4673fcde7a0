"""Shared blocks of the models: the residual generator and the patch discriminator.

A generator that sets a lens is `LensGenerator`, of `lens_generator`; one that predicts depth is `DisparityGenerator`, of
`disparity_generator`.

The default options are those of `resnet_9blocks` and the 70x70 PatchGAN that Zhu et al. (2017,
"Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks") trained; the generator's
body follows Johnson et al. (2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution").
Every option names its reason. Instance norms have no affine parameters; convolutions before them have a bias, as in
the original, which changes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.images import Images, Masks
from pipeline.models.layers import Convolution, DoublingConvolution, InstanceNorm, laid_out
from pipeline.models.losses import Scores
from pipeline.models.sharpness_bands import BAND_CHANNELS, absolute_laplacian, bands

Upsampling = Literal["transposed", "nearest"]
Output = Literal["tanh", "residual", "lens", "disparity", "disparity_picture", "refocused"]
Initialisation = Literal["normal", "kaiming"]
DiscriminatorNorm = Literal["instance", "none"]
Sight = Literal["picture", "bands"]

NORMAL_STD = 0.02
LEAKY_SLOPE = 0.2
SKIP_HEAD_CHANNELS = 16
RESIDUAL_LIMIT = 1.1
RESIDUAL_START = 0.1


@dataclass(frozen=True)
class GeneratorConfig:
    """What a `Generator` is made of; the defaults are `resnet_9blocks`."""

    channels: int = 64
    """Channels at full resolution; doubled by each of the two halvings."""
    blocks: int = 9
    """Residual blocks at a quarter of the resolution."""
    upsampling: Upsampling = "transposed"
    """"nearest" repeats pixels and convolves, which avoids the checkerboards of transposed convolutions."""
    output: Output = "tanh"
    """"residual" adds the output to the input, so that training starts near the identity; "lens" sends the input
    through a `Lens` that the output sets; "disparity" is no picture but how near everything is, and
    "disparity_picture" the picture of that; "refocused" is a picture made of another and a map of what is sharp."""
    lens_side_px: int = 256
    """Side of the pictures that a lens is trained on; its largest disc is a share of it."""
    lens_bounded: bool = False
    """Whether the logits of sharp and of the discs are kept within `LEVEL_LIMIT`."""
    lens_highlights: bool = True
    """Whether the lens may make clipped light brighter than white before it spreads it."""
    lens_single_disc: bool = False
    """Whether, but in training, a pixel's light goes to one disc, or to two neighbours, never to sharp and large ones."""
    lens_keeps_grain: bool = False
    """Whether, but in training, what is spread keeps the picture's grain."""
    lens_opens_points: bool = False
    """Whether, but in training, clipped points of light are taken for brighter than white before they are spread."""
    lens_holds_subject: bool = False
    """Whether light inside the subject's alpha stays where it is, whatever the plan says; the alpha must be given."""
    lens_finds_subject: bool = False
    """Whether it finds that alpha itself, as it learnt from the masks that it was trained with; none need be given then."""
    lens_calibrated: bool = False
    """Whether the weights hold by how much the discs are larger than those trained with, as fitted after training."""
    plan_scale: int = 1
    """How many times smaller than the picture the network sees it and plans; the lens keeps the picture's own size."""
    skip_channels: int = 0
    """Channels of a full-resolution path around the body, 0 for none: fine detail need not pass through the
    quarter resolution. It replaces the single 7x7 output convolution by a 3x3 and a 5x5 one."""
    initialisation: Initialisation = "normal"
    """"kaiming" for the layers without norm, whose scale matters; "normal" is N(0, 0.02) everywhere."""
    dropout: float = 0.5
    """Share of what pix2pix's decoder makes in its first layers that is left out by chance in training."""
    encoders: Literal[1, 2] = 1
    """Of `DefocusGenerator`: one for picture and map together, or one for each."""

    @property
    def way_back(self) -> "GeneratorConfig":
        """Of the generator from B to A: a lens can only take detail away, so that one adds to its input instead."""
        return replace(self, output="residual") if self.output == "lens" else self


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What a `PatchDiscriminator` is made of; the defaults are the 70x70 PatchGAN."""

    channels: int = 64
    """Channels after the first convolution, doubled by each later one up to eight times as many."""
    strided_layers: int = 3
    """Stride-2 convolutions: 3 see patches of 70x70 pixels, 2 of 34x34, 1 of 16x16."""
    inputs: int = 3
    """Channels of what it is shown: more than a picture's where something is shown beside it."""
    norm: DiscriminatorNorm = "instance"
    """"none" where R1 keeps the discriminator in check: instance norm hides contrast, which is what blur is."""
    sight: Sight = "picture"
    """"bands" shows it nothing but the background's sharpness (`bands`), so that it cannot tell the domains by what is
    photographed, by the camera or by colours, and weighs its verdicts by the background."""
    laplacian: bool = False
    """Whether it is shown the absolute Laplacian of each channel of the picture as well: sharpness, ready to be read."""
    initialisation: Initialisation = "normal"
    """As for the generator; without norm "normal" leaves the scores near zero for long."""


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3, reflection padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, 3), *_convolution(channels, channels, 3, activation=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class Doubled(nn.Module):
    """Repeats each pixel twice in both directions, in the precision it has."""

    def forward(self, features: Tensor) -> Tensor:
        if features.dtype == torch.float32:
            return functional.interpolate(features, scale_factor=2.0, mode="nearest")
        # Under autocast this would widen to float32 on a GPU, and with it all that follows until the next convolution.
        with torch.autocast(features.device.type, enabled=False):
            return functional.interpolate(features, scale_factor=2.0, mode="nearest")


class Generator(nn.Module):
    """Image to image at the same size; sides must be multiples of 4."""

    OUTPUTS: ClassVar[int] = 3
    stride_px: int = 4
    """Sides must be multiples of it."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.body = nn.Sequential(
            *_convolution(3, width, 7),
            *_halving(width),
            *_halving(2 * width),
            *(ResidualBlock(4 * width) for _ in range(config.blocks)),
            *_doubling(4 * width, config.upsampling),
            *_doubling(2 * width, config.upsampling),
        )
        self.skip, self.head = _skip_and_head(width, config.skip_channels, self.OUTPUTS)
        self._initialise()

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """The translation; `alpha`, of the subjects, is for generators that hold them."""
        output = self.output(images)
        if self.config.output == "tanh":
            return torch.tanh(output)
        # The limit lies beyond [-1, 1] so that white and black pixels still have a gradient.
        return (images + output).clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)

    @property
    def holds_subject(self) -> bool:
        """Whether it must be given the subject's alpha."""
        return self.config.lens_holds_subject and not self.config.lens_finds_subject

    def output(self, images: Images) -> Float[Tensor, "batch outputs height width"]:
        """What the last layer puts out, which `config.output` says how to take; float32 under autocast too."""
        images = laid_out(images)
        features = self.body(images)
        if self.skip is not None:
            features = torch.cat([features, self.skip(images)], 1)
        return self.head(features).float()

    def adversarial_parameters(self) -> Iterator[nn.Parameter]:
        """What is learnt against a discriminator, whose swings an average smooths."""
        return self.parameters()

    def take_settled(self, other: "Generator") -> None:
        """Take over from one of the same form what is learnt without an opponent and needs no average: here nothing."""

    @property
    def last_convolution(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The layer whose output `output` is."""
        return _convolutions(self.head)[-1]

    def _initialise(self) -> None:
        _initialise_normal(_convolutions(self))
        if self.config.initialisation == "kaiming":
            free = [part for part in (self.skip, self.head) if part is not None]
            _initialise_kaiming(layer for part in free for layer in _convolutions(part))
        if self.config.output != "tanh":
            with torch.no_grad():
                self.last_convolution.weight.mul_(RESIDUAL_START)


class PatchDiscriminator(nn.Module):
    """Image, and whatever is shown beside it, to a map of raw scores, one for each overlapping patch: higher for real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(*_patch_layers(config))
        _initialise_normal(_convolutions(self))
        if config.initialisation == "kaiming":
            _initialise_kaiming(_convolutions(self))

    def forward(self, images: Images, background: Masks | None = None) -> Scores:
        """Verdicts on `images`; `background` is for the sight "bands", which knows nothing else."""
        return self.layers(self._seen(images, background)).float()

    def _seen(self, images: Images, background: Masks | None) -> Tensor:
        if self.config.sight == "bands":
            if background is None:
                raise ValueError("a discriminator that sees the background's bands must be told the background")
            return bands(images, background)
        return torch.cat([images, absolute_laplacian(images)], 1) if self.config.laplacian else images


def receptive_field_px(config: DiscriminatorConfig) -> int:
    """Side of the patch that one score sees, counted back through the 4x4 convolutions.

    >>> receptive_field_px(DiscriminatorConfig())
    70
    """
    field_px = 1
    for stride in reversed([2] * config.strided_layers + [1, 1]):
        field_px = (field_px - 1) * stride + 4
    return field_px


def _convolution(inputs: int, outputs: int, kernel: int, activation: bool = True) -> list[nn.Module]:
    """Reflection-padded convolution, instance norm and, if asked for, ReLU."""
    layers: list[nn.Module] = [Convolution(inputs, outputs, kernel, before_norm=True), InstanceNorm()]
    # Not in place: a norm puts out a view, and autograd copies the whole of what lies below a view that is written to.
    return [*layers, nn.ReLU()] if activation else layers


def _halving(channels: int) -> list[nn.Module]:
    convolution = Convolution(channels, 2 * channels, 3, stride=2, reflect=False, before_norm=True)
    return [convolution, InstanceNorm(), nn.ReLU()]


def _doubling(channels: int, upsampling: Upsampling) -> list[nn.Module]:
    if upsampling == "nearest":
        return [Doubled(), *_convolution(channels, channels // 2, 3)]
    return [DoublingConvolution(channels, channels // 2), InstanceNorm(), nn.ReLU()]


def _reflected(inputs: int, outputs: int, kernel: int) -> Convolution:
    return Convolution(inputs, outputs, kernel, before_norm=False)


def _skip_and_head(width: int, skip_channels: int, outputs: int) -> tuple[nn.Sequential | None, nn.Sequential]:
    if skip_channels == 0:
        return None, nn.Sequential(_reflected(width, outputs, 7))
    skip = nn.Sequential(_reflected(3, skip_channels, 5), nn.ReLU(inplace=True))
    head = nn.Sequential(
        _reflected(width + skip_channels, SKIP_HEAD_CHANNELS, 3),
        nn.ReLU(inplace=True),
        _reflected(SKIP_HEAD_CHANNELS, outputs, 5),
    )
    return skip, head


def _seen_channels(config: DiscriminatorConfig) -> int:
    if config.sight == "bands":
        return BAND_CHANNELS
    return 2 * config.inputs if config.laplacian else config.inputs


def _patch_layers(config: DiscriminatorConfig) -> list[nn.Module]:
    """4x4 convolutions: the strided ones, one of stride 1, and one to a single channel."""
    inputs, outputs = _seen_channels(config), config.channels
    normed = config.norm == "instance"
    layers: list[nn.Module] = [_patch_layer(inputs, outputs, 2), nn.LeakyReLU(LEAKY_SLOPE, True)]
    for stride in [2] * (config.strided_layers - 1) + [1]:
        inputs, outputs = outputs, min(2 * outputs, 8 * config.channels)
        layers.append(_patch_layer(inputs, outputs, stride, before_norm=normed))
        if normed:
            layers.append(InstanceNorm())
        layers.append(nn.LeakyReLU(LEAKY_SLOPE, inplace=not normed))
    return [*layers, _patch_layer(outputs, 1, 1)]


def _patch_layer(inputs: int, outputs: int, stride: int, before_norm: bool = False) -> Convolution:
    return Convolution(inputs, outputs, 4, stride=stride, reflect=False, before_norm=before_norm)


def _convolutions(module: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]


def _initialise_normal(convolutions: Iterable[nn.Conv2d | nn.ConvTranspose2d]) -> None:
    for convolution in convolutions:
        nn.init.normal_(convolution.weight, 0.0, NORMAL_STD)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def initialise_as_published(network: nn.Module) -> None:
    """N(0, 0.02) for all convolutions of a network, no biases."""
    _initialise_normal(_convolutions(network))


def _initialise_kaiming(convolutions: Iterable[nn.Conv2d | nn.ConvTranspose2d]) -> None:
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight)
