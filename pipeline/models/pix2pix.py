"""pix2pix as the second study used it: from a picture to the picture of its depth, against a discriminator that sees both.

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017): the U-Net of
`pix2pix_networks`, a 70x70 PatchGAN that is shown a picture together with its depth, cross-entropy on its logits, the
discriminator's halved, and 100 times L1. `gan_weight = 0` is L1 alone, `l1_weight = 0` the conditional GAN alone: the
comparison that paper and study made. Without a weight there is no discriminator.

The picture of depth is grey, the nearer the brighter, δ/(1 + δ) of disparity in 1/m: black at infinity, the middle at 1 m.
So its grey is a distance, and the model is used as `depth` is. Only pictures of domain A with known depth are looked at.

Deviations, beside those of `pix2pix_networks`:

- where depth is unknown nothing is asked: L1 leaves it out, and the discriminator is shown the same grey there in the true
  and in the generated picture;
- one channel of grey in place of three equal ones;
- instance norm in the discriminator too, and no pool of earlier pictures by default, as published;
- no windows out of larger pictures in the profiles (published: 256 px out of 286): what looks larger would be nearer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.models.conditional_gan import ConditionalGan
from pipeline.models.depth_losses import l1_where_known
from pipeline.models.disparity_generator import shown
from pipeline.models.images import Images
from pipeline.models.losses import (
    cross_entropy_adversarial_loss,
)
from pipeline.models.pix2pix_networks import Pix2pixGenerator
from pipeline.models.translator import Batch, ModelConfig
from pipeline.models.vgg import VggFeatures

UNKNOWN_GREY = 0.0
"""What the discriminator is shown where depth is unknown."""

Grey = Float[Tensor, "batch 1 height width"]
"""A picture of depth, in [-1, 1]."""


@dataclass(frozen=True)
class Pictured:
    """The picture of depth that is made of a batch, the true one, and where that is known."""

    made: Grey
    true: Grey
    known: Bool[Tensor, "batch 1 height width"]
    images: Images

    def seen(self, grey: Grey) -> Float[Tensor, "batch 4 height width"]:
        """What the discriminator is shown: the picture, and of a picture of its depth what can be compared."""
        return torch.cat([self.images, torch.where(self.known, grey, UNKNOWN_GREY)], 1)


class Pix2pix(ConditionalGan[Pictured]):
    """A generator and, where the adversarial term has a weight, a discriminator of pictures with their depth."""

    LAYERS: ClassVar[tuple[str, ...]] = ("depth_a",)
    generator_a_to_b: Pix2pixGenerator

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        super().__init__(config, features, parser, Pix2pixGenerator(config.generator), inputs=4)

    def real(self, batch: Batch, domain: str) -> Tensor:
        """The batch's pictures with their true depth."""
        true, known = _true(batch)
        return Pictured(true, true, known, batch.real_a).seen(true)

    def translations(self, batch: Batch) -> Pictured:
        """The picture of depth of each picture."""
        return Pictured(self.generator_a_to_b.picture(batch.real_a), *_true(batch), batch.real_a)

    def fakes(self, made: Pictured) -> Mapping[str, Tensor]:
        return {domain: made.seen(made.made) for domain in self.discriminators}

    def generator_terms(self, batch: Batch, made: Pictured) -> dict[str, Tensor]:
        """To be near the true picture of depth, and to pass for it beside what it was made of."""
        terms: dict[str, Tensor] = {"l1": l1_where_known(made.made, made.true, made.known)}
        for domain, judge in self.discriminators.items():
            terms[f"gan_{domain}"] = cross_entropy_adversarial_loss(judge(made.seen(made.made)))
        return terms


def _true(batch: Batch) -> tuple[Grey, Bool[Tensor, "batch 1 height width"]]:
    """The true picture of depth, of any grey where it is unknown, and where it is known."""
    if batch.depth_a is None:
        raise ValueError("this model learns from depth, and the batch has none")
    known = batch.depth_a > 0
    return shown(torch.where(known, batch.depth_a, 1.0))[:, :1], known
