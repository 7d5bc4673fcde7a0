"""Refocusing: disparity from the picture alone, the plane as arithmetic on it, and a computed lens.

A network that is shown the plane in focus, as a map, can learn to cut that map out, as the fourth study's did, and then does
not obey a plane that it is told in another way. Here the network does not know the plane. It predicts disparity, the plane
in focus is the disparity at a point of that map, and a `LayeredLens` blurs by the distance from it: so any plane is obeyed,
told by a map, a click, a distance or the subject, and the strength is a number.

Trained as `depth`, and by what the lens shows: of each picture a point is drawn to focus on, and a strength, and the
picture through the lens by the predicted disparity is held against that by the true one. By such pictures alone it would
not be known which side of the plane is near, as blur is the same on both: the terms on disparity settle that. The lens
takes as long as all the rest, so one step of some looks through it, and counts for the others.
"""

from typing import ClassVar

import torch
from torch import Tensor

from pipeline.models.depth import Depth, Predicted
from pipeline.models.images import Disparities, Images, from_model_range
from pipeline.models.layered_lens import LayeredLens, SignedRadii
from pipeline.models.lens import linear, srgb
from pipeline.models.losses import Scalar
from pipeline.models.translator import Batch

LARGEST_SHARE = 1 / 16
"""Of the shorter side: the radius of the largest disc that is trained on."""
LEAST_STRENGTH = 0.3
"""In parts of the strongest lens."""
LOOKS_ONCE_IN = 3
"""Of so many steps one, drawn by chance, looks through the lens."""
TINY = 1e-4


class Refocus(Depth):
    """Adds what the lens shows to what is asked for."""

    RECORDABLE: ClassVar[bool] = False
    """The lens looks at its radii to leave out layers that nobody is in, which a recorded step cannot."""

    @property
    def weights(self) -> dict[str, float]:
        return {**super().weights, "picture": self.config.picture_weight}

    def generator_terms(self, batch: Batch, made: Predicted) -> dict[str, Tensor]:
        """Those of `depth`, and `picture`: on average over steps the L1 of the refocused pictures, in [0, 1]."""
        terms = super().generator_terms(batch, made)
        if torch.randint(LOOKS_ONCE_IN, ()):
            return {**terms, "picture": terms["depth"].new_zeros(())}
        return {**terms, "picture": LOOKS_ONCE_IN * picture_loss(made)}


def picture_loss(made: Predicted) -> Scalar:
    """mean(abs(seen by the predicted disparity − seen by the true one)), each focused on what it has at the same point.

    Looked at with half the sides, which costs a quarter. Where the truth is unknown the prediction stands in for it, without
    a gradient.
    """
    images, disparity, true = (_smaller(one) for one in (made.images, made.disparity, made.true))
    known = true > 0
    true = torch.where(known, true, disparity.detach())
    point = _points(known)
    focus, predicted_focus = _at(true, point), _at(disparity, point)
    largest_px = min(true.shape[-2:]) * LARGEST_SHARE
    strength = largest_px * torch.empty_like(focus).uniform_(LEAST_STRENGTH, 1.0)
    px_per_dioptre = strength / (true - focus).abs().amax((2, 3), keepdim=True).clamp_min(TINY)
    lens, light = LayeredLens(largest_px), linear(from_model_range(images))
    with torch.no_grad():
        wanted = _seen(lens, light, px_per_dioptre * (true - focus))
    seen = _seen(lens, light, px_per_dioptre * (disparity - predicted_focus))
    return (seen - wanted).abs().mean()


def _smaller(maps: Tensor) -> Tensor:
    """Every second pixel of every second row: depth is never mixed, and the picture shall fit it."""
    return maps[..., ::2, ::2]


def _seen(lens: LayeredLens, light: Images, radius_px: SignedRadii) -> Images:
    """Through the lens, sRGB in [0, 1]."""
    return srgb(lens(light, radius_px))


def _points(known: Tensor) -> Tensor:
    """Of each picture the number of a pixel, drawn from those whose depth is known; the first where none is."""
    chances = known.flatten(1).float()
    return torch.multinomial(torch.where(chances.any(1, keepdim=True), chances, 1.0), 1)


def _at(disparity: Disparities, point: Tensor) -> Tensor:
    """Disparity at those pixels, [batch, 1, 1, 1]."""
    return disparity.flatten(1).gather(1, point)[:, :, None, None]
