"""Pictures of 8 bits made larger or smaller as Pillow does it, to the last bit, in a fraction of the time.

Pillow's filters (box, triangle, cubic, Lanczos) with its integer arithmetic: columns first, then rows, 8 bits between, each
a sum by weights of 22 bits. Here these are sums over whole rows, which the compiler turns into vector instructions; OpenCV
turns the picture in between. Imported only where pictures are scaled: numba takes a while.
"""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image
from PIL import __version__ as pillow_version

from pipeline.compiling import compiled

PILLOW = int(pillow_version.split(".")[0])
WEIGHT_BITS = 22
"""As in Pillow: 32 bits hold the sum of 8-bit levels by such weights, overshooting ones too."""


def resize(pixels: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    """The picture, uint8 [height, width] or [height, width, 3], at another size (width, height); a new array.

    Equal to `np.asarray(Image.fromarray(pixels).resize(size, resample))` in every pixel.
    """
    height, width = pixels.shape[:2]
    made = np.ascontiguousarray(pixels)
    for is_vertical in (True, False) if _rows_first(height - size[1], width - size[0]) else (False, True):
        if is_vertical and size[1] != height:
            rows = weighted_rows(made.reshape(height, -1), *_weights(height, size[1], resample), WEIGHT_BITS)
            made = rows.reshape(size[1], *made.shape[1:])
        elif not is_vertical and size[0] != width:
            turned = np.ascontiguousarray(cv2.transpose(made)).reshape(width, -1)
            columns = weighted_rows(turned, *_weights(width, size[0], resample), WEIGHT_BITS)
            made = np.ascontiguousarray(cv2.transpose(columns.reshape(size[0], made.shape[0], *made.shape[2:])))
            made = made.reshape(-1, size[0], *pixels.shape[2:])
    return made.copy() if made is pixels else made


def _rows_first(fewer_rows: int, fewer_columns: int) -> bool:
    """Since 13 Pillow takes rows first where they are much fewer afterwards; the rounding between differs by it."""
    return PILLOW >= 13 and fewer_rows > 0 and fewer_rows > 2 * fewer_columns


def _box(x: np.ndarray) -> np.ndarray:
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1 - np.abs(x))


def _cubic(x: np.ndarray) -> np.ndarray:
    a, x = -0.5, np.abs(x)
    inner, outer = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0.0)


_FILTERS: dict[Image.Resampling, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    Image.Resampling.BOX: (0.5, _box),
    Image.Resampling.BILINEAR: (1.0, _triangle),
    Image.Resampling.BICUBIC: (2.0, _cubic),
    Image.Resampling.LANCZOS: (3.0, _lanczos),
}
"""How far each reaches, and its values."""


@lru_cache(maxsize=1024)  # photos come in few sizes
def _weights(old: int, new: int, resample: Image.Resampling) -> tuple[np.ndarray, np.ndarray]:
    """For each of `new` results the first of `old` rows that counts, and the weights from there on."""
    reach, value = _FILTERS[resample]
    scale = old / new
    stretch = max(scale, 1.0)  # made smaller, a filter is widened by as much
    centres = (np.arange(new) + 0.5) * scale
    begin = np.maximum((centres - reach * stretch + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + reach * stretch + 0.5).astype(np.int64), old)
    taps = int((end - begin).max())
    first = np.minimum(begin, old - taps)
    rows = first[:, None] + np.arange(taps)
    weights = value((rows - centres[:, None] + 0.5) * (1.0 / stretch))
    weights[(rows < begin[:, None]) | (rows >= end[:, None])] = 0.0
    total = np.zeros(new)
    for tap in range(taps):  # one after the other, as Pillow adds them up
        total += weights[:, tap]
    weights /= np.where(total == 0, 1.0, total)[:, None]
    scaled = weights * (1 << WEIGHT_BITS)
    return first, np.where(scaled < 0, scaled - 0.5, scaled + 0.5).astype(np.int32)


@compiled()
def weighted_rows(source: np.ndarray, first: np.ndarray, weights: np.ndarray, weight_bits: int) -> np.ndarray:
    """uint8 [rows, width] to uint8 [results, width]: each a sum of rows from `first` on by its weights, which are int32."""
    results, taps = weights.shape
    width = source.shape[1]
    out, sums = np.empty((results, width), np.uint8), np.empty(width, np.int32)
    for result in range(results):
        sums[:] = 1 << (weight_bits - 1)
        row, weight, tap = first[result], weights[result], 0
        while tap + 4 <= taps:  # four rows at a time: the sums are read and written a quarter as often
            a, b, c, d = weight[tap], weight[tap + 1], weight[tap + 2], weight[tap + 3]
            at = row + tap
            row_a, row_b, row_c, row_d = source[at], source[at + 1], source[at + 2], source[at + 3]
            for x in range(width):
                sums[x] += np.int32(row_a[x]) * a + np.int32(row_b[x]) * b + np.int32(row_c[x]) * c + np.int32(row_d[x]) * d
            tap += 4
        while tap < taps:
            a, row_a = weight[tap], source[row + tap]
            for x in range(width):
                sums[x] += np.int32(row_a[x]) * a
            tap += 1
        target = out[result]
        for x in range(width):
            target[x] = np.uint8(min(max(sums[x] >> weight_bits, 0), 255))
    return out
