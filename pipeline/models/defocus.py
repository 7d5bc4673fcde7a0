"""The fourth study's way to refocus: a network is shown the picture and a map of what should be sharp, and paints the rest.

pix2pix (Isola et al., 2017) with a map beside the picture, in the study's forms, each a setting: four channels into one
encoder, or an encoder for each of the two (`encoders`); L1 uniform, weighed by the grey of depth with 2000 in focus, or with
more weight in focus (`focus_weights`); exact maps or three-level patches (`focus_map`). The study found that such a network
ignores the plane that it is told; it is here to be held against `refocus`, which is not shown the plane at all.

Its data are made of pictures with depth, as the study made them: the grey of depth, stretched over each picture, is cut at
three planes; in focus is what lies within 60 of 255 tones of the plane; maps with hardly anything in them are dropped.

Deviations, beside those of `pix2pix_networks`: targets are rendered by `LayeredLens` from the picture's own depth, linear in
disparity, where the study blurred by tones; weights are divided by their mean, so that `l1_weight` means the same for all;
where depth is unknown nothing is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.conditional_gan import ConditionalGan
from pipeline.models.images import Disparities, Images, Masks, from_model_range, to_model_range
from pipeline.models.layered_lens import LayeredLens
from pipeline.models.lens import linear, srgb
from pipeline.models.losses import cross_entropy_adversarial_loss
from pipeline.models.pix2pix_networks import DefocusGenerator
from pipeline.models.translator import Batch, FocusMap, FocusWeights, ModelConfig
from pipeline.models.vgg import VggFeatures

PLANES = (1 / 6, 1 / 2, 5 / 6)
"""Tones, 0 for the farthest and 1 for the nearest of a picture: in the middle of each third."""
THRESHOLD = 60 / 255
"""Tones that what is in focus may lie from its plane."""
LEAST_SHARE = 0.01
"""Of the pixels: maps with less in them are dropped."""
LARGEST_SHARE = 1 / 16
"""Of the shorter side: the radius of the disc that the farthest thing has when the nearest is in focus."""
IN_FOCUS_WEIGHT = 2000.0
"""The study's."""
EXTRA_WEIGHT = 10.0
PATCHES = 8
"""Patches along a side."""
TINY = 1e-6

Tones = Float[Tensor, "batch 1 1 1"]
Known = Bool[Tensor, "batch 1 height width"]


@dataclass(frozen=True)
class ToldPictures:
    """Pictures, what they are told, what they shall become, and how much each pixel counts: 0 where depth is unknown."""

    images: Images
    focus: Masks
    wanted: Images
    weights: Float[Tensor, "batch 1 height width"]
    made: Images | None = None

    def seen(self, pictures: Images) -> Float[Tensor, "batch 7 height width"]:
        """What the discriminator is shown: picture and map, and the refocused picture where depth is known."""
        return torch.cat([self.images, self.focus, torch.where(self.weights > 0, pictures, 0.0)], 1)


