"""Joined pictures, as pix2pix's data sets have them: two halves of one width side by side, the same scene twice."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.photo_ids import folder_id
from pipeline.photos.decode import decode
from pipeline.photos.opening import UndecodableImage
from pipeline.pillow import as_file

HALVES = ("left", "right")
PNG_EFFORT = 3
"""Of zlib, 0 to 9."""


@dataclass(frozen=True)
class Half:
    """One half as a PNG, which loses nothing."""

    png: bytes
    width_px: int
    height_px: int


def half_id(sha256: str, half: str) -> str:
    """The photo id of a half of the joined picture with these bytes, whatever wrote the half's own.

    >>> half_id("ab" * 32, "left")
    'folder:1f7d5dfd2e4ec2e87c5c'
    """
    return folder_id(hashlib.sha256(f"{sha256} {half}".encode()).hexdigest())


def halves(data: bytes, max_pixels: int) -> tuple[Half, Half]:
    """The left and the right half of a joined picture, upright and in sRGB.

    Raises `UndecodableImage`, with the reason `not_joined` for one of odd width.
    """
    rgb = decode(data, max_pixels).rgb
    height_px, width_px = rgb.shape[:2]
    if width_px % 2:
        raise UndecodableImage("not_joined", f"is {width_px} px wide, which are no two halves", width_px, height_px)
    left, right = (_as_png(half) for half in np.split(rgb, 2, axis=1))
    return left, right


def _as_png(rgb: np.ndarray) -> Half:
    data = as_file(Image.fromarray(np.ascontiguousarray(rgb)), "PNG", compress_level=PNG_EFFORT)
    return Half(data, rgb.shape[1], rgb.shape[0])
