"""Stored pictures as trainings and judging take them: some, spread evenly; at another size; in [0, 1].

Both scale by the same filter, Lanczos, so that a model is judged on what it was trained on.
"""

import numpy as np
from PIL import Image


def spread(count: int, most: int) -> np.ndarray:
    """At most so many of `count` indices, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def scaled(pictures: np.ndarray, side_px: int) -> np.ndarray:
    """Squares of uint8, [n, side, side] or [n, side, side, 3], at another size; themselves where they have it."""
    if pictures.shape[1] == side_px:
        return pictures
    size = (side_px, side_px)
    resized = [np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)) for picture in pictures]
    return np.stack(resized) if resized else np.empty((0, *size, *pictures.shape[3:]), np.uint8)


def unit(levels: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1]."""
    return levels.astype(np.float32) / np.float32(255.0)
