"""A segmenter's alpha set right by the picture itself: colours where it was unsure, edges where it was coarse.

Each step is a pure function of picture and alpha. What each one gains is measured by `benchmarks/mask_quality.py`.
"""

from collections.abc import Callable

import numpy as np

UNSURE = (0.05, 0.95)
"""Opacities between these are a segmenter's way to say that it does not know."""
COLOUR_LONG_SIDE_PX = 192
COLOUR_ROUNDS = 3
SEED = 20180612
"""GrabCut draws its first clusters at random; a fixed seed makes equal pictures give equal masks."""
EDGE_RADIUS_SHARE = 1 / 48
"""Radius of the guided filter as a share of the long side."""
EDGE_SHRINK = 2
"""The filter is fitted to a picture so many times smaller: a third of the time, the same edges."""
FULL_SIZE_RADIUS_SHARE = 1 / 96
"""The same where the filter is fitted to a picture of the alpha's size and applied to a photo: hair is thin."""
EDGE_EPSILON = 1e-4
"""Below this variance of a colour in [0, 1] the guided filter takes the picture for flat."""


def decide_by_colour(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Let colours decide the regions where the segmenter was unsure; narrow seams at an edge are left as they are.

    `rgb` is uint8 [height, width, 3], `alpha` uint8 [height, width]; the result is like `alpha`. What the segmenter
    was sure of gives two mixtures of colours and stays; the rest goes to the side that graph cuts prefer
    (GrabCut, Rother, Kolmogorov and Blake 2004), computed at a long side of 192 pixels and blended in softly.
    Meant for a blurred background that a segmenter half takes for a person.
    """
    import cv2

    height_px, width_px = alpha.shape
    scale = min(1.0, COLOUR_LONG_SIDE_PX / max(height_px, width_px))
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    unsure = _wide((small > UNSURE[0]) & (small < UNSURE[1]), radius_px=2)
    labels = np.where(small >= 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[small <= UNSURE[0]], labels[small >= UNSURE[1]] = cv2.GC_BGD, cv2.GC_FGD
    if not unsure.any() or not (labels == cv2.GC_BGD).any() or not (labels == cv2.GC_FGD).any():
        return alpha
    picture = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    cv2.setRNGSeed(SEED)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, labels, None, *models, COLOUR_ROUNDS, cv2.GC_INIT_WITH_MASK)  # pyright: ignore[reportCallIssue,reportArgumentType]
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    weight = cv2.GaussianBlur(_disk_dilated(unsure, 2).astype(np.float32), (0, 0), 2)
    full = width_px, height_px
    person, weight = (cv2.resize(part, full, interpolation=cv2.INTER_LINEAR) for part in (person, weight))
    return (alpha * (1 - weight) + 255 * person * weight + 0.5).clip(0, 255).astype(np.uint8)


def follow_edges(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Move the alpha's edge to the picture's by a guided filter in colour (He, Sun and Tang 2010), by box means.

    `rgb` is uint8 [height, width, 3], `alpha` uint8 [height, width]; the result is like `alpha`. Within each window
    alpha becomes a linear function of the colours. Where the alpha is constant all around, it is not touched.
    """
    import cv2

    small = _halved(rgb).astype(np.float32) / 255, _halved(alpha).astype(np.float32) / 255
    slopes, offset = _window_means(*small, EDGE_RADIUS_SHARE)
    full = alpha.shape[1], alpha.shape[0]
    slopes, offset = (cv2.resize(part, full, interpolation=cv2.INTER_LINEAR) for part in (slopes, offset))
    filtered = np.einsum("hwc,hwc->hw", slopes, rgb.astype(np.float32)) + 255 * offset
    return (filtered + 0.5).clip(0, 255).astype(np.uint8)


def enlarged_along_edges(alpha: np.ndarray, small: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The alpha of a photo by that of the same picture made smaller, along the photo's own edges.

    `alpha` is uint8 [height, width], `small` uint8 [height, width, 3], `photo` likewise, larger. What alpha is of the
    colours is fitted to the small picture and applied to the photo ("Fast guided filter", He and Sun 2015).
    """
    import cv2

    full = photo.shape[1], photo.shape[0]
    slopes, offset = _window_means(small.astype(np.float32) / 255, alpha.astype(np.float32) / 255, FULL_SIZE_RADIUS_SHARE)
    # A channel after the other: a photo of floats with all of them is large.
    filtered = cv2.resize(255 * offset + 0.5, full, interpolation=cv2.INTER_LINEAR)
    for channel in range(3):
        slope = cv2.resize(np.ascontiguousarray(slopes[..., channel]), full, interpolation=cv2.INTER_LINEAR)
        filtered += slope * photo[..., channel]
    return filtered.clip(0, 255, out=filtered).astype(np.uint8)


def _halved(values: np.ndarray) -> np.ndarray:
    import cv2

    height_px, width_px = values.shape[:2]
    size = max(1, round(width_px / EDGE_SHRINK)), max(1, round(height_px / EDGE_SHRINK))
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA)


def _window_means(guide: np.ndarray, opacity: np.ndarray, radius_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Slopes [height, width, 3] and offset [height, width] of alpha as a linear function of the colours around."""
    import cv2

    radius_px = max(1, round(radius_share * max(opacity.shape)))
    size = 2 * radius_px + 1, 2 * radius_px + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, size, borderType=cv2.BORDER_REFLECT)

    guide_mean, opacity_mean = mean(guide), mean(opacity)
    covariance = mean(guide * opacity[..., None]) - guide_mean * opacity_mean[..., None]
    slopes = _solved(_colour_covariance(guide, guide_mean, mean), covariance)
    product = slopes * guide_mean
    offset = opacity_mean - (product[..., 0] + product[..., 1] + product[..., 2])  # `sum` over so short an axis is slow
    return mean(slopes), mean(offset)


def _colour_covariance(
    guide: np.ndarray, guide_mean: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """The six different entries of each window's 3×3 covariance of colours: rr, rg, rb, gg, gb, bb."""
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    entries = [mean(guide[..., i] * guide[..., j]) - guide_mean[..., i] * guide_mean[..., j] for i, j in pairs]
    for diagonal in (0, 3, 5):
        entries[diagonal] = entries[diagonal] + EDGE_EPSILON
    return entries


def _solved(matrix: list[np.ndarray], right: np.ndarray) -> np.ndarray:
    """Solve the symmetric 3×3 system of every pixel by cofactors: many times faster than a general solver."""
    rr, rg, rb, gg, gb, bb = matrix
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    r, g, b = right[..., 0], right[..., 1], right[..., 2]
    solved = [c_rr * r + c_rg * g + c_rb * b, c_rg * r + c_gg * g + c_gb * b, c_rb * r + c_gb * g + c_bb * b]
    return np.stack(solved, -1) / determinant[..., None]


def _wide(region: np.ndarray, radius_px: int) -> np.ndarray:
    """The parts of a region that hold a disk of this radius."""
    import cv2

    return cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, disk(radius_px)) > 0


def _disk_dilated(region: np.ndarray, radius_px: int) -> np.ndarray:
    import cv2

    return cv2.dilate(region.astype(np.uint8), disk(radius_px))


def disk(radius_px: int) -> np.ndarray:
    """A round structuring element, uint8 [2·radius + 1, 2·radius + 1]."""
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
