"""Baselines without learning: blur a copy and paste the subject back by its mask.

The 2018 study's two have kernels sized for its 256-pixel pictures. The third is as strong as a plain blur can be: a
Gaussian whose width makes the backgrounds of domain A as soft as those of domain B. The study does not say how it
continued a picture beyond its frame; here it is mirrored about the outermost pixel.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage, optimize

from pipeline.evaluation.metrics import Mask, Rgb, background_region, margin_px, sharpness

AVERAGE_SIDE_PX = 5
GAUSSIAN_SIDE_PX = 9
FRAME = "mirror"
WIDEST_SIGMA_PX = 20.0


def average_5x5(image: Rgb) -> Rgb:
    """Each pixel the mean of the 25 around it."""
    return ndimage.uniform_filter(image, AVERAGE_SIDE_PX, mode=FRAME, axes=(1, 2))


def gaussian_9x9(image: Rgb) -> Rgb:
    """Each pixel the weighted mean of the 81 around it, weights exp(−d² / 2σ²) in each direction, normalised."""
    sigma_px = gaussian_sigma_px(GAUSSIAN_SIDE_PX)
    return ndimage.gaussian_filter(image, sigma_px, radius=GAUSSIAN_SIDE_PX // 2, mode=FRAME, axes=(1, 2))


def gaussian(image: Rgb, sigma_px: float) -> Rgb:
    """A Gaussian of any width."""
    return ndimage.gaussian_filter(image, sigma_px, mode=FRAME, axes=(1, 2))


def matched_sigma_px(
    ordinary: Rgb, ordinary_mask: Mask, shallow: Rgb, shallow_mask: Mask, scale: Callable[[Rgb], Rgb] = np.asarray
) -> float:
    """Width at which the backgrounds of `ordinary`, blurred and scaled, are as sharp as those of `shallow` on the median.

    `scale` brings the blurred pictures to the size of `shallow` and of both masks. At the stored size a camera's noise
    counts as sharpness, which every blur takes away, so that hardly any blur would match; scaled down it counts little.
    0 where they are as soft already, `WIDEST_SIGMA_PX` where no width does; to a hundredth of a pixel. Raises
    `ValueError` where neither set has a background.
    """
    margin = margin_px(shallow.shape[1])
    target = np.nanmedian(sharpness(shallow, background_region(shallow_mask, margin)))
    region = background_region(ordinary_mask, margin)
    if not np.isfinite(target) or not region.any():
        raise ValueError("no picture has a background outside its mask")

    def excess(sigma_px: float) -> float:
        return float(np.nanmedian(sharpness(scale(gaussian(ordinary, sigma_px)), region)) - target)

    if excess(0.0) <= 0:
        return 0.0
    if excess(WIDEST_SIGMA_PX) >= 0:
        return WIDEST_SIGMA_PX
    return round(optimize.root_scalar(excess, bracket=(0.0, WIDEST_SIGMA_PX), method="brentq", xtol=0.005).root, 2)


def gaussian_sigma_px(side_px: int) -> float:
    """σ for a kernel of `side_px`: 0.3·((side − 1)/2 − 1) + 0.8.

    >>> round(gaussian_sigma_px(9), 12)
    1.7
    """
    return 0.3 * ((side_px - 1) / 2 - 1) + 0.8


def paste_subject(blurred: Rgb, image: Rgb, mask: Mask) -> Rgb:
    """M·image + (1 − M)·blurred."""
    return np.asarray(mask * image + (1.0 - mask) * blurred, image.dtype)