class Defocus(ConditionalGan[ToldPictures]):
    """A generator that is shown a map and, where the adversarial term has a weight, a discriminator."""

    LAYERS: ClassVar[tuple[str, ...]] = ("depth_a",)
    RECORDABLE: ClassVar[bool] = False
    """Planes are drawn and pictures rendered within the step."""

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        super().__init__(config, features, parser, DefocusGenerator(config.generator), inputs=7)

    def translations(self, batch: Batch) -> ToldPictures:
        """Each picture refocused on one of its planes."""
        if batch.depth_a is None:
            raise ValueError("this model learns from depth, and the batch has none")
        tones = drawn_planes(batch.depth_a)
        told = told_of(batch.real_a, batch.depth_a, tones, self.config.focus_map, self.config.focus_weights)
        return replace(told, made=self.generator_a_to_b(told.images, told.focus))

    def fakes(self, made: ToldPictures) -> Mapping[str, Tensor]:
        """With what was told and what was wanted, since the discriminator must see the true picture of the same plane."""
        assert made.made is not None
        both = torch.cat([made.seen(made.made), made.seen(made.wanted)], 1)
        return dict.fromkeys(self.discriminators, both)

    def generator_terms(self, batch: Batch, made: ToldPictures) -> dict[str, Tensor]:
        """To be near the picture through the lens, and to pass for it."""
        assert made.made is not None
        error = (made.made - made.wanted).abs().mean(1, keepdim=True)
        terms: dict[str, Tensor] = {"l1": (made.weights * error).sum() / made.weights.sum().clamp_min(TINY)}
        for domain, judge in self.discriminators.items():
            terms[f"gan_{domain}"] = cross_entropy_adversarial_loss(judge(made.seen(made.made)))
        return terms

    def discriminator_terms(self, batch: Batch, fakes: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """What the discriminator is asked for, of pictures and maps with the made and with the true picture."""
        found: dict[str, Tensor] = {}
        for domain, both in fakes.items():
            fake, real = both.chunk(2, 1)
            terms = self._discriminator_terms(domain, real, fake, None, self.penalises(step))
            found |= {f"{name}_{domain}": term for name, term in terms.items()}
        return found


def greys(disparity: Disparities) -> Disparities:
    """The known disparity of each picture stretched from 0, the farthest, to 1, the nearest; 0 where it is unknown."""
    known = disparity > 0
    least = torch.where(known, disparity, torch.inf).amin((2, 3), keepdim=True)
    most = torch.where(known, disparity, 0.0).amax((2, 3), keepdim=True)
    return torch.where(known, (disparity - least) / (most - least).clamp_min(TINY), 0.0)


def drawn_planes(disparity: Disparities) -> Tones:
    """Of each picture one of `PLANES`, drawn from those whose map is not dropped; any where all are."""
    grey, known = greys(disparity), disparity > 0
    tones = torch.tensor(PLANES, device=disparity.device).reshape(1, -1, 1, 1)
    shares = ((grey - tones).abs().le(THRESHOLD) & known).float().mean((2, 3))
    kept = (shares >= LEAST_SHARE).float()
    drawn = torch.multinomial(torch.where(kept.any(1, keepdim=True), kept, 1.0), 1)
    return tones.flatten()[drawn][:, :, None, None]


def told_of(
    images: Images, disparity: Disparities, tones: Tones, focus_map: FocusMap = "map", weights: FocusWeights = "uniform"
) -> ToldPictures:
    """What the network is told of pictures focused on planes of these tones, and what it shall make of them."""
    known, grey = disparity > 0, greys(disparity)
    sharp = ((grey - tones).abs() <= THRESHOLD) & known
    largest_px = min(images.shape[-2:]) * LARGEST_SHARE
    # Nobody knows the disc of what is unknown: it stays as it is, and is not asked about.
    radius_px = torch.where(known, (grey - tones) * largest_px, 0.0)
    with torch.no_grad():
        wanted = to_model_range(srgb(LayeredLens(largest_px)(linear(from_model_range(images)), radius_px)))
    counted = {
        "uniform": torch.ones_like(grey),
        "grey": torch.where(sharp, IN_FOCUS_WEIGHT, grey.clamp_min(TINY)),
        "in_focus": 1.0 + EXTRA_WEIGHT * sharp,
    }[weights]
    focus = patches(sharp.float()) if focus_map == "patches" else sharp.float()
    return ToldPictures(images, focus, wanted, counted * known)


def patches(sharp: Masks) -> Masks:
    """A map as if drawn with a broad brush: squares of three levels, 0, 1/2 and 1, by how much of each is in focus.

    >>> patches(torch.ones(1, 1, 16, 16)).unique().tolist()
    [1.0]
    """
    shares = functional.adaptive_avg_pool2d(sharp, PATCHES)
    return functional.interpolate((2.0 * shares).round() / 2.0, size=sharp.shape[-2:], mode="nearest")
