"""Where in a picture the subject is and where the background, clear of the edge between them.

There, a mask's fringe and the width of a blur decide rather than what is measured. Pure functions on masks of a batch.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float

Mask = Float[np.ndarray, "batch height width 1"]
"""Alpha of the subject in [0, 1]."""
Region = Bool[np.ndarray, "batch height width 1"]
"""Pixels that count."""

SUBJECT_LEVEL = 0.5
"""Alpha from which on a pixel belongs to the subject."""


def margin_px(side_px: int) -> int:
    """Pixels left out on either side of the subject's edge: 1/32 of the picture's side, 2 at least.

    >>> margin_px(64), margin_px(256)
    (2, 8)
    """
    return max(2, round(side_px / 32))


def subject_region(mask: Mask, margin_px: int) -> Region:
    """The subject without a rim of `margin_px`; where the frame cuts the subject there is no rim."""
    # OpenCV's erosion takes what lies beyond the frame for subject, its dilation for background.
    return _morphed(mask, cv2.erode, margin_px)


def background_region(mask: Mask, margin_px: int) -> Region:
    """What lies more than `margin_px` away from the subject."""
    return np.logical_not(_morphed(mask, cv2.dilate, margin_px))


def _morphed(mask: Mask, operation: Callable[[np.ndarray, np.ndarray], np.ndarray], radius_px: int) -> Region:
    """The subject made smaller or larger by a disk."""
    steps = np.arange(-radius_px, radius_px + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius_px**2).astype(np.uint8)
    subjects = (mask[..., 0] >= SUBJECT_LEVEL).astype(np.uint8)
    morphed = [operation(subject, disk) for subject in subjects]
    return (np.stack(morphed) if morphed else subjects).astype(bool)[..., None]
