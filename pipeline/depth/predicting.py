"""Depth of photos of any size by a network that was trained on small ones."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.depth.units import DepthMap, Disparity
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import RgbPhoto, images_from_uint8

MOST_REACH_PX = 2
"""On the small map: how far from a pixel of the photo its value is looked for."""
PLACE_WEIGHT = 8.0
"""Levels of colour that a pixel of the small map counts for: a value is taken from farther away only if what is seen there
is more alike."""
STRIP_PX = 32
CHANNEL_MEAN = np.full((1, 3), 1 / 3, np.float32)
LONGEST_SHARE = 3.0
"""Of the training size: narrower photos are seen smaller."""


def predict_depth(generator: DisparityGenerator, rgb: RgbPhoto, side_px: int, is_metric: bool) -> DepthMap:
    """The depth of a photo at its own size, by a network that was trained on squares of `side_px`.

    The network sees the photo with that shorter side, and its mirror image; what it says is brought to the photo's size
    along the photo's edges.
    """
    small = _small(rgb, side_px)
    device = next(generator.parameters()).device
    views = np.stack([small, small[:, ::-1]])
    with torch.inference_mode():
        here, mirrored = generator.eval().disparity(images_from_uint8(views, device))[:, 0].cpu().numpy()
    disparity = np.sqrt(here * mirrored[:, ::-1]).astype(np.float32)
    return DepthMap(along_edges(disparity, small, rgb), is_metric)


def along_edges(disparity: Disparity, small: RgbPhoto, rgb: RgbPhoto) -> Disparity:
    """A map of the small picture at the size of the large one.

    Each pixel takes the value of that pixel nearby which looks most like it. Values are taken over and never mixed: halfway
    between a face and a wall there is nothing.
    """
    height_px, width_px = rgb.shape[:2]
    if disparity.shape == (height_px, width_px):
        return disparity
    rows, columns = (
        (np.arange(size) + 0.5) * old / size - 0.5 for size, old in zip(rgb.shape[:2], disparity.shape, strict=True)
    )
    found = np.empty((height_px, width_px), np.float32)
    for top in range(0, height_px, STRIP_PX):  # what is done to a strip stays in the processor's own memory
        strip = slice(top, min(top + STRIP_PX, height_px))
        found[strip] = _along_edges(disparity, small, np.ascontiguousarray(rgb[strip]), rows[strip], columns)
    return found


def _along_edges(
    disparity: Disparity, small: RgbPhoto, rgb: RgbPhoto, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> Disparity:
    """Some rows of it; `rows` and `columns` are their places on the small map."""
    best, found = np.full(rgb.shape[:2], np.inf, np.float32), np.zeros(rgb.shape[:2], np.float32)
    for down in range(-MOST_REACH_PX, MOST_REACH_PX + 1):
        row = np.clip(np.round(rows).astype(int) + down, 0, disparity.shape[0] - 1)
        for right in range(-MOST_REACH_PX, MOST_REACH_PX + 1):
            column = np.clip(np.round(columns).astype(int) + right, 0, disparity.shape[1] - 1)
            away = np.hypot((row - rows)[:, None], (column - columns)[None]).astype(np.float32)
            difference = cv2.absdiff(rgb, small[row].take(column, axis=1))
            cost = cv2.transform(difference.astype(np.float32), CHANNEL_MEAN) + PLACE_WEIGHT * away
            nearer = cost < best
            np.copyto(best, cost, where=nearer)
            np.copyto(found, disparity[row].take(column, axis=1), where=nearer)
    return found


def _small(rgb: RgbPhoto, side_px: int) -> RgbPhoto:
    """The photo with its shorter side at `side_px`, or its longer one at `LONGEST_SHARE` times that, if that is smaller."""
    shrink = min(side_px / min(rgb.shape[:2]), LONGEST_SHARE * side_px / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink))
    method = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    return cv2.resize(rgb, size, interpolation=method)
