"""The smoothing baselines of the 2018 study: blur a copy and paste the subject back by its mask.

Kernels are sized for the study's 256-pixel pictures. The study does not say how it continued a picture beyond
its frame; here it is mirrored about the outermost pixel.
"""

import numpy as np
from scipy import ndimage

from pipeline.evaluation.metrics import Mask, Rgb

AVERAGE_SIDE_PX = 5
GAUSSIAN_SIDE_PX = 9
FRAME = "mirror"


def average_5x5(image: Rgb) -> Rgb:
    """Each pixel the mean of the 25 around it."""
    return ndimage.uniform_filter(image, AVERAGE_SIDE_PX, mode=FRAME, axes=(1, 2))


def gaussian_9x9(image: Rgb) -> Rgb:
    """Each pixel the weighted mean of the 81 around it, weights exp(−d² / 2σ²) in each direction, normalised."""
    sigma_px = gaussian_sigma_px(GAUSSIAN_SIDE_PX)
    return ndimage.gaussian_filter(image, sigma_px, radius=GAUSSIAN_SIDE_PX // 2, mode=FRAME, axes=(1, 2))


def gaussian_sigma_px(side_px: int) -> float:
    """σ for a kernel of `side_px`: 0.3·((side − 1)/2 − 1) + 0.8.

    >>> round(gaussian_sigma_px(9), 12)
    1.7
    """
    return 0.3 * ((side_px - 1) / 2 - 1) + 0.8


def paste_subject(blurred: Rgb, image: Rgb, mask: Mask) -> Rgb:
    """M·image + (1 − M)·blurred."""
    return np.asarray(mask * image + (1.0 - mask) * blurred, image.dtype)
