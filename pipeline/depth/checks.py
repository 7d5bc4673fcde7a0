"""What cannot be right about a map of depth, by the picture and the subject that it belongs to."""

import numpy as np
from jaxtyping import UInt8

from pipeline.depth.metrics import edges, widened
from pipeline.depth.units import DepthMap

MOST_UNKNOWN = 0.6
"""Cameras miss a third of a room; of a map with less than this left, most is made up."""
PORTRAIT_M = (0.15, 100.0)
"""Of the median: nobody stands nearer or farther than this in a portrait, and no room is that deep."""
SURROUND_SHARE = 0.08
"""Of the side: so far around the subject its surround is looked at."""
LEAST_PIXELS = 30
SAME = 0.03
"""Disparities that differ by less, relative to their mean, lie in one plane."""
LEAST_ON_EDGES = 1.0
"""Steps of depth lie where the picture changes more than elsewhere. Of a map of another picture they lie anywhere."""

Rgb = UInt8[np.ndarray, "height width 3"]
Alpha = UInt8[np.ndarray, "height width"]


def oddities(depth: DepthMap, rgb: Rgb, alpha: Alpha) -> list[str]:
    """What is odd, in words; all of one size. Nothing of it is certain: a subject may stand behind a table."""
    unknown = 1 - float(depth.known.mean())
    if unknown > MOST_UNKNOWN:
        return [f"{unknown:.0%} of its depth are unknown"]
    found = []
    if depth.is_metric and not PORTRAIT_M[0] <= depth.range_m()[1] <= PORTRAIT_M[1]:
        found.append(f"half of it is farther than {depth.range_m()[1]:.3g} m: the unit is another")
    if is_inverted(depth, alpha):
        found.append("the subject is farther than its surround: the map is inverted, or another's")
    sharpness = edge_agreement(depth, rgb)
    if sharpness is not None and sharpness < LEAST_ON_EDGES:
        found.append("its edges are not the picture's: it is shifted, turned, or another's")
    return found


def is_inverted(depth: DepthMap, alpha: Alpha) -> bool:
    """Whether the subject is farther away than what is around it, by the medians of their disparities."""
    subject = alpha >= 128
    reach_px = max(2, round(SURROUND_SHARE * min(alpha.shape)))
    around = widened(subject, reach_px) & ~widened(subject, 1)
    values = [depth.disparity[region & depth.known] for region in (subject, around)]
    if min(map(len, values)) < LEAST_PIXELS:
        return False
    near, far = (float(np.median(one)) for one in values)
    return near < far and far - near > SAME * (near + far) / 2


def edge_agreement(depth: DepthMap, rgb: Rgb) -> float | None:
    """How much the picture changes at the steps of depth, relative to all of it; None where there are hardly any steps.

    1 is chance: steps that have nothing to do with the picture.
    """
    distance = np.where(depth.known, 1 / np.where(depth.known, depth.disparity, 1.0), 0.0)
    steps = edges(distance, depth.known)
    if steps.sum() < LEAST_PIXELS:
        return None
    grey = rgb.astype(np.float32).mean(axis=2)
    change = np.hypot(*np.gradient(grey))
    overall = float(change.mean())
    return float(change[widened(steps, 1)].mean()) / overall if overall > 0 else None
