"""Lanczos resampling of 8-bit pictures, compiled: as Pillow does it, in a fraction of the time; imported only when used.

Rows first, then columns, each as sums over whole rows, which the compiler turns into vector instructions. Integers
throughout, so that every machine gives the same bytes.
"""

from functools import lru_cache

import cv2
import numpy as np

from pipeline.resampling import weighted_rows

LOBES = 3
WEIGHT_BITS = 14


def resize(pixels: np.ndarray, box: tuple[float, float, float, float], size_px: int) -> np.ndarray:
    """The part `box` (left, top, right, bottom, fractions allowed) of a picture, scaled to `size_px` × `size_px`.

    `pixels` is uint8 `[height, width]` or `[height, width, channels]`, and so is the result. Scaled down, the filter is
    widened by as much (antialiasing). Agrees with Lanczos in floating point to about one level.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    left, top, right, bottom = box
    rows, row_weights = _weights(height, top, bottom, size_px)
    columns, column_weights = _weights(width, left, right, size_px)
    start, end = int(columns[0]), int(columns[-1]) + column_weights.shape[1]
    flat = pixels.reshape(height, width * channels)[:, start * channels : end * channels]
    squeezed = weighted_rows(flat, rows, row_weights, WEIGHT_BITS).reshape(size_px, end - start, channels)
    # OpenCV turns pictures twenty times as fast as NumPy.
    turned = cv2.transpose(squeezed).reshape(end - start, size_px * channels)
    scaled = weighted_rows(turned, columns - start, column_weights, WEIGHT_BITS).reshape(size_px, size_px, channels)
    return cv2.transpose(scaled).reshape(size_px, size_px, *pixels.shape[2:])


@lru_cache(maxsize=1024)  # photos come in few sizes
def _weights(side: int, start: float, end: float, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `size_px` results the first source row and the weights from there on, which add up to one."""
    scale = (end - start) / size_px
    stretch = max(scale, 1.0)
    centres = start + (np.arange(size_px) + 0.5) * scale
    taps = min(side, 2 * int(np.ceil(LOBES * stretch)) + 1)
    first = np.clip((centres - LOBES * stretch + 0.5).astype(np.int64), 0, side - taps)
    distance = (first[:, None] + np.arange(taps) + 0.5 - centres[:, None]) / stretch
    exact = np.where(np.abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
    exact /= exact.sum(axis=1, keepdims=True)
    weights = np.round(exact * 2**WEIGHT_BITS).astype(np.int32)
    # What rounding lost goes to the largest weight: an even area keeps its level.
    weights[np.arange(size_px), weights.argmax(axis=1)] += 2**WEIGHT_BITS - weights.sum(axis=1)
    return first, weights
