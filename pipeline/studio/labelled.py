"""Committed pictures with true labels, as photos and as paintings, for networks that learn to tell parts.

Scenes with even seeds make one set and those with odd seeds another, so that who judges has seen other scenes than who is
judged by. The scoring scenes are in neither.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.file_names import inside
from pipeline.plain_files import plain_path
from pipeline.studio.painting import painted
from pipeline.studio.pictures import PICTURES, Shot, shots

SIDE_PX = 96
Half = Literal["even", "odd"]
Bytes = NDArray[np.uint8]


def labelled_pictures(half: Half, pictures: Path = PICTURES) -> tuple[Bytes, Bytes]:
    """Squares of 96 px: sRGB [n, height, width, 3] and labels [n, height, width], places in `PARTS`."""
    parity = 0 if half == "even" else 1
    known = [shot for shot in shots() if shot.group != "scoring" and ("parts" in shot.views or not shot.person)]
    chosen = [shot for shot in known if shot.seed % 2 == parity]
    found = [pair for shot in chosen for pair in _photo_and_painting(shot, pictures)]
    return np.stack([rgb for rgb, _ in found]), np.stack([labels for _, labels in found])


def read_rgb(path: Path) -> Bytes:
    """A committed picture, uint8 [height, width, 3]."""
    with Image.open(plain_path(path)) as image:
        return np.asarray(image.convert("RGB"))


def _photo_and_painting(shot: Shot, pictures: Path) -> list[tuple[Bytes, Bytes]]:
    files = shot.files()
    rgb = read_rgb(inside(pictures, files.get("sharp") or files["shallow"]))
    labels = np.zeros(rgb.shape[:2], np.uint8)
    if shot.person:
        with Image.open(plain_path(inside(pictures, files["parts"]))) as image:
            labels = np.asarray(image)
    small = _square(labels, Image.Resampling.NEAREST)
    return [(_square(view, Image.Resampling.LANCZOS), small) for view in (rgb, painted(rgb, shot.seed))]


def _square(pixels: Bytes, resampling: Image.Resampling) -> Bytes:
    """The middle, scaled to `SIDE_PX`."""
    height_px, width_px = pixels.shape[:2]
    side_px = min(height_px, width_px)
    left, top = (width_px - side_px) // 2, (height_px - side_px) // 2
    box = left, top, left + side_px, top + side_px
    return np.asarray(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), resampling, box))
