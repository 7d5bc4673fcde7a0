"""A focus that travels through a photo, as an animation."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.atomic import atomic_path
from pipeline.depth.refocus import ThinLens, fitted_to, planes_from_far_to_near, refocus_photo
from pipeline.depth.units import Disparity
from pipeline.models.images import RgbPhoto

LONG_EDGE_PX = 960
FRAME_MS = 120
QUALITY = 85


def write_sweep(path: Path, rgb: RgbPhoto, disparity: Disparity, lens: ThinLens, planes: int) -> None:
    """From the farthest plane to the nearest and back, endlessly, as WebP of at most `LONG_EDGE_PX`.

    `disparity` has the photo's size; of `lens` only the strength counts.
    """
    shrink = min(1.0, LONG_EDGE_PX / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink))
    smaller = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    smaller_lens = ThinLens(lens.focus, lens.px_per_dioptre * size[0] / rgb.shape[1])
    frames = list(_frames(smaller, fitted_to(disparity, size[1], size[0]), smaller_lens, planes))
    first, *others = [*frames, *frames[-2:0:-1]]
    with atomic_path(path) as temporary:
        first.save(temporary, "WEBP", save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=QUALITY)


def _frames(rgb: RgbPhoto, disparity: Disparity, lens: ThinLens, planes: int) -> Iterator[Image.Image]:
    for focus in planes_from_far_to_near(disparity, planes):
        yield Image.fromarray(np.asarray(refocus_photo(rgb, disparity, ThinLens(focus, lens.px_per_dioptre))))
