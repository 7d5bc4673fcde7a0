"""Windows of stored pictures: copied as they are, or as the planes of floating point numbers that a network takes."""

import cv2
import numba
import numpy as np


def copy_window(stored: np.ndarray, top: int, left: int, mirrored: bool, out: np.ndarray) -> None:
    """Copy the window of `stored` at that corner, mirrored if so wished, to `out`, which has its size; uint8 both.

    OpenCV takes half the time that NumPy does.
    """
    window = stored[top : top + out.shape[0], left : left + out.shape[1]]
    if mirrored:
        cv2.flip(window, 1, out)
    else:
        cv2.copyTo(window, None, out)  # pyright: ignore[reportCallIssue, reportArgumentType]


@numba.njit(cache=True, nogil=True)
def cut_planes(
    rgb: np.ndarray, alpha: np.ndarray, top: int, left: int, mirrored: bool, image: np.ndarray, mask: np.ndarray
) -> None:
    """Write a window to `image`, float32 `[3, side, side]` in [-1, 1], and to `mask`, float32 `[side, side]` in [0, 1].

    `rgb` is uint8 `[height, width, 3]`, `alpha` uint8 `[height, width]`. The values are those of
    `to_model_range(level / 255)` to the last bit. Each row is taken apart as bytes first, so that the compiler turns the
    arithmetic into vector instructions.
    """
    side = mask.shape[0]
    levels = np.empty((4, side), np.uint8)
    full, two, one = np.float32(255), np.float32(2), np.float32(1)
    for y in range(side):
        colours, opacity = rgb[top + y], alpha[top + y]
        for x in range(side):
            at = left + (side - 1 - x if mirrored else x)
            levels[0, x], levels[1, x], levels[2, x] = colours[at, 0], colours[at, 1], colours[at, 2]
            levels[3, x] = opacity[at]
        for channel in range(3):
            row, target = levels[channel], image[channel, y]
            for x in range(side):
                target[x] = np.float32(row[x]) / full * two - one
        row, target = levels[3], mask[y]
        for x in range(side):
            target[x] = np.float32(row[x]) / full
