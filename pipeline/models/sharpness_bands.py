"""What discriminators are shown: sharpness in forms that a network can read at once.

Two collections of photographs differ in more than depth of field: in cameras, light, subjects, sources. A discriminator
that sees pictures learns those differences first and asks the generator for them. `bands` shows it how sharp the
background is relative to what is there to be sharp, at three scales, and nothing else.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.models.images import Images, Masks

BAND_CHANNELS = 4
"""Full, half and quarter resolution, and the background itself."""
NOISE = 0.005
"""Standard deviation, of grey in [-1, 1], added to all that is shown: equal on both sides, it hides the cameras'."""
WINDOW_SHARE = 1 / 12
"""Side of the windows that contrast is local to, in parts of the picture's side."""
LEAST_CONTRAST, LEAST_BAND = 0.03, 0.05
"""Below these a plain wall's noise would count as sharpness."""
SUBJECT_ALPHA = 0.3
GROWN_SHARE = 1 / 64
"""Subjects are alpha above so much, grown by so much of the side."""
GREY = (0.299, 0.587, 0.114)
VARIANCE_FLOOR = 1e-6

Background = Float[Tensor, "batch 1 height width"]
"""1 where neither picture of a pair shows its subject, else 0."""


def common_background(alpha_a: Masks, alpha_b: Masks) -> Background:
    """What neither subject covers: shown to a discriminator of real and fake alike, it tells nothing of which is which."""
    reach_px = max(1, round(alpha_a.shape[-1] * GROWN_SHARE))
    subjects = torch.maximum(alpha_a, alpha_b) > SUBJECT_ALPHA
    return 1.0 - functional.max_pool2d(subjects.to(alpha_a.dtype), 2 * reach_px + 1, stride=1, padding=reach_px)


def bands(images: Images, background: Background) -> Float[Tensor, "batch 4 rows columns"]:
    """Sharpness relative to local contrast at full, half and quarter resolution, and the background, at half the size.

    log(abs(Laplacian) / (contrast + LEAST_CONTRAST) + LEAST_BAND) + 1 of the grey picture with noise, 0 outside the
    background. Sides must be multiples of 4.
    """
    grey = (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    grey = grey + NOISE * torch.randn_like(grey)
    half = functional.avg_pool2d(grey, 2)
    quarter = functional.avg_pool2d(half, 2)
    ratios = [
        functional.avg_pool2d(_relative_laplacian(grey), 2),
        _relative_laplacian(half),
        functional.interpolate(_relative_laplacian(quarter), scale_factor=2.0, mode="bilinear", align_corners=False),
    ]
    shown = 1.0 - functional.max_pool2d(1.0 - background, 2)
    logs = [((ratio + LEAST_BAND).log() + 1.0) * shown for ratio in ratios]
    return torch.cat([*logs, shown], 1)


def _relative_laplacian(grey: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    return absolute_laplacian(grey) / (local_contrast(grey) + LEAST_CONTRAST)


def local_contrast(grey: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """Standard deviation in a square window around each pixel, of a twelfth of the side."""
    reach_px = max(1, round(grey.shape[-1] * WINDOW_SHARE / 2))
    padded = functional.pad(grey, (reach_px,) * 4, mode="reflect")
    mean, square = _local_mean(torch.cat([padded, padded.square()], 1), 2 * reach_px + 1).chunk(2, 1)
    return (square - mean.square()).clamp(min=VARIANCE_FLOOR).sqrt()


def _local_mean(values: Float[Tensor, "batch channels height width"], side_px: int) -> Float[Tensor, "batch channels _ _"]:
    """Of square windows, where they fit. Rows first, then columns: the time grows with the side and not with its square."""
    return functional.avg_pool2d(functional.avg_pool2d(values, (1, side_px), stride=1), (side_px, 1), stride=1)


def absolute_laplacian(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """abs(left + right + above + below - 4 centre) of each channel, reflected at the border; in [0, 8]."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    horizontal = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    vertical = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (horizontal + vertical - 4.0 * images).abs()
