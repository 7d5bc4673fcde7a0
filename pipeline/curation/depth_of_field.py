"""How sharp the subject and the background of a portrait are, and how shallow its depth of field looks.

Sharpness is the width of edges, not the amount of texture: a plain wall in focus has few edges, but they are narrow.
At an edge blurred by σ the gradients at two scales s₁ < s₂ have the ratio R = √((σ² + s₂²) / (σ² + s₁²)), whatever
the edge's contrast (Zhuo and Sim, "Defocus map estimation from a single image", 2011): with s₂ = 2·s₁ it falls from 2
for a step (thin lines and corners give more) to 1 for what is wholly blurred. That is measured at a long side of
`WORK_EDGE_PX`, which takes away most of the noise and makes pictures of different sizes alike. Slight blur is gone by
then: how soft the background is relative to its contrast is measured at `SOFTNESS_EDGE_PX`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from pipeline.softness import softness

WORK_EDGE_PX, SOFTNESS_EDGE_PX = 256, 384
NEAR_PX, FAR_PX = 4, 20
"""Distances from the people at which two views of the background begin; the outline must have no part in them."""
FRAME_PX = 3
"""The outermost pixels are left out: filters see nothing beyond."""
FAINT, CLEAR = 0.015, 0.03
"""Gradients (levels in [0, 1] a pixel) from which on an edge can be seen above noise, and is clear."""
FEW_PIXELS, FEW_EDGES = 300, 20
INTERCEPT, NEAR, SOFT, FAR = 2.17, -0.38, -1.43, -1.49
"""Coefficients of the logistic function that weighs the three views; `benchmarks/hints.py` says how they were fixed and
judged."""
UNKNOWN_SOFTNESS = -1.2
"""Softness assumed of a background that hardly shows: sharp and blurred are equally likely."""


@dataclass(frozen=True)
class DepthOfField:
    """Sharpness of people and background, and how shallow the depth of field looks.

    Sharpness is 0 for what is blurred or shows nothing, about 0.5 for clean steps, and nears 1 for the finest texture.
    `shallowness` is the chance that the depth of field is shallow, where as many photographs are as are not.
    """

    subject_sharpness: float
    background_sharpness: float
    shallowness: float


@dataclass(frozen=True)
class Views:
    """What tells a blurred background from a sharp one; the more of each, the sharper.

    `near` and `far` are ratios R of the narrowest twentieth of the edges: clear ones at 1 px near the people, fine ones
    far away. `relative` is the softness relative to local contrast (`pipeline.softness`).
    """

    near: float
    relative: float
    far: float


def depth_of_field(rgb: np.ndarray, people: np.ndarray, relative: float) -> DepthOfField:
    """Measure a picture, RGB uint8 [height, width, 3] at the work size; `people` bool [height, width].

    `relative` is `relative_softness` of the same picture.
    """
    gradients = {scale: _gradient(rgb, scale) for scale in (0.7, 1.0, 1.4, 2.0)}
    views = background_views(gradients, people, relative)
    inside = ndimage.binary_erosion(people, iterations=2) & _within_frame(people.shape)
    subject = _edge_ratio(gradients[1.0], gradients[2.0], inside, FAINT)
    score = INTERCEPT + NEAR * views.near + SOFT * views.relative + FAR * views.far
    return DepthOfField(_sharpness(subject), _sharpness(views.near), float(1 / (1 + np.exp(-score))))


def relative_softness(rgb: np.ndarray, alpha: np.ndarray) -> float:
    """Of the background, by the alpha of the people; both uint8 at `SOFTNESS_EDGE_PX`.

    A flat background is soft; of one that hardly shows nothing is known, and `UNKNOWN_SOFTNESS` stands for it.
    """
    pictures, masks = (values[None].astype(np.float32) / 255 for values in (rgb, alpha[..., None]))
    found = float(softness(pictures, masks, flat_too=True).relative[0])
    return found if np.isfinite(found) else UNKNOWN_SOFTNESS


def background_views(gradients: dict[float, np.ndarray], people: np.ndarray, relative: float) -> Views:
    """The views of a background, by the gradients at each scale in pixels."""
    distance = _distance(people)
    near, far = (_background(distance, margin_px) for margin_px in (NEAR_PX, FAR_PX))
    return Views(
        _edge_ratio(gradients[1.0], gradients[2.0], near, FAINT),
        relative,
        _edge_ratio(gradients[0.7], gradients[1.4], far, CLEAR),
    )


def _distance(people: np.ndarray) -> np.ndarray:
    """Of each pixel to the nearest of the people, in pixels; infinite without people."""
    import cv2

    if not people.any():
        return np.full(people.shape, np.inf)
    # Exact as SciPy's, and ten times as fast.
    return cv2.distanceTransform((~people).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _sharpness(ratio: float) -> float:
    """From a ratio of gradients, from 1 on, to 0 for what is blurred, 0.5 for a step, more for lines and texture."""
    return max(0.0, 1 - 1 / max(ratio, 1e-6))


def _edge_ratio(fine: np.ndarray, coarse: np.ndarray, region: np.ndarray, visible: float) -> float:
    """The ratio of gradients of the narrowest twentieth of a region's visible edges; 1 where there are hardly any."""
    edges = region & (fine > visible)
    if edges.sum() <= FEW_EDGES:
        return 1.0
    return float(np.percentile(fine[edges] / (coarse[edges] + 1e-4), 95))


def _gradient(rgb: np.ndarray, scale_px: float) -> np.ndarray:
    """The largest Gaussian gradient magnitude of the three channels, levels in [0, 1] a pixel."""
    import cv2

    smooth, slope = _kernels(scale_px)
    channels = rgb.astype(np.float32) / 255
    across = cv2.sepFilter2D(channels, cv2.CV_32F, slope, smooth, borderType=cv2.BORDER_REFLECT)
    down = cv2.sepFilter2D(channels, cv2.CV_32F, smooth, slope, borderType=cv2.BORDER_REFLECT)
    red, green, blue = cv2.split(across * across + down * down)
    return np.sqrt(np.maximum(np.maximum(red, green), blue))  # `max` over so short an axis takes ten times as long


@lru_cache(maxsize=16)
def _kernels(scale_px: float) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian, cut at four standard deviations and adding up to one, and its derivative."""
    at = np.arange(-int(4 * scale_px + 0.5), int(4 * scale_px + 0.5) + 1)
    gaussian = np.exp(-0.5 * at**2 / scale_px**2)
    gaussian /= gaussian.sum()
    return gaussian.astype(np.float32), (-at / scale_px**2 * gaussian).astype(np.float32)


def _background(distance: np.ndarray, margin_px: float) -> np.ndarray:
    """What is at least so far from the people; where that leaves too little, the whole picture within its frame.

    `distance` is that of each pixel from the people, in pixels.
    """
    inside = _within_frame(distance.shape)
    region = (distance > margin_px) & inside
    return region if region.sum() >= FEW_PIXELS else inside


def _within_frame(shape: tuple[int, ...]) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = True
    return inside if inside.any() else ~inside
