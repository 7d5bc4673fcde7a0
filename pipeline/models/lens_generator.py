"""A generator that does not paint but plans: for each pixel, through which disc of a lens its light goes.

The network's output are the settings of a `Lens`, through which the picture itself is seen. It can look at the picture
at a fraction of its size, since a plan changes smoothly; the lens works at the picture's own size, so that sharp stays
sharp. Where it holds the subject, the subject's alpha decides what stays, at the picture's own size too. Where it finds
the subject, that alpha is its own, but in training, where the plan is learnt with the masks of the training pictures.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import Images, Masks
from pipeline.models.lens import PLAN_CHANNELS, Lens, LensPlan, radii_px, sharp_plan
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.models.pix2pix_networks import DefocusGenerator, Pix2pixGenerator
from pipeline.models.subject_finder import Logits, SubjectFinder, finding_loss, views

DECISION = 4.0
"""Of the finder's logits: after a short training it is right in most places, and sure in few."""


class LensGenerator(Generator):
    """Image to image through a planned lens; sides must be multiples of `stride_px`."""

    OUTPUTS: ClassVar[int] = PLAN_CHANNELS
    strength: Tensor
    """Of the discs, in parts of those trained with; a scalar, kept with the weights, where `lens_calibrated` says so."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.stride_px = Generator.stride_px * config.plan_scale
        if config.lens_calibrated:
            self.register_buffer("strength", torch.ones(()))
            self.register_load_state_dict_post_hook(_renew_lens)
        self.lens = self.lens_of(1.0)
        self.finder = SubjectFinder() if config.lens_finds_subject else None

    def lens_of(self, growth: float) -> Lens:
        """The lens for pictures `growth` times larger than those trained on."""
        sizes = radii_px(self.config.lens_side_px)
        factor = growth * float(self.strength) if self.config.lens_calibrated else growth
        config = self.config
        radii = [factor * radius_px for radius_px in sizes]
        switches = config.lens_bounded, config.lens_highlights, config.lens_single_disc, config.lens_keeps_grain
        lens = Lens(radii, *switches, config.lens_opens_points)
        return lens.train(self.training)

    def calibrate(self, strength: float) -> None:
        """Make the discs `strength` times as large as those trained with, > 0; the weights keep it."""
        self.strength.fill_(strength)
        _renew_lens(self)

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """`images` through the lens; `alpha`, of the subjects, must be given where the lens holds them.

        One that finds them is given it in training alone.
        """
        return self.lens(images, *self.setting(images, alpha))

    def setting(self, images: Images, alpha: Masks | None = None) -> tuple[LensPlan, Masks | None]:
        """What the lens is set to, and what it must hold; `alpha` as in `forward`."""
        if self.finder is not None and not self.training:
            alpha = self.subject_logits(images).sigmoid()
        return self.plan(images), self.held(alpha)

    def plan(self, images: Images) -> LensPlan:
        """What the lens is set to, at the size of `images`."""
        return self._enlarged(self.output(self._seen(images)))

    def subject_logits(self, images: Images) -> Logits:
        """Of the alpha that it finds, at the size of `images`; what is half held would be half blurred, so it decides."""
        return DECISION * self._enlarged(self._finder(self._seen(images)))

    def finding_loss(self, images: Images, alpha: Masks) -> Tensor:
        """How far what it finds is from `alpha`, on changed views of the pictures; a scalar >= 0."""
        seen, wanted = views(self._seen(images), self._seen(alpha))
        return finding_loss(self._finder(seen), wanted)

    def held(self, alpha: Masks | None) -> Masks | None:
        """What the lens must hold of these subjects."""
        if not self.config.lens_holds_subject:
            return None
        if alpha is None:
            raise ValueError("this generator holds the subject and must be given its alpha")
        return alpha

    def adversarial_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the plan."""
        return (parameter for name, parameter in self.named_parameters() if not name.startswith("finder."))

    def take_settled(self, other: Generator) -> None:
        """The finder's: an average of them lags behind, where a run is short."""
        if self.finder is not None and isinstance(other, LensGenerator):
            self.finder.load_state_dict(other._finder.state_dict())

    @property
    def _finder(self) -> SubjectFinder:
        if self.finder is None:
            raise ValueError("this generator does not find the subject")
        return self.finder

    def _seen(self, pictures: Tensor) -> Tensor:
        """Pictures or alpha at the size that is planned at."""
        scale = self.config.plan_scale
        return pictures if scale == 1 else functional.avg_pool2d(pictures, scale)

    def _enlarged(self, small: Tensor) -> Tensor:
        """Back from there."""
        scale = self.config.plan_scale
        if scale == 1:
            return small
        return functional.interpolate(small, scale_factor=float(scale), mode="bilinear", align_corners=False)

    def _initialise(self) -> None:
        super()._initialise()
        bias = self.last_convolution.bias
        assert bias is not None
        with torch.no_grad():
            bias.copy_(sharp_plan())


def _renew_lens(generator: nn.Module, _missing: object = None) -> None:
    """Give it the discs that its strength asks for, where its weights are."""
    assert isinstance(generator, LensGenerator)
    generator.lens = generator.lens_of(1.0).to(generator.strength.device)


def build_generator(config: GeneratorConfig) -> Generator:
    """The generator that `config` describes."""
    if config.output == "disparity":
        return DisparityGenerator(config)
    if config.output == "disparity_picture":
        return Pix2pixGenerator(config)
    if config.output == "refocused":
        return DefocusGenerator(config)
    return LensGenerator(config) if config.output == "lens" else Generator(config)
