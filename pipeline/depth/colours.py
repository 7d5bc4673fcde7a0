"""Maps of depth to look at: the nearer the brighter, in colours whose steps are seen as equal."""

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.depth.units import Disparity

UNKNOWN_GREY = 128
MOST_ERROR = 0.5
"""Of the natural logarithm, from which on an error has the last colour: two thirds too far, or two fifths too near."""
OUTER_SHARE = 0.01

Picture = UInt8[np.ndarray, "height width 3"]


def range_of(disparity: Disparity) -> tuple[float, float]:
    """The farthest and the nearest that are shown, in disparity: all but the outermost pixels. Known ones must be there."""
    far, near = np.quantile(disparity[disparity > 0], [OUTER_SHARE, 1 - OUTER_SHARE])
    return float(far), float(near)


def coloured(disparity: Disparity, far: float, near: float) -> Picture:
    """Disparity between those two as colour, dark violet to light yellow; the unknown is grey."""
    levels = np.clip((disparity - far) / max(near - far, 1e-9), 0, 1)
    return _painted(levels, disparity > 0, cv2.COLORMAP_INFERNO)


def coloured_error(predicted: Disparity, true: Disparity) -> Picture:
    """ln of predicted by true distance: blue where it is seen too near, red where too far, white where it is right."""
    known = true > 0
    error = np.log(np.where(known, true, 1.0)) - np.log(np.where(known, np.maximum(predicted, 1e-6), 1.0))
    strength = np.clip(np.abs(error) / MOST_ERROR, 0, 1)[..., None]
    end = np.where(error[..., None] > 0, np.array([178.0, 24, 43]), np.array([33.0, 102, 172]))
    shown = 255 + (end - 255) * strength
    return np.where(known[..., None], shown, UNKNOWN_GREY).round().astype(np.uint8)


def _painted(levels: np.ndarray, known: np.ndarray, colours: int) -> Picture:
    painted = cv2.applyColorMap((levels * 255).round().astype(np.uint8), colours)[..., ::-1]
    return np.where(known[..., None], painted, UNKNOWN_GREY).astype(np.uint8)
