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

from pipeline.softness import softness

WORK_EDGE_PX, SOFTNESS_EDGE_PX = 256, 384
NEAR_PX, FAR_PX = 4, 20
"""Distances from the people at which two views of the background begin; the outline must have no part in them."""
SCALES_PX = (0.7, 1.0, 1.4, 2.0)
"""Standard deviations at which gradients are taken."""
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
    gradients = gradients_of(rgb)
    views = background_views(gradients, people, relative)
    inside = _eroded(people) & _within_frame(people.shape)
    subject = _edge_ratio(gradients[1.0], gradients[2.0], inside, FAINT)
    score = INTERCEPT + NEAR * views.near + SOFT * views.relative + FAR * views.far
    return DepthOfField(_sharpness(subject), _sharpness(views.near), float(1 / (1 + np.exp(-score))))


def relative_softness(rgb: np.ndarray, alpha: np.ndarray) -> float:
    """Of the background, by the alpha of the people; both uint8 at `SOFTNESS_EDGE_PX`.

    A flat background is soft; of one that hardly shows nothing is known, and `UNKNOWN_SOFTNESS` stands for it.
    """
    pictures, masks = (np.divide(values[None], np.float32(255)) for values in (rgb, alpha[..., None]))
    found = float(softness(pictures, masks, flat_too=True).relative[0])
    return found if np.isfinite(found) else UNKNOWN_SOFTNESS


def gradients_of(rgb: np.ndarray) -> dict[float, np.ndarray]:
    """By scale in pixels the largest Gaussian gradient magnitude of the three channels, levels in [0, 1] a pixel."""
    from pipeline.pixel_loops import largest_gradient, planes

    border_px = len(_half_kernels(max(SCALES_PX))[0]) - 1
    levels = planes(np.ascontiguousarray(rgb), border_px)
    return {scale_px: largest_gradient(levels, border_px, *_half_kernels(scale_px)) for scale_px in SCALES_PX}


def background_views(gradients: dict[float, np.ndarray], people: np.ndarray, relative: float) -> Views:
    """The views of a background, by the gradients at each scale in pixels."""
    near, far = (_background(people, margin_px) for margin_px in (NEAR_PX, FAR_PX))
    return Views(
        _edge_ratio(gradients[1.0], gradients[2.0], near, FAINT),
        relative,
        _edge_ratio(gradients[0.7], gradients[1.4], far, CLEAR),
    )


def _eroded(people: np.ndarray) -> np.ndarray:
    """Without what is less than three steps away from what is not people, or from beyond the frame."""
    import cv2

    steps = np.arange(-2, 3)
    diamond = (np.abs(steps)[:, None] + np.abs(steps) <= 2).astype(np.uint8)
    return cv2.erode(people.astype(np.uint8), diamond, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)).astype(bool)


def _sharpness(ratio: float) -> float:
    """From a ratio of gradients, from 1 on, to 0 for what is blurred, 0.5 for a step, more for lines and texture."""
    return max(0.0, 1 - 1 / max(ratio, 1e-6))


def _edge_ratio(fine: np.ndarray, coarse: np.ndarray, region: np.ndarray, visible: float) -> float:
    """The ratio of gradients of the narrowest twentieth of a region's visible edges; 1 where there are hardly any."""
    from pipeline.pixel_loops import edge_ratios, quantile

    ratios = edge_ratios(fine, coarse, region, np.float32(visible))
    return quantile(ratios, 0.95) if len(ratios) > FEW_EDGES else 1.0


@lru_cache(maxsize=16)
def _half_kernels(scale_px: float) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian, cut at four standard deviations and adding up to one, and its derivative, from their middles on."""
    at = np.arange(-int(4 * scale_px + 0.5), int(4 * scale_px + 0.5) + 1)
    gaussian = np.exp(-0.5 * at**2 / scale_px**2)
    gaussian /= gaussian.sum()
    middle = len(at) // 2
    return gaussian[middle:].astype(np.float32), (at / scale_px**2 * gaussian)[middle:].astype(np.float32)


def _background(people: np.ndarray, margin_px: int) -> np.ndarray:
    """What is farther than so many pixels from the people; where that leaves too little, the whole picture within its
    frame."""
    from pipeline.pixel_loops import dilated

    inside = _within_frame(people.shape)
    region = ~dilated(people, margin_px) & inside
    return region if region.sum() >= FEW_PIXELS else inside


def _within_frame(shape: tuple[int, ...]) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = True
    return inside if inside.any() else ~inside
