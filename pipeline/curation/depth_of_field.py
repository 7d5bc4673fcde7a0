"""How sharp the subject and the background of a portrait are, and how shallow its depth of field looks.

Sharpness is the width of edges, not the amount of texture: a plain wall in focus has few edges, but they are narrow.
At an edge blurred by σ the gradients at two scales s₁ < s₂ have the ratio R = √((σ² + s₂²) / (σ² + s₁²)), whatever
the edge's contrast (Zhuo and Sim, "Defocus map estimation from a single image", 2011): with s₂ = 2·s₁ it falls from 2
for a step to 1 for what is wholly blurred. Everything is measured at a long side of `WORK_EDGE_PX`, which takes away
most of the noise and makes pictures of different sizes alike.
"""

import numpy as np
from scipy import ndimage

WORK_EDGE_PX = 256
MARGIN_PX, FAR_PX = 4, 14
"""Distance from the people at which the background begins, and at which their outline surely has no part in it."""
FRAME_PX = 3
"""The outermost pixels are left out: filters see nothing beyond."""
VISIBLE = 0.02
"""Gradient (levels in [0, 1] a pixel) from which on an edge can be seen above noise and compression."""
FEW_PIXELS = 300
INTERCEPT, CLEAREST, STRONGEST = 6.1, -1.5, -1.5
"""Of the logistic function below."""


def subject_sharpness(rgb: np.ndarray, people: np.ndarray) -> float:
    """How narrow the clearest edges within the people are, 0 (blurred) to 1 (steps)."""
    return _sharpness(rgb, ndimage.binary_erosion(people, iterations=2))


def background_sharpness(rgb: np.ndarray, people: np.ndarray) -> float:
    """How narrow the clearest edges outside the people are, 0 (blurred, or nothing to see) to 1 (steps)."""
    return _sharpness(rgb, _background(people, MARGIN_PX))


def shallowness(rgb: np.ndarray, people: np.ndarray) -> float:
    """How shallow the depth of field looks, 0 (all in focus) to 1; 0.5 is as likely the one as the other.

    `rgb` is uint8 [height, width, 3] at the work size, `people` bool [height, width].
    """
    gradients = {scale: _gradient(rgb, scale) for scale in (0.7, 1.0, 1.4, 2.0)}
    background, far = _background(people, MARGIN_PX), _background(people, FAR_PX)
    clearest = _edge_ratio(gradients[1.0], gradients[2.0], background, VISIBLE, 90)
    fine = gradients[0.7][far]
    strong = max(float(np.percentile(fine, 90)), 0.008)
    strongest = _edge_ratio(gradients[0.7], gradients[1.4], far, strong, 90)
    return float(1 / (1 + np.exp(-(INTERCEPT + CLEAREST * clearest + STRONGEST * strongest))))


def _sharpness(rgb: np.ndarray, region: np.ndarray) -> float:
    region = region & _inside(region.shape)
    return max(0.0, _edge_ratio(_gradient(rgb, 1.0), _gradient(rgb, 2.0), region, VISIBLE, 90) - 1)


def _edge_ratio(fine: np.ndarray, coarse: np.ndarray, region: np.ndarray, visible: float, percentile: float) -> float:
    """The ratio of gradients that the given percentile of a region's visible edges has; 1 where there are none."""
    edges = region & (fine > visible)
    if edges.sum() <= 20:
        return 1.0
    return float(np.percentile(fine[edges] / (coarse[edges] + 1e-4), percentile))


def _gradient(rgb: np.ndarray, scale_px: float) -> np.ndarray:
    """The largest Gaussian gradient magnitude of the three channels, levels in [0, 1] a pixel."""
    channels = rgb.astype(np.float32) / 255
    return np.max([ndimage.gaussian_gradient_magnitude(channels[..., k], scale_px) for k in range(3)], axis=0)


def _background(people: np.ndarray, margin_px: float) -> np.ndarray:
    """What is at least so far from the people; all that is not people where that leaves too little."""
    distance = np.asarray(ndimage.distance_transform_edt(~people)) if people.any() else np.full(people.shape, np.inf)
    region = (distance > margin_px) & _inside(people.shape)
    return region if region.sum() >= FEW_PIXELS else distance > 1


def _inside(shape: tuple[int, ...]) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = True
    return inside
