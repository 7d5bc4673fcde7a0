"""A generator that does not paint but plans: for each pixel, through which disc of a lens its light goes.

The network's output are the settings of a `Lens`, through which the picture itself is seen. It can look at the picture
at a fraction of its size, since a plan changes smoothly; the lens works at the picture's own size, so that sharp stays
sharp. Where it holds the subject, the subject's alpha decides what stays, at the picture's own size too.
"""

from typing import ClassVar

import torch
from torch.nn import functional

from pipeline.models.images import Images, Masks
from pipeline.models.lens import PLAN_CHANNELS, Lens, LensPlan, radii_px, sharp_plan
from pipeline.models.networks import Generator, GeneratorConfig


class LensGenerator(Generator):
    """Image to image through a planned lens; sides must be multiples of `stride_px`."""

    OUTPUTS: ClassVar[int] = PLAN_CHANNELS

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.stride_px = Generator.stride_px * config.plan_scale
        self.lens = self.lens_of(1.0)

    def lens_of(self, growth: float) -> Lens:
        """The lens for pictures `growth` times larger than those trained on."""
        sizes = radii_px(self.config.lens_side_px)
        return Lens([growth * radius_px for radius_px in sizes], self.config.lens_bounded)

    def forward(self, images: Images, alpha: Masks | None = None) -> Images:
        """`images` through the lens; `alpha`, of the subjects, must be given where the lens holds them."""
        return self.lens(images, self.plan(images), self.held(alpha))

    def plan(self, images: Images) -> LensPlan:
        """What the lens is set to, at the size of `images`."""
        scale = self.config.plan_scale
        if scale == 1:
            return self.output(images)
        small = self.output(functional.avg_pool2d(images, scale))
        return functional.interpolate(small, scale_factor=float(scale), mode="bilinear", align_corners=False)

    def held(self, alpha: Masks | None) -> Masks | None:
        """What the lens must hold of these subjects."""
        if not self.holds_subject:
            return None
        if alpha is None:
            raise ValueError("this generator holds the subject and must be given its alpha")
        return alpha

    def _initialise(self) -> None:
        super()._initialise()
        bias = self.last_convolution.bias
        assert bias is not None
        with torch.no_grad():
            bias.copy_(sharp_plan())


def build_generator(config: GeneratorConfig) -> Generator:
    """The generator that `config` describes."""
    return LensGenerator(config) if config.output == "lens" else Generator(config)
