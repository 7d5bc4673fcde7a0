"""Windows of stored pictures: copied as they are, or as the planes of floating point numbers that a network takes."""

import cv2
import numpy as np

from pipeline.compiling import compiled


def copy_window(stored: np.ndarray, top: int, left: int, mirrored: bool, out: np.ndarray) -> None:
    """Copy the window of `stored` at that corner, mirrored if so wished, to `out`, which has its size; uint8 both.

    OpenCV takes half the time that NumPy does.
    """
    window = stored[top : top + out.shape[0], left : left + out.shape[1]]
    if mirrored:
        cv2.flip(window, 1, out)
    else:
        cv2.copyTo(window, None, out)  # pyright: ignore[reportCallIssue, reportArgumentType]


class PlaneCutter:
    """Cuts windows of `size_px` as the planes that a network takes; for one thread, since it reuses its memory."""

    def __init__(self, size_px: int) -> None:
        side = (size_px, size_px)
        self._rgb, self._alpha = np.empty((*side, 3), np.uint8), np.empty(side, np.uint8)
        self._planes = np.empty((3, *side), np.uint8)

    def cut(
        self, rgb: np.ndarray, alpha: np.ndarray, top: int, left: int, mirrored: bool, image: np.ndarray, mask: np.ndarray
    ) -> None:
        """Write a window to `image`, float32 `[3, size, size]` in [-1, 1], and to `mask`, float32 `[size, size]` in [0, 1].

        `rgb` is uint8 `[height, width, 3]`, `alpha` uint8 `[height, width]`. The values are those of
        `to_model_range(level / 255)` to the last bit.
        """
        copy_window(rgb, top, left, mirrored, self._rgb)
        copy_window(alpha, top, left, mirrored, self._alpha)
        cv2.split(self._rgb, list(self._planes))
        _scale(self._planes.reshape(-1), np.float32(2), np.float32(1), image.reshape(-1))
        _scale(self._alpha.reshape(-1), np.float32(1), np.float32(0), mask.reshape(-1))


@compiled()
def _scale(levels: np.ndarray, factor: np.float32, less: np.float32, out: np.ndarray) -> None:
    """Write `levels / 255 · factor - less` to `out`: uint8 to float32, both flat; rounded after each operation."""
    full = np.float32(255)
    for at in range(out.shape[0]):
        out[at] = np.float32(levels[at]) / full * factor - less
