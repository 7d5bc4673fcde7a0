"""Depth from one picture: disparity learnt from pictures whose depth is known.

The second study asked pix2pix for depth; the field asks a network for it by losses on depth itself: Eigen et al., "Depth
Map Prediction from a Single Image using a Multi-Scale Deep Network" (2014), in logarithms, and Ranftl et al., "Towards
Robust Monocular Depth Estimation" (2020), for truth without scale and shift. To both is added the term on gradients (Eigen
and Fergus, 2015). The network is a U-Net. There is no discriminator: L1 alone is better (Carvalho et al., "On Regression
Losses for Deep Depth Estimation", 2018).

Only domain A is looked at, and of it the pictures with known depth; where that is unknown nothing is asked. Pictures are
seen in changing light and a little aside, never larger or smaller: that would be another distance.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.depth_losses import affine_invariant_loss, depth_gradient_loss, log_depth_loss
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import Disparities, Images
from pipeline.models.networks import Generator, PatchDiscriminator
from pipeline.models.subject_finder import in_other_light
from pipeline.models.translator import Batch, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures

SHIFT_SHARE = 1 / 12
"""Of the shorter side, by which views lie aside at most."""


@dataclass(frozen=True)
class Predicted:
    """Views of a batch's pictures, their disparity as predicted, and as it is, 0 where that is unknown."""

    images: Images
    disparity: Disparities
    true: Disparities


class Depth(Translator[Predicted]):
    """One network, and terms on the disparity that it predicts."""

    LAYERS: ClassVar[tuple[str, ...]] = ("depth_a",)

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        super().__init__(config, features, parser)
        self.generator_a_to_b = DisparityGenerator(config.generator)

    @property
    def generators(self) -> dict[str, Generator]:
        return {"a_to_b": self.generator_a_to_b}

    @property
    def discriminators(self) -> dict[str, PatchDiscriminator]:
        return {}

    @property
    def weights(self) -> dict[str, float]:
        return {"depth": self.config.depth_weight, "depth_gradient": self.config.depth_gradient_weight}

    def translations(self, batch: Batch) -> Predicted:
        """The disparity of a view of each picture."""
        if batch.depth_a is None:
            raise ValueError("this model learns from depth, and the batch has none")
        images, true = moved_aside(in_other_light(batch.real_a), batch.depth_a)
        return Predicted(images, self.generator_a_to_b.disparity(images), true)

    def fakes(self, made: Predicted) -> dict[str, Images]:
        return {}

    def generator_terms(self, batch: Batch, made: Predicted) -> dict[str, Tensor]:
        """To be right about depth, and about where it changes."""
        error = log_depth_loss if self.config.depth_loss == "log" else affine_invariant_loss
        return {
            "depth": error(made.disparity, made.true),
            "depth_gradient": depth_gradient_loss(made.disparity, made.true),
        }


def moved_aside(images: Images, disparity: Disparities) -> tuple[Images, Disparities]:
    """Both seen from a frame that lies by chance a little aside; what comes into it is the mirror image of what goes."""
    reach_px = int(min(images.shape[-2:]) * SHIFT_SHARE)
    top, left = torch.randint(0, 2 * reach_px + 1, (2,)).tolist()
    height_px, width_px = images.shape[-2:]
    moved = functional.pad(torch.cat([images, disparity], 1), [reach_px] * 4, mode="reflect")
    moved = moved[..., top : top + height_px, left : left + width_px]
    return moved[:, :3], moved[:, 3:]
