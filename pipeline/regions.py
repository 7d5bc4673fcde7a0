"""Where in a picture the subject is and where the background, clear of the edge between them.

There, a mask's fringe and the width of a blur decide rather than what is measured. Pure functions on masks of a batch.
"""

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
    return np.logical_not(_dilated(mask[..., 0] < SUBJECT_LEVEL, margin_px))[..., None]


def background_region(mask: Mask, margin_px: int) -> Region:
    """What lies more than `margin_px` away from the subject."""
    return np.logical_not(_dilated(mask[..., 0] >= SUBJECT_LEVEL, margin_px))[..., None]


def _dilated(regions: Bool[np.ndarray, "batch height width"], radius_px: int) -> Bool[np.ndarray, "batch height width"]:
    """Made larger by a disk; nothing comes from beyond the frame."""
    from pipeline.pixel_loops import dilated  # several times as fast as OpenCV with a large disk

    return np.stack([dilated(region, radius_px) for region in regions]) if len(regions) else regions
