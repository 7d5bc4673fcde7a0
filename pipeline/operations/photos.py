"""Reading the photos of a home."""

from collections.abc import Callable

import numpy as np

from pipeline.config import Project
from pipeline.photos.decode import decode, decode_reduced
from storage import Home


def photo_reader(
    home: Home, project: Project, min_short_edge_px: int | None = None, min_long_edge_px: int | None = None
) -> Callable[[str], np.ndarray]:
    """A function from a blob's SHA-256 to RGB uint8 `[height, width, 3]`, upright and in sRGB.

    With the least of an edge large JPEGs are decoded at a reduced size that is still at least so large.
    """

    def read(sha256: str) -> np.ndarray:
        data, max_pixels = home.blobs.read(sha256), project.photos.max_pixels
        if min_short_edge_px is None and min_long_edge_px is None:
            return decode(data, max_pixels).rgb
        return decode_reduced(data, min_short_edge_px or 0, max_pixels, min_long_edge_px).rgb

    return read
